//! What the command line says, word for word, where no server is needed to say it.
#![allow(clippy::unwrap_used, reason = "a test may fail")]

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

/// Runs `coffer` in an empty folder with nothing in its environment; returns exit code, stdout and stderr.
fn coffer(arguments: &[&str], stdin: &str) -> String {
    let home = tempfile::tempdir().unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_coffer"))
        .args(arguments)
        .current_dir(home.path())
        .env_clear()
        .env("HOME", home.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(stdin.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap().replace(home.path().to_str().unwrap(), "~");
    format!("exit {}\n{}{}", output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn a_result_that_could_not_be_written_is_a_failure() {
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_coffer")).arg("version").stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8(output.stderr).unwrap().contains("unable to write stdout: No space left on device"));
}

#[test]
fn without_a_server_a_command_says_how_to_get_one() {
    insta::assert_snapshot!(coffer(&["get", "addons"], ""), @"
    exit 1
    error: no Coffer server is running here
      cause: there is no kubeconfig at ~/.local/share/coffer/kubeconfig
      hint: start one with `coffer serve`, or name its data folder by --data-dir or its kubeconfig by --kubeconfig
    ");
    insta::assert_snapshot!(coffer(&["--kubeconfig", "none", "get", "addons"], ""), @"
    exit 1
    error: there is no kubeconfig at none
      hint: check --kubeconfig and $COFFER_KUBECONFIG
    ");
}

#[test]
fn what_a_kubeconfig_holds_is_not_shown() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "users:\n- name: coffer\n  user: {token: hunter2\n").unwrap();
    let said = coffer(&["--kubeconfig", file.path().to_str().unwrap(), "get", "addons"], "");
    assert!(said.contains("not a kubeconfig") && !said.contains("hunter2"), "{said}");
}

#[test]
fn all_that_is_wrong_with_a_manifest_is_said_at_once() {
    let manifest = "
apiVersion: coffer.dev/v1alpha1
kind: BackupStorage
metadata: {name: disk, namespace: demo}
spec: {local: {path: backups}}
---
apiVersion: coffer.dev/v1alpha1
kind: Repositry
metadata: {name: shop}
---
kind: [
---
apiVersion: coffer.dev/v1alpha1
kind: BackupConfiguration
metadata: {name: shop}
spec:
  target: {name: shop}
  sessions:
  - {name: full, tsk: {name: postgres-backup}, repositories: [{name: shop}], timeout: soon}
";
    insta::assert_snapshot!(coffer(&["apply", "--check", "-f", "-"], manifest));
}

#[test]
fn a_good_manifest_is_checked_without_a_server() {
    let manifest = "{apiVersion: v1, kind: Secret, metadata: {name: key}, stringData: {RESTIC_PASSWORD: x}}";
    insta::assert_snapshot!(coffer(&["apply", "--check", "-f", "-"], manifest), @"
    exit 0
    1 document is valid
    ");
}

#[test]
fn help_begins_with_what_one_needs() {
    insta::assert_snapshot!(coffer(&["-h"], ""));
    insta::assert_snapshot!(coffer(&["backup", "-h"], ""));
}

#[test]
fn a_misspelt_command_is_a_usage_error() {
    let said = coffer(&["bakcup", "shop"], "");
    assert!(said.starts_with("exit 2\n") && said.contains("'backup'"), "{said}");
}

#[test]
fn a_file_that_is_no_component_is_no_addon() {
    let file = tempfile::Builder::new().suffix(".wasm").tempfile().unwrap();
    std::fs::write(file.path(), "a poem").unwrap();
    let said = coffer(&["addon", "inspect", file.path().to_str().unwrap()], "");
    assert!(said.starts_with("exit 1\nerror: ") && said.contains("not a WebAssembly component"), "{said}");
}

/// As one finds it that is started right after a `kill -9` of another.
#[test]
fn a_server_waits_until_the_one_before_has_let_go() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let before = coffer_apiserver::Server::open(&data).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_coffer"));
    command.args(["serve", "--data-dir"]).arg(&data).stdin(Stdio::null()).stderr(Stdio::piped());
    let mut serve = command.spawn().unwrap();
    let mut lines = BufReader::new(serve.stderr.take().unwrap()).lines().map(Result::unwrap);
    let waits = lines.next().unwrap_or_default();
    drop(before);
    let listens = lines.next().unwrap_or_default();
    serve.kill().unwrap();
    serve.wait().unwrap();
    let named = format!("control.redb is in use by process {} (", std::process::id());
    assert!(waits.starts_with("waiting for up to ") && waits.contains(&named), "{waits}");
    assert!(listens.starts_with("listening on "), "{listens}");
}
