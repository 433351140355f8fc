//! What acts on a table's rows after the data: triggers, rules, policies; and extended statistics.

use super::Error;
use super::object::{Body, Graph, Key, Kind, Object, class};
use super::plain::{self, Family, Row};
use super::reader::Reader;

const FAMILIES: &[Family] = &[
    Family { what: "triggers", class: class::TRIGGER, kind: Kind::Trigger, desc: "TRIGGER", since: 0, sql: TRIGGERS },
    Family { what: "rules", class: class::REWRITE, kind: Kind::Rule, desc: "RULE", since: 0, sql: RULES },
    Family { what: "policies", class: class::POLICY, kind: Kind::Policy, desc: "POLICY", since: 0, sql: POLICIES },
    Family {
        what: "extended statistics",
        class: class::STATISTIC_EXT,
        kind: Kind::Statistics,
        desc: "STATISTICS",
        since: 10,
        sql: STATISTICS,
    },
];

/// A partition's copy of its parent's trigger comes with the parent's; only a different state needs words. Such copies
/// are told by tgparentid from 13 on, by tgisinternal until 14.
const TRIGGERS: &str = "
    SELECT t.oid::int8 AS oid, n.nspname AS namespace, c.relname || ' ' || t.tgname AS name,
           pg_get_userbyid(c.relowner) AS owner,
           format('TRIGGER %I ON %I.%I', t.tgname, n.nspname, c.relname) AS reference,
           format('TRIGGER %s ON %s', t.tgname, c.relname) AS label,
           CASE WHEN copy THEN '' END AS drop,
           CASE WHEN copy THEN '' ELSE pg_get_triggerdef(t.oid) || ';' END ||
             CASE WHEN t.tgenabled = 'O' AND NOT copy THEN ''
                  ELSE format(E'\\n\\nALTER %sTABLE %I.%I %s TRIGGER %I;', CASE c.relkind WHEN 'f' THEN 'FOREIGN ' END,
                    n.nspname, c.relname,
                    CASE t.tgenabled WHEN 'O' THEN 'ENABLE' WHEN 'D' THEN 'DISABLE' WHEN 'R' THEN 'ENABLE REPLICA'
                      ELSE 'ENABLE ALWAYS' END, t.tgname) END AS create
    FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    {{13 ? LEFT JOIN pg_trigger p ON p.oid = t.tgparentid}}
    CROSS JOIN LATERAL (SELECT {{13 ? t.tgparentid <> 0 : false}} AS copy) k
    WHERE {{user}} AND CASE WHEN copy THEN {{13 ? t.tgenabled <> p.tgenabled : false}} ELSE NOT t.tgisinternal END
      AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.deptype = 'e' AND
        ((d.classid = 'pg_class'::regclass AND d.objid = c.oid
          AND d.objsubid = 0) OR (d.classid = 'pg_trigger'::regclass AND d.objid = t.oid)))";

const RULES: &str = "
    SELECT r.oid::int8 AS oid, n.nspname AS namespace, c.relname || ' ' || r.rulename AS name,
           pg_get_userbyid(c.relowner) AS owner,
           format('RULE %I ON %I.%I', r.rulename, n.nspname, c.relname) AS reference,
           format('RULE %s ON %s', r.rulename, c.relname) AS label,
           pg_get_ruledef(r.oid) || CASE r.ev_enabled WHEN 'O' THEN ''
             ELSE format(E'\\n\\nALTER TABLE %I.%I %s RULE %I;', n.nspname, c.relname,
             CASE r.ev_enabled WHEN 'D' THEN 'DISABLE' WHEN 'R' THEN 'ENABLE REPLICA' ELSE 'ENABLE ALWAYS' END,
               r.rulename) END AS create
    FROM pg_rewrite r JOIN pg_class c ON c.oid = r.ev_class JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE {{user}} AND r.rulename <> '_RETURN'
      AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid
        AND d.deptype = 'e')";

/// A table's second entry: its key and reference are the table's.
const ROW_SECURITY: &str = "
    SELECT c.oid::int8 AS oid, n.nspname AS namespace, c.relname AS name, pg_get_userbyid(c.relowner) AS owner,
           format('TABLE %I.%I', n.nspname, c.relname) AS reference,
           format('ALTER TABLE %I.%I ENABLE ROW LEVEL SECURITY;', n.nspname, c.relname) AS create
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE {{user}} AND c.relrowsecurity";

/// 10: polpermissive.
const POLICIES: &str = "
    SELECT p.oid::int8 AS oid, n.nspname AS namespace, c.relname || ' ' || p.polname AS name,
           pg_get_userbyid(c.relowner) AS owner,
           format('POLICY %I ON %I.%I', p.polname, n.nspname, c.relname) AS reference,
           format('POLICY %s ON %s', p.polname, c.relname) AS label,
           format('CREATE POLICY %I ON %I.%I%s%s%s%s%s;', p.polname, n.nspname, c.relname,
             {{10 ? CASE WHEN NOT p.polpermissive THEN ' AS RESTRICTIVE' END : ''}},
             CASE p.polcmd WHEN 'r' THEN ' FOR SELECT' WHEN 'a' THEN ' FOR INSERT' WHEN 'w' THEN ' FOR UPDATE' WHEN 'd'
               THEN ' FOR DELETE' END,
             CASE WHEN p.polroles <> '{0}' THEN (SELECT ' TO ' || string_agg(quote_ident(rolname),
               ', ' ORDER BY rolname)
               FROM pg_roles WHERE oid = ANY (p.polroles)) END,
             ' USING (' || pg_get_expr(p.polqual, p.polrelid) || ')', ' WITH CHECK (' || pg_get_expr(p.polwithcheck,
               p.polrelid) || ')') AS create
    FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid JOIN pg_namespace n ON n.oid = c.relnamespace
      WHERE {{user}}";

/// 13: stxstattarget; 17: NULL instead of -1 for the default.
const STATISTICS: &str = "
    SELECT s.oid::int8 AS oid, n.nspname AS namespace, s.stxname AS name, pg_get_userbyid(s.stxowner) AS owner,
           format('STATISTICS %I.%I', n.nspname, s.stxname) AS reference,
           pg_get_statisticsobjdef(s.oid) || ';' {{13 ? || CASE WHEN s.stxstattarget >= 0 THEN
             format(E'\\n\\nALTER STATISTICS %I.%I SET STATISTICS %s;', n.nspname, s.stxname,
               s.stxstattarget) ELSE '' END}} AS create
    FROM pg_statistic_ext s JOIN pg_namespace n ON n.oid = s.stxnamespace WHERE {{user}}";

pub(super) async fn read(reader: &mut Reader<'_>, graph: &mut Graph) -> Result<(), Error> {
    plain::read(reader, graph, FAMILIES).await?;
    for row in reader.select::<Row>("row security", ROW_SECURITY).await? {
        let Some(table) = graph.find(Key::new(class::CLASS, row.oid)) else { continue };
        let mut object = Object::new(Kind::Policy, "ROW SECURITY", row.name);
        object.namespace = row.namespace.unwrap_or_default();
        object.owner = row.owner.unwrap_or_default();
        object.body = Body::Text(row.create);
        object.needs.insert(table);
        graph.add_extra(object);
    }
    Ok(())
}
