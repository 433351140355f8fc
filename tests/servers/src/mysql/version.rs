//! Which MySQLs and MariaDBs there are, and how each gets from its package into the cache.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cache::{self, run};
use crate::debian::Wanted;
use crate::error::{AtPath, Error, Result};
use crate::relocate::relocate;
use crate::tools::{self, overridden};
use crate::{maven, mysql::MysqlAuth};

/// MySQL 5.5.9 for Linux, its system tables and its messages: jars in a jar.
const MYSQL_55: &str = "mysql:mysql-connector-mxj-db-files:5.0.12";

/// The programs that are made to run from the cache, under their vendor-neutral names.
const TOOLS: [&str; 4] = ["mysql", "mysqldump", "mysqladmin", "mysqlbinlog"];

/// MySQL 5.7, 8.0 and 8.4 are in no package that could be found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MysqlVersion {
    MySql97,
    MariaDb1011,
    MariaDb118,
    /// What old servers do. It comes without clients that run, and is given MariaDB 10.11's.
    MySql55,
}

impl MysqlVersion {
    pub const ALL: [Self; 4] = [Self::MySql97, Self::MariaDb1011, Self::MariaDb118, Self::MySql55];

    /// Those whose dumps Coffer promises to be faithful.
    pub const SUPPORTED: [Self; 3] = [Self::MySql97, Self::MariaDb1011, Self::MariaDb118];

    pub fn name(self) -> &'static str {
        match self {
            Self::MySql97 => "MySQL 9.7",
            Self::MariaDb1011 => "MariaDB 10.11",
            Self::MariaDb118 => "MariaDB 11.8",
            Self::MySql55 => "MySQL 5.5",
        }
    }

    /// The variable that names a folder of your own, laid out as a package's `usr`: `sbin/mysqld` or `sbin/mariadbd`,
    /// `bin`, `share`, `lib/mysql/plugin`.
    pub fn variable(self) -> &'static str {
        match self {
            Self::MySql97 => "COFFER_MYSQL_97",
            Self::MariaDb1011 => "COFFER_MARIADB_1011",
            Self::MariaDb118 => "COFFER_MARIADB_118",
            Self::MySql55 => "COFFER_MYSQL_55",
        }
    }

    pub fn is_mariadb(self) -> bool {
        matches!(self, Self::MariaDb1011 | Self::MariaDb118)
    }

    /// How this version's users can prove who they are, its own default first.
    pub fn auths(self) -> &'static [MysqlAuth] {
        match self {
            Self::MySql97 => &[MysqlAuth::CachingSha2, MysqlAuth::Sha256],
            Self::MariaDb1011 | Self::MariaDb118 => &[MysqlAuth::Native, MysqlAuth::Ed25519],
            Self::MySql55 => &[MysqlAuth::Native],
        }
    }

    /// The folder with this version's `sbin`, `bin`, `share`: [`Self::variable`], else from packages.
    pub fn programs(self) -> Result<PathBuf> {
        let server = self.server_program();
        match overridden(self.variable(), server.trim_start_matches('/'))? {
            Some(own) => Ok(own),
            None => self.packaged(),
        }
    }

    /// The server's path below [`Self::programs`].
    pub(super) fn server_program(self) -> &'static str {
        if self.is_mariadb() { "sbin/mariadbd" } else { "sbin/mysqld" }
    }

    /// The name of the cache's entries.
    pub(super) fn slug(self) -> &'static str {
        match self {
            Self::MySql97 => "mysql-9.7",
            Self::MariaDb1011 => "mariadb-10.11",
            Self::MariaDb118 => "mariadb-11.8",
            Self::MySql55 => "mysql-5.5",
        }
    }

    /// What the vendor calls the program that MySQL calls `tool`.
    pub(super) fn tool(self, tool: &str) -> String {
        match tool.strip_prefix("mysql") {
            Some("") if self.is_mariadb() => "mariadb".into(),
            Some(rest) if self.is_mariadb() => format!("mariadb-{rest}"),
            _ => tool.to_owned(),
        }
    }

    /// Who has the clients that work with this version.
    pub(super) fn clients(self) -> Self {
        if self == Self::MySql55 { Self::MariaDb1011 } else { self }
    }

    fn packaged(self) -> Result<PathBuf> {
        let wanted = match self {
            Self::MySql55 => return Self::old_from_maven(),
            Self::MySql97 => {
                Wanted::new("sid", &["mysql-server-core", "mysql-client", "mysql-client-core"], self.variable())
            }
            // The server's own package has the authentication plugins.
            Self::MariaDb1011 => Wanted::new("bookworm", &["mariadb-server", "mariadb-client"], self.variable()),
            Self::MariaDb118 => Wanted::new("trixie", &["mariadb-server", "mariadb-client"], self.variable()),
        };
        let root = cache::entry(self.slug(), &wanted.recipe(), |folder| {
            wanted.unpack(folder)?;
            let usr = folder.join("usr");
            relocate(folder, &usr.join(self.server_program()))?;
            TOOLS.iter().try_for_each(|tool| relocate(folder, &usr.join("bin").join(self.tool(tool))))
        })?;
        Ok(root.join("usr"))
    }

    /// MySQL 5.5 in the layout of Debian's packages, and `share/data`, the system tables that it starts with.
    fn old_from_maven() -> Result<PathBuf> {
        // Its library versions are still around; MariaDB's package brings them along.
        let libraries = Self::MariaDb1011.packaged()?;
        let libraries = libraries.parent().unwrap_or(&libraries);
        let recipe = format!("1 {MYSQL_55} {}", libraries.display());
        cache::entry(Self::MySql55.slug(), &recipe, |folder| {
            let work = folder.join("work");
            let [server, share, data] = ["sbin", "share", "share/data"].map(|part| folder.join(part));
            for path in [&work, &server, &share, &data] {
                fs::create_dir_all(path).at(path)?;
            }
            let jar = maven::jar(MYSQL_55, &work)?;
            unzip(&jar, &["5-5-9/Linux-x86_64/mysqld", "5-5-9/share_dir.jar", "5-5-9/data_dir.jar"], &work)?;
            let unpacked = work.join("5-5-9");
            let program = server.join("mysqld");
            fs::rename(unpacked.join("Linux-x86_64/mysqld"), &program).at(&program)?;
            make_executable(&program)?;
            relocate(libraries, &program)?;
            unzip(&unpacked.join("share_dir.jar"), &[], &work)?;
            let messages = share.join("mysql");
            fs::rename(work.join("share"), &messages).at(&messages)?;
            unzip(&unpacked.join("data_dir.jar"), &["mysql/*", "performance_schema/*"], &data)?;
            fs::remove_dir_all(&work).at(&work)
        })
    }
}

/// Unpacks these entries, or all, into a folder.
fn unzip(archive: &Path, entries: &[&str], into: &Path) -> Result<()> {
    let mut command = Command::new(tools::unzip()?);
    command.args(["-q", "-o"]).arg(archive).args(entries).arg("-d").arg(into);
    run(&mut command).map(drop)
}

fn make_executable(program: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(program, fs::Permissions::from_mode(0o755)).at(program)
}

/// Where a server finds its messages and character sets.
pub(super) fn share(programs: &Path) -> Result<PathBuf> {
    let candidates = ["share/mysql", "share/mariadb"].map(|part| programs.join(part));
    let found = candidates.iter().find(|path| path.join("charsets").is_dir()).cloned();
    found.ok_or_else(|| Error::Layout {
        package: programs.display().to_string(),
        path: programs.join("share/mysql/charsets"),
    })
}
