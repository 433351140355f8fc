//! Aggregate functions.

use super::Error;
use super::object::{Graph, Kind, class};
use super::plain::{self, Family};
use super::reader::Reader;

const FAMILIES: &[Family] = &[Family {
    what: "aggregates",
    class: class::PROC,
    kind: Kind::Aggregate,
    desc: "AGGREGATE",
    since: 0,
    sql: AGGREGATES,
}];

/// A finalfunc_modify is only worth words where it is not the default of its aggregate's kind: read-only, but
/// read-write for ordered sets. 11: aggfinalmodify and aggmfinalmodify.
const AGGREGATES: &str = "
    SELECT p.oid::int8 AS oid, n.nspname AS namespace, pg_get_userbyid(p.proowner) AS owner, reference,
           p.proname || '(' || coalesce((SELECT string_agg(format_type(t, NULL), ', ' ORDER BY i)
             FROM unnest(p.proargtypes) WITH ORDINALITY x(t, i)), '*') || ')' AS name,
           format(E'CREATE %s (\\n    %s\\n);', reference, concat_ws(E',\\n    ',
             'SFUNC = ' || a.aggtransfn, 'STYPE = ' || format_type(a.aggtranstype, NULL),
             CASE WHEN a.aggtransspace <> 0 THEN 'SSPACE = ' || a.aggtransspace END,
             'INITCOND = ' || quote_literal(a.agginitval),
             'FINALFUNC = ' || nullif(a.aggfinalfn::oid, 0)::regproc,
             CASE WHEN a.aggfinalextra THEN 'FINALFUNC_EXTRA' END,
             {{11 ? CASE WHEN a.aggfinalmodify <> m.usual THEN 'FINALFUNC_MODIFY = ' ||
               CASE a.aggfinalmodify WHEN 'r' THEN 'READ_ONLY' WHEN 's' THEN 'SHAREABLE'
                 ELSE 'READ_WRITE' END END : NULL}},
             'COMBINEFUNC = ' || nullif(a.aggcombinefn::oid, 0)::regproc,
             'SERIALFUNC = ' || nullif(a.aggserialfn::oid, 0)::regproc,
             'DESERIALFUNC = ' || nullif(a.aggdeserialfn::oid, 0)::regproc,
             'MSFUNC = ' || nullif(a.aggmtransfn::oid, 0)::regproc,
             'MINVFUNC = ' || nullif(a.aggminvtransfn::oid, 0)::regproc,
             'MSTYPE = ' || CASE WHEN a.aggmtranstype <> 0 THEN format_type(a.aggmtranstype, NULL) END,
             CASE WHEN a.aggmtransspace <> 0 THEN 'MSSPACE = ' || a.aggmtransspace END,
             'MINITCOND = ' || quote_literal(a.aggminitval),
             'MFINALFUNC = ' || nullif(a.aggmfinalfn::oid, 0)::regproc,
             CASE WHEN a.aggmfinalextra THEN 'MFINALFUNC_EXTRA' END,
             {{11 ? CASE WHEN a.aggmtransfn::oid <> 0 AND a.aggmfinalmodify <> m.usual THEN 'MFINALFUNC_MODIFY = ' ||
               CASE a.aggmfinalmodify WHEN 'r' THEN 'READ_ONLY' WHEN 's' THEN 'SHAREABLE'
                 ELSE 'READ_WRITE' END END : NULL}},
             (SELECT format('SORTOP = OPERATOR(%I.%s)', on_.nspname, o.oprname)
              FROM pg_operator o JOIN pg_namespace on_ ON on_.oid = o.oprnamespace WHERE o.oid = a.aggsortop),
             CASE p.proparallel WHEN 's' THEN 'PARALLEL = safe' WHEN 'r' THEN 'PARALLEL = restricted' END,
             CASE a.aggkind WHEN 'h' THEN 'HYPOTHETICAL' END)) AS create
    FROM pg_aggregate a JOIN pg_proc p ON p.oid = a.aggfnoid JOIN pg_namespace n ON n.oid = p.pronamespace
    CROSS JOIN LATERAL (SELECT CASE a.aggkind WHEN 'n' THEN 'r' ELSE 'w' END AS usual) m
    CROSS JOIN LATERAL (SELECT format('AGGREGATE %I.%I(%s)', n.nspname, p.proname,
      CASE WHEN p.pronargs = 0 THEN '*' ELSE pg_get_function_identity_arguments(p.oid) END) AS reference) r
    WHERE {{user}}";

pub(super) async fn read(reader: &mut Reader<'_>, graph: &mut Graph) -> Result<(), Error> {
    plain::read(reader, graph, FAMILIES).await
}
