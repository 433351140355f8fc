//! The catalog reader against a real server: what it reads of a rich database, stock pg_restore makes again, so that
//! stock pg_dump finds no difference.

// clippy.toml allows these in test functions; helpers of tests are as much a test.
#![allow(clippy::expect_used, clippy::panic)]

mod support;

use coffer_addon_postgres::archive::{self, Archive, Created, Version};
use coffer_addon_postgres::catalog::{self, Dump};
use coffer_addon_postgres::entry::{Entry, Section};
use std::collections::HashSet;
use std::path::Path;
use std::sync::Once;
use support::{Server, fixture, server};

/// Roles belong to the server, not to a database.
const ROLES: &str = "CREATE ROLE app; CREATE ROLE reader; CREATE ROLE \"odd Rölle\"; CREATE ROLE boss SUPERUSER";

fn version(server: &Server) -> u32 {
    server.psql("postgres", "SELECT current_setting('server_version_num')::int / 10000").parse().expect("a number")
}

/// Lines for later versions are comments to earlier ones.
fn for_version(sql: &str, version: u32) -> String {
    let mut lines = String::new();
    for line in sql.lines() {
        let gated = line.strip_prefix("--@").and_then(|rest| rest.split_once(' '));
        match gated {
            Some((since, statement)) if since.parse::<u32>().expect("a version") <= version => {
                lines.push_str(statement)
            }
            Some(_) => {}
            None => lines.push_str(line),
        }
        lines.push('\n');
    }
    lines
}

fn rich_database(server: &Server) -> String {
    static ROLES_ARE_THERE: Once = Once::new();
    ROLES_ARE_THERE.call_once(|| drop(server.psql("postgres", ROLES)));
    let sql = std::fs::read_to_string(fixture("catalog.sql")).expect("the fixture");
    let database = server.database();
    server.psql(&database, &for_version(&sql, version(server)));
    database
}

async fn read(server: &Server, database: &str) -> Dump {
    let mut client = server.client(database).await;
    let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET search_path = ''";
    client.execute(begin).await.expect("a transaction");
    let dump = catalog::read(&mut client).await.expect("the catalogs");
    client.close().await;
    dump
}

/// Writes the entries as a directory archive, rows included.
fn write(server: &Server, database: &str, entries: &[Entry], folder: &Path) {
    let archive = Archive {
        version: Version::WRITTEN,
        created: Created { year: 2025, month: 1, day: 2, hour: 3, minute: 4, second: 5 },
        database: database.into(),
        server_version: "15".into(),
        dump_version: "test".into(),
        compressed: false,
        entries: entries.to_vec(),
    };
    std::fs::write(folder.join(archive::TOC), archive.to_bytes()).expect("toc.dat");
    for entry in entries {
        if let Some(data) = &entry.data {
            let mut rows = server.psql(database, &data.copy_out);
            if !rows.is_empty() {
                rows.push('\n');
            }
            std::fs::write(folder.join(format!("{}.dat", entry.id)), format!("{rows}\\.\n\n\n")).expect("rows");
        }
    }
}

/// pg_dump's text; newer ones wrap it in a key that differs from run to run.
fn pg_dump(server: &Server, database: &str) -> String {
    let text = server.run("pg_dump", database, &["--create"]).replace(database, "DATABASE");
    text.lines()
        .filter(|line| !line.starts_with("\\restrict") && !line.starts_with("\\unrestrict"))
        .map(|line| format!("{line}\n"))
        .collect()
}

/// Panics at the first difference.
fn assert_same(before: &str, after: &str) {
    for (number, (left, right)) in before.lines().zip(after.lines()).enumerate() {
        if left != right {
            let around =
                |text: &str| text.lines().skip(number.saturating_sub(6)).take(14).collect::<Vec<_>>().join("\n");
            panic!("line {number} differs\n--- before\n{}\n--- after\n{}", around(before), around(after));
        }
    }
    assert_eq!(before.lines().count(), after.lines().count());
}

#[tokio::test]
async fn pg_dump_finds_no_difference_after_stock_pg_restore() {
    let Some(server) = server() else { return };
    let source = rich_database(server);
    server.psql(
        "postgres",
        &format!(
            "ALTER DATABASE {source} SET search_path TO \"$user\", 's,x', public; ALTER DATABASE {source} SET work_mem = '7MB';
             ALTER ROLE reader IN DATABASE {source} SET DateStyle = 'German'; COMMENT ON DATABASE {source} IS 'it''s a test';
             ALTER DATABASE {source} CONNECTION LIMIT 50; GRANT CREATE ON DATABASE {source} TO reader; REVOKE TEMPORARY ON DATABASE {source} FROM PUBLIC"
        ),
    );
    let dump = read(server, &source).await;
    let missing: Vec<String> = dump.unsupported.iter().map(ToString::to_string).collect();
    assert_eq!(missing, Vec::<String>::new());
    let before = pg_dump(server, &source);

    for jobs in ["1", "3"] {
        let folder = tempfile::tempdir().expect("temp dir");
        // With another name for the database, so that --create makes a second one.
        let target = format!("{source}_by_{jobs}");
        let renamed: Vec<Entry> = dump
            .entries
            .iter()
            .cloned()
            .map(|mut entry| {
                if entry.kind.starts_with("DATABASE") || entry.tag.starts_with("DATABASE ") {
                    for text in [&mut entry.tag, &mut entry.create, &mut entry.drop] {
                        *text = text.replace(&source, &target);
                    }
                }
                entry
            })
            .collect();
        write(server, &source, &renamed, folder.path());
        let path = folder.path().to_str().expect("UTF-8");
        server.run("pg_restore", "postgres", &["--create", "--exit-on-error", "--jobs", jobs, path]);
        assert_same(&before, &pg_dump(server, &target));
        // What was made can be dropped again, in the opposite order.
        server.run("pg_restore", &target, &["--clean", "--if-exists", "--exit-on-error", path]);
        assert_same(&before, &pg_dump(server, &target));
    }
}

#[tokio::test]
async fn an_empty_database_has_nothing_to_restore() {
    let Some(server) = server() else { return };
    let database = server.database();
    let kinds: Vec<String> = read(server, &database).await.entries.into_iter().map(|entry| entry.kind).collect();
    // Until 14, everyone could create in `public`; that must outlive a restore on a later version.
    let public = if version(server) < 15 { &["SCHEMA", "ACL"][..] } else { &[] };
    assert_eq!(kinds, [&["ENCODING", "SEARCHPATH", "STDSTRINGS", "DATABASE"], public].concat());
}

#[tokio::test]
async fn an_extension_says_which_of_its_rows_are_dumped() {
    let Some(server) = server() else { return };
    let database = server.database();
    server.psql(
        &database,
        "CREATE EXTENSION hstore; CREATE TABLE settings (id integer, \"na)\" text, g integer GENERATED ALWAYS AS (id) STORED);
         CREATE SEQUENCE counter; SELECT setval('counter', 7);
         ALTER EXTENSION hstore ADD TABLE settings; ALTER EXTENSION hstore ADD SEQUENCE counter;
         UPDATE pg_extension SET extconfig = ARRAY['settings'::regclass, 'counter'::regclass]::oid[],
           extcondition = ARRAY['WHERE id > 5', ''] WHERE extname = 'hstore'",
    );
    let dump = read(server, &database).await;
    assert_eq!(dump.unsupported, []);
    let find = |kind: &str| dump.entries.iter().find(|entry| entry.kind == kind).unwrap_or_else(|| panic!("no {kind}"));
    assert!(dump.entries.iter().all(|entry| entry.kind != "TABLE" && entry.kind != "SEQUENCE"));
    let rows = find("TABLE DATA");
    assert_eq!(rows.copy, "COPY public.settings (id, \"na)\") FROM stdin;\n");
    assert_eq!(rows.dependencies, [find("EXTENSION").id]);
    let data = rows.data.as_ref().expect("a source");
    assert_eq!(data.copy_out, "COPY (SELECT id, \"na)\" FROM public.settings WHERE id > 5) TO STDOUT");
    assert_eq!(find("SEQUENCE SET").create, "SELECT pg_catalog.setval('public.counter', 7, true);\n");
}

#[tokio::test]
async fn entries_stand_in_an_order_that_can_be_restored() {
    let Some(server) = server() else { return };
    let source = rich_database(server);
    let entries = read(server, &source).await.entries;
    let mut seen = HashSet::new();
    let mut section = Section::None;
    for entry in &entries {
        assert!(entry.dependencies.iter().all(|id| seen.contains(id)), "{} {} comes too early", entry.kind, entry.tag);
        assert!(seen.insert(entry.id), "{} is not unique", entry.id);
        assert!(entry.section == Section::None || entry.section >= section, "{} {}", entry.kind, entry.tag);
        section = section.max(entry.section);
        assert!(entry.create.is_empty() || entry.create.ends_with('\n'), "{:?}", entry.create);
        assert!(entry.drop.is_empty() || entry.drop.ends_with('\n'), "{:?}", entry.drop);
    }
    let find = |kind: &str, tag: &str| {
        entries.iter().find(|entry| entry.kind == kind && entry.tag == tag).unwrap_or_else(|| panic!("no {kind} {tag}"))
    };
    assert_eq!(find("TABLE", "unlogged").access_method, "heap");
    assert_eq!(find("TABLE DATA", "people").copy.lines().count(), 1);
    assert!(!find("TABLE DATA", "people").copy.contains("doubled"), "generated columns are not copied");
    assert!(find("MATERIALIZED VIEW", "grouped_mat").section == Section::PostData);
    assert!(find("MATERIALIZED VIEW DATA", "a_first").id > find("MATERIALIZED VIEW DATA", "mat").id);
}

#[tokio::test]
async fn what_cannot_be_dumped_is_named() {
    let Some(server) = server() else { return };
    let source = server.database();
    server.psql(
        &source,
        "SELECT lo_create(0); CREATE SUBSCRIPTION far CONNECTION 'host=nowhere' PUBLICATION p WITH (connect = false, slot_name = NONE);
         CREATE TABLE t (x integer); CREATE TEMPORARY TABLE tt (x integer);",
    );
    let dump = read(server, &source).await;
    let missing: Vec<String> = dump.unsupported.iter().map(ToString::to_string).collect();
    assert_eq!(missing, ["large objects 1 of them", "subscription far"]);
    server.psql(&source, "DROP SUBSCRIPTION far");
}

#[tokio::test]
async fn a_name_that_is_no_utf8_is_refused_with_its_object_and_the_remedy() {
    let Some(server) = server() else { return };
    server.psql(
        "postgres",
        "CREATE DATABASE no_encoding TEMPLATE template0 ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C'",
    );
    server.psql("no_encoding", "CREATE TABLE plain (a text); INSERT INTO plain VALUES ('caf' || chr(233))");
    let read = async || {
        let mut client = server.client("no_encoding").await;
        let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET search_path = ''";
        // As a dump's session does.
        client.execute("SET client_encoding = 'SQL_ASCII'").await.expect("an encoding");
        client.execute(begin).await.expect("a transaction");
        let read = catalog::read(&mut client).await;
        client.close().await;
        read
    };
    read().await.expect("bytes in rows are nobody's business here");
    for (made, what, object) in [
        ("CREATE TABLE %I (a int)", "tables", "caf"),
        ("CREATE SCHEMA %I", "schemas", "SCHEMA"),
        ("COMMENT ON TABLE public.plain IS %L", "comment", "oid"),
    ] {
        server.psql("no_encoding", &format!("DO $$BEGIN EXECUTE format('{made}', 'caf' || chr(233)); END$$"));
        let refused = read().await.expect_err(made).message().to_string();
        assert!(refused.contains("SQL_ASCII") && refused.contains("in UTF-8"), "{refused}");
        assert!(refused.contains(what) && refused.contains(object), "{made}: {refused}");
        let drop = "DROP TABLE IF EXISTS %I; DROP SCHEMA IF EXISTS %1$I";
        let quiet = "SET client_min_messages = error";
        let script = format!("{quiet}; DO $$BEGIN EXECUTE format('{drop}', 'caf' || chr(233)); END$$");
        server.psql("no_encoding", &script);
    }
}
