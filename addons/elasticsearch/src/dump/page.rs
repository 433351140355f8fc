//! An answer to a search, and the lines that it comes to. Documents go from one into the other as the server sent them.

use crate::client::error::told;
use crate::layout::Count;
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

#[derive(Deserialize)]
struct Hit<'a> {
    #[serde(borrow, rename = "_index")]
    index: Cow<'a, str>,
    #[serde(borrow, rename = "_type")]
    kind: Option<&'a RawValue>,
    #[serde(borrow, rename = "_id")]
    id: &'a RawValue,
    #[serde(borrow, rename = "_routing")]
    routing: Option<&'a RawValue>,
    #[serde(borrow, rename = "_source")]
    source: Option<&'a RawValue>,
    #[serde(borrow)]
    sort: Option<&'a RawValue>,
}

impl<'a> Page<'a> {
    /// Fails for one that is not whole.
    pub fn read(bytes: &'a [u8]) -> Result<Self> {
        let page: Page<'a> = serde_json::from_slice(bytes)
            .map_err(|error| Error::Corrupt(format!("the server's answer is not the JSON it should be: {error}")))?;
        let Shards { total, successful, failed, failures } = &page.shards;
        if *failed > 0 || successful < total {
            let why = failures.first().map(|failure| {
                let (kind, reason) = told(&failure.reason);
                format!(": shard {}: {kind}: {reason}", failure.shard)
            });
            let why = why.unwrap_or_default();
            return Err(Error::Unavailable(format!("only {successful} of {total} shards answered{why}")));
        }
        if page.timed_out {
            return Err(Error::Unavailable("the server gave up in the middle of the search".into()));
        }
        Ok(page)
    }

    pub fn len(&self) -> usize {
        self.hits.hits.len()
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

    /// Appends its documents to `lines`, and counts them.
    pub fn write(&self, index: &str, with_types: bool, lines: &mut Vec<u8>, count: &mut Count) -> Result<()> {
        for hit in &self.hits.hits {
            if hit.index != index {
                return Err(Error::Corrupt(format!("the server answered with a document of {}", hit.index)));
            }
            let id: Cow<'_, str> = serde_json::from_str(hit.id.get())?;
            let routing: Option<Cow<'_, str>> =
                hit.routing.map(|routing| serde_json::from_str(routing.get())).transpose()?;
            let Some(source) = hit.source else {
                return Err(Error::Unsupported(format!(
                    "document {id:?} has no _source: it is not kept, or the user may not see it"
                )));
            };
            lines.extend_from_slice(b"{\"_index\":");
            serde_json::to_writer(&mut *lines, index)?;
            if let Some(kind) = hit.kind.filter(|_| with_types) {
                lines.extend_from_slice(b",\"_type\":");
                lines.extend_from_slice(kind.get().as_bytes());
            }
            lines.extend_from_slice(b",\"_id\":");
            lines.extend_from_slice(hit.id.get().as_bytes());
            if let Some(routing) = hit.routing.filter(|_| routing.is_some()) {
                lines.extend_from_slice(b",\"_routing\":");
                lines.extend_from_slice(routing.get().as_bytes());
            }
            lines.extend_from_slice(b",\"_source\":");
            let begin = lines.len();
            lines.extend_from_slice(source.get().as_bytes());
            let source = lines.get_mut(begin..).unwrap_or_default();
            // Indexed with line breaks between its fields: they are no part of any text in it.
            source.iter_mut().filter(|byte| matches!(byte, b'\n' | b'\r')).for_each(|byte| *byte = b' ');
            count.add(&id, routing.as_deref(), source);
            lines.extend_from_slice(b"}\n");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(hits: &str, rest: &str) -> String {
        format!(
            r#"{{"timed_out":false,"_shards":{{"total":1,"successful":1,"failed":0}},"hits":{{{rest}"hits":[{hits}]}}}}"#
        )
    }

    #[test]
    fn a_source_stays_as_it_is_on_a_line() {
        let hit = "{\"_index\":\"i\",\"_id\":\"\\u00fc\",\"_score\":null,\"_routing\":\"r\",\"_source\":{\n \"a\": 1.10,\"a\":123456789012345678901,\"t\":\"\\n\"},\"sort\":[7]}";
        let text = page(hit, r#""total":{"value":1,"relation":"eq"},"#);
        let page = Page::read(text.as_bytes()).expect("a page");
        assert_eq!((page.len(), page.total(), page.last().map(RawValue::get)), (1, Some(1), Some("[7]")));
        let (mut lines, mut count) = (Vec::new(), Count::default());
        page.write("i", false, &mut lines, &mut count).expect("written");
        let line = "{\"_index\":\"i\",\"_id\":\"\\u00fc\",\"_routing\":\"r\",\"_source\":{  \"a\": 1.10,\"a\":123456789012345678901,\"t\":\"\\n\"}}\n";
        assert_eq!(String::from_utf8(lines).expect("text"), line);
        let mut same = Count::default();
        same.add("ü", Some("r"), b"{  \"a\": 1.10,\"a\":123456789012345678901,\"t\":\"\\n\"}");
        assert_eq!(count, same);
    }

    #[test]
    fn what_is_not_whole_is_refused() {
        let failed = r#"{"timed_out":false,"_shards":{"total":2,"successful":1,"failed":1,"failures":[{"shard":1,
            "reason":{"type":"node_not_connected_exception","reason":"gone"}}]},"hits":{"hits":[]}}"#;
        assert!(matches!(Page::read(failed.as_bytes()), Err(Error::Unavailable(text)) if text.contains("gone")));
        let late = page("", "").replace("false", "true");
        assert!(matches!(Page::read(late.as_bytes()), Err(Error::Unavailable(_))));
        assert!(matches!(Page::read(b"{\"hits\":"), Err(Error::Corrupt(_))));
        let text = page(r#"{"_index":"i","_id":"1"}"#, "");
        let without = Page::read(text.as_bytes()).expect("a page");
        let outcome = without.write("i", false, &mut Vec::new(), &mut Count::default());
        assert!(matches!(outcome, Err(Error::Unsupported(_))), "{outcome:?}");
    }
}
