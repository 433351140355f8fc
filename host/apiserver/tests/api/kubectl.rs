//! Stock kubectl against the listening server. Taken from `COFFER_KUBECTL`, else from the path.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use coffer_api::BackupStorage;
use kube::api::{Api, Patch, PatchParams};
use serde_json::json;

use crate::{Fixture, Killed};

struct Kubectl {
    program: PathBuf,
    fixture: Fixture,
}

const MANIFEST: &str = "
apiVersion: v1
kind: Secret
metadata: {name: shop-auth}
stringData: {username: postgres, password: geheim}
---
apiVersion: coffer.dev/v1alpha1
kind: AppBinding
metadata:
  name: shop
spec:
  type: postgresql
  version: \"17\"
  clientConfig: {url: \"postgresql://127.0.0.1:5432/shop\", tlsMode: Disable}
  secret: {name: shop-auth}
---
apiVersion: coffer.dev/v1alpha1
kind: BackupStorage
metadata: {name: disk}
spec: {local: {path: /backups}}
";

impl Kubectl {
    async fn start() -> Option<Kubectl> {
        let given = std::env::var_os("COFFER_KUBECTL").map(PathBuf::from);
        let program = given.unwrap_or_else(|| "kubectl".into());
        if Command::new(&program).args(["version", "--client"]).output().is_err() {
            coffer_test_servers::skipped(format_args!("kubectl tests: no {} (set COFFER_KUBECTL)", program.display()));
            return None;
        }
        Some(Kubectl { program, fixture: Fixture::start().await })
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command
            .env("KUBECONFIG", self.fixture.listening.kubeconfig())
            // Its caches of discovery and schemas go with the fixture.
            .env("HOME", self.fixture.dir.path())
            .env("KUBECACHEDIR", self.fixture.dir.path().join("kubecache"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Runs off the async threads: the server it talks to lives on them.
    async fn run(&self, arguments: &[&str], input: &str) -> Output {
        let mut child = self.command().args(arguments).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        tokio::task::spawn_blocking(move || child.wait_with_output()).await.unwrap().unwrap()
    }

    async fn ok_with(&self, arguments: &[&str], input: &str) -> String {
        let output = self.run(arguments, input).await;
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "kubectl {arguments:?}: {out}{err}");
        assert!(!err.contains("Warning"), "kubectl {arguments:?}: {err}");
        out.into_owned()
    }

    async fn ok(&self, arguments: &[&str]) -> String {
        self.ok_with(arguments, "").await
    }

    async fn refused(&self, arguments: &[&str], input: &str) -> String {
        let output = self.run(arguments, input).await;
        assert!(!output.status.success(), "kubectl {arguments:?} should be refused");
        String::from_utf8_lossy(&output.stderr).into_owned()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn applies_and_shows() {
    let Some(kubectl) = Kubectl::start().await else { return };
    let out = kubectl.ok_with(&["apply", "-f", "-"], MANIFEST).await;
    for line in
        ["secret/shop-auth created", "appbinding.coffer.dev/shop created", "backupstorage.coffer.dev/disk created"]
    {
        assert!(out.contains(line), "{out}");
    }
    let out = kubectl.ok_with(&["apply", "-f", "-"], MANIFEST).await;
    assert!(out.contains("appbinding.coffer.dev/shop unchanged"), "{out}");
    assert!(out.contains("backupstorage.coffer.dev/disk unchanged"), "{out}");
    let changed = MANIFEST.replace("version: \"17\"", "version: \"16\"").replace("username: postgres, ", "");
    let out = kubectl.ok_with(&["apply", "-f", "-"], &changed).await;
    assert!(out.contains("appbinding.coffer.dev/shop configured"), "{out}");

    let yaml = kubectl.ok(&["get", "appbinding", "shop", "-o", "yaml"]).await;
    assert!(yaml.contains("version: \"16\"") && yaml.contains("kind: AppBinding"), "{yaml}");
    let table = kubectl.ok(&["get", "appbindings,backupstorages,secrets"]).await;
    assert!(table.contains("NAME") && table.contains("AGE") && table.contains("Opaque"), "{table}");
    let wide = kubectl.ok(&["get", "appbindings", "-A", "-o", "wide"]).await;
    assert!(wide.contains("NAMESPACE") && wide.contains("default"), "{wide}");
    let all = kubectl.ok(&["get", "coffer"]).await;
    assert!(all.contains("appbinding.coffer.dev/shop"), "{all}");
    let password = kubectl.ok(&["get", "secret", "shop-auth", "-o", "jsonpath={.data.password}"]).await;
    assert_eq!(password, "Z2VoZWlt");
    let none = kubectl.run(&["get", "backupsessions", "-A"], "").await;
    assert!(String::from_utf8_lossy(&none.stderr).contains("No resources found"), "{none:?}");

    let text = kubectl.ok(&["describe", "appbinding", "shop"]).await;
    assert!(text.contains("Kind:") && text.contains("AppBinding") && text.contains("Events:"), "{text}");
    let text = kubectl.ok(&["describe", "secret", "shop-auth"]).await;
    assert!(text.contains("password:  6 bytes"), "{text}");
    let text = kubectl.ok(&["explain", "appbinding.spec.clientConfig"]).await;
    assert!(text.contains("tlsMode"), "{text}");
    let text = kubectl.ok(&["api-resources"]).await;
    assert!(text.contains("backupconfigurations"), "{text}");

    let out = kubectl.ok(&["label", "appbinding", "shop", "tier=db"]).await;
    assert!(out.contains("labeled"), "{out}");
    let out = kubectl.ok(&["get", "appbinding", "-l", "tier=db", "-o", "name"]).await;
    assert_eq!(out.trim(), "appbinding.coffer.dev/shop");
    let out =
        kubectl.ok(&["patch", "appbinding", "shop", "--type=merge", "-p", "{\"spec\": {\"version\": \"15\"}}"]).await;
    assert!(out.contains("patched"), "{out}");
    let out = kubectl.ok(&["delete", "appbinding", "shop"]).await;
    assert!(out.contains("deleted"), "{out}");
    let err = kubectl.refused(&["get", "appbinding", "shop"], "").await;
    assert!(err.contains("appbindings.coffer.dev \"shop\" not found"), "{err}");
    kubectl.ok_with(&["delete", "-f", "-", "--ignore-not-found"], MANIFEST).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn applies_on_the_server() {
    let Some(kubectl) = Kubectl::start().await else { return };
    let out = kubectl.ok_with(&["apply", "--server-side", "-f", "-"], MANIFEST).await;
    assert!(out.contains("appbinding.coffer.dev/shop serverside-applied"), "{out}");
    let other = MANIFEST.replace("version: \"17\"", "version: \"16\"");
    let err = kubectl.refused(&["apply", "--server-side", "--field-manager=other", "-f", "-"], &other).await;
    assert!(err.contains("conflict") && err.contains(".spec.version"), "{err}");
    kubectl.ok_with(&["apply", "--server-side", "--field-manager=other", "--force-conflicts", "-f", "-"], &other).await;
    let version = kubectl.ok(&["get", "appbinding", "shop", "-o", "jsonpath={.spec.version}"]).await;
    assert_eq!(version, "16");
    let fields = kubectl.ok(&["get", "appbinding", "shop", "-o", "yaml", "--show-managed-fields"]).await;
    assert!(fields.contains("manager: other") && fields.contains("f:version"), "{fields}");

    // From client-side to server-side: kubectl hands its fields over by itself.
    let storage =
        "{apiVersion: coffer.dev/v1alpha1, kind: BackupStorage, metadata: {name: late}, spec: {local: {path: /a}}}";
    kubectl.ok_with(&["apply", "-f", "-"], storage).await;
    kubectl.ok_with(&["apply", "--server-side", "-f", "-"], storage).await;
    let moved = storage.replace("/a", "/b");
    kubectl.ok_with(&["apply", "--server-side", "-f", "-"], &moved).await;
    let path = kubectl.ok(&["get", "backupstorage", "late", "-o", "jsonpath={.spec.local.path}"]).await;
    assert_eq!(path, "/b");
}

#[tokio::test(flavor = "multi_thread")]
async fn refuses_bad_manifests() {
    let Some(kubectl) = Kubectl::start().await else { return };
    let misspelt = MANIFEST.replace("clientConfig:", "clientConfg:");
    for arguments in [&["apply", "-f", "-"][..], &["apply", "--server-side", "-f", "-"], &["create", "-f", "-"]] {
        let err = kubectl.refused(arguments, &misspelt).await;
        assert!(err.contains("spec.clientConfg"), "{arguments:?}: {err}");
    }
    let err = kubectl.refused(&["apply", "-n", "nowhere", "-f", "-"], MANIFEST).await;
    assert!(err.contains("namespaces \"nowhere\" not found") && err.contains("create namespace"), "{err}");
    let out = kubectl.ok(&["create", "namespace", "nowhere"]).await;
    assert!(out.contains("namespace/nowhere created"), "{out}");
    kubectl.ok(&["create", "secret", "generic", "-n", "nowhere", "key", "--from-literal=a=b"]).await;
    let key = kubectl.ok(&["get", "secret", "-n", "nowhere", "key", "-o", "jsonpath={.data.a}"]).await;
    assert_eq!(key, "Yg==");
    kubectl.ok_with(&["apply", "-n", "nowhere", "-f", "-"], MANIFEST).await;
    let out = kubectl.ok(&["delete", "namespace", "nowhere"]).await;
    assert!(out.contains("deleted"), "{out}");
}

#[tokio::test(flavor = "multi_thread")]
async fn does_what_else_people_do() {
    let Some(kubectl) = Kubectl::start().await else { return };
    kubectl.ok_with(&["apply", "-f", "-"], MANIFEST).await;
    let changed = MANIFEST.replace("path: /backups", "path: /elsewhere");
    let diff = kubectl.run(&["diff", "-f", "-"], &changed).await;
    let shown = String::from_utf8_lossy(&diff.stdout);
    assert!(diff.status.code() == Some(1) && shown.contains("+    path: /elsewhere"), "{diff:?}");
    kubectl.ok_with(&["apply", "--dry-run=server", "-f", "-"], &changed).await;
    let path = kubectl.ok(&["get", "backupstorage", "disk", "-o", "jsonpath={.spec.local.path}"]).await;
    assert_eq!(path, "/backups");
    kubectl.ok_with(&["replace", "-f", "-"], &changed).await;
    kubectl.ok(&["annotate", "backupstorage", "disk", "note=x"]).await;
    kubectl.ok(&["wait", "--for=jsonpath={.spec.local.path}=/elsewhere", "backupstorage/disk", "--timeout=20s"]).await;
    let sorted = kubectl.ok(&["get", "secrets", "--sort-by=.metadata.name", "--chunk-size=1"]).await;
    assert!(sorted.contains("shop-auth"), "{sorted}");
    let out = kubectl.ok(&["get", "backupstorages", "-o", "custom-columns=P:.spec.local.path"]).await;
    assert!(out.contains("/elsewhere"), "{out}");
    let out = kubectl.ok(&["explain", "backupconfiguration", "--recursive"]).await;
    assert!(out.contains("sessions"), "{out}");
    kubectl.ok(&["api-versions"]).await;
    kubectl.ok(&["get", "--raw", "/readyz"]).await;
    kubectl.ok(&["delete", "backupstorage", "disk", "--cascade=foreground"]).await;
    kubectl.ok(&["delete", "appbindings", "--all"]).await;
    let none = kubectl.ok(&["get", "coffer", "-A", "-o", "name"]).await;
    assert_eq!(none, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn watches() {
    let Some(kubectl) = Kubectl::start().await else { return };
    let storage =
        "{apiVersion: coffer.dev/v1alpha1, kind: BackupStorage, metadata: {name: disk}, spec: {local: {path: /a}}}";
    kubectl.ok_with(&["apply", "-f", "-"], storage).await;
    let mut child = Killed(kubectl.command().args(["get", "backupstorages", "-w"]).spawn().unwrap());
    let stdout = child.0.stdout.take().unwrap();
    let lines = tokio::task::spawn_blocking(move || {
        let mut lines = std::io::BufRead::lines(std::io::BufReader::new(stdout));
        // The header and the object as it is, then the change.
        (0..2).for_each(|_| drop(lines.next()));
        lines.next().unwrap().unwrap()
    });
    // Changed again and again, so that one change comes after the watch began.
    let storages: Api<BackupStorage> = Api::default_namespaced(kubectl.fixture.server.client());
    for number in 0.. {
        if lines.is_finished() {
            break;
        }
        assert!(number < 600, "the watch says nothing");
        let status = json!({"status": {"phase": if number % 2 == 0 { "Ready" } else { "NotReady" }}});
        storages.patch_status("disk", &PatchParams::default(), &Patch::Merge(status)).await.unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    drop(child);
    let line = lines.await.unwrap();
    assert!(line.starts_with("disk") && (line.contains("Ready") || line.contains("NotReady")), "{line}");
}
