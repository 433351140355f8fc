//! Views and materialized views.

use std::collections::HashMap;

use serde::Deserialize;

use super::Error;
use super::columns::{self, Column};
use super::object::{Body, Graph, Key, Kind, Object, class};
use super::reader::Reader;
use super::relations::Relation;

/// A view's query is a rule in the catalogs: what the query needs, the rule needs.
const QUERIES: &str = "
    SELECT r.oid::int8 AS rule, c.oid::int8 AS relation, rtrim(pg_get_viewdef(c.oid), ';') AS query
    FROM pg_rewrite r JOIN pg_class c ON c.oid = r.ev_class JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE {{user}} AND c.relkind IN ('v', 'm') AND r.rulename = '_RETURN'";

#[derive(Deserialize)]
struct Query {
    rule: u32,
    relation: u32,
    query: String,
}

pub(super) async fn read(
    reader: &mut Reader<'_>,
    graph: &mut Graph,
    relations: &[Relation],
    columns: &HashMap<u32, Vec<Column>>,
) -> Result<(), Error> {
    let queries: Vec<Query> = reader.select("views", QUERIES).await?;
    let queries: HashMap<u32, Query> = queries.into_iter().map(|query| (query.relation, query)).collect();
    for relation in relations.iter().filter(|relation| !relation.is_table()) {
        let Some(query) = queries.get(&relation.oid) else {
            graph.report("view without a query", &relation.ident);
            continue;
        };
        let columns = columns.get(&relation.oid).map_or(&[][..], Vec::as_slice);
        let keyword = relation.keyword();
        let key = Key::new(class::CLASS, relation.oid);
        let mut object = object_of(relation, Kind::Table, keyword);
        object.drop = format!("DROP {keyword} {};\n", relation.ident);
        let id = graph.add(key, object);
        graph.refer(key, id, format!("{keyword} {}", relation.ident), format!("{keyword} {}", relation.name));
        let with = relation.options.as_ref().map(|options| format!(" WITH ({options})")).unwrap_or_default();
        let rule = Key::new(class::REWRITE, query.rule);
        let body = if relation.relkind == "m" {
            graph.set_alias(rule, key);
            refresh(graph, relation, id);
            Body::Text(format!(
                "CREATE {keyword} {}{with} AS\n{}\n  WITH NO DATA;{}",
                relation.ident,
                query.query,
                columns::settings(relation, columns)
            ))
        } else {
            let mut part = object_of(relation, Kind::Rule, "RULE");
            part.tag = format!("{} _RETURN", relation.name);
            part.body = Body::Text(format!("CREATE OR REPLACE VIEW {}{with} AS\n{};", relation.ident, query.query));
            let stand_in = format!("{} AS\nSELECT{};", relation.ident, nulls(columns));
            // Undone, the view stands alone again, and can be dropped.
            part.drop = format!("CREATE OR REPLACE VIEW {stand_in}\n");
            part.part_of = Some((id, String::new()));
            Body::View {
                query: graph.add(rule, part),
                whole: format!("CREATE VIEW {}{with} AS\n{};", relation.ident, query.query),
                stand_in: format!("CREATE VIEW {stand_in}"),
            }
        };
        if let Some(object) = graph.objects.get_mut(id) {
            object.body = body;
        }
        columns::defaults(graph, relation, id, columns);
    }
    Ok(())
}

fn object_of(relation: &Relation, kind: Kind, desc: &'static str) -> Object {
    let mut object = Object::new(kind, desc, &relation.name);
    object.namespace.clone_from(&relation.namespace);
    object.owner.clone_from(&relation.owner);
    if relation.relkind == "m" {
        object.tablespace = relation.tablespace.clone().unwrap_or_default();
        object.access_method = relation.access_method.clone().unwrap_or_default();
    }
    object
}

/// A stand-in's columns: the right names and types, and no need of anything but the types.
fn nulls(columns: &[Column]) -> String {
    let column = |column: &Column| {
        let collation = column.collation.as_ref().map(|name| format!(" COLLATE {name}")).unwrap_or_default();
        format!("\n    NULL::{}{collation} AS {}", column.data_type, column.ident)
    };
    columns.iter().map(column).collect::<Vec<_>>().join(",")
}

fn refresh(graph: &mut Graph, relation: &Relation, id: usize) {
    if relation.populated {
        let mut object = object_of(relation, Kind::Refresh, "MATERIALIZED VIEW DATA");
        object.tablespace.clear();
        object.access_method.clear();
        object.body = Body::Text(format!("REFRESH MATERIALIZED VIEW {};", relation.ident));
        object.needs.insert(id);
        graph.add_extra(object);
    }
}
