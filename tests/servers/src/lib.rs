//! Real servers for tests, the demo and benchmarks, brought up from packages on a machine that is left as it was.
//!
//! Nothing is installed: packages are unpacked into a cache folder (see [`cache`]) and made to run from there, so two
//! versions of one server live side by side and no root is needed. A server is a value: it listens on a free loopback
//! port, keeps its data in a temporary folder, and both are gone when the value is dropped, also when a test panics or
//! is killed with -9 (see [`process`]).
//!
//! ```no_run
//! use coffer_test_servers::{Postgres, PostgresOptions, PostgresVersion};
//! let server = Postgres::start(PostgresVersion::V17, &PostgresOptions::default())?;
//! assert_eq!(server.psql("postgres", "select 1")?, "1");
//! # Ok::<(), coffer_test_servers::Error>(())
//! ```

pub mod cache;
pub mod certs;
pub mod compare;
pub mod debian;
mod error;
mod go;
mod maven;
pub mod mongodb;
pub mod mysql;
pub mod postgres;
pub mod process;
mod relocate;
pub mod s3;
pub mod sample;
pub mod search;
mod skip;
pub mod tools;

pub use error::{Error, Result};
pub use mongodb::{Mongodb, MongodbOptions, MongodbTls, MongodbVersion};
pub use mysql::{Mysql, MysqlAuth, MysqlOptions, MysqlTls, MysqlVersion};
pub use postgres::{Auth, Postgres, PostgresOptions, PostgresVersion, Tls};
pub use s3::S3;
pub use search::{Search, SearchOptions, SearchVersion};
pub use skip::skipped;
