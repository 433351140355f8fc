//! Comments and security labels, on everything that has a name in DDL.

use serde::Deserialize;

use super::Error;
use super::object::{Graph, Key, Satellite, class};
use super::reader::Reader;

/// pg_dump writes a comment of `public` down only where it is not the one every database is born with.
const COMMENTS: &str = "
    SELECT d.classoid::int8 AS class, d.objoid::int8 AS oid, a.attname AS column,
           quote_ident(a.attname) AS column_ident,
           '' AS provider, 'IS ' || quote_literal(d.description) AS text
    FROM pg_description d
    LEFT JOIN pg_attribute a ON d.classoid = 'pg_class'::regclass AND a.attrelid = d.objoid AND a.attnum = d.objsubid
      AND d.objsubid > 0
    WHERE d.objoid >= 16384";

const LABELS: &str = "
    SELECT d.classoid::int8 AS class, d.objoid::int8 AS oid, a.attname AS column,
           quote_ident(a.attname) AS column_ident,
           'FOR ' || quote_ident(d.provider) AS provider, 'IS ' || quote_literal(d.label) AS text
    FROM pg_seclabel d
    LEFT JOIN pg_attribute a ON d.classoid = 'pg_class'::regclass AND a.attrelid = d.objoid AND a.attnum = d.objsubid
      AND d.objsubid > 0
    WHERE d.objoid >= 16384 ORDER BY d.provider";

/// 17: constraints for NOT NULL are made with their column or domain, but can have comments.
const NOT_NULLS: &str = "
    SELECT c.oid::int8 AS oid, CASE WHEN r.oid IS NULL THEN t.oid ELSE r.oid END::int8 AS owner, r.oid IS NULL AS domain,
           format('CONSTRAINT %I ON %s', c.conname, CASE WHEN r.oid IS NULL THEN 'DOMAIN ' || quote_ident(tn.nspname) || '.' ||
             quote_ident(t.typname) ELSE quote_ident(rn.nspname) || '.' || quote_ident(r.relname) END) AS sql,
           format('CONSTRAINT %s ON %s', c.conname, coalesce(r.relname, t.typname)) AS tag
    FROM pg_constraint c JOIN pg_description d ON d.classoid = 'pg_constraint'::regclass AND d.objoid = c.oid
    LEFT JOIN pg_class r ON r.oid = c.conrelid LEFT JOIN pg_namespace rn ON rn.oid = r.relnamespace
    LEFT JOIN pg_type t ON t.oid = c.contypid LEFT JOIN pg_namespace tn ON tn.oid = t.typnamespace
    WHERE c.contype = 'n'";

const PUBLIC: &str = "
    SELECT n.oid::int8 AS oid, 'SCHEMA public' AS name, 'COMMENT ON SCHEMA public IS ' || quote_literal(coalesce(c.text,
           '')) AS create, pg_get_userbyid(n.nspowner) AS owner
    FROM pg_namespace n CROSS JOIN LATERAL (SELECT obj_description(n.oid, 'pg_namespace') AS text) c
    WHERE n.nspname = 'public' AND c.text IS DISTINCT FROM 'standard public schema'";

#[derive(Deserialize)]
struct Row {
    class: u32,
    oid: u32,
    column: Option<String>,
    column_ident: Option<String>,
    provider: String,
    text: String,
}

#[derive(Deserialize)]
struct Public {
    oid: u32,
    name: String,
    create: String,
    owner: String,
}

#[derive(Deserialize)]
struct NotNull {
    oid: u32,
    owner: u32,
    domain: bool,
    sql: String,
    tag: String,
}

pub(super) async fn read(reader: &mut Reader<'_>, graph: &mut Graph) -> Result<(), Error> {
    if reader.version >= 17 {
        for row in reader.select::<NotNull>("constraints for NOT NULL", NOT_NULLS).await? {
            let key = Key::new(class::CONSTRAINT, row.oid);
            let whole = Key::new(if row.domain { class::TYPE } else { class::CLASS }, row.owner);
            // One that is not valid yet is an object of its own.
            if let (None, Some(id)) = (graph.find(key), graph.find(whole)) {
                graph.refer(key, id, row.sql, row.tag);
            }
        }
    }
    for (what, desc, verb, sql) in [
        ("comments", "COMMENT", "COMMENT ON", COMMENTS),
        ("security labels", "SECURITY LABEL", "SECURITY LABEL", LABELS),
    ] {
        for row in reader.select::<Row>(what, sql).await? {
            attach(graph, desc, verb, &row);
        }
    }
    for public in reader.select::<Public>("the comment of schema public", PUBLIC).await? {
        let satellite =
            Satellite { desc: "COMMENT", tag: public.name, owner: public.owner, create: format!("{};", public.create) };
        let schema = graph.find(Key::new(class::NAMESPACE, public.oid));
        graph.add_satellite(schema, satellite);
    }
    Ok(())
}

fn attach(graph: &mut Graph, desc: &'static str, verb: &str, row: &Row) {
    let mut key = Key::new(row.class, row.oid);
    if row.column.is_some() {
        key = graph.composite(key);
    }
    // Of what is not dumped itself (a member of an extension), the comment is not either.
    let Some(reference) = graph.references.get(&key).cloned() else { return };
    let Some(object) = graph.objects.get_mut(reference.object) else { return };
    let (sql, tag) = match (&row.column, &row.column_ident) {
        (Some(column), Some(ident)) => {
            // Without the keyword; a name starts with a small letter or a quote.
            let relation = reference.sql.trim_start_matches(|c: char| c.is_ascii_uppercase() || c == ' ');
            (format!("COLUMN {relation}.{ident}"), format!("COLUMN {}.{column}", object.tag))
        }
        _ => (reference.sql, reference.tag),
    };
    let satellite = Satellite {
        desc,
        tag,
        owner: object.owner.clone(),
        create: [verb, &row.provider, if row.provider.is_empty() { "" } else { "ON" }, &sql, &row.text]
            .into_iter()
            .filter(|word| !word.is_empty())
            .collect::<Vec<_>>()
            .join(" ")
            + ";",
    };
    object.satellites.push(satellite);
}
