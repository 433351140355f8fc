//! Manifests as a user would write them, all in one namespace.

use std::path::Path;

use coffer_test_servers::certs::Authority;
use coffer_test_servers::{Mongodb, Mysql, Postgres, S3, Search};

pub const NAMESPACE: &str = "demo";

fn metadata(name: &str) -> String {
    format!("metadata: {{name: {name}, namespace: {NAMESPACE}}}\n")
}

fn of(kind: &str, name: &str, spec: &str) -> String {
    format!("apiVersion: coffer.dev/v1alpha1\nkind: {kind}\n{}spec:\n{spec}\n", metadata(name))
}

pub fn secret(name: &str, entries: &[(&str, &str)]) -> String {
    let data: String = entries.iter().map(|(key, value)| format!("  {key}: {}\n", quoted(value))).collect();
    format!("apiVersion: v1\nkind: Secret\n{}stringData:\n{data}", metadata(name))
}

/// An AppBinding for a database, its credentials in the Secret `<name>-auth`.
pub fn binding(name: &str, server: &Postgres, database: &str) -> String {
    application(name, "postgresql", &server.url(database), server.authority())
}

/// An AppBinding for one database of a server, or for all.
pub fn mysql_binding(name: &str, server: &Mysql, database: Option<&str>) -> String {
    let kind = if server.version().is_mariadb() { "mariadb" } else { "mysql" };
    let url = format!("{}/{}", server.url().trim_end_matches('/'), database.unwrap_or_default());
    application(name, kind, &url, server.authority())
}

/// An AppBinding for one database of a server, or for all.
pub fn mongodb_binding(name: &str, server: &Mongodb, database: Option<&str>) -> String {
    let url = server.url();
    let (hosts, query) =
        url.split_once("/?").map_or((url.as_str(), String::new()), |(hosts, query)| (hosts, format!("?{query}")));
    application(name, "mongodb", &format!("{hosts}/{}{query}", database.unwrap_or_default()), server.authority())
}

/// An AppBinding for a node. One that knows no users gets no Secret.
pub fn search_binding(name: &str, server: &Search) -> String {
    let kind = if server.version().is_opensearch() { "opensearch" } else { "elasticsearch" };
    let binding = application(name, kind, &server.url(), server.authority());
    match server.user() {
        Some(_) => binding,
        None => binding.lines().filter(|line| !line.starts_with("  secret:")).map(|line| format!("{line}\n")).collect(),
    }
}

/// An AppBinding for addons that connect to nothing.
pub fn unbound(name: &str) -> String {
    of("AppBinding", name, "  type: none\n  clientConfig: {url: \"tcp://127.0.0.1:9\", tlsMode: Disable}")
}

fn application(name: &str, kind: &str, url: &str, authority: Option<&Authority>) -> String {
    let tls = match authority {
        None => "    tlsMode: Disable\n".to_owned(),
        Some(authority) => format!("    caBundle: {}\n", base64(authority.certificate().as_bytes())),
    };
    of(
        "AppBinding",
        name,
        &format!("  type: {kind}\n  clientConfig:\n    url: {url}\n{tls}  secret: {{name: {name}-auth}}"),
    )
}

pub fn auth(name: &str, password: &str) -> String {
    login(name, Postgres::USER, password)
}

pub fn login(name: &str, user: &str, password: &str) -> String {
    secret(&format!("{name}-auth"), &[("username", user), ("password", password)])
}

pub fn local_storage(name: &str, path: &Path) -> String {
    of("BackupStorage", name, &format!("  local: {{path: {}}}", path.display()))
}

/// Its keys are in the Secret `<name>-keys`.
pub fn s3_storage(name: &str, server: &S3) -> String {
    let (bucket, endpoint, region) = (S3::BUCKET, server.endpoint(), S3::REGION);
    let s3 = format!("  s3: {{bucket: {bucket}, endpoint: {endpoint:?}, region: {region}, forcePathStyle: true}}");
    of("BackupStorage", name, &format!("{s3}\n  secret: {{name: {name}-keys}}"))
}

pub fn s3_keys(name: &str, secret_key: &str) -> String {
    secret(&format!("{name}-keys"), &[("AWS_ACCESS_KEY_ID", S3::ACCESS_KEY), ("AWS_SECRET_ACCESS_KEY", secret_key)])
}

/// Its password is in the Secret `<name>-key`.
pub fn repository(name: &str, storage: &str) -> String {
    of(
        "Repository",
        name,
        &format!("  storage: {{name: {storage}}}\n  path: {name}\n  encryptionSecret: {{name: {name}-key}}"),
    )
}

pub fn repository_key(name: &str, password: &str) -> String {
    secret(&format!("{name}-key"), &[("RESTIC_PASSWORD", password)])
}

/// One session, `full`, of a Task with parameters (YAML, in braces) and further fields of the session.
pub fn configuration(name: &str, target: &str, repository: &str, task: &str, params: &str, more: &str) -> String {
    let session = format!(
        "  sessions:\n    - name: full\n      task: {{name: {task}, params: {params}}}\n      repositories: [{{name: {repository}}}]\n"
    );
    let more: String = more.lines().map(|line| format!("      {line}\n")).collect();
    of("BackupConfiguration", name, &format!("  target: {{kind: AppBinding, name: {target}}}\n{session}{more}"))
}

/// A Function of the test guests, cluster-wide: a source, whatever else it does.
pub fn function(name: &str, entry: &str, more: &str) -> String {
    guest(name, entry, "source", &format!("  capabilities: [outbox]\n{more}"))
}

/// The same as a sink.
pub fn sink(name: &str, entry: &str) -> String {
    guest(name, entry, "sink", "  parameters: {type: object}\n  capabilities: [inbox]\n")
}

fn guest(name: &str, entry: &str, role: &str, more: &str) -> String {
    let spec = format!("  addon: test-guests\n  entry: {entry}\n  role: {role}\n{more}");
    format!("apiVersion: coffer.dev/v1alpha1\nkind: Function\nmetadata: {{name: {name}}}\nspec:\n{spec}")
}

/// A Task of one step that calls a Function, cluster-wide.
pub fn task(name: &str, function: &str) -> String {
    format!(
        "apiVersion: coffer.dev/v1alpha1\nkind: Task\nmetadata: {{name: {name}}}\nspec:\n  steps:\n    - {{name: only, function: {function}}}\n"
    )
}

/// A YAML string in double quotes.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let word = chunk.iter().fold(0_u32, |word, byte| word << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for place in 0..4 {
            let digit = ALPHABET[(word >> (18 - 6 * place) & 63) as usize];
            text.push(if place > chunk.len() { '=' } else { char::from(digit) });
        }
    }
    text
}
