//! Awkward documents: every type of BSON, values at the edges, names that need care. Written byte for byte, so that no
//! library's idea of BSON stands between a test and what a server is sent.
//!
//! No server but a real `mongod` keeps all of them as they are; [`Case::kept_by`] says which one does, and the test of
//! this crate proves it.

use bson::RawDocumentBuf;

use super::bytes::*;
use super::{Mongodb, MongodbVersion};
use crate::error::{Error, Result};

/// A document of its own collection-wide `_id`.
#[derive(Debug, Clone)]
pub struct Case {
    pub name: String,
    pub document: RawDocumentBuf,
}

impl Case {
    /// Whether the server takes the document and gives it back byte for byte.
    pub fn kept_by(&self, version: MongodbVersion) -> bool {
        match version {
            // It replaces this one by the time.
            MongodbVersion::Mongod => self.name != "timestamp 0",
            MongodbVersion::FerretDb2 => true,
            MongodbVersion::FerretDb1 => {
                !self.name.starts_with("decimal") && !LOST_BY_FERRETDB_1.contains(&self.name.as_str())
            }
        }
    }
}

/// Refused or changed, as is every Decimal128.
const LOST_BY_FERRETDB_1: [&str; 33] = [
    "double negative zero",
    "double infinity",
    "double negative infinity",
    "double NaN",
    "double negative NaN",
    "double NaN with a payload",
    "double signalling NaN",
    "string that is no UTF-8",
    "a undefined",
    "a least key",
    "a greatest key",
    "a database pointer",
    "a code",
    "a code with scope",
    "a symbol",
    "container deep arrays",
    "container array of all kinds",
    "container array with wrong numbers",
    "container reference",
    "key with a dot",
    "key with a dot below",
    "key with a dollar",
    "key with a dollar below",
    "key twice",
    "key twice below",
    "key of all planes",
    "key that is no UTF-8",
    "id NaN",
    "id decimal",
    "id symbol",
    "id code",
    "id least key",
    "id greatest key",
];

/// How deep `deep` goes; MongoDB allows 100 levels.
const DEPTH: usize = 90;

/// Fills `database` with every case that the server keeps: collections `awkward`, `ids` and `large`.
pub fn create(server: &Mongodb, database: &str) -> Result<()> {
    let mut client = server.client()?;
    for (collection, cases) in [("awkward", values()), ("ids", ids()), ("large", large())] {
        let kept: Vec<RawDocumentBuf> =
            cases.into_iter().filter(|case| case.kept_by(server.version())).map(|case| case.document).collect();
        client.insert(database, collection, &kept)?;
    }
    Ok(())
}

/// Whether the server keeps a case, found out in an otherwise unused collection, which goes again.
pub fn keeps(server: &Mongodb, database: &str, case: &Case) -> Result<bool> {
    let collection = "probe";
    let insert = || server.client()?.insert(database, collection, std::slice::from_ref(&case.document));
    // FerretDB 1 ends the session when it is sent a type it does not know.
    let found = insert().and_then(|()| server.client()?.documents(database, collection));
    // There may be none.
    let _ = server.client()?.run(database, &bson::rawdoc! { "drop": collection });
    match found {
        Ok(found) => Ok(matches!(found.as_slice(), [one] if one.as_bytes() == case.document.as_bytes())),
        Err(Error::Refused { .. } | Error::Spawn { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Documents with their name as `_id` and an awkward value, or awkward elsewhere.
pub fn values() -> Vec<Case> {
    let mut cases: Vec<Case> = [doubles(), texts(), binaries(), numbers(), decimals(), rest(), containers()]
        .concat()
        .into_iter()
        .map(|(name, value)| case(&name, &[("v", value)]))
        .collect();
    cases.extend(keys());
    cases
}

fn named<const N: usize>(prefix: &str, values: [(&str, Value); N]) -> Vec<(String, Value)> {
    values.into_iter().map(|(name, value)| (format!("{prefix} {name}"), value)).collect()
}

fn doubles() -> Vec<(String, Value)> {
    named(
        "double",
        [
            ("zero", 0.0_f64),
            ("negative zero", -0.0),
            ("that is whole", 5.0),
            ("infinity", f64::INFINITY),
            ("negative infinity", f64::NEG_INFINITY),
            ("largest", f64::MAX),
            ("smallest", f64::from_bits(1)),
            ("NaN", f64::from_bits(0x7ff8_0000_0000_0000)),
            ("negative NaN", f64::from_bits(0xfff8_0000_0000_0000)),
            ("NaN with a payload", f64::from_bits(0x7ff8_0000_dead_beef)),
            ("signalling NaN", f64::from_bits(0x7ff0_0000_0000_0001)),
        ]
        .map(|(name, number)| (name, (DOUBLE, number.to_bits().to_le_bytes().to_vec()))),
    )
}

fn texts() -> Vec<(String, Value)> {
    let long = "long ".repeat(200_000);
    named(
        "string",
        [
            ("empty", text("")),
            ("with a zero byte", text("a\0b\0")),
            ("beyond the basic plane", text("😀 é\u{301} \u{10ffff} \u{feff}")),
            ("of a megabyte", text(&long)),
            ("that is no UTF-8", (STRING, sized(b"a\xff\xfe\xc3(\0"))),
        ],
    )
}

fn binaries() -> Vec<(String, Value)> {
    let mut old = 3_u32.to_le_bytes().to_vec();
    old.extend(b"old");
    let uuid: [u8; 16] = [0, 1, 2, 3, 4, 5, 0x46, 7, 0x88, 9, 10, 11, 12, 13, 14, 15];
    named(
        "binary",
        [
            ("empty", binary(0, b"")),
            ("generic", binary(0, b"\0\x01\xff")),
            ("function", binary(1, b"f")),
            // Its length stands in it once more.
            ("old generic", binary(2, &old)),
            ("old UUID", binary(3, &uuid)),
            ("UUID", binary(4, &uuid)),
            ("MD5", binary(5, &uuid)),
            ("encrypted", binary(6, b"\x01secret")),
            ("compressed column", binary(7, b"\0")),
            ("sensitive", binary(8, b"s")),
            ("vector", binary(9, b"\x03\0\x01\x02")),
            ("of a user's kind", binary(0x80, b"u")),
            ("of the last kind", binary(0xff, b"u")),
        ],
    )
}

fn numbers() -> Vec<(String, Value)> {
    let long = |kind| move |number: i64| (number.to_string(), (kind, number.to_le_bytes().to_vec()));
    let all = |kind: &str, numbers: Vec<(String, Value)>| -> Vec<(String, Value)> {
        numbers.into_iter().map(|(name, value)| (format!("{kind} {name}"), value)).collect()
    };
    [
        all("int", [0, 5, i32::MIN, i32::MAX].map(|number| (number.to_string(), int32(number))).into()),
        all("long", [0, 5, i64::MIN, i64::MAX, (1 << 53) + 1].map(long(INT64)).into()),
        all("date", [0, -2_208_988_800_000, i64::MIN, i64::MAX].map(long(DATE)).into()),
        all("timestamp", [0, 1, (1 << 32) + 2, -1].map(long(TIMESTAMP)).into()),
    ]
    .concat()
}

fn decimals() -> Vec<(String, Value)> {
    const EXPONENT: u32 = 49;
    let finite =
        |digits: u128, exponent: i32| digits | (u128::from((exponent + 6176).unsigned_abs()) << (64 + EXPONENT));
    let top = |bits: u128| bits << 120;
    let negative = 1 << 127;
    named(
        "decimal",
        [
            ("zero", finite(0, 0)),
            ("negative zero", finite(0, 0) | negative),
            ("zero with an exponent", finite(0, 6111)),
            ("one and a half", finite(15, -1)),
            ("with a zero at its end", finite(150, -2)),
            ("largest", finite(10_u128.pow(34) - 1, 6111)),
            ("smallest", finite(1, -6176)),
            ("infinity", top(0x78)),
            ("negative infinity", top(0x78) | negative),
            ("NaN", top(0x7c)),
            ("negative NaN", top(0x7c) | negative),
            ("signalling NaN", top(0x7e)),
            ("NaN with a payload", top(0x7c) | 0xdead_beef),
            // More digits than there may be: counts as zero.
            ("that is not canonical", finite(10_u128.pow(34), 0)),
            ("in the other encoding", top(0x60) | 7),
        ]
        .map(|(name, bits)| (name, (DECIMAL128, bits.to_le_bytes().to_vec()))),
    )
}

fn rest() -> Vec<(String, Value)> {
    let pointer = [text("shop.users").1, vec![7; 12]].concat();
    let scope = document(&[("x", int32(1)), ("", text(""))]);
    let scoped = sized_whole(&[text("return x").1, scope].concat());
    named(
        "a",
        [
            ("undefined", (UNDEFINED, vec![])),
            ("null", (NULL, vec![])),
            ("true", (BOOLEAN, vec![1])),
            ("false", (BOOLEAN, vec![0])),
            ("least key", (MIN_KEY, vec![])),
            ("greatest key", (MAX_KEY, vec![])),
            ("zero object id", (OBJECT_ID, vec![0; 12])),
            ("full object id", (OBJECT_ID, vec![0xff; 12])),
            ("regex", (REGEX, b"a/b\\.\0imx\0".to_vec())),
            ("regex without anything", (REGEX, b"\0\0".to_vec())),
            ("regex with options out of order", (REGEX, b"^a\0xsi\0".to_vec())),
            ("database pointer", (DB_POINTER, pointer)),
            ("code", (CODE, text("function () { return '\u{e9}'; }").1)),
            ("code with scope", (CODE_WITH_SCOPE, scoped)),
            ("symbol", (SYMBOL, text("sym\0bol").1)),
        ],
    )
}

fn containers() -> Vec<(String, Value)> {
    let mut deep = document(&[]);
    let mut deep_arrays = document(&[]);
    for _ in 2..DEPTH {
        deep = document(&[("d", (DOCUMENT, deep))]);
        deep_arrays = document(&[("0", (ARRAY, deep_arrays))]);
    }
    let many: Vec<Value> = (0..10_000).map(int32).collect();
    let mixed =
        array(&[int32(1), int64(1), text("1"), (NULL, vec![]), (DOCUMENT, document(&[])), array(&[array(&[])])]);
    let misnumbered = document(&[("1", int32(1)), ("0", int32(2)), ("0", int32(3)), ("x", int32(4))]);
    named(
        "container",
        [
            ("empty document", (DOCUMENT, document(&[]))),
            ("empty array", array(&[])),
            ("deep documents", (DOCUMENT, deep)),
            ("deep arrays", (ARRAY, deep_arrays)),
            ("array of many", array(&many)),
            ("array of all kinds", mixed),
            ("array with wrong numbers", (ARRAY, misnumbered)),
            // On its own a real server replaces it by the time.
            ("timestamp of zero", (DOCUMENT, document(&[("t", (TIMESTAMP, vec![0; 8]))]))),
            ("reference", (DOCUMENT, document(&[("$ref", text("users")), ("$id", int32(1)), ("$db", text("shop"))]))),
        ],
    )
}

/// Documents that are awkward for the names in them.
fn keys() -> Vec<Case> {
    let long = "k".repeat(10_000);
    let below = |keys: &[&str]| {
        let fields: Vec<(&str, Value)> = keys.iter().zip(1..).map(|(key, number)| (*key, int32(number))).collect();
        vec![("v", (DOCUMENT, document(&fields)))]
    };
    let top = |keys: &[&'static str]| -> Vec<(&'static str, Value)> {
        keys.iter().zip(1..).map(|(key, number)| (*key, int32(number))).collect()
    };
    let mut cases = vec![
        case("key empty", &top(&[""])),
        case("key empty below", &below(&[""])),
        case("key with a dot", &top(&["a.b", ".", "a."])),
        case("key with a dot below", &below(&["a.b", ".", "..a"])),
        case("key with a dollar", &top(&["$a"])),
        case("key with a dollar below", &below(&["$a", "$", "$set"])),
        case("key with a dollar inside", &top(&["a$", "a$b"])),
        case("key twice", &top(&["a", "b", "a"])),
        case("key twice below", &below(&["a", "a"])),
        case("key _id below", &below(&["_id", "_id "])),
        case("key of many letters", &[(&long, int32(1))]),
        case("key of all planes", &top(&["\u{1}", "é", "😀", "\u{10ffff}", "\"", "\\", "__proto__"])),
        case("keys in no order", &top(&["z", "a", "10", "9"])),
    ];
    cases.push(Case { name: "key that is no UTF-8".into(), document: misnamed() });
    cases
}

fn misnamed() -> RawDocumentBuf {
    let mut fields = Vec::new();
    element(&mut fields, b"_id", &text("key that is no UTF-8"));
    element(&mut fields, b"a\xff", &int32(1));
    raw(&closed(&fields))
}

/// Documents whose `_id`s are of every type that may be one, no two of them equal: to FerretDB 1, which looks at the
/// value alone, a date is its number and a binary its text.
pub fn ids() -> Vec<Case> {
    let values: Vec<(&str, Value)> = vec![
        ("int", int32(1)),
        ("negative int", int32(-1)),
        ("long", int64(2)),
        ("large long", int64((1 << 53) + 1)),
        ("double", (DOUBLE, 3.5_f64.to_le_bytes().to_vec())),
        ("large double", (DOUBLE, 1e300_f64.to_le_bytes().to_vec())),
        ("NaN", (DOUBLE, f64::NAN.to_le_bytes().to_vec())),
        ("decimal", (DECIMAL128, (45 | (6175_u128 << 113)).to_le_bytes().to_vec())),
        ("string", text("a")),
        ("empty string", text("")),
        ("string with a zero byte", text("a\0")),
        ("long string", text(&"a".repeat(900))),
        ("symbol", (SYMBOL, text("b").1)),
        ("object id", (OBJECT_ID, vec![5; 12])),
        ("binary", binary(0, b"a")),
        ("UUID", binary(4, &[0x11; 16])),
        ("old UUID", binary(3, &[0x12; 16])),
        ("date", (DATE, (-86_400_001_i64).to_le_bytes().to_vec())),
        ("true", (BOOLEAN, vec![1])),
        ("false", (BOOLEAN, vec![0])),
        ("null", (NULL, vec![])),
        ("empty document", (DOCUMENT, document(&[]))),
        ("document", (DOCUMENT, document(&[("a", int32(1)), ("b", int32(2))]))),
        ("document the other way round", (DOCUMENT, document(&[("b", int32(2)), ("a", int32(1))]))),
        ("timestamp", (TIMESTAMP, ((7_u64 << 32) + 1).to_le_bytes().to_vec())),
        ("code", (CODE, text("f()").1)),
        ("least key", (MIN_KEY, vec![])),
        ("greatest key", (MAX_KEY, vec![])),
    ];
    let cases = values.into_iter().map(|(name, value)| {
        let name = format!("id {name}");
        let document = raw(&document(&[("_id", value), ("name", text(&name))]));
        Case { name, document }
    });
    cases.collect()
}

/// Documents near what a server takes: 16 MiB.
pub fn large() -> Vec<Case> {
    let limit = 16 << 20;
    let with = |name: &str, size: usize| {
        let empty = case(name, &[("v", text(""))]).document.as_bytes().len();
        case(name, &[("v", text(&"x".repeat(size - empty)))])
    };
    vec![with("of 15 MB", 15_000_000), with("of 16 MiB", limit)]
}

/// A document with its name for `_id` and these fields.
fn case(name: &str, fields: &[(&str, Value)]) -> Case {
    let fields: Vec<(&str, Value)> = [("_id", text(name))].into_iter().chain(fields.iter().cloned()).collect();
    Case { name: name.to_owned(), document: raw(&document(&fields)) }
}
