//! An answer to a search, and the lines that it comes to. Documents go from one into the other as the server sent them.

use crate::client::error::{SHARDS, told};
use coffer_addon::{Error, Result};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use std::borrow::Cow;

#[derive(Deserialize)]
pub struct Page<'a> {
    #[serde(default)]
    timed_out: bool,
    #[serde(rename = "_shards")]
    shards: Shards,
    pub pit_id: Option<String>,
    #[serde(rename = "_scroll_id")]
    pub scroll_id: Option<String>,
    #[serde(borrow)]
    hits: Hits<'a>,
}

#[derive(Deserialize)]
struct Shards {
    total: u64,
    successful: u64,
    failed: u64,
    #[serde(default)]
    failures: Vec<Failure>,
}

#[derive(Deserialize)]
struct Failure {
    #[serde(default)]
    shard: i64,
    #[serde(default)]
    reason: Value,
}

#[derive(Deserialize)]
struct Hits<'a> {
    total: Option<Total>,
    #[serde(borrow)]
    hits: Vec<Hit<'a>>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Total {
    /// Before Elasticsearch 7.
    Number(u64),
    Object {
        value: u64,
        relation: String,
    },
}

/// A document.
#[derive(Deserialize)]
pub struct Hit<'a> {
    #[serde(borrow, rename = "_index")]
    index: Cow<'a, str>,
    #[serde(borrow, rename = "_type")]
    kind: Option<&'a RawValue>,
    #[serde(borrow, rename = "_id")]
    id: &'a RawValue,
    #[serde(rename = "_version")]
    version: Option<i64>,
    #[serde(borrow, rename = "_routing")]
    routing: Option<&'a RawValue>,
    #[serde(borrow, rename = "_source")]
    source: Option<&'a RawValue>,
    #[serde(borrow)]
    sort: Option<&'a RawValue>,
}

impl<'a> Page<'a> {
    pub fn read(bytes: &'a [u8]) -> Result<Self> {
        serde_json::from_slice(bytes)
            .map_err(|error| Error::Corrupt(format!("the server's answer is not the JSON it should be: {error}")))
    }

    /// Fails for one that is not whole.
    pub fn check(&self) -> Result<()> {
        let Shards { total, successful, failed, failures } = &self.shards;
        if *failed > 0 || successful < total {
            let why = failures.first().map(|failure| {
                let (kind, reason) = told(&failure.reason);
                format!(": shard {}: {kind}: {reason}", failure.shard)
            });
            let why = why.unwrap_or_default();
            let remedy =
                if why.is_empty() || why.contains("no_shard_available") { SHARDS } else { "run the dump again" };
            return Err(Error::Unavailable(format!("only {successful} of {total} shards answered{why}; {remedy}")));
        }
        if self.timed_out {
            return Err(Error::Unavailable("the server gave up in the middle of the search".into()));
        }
        Ok(())
    }

    pub fn hits(&self) -> &[Hit<'a>] {
        &self.hits.hits
    }

    /// How many there are in all, where it was asked for.
    pub fn total(&self) -> Option<u64> {
        match self.hits.total.as_ref()? {
            Total::Number(value) => Some(*value),
            Total::Object { value, relation } => (relation == "eq").then_some(*value),
        }
    }

    /// Where the next page begins.
    pub fn last(&self) -> Option<&'a RawValue> {
        self.hits.hits.last()?.sort
    }
}

impl<'a> Hit<'a> {
    pub fn id(&self) -> Result<Cow<'a, str>> {
        text(self.id)
    }

    pub fn routing(&self) -> Result<Option<Cow<'a, str>>> {
        self.routing.map(text).transpose()
    }

    /// As it is to stand in a line. Indexed with line breaks between its fields it has blanks in their place: those in texts are
    /// escaped.
    pub fn source(&self) -> Result<Cow<'a, [u8]>> {
        let Some(source) = self.source else {
            return Err(Error::Unsupported(
                "a document has no _source: the index does not keep it, or the user may not see it".into(),
            ));
        };
        let bytes = source.get().as_bytes();
        let is_break = |byte: &u8| matches!(byte, b'\n' | b'\r');
        if !bytes.iter().any(is_break) {
            return Ok(Cow::Borrowed(bytes));
        }
        Ok(Cow::Owned(bytes.iter().map(|byte| if is_break(byte) { b' ' } else { *byte }).collect()))
    }

    /// Appends what stands before the source, which `}` and a line's end follow.
    pub fn begin_line(&self, index: &str, with_types: bool, lines: &mut Vec<u8>) -> Result<()> {
        if self.index != index {
            return Err(Error::Corrupt(format!("the server answered with a document of {}", self.index)));
        }
        lines.extend_from_slice(b"{\"_index\":");
        serde_json::to_writer(&mut *lines, index)?;
        let kind = self.kind.filter(|_| with_types).map(RawValue::get);
        // -1: the index keeps none.
        let version = self.version.filter(|version| *version >= 0).map(|version| version.to_string());
        let (id, routing) = (Some(self.id.get()), self.routing.map(RawValue::get));
        for (name, value) in [("_type", kind), ("_id", id), ("_version", version.as_deref()), ("_routing", routing)] {
            if let Some(value) = value {
                lines.extend_from_slice(format!(",\"{name}\":").as_bytes());
                lines.extend_from_slice(value.as_bytes());
            }
        }
        lines.extend_from_slice(b",\"_source\":");
        Ok(())
    }
}

fn text(raw: &RawValue) -> Result<Cow<'_, str>> {
    #[derive(Deserialize)]
    struct Text<'a>(#[serde(borrow)] Cow<'a, str>);
    Ok(serde_json::from_str::<Text<'_>>(raw.get())?.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(hits: &str, rest: &str) -> String {
        let shards = r#"{"total":1,"successful":1,"failed":0}"#;
        format!(r#"{{"timed_out":false,"_shards":{shards},"hits":{{{rest}"hits":[{hits}]}}}}"#)
    }

    #[test]
    fn a_source_stays_as_it_is_on_a_line() {
        let source = "{\n \"a\": 1.10,\"a\":123456789012345678901,\"t\":\"\\n\"}";
        let hit = format!(
            "{{\"_index\":\"i\",\"_type\":\"_doc\",\"_id\":\"\\u00fc\",\"_version\":7,\"_score\":null,\"_routing\":\"r\",\"_source\":{source},\"sort\":[7]}}"
        );
        let text = page(&hit, r#""total":{"value":1,"relation":"eq"},"#);
        let page = Page::read(text.as_bytes()).expect("a page");
        page.check().expect("whole");
        assert_eq!((page.hits().len(), page.total(), page.last().map(RawValue::get)), (1, Some(1), Some("[7]")));
        let hit = &page.hits()[0];
        assert_eq!((hit.id().unwrap(), hit.routing().unwrap()), ("ü".into(), Some("r".into())));
        assert_eq!(hit.source().unwrap(), source.replace('\n', " ").as_bytes());
        for (with_types, kind) in [(false, ""), (true, r#","_type":"_doc""#)] {
            let mut line = Vec::new();
            hit.begin_line("i", with_types, &mut line).expect("written");
            let wanted = format!(r#"{{"_index":"i"{kind},"_id":"\u00fc","_version":7,"_routing":"r","_source":"#);
            assert_eq!(String::from_utf8(line).unwrap(), wanted);
        }
        assert!(hit.begin_line("j", false, &mut Vec::new()).is_err());
    }

    #[test]
    fn what_is_not_whole_is_refused() {
        let failed = r#"{"timed_out":false,"_shards":{"total":2,"successful":1,"failed":1,"failures":[{"shard":1,
            "reason":{"type":"node_not_connected_exception","reason":"gone"}}]},"hits":{"hits":[]}}"#;
        let outcome = Page::read(failed.as_bytes()).and_then(|page| page.check());
        assert!(matches!(outcome, Err(Error::Unavailable(text)) if text.contains("gone")));
        let late = page("", "").replace("false", "true");
        assert!(matches!(Page::read(late.as_bytes()).and_then(|page| page.check()), Err(Error::Unavailable(_))));
        assert!(matches!(Page::read(b"{\"hits\":").map(drop), Err(Error::Corrupt(_))));
        let text = page(r#"{"_index":"i","_id":"1"}"#, "");
        let without = Page::read(text.as_bytes()).expect("a page");
        assert!(matches!(without.hits()[0].source(), Err(Error::Unsupported(_))));
    }

    #[test]
    fn totals_are_numbers_or_objects() {
        let total = |text: &str| Page::read(page("", text).as_bytes()).expect("a page").total();
        assert_eq!(total(r#""total":7,"#), Some(7));
        assert_eq!(total(r#""total":{"value":10000,"relation":"gte"},"#), None);
        assert_eq!(total(""), None);
    }
}
