//! The conformance kit as its users run it: every addon of ours passes it, and one that is bad does not.

use std::fs;
use std::process::Command;

use coffer_e2e::{Coffer, addon, elasticsearch_addon, guests, manifest, mongodb_addon, mysql_addon};
use coffer_test_servers::{
    Mongodb, MongodbOptions, MongodbVersion, Mysql, MysqlOptions, MysqlVersion, Postgres, PostgresOptions,
    PostgresVersion, Search, SearchOptions, SearchVersion, mongodb, mysql, sample, search,
};
use serde_json::Value;

/// Rows, in megabytes: what happens in the middle of a stream needs a middle, also over several connections.
const ROWS: u32 = 16;

/// What differs from addon to addon.
struct Given {
    component: std::path::PathBuf,
    /// Manifests of the data and of the place to restore it into.
    binding: Vec<String>,
    restore: Vec<String>,
    reset: String,
    leftovers: Option<String>,
    volatile: &'static [&'static str],
    compare: &'static str,
    /// Cases that an addon cannot have.
    skipped: &'static [&'static str],
}

/// Runs the kit; everything must pass, and nothing be left out but what cannot be had.
fn conforms(given: &Given, secret: Option<&str>) {
    let coffer = Coffer::without_server();
    secret.into_iter().for_each(|secret| coffer.keep_secret(secret));
    let [binding, restore] =
        [("binding.yaml", &given.binding), ("restore.yaml", &given.restore)].map(|(name, parts)| {
            let file = coffer.folder().join(name);
            fs::write(&file, parts.join("---\n")).unwrap();
            file.display().to_string()
        });
    let component = given.component.display().to_string();
    let mut arguments = vec!["addon", "test", &component, "--binding", &binding, "--restore-binding", &restore];
    arguments.extend(["--reset", &given.reset]);
    arguments.extend(given.leftovers.iter().flat_map(|line| ["--leftovers", line.as_str()]));
    arguments.extend(given.volatile.iter().flat_map(|name| ["--volatile", name]));
    arguments.extend(["--compare", given.compare]);
    arguments.extend(["--output", "json"]);
    let output = coffer.run(&arguments);
    let result: Value = serde_json::from_str(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output}"));
    let of = |verdict: &str| -> Vec<&str> {
        let cases = result["cases"].as_array().unwrap().iter();
        cases.filter(|case| case["verdict"] == verdict).map(|case| case["case"].as_str().unwrap()).collect()
    };
    assert!(output.success && of("failed").is_empty(), "{output}");
    assert_eq!(of("skipped"), given.skipped, "{output}");
    assert!(of("passed").len() > 50, "{output}");
}

/// A line of shell that runs a tool of a server's.
fn line(tool: &Command, arguments: &str) -> String {
    let quoted = |text: &std::ffi::OsStr| format!("'{}'", text.to_str().unwrap().replace('\'', r"'\''"));
    let set: String = tool
        .get_envs()
        .filter_map(|(name, value)| Some(format!("{}={} ", name.to_str().unwrap(), quoted(value?))))
        .collect();
    let own: String = tool.get_args().map(|argument| format!("{} ", quoted(argument))).collect();
    format!("{set}{} {own}{arguments}", quoted(tool.get_program()))
}

#[test]
fn the_postgres_addon_conforms() {
    let server = Postgres::start(PostgresVersion::V17, &PostgresOptions::default()).unwrap();
    sample::create(&server, "shop", ROWS).unwrap();
    let psql = |database: &str, sql: &str| {
        line(&server.tool("psql"), &format!("-XqAt -v ON_ERROR_STOP=1 -d {database} -c \"{sql}\""))
    };
    let bound = |name: &str| vec![manifest::auth(name, server.password()), manifest::binding(name, &server, name)];
    let sessions = "SELECT pid, state, query FROM pg_stat_activity WHERE application_name = 'coffer'";
    let given = Given {
        component: addon(),
        binding: bound("shop"),
        restore: bound("copy"),
        // Not by force: a session that is left would be in the way, and that is right.
        reset: [
            psql("postgres", "DROP DATABASE IF EXISTS copy"),
            psql("postgres", "CREATE DATABASE copy TEMPLATE template0"),
        ]
        .join(" && "),
        leftovers: Some(format!("left=$({}); echo \"$left\"; test -z \"$left\"", psql("postgres", sessions))),
        volatile: &["toc.dat"],
        // The files are numbered, and the copy has no comment on its database.
        compare: "contents",
        skipped: &[],
    };
    conforms(&given, Some(server.password()));
}

/// Two servers: a restore keeps the databases' names.
#[test]
fn the_mysql_addon_conforms() {
    for version in [MysqlVersion::MySql97, MysqlVersion::MariaDb118] {
        let [source, target] = [(); 2].map(|()| Mysql::start(version, &MysqlOptions::default()).unwrap());
        mysql::sample::create(&source, "shop", ROWS).unwrap();
        // Brings the users that own some of its objects.
        mysql::sample::create(&target, "other", sample::SMALL).unwrap();
        let query = |server: &Mysql, sql: &str| {
            line(&server.tool("mysql").unwrap(), &format!("--batch --skip-column-names --execute \"{sql}\""))
        };
        let bound = |server: &Mysql| {
            vec![
                manifest::login("shop", Mysql::USER, server.password()),
                manifest::mysql_binding("shop", server, Some("shop")),
            ]
        };
        // Our own tools come by the socket, and have no port.
        let sessions = "SELECT id, state, info FROM information_schema.processlist WHERE host LIKE '%:%'";
        let left = [&source, &target].map(|server| query(server, sessions)).join("; ");
        let given = Given {
            component: mysql_addon(),
            binding: bound(&source),
            restore: bound(&target),
            reset: query(&target, "DROP DATABASE IF EXISTS shop"),
            leftovers: Some(format!("left=$({left}); echo \"$left\"; test -z \"$left\"")),
            // Two hold a time and positions. MySQL adds the character set to a column that has a collation once it has
            // read the statement from a dump; it means the same.
            volatile: &[
                "metadata",
                "coffer.json",
                "shop.checks-schema.sql",
                "shop.clever_keys-schema.sql",
                "shop.mixed_keys-schema.sql",
            ],
            compare: "bytes",
            skipped: &[],
        };
        conforms(&given, Some(source.password()));
    }
}

/// A restore that drops what is there needs no other reset, and nobody but the proxy can tell what FerretDB still works for.
#[test]
fn the_mongodb_addon_conforms() {
    let [source, target] =
        [(); 2].map(|()| Mongodb::start(MongodbVersion::FerretDb2, &MongodbOptions::default()).unwrap());
    mongodb::sample::create(&source, "shop", ROWS).unwrap();
    let bound = |server: &Mongodb, parameters: &str| {
        vec![
            manifest::login("shop", Mongodb::USER, server.password()),
            manifest::mongodb_binding("shop", server, Some("shop")) + parameters,
        ]
    };
    let given = Given {
        component: mongodb_addon(),
        binding: bound(&source, ""),
        restore: bound(&target, "  parameters: {drop: true}\n"),
        reset: "true".to_owned(),
        leftovers: None,
        volatile: &[],
        // A copy has other UUIDs, and its documents in another order.
        compare: "facts",
        skipped: &[],
    };
    conforms(&given, Some(source.password()));
}

/// A restore that writes over what is there needs no other reset. What a dump reads from (points in time) it closes, unless the
/// kit has cut its way to the server, which closes them by itself, minutes later: the addon's own tests look at them.
#[test]
fn the_elasticsearch_addon_conforms() {
    if !SearchVersion::OpenSearch38.is_at_hand() {
        return;
    }
    let [source, target] =
        [(); 2].map(|()| Search::start(SearchVersion::OpenSearch38, &SearchOptions::default()).unwrap());
    // Twice of what as many connections may hold.
    search::sample::create(&source, 64_000).unwrap();
    // No dump has its documents unless it is told to open it.
    source.client().ask("POST", &format!("/{}/_open", search::sample::CLOSED), &Value::Null).unwrap();
    let given = Given {
        component: elasticsearch_addon(),
        binding: vec![manifest::search_binding("shop", &source) + "  parameters: {jobs: 2}\n"],
        restore: vec![manifest::search_binding("shop", &target) + "  parameters: {overwrite: true, jobs: 1}\n"],
        reset: "true".to_owned(),
        leftovers: None,
        volatile: &[],
        // A copy has its documents in another order.
        compare: "facts",
        // A node that asks nobody who they are. One that does is slower, as it has vectors: elasticsearch.rs has the password.
        skipped: &["elasticsearch-wait-ready/wrong-password", "source/wrong-password", "sink/wrong-password"],
    };
    conforms(&given, None);
}

/// A kit that cannot fail is worth nothing. The kit's own tests go through one fault after the other.
#[test]
fn an_addon_that_says_little_of_itself_does_not_conform() {
    let coffer = Coffer::without_server();
    let guests = guests().display().to_string();
    let output = coffer.run(&["addon", "test", &guests]);
    assert!(!output.success && output.stderr.contains("does not conform"), "{output}");
    let failed = |case: &str| output.stdout.lines().any(|line| line.starts_with(case) && line.contains("FAILED"));
    assert!(failed("echo/descriptor") && failed("echo/unknown-parameter"), "{output}");
}

#[test]
fn what_does_not_fit_together_is_said_before_anything_runs() {
    let coffer = Coffer::without_server();
    let component = addon().display().to_string();
    let file = |name: &str, text: &str| {
        let path = coffer.folder().join(name);
        fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let alone = "apiVersion: coffer.dev/v1alpha1\nkind: AppBinding\nmetadata: {name: shop}\nspec:\n  type: postgresql\n  \
                 clientConfig: {url: 'postgresql://127.0.0.1:1/shop', tlsMode: Disable}\n  secret: {name: shop-auth}\n";
    let alone = file("alone.yaml", alone);
    let other = file(
        "other.yaml",
        "apiVersion: coffer.dev/v1alpha1\nkind: AppBinding\nmetadata: {name: x}\nspec: {type: mongodb, clientConfig: {url: 'mongodb://127.0.0.1'}}\n",
    );
    for (arguments, word) in [
        (vec!["--binding", &*alone], "shop-auth"),
        (vec!["--binding", &*other], "mongodb"),
        (vec!["--only", "source/cut-99"], "source/cut-99"),
        (vec!["--params", "{}"], "--binding"),
    ] {
        let error = coffer.fails(&[&["addon", "test", &*component], &arguments[..]].concat());
        assert!(error.contains(word), "{error}");
    }
}
