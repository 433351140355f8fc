//! Publications and what they publish.

use super::object::{Kind, class};
use super::plain::Family;

pub(super) const FAMILIES: &[Family] = &[
    Family {
        what: "publications",
        class: class::PUBLICATION,
        kind: Kind::Publication,
        desc: "PUBLICATION",
        since: 10,
        sql: PUBLICATIONS,
    },
    Family {
        what: "published tables",
        class: class::PUBLICATION_REL,
        kind: Kind::PublicationMember,
        desc: "PUBLICATION TABLE",
        since: 10,
        sql: TABLES,
    },
    Family {
        what: "published schemas",
        class: class::PUBLICATION_NAMESPACE,
        kind: Kind::PublicationMember,
        desc: "PUBLICATION TABLES IN SCHEMA",
        since: 15,
        sql: SCHEMAS,
    },
];

/// 11: pubtruncate. 13: pubviaroot. 18: pubgencols.
const PUBLICATIONS: &str = "
    SELECT p.oid::int8 AS oid, p.pubname AS name, pg_get_userbyid(p.pubowner) AS owner,
           'PUBLICATION ' || quote_ident(p.pubname) AS reference,
           format('CREATE PUBLICATION %I%s WITH (publish = %L%s);', p.pubname,
             CASE WHEN p.puballtables THEN ' FOR ALL TABLES' END,
             concat_ws(', ', CASE WHEN p.pubinsert THEN 'insert' END, CASE WHEN p.pubupdate THEN 'update' END,
               CASE WHEN p.pubdelete THEN 'delete' END{{11 ? , CASE WHEN p.pubtruncate THEN 'truncate' END}}),
             concat({{13 ? CASE WHEN p.pubviaroot THEN ', publish_via_partition_root = true' END, }}
                    {{18 ? CASE WHEN p.pubgencols = 's' THEN ', publish_generated_columns = stored' END,
                      }} '')) AS create
    FROM pg_publication p WHERE p.oid >= 16384";

/// 15: row filters and column lists.
const TABLES: &str = "
    SELECT r.oid::int8 AS oid, n.nspname AS namespace, p.pubname || ' ' || c.relname AS name,
           pg_get_userbyid(p.pubowner) AS owner,
           '' AS reference, '' AS drop,
           format('ALTER PUBLICATION %I ADD TABLE ONLY %I.%I%s%s;', p.pubname, n.nspname, c.relname,
             {{15 ? (SELECT ' (' || string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum) || ')'
                     FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum = ANY (r.prattrs)) : ''}},
             {{15 ? ' WHERE (' || pg_get_expr(r.prqual, r.prrelid) || ')' : ''}}) AS create
    FROM pg_publication_rel r JOIN pg_publication p ON p.oid = r.prpubid
    JOIN pg_class c ON c.oid = r.prrelid JOIN pg_namespace n ON n.oid = c.relnamespace";

const SCHEMAS: &str = "
    SELECT r.oid::int8 AS oid, n.nspname AS namespace, p.pubname || ' ' || n.nspname AS name,
           pg_get_userbyid(p.pubowner) AS owner,
           '' AS reference, '' AS drop,
           format('ALTER PUBLICATION %I ADD TABLES IN SCHEMA %I;', p.pubname, n.nspname) AS create
    FROM pg_publication_namespace r JOIN pg_publication p ON p.oid = r.pnpubid
      JOIN pg_namespace n ON n.oid = r.pnnspid";
