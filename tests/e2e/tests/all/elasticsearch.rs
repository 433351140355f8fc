//! The elasticsearch addon, as a user has it: through the whole host, against Elasticsearch and OpenSearch.

use coffer_e2e::Scene;
use coffer_e2e::manifest::{self, NAMESPACE};
use coffer_test_servers::cache::run;
use coffer_test_servers::search::compare::{self, same_cluster, same_documents};
use coffer_test_servers::search::sample;
use coffer_test_servers::{Search, SearchOptions, SearchVersion};

/// The node that a copy goes to.
fn other(version: SearchVersion) -> Search {
    Search::start(version, &SearchOptions::default()).unwrap()
}

/// Whether both have the same; hidden and closed indices are in no dump that does not ask for them.
fn must_be_equal(scene: &Scene<Search>, other: &Search) {
    let mut source = compare::cluster(&scene.server).unwrap();
    for name in [sample::HIDDEN, sample::CLOSED] {
        source.indices.remove(name);
    }
    same_cluster(&source, &compare::cluster(other).unwrap()).unwrap();
}

#[test]
fn a_backup_restores_to_an_equal_cluster() {
    let scene = Scene::search(SearchVersion::OpenSearch38);
    // A closed index cannot be read.
    let error = scene.coffer.fails(&["backup", "shop", "-n", NAMESPACE]);
    assert!(error.contains(sample::CLOSED) && error.contains("set openClosed"), "{error}");
    assert_eq!(scene.snapshots(), Vec::<String>::new());
    let all = manifest::configuration(
        "shop",
        "shop",
        "shop",
        "elasticsearch-backup",
        &format!("{{jobs: 2, exclude: [{}]}}", sample::CLOSED),
        "",
    );
    scene.coffer.apply(&[all]);
    scene.backs_up();
    assert_eq!(scene.snapshots().len(), 1);
    scene.restic(&["check", "--read-data"]);
    let other = other(SearchVersion::OpenSearch38);
    scene.restores_to(&other);
    must_be_equal(&scene, &other);

    // What is there is not touched unless asked for.
    let again = ["restore", "-n", NAMESPACE, "--config", "shop", "--target", "copy", "--task", "elasticsearch-restore"];
    let error = scene.coffer.fails(&again);
    assert!(error.contains("is there already") && error.contains("overwrite"), "{error}");
    must_be_equal(&scene, &other);
    scene.coffer.ok(&[&again[..], &["--param", "overwrite=true"]].concat());
    must_be_equal(&scene, &other);

    // Without Coffer, as the manual has it.
    let folder = scene.coffer.folder().join("stock");
    scene.restic(&["restore", "latest", "--exclude", "/.coffer", "--target", folder.to_str().unwrap()]);
    other.client().ask("DELETE", &format!("/{}", sample::ORDERS), &serde_json::Value::Null).unwrap();
    for kind in ["settings", "mapping", "data"] {
        let ending = if kind == "data" { String::new() } else { format!(".{kind}") };
        let file = folder.join(format!("{}{ending}.json", sample::ORDERS));
        let mut load = other.tool("elasticdump").unwrap();
        load.arg(format!("--input={}", file.display())).arg(format!("--output={}/{}", other.url(), sample::ORDERS));
        run(load.arg(format!("--type={kind}"))).unwrap();
    }
    other.client().ask("POST", &format!("/{}/_refresh", sample::ORDERS), &serde_json::Value::Null).unwrap();
    let of = |server: &Search| compare::documents(server, sample::ORDERS).unwrap();
    same_documents(&of(&scene.server), &of(&other)).unwrap();
}

#[test]
fn a_secured_node_is_copied_into_another() {
    let scene = Scene::search(SearchVersion::Elasticsearch95Secured);
    let other = other(SearchVersion::Elasticsearch95Secured);
    scene.coffer.apply(&Scene::bound("copy", &other));
    let copy = ["copy", "shop", "--to", "copy", "-n", NAMESPACE, "--task", "elasticsearch-copy"];
    let without = format!("exclude=[{}]", sample::CLOSED);
    scene.coffer.ok(&[&copy[..], &["--param", &without]].concat());
    must_be_equal(&scene, &other);
    assert_eq!(scene.snapshots(), Vec::<String>::new());

    // Who is not let in is told, and so is a certificate that nobody we trust has signed.
    scene.coffer.apply(&[manifest::login("shop", Search::USER, "wrong-password")]);
    scene.backup_fails("shop").must_be("Denied", &[]);
    let mut strange = manifest::search_binding("shop", &scene.server);
    strange = strange.lines().filter(|line| !line.contains("caBundle")).map(|line| format!("{line}\n")).collect();
    scene.coffer.apply(&[strange]);
    let error = scene.coffer.fails(&["backup", "shop", "-n", NAMESPACE]);
    assert!(error.to_lowercase().contains("certificate"), "{error}");
    assert_eq!(scene.snapshots(), Vec::<String>::new());
}

#[test]
fn a_node_that_is_gone_fails_the_backup_and_leaves_no_snapshot() {
    let mut scene = Scene::search(SearchVersion::Elasticsearch710);
    scene.coffer.apply(&[manifest::configuration(
        "shop",
        "shop",
        "shop",
        "elasticsearch-backup",
        "{openClosed: true, hidden: true}",
        "",
    )]);
    scene.server.kill9();
    scene.backup_fails("shop");
    assert_eq!(scene.snapshots(), Vec::<String>::new());
    scene.server.start_again().unwrap();
    scene.coffer.apply(&[manifest::search_binding("shop", &scene.server)]);
    scene.backs_up();
    let other = other(SearchVersion::Elasticsearch710);
    scene.restores_to(&other);
    same_cluster(&compare::cluster(&scene.server).unwrap(), &compare::cluster(&other).unwrap()).unwrap();
}
