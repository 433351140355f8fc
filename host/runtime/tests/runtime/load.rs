//! From bytes to linked: what is refused, and why; what the cache keeps.

use crate::support::{Host, guests};
use coffer_runtime::{Capability, Error, Grants, LinkError, LoadError, Runtime, RuntimeOptions};
use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::{Path, PathBuf},
};

#[tokio::test]
async fn describes_itself() {
    let host = Host::start().await;
    let descriptor = host.linked.describe().await.unwrap();
    assert_eq!((descriptor.name.as_str(), descriptor.version.to_string().as_str()), ("test-guests", "1.2.3"));
    assert_eq!(descriptor.functions[0].capabilities, [Capability::Inbox, Capability::Outbox]);
    let error = host.run("nonsense", serde_json::json!({})).await.unwrap_err();
    assert_eq!(error.to_string(), "nonsense of addon test-guests 1.2.3: no function nonsense");
}

#[tokio::test]
async fn what_is_no_addon_is_refused_by_name() {
    let host = Host::start().await;
    let compile = async |wasm: &[u8]| host.runtime.compile(wasm).await.unwrap_err();

    assert!(matches!(compile(b"").await, LoadError::NotWasm));
    assert!(matches!(compile(b"#!/bin/sh\necho pwned\n").await, LoadError::NotWasm));
    assert!(matches!(compile(&wat::parse_str("(module)").unwrap()).await, LoadError::CoreModule));
    assert!(matches!(compile(&wat::parse_str("(component)").unwrap()).await, LoadError::NotAnAddon(_)));
    assert!(matches!(compile(&guests()[..guests().len() / 2]).await, LoadError::Compile(_)));
    let garbage = [b"\0asm\x0d\0\x01\0".as_slice(), &[0xff; 100]].concat();
    assert!(matches!(compile(&garbage).await, LoadError::Compile(_)));
    assert!(matches!(compile(&vec![0; (64 << 20) + 1]).await, LoadError::TooLarge { .. }));

    let other = component("", "coffer:addon/step@7.0.0");
    let error = compile(&other).await.to_string();
    assert_eq!(error, "built for coffer:addon@7.0.0, but this Coffer speaks coffer:addon@0.1.0");
}

#[tokio::test]
async fn exactly_what_is_missing_is_listed() {
    let host = Host::start().await;
    let compiled = host.runtime.compile(guests()).await.unwrap();
    assert_eq!(compiled.imports(), [Capability::Application, Capability::Http, Capability::Inbox, Capability::Outbox]);

    let LinkError::Missing { ungranted, unknown, .. } =
        compiled.link(&Grants::from_iter([Capability::Inbox])).unwrap_err()
    else {
        panic!("another error");
    };
    assert_eq!(ungranted, [Capability::Application, Capability::Http, Capability::Outbox]);
    assert!(unknown.is_empty());
}

#[tokio::test]
async fn foreign_imports_are_listed_and_no_grant_helps() {
    let host = Host::start().await;
    let imports = r#"
        (import "wasi:sockets/tcp@0.2.6" (instance))
        (import "wasi:http/outgoing-handler@0.2.6" (instance))
        (import "wasi:clocks/wall-clock@0.2.6" (instance))
        (import "wasi:random/random@0.3.0" (instance))
        (import "coffer:addon/everything@0.1.0" (instance))
        (import "coffer:addon/inbox@0.1.0" (instance (export "next" (func))))
        (import "coffer:addon/application@0.1.0" (instance (type $t (enum "denied")) (export "error" (type (eq $t)))))
    "#;
    let compiled = host.runtime.compile(&component(imports, "coffer:addon/step@0.1.0")).await.unwrap();
    let error = compiled.link(&Grants::none()).unwrap_err();
    let text = error.to_string();
    let LinkError::Missing { ungranted, unknown, .. } = error else { panic!("another error: {text}") };
    assert_eq!(ungranted, [Capability::Inbox]);
    assert_eq!(
        unknown,
        [
            "wasi:sockets/tcp@0.2.6",
            "wasi:http/outgoing-handler@0.2.6",
            "wasi:random/random@0.3.0",
            "coffer:addon/everything@0.1.0"
        ]
    );
    assert!(text.contains("it needs grants for inbox; it imports what no addon is given: wasi:sockets/tcp"), "{text}");
}

#[tokio::test]
async fn the_right_name_with_the_wrong_shape_does_not_link() {
    let host = Host::start().await;
    let compiled = host.runtime.compile(&component("", "coffer:addon/step@0.1.0")).await.unwrap();
    let error = compiled.link(&Grants::all()).unwrap_err();
    assert!(matches!(error, LinkError::Incompatible { .. }), "{error}");
}

/// A component with an empty instance for its only export.
fn component(imports: &str, export: &str) -> Vec<u8> {
    wat::parse_str(format!(r#"(component {imports} (instance $step) (export "{export}" (instance $step)))"#)).unwrap()
}

#[tokio::test]
async fn the_cache_is_private_and_used() {
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("a/b");
    let open = || Runtime::new(RuntimeOptions { cache: cache.clone() });
    open().unwrap().compile(guests()).await.unwrap();
    assert_eq!(mode(&cache), 0o700);
    let entry = only_entry(&cache);
    assert_eq!(mode(&entry), 0o600);

    // The entry is what is loaded: wasmtime would not give the same code another time stamp.
    let before = fs::metadata(&entry).unwrap().modified().unwrap();
    open().unwrap().compile(guests()).await.unwrap();
    assert_eq!(only_entry(&cache), entry);
    assert_eq!(fs::metadata(&entry).unwrap().modified().unwrap(), before);
}

#[tokio::test]
async fn damaged_and_foreign_entries_are_compiled_anew() {
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("cache");
    let open = || Runtime::new(RuntimeOptions { cache: cache.clone() }).unwrap();
    open().compile(guests()).await.unwrap();
    let entry = only_entry(&cache);
    let good = fs::read(&entry).unwrap();

    let mut flipped = good.clone();
    flipped[good.len() / 2] ^= 1;
    for bad in [Vec::new(), b"short".to_vec(), good[..good.len() - 1].to_vec(), flipped] {
        fs::write(&entry, bad).unwrap();
        let linked = open().compile(guests()).await.unwrap().link(&Grants::all()).unwrap();
        linked.describe().await.unwrap();
        assert_eq!(fs::read(&entry).unwrap().len(), good.len(), "replaced by a good one");
    }

    // Readable by us, writable by others: whoever wrote it, we do not run it.
    fs::set_permissions(&entry, fs::Permissions::from_mode(0o666)).unwrap();
    open().compile(guests()).await.unwrap();
    assert_eq!(mode(&entry), 0o600, "replaced by our own");

    let elsewhere = folder.path().join("elsewhere");
    fs::rename(&entry, &elsewhere).unwrap();
    symlink(&elsewhere, &entry).unwrap();
    open().compile(guests()).await.unwrap();
    assert!(fs::symlink_metadata(&entry).unwrap().is_file(), "replaced, not followed");
}

#[test]
fn a_folder_open_to_others_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("cache");
    fs::create_dir(&cache).unwrap();
    fs::set_permissions(&cache, fs::Permissions::from_mode(0o777)).unwrap();
    let error = Runtime::new(RuntimeOptions { cache }).unwrap_err();
    assert!(matches!(error, Error::CacheIsOpen { .. }), "{error}");
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn only_entry(cache: &Path) -> PathBuf {
    let mut entries: Vec<_> = fs::read_dir(cache).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(entries.len(), 1, "{entries:?}");
    entries.remove(0)
}
