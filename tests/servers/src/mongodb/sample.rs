//! A sample database worth the name: users, orders, files, places, every kind of index that the server has, options, a
//! view or a capped collection where there can be one. The same size gives the same database on the same server.

use bson::oid::ObjectId;
use bson::{Binary, DateTime, Decimal128, RawArrayBuf, RawBson, RawDocumentBuf, rawdoc, spec::BinarySubtype};

use super::{Client, Mongodb, MongodbVersion};
use crate::error::Result;

pub use crate::sample::{DEMO, SMALL};

/// Orders in a megabyte.
const ORDERS: u32 = 2_200;
const USERS: u32 = 300;

/// The capped collection of servers that have such.
pub const CAPPED: &str = "recent_events";

/// The view of servers that have such.
pub const VIEW: &str = "open_orders";

/// Names of collections that need care as a file's name, in a namespace and in a message.
pub fn awkward_names() -> Vec<String> {
    let fixed = [
        "with space",
        "slash/and\\backslash",
        "per%cent%2F",
        "dotted.name.with.parts",
        "ünïcode 😀",
        "quote\"'`;--",
        "-dash",
        "colon:star*question?",
        "metadata.json",
        "x.bson",
        "UPPER",
        "upper",
        // `mongorestore` passes over this one.
        NEW_LINE,
    ];
    let mut names: Vec<String> = fixed.map(str::to_owned).into();
    // Too long for a file's name once escaped: mongodump names it by a hash.
    names.push("ü".repeat(90));
    names
}

/// The one of [`awkward_names`] that stock `mongorestore` does not restore.
pub const NEW_LINE: &str = "new\nline";

/// Creates `database` and fills it with about `size` megabytes of documents.
pub fn create(server: &Mongodb, database: &str, size: u32) -> Result<()> {
    let mut client = server.client()?;
    let has_all = server.version() != MongodbVersion::FerretDb1;
    let shop = Shop { has_all };
    for step in 0..size {
        let range = |count: u32| step * count..(step + 1) * count;
        client.insert(database, "users", &range(USERS).map(|number| shop.user(number)).collect::<Vec<_>>())?;
        client.insert(database, "orders", &range(ORDERS).map(|number| shop.order(number)).collect::<Vec<_>>())?;
    }
    client.insert(database, "places", &(0..50).map(|number| shop.place(number)).collect::<Vec<_>>())?;
    files(&mut client, database)?;
    client.run(database, &rawdoc! { "create": "empty" })?;
    for (collection, index) in indexes(has_all) {
        let indexes = RawArrayBuf::from_iter([RawBson::Document(index)]);
        client.run(database, &rawdoc! { "createIndexes": collection, "indexes": indexes })?;
    }
    if server.version() != MongodbVersion::FerretDb2 {
        client.run(database, &rawdoc! { "create": CAPPED, "capped": true, "size": 1 << 20, "max": 1000 })?;
        let events: Vec<_> = (0..100).map(|number| rawdoc! { "_id": number, "event": "seen" }).collect();
        client.insert(database, CAPPED, &events)?;
    }
    Ok(())
}

/// Creates [`VIEW`] in a database that [`create`] made. FerretDB has views but does not pass on the command that creates
/// one; so nobody can restore one there.
pub fn create_view(server: &Mongodb, database: &str) -> Result<()> {
    let matching = rawdoc! { "$match": { "state": "open" } };
    let view = rawdoc! { "create": VIEW, "viewOn": "orders", "pipeline": RawArrayBuf::from_iter([RawBson::Document(matching)]) };
    if server.version() != MongodbVersion::FerretDb2 {
        return server.client()?.run(database, &view).map(drop);
    }
    let (database, view) = (quote(database), quote(&bson::Document::try_from(&*view)?.to_string()));
    server.sql(&format!("select documentdb_api.create_collection_view({database}, {view})")).map(drop)
}

/// A literal of SQL.
fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// Creates `database` with [`awkward_names`], as far as the server takes them, a few documents and an index in each.
/// Returns those it took.
pub fn create_awkward_names(server: &Mongodb, database: &str) -> Result<Vec<String>> {
    let mut client = server.client()?;
    let mut taken = Vec::new();
    for name in awkward_names() {
        let documents: Vec<_> = (0..3).map(|number| rawdoc! { "_id": number, "name": name.as_str() }).collect();
        if client.insert(database, &name, &documents).is_err() {
            client = server.client()?;
            continue;
        }
        let index = rawdoc! { "key": { "name": 1 }, "name": "by name" };
        let indexes = RawArrayBuf::from_iter([RawBson::Document(index)]);
        client.run(database, &rawdoc! { "createIndexes": name.as_str(), "indexes": indexes })?;
        taken.push(name);
    }
    Ok(taken)
}

fn indexes(has_all: bool) -> Vec<(&'static str, RawDocumentBuf)> {
    let mut indexes = vec![
        ("users", rawdoc! { "key": { "email": 1 }, "name": "email", "unique": true }),
        ("users", rawdoc! { "key": { "name": 1, "born": -1 }, "name": "name_1_born_-1" }),
        ("orders", rawdoc! { "key": { "customer": 1, "placed": -1 }, "name": "customer and placed" }),
        ("fs.chunks", rawdoc! { "key": { "files_id": 1, "n": 1 }, "name": "files_id_1_n_1", "unique": true }),
        ("empty", rawdoc! { "key": { "a": 1 }, "name": "a_1" }),
    ];
    if has_all {
        indexes.extend([
            ("users", rawdoc! { "key": { "phone": 1 }, "name": "phone", "sparse": true, "unique": true }),
            ("users", rawdoc! { "key": { "expires": 1 }, "name": "expires", "expireAfterSeconds": 3600 }),
            ("users", rawdoc! { "key": { "attributes.$**": 1 }, "name": "attributes" }),
            (
                "users",
                rawdoc! {
                    "key": { "name": "text", "about": "text" }, "name": "words", "default_language": "english",
                    "weights": { "name": 10, "about": 1 },
                },
            ),
            (
                "orders",
                rawdoc! {
                    "key": { "placed": 1 }, "name": "open ones",
                    "partialFilterExpression": { "state": "open", "total": { "$gt": 100 } },
                },
            ),
            ("orders", rawdoc! { "key": { "customer": "hashed" }, "name": "customer_hashed" }),
            ("orders", rawdoc! { "key": { "items.sku": 1 }, "name": "items.sku_1" }),
            ("places", rawdoc! { "key": { "flat": "2d" }, "name": "flat_2d", "bits": 20, "min": -500, "max": 500 }),
            ("places", rawdoc! { "key": { "round": "2dsphere" }, "name": "round_2dsphere" }),
        ]);
    }
    indexes
}

/// What the documents are made of.
struct Shop {
    /// Also of Decimal128 and what else FerretDB 1 does not know.
    has_all: bool,
}

impl Shop {
    fn user(&self, number: u32) -> RawDocumentBuf {
        let mut dice = Dice::of("user", number);
        let name = format!("{} {}", dice.one_of(&FIRST_NAMES), dice.one_of(&LAST_NAMES));
        let mut user = rawdoc! {
            "_id": number as i32,
            "name": name,
            "email": format!("user{number}@shop.test"),
            "born": day(dice.below(20_000)),
            // Far away: nothing may vanish from a sample.
            "expires": day(60_000 + dice.below(365)),
            "about": dice.words(12),
            "attributes": { "size": dice.one_of(&["S", "M", "L"]), "points": dice.below(1000) as i32 },
            "newsletter": dice.below(2) == 0,
            "tags": RawArrayBuf::from_iter((0..dice.below(4)).map(|_| RawBson::from(dice.words(1)))),
        };
        if dice.below(3) == 0 {
            user.append(bson::cstr!("phone"), format!("+49 30 {number:07}"));
        }
        user
    }

    fn order(&self, number: u32) -> RawDocumentBuf {
        let mut dice = Dice::of("order", number);
        let mut total = 0;
        let items: Vec<RawBson> = (0..1 + dice.below(4))
            .map(|_| {
                let (price, count) = (dice.below(20_000) + 99, dice.below(5) + 1);
                total += price * count;
                let item = rawdoc! {
                    "sku": format!("{:06x}", dice.below(5_000)), "count": count as i32, "price": self.money(price),
                    "note": dice.words(3),
                };
                RawBson::Document(item)
            })
            .collect();
        let mut id = [0; 12];
        id[..4].copy_from_slice(&(1_700_000_000 + number).to_be_bytes());
        id[8..].copy_from_slice(&number.to_be_bytes());
        rawdoc! {
            "_id": ObjectId::from_bytes(id),
            "customer": dice.below(USERS) as i32,
            "placed": day(18_000 + dice.below(1_000)),
            "state": dice.one_of(&["open", "paid", "sent", "returned"]),
            "items": RawArrayBuf::from_iter(items),
            "total": self.money(total),
            "weight": f64::from(dice.below(10_000)) / 8.0,
            "shippedTo": { "street": dice.words(2), "zip": format!("{:05}", dice.below(99_999)), "city": dice.words(1) },
            "serial": i64::from(number) << 20,
        }
    }

    fn place(&self, number: u32) -> RawDocumentBuf {
        let mut dice = Dice::of("place", number);
        let mut coordinate = |limit: u32| f64::from(dice.below(limit * 2)) - f64::from(limit);
        let (x, y) = (coordinate(180), coordinate(85));
        let pair = || RawArrayBuf::from_iter([RawBson::Double(x), RawBson::Double(y)]);
        rawdoc! { "_id": format!("place {number}"), "flat": pair(), "round": { "type": "Point", "coordinates": pair() } }
    }

    fn money(&self, cents: u32) -> RawBson {
        if !self.has_all {
            return RawBson::Int32(cents as i32);
        }
        // Significand and exponent -2.
        let bits = u128::from(cents) | (6174_u128 << 113);
        RawBson::Decimal128(Decimal128::from_bytes(bits.to_le_bytes()))
    }
}

/// Two files as GridFS has them.
fn files(client: &mut Client, database: &str) -> Result<()> {
    const CHUNK: usize = 255 * 1024;
    for (number, size) in [(1_u32, 600_000_usize), (2, 0)] {
        let mut dice = Dice::of("file", number);
        let content: Vec<u8> = (0..size).map(|_| dice.below(256) as u8).collect();
        let id = ObjectId::from_bytes([number as u8; 12]);
        let chunks = content.chunks(CHUNK).zip(0_i32..).map(|(bytes, n)| {
            let data = Binary { subtype: BinarySubtype::Generic, bytes: bytes.to_vec() };
            let mut own = [number as u8; 12];
            own[11] = n as u8;
            rawdoc! { "_id": ObjectId::from_bytes(own), "files_id": id, "n": n, "data": data }
        });
        client.insert(database, "fs.chunks", &chunks.collect::<Vec<_>>())?;
        let file = rawdoc! {
            "_id": id, "length": size as i64, "chunkSize": CHUNK as i32, "uploadDate": day(19_000), "filename": format!("file {number}"),
        };
        client.insert(database, "fs.files", &[file])?;
    }
    Ok(())
}

fn day(days: u32) -> DateTime {
    DateTime::from_millis(i64::from(days) * 86_400_000)
}

const FIRST_NAMES: [&str; 8] = ["Ada", "Grace", "Zoë", "Søren", "Łukasz", "Mei", "Ngozi", "Αλέξης"];
const LAST_NAMES: [&str; 8] = ["Lovelace", "Hopper", "O'Brien", "Müller", "Nakamura", "Okafor", "d'Arc", "Иванова"];
const WORDS: [&str; 16] = [
    "amber", "bright", "copper", "dawn", "early", "field", "golden", "harbour", "island", "juniper", "kettle", "linen",
    "meadow", "north", "orchard", "pebble",
];

/// Numbers that look random and are the same every time.
struct Dice(u64);

impl Dice {
    fn of(kind: &str, number: u32) -> Self {
        let seed = kind.bytes().fold(u64::from(number), |seed, byte| seed.rotate_left(8) ^ u64::from(byte));
        Self(seed)
    }

    /// splitmix64
    fn below(&mut self, limit: u32) -> u32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % u64::from(limit.max(1))) as u32
    }

    fn one_of(&mut self, choices: &[&'static str]) -> &'static str {
        choices.get(self.below(choices.len() as u32) as usize).copied().unwrap_or_default()
    }

    fn words(&mut self, count: usize) -> String {
        (0..count).map(|_| self.one_of(&WORDS)).collect::<Vec<_>>().join(" ")
    }
}
