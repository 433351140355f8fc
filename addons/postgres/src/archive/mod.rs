//! `toc.dat`: the table of contents of pg_dump's directory format.
//!
//! The format is that of PostgreSQL's `src/bin/pg_dump/pg_backup_archiver.c` (`WriteHead`, `WriteToc`, `ReadHead`,
//! `ReadToc`) and, for the last field of an entry, `pg_backup_directory.c`. It has no document of its own.
//!
//! - An integer is a sign byte (1: negative), then `intSize` bytes, the least significant first.
//! - A string is an integer length and that many bytes; the length -1 stands for NULL.
//!
//! | part | fields |
//! |---|---|
//! | head | `PGDMP`; version: major, minor, revision; `intSize`; `offSize`; format (3, tar's, also for a directory's); compression: since 1.15 a byte that names the algorithm, before that an integer, the level; seconds, minutes, hours, day, month from 0, year from 1900, daylight saving; name of the database; version of the server; version of the dumper |
//! | entry | dumpId; whether it has a file; the catalog's oid and the object's, as text; tag; kind; section; create; drop; copy; namespace; tablespace; since 1.14 access method; since 1.16 relkind; owner; `false`; dependencies as text, ended by NULL; name of the file |
//!
//! Written is version 1.14, which every pg_restore from 12 on reads; read is 1.12 (PostgreSQL 9.0) to 1.16 (18).

mod read;
mod write;

use crate::entry::Entry;

pub use read::Error;
pub(crate) use write::has_tablespace;

/// What every archive begins with.
const MAGIC: &[u8] = b"PGDMP";
/// The format byte of a directory's `toc.dat`: it claims to be a tar's, which has the same file.
const FORMAT_TAR: u8 = 3;

/// The file name of the table of contents.
pub const TOC: &str = "toc.dat";

/// Version of the archive format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub u8, pub u8);

impl Version {
    pub const WRITTEN: Version = Version(1, 14);
    pub const OLDEST: Version = Version(1, 12);
    pub const NEWEST: Version = Version(1, 16);
}

/// When a dump was made, as its maker's clock had it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Created {
    pub year: i32,
    /// From 1.
    pub month: i32,
    pub day: i32,
    pub hour: i32,
    pub minute: i32,
    pub second: i32,
}

/// A table of contents with its head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Archive {
    pub version: Version,
    pub created: Created,
    /// The database that was dumped.
    pub database: String,
    /// The server's version, in its words.
    pub server_version: String,
    /// Who wrote the archive, in its words.
    pub dump_version: String,
    /// Whether the data files are compressed, by the head's word.
    pub compressed: bool,
    /// In restore order.
    pub entries: Vec<Entry>,
}

/// The data file of an entry, where it has one.
pub fn file(entry: &Entry) -> Option<String> {
    (entry.kind == "TABLE DATA").then(|| format!("{}.dat", entry.id))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::{DataSource, Section};

    fn archive() -> Archive {
        Archive {
            version: Version::WRITTEN,
            created: Created { year: 2026, month: 11, day: 21, hour: 9, minute: 5, second: 59 },
            database: "shöp".into(),
            server_version: "15.6 (Debian)".into(),
            dump_version: "coffer".into(),
            compressed: false,
            entries: vec![
                Entry {
                    id: 3,
                    catalog: (1259, 4_000_000_000),
                    tag: "orders".into(),
                    namespace: "public".into(),
                    owner: "me".into(),
                    kind: "TABLE".into(),
                    section: Section::PreData,
                    create: "CREATE TABLE public.orders (\n);\n".into(),
                    drop: "DROP TABLE public.orders;\n".into(),
                    access_method: "heap".into(),
                    ..Entry::default()
                },
                Entry {
                    id: 4,
                    tag: "orders".into(),
                    kind: "TABLE DATA".into(),
                    section: Section::Data,
                    copy: "COPY public.orders () FROM stdin;\n".into(),
                    dependencies: vec![3],
                    ..Entry::default()
                },
                Entry { id: 5, tag: "x".into(), kind: "COMMENT".into(), ..Entry::default() },
            ],
        }
    }

    #[test]
    fn what_is_written_reads_back() {
        let mut written = archive();
        let bytes = written.to_bytes();
        assert_eq!(Archive::read(&bytes), Ok(written.clone()));
        // Where the rows came from is nothing an archive knows.
        written.entries[1].data = Some(DataSource::default());
        assert_eq!(written.to_bytes(), bytes);
    }

    #[test]
    fn every_cut_is_noticed_and_none_panics() {
        let bytes = archive().to_bytes();
        for length in 0..bytes.len() {
            assert!(Archive::read(&bytes[..length]).is_err(), "cut at {length}");
        }
        for index in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[index] ^= 0xff;
            // Whatever it reads as, it must not panic or take forever.
            let _ = Archive::read(&damaged);
        }
    }

    /// The format byte of an archive that is one file.
    const FORMAT_CUSTOM: u8 = 1;

    #[test]
    fn other_files_are_named_for_what_they_are() {
        assert_eq!(Archive::read(b"-- PostgreSQL database dump"), Err(Error::NotAnArchive));
        let mut newer = archive().to_bytes();
        newer[6] = 17;
        assert_eq!(Archive::read(&newer), Err(Error::Version { major: 1, minor: 17 }));
        let mut custom = archive().to_bytes();
        custom[10] = FORMAT_CUSTOM;
        assert_eq!(Archive::read(&custom), Err(Error::Format { byte: FORMAT_CUSTOM }));
    }
}
