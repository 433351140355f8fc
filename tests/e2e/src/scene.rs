//! The usual scene of a test: a database server with the sample database `shop`, a server of ours with the addon for it, a
//! repository on disk, and a BackupConfiguration `shop` that brings them together.

use std::path::{Path, PathBuf};
use std::process::Command;

use coffer_test_servers::cache::run;
use coffer_test_servers::{
    Mongodb, MongodbOptions, MongodbVersion, Mysql, MysqlOptions, MysqlVersion, Postgres, PostgresOptions,
    PostgresVersion, Search, SearchOptions, SearchVersion, mongodb, mysql, sample, search, tools,
};

use crate::manifest::{self, NAMESPACE};
use crate::{Coffer, addon, programs};

/// The password of the repository `shop`.
pub const REPOSITORY_PASSWORD: &str = "repository-pässword-5d2b";

pub struct Scene<S = Postgres> {
    pub coffer: Coffer,
    pub server: S,
}

/// `status.error` of a session.
#[derive(Debug)]
pub struct Failure {
    pub class: String,
    pub message: String,
    pub hint: String,
}

impl Failure {
    /// The class must be this one, and the message must hold every word.
    #[track_caller]
    pub fn must_be(&self, class: &str, words: &[&str]) {
        assert_eq!(self.class, class, "{self:?}");
        for word in words {
            assert!(self.message.contains(word), "no {word} in the message of {self:?}");
        }
    }
}

impl<S> Scene<S> {
    /// `binding` are the manifests of the AppBinding `shop` and its Secret, which has `password` where there is one.
    fn set_up(server: S, addon: &Path, binding: &[String], password: Option<&str>, task: &str) -> Self {
        let coffer = Coffer::start();
        password.into_iter().for_each(|password| coffer.keep_secret(password));
        coffer.keep_secret(REPOSITORY_PASSWORD);
        coffer.ok(&["addon", "install", &addon.display().to_string(), "--grant-requested"]);
        let scene = Self { coffer, server };
        std::fs::create_dir_all(scene.backups()).unwrap();
        scene.coffer.apply(binding);
        scene.coffer.apply(&[
            manifest::local_storage("disk", &scene.backups()),
            manifest::repository_key("shop", REPOSITORY_PASSWORD),
            manifest::repository("shop", "disk"),
            manifest::configuration("shop", "shop", "shop", task, "{jobs: 2}", ""),
        ]);
        scene
    }

    /// The storage's folder.
    pub fn backups(&self) -> PathBuf {
        self.coffer.folder().join("backups")
    }

    pub fn backs_up(&self) {
        self.coffer.ok(&["backup", "shop", "-n", NAMESPACE]);
    }

    /// Runs a backup that must fail; returns `status.error` of its session, which must hold a remedy and be what was
    /// printed.
    pub fn backup_fails(&self, configuration: &str) -> Failure {
        let printed = self.coffer.fails(&["backup", configuration, "-n", NAMESPACE]);
        let created = printed.lines().find_map(|line| line.strip_prefix("backupsession/")?.strip_suffix(" created"));
        let session = created.unwrap_or_else(|| panic!("no session was made:\n{printed}"));
        let session = self.coffer.json(&["get", "backupsession", session, "-n", NAMESPACE]);
        assert_eq!(session["status"]["phase"], "Failed", "{session:#}");
        let of = |field: &str| session["status"]["error"][field].as_str().unwrap_or_default().to_owned();
        let failure = Failure { class: of("class"), message: of("message"), hint: of("hint") };
        assert!(!failure.hint.is_empty(), "no remedy in {session:#}");
        let first = |text: &str| text.lines().next().unwrap_or_default().to_owned();
        for part in [first(&failure.message), first(&failure.hint)] {
            assert!(printed.contains(&part), "{part:?} was not printed:\n{printed}");
        }
        failure
    }

    /// Runs stock restic on the repository `shop`; fails unless it is content.
    pub fn restic(&self, arguments: &[&str]) -> String {
        self.restic_of(tools::restic().unwrap(), arguments)
    }

    pub fn restic_of(&self, program: PathBuf, arguments: &[&str]) -> String {
        let mut command = Command::new(program);
        command.arg("--repo").arg(self.backups().join("shop")).arg("--no-cache").args(arguments);
        let output = run(command.env("RESTIC_PASSWORD", REPOSITORY_PASSWORD)).unwrap();
        String::from_utf8(output).unwrap()
    }

    /// The ids of the snapshots that stock restic lists; none when there is no repository yet.
    pub fn snapshots(&self) -> Vec<String> {
        if !self.backups().join("shop/config").exists() {
            return Vec::new();
        }
        let list: serde_json::Value = serde_json::from_str(&self.restic(&["snapshots", "--json"])).unwrap();
        list.as_array().unwrap().iter().map(|snapshot| snapshot["id"].as_str().unwrap().to_owned()).collect()
    }
}

impl Scene<Postgres> {
    pub fn new(version: PostgresVersion, options: &PostgresOptions) -> Self {
        let server = Postgres::start(version, options).unwrap();
        sample::create(&server, "shop", sample::SMALL).unwrap();
        let binding = [manifest::auth("shop", server.password()), manifest::binding("shop", &server, "shop")];
        let password = server.password().to_owned();
        Self::set_up(server, &addon(), &binding, Some(&password), "postgres-backup")
    }

    /// Restores the latest snapshot into a new, empty database of the same server, known as an AppBinding of its name.
    pub fn restores_to(&self, database: &str) {
        self.server.psql("postgres", &format!("create database {database} template template0")).unwrap();
        self.coffer.apply(&[
            manifest::auth(database, self.server.password()),
            manifest::binding(database, &self.server, database),
        ]);
        self.coffer.ok(&[
            "restore",
            "-n",
            NAMESPACE,
            "--config",
            "shop",
            "--target",
            database,
            "--task",
            "postgres-restore",
        ]);
    }
}

impl Scene<Mysql> {
    pub fn mysql(version: MysqlVersion, options: &MysqlOptions) -> Self {
        let server = Mysql::start(version, options).unwrap();
        mysql::sample::create(&server, "shop", sample::SMALL).unwrap();
        let binding = [
            manifest::login("shop", Mysql::USER, server.password()),
            manifest::mysql_binding("shop", &server, Some("shop")),
        ];
        let password = server.password().to_owned();
        Self::set_up(server, &programs::mysql_addon(), &binding, Some(&password), "mysql-backup")
    }

    /// Restores the latest snapshot on another server, known as an AppBinding `copy`, where whoever owns the sample's views
    /// and routines is known.
    pub fn restores_to(&self, server: &Mysql) {
        mysql::sample::create_definer(server).unwrap();
        self.coffer.apply(&[
            manifest::login("copy", Mysql::USER, server.password()),
            manifest::mysql_binding("copy", server, None),
        ]);
        let restore = ["restore", "-n", NAMESPACE, "--config", "shop", "--target", "copy", "--task", "mysql-restore"];
        self.coffer.ok(&restore);
    }
}

impl Scene<Mongodb> {
    pub fn mongodb(version: MongodbVersion, options: &MongodbOptions) -> Self {
        let server = Mongodb::start(version, options).unwrap();
        mongodb::sample::create(&server, "shop", sample::SMALL).unwrap();
        let binding = [
            manifest::login("shop", Mongodb::USER, server.password()),
            manifest::mongodb_binding("shop", &server, None),
        ];
        let password = server.password().to_owned();
        Self::set_up(server, &programs::mongodb_addon(), &binding, Some(&password), "mongodb-backup")
    }

    /// Restores the latest snapshot on another server, known as an AppBinding `copy`.
    pub fn restores_to(&self, server: &Mongodb) {
        self.coffer.apply(&[
            manifest::login("copy", Mongodb::USER, server.password()),
            manifest::mongodb_binding("copy", server, None),
        ]);
        let restore = ["restore", "-n", NAMESPACE, "--config", "shop", "--target", "copy", "--task", "mongodb-restore"];
        self.coffer.ok(&restore);
    }
}

impl Scene<Search> {
    /// How many documents the sample has.
    pub const DOCUMENTS: u32 = 3000;

    pub fn search(version: SearchVersion) -> Self {
        let server = Search::start(version, &SearchOptions::default()).unwrap();
        search::sample::create(&server, Self::DOCUMENTS).unwrap();
        let password = server.password().map(str::to_owned);
        let binding = Self::bound("shop", &server);
        Self::set_up(server, &programs::elasticsearch_addon(), &binding, password.as_deref(), "elasticsearch-backup")
    }

    /// The manifests by which a node is known under a name.
    pub fn bound(name: &str, server: &Search) -> Vec<String> {
        let login = server.user().zip(server.password()).map(|(user, password)| manifest::login(name, user, password));
        login.into_iter().chain([manifest::search_binding(name, server)]).collect()
    }

    /// Restores the latest snapshot on another node, known as an AppBinding `copy`.
    pub fn restores_to(&self, server: &Search) {
        self.coffer.apply(&Self::bound("copy", server));
        let restore =
            ["restore", "-n", NAMESPACE, "--config", "shop", "--target", "copy", "--task", "elasticsearch-restore"];
        self.coffer.ok(&restore);
    }
}
