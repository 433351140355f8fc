//! Text search: parsers, templates, dictionaries, configurations.

use super::object::{Kind, class};
use super::plain::Family;

pub(super) const FAMILIES: &[Family] = &[
    Family {
        what: "text search parsers",
        class: class::TS_PARSER,
        kind: Kind::TextSearchParser,
        desc: "TEXT SEARCH PARSER",
        since: 0,
        sql: PARSERS,
    },
    Family {
        what: "text search templates",
        class: class::TS_TEMPLATE,
        kind: Kind::TextSearchTemplate,
        desc: "TEXT SEARCH TEMPLATE",
        since: 0,
        sql: TEMPLATES,
    },
    Family {
        what: "text search dictionaries",
        class: class::TS_DICT,
        kind: Kind::TextSearchDictionary,
        desc: "TEXT SEARCH DICTIONARY",
        since: 0,
        sql: DICTIONARIES,
    },
    Family {
        what: "text search configurations",
        class: class::TS_CONFIG,
        kind: Kind::TextSearchConfiguration,
        desc: "TEXT SEARCH CONFIGURATION",
        since: 0,
        sql: CONFIGURATIONS,
    },
];

const PARSERS: &str = "
    SELECT p.oid::int8 AS oid, n.nspname AS namespace, p.prsname AS name,
           format('TEXT SEARCH PARSER %I.%I', n.nspname, p.prsname) AS reference,
           format(E'CREATE TEXT SEARCH PARSER %I.%I (\\n    START = %s,\\n    GETTOKEN = %s,\\n    END = %s,\\n    LEXTYPES = %s%s\\n);',
             n.nspname, p.prsname, p.prsstart, p.prstoken, p.prsend, p.prslextype,
             E',\\n    HEADLINE = ' || nullif(p.prsheadline::oid, 0)::regproc) AS create
    FROM pg_ts_parser p JOIN pg_namespace n ON n.oid = p.prsnamespace WHERE {{user}}";

const TEMPLATES: &str = "
    SELECT t.oid::int8 AS oid, n.nspname AS namespace, t.tmplname AS name,
           format('TEXT SEARCH TEMPLATE %I.%I', n.nspname, t.tmplname) AS reference,
           format(E'CREATE TEXT SEARCH TEMPLATE %I.%I (\\n    %sLEXIZE = %s\\n);', n.nspname, t.tmplname,
             'INIT = ' || nullif(t.tmplinit::oid, 0)::regproc || E',\\n    ', t.tmpllexize) AS create
    FROM pg_ts_template t JOIN pg_namespace n ON n.oid = t.tmplnamespace WHERE {{user}}";

/// `dictinitoption` is kept by the server as it is written in the statement.
const DICTIONARIES: &str = "
    SELECT d.oid::int8 AS oid, n.nspname AS namespace, d.dictname AS name, pg_get_userbyid(d.dictowner) AS owner,
           format('TEXT SEARCH DICTIONARY %I.%I', n.nspname, d.dictname) AS reference,
           format(E'CREATE TEXT SEARCH DICTIONARY %I.%I (\\n    TEMPLATE = %I.%I%s\\n);', n.nspname, d.dictname,
             tn.nspname, t.tmplname, E',\\n    ' || d.dictinitoption) AS create
    FROM pg_ts_dict d JOIN pg_namespace n ON n.oid = d.dictnamespace
    JOIN pg_ts_template t ON t.oid = d.dicttemplate JOIN pg_namespace tn ON tn.oid = t.tmplnamespace WHERE {{user}}";

const CONFIGURATIONS: &str = "
    SELECT c.oid::int8 AS oid, n.nspname AS namespace, c.cfgname AS name, pg_get_userbyid(c.cfgowner) AS owner,
           reference,
           format(E'CREATE %s (\\n    PARSER = %I.%I );', reference, pn.nspname, p.prsname) ||
           coalesce((SELECT string_agg(format(E'\\n\\nALTER %s\\n    ADD MAPPING FOR %I WITH %s;', reference, alias,
             dictionaries), '' ORDER BY maptokentype)
             FROM (SELECT m.maptokentype, tt.alias,
                     string_agg(format('%I.%I', dn.nspname, d.dictname), ', ' ORDER BY m.mapseqno) AS dictionaries
                   FROM pg_ts_config_map m JOIN pg_ts_dict d ON d.oid = m.mapdict
                     JOIN pg_namespace dn ON dn.oid = d.dictnamespace
                   JOIN ts_token_type(c.cfgparser) tt ON tt.tokid = m.maptokentype
                   WHERE m.mapcfg = c.oid GROUP BY m.maptokentype, tt.alias) maps), '') AS create
    FROM pg_ts_config c JOIN pg_namespace n ON n.oid = c.cfgnamespace
    JOIN pg_ts_parser p ON p.oid = c.cfgparser JOIN pg_namespace pn ON pn.oid = p.prsnamespace
    CROSS JOIN LATERAL (SELECT format('TEXT SEARCH CONFIGURATION %I.%I', n.nspname, c.cfgname) AS reference) r
      WHERE {{user}}";
