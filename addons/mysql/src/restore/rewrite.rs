//! Changes of a dump's statements: databases that get other names, definers that become whoever restores.

use super::words::{Kind, Quotes, Word, words};
use crate::layout::{Program, ProgramKind, Sql};
use crate::sql::identifier;
use coffer_addon::{Error, Result};
use std::collections::BTreeMap;

/// Character sets in which a byte of ASCII may be half of another character.
const NOT_OVER_ASCII: [&str; 6] = ["big5", "cp932", "gb18030", "gbk", "sjis", "swe7"];

/// The databases that are restored under another name.
#[derive(Clone, Debug, Default)]
pub struct Renames<'a> {
    names: BTreeMap<&'a str, &'a str>,
    /// Whether the server that was dumped took `Shop` and `shop` for one, so that its texts may say either.
    folds: bool,
}

/// How a statement is to be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wording {
    pub quotes: Quotes,
    /// As the server words views: what stands behind AS is a column's. In the words of a user it may be a table's.
    pub is_view: bool,
}

impl<'a> Renames<'a> {
    pub fn new(names: BTreeMap<&'a str, &'a str>, folds: bool) -> Self {
        Renames { names, folds }
    }

    /// What the database is called after the restore.
    pub fn of<'b>(&'b self, database: &'b str) -> &'b str {
        self.names.get(database).copied().unwrap_or(database)
    }

    /// A name in a statement as it is compared, and the new one where it is that of a renamed database.
    fn renamed(&self, name: &str) -> Option<(String, &'a str)> {
        if !self.folds {
            return self.names.get(name).map(|new| (name.to_string(), *new));
        }
        let folded = name.to_lowercase();
        let found = self.names.iter().find(|(old, _)| old.to_lowercase() == folded);
        found.map(|(_, new)| (folded, *new))
    }

    /// A program's statement for the new names, in its own character set.
    pub fn apply_to_program(&self, program: &Program) -> Result<Sql> {
        let quotes = Quotes::of(program.sql_mode.as_deref().unwrap_or_default());
        let wording = Wording { quotes, is_view: program.kind == ProgramKind::View };
        self.apply_to(&program.create, &program.character_set_client, wording)
    }

    /// A statement in a character set for the new names. One in UTF-8 may still hold other bytes: servers write defaults of
    /// binary columns as they are.
    pub fn apply_to(&self, sql: &Sql, charset: &str, wording: Wording) -> Result<Sql> {
        if self.names.is_empty() {
            return Ok(sql.clone());
        }
        let bytes = sql.bytes();
        let is_utf8 = bytes.is_ascii() || charset.starts_with("utf8");
        if let Some(text) = std::str::from_utf8(bytes).ok().filter(|_| is_utf8) {
            return Ok(self.apply(text, wording)?.into());
        }
        let mut names = self.names.iter().flat_map(|(old, new)| [old, new]);
        if NOT_OVER_ASCII.contains(&charset) || names.any(|name| !name.is_ascii()) {
            return Err(Error::Unsupported(format!(
                "its text is in the character set {charset}, in which databases cannot be renamed; restore without rename"
            )));
        }
        self.apply(&widen(bytes), wording).map(|text| narrow(&text))
    }

    /// `sql` with each name that is qualified by a renamed database qualified by its new name.
    ///
    /// A qualifier may also be a table's alias. It is none where the text has no such name standing alone, and where it has
    /// one nobody can tell without the server's grammar: that is refused. What a string holds (dynamic SQL) is left as it is.
    pub fn apply(&self, sql: &str, wording: Wording) -> Result<String> {
        if self.names.is_empty() {
            return Ok(sql.to_string());
        }
        let all: Vec<Word> = words(sql, wording.quotes).collect();
        let mut renamed = String::with_capacity(sql.len() + 64);
        let (mut qualifies, mut stands_alone) = (Vec::new(), Vec::new());
        // The last word that is not blank.
        let mut previous: Option<Word> = None;
        for (index, word) in all.iter().enumerate() {
            let new = word.name().and_then(|name| self.renamed(&name));
            let after = all.iter().skip(index + 1).find(|word| word.kind != Kind::Blank);
            let is_after = |keyword: &str| previous.is_some_and(|word| word.is(keyword));
            match new {
                // A part of a longer name, a variable, a host.
                Some(_) if is_after(".") || is_after("@") => renamed.push_str(word.text),
                Some((name, new)) if after.is_some_and(|word| word.is(".")) => {
                    qualifies.push(name);
                    renamed.push_str(&identifier(new));
                }
                Some((name, _)) => {
                    // A column's alias qualifies nothing.
                    if !(wording.is_view && is_after("AS")) {
                        stands_alone.push(name);
                    }
                    renamed.push_str(word.text);
                }
                None => renamed.push_str(word.text),
            }
            if word.kind != Kind::Blank {
                previous = Some(*word);
            }
        }
        match qualifies.iter().find(|name| stands_alone.contains(name)) {
            None => Ok(renamed),
            Some(name) => Err(Error::Unsupported(format!(
                "its text uses {name} both as a qualifier and as a name of something else, so that the database cannot be \
                 renamed in it; restore without rename"
            ))),
        }
    }

    /// CREATE DATABASE for the new name: the first name in it.
    pub fn apply_to_database(&self, sql: &str) -> String {
        let mut is_done = false;
        let mut renamed = String::with_capacity(sql.len() + 64);
        for word in words(sql, Quotes::default()) {
            let new = word.name().filter(|_| !is_done && word.kind == Kind::Quoted);
            match new.and_then(|name| self.renamed(&name)) {
                Some((_, new)) => renamed.push_str(&identifier(new)),
                None => renamed.push_str(word.text),
            }
            is_done |= word.kind == Kind::Quoted;
        }
        renamed
    }

    /// A GRANT or REVOKE for the new names. There the database is a pattern, with `_` and `%` escaped where they are meant.
    pub fn apply_to_grant(&self, sql: &str) -> String {
        let mut renamed = String::with_capacity(sql.len() + 64);
        let all: Vec<Word> = words(sql, Quotes::default()).collect();
        for (index, word) in all.iter().enumerate() {
            let is_qualifier = all.get(index + 1).is_some_and(|next| next.is("."));
            let plain = word.name().map(|name| name.replace("\\_", "_").replace("\\%", "%"));
            match plain.as_deref().filter(|_| is_qualifier).and_then(|name| self.renamed(name)) {
                Some((_, new)) if word.text.contains('\\') => {
                    renamed.push_str(&identifier(&new.replace('_', "\\_").replace('%', "\\%")));
                }
                Some((_, new)) => renamed.push_str(&identifier(new)),
                None => renamed.push_str(word.text),
            }
        }
        renamed
    }
}

/// Any bytes as text: each as the character of its number.
pub fn widen(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| char::from(*byte)).collect()
}

/// [`widen`]'s way back.
fn narrow(text: &str) -> Sql {
    Sql(text.chars().map(|character| u8::try_from(u32::from(character)).unwrap_or(b'?')).collect())
}

/// The statement with whoever runs it as its definer. Only what is in front of the object's kind is understood, which is
/// ASCII and names.
pub fn to_current_user(sql: &Sql, sql_mode: &str) -> Sql {
    narrow(&without_definer(&widen(sql.bytes()), Quotes::of(sql_mode)))
}

fn without_definer(sql: &str, quotes: Quotes) -> String {
    const MADE: [&str; 6] = ["VIEW", "TRIGGER", "PROCEDURE", "FUNCTION", "EVENT", "PACKAGE"];
    let all: Vec<Word> = words(sql, quotes).collect();
    let solid = |from: usize| all.iter().enumerate().skip(from).find(|(_, word)| word.kind != Kind::Blank);
    let end = all.iter().position(|word| MADE.iter().any(|made| word.is(made))).unwrap_or(all.len());
    let Some(definer) = all.iter().take(end).position(|word| word.is("DEFINER")) else { return sql.to_string() };
    let account = solid(definer + 1).filter(|(_, word)| word.is("=")).and_then(|(equals, _)| solid(equals + 1));
    let Some((user, _)) = account else { return sql.to_string() };
    let host = match solid(user + 1) {
        Some((at, word)) if word.is("@") => solid(at + 1).map_or(user, |(host, _)| host),
        _ => user,
    };
    let text = |range: &[Word]| range.iter().map(|word| word.text).collect::<String>();
    let (head, tail) = (all.get(..user).unwrap_or_default(), all.get(host + 1..).unwrap_or_default());
    format!("{}CURRENT_USER{}", text(head), text(tail))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn renames(names: &[(&'static str, &'static str)]) -> Renames<'static> {
        Renames::new(names.iter().copied().collect(), false)
    }

    fn apply(sql: &str) -> Result<String> {
        let view = Wording { is_view: true, ..Wording::default() };
        renames(&[("shop", "shop2"), ("a`b", "c`d")]).apply(sql, view)
    }

    #[test]
    fn only_qualifiers_are_renamed() {
        for (sql, wanted) in [
            (
                "select `shop`.`t`.`shop` AS `shop` from `shop`.`t`",
                "select `shop2`.`t`.`shop` AS `shop` from `shop2`.`t`",
            ),
            (
                "INSERT INTO shop . log VALUES ('shop.x', @shop.x)",
                "INSERT INTO `shop2` . log VALUES ('shop.x', @shop.x)",
            ),
            ("REFERENCES `a``b`.`t` (`id`) -- shop.x\n", "REFERENCES `c``d`.`t` (`id`) -- shop.x\n"),
            ("select `shop`.`f`(1), other.shop.x", "select `shop2`.`f`(1), other.shop.x"),
            ("/*!50017 CREATE TRIGGER shop.t*/ BEFORE", "/*!50017 CREATE TRIGGER `shop2`.t*/ BEFORE"),
        ] {
            assert_eq!(apply(sql).as_deref(), Ok(wanted));
        }
    }

    #[test]
    fn what_could_be_an_alias_is_refused() {
        let refused = apply("select `shop`.`id` AS `id` from `orders` `shop`");
        assert!(matches!(&refused, Err(Error::Unsupported(text)) if text.contains("shop")), "{refused:?}");
        // Nothing to rename, nothing to mistake.
        assert!(apply("CREATE TABLE `shop` (`shop` int)").is_ok());
        // In a view only a column has its alias behind AS; in what users wrote, a table may.
        let sql = "select shop.id AS shop from orders AS shop";
        let written = renames(&[("shop", "shop2")]).apply(sql, Wording::default());
        assert!(matches!(&written, Err(Error::Unsupported(text)) if text.contains("shop")), "{written:?}");
        assert_eq!(apply("select `shop`.`f`() AS `shop`").as_deref(), Ok("select `shop2`.`f`() AS `shop`"));
    }

    #[test]
    fn case_counts_only_where_it_did() {
        let sql = "DELETE FROM SHOP.log";
        assert_eq!(renames(&[("shop", "s2")]).apply(sql, Wording::default()).as_deref(), Ok(sql));
        let folding = Renames::new(BTreeMap::from([("shop", "s2")]), true);
        assert_eq!(folding.apply(sql, Wording::default()).as_deref(), Ok("DELETE FROM `s2`.log"));
        assert!(folding.apply("SELECT SHOP.id FROM orders Shop", Wording::default()).is_err());
        assert_eq!(
            folding.apply_to_grant("GRANT SELECT ON `Shop`.`t` TO `u`@`%`"),
            "GRANT SELECT ON `s2`.`t` TO `u`@`%`"
        );
    }

    #[test]
    fn a_database_is_made_by_its_new_name() {
        let renames = renames(&[("shop", "shop2")]);
        let sql = "CREATE DATABASE `shop` /*!40100 DEFAULT CHARACTER SET utf8mb4 */ COMMENT 'shop'";
        let wanted = "CREATE DATABASE `shop2` /*!40100 DEFAULT CHARACTER SET utf8mb4 */ COMMENT 'shop'";
        assert_eq!(renames.apply_to_database(sql), wanted);
    }

    #[test]
    fn other_character_sets_are_renamed_within_or_refused() {
        let program = |charset: &str, create: &[u8]| Program {
            kind: crate::layout::ProgramKind::View,
            database: "shop".into(),
            name: "v".into(),
            file: "shop".into(),
            table: None,
            create: Sql(create.to_vec()),
            definer: None,
            sql_mode: None,
            character_set_client: charset.into(),
            collation_connection: "latin1_swedish_ci".into(),
            database_collation: None,
            time_zone: None,
            columns: Vec::new(),
        };
        let renames = renames(&[("shop", "shop2")]);
        let latin1 = program("latin1", b"select '\xe9' from `shop`.`t`");
        let renamed = renames.apply_to_program(&latin1).map(|sql| sql.0);
        assert_eq!(renamed.as_deref(), Ok(&b"select '\xe9' from `shop2`.`t`"[..]));
        let sjis = renames.apply_to_program(&program("sjis", b"select '\x95\x5c' from `shop`.`t`"));
        assert!(matches!(&sjis, Err(Error::Unsupported(text)) if text.contains("sjis")), "{sjis:?}");
    }

    #[test]
    fn grants_name_databases_by_patterns() {
        let renames = renames(&[("my_shop", "your_shop")]);
        for (sql, wanted) in [
            ("GRANT SELECT ON `my\\_shop`.* TO `u`@`%`", "GRANT SELECT ON `your\\_shop`.* TO `u`@`%`"),
            ("GRANT SELECT (`a`) ON `my_shop`.`t` TO `u`@`%`", "GRANT SELECT (`a`) ON `your_shop`.`t` TO `u`@`%`"),
            ("GRANT USAGE ON *.* TO `my_shop`@`%`", "GRANT USAGE ON *.* TO `my_shop`@`%`"),
        ] {
            assert_eq!(renames.apply_to_grant(sql), wanted);
        }
    }

    #[test]
    fn definers_go_whatever_their_quotes() {
        let ansi = Quotes { ansi: true, ..Quotes::default() };
        for (sql, quotes, wanted) in [
            (
                "CREATE ALGORITHM=UNDEFINED DEFINER=`a b`@`%` SQL SECURITY DEFINER VIEW `v` AS select 1",
                Quotes::default(),
                "CREATE ALGORITHM=UNDEFINED DEFINER=CURRENT_USER SQL SECURITY DEFINER VIEW `v` AS select 1",
            ),
            (
                "CREATE DEFINER=\"root\"@\"localhost\" PROCEDURE \"p\"() SELECT 'DEFINER=x'",
                ansi,
                "CREATE DEFINER=CURRENT_USER PROCEDURE \"p\"() SELECT 'DEFINER=x'",
            ),
            ("CREATE DEFINER=`role` EVENT e", Quotes::default(), "CREATE DEFINER=CURRENT_USER EVENT e"),
            ("CREATE SQL SECURITY DEFINER VIEW v", Quotes::default(), "CREATE SQL SECURITY DEFINER VIEW v"),
        ] {
            assert_eq!(without_definer(sql, quotes), wanted);
        }
    }
}
