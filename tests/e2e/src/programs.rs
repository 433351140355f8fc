//! Where the programs under test are. `cargo xtask test` has built them and says so; otherwise they are built here, once.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The `coffer` program: `$COFFER_BIN`, else built.
pub(crate) fn coffer() -> &'static Path {
    static COFFER: OnceLock<PathBuf> = OnceLock::new();
    COFFER.get_or_init(|| match std::env::var_os("COFFER_BIN") {
        Some(path) => PathBuf::from(path),
        None => {
            build(&["--package", "coffer"]);
            target_folder().join("debug/coffer")
        }
    })
}

/// The addon for PostgreSQL.
pub fn addon() -> PathBuf {
    wasm_folder().join("coffer_addon_postgres.wasm")
}

/// The addon for MySQL and MariaDB.
pub fn mysql_addon() -> PathBuf {
    wasm_folder().join("coffer_addon_mysql.wasm")
}

/// The addon for MongoDB.
pub fn mongodb_addon() -> PathBuf {
    wasm_folder().join("coffer_addon_mongodb.wasm")
}

/// The addon for Elasticsearch and OpenSearch.
pub fn elasticsearch_addon() -> PathBuf {
    wasm_folder().join("coffer_addon_elasticsearch.wasm")
}

/// The component whose Functions each do something wrong.
pub fn guests() -> PathBuf {
    wasm_folder().join("coffer_test_guests.wasm")
}

/// Where the components are: `$COFFER_ADDONS`, else built.
fn wasm_folder() -> &'static Path {
    static ADDONS: OnceLock<PathBuf> = OnceLock::new();
    ADDONS.get_or_init(|| match std::env::var_os("COFFER_ADDONS") {
        Some(path) => PathBuf::from(path),
        None => {
            let packages = [
                "coffer-addon-elasticsearch",
                "coffer-addon-mongodb",
                "coffer-addon-mysql",
                "coffer-addon-postgres",
                "coffer-test-guests",
            ];
            let packages = packages.map(|package| ["--package", package]).concat();
            build(&[&["--target", "wasm32-wasip2", "--profile", "addon"][..], &packages[..]].concat());
            target_folder().join("wasm32-wasip2/addon")
        }
    })
}

fn build(arguments: &[&str]) {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status =
        Command::new(cargo).args(["build", "--quiet"]).args(arguments).current_dir(env!("CARGO_MANIFEST_DIR")).status();
    assert!(status.expect("cargo runs").success(), "cargo build {}", arguments.join(" "));
}

/// A test program lies in `<target>/debug/deps/`.
fn target_folder() -> PathBuf {
    let own = std::env::current_exe().expect("a test program has a path");
    own.ancestors().nth(3).expect("a test program lies in the target folder").to_owned()
}
