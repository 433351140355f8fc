//! pg_depend: what needs what, and what comes with an extension.

use serde::Deserialize;

use super::Error;
use super::object::{Graph, Key, class};
use super::reader::Reader;

/// Members of extensions: they are made by CREATE EXTENSION.
const MEMBERS: &str = "
    SELECT classid::int8 AS class, objid::int8 AS oid, refclassid::int8 AS needed_class, refobjid::int8 AS needed
    FROM pg_depend WHERE refclassid = 'pg_extension'::regclass AND deptype = 'e' AND objsubid = 0";

/// Only what users made needs anything that is dumped; public is the one schema with a system oid that counts.
const NEEDS: &str = "
    SELECT DISTINCT classid::int8 AS class, objid::int8 AS oid, refclassid::int8 AS needed_class,
           refobjid::int8 AS needed
    FROM pg_depend
    WHERE deptype NOT IN ('p', 'e') AND objid >= 16384
      AND (refobjid >= 16384 OR refclassid = 'pg_namespace'::regclass)
      AND (classid, objid) IS DISTINCT FROM (refclassid, refobjid)";

/// Types that come with another object: a row type with its relation (or a composite type's relation with the type),
/// an array type with its element type.
const TYPES: &str = "
    SELECT CASE WHEN c.relkind = 'c' THEN 'pg_class'::regclass ELSE 'pg_type'::regclass END::oid::int8 AS class,
           CASE WHEN c.relkind = 'c' THEN c.oid ELSE t.oid END::int8 AS oid,
           CASE WHEN c.relkind = 'c' THEN 'pg_type'::regclass ELSE 'pg_class'::regclass END::oid::int8 AS needed_class,
           CASE WHEN c.relkind = 'c' THEN t.oid ELSE c.oid END::int8 AS needed
    FROM pg_type t JOIN pg_class c ON c.oid = t.typrelid WHERE t.oid >= 16384
    UNION ALL
    SELECT 'pg_type'::regclass::oid::int8, a.oid::int8, 'pg_type'::regclass::oid::int8, t.oid::int8
    FROM pg_type t JOIN pg_type a ON a.oid = t.typarray WHERE t.oid >= 16384
    {{14 ? UNION ALL
    SELECT 'pg_type'::regclass::oid::int8, r.rngmultitypid::int8, 'pg_type'::regclass::oid::int8, r.rngtypid::int8
    FROM pg_range r WHERE r.rngtypid >= 16384}}";

/// Members of operator families, which are made by their class or family.
const OPERATOR_MEMBERS: &str = "
    SELECT 'pg_amop'::regclass::oid::int8 AS class, o.oid::int8 AS oid,
           d.refclassid::int8 AS needed_class, d.refobjid::int8 AS needed
    FROM pg_amop o JOIN pg_depend d ON d.classid = 'pg_amop'::regclass AND d.objid = o.oid
      AND d.refclassid IN ('pg_opclass'::regclass, 'pg_opfamily'::regclass) WHERE o.oid >= 16384
    UNION ALL
    SELECT 'pg_amproc'::regclass::oid::int8, p.oid::int8, d.refclassid::int8, d.refobjid::int8
    FROM pg_amproc p JOIN pg_depend d ON d.classid = 'pg_amproc'::regclass AND d.objid = p.oid
      AND d.refclassid IN ('pg_opclass'::regclass, 'pg_opfamily'::regclass) WHERE p.oid >= 16384";

#[derive(Deserialize)]
struct Row {
    class: u32,
    oid: u32,
    needed_class: u32,
    needed: u32,
}

pub(super) async fn read(reader: &mut Reader<'_>, graph: &mut Graph) -> Result<(), Error> {
    for sql in [TYPES, OPERATOR_MEMBERS] {
        for row in reader.select::<Row>("types", sql).await? {
            graph.set_alias(Key::new(row.class, row.oid), Key::new(row.needed_class, row.needed));
        }
    }
    for row in reader.select::<Row>("members of extensions", MEMBERS).await? {
        graph.add_member(Key::new(row.class, row.oid), Key::new(class::EXTENSION, row.needed));
    }
    for row in reader.select::<Row>("dependencies", NEEDS).await? {
        graph.depends.entry(Key::new(row.class, row.oid)).or_default().push(Key::new(row.needed_class, row.needed));
    }
    Ok(())
}
