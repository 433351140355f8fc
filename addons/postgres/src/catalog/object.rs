//! The graph of what is dumped: objects, what each needs, and what stands inside of what.

use std::collections::{BTreeSet, HashMap};

use crate::entry::{DataSource, Section};

/// Oids of the catalogs themselves; fixed in every version.
pub(super) mod class {
    pub const AM: u32 = 2601;
    pub const ATTRDEF: u32 = 2604;
    pub const CAST: u32 = 2605;
    pub const CLASS: u32 = 1259;
    pub const COLLATION: u32 = 3456;
    pub const CONSTRAINT: u32 = 2606;
    pub const CONVERSION: u32 = 2607;
    pub const DATABASE: u32 = 1262;
    pub const DEFAULT_ACL: u32 = 826;
    pub const EVENT_TRIGGER: u32 = 3466;
    pub const EXTENSION: u32 = 3079;
    pub const FOREIGN_DATA_WRAPPER: u32 = 2328;
    pub const FOREIGN_SERVER: u32 = 1417;
    pub const LANGUAGE: u32 = 2612;
    pub const NAMESPACE: u32 = 2615;
    pub const OPCLASS: u32 = 2616;
    pub const OPERATOR: u32 = 2617;
    pub const OPFAMILY: u32 = 2753;
    pub const POLICY: u32 = 3256;
    pub const PROC: u32 = 1255;
    pub const PUBLICATION: u32 = 6104;
    pub const PUBLICATION_NAMESPACE: u32 = 6237;
    pub const PUBLICATION_REL: u32 = 6106;
    pub const REWRITE: u32 = 2618;
    pub const STATISTIC_EXT: u32 = 3381;
    pub const TRANSFORM: u32 = 3576;
    pub const TRIGGER: u32 = 2620;
    pub const TS_CONFIG: u32 = 3602;
    pub const TS_DICT: u32 = 3600;
    pub const TS_PARSER: u32 = 3601;
    pub const TS_TEMPLATE: u32 = 3764;
    pub const TYPE: u32 = 1247;
    pub const USER_MAPPING: u32 = 1418;
}

/// An object's place in the catalogs: the catalog's oid and the row's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Key {
    pub class: u32,
    pub oid: u32,
}

impl Key {
    pub fn new(class: u32, oid: u32) -> Self {
        Self { class, oid }
    }
}

/// Index of an object in its graph.
pub(super) type Id = usize;

/// What is restored before what, dependencies aside; the order of pg_dump_sort.c's priorities.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Preamble,
    Database,
    Schema,
    Language,
    Collation,
    Transform,
    Extension,
    Type,
    Cast,
    Function,
    Aggregate,
    AccessMethod,
    Operator,
    /// Families and classes.
    OperatorFamily,
    Conversion,
    TextSearchParser,
    TextSearchTemplate,
    TextSearchDictionary,
    TextSearchConfiguration,
    ForeignDataWrapper,
    ForeignServer,
    /// Tables, views, materialized views, sequences.
    Table,
    TableAttach,
    Default,
    TableData,
    SequenceSet,
    Constraint,
    Index,
    IndexAttach,
    Statistics,
    Rule,
    Trigger,
    ForeignKey,
    Policy,
    Publication,
    PublicationMember,
    DefaultAcl,
    EventTrigger,
    Refresh,
}

impl Kind {
    pub fn section(self) -> Section {
        match self {
            Self::Preamble | Self::Database => Section::PreData,
            kind if kind < Self::TableData => Section::PreData,
            Self::TableData | Self::SequenceSet => Section::Data,
            _ => Section::PostData,
        }
    }
}

/// The statement that makes an object, still open to its parts being made separately.
#[derive(Clone, Debug)]
pub(super) enum Body {
    Text(String),
    /// `head (items) tail`; a part that became separate is left out.
    List {
        head: String,
        items: Vec<Item>,
        shape: Shape,
        tail: String,
    },
    /// A view: whole while its query is a part of it, else a stand-in with the same columns.
    View {
        query: Id,
        whole: String,
        stand_in: String,
    },
}

/// How the items of a list are joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// `(a, b)`, also when empty.
    Columns,
    /// `(a, b)`, nothing when empty: typed tables.
    Options,
    /// Without parentheses and commas: the constraints of a domain.
    Bare,
}

#[derive(Clone, Debug)]
pub(super) enum Item {
    Text(String),
    Part(Id),
}

impl Default for Body {
    fn default() -> Self {
        Self::Text(String::new())
    }
}

/// A comment, a security label or privileges: restored right after the object it belongs to.
#[derive(Clone, Debug)]
pub(super) struct Satellite {
    pub desc: &'static str,
    pub tag: String,
    pub owner: String,
    pub create: String,
}

#[derive(Clone, Debug)]
pub(super) struct Object {
    pub key: Option<Key>,
    pub kind: Kind,
    /// pg_dump's `desc`.
    pub desc: &'static str,
    pub namespace: String,
    pub tag: String,
    pub owner: String,
    pub body: Body,
    pub drop: String,
    pub tablespace: String,
    pub access_method: String,
    pub copy: String,
    pub data: Option<DataSource>,
    /// Objects needed beyond those that pg_depend tells.
    pub needs: BTreeSet<Id>,
    /// The object whose statement makes this one too, and the text it has there.
    pub part_of: Option<(Id, String)>,
    /// Restored after the data although its kind comes before it, because it needs an index.
    pub postponed: bool,
    pub satellites: Vec<Satellite>,
}

impl Object {
    pub fn new(kind: Kind, desc: &'static str, tag: impl Into<String>) -> Self {
        Self {
            key: None,
            kind,
            desc,
            namespace: String::new(),
            tag: tag.into(),
            owner: String::new(),
            body: Body::default(),
            drop: String::new(),
            tablespace: String::new(),
            access_method: String::new(),
            copy: String::new(),
            data: None,
            needs: BTreeSet::new(),
            part_of: None,
            postponed: false,
            satellites: Vec::new(),
        }
    }

    pub fn section(&self) -> Section {
        if self.postponed { Section::PostData } else { self.kind.section() }
    }
}

/// How statements about an object call it: `TABLE s.t` in `COMMENT ON TABLE s.t`, and the tag of such an entry.
#[derive(Clone, Debug)]
pub(super) struct Reference {
    pub object: Id,
    pub sql: String,
    pub tag: String,
}

/// Something in the database that a restore of this dump would not bring back.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Unsupported {
    /// The kind's usual name in lower case: `large object`, `subscription`.
    pub kind: String,
    pub name: String,
}

impl std::fmt::Display for Unsupported {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.kind, self.name)
    }
}

#[derive(Default)]
pub(super) struct Graph {
    pub objects: Vec<Object>,
    by_key: HashMap<Key, Id>,
    /// Catalog rows that are made along with another: members of extensions, row types, array types, backing indexes.
    alias: HashMap<Key, Key>,
    members: BTreeSet<Key>,
    /// pg_depend, both ways as recorded.
    pub depends: HashMap<Key, Vec<Key>>,
    pub references: HashMap<Key, Reference>,
    /// Types whose own functions need them: to those, the type is its shell.
    pub shells: HashMap<Key, Id>,
    /// What is said about objects that every database has.
    pub loose: Vec<Satellite>,
    pub unsupported: Vec<Unsupported>,
}

impl Graph {
    /// Adds an object without a catalog row of its own.
    pub fn add_extra(&mut self, object: Object) -> Id {
        self.objects.push(object);
        self.objects.len() - 1
    }

    pub fn add(&mut self, key: Key, mut object: Object) -> Id {
        object.key = Some(key);
        let id = self.add_extra(object);
        self.by_key.insert(key, id);
        id
    }

    pub fn refer(&mut self, key: Key, object: Id, sql: impl Into<String>, tag: impl Into<String>) {
        self.references.insert(key, Reference { object, sql: sql.into(), tag: tag.into() });
    }

    /// Adds what is said about an object; without an object it is said at the end.
    pub fn add_satellite(&mut self, object: Option<Id>, satellite: Satellite) {
        match object.and_then(|id| self.objects.get_mut(id)) {
            Some(object) => object.satellites.push(satellite),
            None => self.loose.push(satellite),
        }
    }

    /// The type that a composite type's relation stands for; any other key as it is.
    pub fn composite(&self, key: Key) -> Key {
        self.alias.get(&key).copied().filter(|target| target.class == class::TYPE).unwrap_or(key)
    }

    pub fn set_alias(&mut self, key: Key, target: Key) {
        self.alias.insert(key, target);
    }

    pub fn add_member(&mut self, key: Key, extension: Key) {
        self.members.insert(key);
        self.alias.insert(key, extension);
    }

    /// Whether the object comes with an extension.
    pub fn is_member(&self, key: Key) -> bool {
        self.members.contains(&key)
    }

    /// The object that makes this catalog row, if it is dumped.
    pub fn find(&self, mut key: Key) -> Option<Id> {
        // Chains are short (array type, row type, table, extension); the bound guards against a corrupt catalog.
        for _ in 0..8 {
            if let Some(id) = self.by_key.get(&key) {
                return Some(*id);
            }
            key = *self.alias.get(&key)?;
        }
        None
    }

    pub fn need(&mut self, object: Id, needed: Id) {
        if let Some(object) = self.objects.get_mut(object) {
            object.needs.insert(needed);
        }
    }

    pub fn report(&mut self, kind: &str, name: impl Into<String>) {
        self.unsupported.push(Unsupported { kind: kind.to_owned(), name: name.into() });
    }
}
