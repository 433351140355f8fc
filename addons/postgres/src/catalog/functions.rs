//! Functions and procedures.

use super::Error;
use super::object::{Graph, Kind, class};
use super::plain::{self, Row};
use super::reader::Reader;

/// The server writes functions itself, every attribute included; `OR REPLACE` would hide that one is there already.
/// 11: prokind; before it, proisagg. A function that an internal dependency ties to its range type comes with that.
const FUNCTIONS: &str = "
    SELECT p.oid::int8 AS oid, n.nspname AS namespace, pg_get_userbyid(p.proowner) AS owner,
           p.proname || '(' || coalesce((SELECT string_agg(format_type(t, NULL), ', ' ORDER BY i)
             FROM unnest(p.proargtypes) WITH ORDINALITY a(t, i)), '') || ')' AS name,
           format('%s %I.%I(%s)', {{11 ? CASE p.prokind WHEN 'p' THEN 'PROCEDURE' ELSE 'FUNCTION' END : 'FUNCTION'}},
             n.nspname, p.proname, pg_get_function_identity_arguments(p.oid)) AS reference,
           regexp_replace(rtrim(pg_get_functiondef(p.oid), E'\\n'), '^CREATE OR REPLACE', 'CREATE') || ';' AS create
    FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
    WHERE {{user}} AND {{11 ? p.prokind <> 'a' : NOT p.proisagg}}
      AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid
        AND d.deptype IN ('i', 'e'))";

pub(super) async fn read(reader: &mut Reader<'_>, graph: &mut Graph) -> Result<(), Error> {
    for row in reader.select::<Row>("functions", FUNCTIONS).await? {
        let desc = if row.reference.starts_with("PROCEDURE") { "PROCEDURE" } else { "FUNCTION" };
        plain::add(graph, class::PROC, Kind::Function, desc, row);
    }
    Ok(())
}
