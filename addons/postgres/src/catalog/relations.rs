//! Which tables, views and foreign tables there are, with what pg_class says about them; and their locks.

use serde::Deserialize;

use super::Error;
use super::reader::Reader;

#[derive(Deserialize)]
pub(super) struct Relation {
    pub oid: u32,
    pub namespace: String,
    pub name: String,
    /// Qualified and quoted.
    pub ident: String,
    /// pg_class.relkind: r table, p partitioned table, f foreign table, v view, m materialized view.
    pub relkind: String,
    pub owner: String,
    pub unlogged: bool,
    pub of_type: Option<String>,
    pub tablespace: Option<String>,
    pub access_method: Option<String>,
    /// Reloptions, those of the TOAST table included, as between the parentheses of WITH.
    pub options: Option<String>,
    /// d default, n nothing, f full, i index.
    pub replica_identity: String,
    pub force_row_security: bool,
    pub partition_key: Option<String>,
    /// Set for partitions only.
    pub bound: Option<String>,
    /// In order of inheritance; of a partition, its parent.
    pub parents: Vec<String>,
    pub parent_oids: Vec<u32>,
    pub populated: bool,
    /// `SERVER s OPTIONS (…)` of a foreign table.
    pub server: Option<String>,
    pub estimated_bytes: u64,
}

impl Relation {
    pub fn is_table(&self) -> bool {
        matches!(self.relkind.as_str(), "r" | "p" | "f")
    }

    pub fn is_partition(&self) -> bool {
        self.bound.is_some()
    }

    /// The keyword for DDL, which is also the entry's desc.
    pub fn keyword(&self) -> &'static str {
        match self.relkind.as_str() {
            "v" => "VIEW",
            "m" => "MATERIALIZED VIEW",
            "f" => "FOREIGN TABLE",
            _ => "TABLE",
        }
    }
}

/// 10: partitions. 12: table access methods, OIDS gone. 17: access methods of partitioned tables.
/// The split at the first `=` keeps values like `gin_pending_list_limit=…` and option values with `=` whole.
const RELATIONS: &str = "
    SELECT c.oid::int8 AS oid, n.nspname AS namespace, c.relname AS name, format('%I.%I', n.nspname,
           c.relname) AS ident,
           c.relkind, pg_get_userbyid(c.relowner) AS owner, c.relpersistence = 'u' AS unlogged,
           CASE WHEN c.reloftype <> 0 THEN format_type(c.reloftype, NULL) END AS of_type,
           (SELECT spcname FROM pg_tablespace s WHERE s.oid = c.reltablespace) AS tablespace,
           {{12 ? (SELECT amname FROM pg_am m WHERE m.oid = c.relam) : NULL}} AS access_method,
           (SELECT string_agg(format('%s%I=%L', prefix, left(o, strpos(o, '=') - 1), substr(o, strpos(o, '=') + 1)),
             ', ')
            FROM (SELECT '' AS prefix, unnest(c.reloptions) AS o
                  UNION ALL SELECT 'toast.', unnest(t.reloptions) FROM pg_class t
                    WHERE t.oid = c.reltoastrelid) options) AS options,
           c.relreplident AS replica_identity, c.relforcerowsecurity AS force_row_security,
           {{10 ? CASE WHEN c.relkind = 'p' THEN pg_get_partkeydef(c.oid) END : NULL}} AS partition_key,
           {{10 ? pg_get_expr(c.relpartbound, c.oid) : NULL}} AS bound,
           ARRAY(SELECT format('%I.%I', pn.nspname, p.relname) FROM pg_inherits i JOIN pg_class p ON p.oid = i.inhparent
                 JOIN pg_namespace pn ON pn.oid = p.relnamespace WHERE i.inhrelid = c.oid
                   ORDER BY i.inhseqno) AS parents,
           ARRAY(SELECT i.inhparent::int8 FROM pg_inherits i WHERE i.inhrelid = c.oid
             ORDER BY i.inhseqno) AS parent_oids,
           c.relispopulated AS populated,
           (SELECT format('SERVER %I', s.srvname) || coalesce((SELECT ' OPTIONS (' || string_agg(format('%I %L',
             option_name, option_value), ', ') || ')'
                     FROM pg_options_to_table(f.ftoptions)), '')
            FROM pg_foreign_table f JOIN pg_foreign_server s ON s.oid = f.ftserver WHERE f.ftrelid = c.oid) AS server,
           greatest(c.relpages, 0)::int8 * current_setting('block_size')::int8 AS estimated_bytes
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE {{user}} AND c.relkind IN ('r', 'p', 'f', 'v', 'm') AND c.relpersistence <> 't'
      AND NOT EXISTS (SELECT FROM pg_depend d
        WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.objsubid = 0 AND d.deptype = 'e')
    ORDER BY n.nspname, c.relname";

pub(super) async fn read(reader: &mut Reader<'_>) -> Result<Vec<Relation>, Error> {
    reader.select("tables", RELATIONS).await
}

/// A statement longer than this is split; names are short, so a batch is some thousand tables.
const LOCK_BATCH_BYTES: usize = 256 * 1024;

/// Keeps the tables from being altered or dropped while they are dumped. Waits for whoever alters one now, as long as
/// the session's lock_timeout allows.
pub(super) async fn lock(reader: &mut Reader<'_>, relations: &[Relation]) -> Result<(), Error> {
    let mut batch = String::new();
    for relation in relations.iter().filter(|relation| matches!(relation.relkind.as_str(), "r" | "p")) {
        batch.push_str(if batch.is_empty() { "LOCK TABLE ONLY " } else { ", ONLY " });
        batch.push_str(&relation.ident);
        if batch.len() > LOCK_BATCH_BYTES {
            reader.execute("lock the tables", &format!("{batch} IN ACCESS SHARE MODE")).await?;
            batch.clear();
        }
    }
    if !batch.is_empty() {
        reader.execute("lock the tables", &format!("{batch} IN ACCESS SHARE MODE")).await?;
    }
    Ok(())
}
