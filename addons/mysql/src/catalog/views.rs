//! Views, in an order in which each can be made.

use super::names::Names;
use super::programs::show_create;
use super::{Catalog, Objects, Selection, databases};
use crate::client::Client;
use crate::layout::{Database, Program, ProgramKind};
use crate::sql::literal;
use coffer_addon::Result;
use std::collections::{BTreeMap, BTreeSet};

/// All views of the current database that are selected.
pub async fn read(
    client: &mut Client,
    selection: &Selection<'_>,
    objects: &Objects,
    names: &mut Names,
    database: &Database,
    unsupported: &mut Vec<String>,
) -> Result<Vec<Program>> {
    let (database, file) = (database.name.as_str(), &database.file);
    if !objects.relations(database).any(|(_, relation)| relation.kind == "VIEW") {
        return Ok(Vec::new());
    }
    let mut columns: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let sql = format!(
        "SELECT c.TABLE_NAME AS relation, c.COLUMN_NAME AS name FROM information_schema.COLUMNS c \
         JOIN information_schema.VIEWS v ON v.TABLE_SCHEMA = c.TABLE_SCHEMA AND v.TABLE_NAME = c.TABLE_NAME \
         WHERE c.TABLE_SCHEMA = {of} AND v.TABLE_SCHEMA = {of} ORDER BY c.TABLE_NAME, c.ORDINAL_POSITION",
        of = literal(database)
    );
    for row in client.query(&sql).await? {
        columns.entry(row.get("relation")?.into()).or_default().push(row.get("name")?.into());
    }
    let sql = format!(
        "SELECT TABLE_NAME AS name, DEFINER AS definer, CHARACTER_SET_CLIENT AS client, \
         COLLATION_CONNECTION AS connection FROM information_schema.VIEWS WHERE TABLE_SCHEMA = {} ORDER BY TABLE_NAME",
        literal(database)
    );
    let mut views = Vec::new();
    for row in client.query(&sql).await? {
        let name = row.get("name")?;
        if !selection.has(database, name) {
            continue;
        }
        let columns = columns.remove(name).unwrap_or_default();
        if columns.is_empty() {
            unsupported.push(format!("view {database}.{name} (what it reads from is not there any more)"));
            continue;
        }
        views.push(Program {
            kind: ProgramKind::View,
            database: database.into(),
            name: name.into(),
            file: format!("{file}.{}", names.files.name(name)),
            table: None,
            create: show_create(client, database, ProgramKind::View, name).await?,
            definer: row.opt("definer")?.map(Into::into),
            sql_mode: None,
            character_set_client: row.get("client")?.into(),
            collation_connection: row.get("connection")?.into(),
            database_collation: None,
            time_zone: None,
            columns,
        });
    }
    Ok(views)
}

/// Takes out the views that could not be made again, as something that they read from is not in the dump, and names them. What the
/// server has by itself is there anyway.
pub async fn complete(client: &mut Client, catalog: &mut Catalog) -> Result<()> {
    let mut there: BTreeSet<(String, String)> = BTreeSet::new();
    for database in &catalog.databases {
        let tables = database.tables.iter().map(|table| &table.index.name);
        let names = tables.chain(database.index.sequences.iter().map(|sequence| &sequence.name));
        there.extend(names.map(|name| (database.index.name.clone(), name.clone())));
    }
    there.extend(catalog.views.iter().map(|view| (view.database.clone(), view.name.clone())));
    let mut existing = BTreeMap::new();
    loop {
        let mut missing = Vec::new();
        for view in &catalog.views {
            let mut read = sources(&view.create.text(), &view.database);
            read.retain(|relation| !there.contains(relation) && !databases::is_own(&relation.0));
            for relation in read {
                // A name with another database's is no part of a view's own; the account may not see what it is.
                let is_sure =
                    relation.0 != view.database && behind_from(&view.create.text(), &view.database).contains(&relation);
                let exists = match existing.get(&relation) {
                    Some(exists) => *exists,
                    None if is_sure => true,
                    None => exists(client, &relation).await?,
                };
                existing.insert(relation.clone(), exists);
                if exists {
                    let (database, name) = relation;
                    missing.push((view.database.clone(), view.name.clone(), format!("{database}.{name}")));
                    break;
                }
            }
        }
        if missing.is_empty() {
            return Ok(());
        }
        // Others may read from these.
        for (database, name, read) in missing {
            catalog.views.retain(|view| (&view.database, &view.name) != (&database, &name));
            catalog.unsupported.push(format!("view {database}.{name} (it reads from {read}, which is not dumped)"));
            there.remove(&(database, name));
        }
    }
}

/// Whether there is such a table or view; a name may be one that the view gives to a part of itself.
async fn exists(client: &mut Client, (database, name): &(String, String)) -> Result<bool> {
    let sql = format!(
        "SELECT 1 FROM information_schema.TABLES WHERE TABLE_SCHEMA = {} AND TABLE_NAME = {}",
        literal(database),
        literal(name)
    );
    Ok(!client.query(&sql).await?.is_empty())
}

/// Each view after those it reads from.
pub fn in_order(views: Vec<Program>) -> Vec<Program> {
    let all: BTreeSet<(String, String)> = views.iter().map(|view| (view.database.clone(), view.name.clone())).collect();
    let needed = |view: &Program| -> BTreeSet<(String, String)> {
        let own = (view.database.clone(), view.name.clone());
        let mut read = relations(&view.create.text(), &view.database);
        read.retain(|relation| all.contains(relation) && *relation != own);
        read
    };
    let mut waiting: Vec<_> = views.into_iter().map(|view| (needed(&view), view)).collect();
    let mut made = BTreeSet::new();
    let mut ordered = Vec::new();
    while !waiting.is_empty() {
        // There is no circle of views; a name that is not a view's may look like one. Then the first goes first.
        let place = waiting.iter().position(|(needed, _)| needed.is_subset(&made)).unwrap_or(0);
        let (_, view) = waiting.remove(place);
        made.insert((view.database.clone(), view.name.clone()));
        ordered.push(view);
    }
    ordered
}

/// What may be a relation's name in a view as the server words it: quoted, no alias, and no column's name behind a table's.
fn relations(create: &str, database: &str) -> BTreeSet<(String, String)> {
    named(create, database, |_| true)
}

/// Those of them that stand where a view names what it reads from; arguments of functions and conditions may as well.
fn sources(create: &str, database: &str) -> BTreeSet<(String, String)> {
    named(create, database, |before| {
        ["from", "join", "straight_join", "(", ","].iter().any(|word| before.eq_ignore_ascii_case(word))
    })
}

/// Those of them that can be nothing else.
fn behind_from(create: &str, database: &str) -> BTreeSet<(String, String)> {
    named(create, database, |before| ["from", "join"].iter().any(|word| before.eq_ignore_ascii_case(word)))
}

/// Names, of those whose word before is `wanted`.
fn named(create: &str, database: &str, wanted: impl Fn(&str) -> bool) -> BTreeSet<(String, String)> {
    let mut found = BTreeSet::new();
    let mut qualifier: Option<String> = None;
    let mut before = String::new();
    // The word before the first part of a name.
    let mut leading = String::new();
    let mut rest = create;
    while let Some(c) = rest.chars().next() {
        let (token, after) = token(rest, c);
        if c == '`' {
            if qualifier.is_none() {
                leading.clone_from(&before);
            }
            let name = token.get(1..token.len().saturating_sub(1)).unwrap_or_default().replace("``", "`");
            if after.starts_with('.') {
                // `database`.`relation`, or `alias`.`column`: only the former is among the views.
                if qualifier.is_none() {
                    qualifier = Some(name);
                }
            } else if let Some(qualifier) = qualifier.take() {
                if wanted(&leading) {
                    found.insert((qualifier, name));
                }
            } else if !before.eq_ignore_ascii_case("as") && wanted(&leading) {
                found.insert((database.to_string(), name));
            }
        }
        if !token.trim().is_empty() {
            before = token.into();
        }
        rest = after;
    }
    found
}

/// A quoted name, a string, a word or one other letter, and what comes behind it.
fn token(text: &str, first: char) -> (&str, &str) {
    let end = match first {
        '`' | '\'' | '"' => {
            let mut end = text.len();
            let mut letters = text.char_indices().skip(1).peekable();
            while let Some((place, c)) = letters.next() {
                if c == '\\' && first != '`' {
                    letters.next();
                } else if c == first {
                    if letters.peek().is_some_and(|(_, next)| *next == first) {
                        letters.next();
                    } else {
                        end = place + c.len_utf8();
                        break;
                    }
                }
            }
            end
        }
        c if c.is_alphanumeric() || c == '_' => {
            text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len())
        }
        c => c.len_utf8(),
    };
    text.split_at(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(database: &str, name: &str, create: &str) -> Program {
        Program {
            kind: ProgramKind::View,
            database: database.into(),
            name: name.into(),
            file: String::new(),
            table: None,
            create: create.into(),
            definer: None,
            sql_mode: None,
            character_set_client: "utf8mb4".into(),
            collation_connection: "utf8mb4_0900_ai_ci".into(),
            database_collation: None,
            time_zone: None,
            columns: vec!["x".into()],
        }
    }

    #[test]
    fn what_a_view_reads_from_is_among_few_names() {
        let create = "CREATE VIEW `v` AS select `c`.`x` AS `b`,`d`.`f`(`c`.`y`) AS `z` from (`c` join `e`.`z` `y` on((`y`.`k` = `c`.`k`))) \
             where exists(select 1 from `w` where `w`.`q` = 'from `s`')";
        let names: Vec<_> = sources(create, "d").into_iter().collect();
        // Behind a bracket and a comma stand arguments too: whether there is such a table tells them apart.
        let expected = [("c", "y"), ("d", "c"), ("d", "f"), ("d", "w"), ("e", "z"), ("y", "k")];
        let expected = expected.map(|(of, name)| (of.into(), name.into()));
        assert_eq!(names, expected);
    }

    #[test]
    fn a_view_comes_after_those_it_reads_from() {
        let views = vec![
            view("d", "a", "CREATE VIEW `a` AS select `c`.`x` AS `b` from (`c` join `e`.`z` on(1))"),
            view("d", "b", "CREATE VIEW `b` AS select `a`.`x` AS `x`,'`c`' AS `it``s` from `a`"),
            view("d", "c", "CREATE VIEW `c` AS select 1 AS `x`"),
            view("e", "z", "CREATE VIEW `z` AS select `d`.`c`.`x` AS `x` from `d`.`c`"),
        ];
        let names: Vec<_> = in_order(views).into_iter().map(|view| view.name).collect();
        assert_eq!(names, ["c", "z", "a", "b"]);
    }
}
