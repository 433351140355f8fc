//! Sequences: free, owned by a column, or behind an identity column; and where each stands.

use std::collections::HashMap;

use serde::Deserialize;

use super::Error;
use super::object::{Body, Graph, Id, Key, Kind, Object, Satellite, class};
use super::reader::Reader;

/// 10: pg_sequence with types; identity columns, whose sequence depends internally. 15: unlogged sequences.
const SEQUENCES: &str = "
    SELECT c.oid::int8 AS oid, n.nspname AS namespace, c.relname AS name, format('%I.%I', n.nspname,
           c.relname) AS ident,
           quote_literal(format('%I.%I', n.nspname, c.relname)) AS literal,
           pg_get_userbyid(c.relowner) AS owner, c.relpersistence = 'u' AS unlogged,
           {{15 ? (SELECT CASE WHEN t.relpersistence <> c.relpersistence THEN CASE c.relpersistence WHEN 'u'
             THEN E'\\n    UNLOGGED' ELSE E'\\n    LOGGED' END END
             FROM pg_class t WHERE t.oid = d.refobjid) : NULL}} AS unlike_table, d.deptype = 'i' AS identity,
           {{10 ? a.attidentity = 'a' : false}} AS always,
           (SELECT format('%I.%I', tn.nspname, t.relname) FROM pg_class t
             JOIN pg_namespace tn ON tn.oid = t.relnamespace WHERE t.oid = d.refobjid) AS table,
           quote_ident(a.attname) AS column,
           {{10 ? ' AS ' || format_type(s.seqtypid, NULL) : ''}} AS data_type,
           {{10 ? format(E'\\n    START WITH %s\\n    INCREMENT BY %s\\n    MINVALUE %s\\n    MAXVALUE %s\\n    CACHE %s%s',
                   s.seqstart, s.seqincrement, s.seqmin, s.seqmax, s.seqcache,
                     CASE WHEN s.seqcycle THEN E'\\n    CYCLE' END)
                 : (SELECT format(E'\\n    START WITH %s\\n    INCREMENT BY %s\\n    MINVALUE %s\\n    MAXVALUE %s%s',
                   p.start_value, p.increment,
                   p.minimum_value, p.maximum_value, CASE WHEN p.cycle_option THEN E'\\n    CYCLE' END)
                     FROM pg_sequence_parameters(c.oid) p)}} AS options
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace {{10 ? JOIN pg_sequence s ON s.seqrelid = c.oid}}
    LEFT JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.objsubid = 0
      AND d.refclassid = 'pg_class'::regclass AND d.deptype IN ('a', 'i') AND d.refobjsubid > 0
    LEFT JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
    WHERE {{user}} AND c.relkind = 'S' AND c.relpersistence <> 't'";

#[derive(Deserialize)]
struct Row {
    oid: u32,
    namespace: String,
    name: String,
    ident: String,
    literal: String,
    owner: String,
    unlogged: bool,
    /// `LOGGED` or `UNLOGGED`, where it is not as its table.
    unlike_table: Option<String>,
    identity: Option<bool>,
    always: Option<bool>,
    table: Option<String>,
    column: Option<String>,
    data_type: String,
    options: String,
}

#[derive(Deserialize)]
pub(super) struct Value {
    oid: u32,
    last_value: i64,
    is_called: bool,
    /// 9.6 keeps it in the sequence itself.
    cache: Option<i64>,
}

/// Sequences asked for their value in one statement.
const BATCH: usize = 200;

pub(super) async fn read(reader: &mut Reader<'_>, graph: &mut Graph) -> Result<(), Error> {
    let rows: Vec<Row> = reader.select("sequences", SEQUENCES).await?;
    let rows: Vec<Row> = rows.into_iter().filter(|row| !graph.is_member(Key::new(class::CLASS, row.oid))).collect();
    let values = values(reader, rows.iter().map(|row| (row.oid, row.ident.as_str()))).await?;
    for row in rows {
        let Some(value) = values.get(&row.oid) else { continue };
        let id = sequence(graph, &row, value);
        set(graph, &row.namespace, &row.name, &row.owner, &row.literal, value, id);
    }
    Ok(())
}

/// Values are not transactional: they may be ahead of the snapshot's rows, never behind.
pub(super) async fn values(
    reader: &mut Reader<'_>,
    sequences: impl Iterator<Item = (u32, &str)>,
) -> Result<HashMap<u32, Value>, Error> {
    let cache = if reader.version < 10 { "cache_value" } else { "NULL" };
    let selects: Vec<String> = sequences
        .map(|(oid, ident)| format!("SELECT {oid} AS oid, last_value, is_called, {cache} AS cache FROM {ident}"))
        .collect();
    let mut values = HashMap::new();
    for batch in selects.chunks(BATCH) {
        for value in reader.select::<Value>("the values of sequences", &batch.join(" UNION ALL ")).await? {
            values.insert(value.oid, value);
        }
    }
    Ok(values)
}

fn sequence(graph: &mut Graph, row: &Row, value: &Value) -> Id {
    let options = match value.cache {
        Some(cache) => format!("{}\n    CACHE {cache}", row.options),
        None => row.options.clone(),
    };
    let mut object = Object::new(Kind::Table, "SEQUENCE", &row.name);
    object.namespace.clone_from(&row.namespace);
    object.owner.clone_from(&row.owner);
    // One behind an identity column comes, goes and changes its owner with the table.
    if row.identity != Some(true) {
        object.drop = format!("DROP SEQUENCE {};\n", row.ident);
    }
    object.body = Body::Text(match (&row.table, &row.column) {
        (Some(table), Some(column)) if row.identity == Some(true) => {
            let when = if row.always == Some(true) { "ALWAYS" } else { "BY DEFAULT" };
            format!(
                "ALTER TABLE {table} ALTER COLUMN {column} ADD GENERATED {when} AS IDENTITY (\n    SEQUENCE NAME {}{}{options}\n);",
                row.ident,
                row.unlike_table.as_deref().unwrap_or_default()
            )
        }
        (Some(table), Some(column)) => {
            object.satellites.push(Satellite {
                desc: "SEQUENCE OWNED BY",
                tag: row.name.clone(),
                owner: row.owner.clone(),
                create: format!("ALTER SEQUENCE {} OWNED BY {table}.{column};", row.ident),
            });
            create(row, &options)
        }
        _ => create(row, &options),
    });
    let key = Key::new(class::CLASS, row.oid);
    let id = graph.add(key, object);
    graph.refer(key, id, format!("SEQUENCE {}", row.ident), format!("SEQUENCE {}", row.name));
    id
}

fn create(row: &Row, options: &str) -> String {
    let unlogged = if row.unlogged { "UNLOGGED " } else { "" };
    format!("CREATE {unlogged}SEQUENCE {}{}{options};", row.ident, row.data_type)
}

pub(super) fn set(
    graph: &mut Graph,
    namespace: &str,
    name: &str,
    owner: &str,
    literal: &str,
    value: &Value,
    needed: Id,
) {
    let mut object = Object::new(Kind::SequenceSet, "SEQUENCE SET", name);
    object.namespace = namespace.to_owned();
    object.owner = owner.to_owned();
    object.body =
        Body::Text(format!("SELECT pg_catalog.setval({literal}, {}, {});", value.last_value, value.is_called));
    object.needs.insert(needed);
    graph.add_extra(object);
}
