//! The elasticsearch addon, as a user has it: through the whole host, against Elasticsearch and OpenSearch.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, mpsc};
use std::thread;
use std::time::Duration;

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
    if !SearchVersion::OpenSearch38.is_at_hand() {
        return;
    }
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
    if !SearchVersion::Elasticsearch95Secured.is_at_hand() {
        return;
    }
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

/// A way to a node that stops whoever asks for a page behind the first, until [`Gate::open`].
struct Gate {
    port: u16,
    asked: mpsc::Receiver<()>,
    is_open: Arc<(Mutex<bool>, Condvar)>,
}

impl Gate {
    fn before(server: &Search) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (asking, asked) = mpsc::channel();
        let is_open = Arc::new((Mutex::new(false), Condvar::new()));
        let (gate, node) = (is_open.clone(), server.port());
        thread::spawn(move || {
            while let Ok((near, _)) = listener.accept() {
                let Ok(far) = TcpStream::connect(("127.0.0.1", node)) else { continue };
                let (asking, gate) = (asking.clone(), gate.clone());
                let (mut answers, mut answered) = (far.try_clone().unwrap(), near.try_clone().unwrap());
                thread::spawn(move || {
                    let _ = io::copy(&mut answers, &mut answered);
                    let _ = answered.shutdown(Shutdown::Both);
                });
                thread::spawn(move || {
                    let _ = through(near, &far, &asking, &gate);
                    let _ = far.shutdown(Shutdown::Both);
                });
            }
        });
        Gate { port, asked, is_open }
    }

    /// Waits until somebody is stopped.
    fn stops_somebody(&self) {
        self.asked.recv_timeout(Duration::from_secs(120)).unwrap();
    }

    fn open(&self) {
        *self.is_open.0.lock().unwrap() = true;
        self.is_open.1.notify_all();
    }
}

/// What comes from the one goes to the other, but for what asks for a page.
fn through(
    mut from: TcpStream,
    mut to: &TcpStream,
    asking: &mpsc::Sender<()>,
    (is_open, opened): &(Mutex<bool>, Condvar),
) -> io::Result<()> {
    const PAGE: &[u8] = b"POST /_search/scroll";
    let mut bytes = vec![0; 64 << 10];
    loop {
        let read = from.read(&mut bytes)?;
        if read == 0 {
            return Ok(());
        }
        // One is not asked for before the answer to the one before: it begins a piece.
        if bytes[..read].starts_with(PAGE) {
            let _ = asking.send(());
            drop(opened.wait_while(is_open.lock().unwrap(), |is_open| !*is_open).unwrap());
        }
        to.write_all(&bytes[..read])?;
    }
}

#[test]
fn a_node_that_goes_in_the_middle_fails_the_backup_and_leaves_no_snapshot() {
    if !SearchVersion::Elasticsearch710.is_at_hand() {
        return;
    }
    let mut scene = Scene::search(SearchVersion::Elasticsearch710);
    scene.coffer.apply(&[manifest::configuration(
        "shop",
        "shop",
        "shop",
        "elasticsearch-backup",
        "{openClosed: true, hidden: true}",
        "",
    )]);
    let gate = Gate::before(&scene.server);
    let direct = manifest::search_binding("shop", &scene.server);
    let port = |port: u16| format!("127.0.0.1:{port}");
    let gated = direct.replace(&port(scene.server.port()), &port(gate.port));
    assert_ne!(gated, direct);
    scene.coffer.apply(&[gated]);
    let session = scene.coffer.ok(&["backup", "shop", "-n", NAMESPACE, "--no-wait"]).trim().to_owned();
    gate.stops_somebody();
    scene.server.kill9();
    gate.open();
    let status = |scene: &Scene<Search>| {
        scene.coffer.json(&["get", "backupsession", &session, "-n", NAMESPACE])["status"].clone()
    };
    scene
        .coffer
        .wait_for("ended", |_| ["Succeeded", "Failed"].contains(&status(&scene)["phase"].as_str().unwrap_or("")));
    let ended = status(&scene);
    assert_eq!((&ended["phase"], &ended["error"]["class"]), (&"Failed".into(), &"Unavailable".into()), "{ended:#}");
    assert_eq!(scene.snapshots(), Vec::<String>::new());
    assert!(scene.coffer.serves());
    scene.server.start_again().unwrap();
    scene.coffer.apply(&[manifest::search_binding("shop", &scene.server)]);
    // What was opened to be read may be open still.
    scene.backs_up();
    let other = other(SearchVersion::Elasticsearch710);
    scene.restores_to(&other);
    same_cluster(&compare::cluster(&scene.server).unwrap(), &compare::cluster(&other).unwrap()).unwrap();
}
