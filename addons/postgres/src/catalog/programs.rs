//! What has no or little inside: schemas, extensions, languages, access methods, foreign data wrappers and servers,
//! casts, collations, conversions, transforms, event triggers.

use super::object::{Kind, class};
use super::plain::Family;

pub(super) const FAMILIES: &[Family] = &[
    Family { what: "schemas", class: class::NAMESPACE, kind: Kind::Schema, desc: "SCHEMA", since: 0, sql: SCHEMAS },
    Family {
        what: "extensions",
        class: class::EXTENSION,
        kind: Kind::Extension,
        desc: "EXTENSION",
        since: 0,
        sql: EXTENSIONS,
    },
    Family {
        what: "languages",
        class: class::LANGUAGE,
        kind: Kind::Language,
        desc: "PROCEDURAL LANGUAGE",
        since: 0,
        sql: LANGUAGES,
    },
    Family {
        what: "access methods",
        class: class::AM,
        kind: Kind::AccessMethod,
        desc: "ACCESS METHOD",
        since: 0,
        sql: ACCESS_METHODS,
    },
    Family { what: "casts", class: class::CAST, kind: Kind::Cast, desc: "CAST", since: 0, sql: CASTS },
    Family {
        what: "collations",
        class: class::COLLATION,
        kind: Kind::Collation,
        desc: "COLLATION",
        since: 0,
        sql: COLLATIONS,
    },
    Family {
        what: "conversions",
        class: class::CONVERSION,
        kind: Kind::Conversion,
        desc: "CONVERSION",
        since: 0,
        sql: CONVERSIONS,
    },
    Family {
        what: "transforms",
        class: class::TRANSFORM,
        kind: Kind::Transform,
        desc: "TRANSFORM",
        since: 0,
        sql: TRANSFORMS,
    },
    Family {
        what: "foreign data wrappers",
        class: class::FOREIGN_DATA_WRAPPER,
        kind: Kind::ForeignDataWrapper,
        desc: "FOREIGN DATA WRAPPER",
        since: 0,
        sql: FOREIGN_DATA_WRAPPERS,
    },
    Family {
        what: "foreign servers",
        class: class::FOREIGN_SERVER,
        kind: Kind::ForeignServer,
        desc: "SERVER",
        since: 0,
        sql: FOREIGN_SERVERS,
    },
    Family {
        what: "user mappings",
        class: class::USER_MAPPING,
        kind: Kind::ForeignServer,
        desc: "USER MAPPING",
        since: 0,
        sql: USER_MAPPINGS,
    },
    Family {
        what: "event triggers",
        class: class::EVENT_TRIGGER,
        kind: Kind::EventTrigger,
        desc: "EVENT TRIGGER",
        since: 0,
        sql: EVENT_TRIGGERS,
    },
];

/// Every new database has `public`; only another owner than the default of version 15 on is worth an entry,
/// in which a comment stands for the statements: without a `drop`, a restore would not set the owner.
const SCHEMAS: &str = "
    SELECT n.oid::int8 AS oid, n.nspname AS name, pg_get_userbyid(n.nspowner) AS owner,
           'SCHEMA ' || quote_ident(n.nspname) AS reference,
           CASE n.nspname WHEN 'public' THEN E'-- *not* dropping schema, since initdb creates it\\n' END AS drop,
           CASE n.nspname WHEN 'public' THEN E'-- *not* creating schema, since initdb creates it\\n'
                ELSE format('CREATE SCHEMA %I;', n.nspname) END AS create
    FROM pg_namespace n
    WHERE {{user}} AND (n.nspname <> 'public' OR pg_get_userbyid(n.nspowner) <> 'pg_database_owner')";

/// Extensions with a system oid (plpgsql) are in every database.
const EXTENSIONS: &str = "
    SELECT e.oid::int8 AS oid, e.extname AS name, 'EXTENSION ' || quote_ident(e.extname) AS reference,
           format('CREATE EXTENSION IF NOT EXISTS %I WITH SCHEMA %I;', e.extname, n.nspname) AS create
    FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.oid >= 16384";

const LANGUAGES: &str = "
    SELECT l.oid::int8 AS oid, l.lanname AS name, pg_get_userbyid(l.lanowner) AS owner,
           'LANGUAGE ' || quote_ident(l.lanname) AS reference, 'LANGUAGE ' || l.lanname AS label,
           format('DROP PROCEDURAL LANGUAGE %I;', l.lanname) || E'\\n' AS drop,
           format('CREATE %sPROCEDURAL LANGUAGE %I HANDLER %s%s%s;', CASE WHEN l.lanpltrusted THEN 'TRUSTED ' END,
             l.lanname,
                  l.lanplcallfoid::regproc, ' INLINE ' || nullif(l.laninline, 0)::regproc,
                  ' VALIDATOR ' || nullif(l.lanvalidator, 0)::regproc) AS create
    FROM pg_language l WHERE l.lanispl AND l.oid >= 16384 AND l.lanplcallfoid <> 0";

const ACCESS_METHODS: &str = "
    SELECT a.oid::int8 AS oid, a.amname AS name, 'ACCESS METHOD ' || quote_ident(a.amname) AS reference,
           format('CREATE ACCESS METHOD %I TYPE %s HANDLER %s;', a.amname,
                  CASE a.amtype WHEN 't' THEN 'TABLE' ELSE 'INDEX' END, a.amhandler) AS create
    FROM pg_am a WHERE a.oid >= 16384";

/// A cast belongs to no schema; one that an internal dependency ties to its range type comes with that.
const CASTS: &str = "
    SELECT c.oid::int8 AS oid, reference, substr(reference, 6) AS name, reference AS label,
           'CREATE ' || reference ||
             CASE c.castmethod WHEN 'b' THEN ' WITHOUT FUNCTION' WHEN 'i' THEN ' WITH INOUT'
                  ELSE ' WITH FUNCTION ' || c.castfunc::regprocedure END ||
             CASE c.castcontext WHEN 'a' THEN ' AS ASSIGNMENT' WHEN 'i' THEN ' AS IMPLICIT' ELSE '' END || ';' AS create
    FROM pg_cast c
    CROSS JOIN LATERAL (SELECT format('CAST (%s AS %s)', format_type(c.castsource, NULL), format_type(c.casttarget,
      NULL)) AS reference) r
    WHERE c.oid >= 16384 AND NOT EXISTS (SELECT FROM pg_depend d
      WHERE d.classid = 'pg_cast'::regclass AND d.objid = c.oid AND d.deptype = 'i')";

/// 10: collprovider; 12: collisdeterministic; 15: colliculocale and NULL for absent; 16: collicurules; 17: builtin,
/// colllocale.
const COLLATIONS: &str = "
    SELECT c.oid::int8 AS oid, n.nspname AS namespace, c.collname AS name, pg_get_userbyid(c.collowner) AS owner,
           format('COLLATION %I.%I', n.nspname, c.collname) AS reference,
           format('CREATE COLLATION %I.%I (provider = %s%s%s%s);', n.nspname, c.collname,
             {{10 ? CASE c.collprovider WHEN 'i' THEN 'icu' WHEN 'b' THEN 'builtin' WHEN 'd' THEN 'default'
               ELSE 'libc' END : 'libc'}},
             {{12 ? CASE WHEN NOT c.collisdeterministic THEN ', deterministic = false' END : ''}},
             CASE WHEN l.locale IS NOT NULL THEN format(', locale = %L', l.locale)
                  WHEN c.collcollate = c.collctype THEN format(', locale = %L', c.collcollate)
                  ELSE format(', lc_collate = %L, lc_ctype = %L', c.collcollate, c.collctype) END,
             {{16 ? format(', rules = ' || quote_literal(c.collicurules)) : ''}}) AS create
    FROM pg_collation c JOIN pg_namespace n ON n.oid = c.collnamespace
    CROSS JOIN LATERAL (SELECT coalesce({{17 ? c.colllocale : NULL::text}},
      {{15-16 ? c.colliculocale : NULL::text}}) AS locale) l
    WHERE {{user}}";

const CONVERSIONS: &str = "
    SELECT c.oid::int8 AS oid, n.nspname AS namespace, c.conname AS name, pg_get_userbyid(c.conowner) AS owner,
           format('CONVERSION %I.%I', n.nspname, c.conname) AS reference,
           format('CREATE %sCONVERSION %I.%I FOR %L TO %L FROM %s;', CASE WHEN c.condefault THEN 'DEFAULT ' END,
             n.nspname, c.conname, pg_encoding_to_char(c.conforencoding), pg_encoding_to_char(c.contoencoding),
               c.conproc) AS create
    FROM pg_conversion c JOIN pg_namespace n ON n.oid = c.connamespace WHERE {{user}}";

const TRANSFORMS: &str = "
    SELECT t.oid::int8 AS oid, reference, substr(reference, 11) AS name, reference AS label,
           format('CREATE %s (%s);', reference, concat_ws(', ',
             'FROM SQL WITH FUNCTION ' || nullif(t.trffromsql, 0)::regprocedure,
             'TO SQL WITH FUNCTION ' || nullif(t.trftosql, 0)::regprocedure)) AS create
    FROM pg_transform t JOIN pg_language l ON l.oid = t.trflang
    CROSS JOIN LATERAL (SELECT format('TRANSFORM FOR %s LANGUAGE %I', format_type(t.trftype, NULL),
      l.lanname) AS reference) r
    WHERE t.oid >= 16384";

const FOREIGN_DATA_WRAPPERS: &str = "
    SELECT f.oid::int8 AS oid, f.fdwname AS name, pg_get_userbyid(f.fdwowner) AS owner,
           'FOREIGN DATA WRAPPER ' || quote_ident(f.fdwname) AS reference,
           format('CREATE FOREIGN DATA WRAPPER %I%s%s%s;', f.fdwname, ' HANDLER ' || nullif(f.fdwhandler, 0)::regproc,
             ' VALIDATOR ' || nullif(f.fdwvalidator, 0)::regproc,
             (SELECT ' OPTIONS (' || string_agg(format('%I %L', option_name, option_value), ', ') || ')'
              FROM pg_options_to_table(f.fdwoptions))) AS create
    FROM pg_foreign_data_wrapper f WHERE f.oid >= 16384";

const FOREIGN_SERVERS: &str = "
    SELECT s.oid::int8 AS oid, s.srvname AS name, pg_get_userbyid(s.srvowner) AS owner,
           'SERVER ' || quote_ident(s.srvname) AS reference,
           format('CREATE SERVER %I%s%s FOREIGN DATA WRAPPER %I%s;', s.srvname, ' TYPE ' || quote_literal(s.srvtype),
             ' VERSION ' || quote_literal(s.srvversion), f.fdwname,
             (SELECT ' OPTIONS (' || string_agg(format('%I %L', option_name, option_value), ', ') || ')'
              FROM pg_options_to_table(s.srvoptions))) AS create
    FROM pg_foreign_server s JOIN pg_foreign_data_wrapper f ON f.oid = s.srvfdw WHERE s.oid >= 16384";

/// Options of mappings may hold passwords; the view hides them from who may not see them.
const USER_MAPPINGS: &str = "
    SELECT m.umid::int8 AS oid, m.usename AS owner, format('%s SERVER %s', m.usename, m.srvname) AS name, reference,
           format('CREATE %s%s;', reference,
             (SELECT ' OPTIONS (' || string_agg(format('%I %L', option_name, option_value), ', ') || ')'
              FROM pg_options_to_table(m.umoptions))) AS create
    FROM pg_user_mappings m CROSS JOIN LATERAL (SELECT format('USER MAPPING FOR %s SERVER %I',
      CASE m.umuser WHEN 0 THEN 'PUBLIC' ELSE quote_ident(m.usename) END, m.srvname) AS reference) r
    WHERE m.umid >= 16384";

const EVENT_TRIGGERS: &str = "
    SELECT e.oid::int8 AS oid, e.evtname AS name, pg_get_userbyid(e.evtowner) AS owner,
           'EVENT TRIGGER ' || quote_ident(e.evtname) AS reference,
           format('CREATE EVENT TRIGGER %I ON %I%s EXECUTE {{11 ? FUNCTION : PROCEDURE}} %s();', e.evtname, e.evtevent,
             (SELECT ' WHEN TAG IN (' || string_agg(quote_literal(tag), ', ') || ')' FROM unnest(e.evttags) tag),
               e.evtfoid::regproc) ||
             CASE e.evtenabled WHEN 'O' THEN '' ELSE format(E'\\n\\nALTER EVENT TRIGGER %I %s;', e.evtname,
               CASE e.evtenabled WHEN 'D' THEN 'DISABLE' WHEN 'R' THEN 'ENABLE REPLICA'
                 ELSE 'ENABLE ALWAYS' END) END AS create
    FROM pg_event_trigger e WHERE e.oid >= 16384";
