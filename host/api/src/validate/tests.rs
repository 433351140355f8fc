//! Manifests as operators write them, good and bad.

use serde_json::{Value, json};

use super::{validate, validate_update};
use crate::{AppBinding, BackupConfiguration, TlsMode};

/// Everything wrong with a manifest, as an operator reads it.
fn causes(manifest: &str) -> Vec<String> {
    let mut object: Value = serde_saphyr::from_str(manifest).unwrap();
    validate(&mut object)
        .err()
        .map(|invalid| invalid.causes)
        .unwrap_or_default()
        .iter()
        .map(ToString::to_string)
        .collect()
}

fn valid(manifest: &str) -> Value {
    let mut object: Value = serde_saphyr::from_str(manifest).unwrap();
    validate(&mut object).unwrap();
    object
}

const CONFIGURATION: &str = "
apiVersion: coffer.dev/v1alpha1
kind: BackupConfiguration
metadata: {name: shop, namespace: demo}
spec:
  target: {kind: AppBinding, name: shop}
  sessions:
  - name: full
    task: {name: postgres-backup, params: {jobs: 4}}
    repositories: [{name: shop-repo}]
    timeout: 2h
    retry: {maxRetries: 1, delay: 10s}
";

#[test]
fn the_demo_manifest_passes_and_gets_its_defaults() {
    let object = valid(
        "
apiVersion: coffer.dev/v1alpha1
kind: AppBinding
metadata: {name: shop, namespace: demo}
spec:
  type: postgresql
  version: '17'
  clientConfig: {url: 'postgresql://127.0.0.1:5432/shop'}
  secret: {name: shop-auth}
  parameters:
",
    );
    let binding: AppBinding = serde_json::from_value(object).unwrap();
    assert_eq!(binding.spec.client_config.tls_mode, TlsMode::Require);
    assert!(binding.spec.parameters.is_empty());

    let object = valid(CONFIGURATION);
    assert_eq!(object["spec"]["paused"], false);
    let configuration: BackupConfiguration = serde_json::from_value(object.clone()).unwrap();
    assert_eq!(configuration.spec.session("full").unwrap().task.params.0["jobs"], 4);
    // What is stored comes back the same, so that a get followed by an apply changes nothing.
    let mut again = serde_json::to_value(&configuration).unwrap();
    validate(&mut again).unwrap();
    assert_eq!(again, object);

    for manifest in [
        "{apiVersion: v1, kind: Namespace, metadata: {name: demo}}",
        "{apiVersion: coffer.dev/v1alpha1, kind: BackupStorage, metadata: {name: disk}, spec: {local: {path: /backups}}}",
        "{apiVersion: coffer.dev/v1alpha1, kind: BackupStorage, metadata: {name: s3},
          spec: {s3: {bucket: b, endpoint: 'http://127.0.0.1:9000', prefix: p}, secret: {name: s}}}",
        "{apiVersion: coffer.dev/v1alpha1, kind: Repository, metadata: {name: r},
          spec: {storage: {name: disk}, path: prod/shop, encryptionSecret: {name: key}}}",
        "{apiVersion: coffer.dev/v1alpha1, kind: RestoreSession, metadata: {generateName: copy-},
          spec: {target: {name: copy}, dataSource: {repository: {name: r}}, task: {name: postgres-restore}}}",
        "{apiVersion: coffer.dev/v1alpha1, kind: BackupSession, metadata: {name: s},
          spec: {configuration: {name: shop}, session: full}}",
    ] {
        valid(manifest);
    }
}

#[test]
fn misspelt_fields_are_told_with_what_was_meant() {
    assert_eq!(
        causes(&CONFIGURATION.replace("repositories", "repositorys").replace("namespace", "namspace")),
        [
            "metadata.namspace: unknown field (did you mean namespace?)",
            "spec.sessions[0].repositories: required, and not given",
            "spec.sessions[0].repositorys: unknown field (did you mean repositories?)",
        ]
    );
    assert_eq!(
        causes(&CONFIGURATION.replace("timeout: 2h", "schedule: '@daily'")),
        ["spec.sessions[0].schedule: unknown field (known fields: name, repositories, retry, task, timeout)"]
    );
    assert_eq!(
        causes("{apiVersion: coffer.dev/v1alpha1, kind: BackupConfigration, metadata: {name: x}, spec: {}}"),
        ["kind: unknown kind \"BackupConfigration\" (did you mean BackupConfiguration?)"]
    );
    assert_eq!(
        causes("{apiVersion: core.kubestash.com/v1alpha1, kind: BackupConfiguration, metadata: {name: x}, spec: {}}"),
        ["apiVersion: \"core.kubestash.com/v1alpha1\" has no kind BackupConfiguration (write apiVersion: \
             coffer.dev/v1alpha1)"]
    );
}

#[test]
fn wrong_types_and_values_are_told_with_their_place() {
    assert_eq!(
        causes(&CONFIGURATION.replace("2h", "2 hours").replace("maxRetries: 1", "maxRetries: '1'")),
        [
            "spec.sessions[0].retry.maxRetries: must be a whole number, is a string (write it without quotes)",
            "spec.sessions[0].timeout: \"2 hours\" is no duration: write whole numbers with the units h, m, s or ms, such \
             as 30s, 5m or 2h30m",
        ]
    );
    assert_eq!(
        causes(
            &CONFIGURATION
                .replace("name: shop-repo", "name: Shop Repo")
                .replace("kind: AppBinding", "kind: Appbinding")
        ),
        [
            "spec.sessions[0].repositories[0].name: \"Shop Repo\" is no name: use lower-case letters, digits and hyphens, \
             dots, at most 253 characters, a letter or digit at both ends",
            "spec.target.kind: \"Appbinding\" is not one of AppBinding; did you mean AppBinding?",
        ]
    );
    assert_eq!(
        causes(&CONFIGURATION.replace("[{name: shop-repo}]", "[]")),
        ["spec.sessions[0].repositories: must not be empty (give at least one entry)"]
    );
}

#[test]
fn rules_that_span_fields_hold() {
    let second = "  - {name: full, task: {name: t}, repositories: [{name: r}, {name: r}]}\n";
    assert_eq!(
        causes(&format!("{}{second}", CONFIGURATION.trim_end().to_owned() + "\n")),
        [
            "spec.sessions[1].name: \"full\" stands at spec.sessions[0].name too (sessions have different names)",
            "spec.sessions[1].repositories[1]: \"r\" stands at spec.sessions[1].repositories[0] too (repositories have \
             different names)",
        ]
    );
    let storage = |spec: &str| {
        causes(&format!(
            "{{apiVersion: coffer.dev/v1alpha1, kind: BackupStorage, metadata: {{name: x}}, spec: {spec}}}"
        ))
    };
    assert_eq!(storage("{}"), ["spec: needs exactly one of local, s3; none is set"]);
    assert_eq!(
        storage("{local: {path: backups}, s3: {bucket: b}}"),
        [
            "spec: needs exactly one of local, s3; local and s3 are set (keep one, remove the others)",
            "spec.local.path: \"backups\" is not absolute (write the whole path, beginning with /)",
        ]
    );
    let repository = causes(
        "{apiVersion: coffer.dev/v1alpha1, kind: Repository, metadata: {name: x},
          spec: {path: ../etc, encryptionSecret: {name: k}}}",
    );
    assert!(repository[0].starts_with("spec.path: \"../etc\" is no plain relative path"), "{repository:?}");
}

#[test]
fn a_binding_keeps_secrets_out_of_its_address() {
    let binding = |config: &str| {
        causes(&format!(
            "{{apiVersion: coffer.dev/v1alpha1, kind: AppBinding, metadata: {{name: x}}, spec: {{type: postgresql, \
             clientConfig: {config}}}}}"
        ))
    };
    let found = binding("{url: 'postgresql://postgres:hunter2@db:5432/shop'}");
    assert_eq!(found.len(), 1);
    assert!(found[0].starts_with("spec.clientConfig.url: holds a user name or a password"), "{found:?}");
    assert!(!found[0].contains("hunter2"));
    assert_eq!(binding("{url: 'postgresql://db', service: {name: db, port: 5432}}").len(), 1);
    assert_eq!(binding("{url: 'postgresql://db', tlsMode: Disable, serverName: db}").len(), 1);
    assert_eq!(binding("{url: 'postgresql://db', caBundle: bm90IGEgY2VydA==}").len(), 1);
    assert_eq!(binding("{service: {name: db, port: 0}}"), ["spec.clientConfig.service.port: 0 is less than 1"]);
}

#[test]
fn secrets_are_checked_and_never_shown() {
    let object = valid("{apiVersion: v1, kind: Secret, metadata: {name: s}, stringData: {password: hunter2}}");
    assert_eq!(object["data"]["password"], "aHVudGVyMg==");
    assert_eq!(object["type"], "Opaque");
    for manifest in [
        "{apiVersion: v1, kind: Secret, metadata: {name: s}, data: {password: hunter2!}}",
        "{apiVersion: v1, kind: Secret, metadata: {name: s}, data: {password: 4711}}",
        "{apiVersion: v1, kind: Secret, metadata: {name: s}, strinData: {password: hunter2}}",
        "{apiVersion: v1, kind: Secret, metadata: {name: s}, stringData: {password: 4711}}",
    ] {
        let found = causes(manifest);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(!found[0].contains("hunter2") && !found[0].contains("4711"), "{found:?}");
    }
}

#[test]
fn objects_without_identity_or_in_the_wrong_scope_are_refused() {
    assert_eq!(
        causes("{apiVersion: v1, kind: Secret, metadata: {}}"),
        ["metadata.name: missing (give the object a name)"]
    );
    assert_eq!(
        causes("{kind: Secret}"),
        ["apiVersion: missing: this is no Kubernetes object (write apiVersion: coffer.dev/v1alpha1)"]
    );
    assert_eq!(
        causes("{apiVersion: v1, kind: Namespace, metadata: {name: a, namespace: b}}"),
        ["metadata.namespace: a Namespace belongs to no namespace (remove it)"]
    );
    for mut object in [json!(null), json!([]), json!("x"), json!({"apiVersion": 1, "kind": 2})] {
        assert!(validate(&mut object).is_err());
    }
}

#[test]
fn a_manifest_nested_without_end_is_refused() {
    let mut spec = json!({});
    for _ in 0..1000 {
        spec = json!({"selector": spec});
    }
    let mut object =
        json!({"apiVersion": "coffer.dev/v1alpha1", "kind": "Addon", "metadata": {"name": "x"}, "spec": spec});
    assert!(validate(&mut object).is_err());
}

#[test]
fn the_error_names_the_object() {
    let mut object: Value = serde_saphyr::from_str(&CONFIGURATION.replace("timeout", "timout")).unwrap();
    assert_eq!(
        validate(&mut object).unwrap_err().to_string(),
        "BackupConfiguration demo/shop is refused\n  spec.sessions[0].timout: unknown field (did you mean timeout?)"
    );
}

#[test]
fn a_name_that_is_no_string_is_not_called_missing() {
    for (name, shown, found) in [("5", "5", "a number (put it in quotes)"), ("[a]", "[\"a\"]", "a list")] {
        let manifest = format!("{{apiVersion: v1, kind: Secret, metadata: {{name: {name}}}}}");
        let mut object: Value = serde_saphyr::from_str(&manifest).unwrap();
        let refused = validate(&mut object).unwrap_err().to_string();
        assert_eq!(refused, format!("Secret {shown} is refused\n  metadata.name: must be a string, is {found}"));
    }
    assert_eq!(
        causes("{apiVersion: v1, kind: Secret, metadata: {name: null}}"),
        ["metadata.name: missing (give the object a name)"]
    );
    assert_eq!(
        causes("{apiVersion: v1, kind: Secret, metadata: {generateName: 5}}"),
        ["metadata.generateName: must be a string, is a number (put it in quotes)"]
    );
}

#[test]
fn data_comes_from_a_snapshot_or_from_another_application() {
    let with = |source: &str| {
        causes(&format!(
            "{{apiVersion: coffer.dev/v1alpha1, kind: RestoreSession, metadata: {{name: s}},
              spec: {{target: {{name: a}}, dataSource: {source}, task: {{name: t}}}}}}"
        ))
    };
    assert_eq!(with("{application: {name: b}}"), Vec::<String>::new());
    let one = "spec.dataSource: needs exactly one of repository, application;";
    assert_eq!(with("{}"), [format!("{one} none is set")]);
    let both = with("{repository: {name: r}, application: {name: b}}");
    assert_eq!(both, [format!("{one} repository and application are set (keep one, remove the others)")]);
    let itself = "spec.dataSource.application: is the target itself (name another AppBinding in one)";
    let unused = "spec.dataSource.snapshot: means nothing for an application (remove it)";
    assert_eq!(with("{application: {name: a}, snapshot: latest}"), [itself, unused]);
}

#[test]
fn a_session_keeps_what_it_was_made_with() {
    let backup = valid(
        "{apiVersion: coffer.dev/v1alpha1, kind: BackupSession, metadata: {name: s}, spec: {configuration: {name: a}}}",
    );
    let restore = valid(
        "{apiVersion: coffer.dev/v1alpha1, kind: RestoreSession, metadata: {name: s},
          spec: {target: {name: a}, dataSource: {repository: {name: r}, snapshot: latest},
                 task: {name: t, params: {jobs: 1}}}}",
    );
    for (before, field, pointer) in [
        (&backup, "spec.configuration", "/spec/configuration/name"),
        (&restore, "spec.dataSource", "/spec/dataSource/snapshot"),
        (&restore, "spec.task", "/spec/task/params/jobs"),
    ] {
        let mut after = before.clone();
        after["metadata"]["labels"] = json!({"a": "b"});
        after["status"] = json!({"phase": "Failed"});
        validate_update(before, &after).unwrap();
        *after.pointer_mut(pointer).unwrap() = json!("other");
        let refused = validate_update(before, &after).unwrap_err();
        assert!(refused.causes.len() == 1 && refused.causes[0].field == field, "{refused}");
        assert!(refused.to_string().contains("make a new session"), "{refused}");
    }
    // What may change goes on doing so.
    let before = valid(CONFIGURATION);
    let mut after = before.clone();
    after["spec"]["paused"] = json!(true);
    validate_update(&before, &after).unwrap();
}
