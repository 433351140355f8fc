//! Constraints: checks in or after their table, keys and exclusions, foreign keys.

use std::collections::HashMap;

use serde::Deserialize;

use super::Error;
use super::indexes::Attachments;
use super::object::{Body, Graph, Id, Item, Key, Kind, Object, class};
use super::reader::{Reader, group};
use super::relations::Relation;

/// A check constraint of a table. Inherited ones come from the parent, except those of a partition, which is made
/// alone and finds its parent's on being attached.
const CHECKS: &str = "
    SELECT c.oid::int8 AS oid, c.conrelid::int8 AS relation, c.conname AS name, quote_ident(c.conname) AS ident,
           c.convalidated AS validated, pg_get_constraintdef(c.oid) AS definition
    FROM pg_constraint c JOIN pg_class r ON r.oid = c.conrelid JOIN pg_namespace n ON n.oid = r.relnamespace
    WHERE {{user}} AND c.contype = 'c' AND (c.conislocal {{10 ? OR r.relispartition}}) ORDER BY c.conname";

#[derive(Deserialize)]
pub(super) struct Check {
    oid: u32,
    relation: u32,
    name: String,
    ident: String,
    validated: bool,
    definition: String,
}

pub(super) async fn checks(reader: &mut Reader<'_>) -> Result<HashMap<u32, Vec<Check>>, Error> {
    Ok(group(reader.select("check constraints", CHECKS).await?, |check: &Check| check.relation))
}

impl Check {
    /// Adds the constraint; as a part of its table unless it holds for new rows only, which CREATE TABLE cannot say.
    pub fn add(&self, graph: &mut Graph, relation: &Relation, table: Id) -> Option<Item> {
        let mut object = Object::new(Kind::Constraint, "CHECK CONSTRAINT", format!("{} {}", relation.name, self.name));
        object.namespace = relation.namespace.clone();
        object.owner = relation.owner.clone();
        let constraint = format!("CONSTRAINT {} {}", self.ident, self.definition);
        let keyword = relation.keyword();
        // Not ONLY: it is to reach the children.
        object.body = Body::Text(format!("ALTER {keyword} {}\n    ADD {constraint};", relation.ident));
        object.drop = format!("ALTER {keyword} {} DROP CONSTRAINT {};\n", relation.ident, self.ident);
        object.needs.insert(table);
        if self.validated {
            object.needs.clear();
            object.part_of = Some((table, constraint));
        }
        let key = Key::new(class::CONSTRAINT, self.oid);
        let id = graph.add(key, object);
        let label = format!("CONSTRAINT {} ON {}", self.name, relation.name);
        graph.refer(key, id, format!("CONSTRAINT {} ON {}", self.ident, relation.ident), label);
        self.validated.then_some(Item::Part(id))
    }
}

/// Keys, exclusion constraints and foreign keys; a partition's copy of its parent's foreign key is made by the parent's.
/// pg_get_constraintdef leaves out the storage options of a key's index: they go before what follows the columns.
/// 11: conparentid, keys on partitioned tables. 18: NOT NULL that does not hold for old rows.
const CONSTRAINTS: &str = "
    SELECT c.oid::int8 AS oid, n.nspname AS namespace, r.relname AS relation, c.conname AS name, c.contype, ident,
           pg_get_userbyid(r.relowner) AS owner, quote_ident(c.conname) AS constraint,
           c.conindid::int8 AS index, (SELECT spcname FROM pg_tablespace s WHERE s.oid = i.reltablespace) AS tablespace,
           CASE WHEN c.contype = 'n' OR (c.contype = 'f' AND r.relkind = 'p') THEN '' ELSE 'ONLY ' END AS only,
           CASE WHEN i.oid IS NOT NULL THEN format('%I.%I', n.nspname, i.relname) END AS index_ident, i.relname AS index_name,
           CASE WHEN c.contype IN ('p', 'u') AND i.reloptions IS NOT NULL THEN
             left(definition, length(definition) - length(suffix)) || (SELECT format(' WITH (%s)', string_agg(
                format('%I=%L', left(o, strpos(o, '=') - 1), substr(o, strpos(o, '=') + 1)), ', '))
                  FROM unnest(i.reloptions) o) || suffix
             ELSE definition END AS definition
    FROM pg_constraint c JOIN pg_class r ON r.oid = c.conrelid JOIN pg_namespace n ON n.oid = r.relnamespace
    LEFT JOIN pg_class i ON i.oid = c.conindid
    CROSS JOIN LATERAL (SELECT pg_get_constraintdef(c.oid) AS definition, format('%I.%I', n.nspname,
      r.relname) AS ident,
      CASE WHEN c.condeferrable THEN ' DEFERRABLE' ELSE '' END || CASE WHEN c.condeferred THEN ' INITIALLY DEFERRED'
        ELSE '' END AS suffix) d
    WHERE {{user}} AND (c.contype IN ('p', 'u', 'x', 'f') {{18 ? OR (c.contype = 'n' AND NOT c.convalidated)}})
      {{11 ? AND (c.contype <> 'f' OR c.conparentid = 0)}}
      AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = r.oid
        AND d.deptype = 'e')";

#[derive(Deserialize)]
struct Row {
    oid: u32,
    namespace: String,
    relation: String,
    name: String,
    contype: String,
    ident: String,
    owner: String,
    constraint: String,
    index: u32,
    tablespace: Option<String>,
    only: String,
    index_ident: Option<String>,
    index_name: Option<String>,
    definition: String,
}

pub(super) async fn read(reader: &mut Reader<'_>, graph: &mut Graph, attachments: &Attachments) -> Result<(), Error> {
    for row in reader.select::<Row>("constraints", CONSTRAINTS).await? {
        let foreign = row.contype == "f";
        let (kind, desc) = if foreign { (Kind::ForeignKey, "FK CONSTRAINT") } else { (Kind::Constraint, "CONSTRAINT") };
        let mut object = Object::new(kind, desc, format!("{} {}", row.relation, row.name));
        let index = Key::new(class::CLASS, row.index);
        let mut text =
            format!("ALTER TABLE {}{}\n    ADD CONSTRAINT {} {};", row.only, row.ident, row.constraint, row.definition);
        if !foreign {
            text.push_str(attachments.settings(row.index));
            object.tablespace = row.tablespace.unwrap_or_default();
        }
        object.namespace = row.namespace;
        object.owner = row.owner;
        object.body = Body::Text(text);
        if foreign || !attachments.is_attached(row.index) {
            object.drop = format!("ALTER TABLE {}{} DROP CONSTRAINT {};\n", row.only, row.ident, row.constraint);
        }
        let key = Key::new(class::CONSTRAINT, row.oid);
        let id = graph.add(key, object);
        let label = format!("CONSTRAINT {} ON {}", row.name, row.relation);
        graph.refer(key, id, format!("CONSTRAINT {} ON {}", row.constraint, row.ident), label);
        if foreign {
            // A partitioned table's key is valid only when every partition's index is attached to it.
            attachments.wait(row.index, id, graph);
        } else if let (Some(ident), Some(name)) = (row.index_ident, row.index_name) {
            graph.set_alias(index, key);
            graph.refer(index, id, format!("INDEX {ident}"), format!("INDEX {name}"));
        }
    }
    Ok(())
}
