//! Writes `toc.dat` in version 1.14.

use super::{Archive, FORMAT_TAR, MAGIC, Version, file};
use crate::entry::{Entry, Section};

impl Archive {
    /// The file. `version` and `compressed` are written as what this writer does: [`Version::WRITTEN`], not compressed.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Writer(MAGIC.to_vec());
        let Version(major, minor) = Version::WRITTEN;
        // Integers have 4 bytes, offsets in files (there are none) 8.
        out.0.extend([major, minor, 0, 4, 8, FORMAT_TAR]);
        // Compression level.
        out.integer(0);
        let created = &self.created;
        let fields =
            [created.second, created.minute, created.hour, created.day, created.month - 1, created.year - 1900, 0];
        for field in fields {
            out.integer(field);
        }
        out.text(&self.database);
        out.text(&self.server_version);
        out.text(&self.dump_version);
        out.integer(i32::try_from(self.entries.len()).unwrap_or(i32::MAX));
        for entry in &self.entries {
            out.entry(entry);
        }
        out.0
    }
}

struct Writer(Vec<u8>);

impl Writer {
    fn integer(&mut self, value: i32) {
        self.0.push(u8::from(value < 0));
        self.0.extend(value.unsigned_abs().to_le_bytes());
    }

    fn text(&mut self, text: &str) {
        self.integer(i32::try_from(text.len()).unwrap_or(i32::MAX));
        self.0.extend(text.as_bytes());
    }

    fn null(&mut self) {
        self.integer(-1);
    }

    fn text_or_null(&mut self, text: &str) {
        if text.is_empty() { self.null() } else { self.text(text) }
    }

    fn entry(&mut self, entry: &Entry) {
        let file = file(entry);
        self.integer(entry.id);
        self.integer(i32::from(file.is_some()));
        self.text(&entry.catalog.0.to_string());
        self.text(&entry.catalog.1.to_string());
        self.text(&entry.tag);
        self.text(&entry.kind);
        self.integer(match entry.section {
            Section::None => 1,
            Section::PreData => 2,
            Section::Data => 3,
            Section::PostData => 4,
        });
        self.text_or_null(&entry.create);
        self.text_or_null(&entry.drop);
        self.text_or_null(&entry.copy);
        self.text_or_null(&entry.namespace);
        // NULL leaves pg_restore's default_tablespace as the entry before had it; empty sets the database's own.
        if has_tablespace(&entry.kind) {
            self.text(&entry.tablespace)
        } else {
            self.text_or_null(&entry.tablespace)
        }
        self.text_or_null(&entry.access_method);
        self.text(&entry.owner);
        // Whether the table had oids, in the days when it could.
        self.text("false");
        for dependency in &entry.dependencies {
            self.text(&dependency.to_string());
        }
        self.null();
        self.text(&file.unwrap_or_default());
    }
}

/// Kinds of objects that stand in a tablespace.
pub(crate) fn has_tablespace(kind: &str) -> bool {
    matches!(kind, "TABLE" | "FOREIGN TABLE" | "MATERIALIZED VIEW" | "INDEX" | "CONSTRAINT")
}
