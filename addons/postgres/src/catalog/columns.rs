//! Columns of tables and views, and the settings that statements of their own carry.

use std::collections::HashMap;
use std::fmt::Write;

use serde::Deserialize;

use super::Error;
use super::object::{Body, Graph, Id, Key, Kind, Object, class};
use super::reader::{Reader, group};
use super::relations::Relation;

#[derive(Deserialize)]
pub(super) struct Column {
    relation: u32,
    number: i32,
    pub name: String,
    pub ident: String,
    /// As format_type spells it.
    pub data_type: String,
    pub collation: Option<String>,
    /// `NOT NULL`, from 18 on with its name, where this relation must say so itself.
    pub not_null: Option<String>,
    /// The same for a column that is already there, as after ALTER TABLE.
    set_not_null: String,
    /// Defined here, not only inherited.
    pub local: bool,
    /// `s` stored, `v` virtual (18), empty for ordinary columns.
    pub generated: String,
    /// The generation expression is the parent's, and may not be repeated.
    inherits_expression: bool,
    default_oid: Option<u32>,
    default: Option<String>,
    /// Some parent's column has a default.
    parent_default: bool,
    storage: Option<String>,
    compression: Option<String>,
    statistics: Option<i32>,
    options: Option<String>,
    /// Of a foreign table's column: `OPTIONS (…)`.
    pub fdw_options: Option<String>,
}

/// 10: attidentity (such a column's default is not in pg_attrdef). 12: attgenerated; until 15 a child's expression is
/// always its parent's. 14: attcompression.
/// 17: attstattarget is NULL for the default, -1 before. 18: constraints for NOT NULL.
const COLUMNS: &str = "
    SELECT a.attrelid::int8 AS relation, a.attnum AS number, a.attname AS name, quote_ident(a.attname) AS ident,
           format_type(a.atttypid, a.atttypmod) AS data_type,
           CASE WHEN a.attcollation <> t.typcollation THEN (SELECT format('%I.%I', cn.nspname, co.collname)
             FROM pg_collation co JOIN pg_namespace cn ON cn.oid = co.collnamespace
               WHERE co.oid = a.attcollation) END AS collation,
           {{18 ? (SELECT format('CONSTRAINT %I NOT NULL%s', nn.conname,
             CASE WHEN nn.connoinherit THEN ' NO INHERIT' END)
                  FROM pg_constraint nn WHERE nn.conrelid = a.attrelid AND nn.contype = 'n' AND nn.convalidated
                    AND nn.conkey[1] = a.attnum
                    AND (nn.conislocal OR c.relispartition OR EXISTS (SELECT FROM pg_inherits i
                      JOIN pg_attribute pa ON pa.attrelid = i.inhparent AND pa.attname = a.attname
                      JOIN pg_constraint pn ON pn.conrelid = i.inhparent AND pn.contype = 'n' AND pn.conkey[1] = pa.attnum
                      WHERE i.inhrelid = c.oid AND NOT pn.convalidated))) : CASE WHEN a.attnotnull AND
             NOT (c.relkind IN ('r', 'f') AND NOT partition AND EXISTS (SELECT FROM pg_inherits i
               JOIN pg_attribute pa ON pa.attrelid = i.inhparent WHERE i.inhrelid = c.oid AND pa.attname = a.attname
                 AND pa.attnotnull))
             THEN 'NOT NULL' END}} AS not_null,
           {{18 ? coalesce((SELECT format('ADD CONSTRAINT %I %s', nn.conname, pg_get_constraintdef(nn.oid)) FROM pg_constraint nn
                  WHERE nn.conrelid = a.attrelid AND nn.contype = 'n' AND nn.conkey[1] = a.attnum), '')
                : format('ALTER COLUMN %I SET NOT NULL', a.attname)}} AS set_not_null,
           a.attislocal AS local, {{12 ? a.attgenerated : ''}} AS generated,
           {{12-15 ? a.attgenerated <> '' AND NOT partition AND EXISTS (SELECT FROM pg_inherits i
             JOIN pg_attribute pa ON pa.attrelid = i.inhparent
             WHERE i.inhrelid = c.oid AND pa.attname = a.attname
               AND pa.attgenerated <> '') : false}} AS inherits_expression,
           d.oid::int8 AS default_oid, pg_get_expr(d.adbin, d.adrelid) AS default,
           NOT partition AND EXISTS (SELECT FROM pg_inherits i JOIN pg_attribute pa ON pa.attrelid = i.inhparent
             WHERE i.inhrelid = c.oid AND pa.attname = a.attname
               AND pa.atthasdef {{12 ? AND pa.attgenerated = ''}}) AS parent_default,
           CASE WHEN a.attstorage <> t.typstorage THEN CASE a.attstorage WHEN 'p' THEN 'PLAIN' WHEN 'e' THEN 'EXTERNAL'
             WHEN 'm' THEN 'MAIN' WHEN 'x' THEN 'EXTENDED' END END AS storage,
           {{14 ? CASE a.attcompression WHEN 'p' THEN 'pglz' WHEN 'l' THEN 'lz4' END : NULL}} AS compression,
           nullif(a.attstattarget, -1) AS statistics,
           (SELECT string_agg(format('%I=%L', left(o, strpos(o, '=') - 1), substr(o, strpos(o, '=') + 1)), ', ')
            FROM unnest(a.attoptions) o) AS options,
           (SELECT 'OPTIONS (' || string_agg(format('%I %L', option_name, option_value), ', ') || ')'
            FROM pg_options_to_table(a.attfdwoptions)) AS fdw_options
    FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    CROSS JOIN LATERAL (SELECT {{10 ? c.relispartition : false}} AS partition) p
    JOIN pg_type t ON t.oid = a.atttypid
    LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    WHERE {{user}} AND c.relkind IN ('r', 'p', 'f', 'v', 'm') AND c.relpersistence <> 't'
      AND a.attnum > 0 AND NOT a.attisdropped";

/// The columns of every relation, in order.
pub(super) async fn read(reader: &mut Reader<'_>) -> Result<HashMap<u32, Vec<Column>>, Error> {
    let mut columns = group(reader.select("columns", COLUMNS).await?, |column: &Column| column.relation);
    for of_one in columns.values_mut() {
        of_one.sort_by_key(|column| column.number);
    }
    Ok(columns)
}

impl Column {
    /// Whether the relation's own CREATE lists the column; an inherited one comes from the parent.
    pub fn is_listed(&self, relation: &Relation) -> bool {
        self.local || relation.is_partition()
    }

    /// Whether the default stands in the column's definition. One that needs other objects, like a sequence that
    /// the column owns, is set when those are there; a generation expression has no second chance.
    pub fn is_default_inline(&self, graph: &Graph, relation: &Relation) -> bool {
        let Some(oid) = self.default_oid else { return false };
        if !self.generated.is_empty() {
            return true;
        }
        let table = Key::new(class::CLASS, relation.oid);
        let free = graph
            .depends
            .get(&Key::new(class::ATTRDEF, oid))
            .is_none_or(|needed| needed.iter().all(|needed| *needed == table));
        free && relation.is_table() && self.is_listed(relation)
    }

    /// ` DEFAULT …` or ` GENERATED …` for the column's definition.
    pub fn default_clause(&self) -> String {
        let expression = self.default.as_deref().unwrap_or("NULL");
        match self.generated.as_str() {
            "s" | "v" if self.inherits_expression => String::new(),
            "s" => format!(" GENERATED ALWAYS AS ({expression}) STORED"),
            "v" => format!(" GENERATED ALWAYS AS ({expression})"),
            _ => format!(" DEFAULT {expression}"),
        }
    }
}

/// Statements after CREATE that settle what a column's definition cannot say.
pub(super) fn settings(relation: &Relation, columns: &[Column]) -> String {
    let mut text = String::new();
    let keyword = if relation.relkind == "m" { "MATERIALIZED VIEW" } else { relation.keyword() };
    let only = if relation.is_table() { "ONLY " } else { "" };
    for column in columns {
        let of_column = |what: String| format!("ALTER COLUMN {} {what}", column.ident);
        let mut alter = |action: String| {
            // Writing to a String cannot fail.
            let _ = write!(text, "\nALTER {keyword} {only}{} {action};", relation.ident);
        };
        if relation.is_table() && !column.is_listed(relation) && column.not_null.is_some() {
            alter(column.set_not_null.clone());
        }
        if column.parent_default && column.default_oid.is_none() {
            alter(of_column("DROP DEFAULT".to_owned()));
        }
        if let Some(statistics) = column.statistics {
            alter(of_column(format!("SET STATISTICS {statistics}")));
        }
        if let Some(storage) = &column.storage {
            alter(of_column(format!("SET STORAGE {storage}")));
        }
        if let Some(compression) = &column.compression {
            alter(of_column(format!("SET COMPRESSION {compression}")));
        }
        if let Some(options) = &column.options {
            alter(of_column(format!("SET ({options})")));
        }
        if let Some(options) = column.fdw_options.as_ref().filter(|_| !column.is_listed(relation)) {
            alter(of_column(options.clone()));
        }
    }
    text
}

/// Entries for the defaults that are not in their column's definition; aliases for those that are.
pub(super) fn defaults(graph: &mut Graph, relation: &Relation, id: Id, columns: &[Column]) {
    for column in columns {
        let (Some(oid), Some(default)) = (column.default_oid, &column.default) else { continue };
        let key = Key::new(class::ATTRDEF, oid);
        // An inherited generation expression comes with the parent's.
        if column.is_default_inline(graph, relation) {
            graph.set_alias(key, Key::new(class::CLASS, relation.oid));
            continue;
        }
        let keyword = if relation.relkind == "f" { "FOREIGN TABLE" } else { "TABLE" };
        let alter = format!("ALTER {keyword} ONLY {} ALTER COLUMN {}", relation.ident, column.ident);
        let mut object = Object::new(Kind::Default, "DEFAULT", format!("{} {}", relation.name, column.name));
        object.namespace = relation.namespace.clone();
        object.owner = relation.owner.clone();
        object.body = Body::Text(format!("{alter} SET DEFAULT {default};"));
        object.drop = format!("{} DROP DEFAULT;\n", alter.replacen(" ONLY", "", 1));
        object.needs.insert(id);
        graph.add(key, object);
    }
}
