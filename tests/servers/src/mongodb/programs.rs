//! Which servers and tools that speak MongoDB's protocol there are, and how each gets from its package into the cache.
//!
//! No package has a real `mongod`. FerretDB is what can be had, in two very different makes, and MongoDB's own
//! `mongodump` and `mongorestore`.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use super::{MongodbVersion, real};
use crate::cache;
use crate::debian::Wanted;
use crate::error::{AtPath, Error, Result};
use crate::go;
use crate::relocate::{relocate, relocate_plugins};
use crate::tools::overridden;

/// Between 100.9.5 and 100.10.0; the newest that is a Go module. Its sums are those that other modules rely on.
const TOOLS_VERSION: &str = "v0.0.0-20240723193119-837c2bc263f4";
const TOOLS_SUMS: [&str; 2] = [
    "v0.0.0-20240723193119-837c2bc263f4 h1:23sRjM+3p+4yFL9tOg9qfNJHtBMl5PN5XA2iLWrYR+Y=",
    "v0.0.0-20240723193119-837c2bc263f4/go.mod h1:mq5q2Rrbw6+VEtDc+p5haujgWoQv3foL2YS5YISr2UA=",
];
const TOOLS: [&str; 3] = ["mongodump", "mongorestore", "bsondump"];

const FERRETDB_2: &str = "v2.7.0";
const FERRETDB_1: &str = "v1.24.2";

/// The variable that names a folder with a PostgreSQL's programs which has the DocumentDB extension beside them.
const DOCUMENTDB_VARIABLE: &str = "COFFER_DOCUMENTDB_BIN";

impl MongodbVersion {
    /// The variable that names a program of your own, or the address of a running server.
    pub fn variable(self) -> &'static str {
        match self {
            Self::FerretDb2 => "COFFER_FERRETDB_2",
            Self::FerretDb1 => "COFFER_FERRETDB_1",
            Self::Mongod => real::VARIABLE,
        }
    }

    /// The server's program: [`Self::variable`], else built from its Go module.
    pub fn program(self) -> Result<PathBuf> {
        if self == Self::Mongod {
            let log = format!("it is in no package; start one yourself and name it in {}", real::VARIABLE);
            return Err(Error::NotReady { what: self.name().into(), log });
        }
        if let Some(own) = overridden(self.variable(), "")? {
            return Ok(own);
        }
        let folder = match self {
            Self::Mongod | Self::FerretDb2 => cache::entry("ferretdb-2", &format!("1 {FERRETDB_2}"), |folder| {
                go::install("github.com/FerretDB/FerretDB/v2/cmd/ferretdb", FERRETDB_2, folder)
            }),
            Self::FerretDb1 => cache::entry("ferretdb-1", &format!("1 {FERRETDB_1}"), |folder| {
                let source = folder.join("source");
                go::source("github.com/FerretDB/FerretDB", FERRETDB_1, &source)?;
                // Its own build writes the file; without it the program ends at once.
                let version = source.join("build/version/version.txt");
                fs::write(&version, FERRETDB_1).at(version)?;
                go::build_in(&source, "./cmd/ferretdb", &folder.join("ferretdb"))?;
                fs::remove_dir_all(&source).at(source)
            }),
        }?;
        Ok(folder.join("ferretdb"))
    }
}

/// The folder of stock `mongodump`, `mongorestore` and `bsondump`: `$COFFER_MONGO_TOOLS`, else built from their module.
pub fn tools() -> Result<PathBuf> {
    if let Some(own) = overridden("COFFER_MONGO_TOOLS", "mongodump")? {
        return Ok(own);
    }
    cache::entry("mongo-tools", &format!("1 {TOOLS_VERSION}"), |folder| {
        let packages = TOOLS.map(|tool| (format!("{tool}/main"), folder.join(tool)));
        go::build_pinned("github.com/mongodb/mongo-tools", TOOLS_VERSION, &TOOLS_SUMS, &packages, folder)
    })
}

/// `mongodump`, `mongorestore` or `bsondump`, not set to connect anywhere; see [`super::Mongodb::tool`].
pub fn tool(program: &str) -> Result<Command> {
    Ok(Command::new(tools()?.join(program)))
}

/// The folder of PostgreSQL 18's programs with DocumentDB: `$COFFER_DOCUMENTDB_BIN`, else from Debian's packages.
pub fn documentdb() -> Result<PathBuf> {
    let wanted = Wanted::new("sid", &["postgresql-18-documentdb"], DOCUMENTDB_VARIABLE);
    if let Some(own) = overridden(wanted.variable, "postgres")? {
        return Ok(own);
    }
    let programs = "usr/lib/postgresql/18/bin";
    let root = cache::entry("documentdb-sid", &wanted.recipe(), |folder| {
        wanted.unpack(folder)?;
        // What the packages' scripts would have chosen among alternatives.
        let libraries = folder.join("usr/lib").join(format!("{}-linux-gnu", std::env::consts::ARCH));
        for (library, name) in [("blas", "libblas.so.3"), ("lapack", "liblapack.so.3")] {
            link(&format!("{library}/{name}"), libraries.join(name))?;
        }
        link("postgis-3.control", folder.join("usr/share/postgresql/18/extension/postgis.control"))?;
        relocate_plugins(folder, &folder.join("usr/lib/postgresql/18/lib"))?;
        relocate(folder, &folder.join(programs))
    })?;
    let program = root.join(programs);
    if program.join("postgres").is_file() {
        Ok(program)
    } else {
        Err(Error::Layout { package: wanted.packages.join(", "), path: program })
    }
}

fn link(target: &str, path: PathBuf) -> Result<()> {
    if path.exists() {
        return Ok(());
    }
    std::os::unix::fs::symlink(target, &path).at(path)
}
