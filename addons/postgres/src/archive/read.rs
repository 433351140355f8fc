//! Reads `toc.dat` of every version that PostgreSQL 9.0 to 18 writes.

use super::{Archive, Created, FORMAT_TAR, MAGIC, Version};
use crate::entry::{Entry, Section};

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("toc.dat is not an archive of pg_dump")]
    NotAnArchive,
    #[error("toc.dat is of archive version {major}.{minor}; 1.12 (PostgreSQL 9.0) to 1.16 (18) can be read")]
    Version { major: u8, minor: u8 },
    #[error("toc.dat is of format {byte}, not of the directory format (pg_dump -Fd)")]
    Format { byte: u8 },
    #[error("toc.dat ends within {what}")]
    Cut { what: &'static str },
    #[error("toc.dat has an impossible {what}")]
    Malformed { what: &'static str },
    #[error("toc.dat has text that is not UTF-8 in {what}; make the dump with pg_dump --encoding=UTF8")]
    Encoding { what: &'static str },
}

impl From<Error> for coffer_addon::Error {
    fn from(error: Error) -> Self {
        let text = error.to_string();
        match error {
            Error::Version { .. } | Error::Format { .. } | Error::Encoding { .. } => {
                coffer_addon::Error::Unsupported(text)
            }
            _ => coffer_addon::Error::Corrupt(text),
        }
    }
}

type Result<T> = std::result::Result<T, Error>;

impl Archive {
    /// Reads a whole `toc.dat`.
    pub fn read(bytes: &[u8]) -> Result<Archive> {
        let left = bytes.strip_prefix(MAGIC).ok_or(Error::NotAnArchive)?;
        let mut input = Reader { left, integer_size: 4 };
        let [major, minor, _revision, integer_size, _offset_size, format] = input.array("the head")?;
        let version = Version(major, minor);
        if !(Version::OLDEST..=Version::NEWEST).contains(&version) {
            return Err(Error::Version { major, minor });
        }
        if !(1..=8).contains(&integer_size) {
            return Err(Error::Malformed { what: "size of integers" });
        }
        input.integer_size = usize::from(integer_size);
        if format != FORMAT_TAR {
            return Err(Error::Format { byte: format });
        }
        let compressed = if version >= Version(1, 15) {
            let [algorithm] = input.array("the head")?;
            algorithm != 0
        } else {
            // The level; -1 is zlib's own choice of one.
            input.integer("compression")? != 0
        };
        let mut field = || input.integer("the time of the dump");
        let created = Created {
            second: field()?,
            minute: field()?,
            hour: field()?,
            day: field()?,
            month: field()?.saturating_add(1),
            year: field()?.saturating_add(1900),
        };
        let _daylight_saving = field()?;
        let database = input.text("name of the database")?.unwrap_or_default();
        let server_version = input.text("version of the server")?.unwrap_or_default();
        let dump_version = input.text("version of the dumper")?.unwrap_or_default();
        let count = input.integer("number of entries")?;
        let count = usize::try_from(count).map_err(|_| Error::Malformed { what: "number of entries" })?;
        // The count is the file's word: room is made as entries are found.
        let mut entries = Vec::new();
        for _ in 0..count {
            entries.push(input.entry(version)?);
        }
        Ok(Archive { version, created, database, server_version, dump_version, compressed, entries })
    }
}

struct Reader<'a> {
    left: &'a [u8],
    /// Bytes of an integer, without its sign.
    integer_size: usize,
}

impl<'a> Reader<'a> {
    fn bytes(&mut self, length: usize, what: &'static str) -> Result<&'a [u8]> {
        let (bytes, left) = self.left.split_at_checked(length).ok_or(Error::Cut { what })?;
        self.left = left;
        Ok(bytes)
    }

    fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N]> {
        let (bytes, left) = self.left.split_first_chunk().ok_or(Error::Cut { what })?;
        self.left = left;
        Ok(*bytes)
    }

    fn integer(&mut self, what: &'static str) -> Result<i32> {
        let [sign] = self.array(what)?;
        let magnitude = self.bytes(self.integer_size, what)?;
        let magnitude = magnitude.iter().rev().fold(0u64, |value, byte| value << 8 | u64::from(*byte));
        let magnitude = i32::try_from(magnitude).map_err(|_| Error::Malformed { what })?;
        Ok(if sign == 0 { magnitude } else { -magnitude })
    }

    /// Nothing for NULL.
    fn text(&mut self, what: &'static str) -> Result<Option<String>> {
        let length = self.integer(what)?;
        let Ok(length) = usize::try_from(length) else { return Ok(None) };
        let bytes = self.bytes(length, what)?;
        let text = std::str::from_utf8(bytes).map_err(|_| Error::Encoding { what })?;
        Ok(Some(text.to_string()))
    }

    fn text_or_empty(&mut self, what: &'static str) -> Result<String> {
        Ok(self.text(what)?.unwrap_or_default())
    }

    fn oid(&mut self, what: &'static str) -> Result<u32> {
        self.text_or_empty(what)?.parse().map_err(|_| Error::Malformed { what })
    }

    fn entry(&mut self, version: Version) -> Result<Entry> {
        let id = self.integer("an entry's id")?;
        // Whether there is a file follows from the kind.
        self.integer("an entry's data flag")?;
        let catalog = (self.oid("an entry's catalog")?, self.oid("an entry's oid")?);
        let tag = self.text_or_empty("an entry's tag")?;
        let kind = self.text_or_empty("an entry's kind")?;
        let section = match self.integer("an entry's section")? {
            1 => Section::None,
            2 => Section::PreData,
            3 => Section::Data,
            4 => Section::PostData,
            _ => return Err(Error::Malformed { what: "section of an entry" }),
        };
        let create = self.text_or_empty("an entry's create statement")?;
        let drop = self.text_or_empty("an entry's drop statement")?;
        let copy = self.text_or_empty("an entry's copy statement")?;
        let namespace = self.text_or_empty("an entry's namespace")?;
        let tablespace = self.text_or_empty("an entry's tablespace")?;
        let access_method =
            if version >= Version(1, 14) { self.text_or_empty("an entry's access method")? } else { String::new() };
        if version >= Version(1, 16) {
            self.integer("an entry's relkind")?;
        }
        let owner = self.text_or_empty("an entry's owner")?;
        self.text("an entry's oid flag")?;
        let mut dependencies = Vec::new();
        while let Some(dependency) = self.text("an entry's dependencies")? {
            dependencies.push(dependency.parse().map_err(|_| Error::Malformed { what: "dependency of an entry" })?);
        }
        self.text("an entry's file name")?;
        Ok(Entry {
            id,
            catalog,
            tag,
            namespace,
            owner,
            kind,
            section,
            create,
            drop,
            copy,
            access_method,
            tablespace,
            dependencies,
            data: None,
        })
    }
}
