//! Indexes, their settings, and the attachment of partitions' indexes to their parent's.

use std::collections::HashMap;

use serde::Deserialize;

use super::Error;
use super::object::{Body, Graph, Id, Key, Kind, Object, class};
use super::reader::Reader;

/// All that are whole; an invalid one is left of a failed CREATE INDEX CONCURRENTLY, but on a partitioned table it only
/// lacks a partition. `statements` are those after the index exists. 11: indexes of partitioned tables and attstattarget
/// of index columns; 17: attstattarget is NULL for the default.
const INDEXES: &str = "
    SELECT c.oid::int8 AS oid, n.nspname AS namespace, c.relname AS name, pg_get_userbyid(r.relowner) AS owner,
           x.indrelid::int8 AS relation, ident, pg_get_indexdef(c.oid) || ';' AS create,
             x.indisprimary OR con.oid IS NOT NULL AS constrained,
           (SELECT spcname FROM pg_tablespace s WHERE s.oid = c.reltablespace) AS tablespace,
           concat(CASE WHEN x.indisclustered THEN format(E'\\n\\nALTER %s %s CLUSTER ON %I;', keyword, owner_ident,
             c.relname) END,
                  CASE WHEN x.indisreplident THEN format(E'\\n\\nALTER TABLE ONLY %s REPLICA IDENTITY USING INDEX %I;',
                    owner_ident, c.relname) END,
                  {{11 ? (SELECT string_agg(format(E'\\n\\nALTER INDEX %s ALTER COLUMN %s SET STATISTICS %s;', ident,
                    a.attnum, a.attstattarget), '' ORDER BY a.attnum)
                   FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attstattarget >= 0) : ''}}) AS statements,
           {{10 ? (SELECT i.inhparent::int8 FROM pg_inherits i WHERE i.inhrelid = c.oid) : NULL}} AS parent,
           {{10 ? (SELECT format('%I.%I', pn.nspname, p.relname) FROM pg_inherits i
             JOIN pg_class p ON p.oid = i.inhparent
                  JOIN pg_namespace pn ON pn.oid = p.relnamespace WHERE i.inhrelid = c.oid) : NULL}} AS parent_ident
    FROM pg_index x JOIN pg_class c ON c.oid = x.indexrelid JOIN pg_class r ON r.oid = x.indrelid
    JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_namespace rn ON rn.oid = r.relnamespace
    LEFT JOIN pg_constraint con ON con.conindid = c.oid AND con.conrelid = x.indrelid AND con.contype IN ('p', 'u', 'x')
    CROSS JOIN LATERAL (SELECT format('%I.%I', n.nspname, c.relname) AS ident, format('%I.%I', rn.nspname,
      r.relname) AS owner_ident,
      CASE r.relkind WHEN 'm' THEN 'MATERIALIZED VIEW' ELSE 'TABLE' END AS keyword) names
    WHERE {{user}} AND r.relpersistence <> 't' AND (x.indisvalid OR r.relkind = 'p') AND x.indisready
      AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = r.oid
        AND d.deptype = 'e')";

#[derive(Deserialize)]
struct Row {
    oid: u32,
    namespace: String,
    name: String,
    owner: String,
    relation: u32,
    ident: String,
    create: String,
    constrained: bool,
    tablespace: Option<String>,
    statements: String,
    parent: Option<u32>,
    parent_ident: Option<String>,
}

/// What constraints need to know about the indexes behind them.
#[derive(Default)]
pub(super) struct Attachments {
    settings: HashMap<u32, String>,
    /// Of every index that is a partition of another.
    attached: HashMap<u32, Attachment>,
    /// By the parent index.
    children: HashMap<u32, Vec<u32>>,
}

struct Attachment {
    parent: u32,
    /// The entry that attaches it.
    id: Id,
}

impl Attachments {
    /// Statements for after the index has been made by its constraint.
    pub fn settings(&self, index: u32) -> &str {
        self.settings.get(&index).map_or("", String::as_str)
    }

    pub fn is_attached(&self, index: u32) -> bool {
        self.attached.contains_key(&index)
    }

    /// Lets `id` wait until all below the index is attached.
    pub fn wait(&self, index: u32, id: Id, graph: &mut Graph) {
        let mut stack = vec![index];
        while let Some(parent) = stack.pop() {
            for child in self.children.get(&parent).into_iter().flatten() {
                if let Some(attachment) = self.attached.get(child) {
                    graph.need(id, attachment.id);
                }
                stack.push(*child);
            }
        }
    }

    /// To be called once every index and every key is in the graph.
    pub fn connect(&self, graph: &mut Graph) {
        for (child, attachment) in &self.attached {
            let ends = [*child, attachment.parent].map(|oid| graph.find(Key::new(class::CLASS, oid)));
            for needed in ends.into_iter().flatten() {
                graph.need(attachment.id, needed);
            }
            self.wait(*child, attachment.id, graph);
        }
    }
}

pub(super) async fn read(reader: &mut Reader<'_>, graph: &mut Graph) -> Result<Attachments, Error> {
    let mut attachments = Attachments::default();
    for row in reader.select::<Row>("indexes", INDEXES).await? {
        if let (Some(parent), Some(parent_ident)) = (row.parent, &row.parent_ident) {
            let mut object = Object::new(Kind::IndexAttach, "INDEX ATTACH", &row.name);
            object.namespace.clone_from(&row.namespace);
            object.owner.clone_from(&row.owner);
            object.body = Body::Text(format!("ALTER INDEX {parent_ident} ATTACH PARTITION {};", row.ident));
            let id = graph.add_extra(object);
            attachments.attached.insert(row.oid, Attachment { parent, id });
            attachments.children.entry(parent).or_default().push(row.oid);
        }
        if row.constrained {
            attachments.settings.insert(row.oid, row.statements.clone());
        } else {
            index(graph, &row);
        }
    }
    Ok(attachments)
}

fn index(graph: &mut Graph, row: &Row) {
    let key = Key::new(class::CLASS, row.oid);
    let mut object = Object::new(Kind::Index, "INDEX", &row.name);
    object.namespace.clone_from(&row.namespace);
    object.owner.clone_from(&row.owner);
    object.tablespace = row.tablespace.clone().unwrap_or_default();
    object.body = Body::Text(format!("{}{}", row.create, row.statements));
    // An attached one goes with its parent, and not without.
    if row.parent.is_none() {
        object.drop = format!("DROP INDEX {};\n", row.ident);
    }
    object.needs.extend(graph.find(Key::new(class::CLASS, row.relation)));
    let id = graph.add(key, object);
    graph.refer(key, id, format!("INDEX {}", row.ident), format!("INDEX {}", row.name));
}
