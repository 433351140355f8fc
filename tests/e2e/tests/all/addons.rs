//! Addons that are none, want too much, or misbehave: the session fails and says whose fault it is; the server lives.

use std::fs;

use coffer_e2e::manifest;
use coffer_e2e::{Coffer, Scene, addon, guests};
use coffer_test_servers::{PostgresOptions, PostgresVersion};

#[test]
fn files_that_are_no_addon() {
    let mut coffer = Coffer::start();
    let folder = coffer.folder().to_owned();
    let wasm = fs::read(addon()).unwrap();
    for (name, bytes) in [
        ("empty.wasm", Vec::new()),
        ("text.wasm", b"I am a poem".to_vec()),
        ("module.wasm", b"\0asm\x01\0\0\0".to_vec()),
        ("component.wasm", b"\0asm\x0d\0\x01\0".to_vec()),
        ("half.wasm", wasm[..wasm.len() / 2].to_vec()),
    ] {
        let file = folder.join(name);
        fs::write(&file, bytes).unwrap();
        let error = coffer.fails(&["addon", "install", file.to_str().unwrap(), "--grant-requested"]);
        assert!(error.contains(name), "{error}");
        coffer.fails(&["addon", "inspect", file.to_str().unwrap()]);
    }
    assert!(coffer.fails(&["addon", "install", "none.wasm", "--grant-requested"]).contains("none.wasm"));
    assert!(!coffer.ok(&["addon", "list"]).contains("wasm"));
    assert!(coffer.serves());
}

#[test]
fn an_addon_that_wants_what_it_was_not_granted() {
    let coffer = Coffer::start();
    let addon = addon().display().to_string();
    let error = coffer.fails(&["addon", "install", &addon, "--grant", "inbox,outbox"]);
    assert!(error.contains("application"), "{error}");
    // Nobody is at the terminal to be asked.
    let error = coffer.fails(&["addon", "install", &addon]);
    assert!(error.contains("--grant"), "{error}");
}

/// One Function a fault; each backup must fail in its own way, within its limits, and leave nothing.
#[test]
fn an_addon_that_misbehaves() {
    let mut scene = Scene::new(PostgresVersion::V17, &PostgresOptions::default());
    scene.coffer.ok(&["addon", "install", &guests().display().to_string(), "--grant-requested"]);
    for (entry, limits, timeout, class) in [
        ("trap", "{}", "", "Trap"),
        ("recursion", "{}", "", "Trap"),
        ("exit", "{}", "", "Trap"),
        ("loop", "{cpu: 1s}", "", "Cpu"),
        ("allocate", "{memory: 64Mi}", "", "Memory"),
        ("sleep", "{}", "timeout: 2s", "Timeout"),
        ("drop-artifact", "{}", "", "Failed"),
        ("no-trailer", "{}", "", "OpenArtifacts"),
        ("bad-trailer", "{}", "", "Corrupt"),
        ("open-artifact", "{}", "", "OpenArtifacts"),
    ] {
        scene.coffer.apply(&[
            manifest::function(entry, entry, &format!("  parameters: {{type: object}}\n  limits: {limits}\n")),
            manifest::task(entry, entry),
            manifest::configuration(entry, "shop", "shop", entry, "{}", timeout),
        ]);
        let blamed = format!("{entry} of addon test-guests");
        let word = match (class, entry) {
            ("Timeout", _) => "2s, the session's timeout",
            (_, "drop-artifact") => "step only wrote no artifact",
            _ => &blamed,
        };
        scene.backup_fails(entry).must_be(class, &[word]);
    }
    assert_eq!(scene.snapshots(), Vec::<String>::new());
    assert!(scene.coffer.serves());
    // And the host can still do its work.
    scene.backs_up();
}
