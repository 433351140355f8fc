//! One entry of an archive's table of contents, as dump and restore handle it.
//!
//! The catalog reader makes these from a live database; `archive` writes them to and reads them from `toc.dat`.

/// Where in a restore an entry runs: schema first, then rows, then what would slow the rows down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Section {
    /// Belongs to no section, e.g. the comment of an entry that has none.
    #[default]
    None,
    PreData,
    Data,
    PostData,
}

/// One object of the database with the statements that make and remove it. Fields are those of pg_dump's `TocEntry`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// pg_dump's dumpId: unique in the archive, from 1; names the data file `<id>.dat`.
    pub id: i32,
    /// The catalog the object stands in and its oid there; zeros for one that stands in none (`ENCODING`).
    pub catalog: (u32, u32),
    /// The object's name for people and for selection: `orders`, `area(integer, integer)`, `TABLE orders`.
    pub tag: String,
    /// Empty for objects outside of schemas.
    pub namespace: String,
    /// Empty where ownership means nothing; a restore sets the owner by it.
    pub owner: String,
    /// pg_dump's `desc`: `TABLE`, `TABLE DATA`, `FK CONSTRAINT`, …
    pub kind: String,
    pub section: Section,
    /// Statements that make the object; ends in `;\n`. Empty for `TABLE DATA`.
    pub create: String,
    /// Statement that removes the object; ends in `;\n`. Empty where nothing can be removed.
    pub drop: String,
    /// `COPY schema.table (a, b) FROM stdin;\n` of a `TABLE DATA` entry, else empty.
    pub copy: String,
    /// Of tables and materialized views; empty otherwise.
    pub access_method: String,
    /// Empty for the database's default.
    pub tablespace: String,
    /// Ids of the entries that must have been restored before this one.
    pub dependencies: Vec<i32>,
    /// Where a `TABLE DATA` entry's rows come from. Never in an archive: what an archive has of it is the file.
    pub data: Option<DataSource>,
}

/// A relation whose rows are dumped.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DataSource {
    pub schema: String,
    pub name: String,
    /// From pg_class, for scheduling only; 0 if never analyzed.
    pub estimated_bytes: u64,
    /// The whole statement: `COPY schema.table (a, b) TO STDOUT`.
    pub copy_out: String,
}
