//! Queries on the catalogs: version gates are expanded, rows come back typed.
//!
//! Every query is wrapped so that the server sends each row as one JSON object; a family's row is then an ordinary
//! struct. `oid` columns must be cast to `int8`, since JSON renders an oid as text.

use std::collections::HashMap;

use serde::de::DeserializeOwned;
use serde_json::Value;

use coffer_addon::{Context, Error, Result};

use crate::Client;
use crate::client::Row;

pub(super) struct Reader<'a> {
    client: &'a mut Client,
    /// The server's major version: 9 stands for 9.6.
    pub version: u32,
}

impl<'a> Reader<'a> {
    pub fn new(client: &'a mut Client) -> Result<Self> {
        let number = client.server_version();
        if number < 90_600 {
            let version = client.server_version_text();
            return Err(Error::Unsupported(format!(
                "PostgreSQL {version} cannot be dumped; 9.6 is the oldest that can"
            )));
        }
        Ok(Self { client, version: number / 10_000 })
    }

    /// Rows of a query of one family. `what` names the objects in errors.
    pub async fn select<T: DeserializeOwned>(&mut self, what: &'static str, sql: &str) -> Result<Vec<T>> {
        let sql = format!("SELECT row_to_json(q) FROM ({}) q", expand(sql, self.version));
        let rows = self.client.query_unchecked(&sql).await;
        let rows = rows.context(|| format!("unable to read {what} from the catalogs"))?;
        let parse = |row: &Row| {
            if row.broken().is_some() {
                return Err(not_text(what, row.at(0).unwrap_or_default()));
            }
            serde_json::from_str(row.at(0).unwrap_or("null")).map_err(|error| {
                Error::Corrupt(format!("the server's answer about {what} has an unexpected shape: {error}"))
            })
        };
        rows.iter().map(parse).collect()
    }

    /// Runs a statement without rows.
    pub async fn execute(&mut self, what: &'static str, sql: &str) -> Result<()> {
        self.client.execute(sql).await.map(drop).context(|| format!("unable to {what}"))
    }
}

/// The error for a row with bytes that are no UTF-8, which stand in it as replacement characters. Names the object; what else the
/// row holds, such as a function's body, is not for errors.
fn not_text(what: &str, row: &str) -> Error {
    let row: serde_json::Map<String, Value> = serde_json::from_str(row).unwrap_or_default();
    let is_broken = |value: &Value| value.to_string().contains(char::REPLACEMENT_CHARACTER);
    let broken: Vec<&str> = row.iter().filter(|(_, value)| is_broken(value)).map(|(name, _)| name.as_str()).collect();
    let named = ["reference", "namespace", "name", "class", "oid", "relation"];
    let object: Vec<String> =
        named.iter().filter_map(|name| row.get(*name).map(|value| format!("{name} {value}"))).collect();
    Error::Unsupported(format!(
        "the catalogs hold text that is no UTF-8, as a database with encoding SQL_ASCII lets in: among the {what}, in {} of \
         {}; rename or make that object again in UTF-8, then back up again (rows may hold any bytes)",
        broken.join(" and "),
        object.join(", ")
    ))
}

/// Rows by what they belong to, in the order they came.
pub(super) fn group<T>(rows: Vec<T>, of: impl Fn(&T) -> u32) -> HashMap<u32, Vec<T>> {
    let mut groups: HashMap<u32, Vec<T>> = HashMap::new();
    for row in rows {
        groups.entry(of(&row)).or_default().push(row);
    }
    groups
}

/// Condition on `n` = pg_namespace: not a schema of the server's own.
const USER_SCHEMA: &str = r"(n.nspname NOT LIKE 'pg\_%' AND n.nspname <> 'information_schema')";

/// Expands `{{N ? A : B}}` to A on servers of major version N and later, else to B; `{{N-M ? A : B}}` to A on N to M;
/// and `{{user}}` to "`n` is a user's schema". Gates do not nest.
fn expand(sql: &str, version: u32) -> String {
    let mut expanded = String::with_capacity(sql.len() + 64);
    let mut rest = sql;
    while let Some((before, tail)) = rest.split_once("{{") {
        expanded.push_str(before);
        let (gate, after) = tail.split_once("}}").unwrap_or((tail, ""));
        rest = after;
        match gate.split_once(" ? ") {
            None => expanded.push_str(USER_SCHEMA),
            Some((since, choice)) => {
                let (then, otherwise) = choice.split_once(" : ").unwrap_or((choice, ""));
                let (since, until) = since.split_once('-').unwrap_or((since, ""));
                let since: u32 = since.trim().parse().unwrap_or(u32::MAX);
                let until: u32 = until.trim().parse().unwrap_or(u32::MAX);
                expanded.push_str(if (since..=until).contains(&version) { then } else { otherwise });
            }
        }
    }
    expanded.push_str(rest);
    expanded
}

#[cfg(test)]
mod tests {
    use super::{expand, not_text};

    #[test]
    fn an_object_that_is_no_text_is_named_and_its_body_is_not_shown() {
        let row = r#"{"oid":7,"namespace":"public","name":"f","create":"caf� SECRET"}"#;
        let text = not_text("functions", row).message().to_string();
        let expected = r#"among the functions, in create of namespace "public", name "f", oid 7; rename"#;
        assert!(text.contains(expected) && !text.contains("SECRET"), "{text}");
    }

    #[test]
    fn a_gate_opens_with_its_version() {
        let sql = "SELECT {{14 ? a.x::text : ''}} FROM t{{11 ? , u}} WHERE y";
        assert_eq!(expand(sql, 14), "SELECT a.x::text FROM t, u WHERE y");
        assert_eq!(expand(sql, 13), "SELECT '' FROM t, u WHERE y");
        assert_eq!(expand(sql, 9), "SELECT '' FROM t WHERE y");
        assert_eq!(["{{15-16 ? a : b}}"].map(|sql| [14, 15, 16, 17].map(|v| expand(sql, v))), [["b", "a", "a", "b"]]);
    }
}
