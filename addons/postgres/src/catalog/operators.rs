//! Operators, operator families and operator classes.

use super::Error;
use super::object::{Graph, Kind, class};
use super::plain::{self, Family};
use super::reader::Reader;

const FAMILIES: &[Family] = &[
    Family {
        what: "operators",
        class: class::OPERATOR,
        kind: Kind::Operator,
        desc: "OPERATOR",
        since: 0,
        sql: OPERATORS,
    },
    Family {
        what: "operator classes",
        class: class::OPCLASS,
        kind: Kind::OperatorFamily,
        desc: "OPERATOR CLASS",
        since: 0,
        sql: CLASSES,
    },
    Family {
        what: "operator families",
        class: class::OPFAMILY,
        kind: Kind::OperatorFamily,
        desc: "OPERATOR FAMILY",
        since: 0,
        sql: OPFAMILIES,
    },
];

/// Operators with `oprcode = 0` are shells: made by the operator that names them. `regoperator` spells with types.
const OPERATORS: &str = "
    SELECT o.oid::int8 AS oid, n.nspname AS namespace, o.oprname AS name, pg_get_userbyid(o.oprowner) AS owner,
           format('OPERATOR %I.%s (%s, %s)', n.nspname, o.oprname, coalesce(format_type(nullif(o.oprleft, 0), NULL),
             'NONE'),
             coalesce(format_type(nullif(o.oprright, 0), NULL), 'NONE')) AS reference,
           format(E'CREATE OPERATOR %I.%s (\\n    %s\\n);', n.nspname, o.oprname, concat_ws(E',\\n    ',
             {{11 ? 'FUNCTION = ' : 'PROCEDURE = '}} || o.oprcode,
             'LEFTARG = ' || CASE WHEN o.oprleft <> 0 THEN format_type(o.oprleft, NULL) END,
             'RIGHTARG = ' || CASE WHEN o.oprright <> 0 THEN format_type(o.oprright, NULL) END,
             (SELECT format('COMMUTATOR = OPERATOR(%I.%s)', xn.nspname, x.oprname)
              FROM pg_operator x JOIN pg_namespace xn ON xn.oid = x.oprnamespace WHERE x.oid = o.oprcom),
             (SELECT format('NEGATOR = OPERATOR(%I.%s)', xn.nspname, x.oprname)
              FROM pg_operator x JOIN pg_namespace xn ON xn.oid = x.oprnamespace WHERE x.oid = o.oprnegate),
             CASE WHEN o.oprcanmerge THEN 'MERGES' END, CASE WHEN o.oprcanhash THEN 'HASHES' END,
             'RESTRICT = ' || nullif(o.oprrest::oid, 0)::regproc, 'JOIN = ' || nullif(o.oprjoin::oid,
               0)::regproc)) AS create
    FROM pg_operator o JOIN pg_namespace n ON n.oid = o.oprnamespace WHERE {{user}} AND o.oprcode <> 0";

/// Members that pg_depend ties to the class are made with it; the family's loose ones come with the family.
const CLASSES: &str = "
    SELECT c.oid::int8 AS oid, n.nspname AS namespace, c.opcname AS name, pg_get_userbyid(c.opcowner) AS owner,
           format('OPERATOR CLASS %I.%I USING %I', n.nspname, c.opcname, m.amname) AS reference,
           format(E'CREATE OPERATOR CLASS %I.%I\\n    %sFOR TYPE %s USING %I FAMILY %I.%I AS\\n    %s;', n.nspname,
             c.opcname,
             CASE WHEN c.opcdefault THEN 'DEFAULT ' END, format_type(c.opcintype, NULL), m.amname, fn.nspname,
               f.opfname,
             coalesce((SELECT string_agg(item, E',\\n    ' ORDER BY rank, item) FROM (
               SELECT 0 AS rank, 'STORAGE ' || format_type(c.opckeytype, NULL) AS item WHERE c.opckeytype <> 0
               UNION ALL
               SELECT 1, format('OPERATOR %s %s%s', o.amopstrategy, o.amopopr::regoperator,
                 (SELECT format(' FOR ORDER BY %I.%I', sn.nspname, s.opfname) FROM pg_opfamily s
                   JOIN pg_namespace sn ON sn.oid = s.opfnamespace WHERE s.oid = o.amopsortfamily))
               FROM pg_amop o JOIN pg_depend d ON d.classid = 'pg_amop'::regclass AND d.objid = o.oid
                 AND d.refclassid = 'pg_opclass'::regclass AND d.refobjid = c.oid
               UNION ALL
               SELECT 2, format('FUNCTION %s (%s, %s) %s', p.amprocnum, format_type(p.amproclefttype, NULL),
                      format_type(p.amprocrighttype, NULL), p.amproc::regprocedure)
               FROM pg_amproc p JOIN pg_depend d ON d.classid = 'pg_amproc'::regclass AND d.objid = p.oid
                 AND d.refclassid = 'pg_opclass'::regclass AND d.refobjid = c.oid) items),
             'STORAGE ' || format_type(c.opcintype, NULL))) AS create
    FROM pg_opclass c JOIN pg_namespace n ON n.oid = c.opcnamespace JOIN pg_am m ON m.oid = c.opcmethod
    JOIN pg_opfamily f ON f.oid = c.opcfamily JOIN pg_namespace fn ON fn.oid = f.opfnamespace WHERE {{user}}";

const OPFAMILIES: &str = "
    SELECT f.oid::int8 AS oid, n.nspname AS namespace, f.opfname AS name, pg_get_userbyid(f.opfowner) AS owner,
           format('OPERATOR FAMILY %I.%I USING %I', n.nspname, f.opfname, m.amname) AS reference,
           format('CREATE OPERATOR FAMILY %I.%I USING %I;', n.nspname, f.opfname, m.amname) ||
           coalesce((SELECT format(E'\\n\\nALTER OPERATOR FAMILY %I.%I USING %I ADD\\n    %s;', n.nspname, f.opfname,
             m.amname, string_agg(item, E',\\n    ')) FROM (
               SELECT format('OPERATOR %s %s%s', o.amopstrategy, o.amopopr::regoperator,
                 (SELECT format(' FOR ORDER BY %I.%I', sn.nspname, s.opfname) FROM pg_opfamily s
                   JOIN pg_namespace sn ON sn.oid = s.opfnamespace WHERE s.oid = o.amopsortfamily)) AS item
               FROM pg_amop o JOIN pg_depend d ON d.classid = 'pg_amop'::regclass AND d.objid = o.oid
                 AND d.refclassid = 'pg_opfamily'::regclass AND d.refobjid = f.oid
               UNION ALL
               SELECT format('FUNCTION %s (%s, %s) %s', p.amprocnum, format_type(p.amproclefttype, NULL),
                      format_type(p.amprocrighttype, NULL), p.amproc::regprocedure)
               FROM pg_amproc p JOIN pg_depend d ON d.classid = 'pg_amproc'::regclass AND d.objid = p.oid
                 AND d.refclassid = 'pg_opfamily'::regclass AND d.refobjid = f.oid) items HAVING count(*) > 0),
                   '') AS create
    FROM pg_opfamily f JOIN pg_namespace n ON n.oid = f.opfnamespace JOIN pg_am m ON m.oid = f.opfmethod
      WHERE {{user}}";

pub(super) async fn read(reader: &mut Reader<'_>, graph: &mut Graph) -> Result<(), Error> {
    plain::read(reader, graph, FAMILIES).await
}
