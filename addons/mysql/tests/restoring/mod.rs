//! Servers to restore into, and a small dump that is written by hand: every part of it can be broken.

// clippy.toml allows these in test functions; helpers of tests are as much a test.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::print_stderr, clippy::unwrap_used)]

use super::support::at;
use coffer_addon::testing::{self, Written};
use coffer_addon::{Artifact, Ends, Error, Report};
use coffer_addon_mysql::layout::{Account, Database, FORMAT, INDEX, Index, Program, ProgramKind, Server, Sql, Table};
use coffer_test_servers::Mysql;
use std::sync::atomic::{AtomicU32, Ordering};

/// A name that no other test has.
pub fn name() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("test_{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Restores as somebody.
pub async fn restore_as(
    server: &Mysql,
    (user, password): (&str, &str),
    parameters: &str,
    dump: Vec<Written>,
) -> Result<Report, Error> {
    let (outbox, _) = testing::outbox();
    let ends = Ends { application: at(server.port(), user, Some(password), &[]), inbox: testing::inbox(dump), outbox };
    coffer_addon_mysql::addon().run(ends, "mysql-restore", parameters).await
}

/// Restores with all privileges.
pub async fn restore(server: &Mysql, parameters: &str, dump: Vec<Written>) -> Result<Report, Error> {
    restore_as(server, (Mysql::USER, server.password()), parameters, dump).await
}

/// Dumps with all privileges.
pub async fn dump(server: &Mysql, parameters: &str) -> (Report, Vec<Written>) {
    let (outbox, written) = testing::outbox();
    let ends = Ends {
        application: at(server.port(), Mysql::USER, Some(server.password()), &[]),
        inbox: testing::inbox([]),
        outbox,
    };
    let report = coffer_addon_mysql::addon().run(ends, "mysql-dump", parameters).await.expect("dumped");
    (report, written.take())
}

/// An artifact without labels.
pub fn artifact(name: &str, bytes: impl Into<Vec<u8>>) -> Written {
    Written { artifact: Artifact { name: name.into(), labels: Vec::new() }, bytes: Ok(bytes.into()) }
}

/// A fact of a report.
pub fn fact<'a>(report: &'a Report, name: &str) -> &'a str {
    let found = report.facts.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    found.unwrap_or_else(|| panic!("{report:?}"))
}

/// A program of somebody's, written in UTF-8 under the usual mode.
pub fn program(kind: ProgramKind, database: &str, name: &str, create: &str, definer: &str) -> Program {
    let is_view = kind == ProgramKind::View;
    Program {
        kind,
        database: database.into(),
        name: name.into(),
        file: format!("{database}.{name}"),
        table: (kind == ProgramKind::Trigger).then(|| "orders".into()),
        create: create.into(),
        definer: Some(definer.into()),
        sql_mode: (!is_view).then(|| "STRICT_TRANS_TABLES".into()),
        character_set_client: "utf8mb4".into(),
        collation_connection: "utf8mb4_general_ci".into(),
        database_collation: (!is_view).then(|| "utf8mb4_general_ci".into()),
        time_zone: (kind == ProgramKind::Event).then(|| "SYSTEM".into()),
        columns: Vec::new(),
    }
}

/// A dump, part by part.
pub struct Small {
    pub index: Index,
    /// Those with rows.
    pub files: Vec<Written>,
    pub metadata: String,
}

/// What every file with rows begins with.
pub const HEAD: &str = "/*!40101 SET NAMES binary */;\n/*!40101 SET FOREIGN_KEY_CHECKS = 0 */;\n";

impl Small {
    /// Customers with a mood, orders of theirs, a log that a trigger writes, and what looks at them.
    pub fn new(database: &str, definer: &str) -> Small {
        let quoted = |account: &str| account.split('@').map(|part| format!("`{part}`")).collect::<Vec<_>>().join("@");
        let by = format!("DEFINER={}", quoted(definer));
        let table = |name: &str, columns: &[&str], create: &str| Table {
            name: name.into(),
            file: format!("{database}.{name}"),
            create: create.into(),
            engine: "InnoDB".into(),
            columns: columns.iter().map(ToString::to_string).collect(),
            rows: true,
            estimated_bytes: 100,
            history: false,
        };
        let program = |kind, name: &str, create: String| program(kind, database, name, &create, definer);
        let charset = "DEFAULT CHARSET=utf8mb4";
        let tables = vec![
            // Before what it refers to.
            table(
                "orders",
                &["id", "customer", "total"],
                &format!(
                    "CREATE TABLE `orders` (\n  `id` int NOT NULL,\n  `customer` int NOT NULL,\n  `total` decimal(8,2) NOT NULL,\n  \
                     PRIMARY KEY (`id`),\n  KEY `customer` (`customer`),\n  CONSTRAINT `of` FOREIGN KEY (`customer`) REFERENCES \
                     `customers` (`id`)\n) ENGINE=InnoDB {charset}"
                ),
            ),
            table(
                "customers",
                &["id", "name", "mood"],
                &format!(
                    "CREATE TABLE `customers` (\n  `id` int NOT NULL,\n  `name` varchar(20) NOT NULL,\n  `mood` enum('good','bad') \
                     NOT NULL,\n  PRIMARY KEY (`id`),\n  UNIQUE KEY `name` (`name`)\n) ENGINE=InnoDB {charset}"
                ),
            ),
            table("log", &["entry"], &format!("CREATE TABLE `log` (\n  `entry` text\n) ENGINE=InnoDB {charset}")),
        ];
        let index = Index {
            format: FORMAT,
            tool: "a test".into(),
            server: Server {
                flavor: "mysql".into(),
                version: "8.0.1".into(),
                number: 80_001,
                lower_case_table_names: 0,
            },
            schema: true,
            data: true,
            filtered: None,
            position: None,
            databases: vec![Database {
                name: database.into(),
                file: database.into(),
                create: format!(
                    "CREATE DATABASE `{database}` /*!40100 DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci */"
                )
                .into(),
                charset: "utf8mb4".into(),
                collation: "utf8mb4_general_ci".into(),
                sequences: Vec::new(),
                tables,
                routines: vec![program(
                    ProgramKind::Function,
                    "owed",
                    format!(
                        "CREATE {by} FUNCTION `owed`(c int) RETURNS decimal(8,2) READS SQL DATA RETURN (SELECT SUM(total) FROM {database}.orders WHERE customer = c)"
                    ),
                )],
                triggers: vec![program(
                    ProgramKind::Trigger,
                    "noted",
                    format!(
                        "CREATE {by} TRIGGER `noted` AFTER INSERT ON `orders` FOR EACH ROW INSERT INTO {database}.log VALUES (CONCAT('order ', NEW.id))"
                    ),
                )],
                events: vec![program(
                    ProgramKind::Event,
                    "sweep",
                    format!(
                        "CREATE {by} EVENT `sweep` ON SCHEDULE EVERY 1 YEAR ON COMPLETION NOT PRESERVE DISABLE DO DELETE FROM `log`"
                    ),
                )],
            }],
            views: vec![program(
                ProgramKind::View,
                "debts",
                format!(
                    "CREATE ALGORITHM=UNDEFINED {by} SQL SECURITY DEFINER VIEW `debts` AS select `customers`.`name` AS `name`,`{database}`.`owed`(`customers`.`id`) AS `owed` from `customers`"
                ),
            )],
            accounts: Vec::new(),
        };
        let files = vec![
            artifact(
                &format!("{database}.orders.00000.sql"),
                format!("{HEAD}INSERT INTO `orders` (`id`,`customer`,`total`) VALUES(1,2,5.50)\n,(2,1,7.00)\n;\n"),
            ),
            artifact(
                &format!("{database}.orders.00001.sql"),
                format!("{HEAD}INSERT INTO `orders` (`id`,`customer`,`total`) VALUES(3,2,1.25)\n;\n"),
            ),
            artifact(
                &format!("{database}.customers.00000.sql"),
                format!(
                    "{HEAD}INSERT INTO `customers` (`id`,`name`,`mood`) VALUES(1,'M\u{fc}ller;\\n','good')\n,(2,'it\\'s',0)\n;\n"
                ),
            ),
        ];
        let metadata = ["orders", "customers", "log"].into_iter().zip([3, 2, 0]);
        let metadata = metadata
            .map(|(table, rows)| format!("[`{database}`.`{table}`]\nreal_table_name={table}\nrows = {rows}\n\n"));
        Small {
            index,
            files,
            metadata: format!(
                "# Started\n[config]\nquote-character = BACKTICK\n\n{}# Finished dump at: 2026-01-02 03:04:05\n",
                metadata.collect::<String>()
            ),
        }
    }

    /// With an account that may read orders.
    pub fn with_account(mut self, account: &str, create: &str, grant: &str) -> Small {
        self.index.accounts.push(Account {
            name: account.into(),
            role: false,
            create: create.into(),
            grants: vec![Sql::from(grant)],
        });
        self
    }

    pub fn artifacts(&self) -> Vec<Written> {
        let index = artifact(INDEX, self.index.to_bytes().expect("JSON"));
        let schema =
            artifact(&format!("{}-schema-create.sql", self.index.databases[0].file), "CREATE DATABASE nonsense;\n");
        let mut all = vec![index, schema];
        all.extend(self.files.iter().cloned());
        all.push(artifact("metadata", self.metadata.clone()));
        all
    }
}
