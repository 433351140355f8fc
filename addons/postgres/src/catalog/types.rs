//! Types: enums, composites, ranges, domains with their constraints, base types with their shells.

use serde::Deserialize;

use super::Error;
use super::object::{Body, Graph, Item, Key, Kind, Object, Shape, class};
use super::plain::{self, Family, Row};
use super::reader::{Reader, group};

const FAMILIES: &[Family] = &[
    Family { what: "enums", class: class::TYPE, kind: Kind::Type, desc: "TYPE", since: 0, sql: ENUMS },
    Family { what: "composite types", class: class::TYPE, kind: Kind::Type, desc: "TYPE", since: 0, sql: COMPOSITES },
    // A type that was never completed.
    Family { what: "shell types", class: class::TYPE, kind: Kind::Type, desc: "TYPE", since: 0, sql: SHELLS },
];

/// A label added later stands where its sort order puts it.
const ENUMS: &str = "
    SELECT t.oid::int8 AS oid, n.nspname AS namespace, t.typname AS name, pg_get_userbyid(t.typowner) AS owner,
           format('TYPE %I.%I', n.nspname, t.typname) AS reference,
           format(E'CREATE TYPE %I.%I AS ENUM (%s\\n);', n.nspname, t.typname,
             (SELECT string_agg(E'\\n    ' || quote_literal(e.enumlabel), ',' ORDER BY e.enumsortorder)
              FROM pg_enum e WHERE e.enumtypid = t.oid)) AS create
    FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace WHERE {{user}} AND t.typtype = 'e'";

const COMPOSITES: &str = "
    SELECT t.oid::int8 AS oid, n.nspname AS namespace, t.typname AS name, pg_get_userbyid(t.typowner) AS owner,
           format('TYPE %I.%I', n.nspname, t.typname) AS reference,
           format(E'CREATE TYPE %I.%I AS (%s\\n);', n.nspname, t.typname,
             (SELECT string_agg(format(E'\\n    %I %s%s', a.attname, format_type(a.atttypid, a.atttypmod),
                       CASE WHEN a.attcollation <> at.typcollation THEN (SELECT format(' COLLATE %I.%I', cn.nspname,
                         co.collname)
                         FROM pg_collation co JOIN pg_namespace cn ON cn.oid = co.collnamespace
                           WHERE co.oid = a.attcollation) END),
                     ',' ORDER BY a.attnum)
              FROM pg_attribute a JOIN pg_type at ON at.oid = a.atttypid
              WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped)) AS create
    FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace JOIN pg_class c ON c.oid = t.typrelid
      AND c.relkind = 'c'
    WHERE {{user}}";

const SHELLS: &str = "
    SELECT t.oid::int8 AS oid, n.nspname AS namespace, t.typname AS name, pg_get_userbyid(t.typowner) AS owner,
           format('TYPE %I.%I', n.nspname, t.typname) AS reference, format('CREATE TYPE %I.%I;', n.nspname,
             t.typname) AS create
    FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace WHERE {{user}} AND t.typtype = 'p'
      AND NOT t.typisdefined";

/// 14: multirange names. A canonical function takes the type itself, so that the type begins as a shell.
const RANGES: &str = "
    SELECT t.oid::int8 AS oid, n.nspname AS namespace, t.typname AS name, pg_get_userbyid(t.typowner) AS owner,
           format('TYPE %I.%I', n.nspname, t.typname) AS reference, r.rngcanonical <> 0 AS shell,
           format(E'CREATE TYPE %I.%I AS RANGE (\\n    subtype = %s%s%s%s%s%s\\n);', n.nspname, t.typname,
             format_type(r.rngsubtype, NULL),
             {{14 ? (SELECT format(E',\\n    multirange_type_name = %I.%I', mn.nspname, m.typname)
              FROM pg_type m JOIN pg_namespace mn ON mn.oid = m.typnamespace WHERE m.oid = r.rngmultitypid) : ''}},
             (SELECT format(E',\\n    subtype_opclass = %I.%I', cn.nspname, o.opcname)
              FROM pg_opclass o JOIN pg_namespace cn ON cn.oid = o.opcnamespace WHERE o.oid = r.rngsubopc
                AND NOT o.opcdefault),
             (SELECT format(E',\\n    collation = %I.%I', cn.nspname, co.collname)
              FROM pg_collation co JOIN pg_namespace cn ON cn.oid = co.collnamespace
              WHERE co.oid = r.rngcollation AND r.rngcollation <> st.typcollation),
             E',\\n    canonical = ' || nullif(r.rngcanonical, 0)::regproc,
             E',\\n    subtype_diff = ' || nullif(r.rngsubdiff, 0)::regproc) AS create
    FROM pg_range r JOIN pg_type t ON t.oid = r.rngtypid JOIN pg_namespace n ON n.oid = t.typnamespace
    JOIN pg_type st ON st.oid = r.rngsubtype WHERE {{user}}";

/// 14: typsubscript. An array type belongs to its element type; `_` names alone prove nothing, typarray does.
const BASES: &str = "
    SELECT t.oid::int8 AS oid, n.nspname AS namespace, t.typname AS name, pg_get_userbyid(t.typowner) AS owner,
           format('TYPE %I.%I', n.nspname, t.typname) AS reference, true AS shell,
           format(E'CREATE TYPE %I.%I (\\n    %s\\n);', n.nspname, t.typname, concat_ws(E',\\n    ',
             'INTERNALLENGTH = ' || CASE t.typlen WHEN -1 THEN 'variable' ELSE t.typlen::text END,
             'INPUT = ' || t.typinput, 'OUTPUT = ' || t.typoutput,
             'RECEIVE = ' || nullif(t.typreceive::oid, 0)::regproc, 'SEND = ' || nullif(t.typsend::oid, 0)::regproc,
             'TYPMOD_IN = ' || nullif(t.typmodin::oid, 0)::regproc, 'TYPMOD_OUT = ' || nullif(t.typmodout::oid,
               0)::regproc,
             'ANALYZE = ' || nullif(t.typanalyze::oid, 0)::regproc,
             {{14 ? 'SUBSCRIPT = ' || nullif(t.typsubscript::oid, 0)::regproc : NULL}},
             CASE WHEN t.typcollation <> 0 THEN 'COLLATABLE = true' END,
             'DEFAULT = ' || quote_literal(t.typdefault),
             'ELEMENT = ' || CASE WHEN t.typelem <> 0 THEN format_type(t.typelem, NULL) END,
             CASE WHEN t.typcategory <> 'U' THEN 'CATEGORY = ' || quote_literal(t.typcategory::text) END,
             CASE WHEN t.typispreferred THEN 'PREFERRED = true' END,
             CASE WHEN t.typdelim <> ',' THEN 'DELIMITER = ' || quote_literal(t.typdelim::text) END,
             CASE t.typalign WHEN 'c' THEN 'ALIGNMENT = char' WHEN 's' THEN 'ALIGNMENT = int2' WHEN 'i'
               THEN 'ALIGNMENT = int4' ELSE 'ALIGNMENT = double' END,
             CASE t.typstorage WHEN 'p' THEN 'STORAGE = plain' WHEN 'e' THEN 'STORAGE = external' WHEN 'x'
               THEN 'STORAGE = extended' ELSE 'STORAGE = main' END,
             CASE WHEN t.typbyval THEN 'PASSEDBYVALUE' END)) AS create
    FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
    WHERE {{user}} AND t.typtype = 'b' AND t.typisdefined AND NOT EXISTS (SELECT FROM pg_type e
      WHERE e.typarray = t.oid)";

/// 17: constraints for NOT NULL, with names.
const DOMAINS: &str = "
    SELECT t.oid::int8 AS oid, n.nspname AS namespace, t.typname AS name, pg_get_userbyid(t.typowner) AS owner,
           format('DOMAIN %I.%I', n.nspname, t.typname) AS reference,
           concat('CREATE ', format('DOMAIN %I.%I AS ', n.nspname, t.typname), format_type(t.typbasetype, t.typtypmod),
             CASE WHEN t.typcollation <> b.typcollation THEN (SELECT format(' COLLATE %I.%I', cn.nspname, co.collname)
               FROM pg_collation co JOIN pg_namespace cn ON cn.oid = co.collnamespace
                 WHERE co.oid = t.typcollation) END,
             {{17 ? (SELECT format(' CONSTRAINT %I NOT NULL', c.conname) FROM pg_constraint c
               WHERE c.contypid = t.oid AND c.contype = 'n') : CASE WHEN t.typnotnull THEN ' NOT NULL' END}},
             ' DEFAULT ' || coalesce(pg_get_expr(t.typdefaultbin, 'pg_type'::regclass),
               quote_literal(t.typdefault))) AS create
    FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace JOIN pg_type b ON b.oid = t.typbasetype
    WHERE {{user}} AND t.typtype = 'd'";

const DOMAIN_CHECKS: &str = "
    SELECT c.oid::int8 AS oid, c.contypid::int8 AS domain, c.conname AS name, quote_ident(c.conname) AS ident,
           format('%I.%I', n.nspname, t.typname) AS owner_ident, t.typname AS owner_name, c.convalidated AS validated,
           pg_get_constraintdef(c.oid) AS definition
    FROM pg_constraint c JOIN pg_type t ON t.oid = c.contypid JOIN pg_namespace n ON n.oid = t.typnamespace
    WHERE {{user}} AND c.contype = 'c' ORDER BY c.conname";

#[derive(Deserialize)]
struct Shelled {
    #[serde(flatten)]
    row: Row,
    shell: bool,
}

#[derive(Deserialize)]
struct Check {
    oid: u32,
    domain: u32,
    name: String,
    ident: String,
    owner_ident: String,
    owner_name: String,
    validated: bool,
    definition: String,
}

pub(super) async fn read(reader: &mut Reader<'_>, graph: &mut Graph) -> Result<(), Error> {
    plain::read(reader, graph, FAMILIES).await?;
    for (what, sql) in [("range types", RANGES), ("base types", BASES)] {
        for Shelled { mut row, shell } in reader.select::<Shelled>(what, sql).await? {
            let key = Key::new(class::TYPE, row.oid);
            let shell = shell.then(|| shell_of(&row));
            if shell.is_some() {
                // Its functions need the type as it needs them.
                row.drop = Some(format!("DROP {} CASCADE;\n", row.reference));
            }
            let Some(id) = plain::add(graph, class::TYPE, Kind::Type, "TYPE", row) else { continue };
            if let Some(shell) = shell {
                let shell = graph.add_extra(shell);
                graph.need(id, shell);
                graph.shells.insert(key, shell);
            }
        }
    }
    domains(reader, graph).await
}

/// The type as its own functions need it: known by name, and nothing more.
fn shell_of(row: &Row) -> Object {
    let mut shell = Object::new(Kind::Type, "SHELL TYPE", row.name.clone());
    shell.namespace = row.namespace.clone().unwrap_or_default();
    shell.owner = row.owner.clone().unwrap_or_default();
    shell.body = Body::Text(format!("CREATE {};", row.reference));
    shell
}

async fn domains(reader: &mut Reader<'_>, graph: &mut Graph) -> Result<(), Error> {
    let mut checks =
        group(reader.select::<Check>("constraints of domains", DOMAIN_CHECKS).await?, |check| check.domain);
    for row in reader.select::<Row>("domains", DOMAINS).await? {
        let (oid, head) = (row.oid, row.create.clone());
        let Some(domain) = plain::add(graph, class::TYPE, Kind::Type, "DOMAIN", row) else { continue };
        let mut items = Vec::new();
        for check in checks.remove(&oid).unwrap_or_default() {
            let mut object =
                Object::new(Kind::Constraint, "CHECK CONSTRAINT", format!("{} {}", check.owner_name, check.name));
            let constraint = format!("CONSTRAINT {} {}", check.ident, check.definition);
            object.body = Body::Text(format!("ALTER DOMAIN {}\n    ADD {constraint};", check.owner_ident));
            object.drop = format!("ALTER DOMAIN {} DROP CONSTRAINT {};\n", check.owner_ident, check.ident);
            // One that was added as NOT VALID can only be added so.
            if check.validated {
                object.part_of = Some((domain, constraint));
            } else {
                object.needs.insert(domain);
            }
            if let Some(whole) = graph.objects.get(domain) {
                object.namespace = whole.namespace.clone();
                object.owner = whole.owner.clone();
            }
            let key = Key::new(class::CONSTRAINT, check.oid);
            let id = graph.add(key, object);
            graph.refer(
                key,
                id,
                format!("CONSTRAINT {} ON DOMAIN {}", check.ident, check.owner_ident),
                format!("CONSTRAINT {} ON {}", check.name, check.owner_name),
            );
            items.push(Item::Part(id));
        }
        if let Some(object) = graph.objects.get_mut(domain) {
            object.body = Body::List { head, items, shape: Shape::Bare, tail: ";".to_owned() };
        }
    }
    Ok(())
}
