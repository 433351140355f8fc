//! The servers that speak MongoDB's protocol: they start and go, keep what the corpus says they keep, and stock
//! `mongodump` and `mongorestore` copy the sample, as the comparison that judges Coffer's own restores sees it.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;

use bson::{RawArrayBuf, RawBson, RawDocumentBuf, rawdoc};
use coffer_test_servers::cache::run;
use coffer_test_servers::mongodb::compare::{Database, collections, same_database, same_documents};
use coffer_test_servers::mongodb::{Mongodb, MongodbOptions, MongodbTls, MongodbVersion, corpus, sample};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, ClientConnection, RootCertStore};

fn start(version: MongodbVersion) -> Mongodb {
    Mongodb::start(version, &MongodbOptions::default()).unwrap()
}

/// Every server that can be started, and the real one where somebody has one.
fn each(test: impl Fn(&Mongodb)) {
    MongodbVersion::ALL.into_iter().for_each(|version| test(&start(version)));
    if let Some(server) = Mongodb::real().unwrap() {
        test(&server);
    }
}

fn dump(server: &Mongodb, database: &str, into: &Path) {
    run(server.tool("mongodump").unwrap().args(["--db", database]).arg("--out").arg(into)).unwrap();
}

fn update(collection: &str, id: i32, set: RawDocumentBuf) -> RawDocumentBuf {
    let update = rawdoc! { "q": { "_id": id }, "u": { "$set": set } };
    rawdoc! { "update": collection, "updates": RawArrayBuf::from_iter([RawBson::Document(update)]) }
}

#[test]
fn servers_keep_what_the_corpus_says_they_keep() {
    each(|server| {
        for case in [corpus::values(), corpus::ids(), corpus::large()].concat() {
            let keeps = corpus::keeps(server, "coffer_probe", &case).unwrap();
            assert_eq!(keeps, case.kept_by(server.version()), "{} and {:?}", server.version().name(), case.name);
        }
    });
}

#[test]
fn the_sample_has_every_kind_of_object_that_the_server_knows() {
    each(|server| {
        let name = "coffer_sample";
        sample::create(server, name, sample::SMALL).unwrap();
        let found = collections(Database { server, name }).unwrap();
        let bytes: u64 = found.values().map(|collection| collection.bytes).sum();
        assert!((1 << 20..4 << 20).contains(&bytes), "{bytes}");
        assert!(found["orders"].documents > 2000 && found["empty"].documents == 0);
        let indexes: usize = found.values().map(|collection| collection.indexes.len()).sum();
        match server.version() {
            MongodbVersion::FerretDb1 => {
                assert_eq!((found.len(), indexes), (7, 12));
                let options = &found[sample::CAPPED].options;
                assert!(options.contains(&"capped: Boolean(true)".to_owned()), "{options:?}");
            }
            MongodbVersion::FerretDb2 => assert_eq!((found.len(), indexes), (6, 20)),
            MongodbVersion::Mongod => assert_eq!((found.len(), indexes), (7, 21)),
        }
        if server.version() != MongodbVersion::FerretDb1 {
            sample::create_view(server, name).unwrap();
            let view = &collections(Database { server, name }).unwrap()[sample::VIEW];
            assert!(view.kind == "view" && (300..900).contains(&view.documents), "{view:?}");
        }
        server.client().unwrap().drop_database(name).unwrap();
    });
}

#[test]
fn stock_tools_copy_the_sample_and_the_corpus_and_one_changed_value_is_found() {
    for version in MongodbVersion::ALL {
        let (server, copy) = (start(version), start(version));
        sample::create(&server, "sample", sample::SMALL).unwrap();
        corpus::create(&server, "corpus").unwrap();
        let names = sample::create_awkward_names(&server, "names").unwrap();
        assert!(names.len() > 10, "{names:?}");
        let mut client = server.client().unwrap();
        client.run("names", &rawdoc! { "drop": sample::NEW_LINE }).unwrap();

        let folder = tempfile::tempdir().unwrap();
        ["sample", "corpus", "names"].iter().for_each(|name| dump(&server, name, folder.path()));
        // FerretDB 1 refuses what mongorestore says of an index.
        let is_whole = version == MongodbVersion::FerretDb2;
        let more: &[&str] = if is_whole { &[] } else { &["--noIndexRestore"] };
        run(copy.tool("mongorestore").unwrap().args(more).arg(folder.path())).unwrap();
        let compare = if is_whole { same_database } else { same_documents };
        for name in ["sample", "corpus", "names"] {
            let same = compare(Database { server: &server, name }, Database { server: &copy, name }).unwrap();
            assert!(same.values().map(|collection| collection.documents).sum::<u64>() > 20);
        }

        let change = update("users", 7, rawdoc! { "attributes.points": 4711 });
        client.run("sample", &change).unwrap();
        let (one, other) = (Database { server: &server, name: "sample" }, Database { server: &copy, name: "sample" });
        let error = compare(one, other).unwrap_err().to_string();
        assert!(error.contains("only sample: {") && error.contains("4711"), "{error}");
        assert!(!error.contains("orders"), "{error}");
    }
}

#[test]
fn mongodump_takes_an_oplog_along_where_there_is_one() {
    let options = MongodbOptions { replica_set: Some("rs0".into()), ..MongodbOptions::default() };
    let server = Mongodb::start(MongodbVersion::FerretDb1, &options).unwrap();
    sample::create(&server, "sample", sample::SMALL).unwrap();
    let mut client = server.client().unwrap();
    let hello = client.run("admin", &rawdoc! { "hello": 1 }).unwrap();
    assert_eq!(hello.get_str("setName").unwrap(), "rs0");
    let oplog = client.query("local", &rawdoc! { "find": "oplog.rs" }).unwrap();
    assert!(oplog.iter().any(|entry| entry.get_str("ns").unwrap() == "sample.orders"));
    let folder = tempfile::tempdir().unwrap();
    run(server.tool("mongodump").unwrap().arg("--oplog").arg("--out").arg(folder.path())).unwrap();
    assert!(folder.path().join("oplog.bson").is_file());

    let refused = Mongodb::start(MongodbVersion::FerretDb2, &options).err().unwrap().to_string();
    assert!(refused.contains("replica sets"), "{refused}");
}

#[test]
fn logins_are_checked() {
    for version in MongodbVersion::ALL {
        let server = start(version);
        let dump = |user: &str, password: &str| {
            let mut command = coffer_test_servers::mongodb::tool("mongodump").unwrap();
            command.args(["--port", &server.port().to_string(), "--username", user, "--password", password]);
            let folder = tempfile::tempdir().unwrap();
            run(command.args(["--authenticationDatabase", "admin", "--out"]).arg(folder.path()))
        };
        dump(server.user(), server.password()).unwrap();
        for (user, password) in [(server.user(), "wrong"), ("nobody", server.password())] {
            let refused = dump(user, password).unwrap_err().to_string();
            assert!(refused.contains("auth error"), "{}: {refused}", version.name());
        }
        let open = MongodbOptions { auth: false, ..MongodbOptions::default() };
        let open = Mongodb::start(version, &open).unwrap();
        open.client().unwrap().insert("shop", "users", &[rawdoc! { "_id": 1 }]).unwrap();
    }
}

/// Says hello without a client's certificate. Stock tools would try for half a minute before they say why they cannot.
fn greet_over_tls(server: &Mongodb) -> std::io::Result<()> {
    let mut roots = RootCertStore::empty();
    let authority = server.authority().unwrap().certificate();
    roots.add(CertificateDer::from_pem_slice(authority.as_bytes()).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(rustls::crypto::ring::default_provider().into());
    let config = config.with_safe_default_protocol_versions().unwrap().with_root_certificates(roots);
    let name = "localhost".try_into().unwrap();
    let mut session = ClientConnection::new(config.with_no_client_auth().into(), name).unwrap();
    let mut socket = TcpStream::connect((server.host(), server.port()))?;
    let mut stream = rustls::Stream::new(&mut session, &mut socket);
    let hello = rawdoc! { "hello": 1, "$db": "admin" };
    let size = 21 + hello.as_bytes().len() as u32;
    let head: Vec<u8> = [size, 1, 0, 2013, 0].into_iter().flat_map(u32::to_le_bytes).collect();
    stream.write_all(&[&head, [0].as_slice(), hello.as_bytes()].concat())?;
    stream.read_exact(&mut [0; 16])
}

#[test]
fn tls_is_what_the_port_speaks_where_asked_for() {
    for version in MongodbVersion::ALL {
        let server = |tls| Mongodb::start(version, &MongodbOptions { tls, ..MongodbOptions::default() }).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let required = server(MongodbTls::Required);
        run(required.tls_tool("mongodump").unwrap().arg("--out").arg(folder.path())).unwrap();

        let mutual = server(MongodbTls::ClientCertificate);
        let refused = greet_over_tls(&mutual).unwrap_err().to_string();
        assert!(refused.contains("CertificateRequired"), "{}: {refused}", version.name());
        greet_over_tls(&required).unwrap();
        let identity = mutual.authority().unwrap().client("somebody").unwrap();
        let file = folder.path().join("client.pem");
        std::fs::write(&file, identity.certificate + &identity.key).unwrap();
        let mut command = mutual.tls_tool("mongodump").unwrap();
        run(command.arg("--sslPEMKeyFile").arg(file).arg("--out").arg(folder.path())).unwrap();
    }
}

#[test]
fn a_killed_server_comes_back_with_its_data_and_a_dropped_one_leaves_nothing() {
    for version in MongodbVersion::ALL {
        let mut server = start(version);
        server.client().unwrap().insert("shop", "users", &[rawdoc! { "_id": 7 }]).unwrap();
        let port = server.port();
        server.kill9();
        assert!(server.client().is_err());
        server.start_again().unwrap();
        assert_eq!((server.port(), server.client().unwrap().count("shop", "users").unwrap()), (port, 1));
        let folders = server.folders();
        assert!(folders.iter().all(|folder| folder.exists()));
        drop(server);
        assert!(!folders.iter().any(|folder| folder.exists()), "{folders:?}");
        assert!(!coffer_test_servers::process::listens(port));
    }
}
