//! What is in the catalogs but not in the dump. Nothing may vanish in silence: every row that a user made is looked up
//! in the graph, and what is not there is reported with its kind and name.

use serde::Deserialize;

use super::Error;
use super::object::{Graph, Key};
use super::reader::Reader;

/// Every user-made row of every catalog with objects of a database, except what cannot but come with another: copies
/// of a parent's constraints and triggers on partitions and children, what belongs to an extension's table, what is
/// temporary, operators that are only named by others, and indexes that a failed build left invalid. 10: partitions,
/// publications, extended statistics. 11: conparentid, prokind. 13: tgparentid. 15: published schemas. 18: constraints
/// for NOT NULL, which their columns say.
const ROWS: &str = "
    SELECT 'pg_namespace'::regclass AS class, oid FROM pg_namespace WHERE nspname NOT LIKE 'pg\\_t%'
    UNION ALL SELECT 'pg_class'::regclass, c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
      LEFT JOIN pg_index x ON x.indexrelid = c.oid
      WHERE c.relkind NOT IN ('t') AND {{user}} AND c.relpersistence <> 't'
        AND (x.indisvalid IS NOT FALSE OR c.relkind = 'I')
        AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = x.indrelid
          AND d.deptype = 'e')
    UNION ALL SELECT 'pg_type'::regclass, t.oid FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
      WHERE {{user}}
      AND NOT EXISTS (SELECT FROM pg_class c WHERE c.reltype = t.oid AND c.relpersistence = 't')
    UNION ALL SELECT 'pg_proc'::regclass, p.oid FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
      WHERE {{user}}
      AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid
        AND d.deptype = 'i')
    UNION ALL SELECT 'pg_operator'::regclass, o.oid FROM pg_operator o JOIN pg_namespace n ON n.oid = o.oprnamespace
      WHERE {{user}} AND o.oprcode <> 0
    UNION ALL SELECT 'pg_opclass'::regclass, oid FROM pg_opclass
    UNION ALL SELECT 'pg_opfamily'::regclass, oid FROM pg_opfamily
    UNION ALL SELECT 'pg_am'::regclass, oid FROM pg_am
    UNION ALL SELECT 'pg_cast'::regclass, c.oid FROM pg_cast c
      WHERE NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_cast'::regclass AND d.objid = c.oid
        AND d.deptype = 'i')
    UNION ALL SELECT 'pg_collation'::regclass, oid FROM pg_collation
    UNION ALL SELECT 'pg_conversion'::regclass, oid FROM pg_conversion
    UNION ALL SELECT 'pg_language'::regclass, oid FROM pg_language
    UNION ALL SELECT 'pg_transform'::regclass, oid FROM pg_transform
    UNION ALL SELECT 'pg_ts_parser'::regclass, oid FROM pg_ts_parser
    UNION ALL SELECT 'pg_ts_template'::regclass, oid FROM pg_ts_template
    UNION ALL SELECT 'pg_ts_dict'::regclass, oid FROM pg_ts_dict
    UNION ALL SELECT 'pg_ts_config'::regclass, oid FROM pg_ts_config
    UNION ALL SELECT 'pg_foreign_data_wrapper'::regclass, oid FROM pg_foreign_data_wrapper
    UNION ALL SELECT 'pg_foreign_server'::regclass, oid FROM pg_foreign_server
    UNION ALL SELECT 'pg_user_mapping'::regclass, umid FROM pg_user_mappings
    UNION ALL SELECT 'pg_extension'::regclass, oid FROM pg_extension
    UNION ALL SELECT 'pg_event_trigger'::regclass, oid FROM pg_event_trigger
    UNION ALL SELECT 'pg_default_acl'::regclass, oid FROM pg_default_acl
    UNION ALL SELECT 'pg_policy'::regclass, oid FROM pg_policy
    UNION ALL SELECT 'pg_attrdef'::regclass, d.oid FROM pg_attrdef d JOIN pg_class c ON c.oid = d.adrelid
      JOIN pg_attribute a ON a.attrelid = d.adrelid AND a.attnum = d.adnum
      WHERE c.relpersistence <> 't' {{12 ? AND NOT (a.attgenerated <> '' AND NOT a.attislocal)}}
        AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = 'pg_class'::regclass AND e.objid = c.oid
          AND e.deptype = 'e')
    UNION ALL SELECT 'pg_rewrite'::regclass, r.oid FROM pg_rewrite r JOIN pg_class c ON c.oid = r.ev_class
      WHERE c.relpersistence <> 't'
      AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = 'pg_class'::regclass AND e.objid = c.oid
        AND e.deptype = 'e')
    UNION ALL SELECT 'pg_constraint'::regclass, k.oid FROM pg_constraint k LEFT JOIN pg_class c ON c.oid = k.conrelid
      WHERE (c.oid IS NULL OR c.relpersistence <> 't') AND k.contype NOT IN ('t', 'n')
        AND NOT (k.contype = 'c' AND k.conrelid <> 0 AND NOT k.conislocal) {{11 ? AND NOT (k.contype = 'f'
          AND k.conparentid <> 0)}}
        AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.deptype = 'e' AND
          ((e.classid = 'pg_class'::regclass AND e.objid = k.conrelid) OR (e.classid = 'pg_type'::regclass
            AND e.objid = k.contypid)))
    UNION ALL SELECT 'pg_trigger'::regclass, t.oid FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
      WHERE NOT t.tgisinternal AND c.relpersistence <> 't' {{13 ? AND t.tgparentid = 0}}
        AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = 'pg_class'::regclass AND e.objid = c.oid
          AND e.deptype = 'e')
    {{10 ? UNION ALL SELECT 'pg_statistic_ext'::regclass, oid FROM pg_statistic_ext
    UNION ALL SELECT 'pg_publication'::regclass, oid FROM pg_publication
    UNION ALL SELECT 'pg_publication_rel'::regclass, oid FROM pg_publication_rel}}
    {{15 ? UNION ALL SELECT 'pg_publication_namespace'::regclass, oid FROM pg_publication_namespace}}";

#[derive(Deserialize)]
struct Row {
    class: u32,
    oid: u32,
}

#[derive(Deserialize)]
struct Named {
    kind: String,
    name: String,
}

/// Kinds that are never dumped, and states of dumped ones that are lost.
const NEVER: &[(u32, &str, &str)] = &[
    // One line for all: there can be millions.
    (
        0,
        "large objects",
        "SELECT 'large objects' AS kind, count(*) || ' of them' AS name FROM pg_largeobject_metadata HAVING count(*) > 0",
    ),
    (
        10,
        "subscriptions",
        "SELECT 'subscription' AS kind, subname AS name FROM pg_subscription
      WHERE subdbid = (SELECT oid FROM pg_database WHERE datname = current_database())",
    ),
    (
        14,
        "partitions being detached",
        "SELECT 'pending detachment of a partition' AS kind, inhrelid::regclass::text AS name
      FROM pg_inherits WHERE inhdetachpending",
    ),
];

/// Until 12 a table could have hidden oids.
const OIDS: &str = "
    SELECT 'oids of a table' AS kind, c.oid::regclass::text AS name FROM pg_class c
           JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE {{user}} AND c.relkind = 'r' AND c.relhasoids";

/// Names asked for in one statement.
const BATCH: usize = 500;

pub(super) async fn read(reader: &mut Reader<'_>, graph: &mut Graph) -> Result<(), Error> {
    let sql = format!("SELECT class::oid::int8 AS class, oid::int8 AS oid FROM ({ROWS}) r WHERE oid >= 16384");
    let missing: Vec<String> = reader
        .select::<Row>("all objects", &sql)
        .await?
        .into_iter()
        .filter(|row| graph.find(Key::new(row.class, row.oid)).is_none())
        .map(|row| format!("({}, {})", row.class, row.oid))
        .collect();
    for batch in missing.chunks(BATCH) {
        let sql = format!(
            "SELECT o.type AS kind, coalesce(o.identity, m.oid::text) AS name
             FROM (VALUES {}) m(class, oid) CROSS JOIN LATERAL pg_identify_object(m.class::oid, m.oid::oid, 0) o",
            batch.join(", ")
        );
        report(reader, graph, "objects that are not dumped", &sql).await?;
    }
    for (since, what, sql) in NEVER {
        if reader.version >= *since {
            report(reader, graph, what, sql).await?;
        }
    }
    if reader.version < 12 {
        report(reader, graph, "tables with oids", OIDS).await?;
    }
    Ok(())
}

async fn report(reader: &mut Reader<'_>, graph: &mut Graph, what: &'static str, sql: &str) -> Result<(), Error> {
    for row in reader.select::<Named>(what, sql).await? {
        graph.report(&row.kind, row.name);
    }
    Ok(())
}
