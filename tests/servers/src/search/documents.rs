//! The sample's documents. The same number gives the same document, on servers of the same abilities.

#![allow(clippy::indexing_slicing, reason = "a field that JSON does not have is null")]

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::Abilities;

/// A document with what `_bulk` says before it.
pub(super) struct Document {
    pub id: Option<String>,
    pub routing: Option<String>,
    pub source: Value,
}

impl Document {
    fn new(id: impl Into<String>, source: Value) -> Self {
        Self { id: Some(id.into()), routing: None, source }
    }

    /// The two lines of `_bulk`, for an `operation` of `index` or `create`.
    pub(super) fn lines(&self, operation: &str) -> String {
        let mut line = json!({});
        if let Some(id) = &self.id {
            line["_id"] = id.as_str().into();
        }
        if let Some(routing) = &self.routing {
            line["routing"] = routing.as_str().into();
        }
        format!("{}\n{}\n", json!({ operation: line }), self.source)
    }
}

/// How many dimensions the sample's vectors have.
pub(super) const DIMENSIONS: u32 = 8;

const WORDS: [&str; 16] = [
    "Anker",
    "Boje",
    "crème brûlée",
    "dock",
    "ebb & flow",
    "fjord",
    "Größe",
    "hull",
    "İstanbul",
    "jib",
    "keel",
    "水",
    "mooring",
    "naïve",
    "oar",
    "🚢",
];

pub(super) fn product(number: u32, can: Abilities) -> Document {
    let mut random = Random(number.into());
    let (lat, lon) = (f64::from(random.below(170)) - 85.0, f64::from(random.below(359)) - 179.5);
    let place = match number % 4 {
        0 => json!({ "lat": lat, "lon": lon }),
        1 => json!(format!("{lat},{lon}")),
        2 => json!([lon, lat]),
        _ => json!(format!("POINT ({lon} {lat})")),
    };
    let small = random.below(100);
    let mut source = json!({
        "number": number,
        "name": random.words(3),
        "description": random.words(20),
        "price": f64::from(random.below(100_000)) / 100.0,
        "stock": match number % 50 {
            // Beyond what a double holds exactly.
            7 => i64::MAX,
            8 => i64::MIN,
            9 => 9_007_199_254_740_993,
            _ => i64::from(random.below(1000)),
        },
        "weight": f64::from(random.below(64)) / 8.0,
        "ratio": match number % 50 { 11 => 1e300, 12 => 5e-324, 13 => 0.1, 14 => -0.0, _ => f64::from(random.below(9)) / 7.0 },
        "active": number.is_multiple_of(3),
        "picture": STANDARD.encode(random.bytes(24)),
        "added": day(number),
        "touched": format!("{}T{:02}:10:20.{:09}Z", day(number), number % 24, random.below(999_999_999)),
        "season": { "gte": day(number), "lt": "2027-01-01" },
        "size": { "gt": small, "lte": small + 9 },
        "network": format!("10.{}.0.0/16", number % 256),
        "address": if number.is_multiple_of(5) { format!("2001:db8::{:x}", number) } else { format!("10.0.{}.{}", number % 256, number % 251) },
        "place": place,
        "tags": (0..random.below(4)).map(|_| random.word()).collect::<Vec<_>>(),
        "parts": (0..random.below(3)).map(|part| json!({ "name": random.word(), "count": part })).collect::<Vec<_>>(),
        // Not indexed, so anything goes.
        "extra": { "": null, "mixed": [1, "two", null, [], {}, 1.5], "deep": { "a": { "b": [{ "c": number }] } } },
        "vector": (0..DIMENSIONS).map(|_| f64::from(random.below(200)) / 64.0 - 1.5).collect::<Vec<_>>(),
    });
    if number.is_multiple_of(7) {
        source["description"] = Value::Null;
        source["color_code"] = random.word().into();
    }
    if number % 500 == 3 {
        source["description"] = random.words(8000).into();
    }
    if can.join {
        source["rank"] = (random.below(90) + 1).into();
    }
    if can.shapes {
        source["area"] = area(number);
    }
    Document::new(format!("p{number}"), source)
}

fn area(number: u32) -> Value {
    let (west, south) = (f64::from(number % 100), f64::from(number % 50));
    match number % 3 {
        0 => json!({ "type": "Point", "coordinates": [west, south] }),
        1 => json!(format!("LINESTRING ({west} {south}, {} {})", west + 1.5, south + 1.0)),
        _ => json!({
            "type": "Polygon",
            "coordinates": [[[west, south], [west + 2.0, south], [west + 2.0, south + 2.0], [west, south]]],
        }),
    }
}

/// A customer, every tenth, or an order; which are routed to their customer where they are its children.
pub(super) fn order(number: u32, can: Abilities) -> Document {
    let mut random = Random(u64::from(number) << 20);
    let customer = number / 10;
    let kind = match (number % 10, can.join) {
        (0, true) => json!("customer"),
        (_, true) => json!({ "name": "order", "parent": format!("c{customer}") }),
        (0, false) => json!("customer"),
        (_, false) => json!("order"),
    };
    let source = match number % 10 {
        0 => json!({ "kind": kind, "name": random.words(2), "country": random.one_of(&["de", "eu", "in"]) }),
        _ => json!({
            "kind": kind,
            "total": f64::from(random.below(50_000)) / 100.0,
            "placed": day(number),
            "lines": (0..=random.below(3)).map(|line| json!({ "line": line, "product": random.below(1000) })).collect::<Vec<_>>(),
        }),
    };
    let id = if number.is_multiple_of(10) { format!("c{customer}") } else { format!("o{number}") };
    Document { routing: Some(format!("c{customer}")), ..Document::new(id, source) }
}

/// A line of a log; its server gives it an id.
pub(super) fn event(number: u32) -> Document {
    let mut random = Random(u64::from(number) << 40);
    let source = json!({
        "@timestamp": format!("{}T00:{:02}:{:02}.{:03}Z", day(number), number / 60 % 60, number % 60, number % 1000),
        "level": random.one_of(&["info", "warn", "error"]),
        "message": random.words(12),
        "number": number,
    });
    Document { id: None, routing: None, source }
}

/// Ids and routings that need care in a path, a query, a file and a message.
pub(super) fn odd() -> Vec<Document> {
    let mut ids: Vec<String> = [
        "with space",
        " leading and trailing ",
        "slash/and\\backslash",
        "per%cent%2F",
        "plus+and&equals=?question#fragment",
        "quote\"'`;--",
        "comma,separated",
        "..",
        ".",
        "-",
        "_underscore",
        "_search",
        "*",
        "new\nline\r\ttab",
        "ünïcode 😀 水",
        "e\u{301} is not é",
        "{\"json\":[1]}",
        "<id>&amp;",
        "0",
        "UPPER",
        "upper",
        "\u{7f}\u{200b}\u{feff}",
    ]
    .map(str::to_owned)
    .into();
    // As long as an id may be.
    ids.push("ü".repeat(256));
    let routings = [None, Some("r 1"), Some("r/2"), Some("r,3"), Some("rü&=%")];
    let numbered = ids.into_iter().zip(0_u32..).zip(routings.iter().cycle());
    numbered
        .map(|((id, number), routing)| Document {
            routing: routing.map(str::to_owned),
            ..Document::new(id.clone(), json!({ "number": number, "id": id }))
        })
        .collect()
}

pub(super) fn small(number: u32) -> Document {
    Document::new(format!("s{number}"), json!({ "number": number, "name": Random(number.into()).words(2) }))
}

fn day(number: u32) -> String {
    format!("2026-{:02}-{:02}", number / 28 % 12 + 1, number % 28 + 1)
}

/// SplitMix64: good enough to look like data, and the same everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: u32) -> u32 {
        u32::try_from(self.next() % u64::from(limit.max(1))).unwrap_or_default()
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        std::iter::repeat_with(|| self.next().to_le_bytes()).flatten().take(count).collect()
    }

    fn one_of(&mut self, choices: &[&'static str]) -> &'static str {
        choices.get(self.below(choices.len() as u32) as usize).copied().unwrap_or_default()
    }

    fn word(&mut self) -> &'static str {
        self.one_of(&WORDS)
    }

    fn words(&mut self, count: usize) -> String {
        (0..count).map(|_| self.word()).collect::<Vec<_>>().join(" ")
    }
}
