//! What is backed up in a benchmark: a server with the sample database `shop`, and what a user would take for it instead.

use std::path::{Path, PathBuf};
use std::process::Command;

use clap::ValueEnum;
use coffer_test_servers::{
    Mongodb, MongodbOptions, MongodbVersion, Mysql, MysqlOptions, MysqlVersion, Postgres, PostgresOptions,
    PostgresVersion, Search, SearchOptions, SearchVersion, compare, mongodb, mysql, sample, search,
};
use serde_json::{Value, json};

use crate::shell::Result;
use crate::stage::Binding;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    Postgres,
    Mysql,
    Mariadb,
    Mongodb,
    Opensearch,
}

pub enum Application {
    Postgres(Postgres),
    Mysql(Mysql),
    Mongodb(Mongodb),
    Search(Search),
}

/// What of the sample is measured of a search engine: elasticdump writes one index into a stream.
const INDEX: &str = search::sample::PRODUCTS;

/// Documents of the sample in a megabyte.
const DOCUMENTS: u32 = 2000;

/// Where a restore reads and writes, and what it is told.
pub struct Restored {
    pub source: &'static str,
    pub copy: &'static str,
    pub parameters: &'static [&'static str],
}

impl Kind {
    pub const ALL: [Self; 5] = [Self::Postgres, Self::Mysql, Self::Mariadb, Self::Mongodb, Self::Opensearch];

    pub fn name(self) -> &'static str {
        match self {
            Self::Postgres => "PostgreSQL 17",
            Self::Mysql => MysqlVersion::MySql97.name(),
            Self::Mariadb => MysqlVersion::MariaDb118.name(),
            Self::Mongodb => MongodbVersion::FerretDb2.name(),
            Self::Opensearch => SearchVersion::OpenSearch38.name(),
        }
    }

    pub fn addon(self) -> &'static str {
        match self {
            Self::Postgres => "coffer_addon_postgres.wasm",
            Self::Mysql | Self::Mariadb => "coffer_addon_mysql.wasm",
            Self::Mongodb => "coffer_addon_mongodb.wasm",
            Self::Opensearch => "coffer_addon_elasticsearch.wasm",
        }
    }

    pub fn restore_task(self) -> &'static str {
        match self {
            Self::Postgres => "postgres-restore",
            Self::Mysql | Self::Mariadb => "mysql-restore",
            Self::Mongodb => "mongodb-restore",
            Self::Opensearch => "elasticsearch-restore",
        }
    }

    /// What dumps and what loads without Coffer.
    pub fn stock(self) -> [&'static str; 2] {
        match self {
            Self::Postgres => ["pg_dump", "psql"],
            Self::Mysql => ["mysqldump", "mysql"],
            Self::Mariadb => ["mariadb-dump", "mariadb"],
            Self::Mongodb => ["mongodump --archive", "mongorestore --archive"],
            Self::Opensearch => ["elasticdump --output=$", "elasticdump --input=$"],
        }
    }
}

impl Application {
    /// Starts a server and fills `shop` with about `size` megabytes of rows.
    pub fn start(kind: Kind, size: u32) -> Result<Self> {
        let version = match kind {
            Kind::Postgres => {
                let server = Postgres::start(PostgresVersion::V17, &PostgresOptions::default())?;
                sample::create(&server, "shop", size)?;
                return Ok(Self::Postgres(server));
            }
            Kind::Mongodb => {
                let server = Mongodb::start(MongodbVersion::FerretDb2, &MongodbOptions::default())?;
                mongodb::sample::create(&server, "shop", size)?;
                return Ok(Self::Mongodb(server));
            }
            Kind::Opensearch => {
                let options = SearchOptions { heap: 1024, ..SearchOptions::default() };
                let server = Search::start(SearchVersion::OpenSearch38, &options)?;
                search::sample::create(&server, size * DOCUMENTS)?;
                return Ok(Self::Search(server));
            }
            Kind::Mysql => MysqlVersion::MySql97,
            Kind::Mariadb => MysqlVersion::MariaDb118,
        };
        let server = Mysql::start(version, &MysqlOptions::default())?;
        mysql::sample::create(&server, "shop", size)?;
        Ok(Self::Mysql(server))
    }

    /// Of `shop`, in bytes.
    pub fn size(&self) -> Result<u64> {
        let size = match self {
            Self::Postgres(server) => server.psql("shop", "select pg_database_size('shop')")?,
            Self::Mysql(server) => server.mysql(
                "analyze table shop.item; select sum(data_length + index_length) from information_schema.tables \
                 where table_schema = 'shop'",
            )?,
            Self::Mongodb(server) => {
                let collections = mongodb::compare::collections(mongodb::compare::Database { server, name: "shop" })?;
                return Ok(collections.values().map(|collection| collection.bytes).sum());
            }
            Self::Search(server) => {
                let path = format!("/{INDEX}/_stats/store");
                let stats = server.client().ask("GET", &path, &Value::Null)?;
                return Ok(stats.pointer("/_all/primaries/store/size_in_bytes").and_then(Value::as_u64).unwrap_or(0));
            }
        };
        Ok(size.lines().last().and_then(|size| size.parse().ok()).unwrap_or(0))
    }

    /// All that the server runs as: what it costs is not the backup's.
    pub fn process_ids(&self) -> Vec<u32> {
        let process = match self {
            Self::Postgres(server) => server.process_id(),
            Self::Mysql(server) => server.process_id(),
            Self::Mongodb(server) => return server.process_ids(),
            Self::Search(server) => server.process_id(),
        };
        process.into_iter().collect()
    }

    pub fn binding(&self) -> Binding<'_> {
        match self {
            Self::Postgres(server) => server.into(),
            Self::Mysql(server) => server.into(),
            Self::Mongodb(server) => server.into(),
            Self::Search(server) => server.into(),
        }
    }

    /// A shell command that prints a dump of `shop`.
    pub fn dump(&self) -> Result<String> {
        match self {
            Self::Postgres(_) => Ok("pg_dump shop".into()),
            Self::Mysql(server) => {
                let mut dump = server.tool("mysqldump")?;
                dump.args(["--single-transaction", "--routines", "--events", "--hex-blob", "shop"]);
                // The copy goes back into the same server, which has MySQL's GTIDs already. Of MariaDB, a table whose numbers
                // come from a sequence cannot be filled under the locks that its dump takes.
                dump.arg(if server.version().is_mariadb() { "--skip-add-locks" } else { "--set-gtid-purged=OFF" });
                Ok(line(&dump))
            }
            Self::Mongodb(server) => Ok(format!("{} --db shop --archive --quiet", line(&server.tool("mongodump")?))),
            Self::Search(server) => Ok(format!(
                "{} --input={}/{INDEX} '--output=$' --type=data --limit=2000 --quiet",
                line(&server.tool("elasticdump")?),
                server.url()
            )),
        }
    }

    /// A shell command that reads such a dump into a database.
    pub fn load(&self, database: &str) -> Result<String> {
        match self {
            Self::Postgres(_) => Ok(format!("psql --quiet --output=/dev/null {database}")),
            Self::Mysql(server) => Ok(line(server.tool("mysql")?.arg(database))),
            Self::Mongodb(server) => Ok(format!(
                "{} --archive --quiet --nsInclude 'shop.*' --nsFrom 'shop.*' --nsTo '{database}.*'",
                line(&server.tool("mongorestore")?)
            )),
            Self::Search(server) => Ok(format!(
                "{} '--input=$' --output={}/{database} --type=data --limit=2000 --quiet",
                line(&server.tool("elasticdump")?),
                server.url()
            )),
        }
    }

    /// Sets what those commands need to find the server; returns the folder of its programs.
    pub fn environment(&self, shell: &mut Command) -> Result<PathBuf> {
        let tool = match self {
            Self::Postgres(server) => server.tool("psql"),
            Self::Mysql(server) => server.tool("mysql")?,
            Self::Mongodb(server) => server.tool("mongodump")?,
            Self::Search(server) => server.tool("elasticdump")?,
        };
        for (name, value) in tool.get_envs() {
            match value {
                Some(value) => shell.env(name, value),
                None => shell.env_remove(name),
            };
        }
        Ok(Path::new(tool.get_program()).parent().unwrap_or(Path::new("")).to_owned())
    }

    pub fn empty(&self, database: &str) -> Result<()> {
        match self {
            Self::Postgres(server) => {
                server.psql("postgres", &format!("drop database if exists {database} with (force)"))?;
                server.psql("postgres", &format!("create database {database} template template0"))?;
            }
            Self::Mysql(server) => {
                server.mysql(&format!("drop database if exists {database}; create database {database}"))?;
            }
            Self::Mongodb(server) => server.client()?.drop_database(database)?,
            Self::Search(server) => {
                self.remove(database)?;
                // elasticdump's own run for this is not counted.
                let client = server.client();
                let found = client.ask("GET", &format!("/{INDEX}"), &Value::Null)?;
                let of = |part: &str| found.pointer(&format!("/{INDEX}/{part}")).cloned().unwrap_or_default();
                let settings =
                    ["analysis", "number_of_shards"].map(|name| (name, of(&format!("settings/index/{name}"))));
                let settings: Value = settings.into_iter().collect();
                client.ask(
                    "PUT",
                    &format!("/{database}"),
                    &json!({ "settings": settings, "mappings": of("mappings") }),
                )?;
            }
        }
        Ok(())
    }

    /// Deletes an index, if there is one.
    fn remove(&self, index: &str) -> Result<()> {
        if let Self::Search(server) = self {
            server.client().ask("DELETE", &format!("/{index}?ignore_unavailable=true"), &Value::Null)?;
        }
        Ok(())
    }

    /// PostgreSQL's own restores go where the binding says, so the source has to make room.
    pub fn before_restore(&self) -> Result<Restored> {
        match self {
            Self::Postgres(server) => {
                server.psql("postgres", "create database before template shop")?;
                self.empty("shop")?;
                Ok(Restored { source: "before", copy: "shop", parameters: &[] })
            }
            Self::Mysql(_) | Self::Mongodb(_) => {
                self.empty("restored")?;
                let parameters = &["--param", "rename={shop: restored}"];
                Ok(Restored { source: "shop", copy: "restored", parameters })
            }
            Self::Search(_) => {
                self.remove("restored")?;
                let parameters = &["--param", "rename={shop-products: restored}", "--param", "aliases=false"];
                Ok(Restored { source: INDEX, copy: "restored", parameters })
            }
        }
    }

    pub fn same_rows(&self, source: &str, copy: &str) -> Result<()> {
        match self {
            Self::Postgres(server) => {
                compare::same_rows(
                    compare::Database { server, name: source },
                    compare::Database { server, name: copy },
                )?;
            }
            Self::Mysql(server) => {
                let database = |name| mysql::compare::Database { server, name };
                mysql::compare::same_rows(database(source), database(copy))?;
            }
            Self::Mongodb(server) => {
                let database = |name| mongodb::compare::Database { server, name };
                mongodb::compare::same_database(database(source), database(copy))?;
            }
            Self::Search(server) => {
                server.client().ask("POST", &format!("/{copy}/_refresh"), &Value::Null)?;
                let documents = |name| search::compare::documents(server, name);
                search::compare::same_documents(&documents(source)?, &documents(copy)?)?;
            }
        }
        Ok(())
    }

    /// Takes away what [`Self::before_restore`] made.
    pub fn after_restore(&self) -> Result<()> {
        match self {
            Self::Postgres(server) => drop(server.psql("postgres", "drop database before")?),
            Self::Mysql(server) => drop(server.mysql("drop database restored")?),
            Self::Mongodb(_) => self.empty("restored")?,
            Self::Search(_) => self.remove("restored")?,
        }
        Ok(())
    }
}

/// As a shell reads it. No argument here needs quotes.
fn line(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or_default().to_string_lossy().into_owned();
    let arguments = command.get_args().map(|argument| argument.to_string_lossy().into_owned());
    std::iter::once(program).chain(arguments).collect::<Vec<_>>().join(" ")
}
