//! How a column's values are read, and how they stand in an INSERT, so that the same bits arrive.

use super::lossy;
use crate::client::{Row, Version};
use crate::sql::identifier;
use coffer_addon::Result;

/// A column whose values are dumped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    pub name: String,
    /// What to select for it.
    pub select: String,
    pub form: Form,
}

/// How a value stands in an INSERT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// As the server words it: a number.
    Bare,
    /// A number that keeps the sign of its zero.
    Float,
    /// The column's own bytes as a string literal.
    Text,
    /// A string literal in UTF-8. Such a type takes text for text only if the literal has a character set.
    Unicode,
    /// An ENUM's text; the empty one is what became of values that the ENUM does not have, and its number is 0.
    Enum,
    /// A hexadecimal literal.
    Hex,
}

/// A column as `information_schema.COLUMNS` has it.
pub struct Described {
    pub name: String,
    /// `int`, `varchar`, …
    data_type: String,
    /// With length and attributes: `int(10) unsigned`.
    column_type: String,
    extra: String,
    /// Of a generated column; MariaDB's `ROW START` and `ROW END` too.
    pub expression: String,
}

/// The columns to select of `information_schema.COLUMNS`.
pub fn selected(version: &Version) -> &'static str {
    if version.is_mysql(50_700) || version.is_mariadb(100_200) {
        "COLUMN_NAME AS name, DATA_TYPE AS data_type, COLUMN_TYPE AS column_type, EXTRA AS extra, \
         GENERATION_EXPRESSION AS expression"
    } else {
        "COLUMN_NAME AS name, DATA_TYPE AS data_type, COLUMN_TYPE AS column_type, EXTRA AS extra, NULL AS expression"
    }
}

impl Described {
    pub fn read(row: &Row) -> Result<Self> {
        Ok(Described {
            name: row.get("name")?.into(),
            data_type: row.get("data_type")?.to_ascii_lowercase(),
            column_type: lossy(row, "column_type")?.to_ascii_lowercase(),
            extra: row.opt("extra")?.unwrap_or_default().to_ascii_uppercase(),
            expression: lossy(row, "expression")?,
        })
    }

    /// Whether the server computes its values; `DEFAULT_GENERATED` only says that a default is an expression.
    pub fn is_generated(&self) -> bool {
        // MariaDB before 10.2 words it in short.
        self.extra
            .split(", ")
            .any(|word| matches!(word.trim(), "VIRTUAL GENERATED" | "STORED GENERATED" | "VIRTUAL" | "PERSISTENT"))
            || !self.expression.is_empty()
    }

    pub fn is_integer(&self) -> bool {
        matches!(self.data_type.as_str(), "tinyint" | "smallint" | "mediumint" | "int" | "bigint")
    }

    /// Its values' way; none for a type that is not known here.
    pub fn column(&self, version: &Version) -> Option<Column> {
        let name = identifier(&self.name);
        let (select, form) = match self.data_type.as_str() {
            "tinyint" | "smallint" | "mediumint" | "int" | "bigint" | "decimal" | "year" => (name, Form::Bare),
            // The text of a FLOAT has six digits, and that of a DOUBLE(M,D) has D behind the point. A product is a DOUBLE,
            // which comes with as many as it takes to tell it from its neighbours; a sum would lose the sign of -0.
            "float" => (format!("{name} * 1E0"), Form::Float),
            "double" if self.column_type.contains('(') => (format!("{name} * 1E0"), Form::Float),
            "double" => (name, Form::Float),
            // Text and number of an empty member are told apart only by the number; that of a SET takes up to 64 bits.
            "set" if self.column_type.contains("''") => (format!("CAST({name} AS UNSIGNED)"), Form::Bare),
            "char" | "varchar" | "tinytext" | "text" | "mediumtext" | "longtext" | "set" => (name, Form::Text),
            "date" | "time" | "datetime" | "timestamp" => (name, Form::Text),
            "enum" if self.column_type.contains("''") => (format!("{name} + 0"), Form::Bare),
            "enum" => (name, Form::Enum),
            "json" if version.is_mysql(0) => (name, Form::Unicode),
            "json" => (name, Form::Text),
            "inet4" | "inet6" | "uuid" | "xmltype" => (name, Form::Unicode),
            "bit" | "binary" | "varbinary" | "tinyblob" | "blob" | "mediumblob" | "longblob" | "vector" => {
                (name, Form::Hex)
            }
            "geometry" | "point" | "linestring" | "polygon" | "multipoint" | "multilinestring" | "multipolygon"
            | "geometrycollection" | "geomcollection" => (name, Form::Hex),
            _ => return None,
        };
        Some(Column { name: self.name.clone(), select, form })
    }

    /// For people.
    pub fn type_name(&self) -> &str {
        &self.column_type
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::Flavor;

    fn described(data_type: &str, column_type: &str, extra: &str) -> Described {
        let expression = String::new();
        Described {
            name: "c".into(),
            data_type: data_type.into(),
            column_type: column_type.into(),
            extra: extra.into(),
            expression,
        }
    }

    #[test]
    fn generated_columns_are_told_from_generated_defaults() {
        assert!(described("int", "int", "STORED GENERATED").is_generated());
        assert!(described("int", "int", "VIRTUAL GENERATED, INVISIBLE").is_generated());
        assert!(!described("timestamp", "timestamp", "DEFAULT_GENERATED ON UPDATE CURRENT_TIMESTAMP").is_generated());
        assert!(!described("int", "int", "INVISIBLE").is_generated());
    }

    #[test]
    fn an_enum_or_set_with_an_empty_member_goes_by_number() {
        let version = Version { flavor: Flavor::MySql, number: 90_700, text: "9.7.0".into() };
        let form = |column_type| described("enum", column_type, "").column(&version).map(|column| column.form);
        assert_eq!(form("enum('a','b')"), Some(Form::Enum));
        assert_eq!(form("enum('a','')"), Some(Form::Bare));
        assert_eq!(described("set", "set('a','')", "").column(&version).map(|column| column.form), Some(Form::Bare));
        assert_eq!(described("newtype", "newtype", "").column(&version), None);
    }
}
