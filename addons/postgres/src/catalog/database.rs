//! The database itself: what a restore needs to know before anything else, and what `--create` makes.

use serde::Deserialize;

use super::Error;
use super::object::{Body, Graph, Key, Kind, Object, class};
use super::reader::Reader;

/// 10: ICU in collations, but for databases only from 15 on; 15: datlocprovider, daticulocale; 16: daticurules;
/// 17: builtin, datlocale.
const DATABASE: &str = "
    SELECT d.oid::int8 AS oid, d.datname AS name, quote_ident(d.datname) AS ident, pg_get_userbyid(d.datdba) AS owner,
           quote_literal(current_setting('client_encoding')) AS encoding,
           quote_literal(shobj_description(d.oid, 'pg_database')) AS comment,
           concat(format('CREATE DATABASE %I WITH TEMPLATE = template0 ENCODING = %L', d.datname,
             pg_encoding_to_char(d.encoding)),
             {{15 ? ' LOCALE_PROVIDER = ' || CASE d.datlocprovider WHEN 'i' THEN 'icu' WHEN 'b' THEN 'builtin'
               ELSE 'libc' END, }}
             CASE WHEN d.datcollate = d.datctype
               THEN format(' {{13 ? LOCALE = %L : LC_COLLATE = %1$L LC_CTYPE = %1$L}}', d.datcollate)
                  ELSE format(' LC_COLLATE = %L LC_CTYPE = %L', d.datcollate, d.datctype) END,
             {{15-16 ? ' ICU_LOCALE = ' || quote_literal(d.daticulocale), }}
             {{17 ? CASE d.datlocprovider WHEN 'b' THEN ' BUILTIN_LOCALE = ' ELSE ' ICU_LOCALE = ' END
               || quote_literal(d.datlocale), }}
             {{16 ? ' ICU_RULES = ' || quote_literal(d.daticurules), }}
             CASE WHEN t.spcname <> 'pg_default' THEN ' TABLESPACE = ' || quote_ident(t.spcname) END, ';') AS create,
           CASE WHEN d.datconnlimit <> -1 THEN format('ALTER DATABASE %I CONNECTION LIMIT = %s;', d.datname,
             d.datconnlimit) END AS limit,
           CASE WHEN d.datistemplate THEN format('ALTER DATABASE %I IS_TEMPLATE = true;', d.datname) END AS template
    FROM pg_database d JOIN pg_tablespace t ON t.oid = d.dattablespace WHERE d.datname = current_database()";

/// Settings of the database, for everyone and for single roles.
const SETTINGS: &str = "
    SELECT CASE s.setrole WHEN 0 THEN format('ALTER DATABASE %I', current_database())
                ELSE format('ALTER ROLE %I IN DATABASE %I', pg_get_userbyid(s.setrole),
                  current_database()) END AS alter,
           left(o, strpos(o, '=') - 1) AS name, quote_ident(left(o, strpos(o, '=') - 1)) AS ident,
           substr(o, strpos(o, '=') + 1) AS value, quote_literal(substr(o, strpos(o, '=') + 1)) AS literal
    FROM pg_db_role_setting s CROSS JOIN LATERAL unnest(s.setconfig) o
    WHERE s.setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database())
    ORDER BY s.setrole <> 0, pg_get_userbyid(s.setrole)";

/// Settings whose value is a list of names, each quoted by itself (GUC_LIST_QUOTE in the server).
const LISTS: [&str; 6] = [
    "local_preload_libraries",
    "search_path",
    "session_preload_libraries",
    "shared_preload_libraries",
    "temp_tablespaces",
    "unix_socket_directories",
];

#[derive(Deserialize)]
struct Database {
    oid: u32,
    name: String,
    ident: String,
    owner: String,
    encoding: String,
    comment: Option<String>,
    create: String,
    limit: Option<String>,
    template: Option<String>,
}

#[derive(Deserialize)]
struct Setting {
    alter: String,
    name: String,
    ident: String,
    value: String,
    literal: String,
}

pub(super) async fn read(reader: &mut Reader<'_>, graph: &mut Graph) -> Result<(), Error> {
    for database in reader.select::<Database>("the database", DATABASE).await? {
        preamble(graph, &database);
        let key = Key::new(class::DATABASE, database.oid);
        let mut object = Object::new(Kind::Database, "DATABASE", &database.name);
        object.owner.clone_from(&database.owner);
        object.body = Body::Text(database.create);
        object.drop = format!("DROP DATABASE {};\n", database.ident);
        let id = graph.add(key, object);
        let label = format!("DATABASE {}", database.name);
        graph.refer(key, id, format!("DATABASE {}", database.ident), label.clone());
        if let Some(comment) = database.comment {
            let create = format!("COMMENT ON DATABASE {} IS {comment};", database.ident);
            let owner = database.owner.clone();
            graph.add_satellite(Some(id), super::object::Satellite { desc: "COMMENT", tag: label, owner, create });
        }
        let mut properties: Vec<String> = [database.limit, database.template].into_iter().flatten().collect();
        for setting in reader.select::<Setting>("settings of the database", SETTINGS).await? {
            properties.push(setting.statement());
        }
        if !properties.is_empty() {
            let mut object = Object::new(Kind::Database, "DATABASE PROPERTIES", database.name);
            object.owner = database.owner;
            object.body = Body::Text(properties.join("\n"));
            object.needs.insert(id);
            graph.add_extra(object);
        }
    }
    Ok(())
}

/// Restoring sessions read these by their desc; the tag's spelling is pg_dump's.
fn preamble(graph: &mut Graph, database: &Database) {
    let statements = [
        ("ENCODING", format!("SET client_encoding = {};", database.encoding)),
        ("STDSTRINGS", "SET standard_conforming_strings = 'on';".to_owned()),
        ("SEARCHPATH", "SELECT pg_catalog.set_config('search_path', '', false);".to_owned()),
    ];
    for (desc, statement) in statements {
        let mut object = Object::new(Kind::Preamble, desc, desc);
        object.body = Body::Text(statement);
        graph.add_extra(object);
    }
}

impl Setting {
    fn statement(&self) -> String {
        let value = if LISTS.contains(&self.name.to_ascii_lowercase().as_str()) {
            match names(&self.value) {
                names if names.is_empty() => "''".to_owned(),
                names => {
                    names.iter().map(|name| format!("'{}'", name.replace('\'', "''"))).collect::<Vec<_>>().join(", ")
                }
            }
        } else {
            self.literal.clone()
        };
        format!("{} SET {} TO {value};", self.alter, self.ident)
    }
}

/// The names in a list as the server stores it: separated by commas, quoted where that is needed.
fn names(list: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut chars = list.chars().peekable();
    loop {
        while chars.next_if(|c| c.is_whitespace() || *c == ',').is_some() {}
        let mut name = String::new();
        match chars.peek() {
            None => return names,
            Some('"') => {
                chars.next();
                while let Some(c) = chars.next() {
                    if c == '"' && chars.next_if_eq(&'"').is_none() {
                        break;
                    }
                    name.push(c);
                }
            }
            Some(_) => {
                while let Some(c) = chars.next_if(|c| *c != ',') {
                    name.push(c);
                }
                name.truncate(name.trim_end().len());
            }
        }
        names.push(name);
    }
}

#[cfg(test)]
mod tests {
    use super::names;

    #[test]
    fn a_list_of_names_is_split_as_the_server_does() {
        assert_eq!(names(r#""$user", public, "a ""b"", c""#), ["$user", "public", r#"a "b", c"#]);
        assert_eq!(names(""), Vec::<String>::new());
        assert_eq!(names(r#""""#), [""]);
    }
}
