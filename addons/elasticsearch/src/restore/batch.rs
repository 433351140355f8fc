//! Documents that are indexed by one request: the lines of `_bulk`, and where each of them came from.

use super::lines::Line;
use coffer_addon::{Error, Result};
use std::collections::BTreeMap;
use std::ops::Range;

/// How a document's line becomes an action.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Action {
    /// Data streams take no other.
    pub is_create: bool,
    /// Whether documents keep the versions that they have in the dump.
    pub keeps_versions: bool,
    /// Servers before 7 want a type.
    pub has_type: bool,
}

/// A document in a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// Of its line in the file, from 1.
    pub number: u64,
    /// The bytes of its `_source`.
    pub source: u64,
    bytes: Range<usize>,
}

#[derive(Clone, Debug, Default)]
pub struct Batch {
    pub bytes: Vec<u8>,
    pub items: Vec<Item>,
    /// Whether it, or what it was a part of, may have been indexed by a request whose answer was lost, or was that there is no
    /// time.
    pub was_sent: bool,
}

impl Batch {
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// How many bytes [`Batch::add`] appends at most, but for the constant parts.
    pub fn size(line: &Line<'_>) -> usize {
        let parts = [line.id, line.routing, line.kind, line.source];
        parts.iter().flatten().map(|raw| raw.get().len()).sum::<usize>() + 128
    }

    pub fn add(&mut self, action: &Action, line: &Line<'_>, number: u64) -> Result<()> {
        let Some(source) = line.source else {
            return Err(Error::Corrupt(format!("line {number} has no _source")));
        };
        coffer_addon::room(&mut self.bytes, Batch::size(line))?;
        let start = self.bytes.len();
        let mut push = |part: &str| self.bytes.extend_from_slice(part.as_bytes());
        push(if action.is_create { r#"{"create":{"# } else { r#"{"index":{"# });
        let mut separator = "";
        let fields = [
            (r#""_id":"#, line.id),
            (r#""routing":"#, line.routing),
            (r#""_type":"#, line.kind.filter(|_| action.has_type)),
        ];
        for (name, value) in fields {
            if let Some(value) = value {
                push(separator);
                push(name);
                push(value.get());
                separator = ",";
            }
        }
        if action.has_type && line.kind.is_none() {
            push(separator);
            push(r#""_type":"_doc""#);
            separator = ",";
        }
        // A create is the first of its document: it has version 1 whatever it had. Less than 0 stands for none, and what has no
        // id yet cannot have had a version under it.
        let keeps = |version: &i64| action.keeps_versions && !action.is_create && *version >= 0 && line.id.is_some();
        if let Some(version) = line.version.filter(keeps) {
            push(separator);
            push(&format!(r#""version":{version},"version_type":"external""#));
        }
        push("}}\n");
        push(source.get());
        push("\n");
        let length = u64::try_from(source.get().len()).unwrap_or(u64::MAX);
        self.items.push(Item { number, source: length, bytes: start..self.bytes.len() });
        Ok(())
    }

    /// Those of its documents that stand at these places.
    pub fn only(&self, places: impl IntoIterator<Item = usize>) -> Batch {
        let mut some = Batch { was_sent: self.was_sent, ..Batch::default() };
        for item in places.into_iter().filter_map(|place| self.items.get(place)) {
            let start = some.bytes.len();
            some.bytes.extend_from_slice(self.bytes.get(item.bytes.clone()).unwrap_or_default());
            some.items.push(Item { bytes: start..some.bytes.len(), ..item.clone() });
        }
        some
    }

    /// Two halves of it.
    pub fn split(&self) -> [Batch; 2] {
        let middle = self.items.len().div_ceil(2);
        [self.only(0..middle), self.only(middle..self.items.len())]
    }

    /// The bytes of `_source` of all of them.
    pub fn source(&self) -> u64 {
        self.items.iter().map(|item| item.source).sum()
    }

    /// For errors: the id of a document, as far as it has one.
    pub fn id(&self, item: &Item) -> Option<String> {
        let line = self.bytes.get(item.bytes.clone())?.split(|byte| *byte == b'\n').next()?;
        let action: BTreeMap<String, BTreeMap<String, serde_json::Value>> = serde_json::from_slice(line).ok()?;
        Some(action.values().next()?.get("_id")?.as_str()?.to_owned())
    }

    /// For errors: which lines it has.
    pub fn lines(&self) -> String {
        match (self.items.first(), self.items.last()) {
            (Some(first), Some(last)) if first.number != last.number => {
                format!("lines {} to {}", first.number, last.number)
            }
            (Some(only), _) => format!("line {}", only.number),
            _ => "no line".into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINES: [&str; 3] = [
        r#"{"_id":"\u00fc","_routing":"a b","_version":7,"_source":{"a": 1.0}}"#,
        r#"{"_type":"t","_source":{}}"#,
        r#"{"_id":"3","_version":-1,"_source":{"c":3}}"#,
    ];

    fn batch(action: &Action) -> Batch {
        let mut batch = Batch::default();
        for (number, text) in (1..).zip(LINES) {
            let line = Line::parse(text.as_bytes(), "f", number).expect("read");
            let before = batch.bytes.len();
            batch.add(action, &line, number).expect("added");
            assert!(batch.bytes.len() - before <= Batch::size(&line));
        }
        batch
    }

    fn text(batch: &Batch) -> &str {
        std::str::from_utf8(&batch.bytes).expect("text")
    }

    #[test]
    fn a_line_becomes_an_action_and_its_source() {
        let plain = batch(&Action::default());
        let wanted = "{\"index\":{\"_id\":\"\\u00fc\",\"routing\":\"a b\"}}\n{\"a\": 1.0}\n{\"index\":{}}\n{}\n{\"index\":{\"_id\":\"3\"}}\n{\"c\":3}\n";
        assert_eq!(text(&plain), wanted);
        let kept = batch(&Action { keeps_versions: true, has_type: true, is_create: false });
        let wanted = "\"routing\":\"a b\",\"_type\":\"_doc\",\"version\":7,\"version_type\":\"external\"}}\n{\"a\": 1.0}\n{\"index\":{\"_type\":\"t\"}}\n";
        assert!(text(&kept).contains(wanted), "{}", text(&kept));
        assert!(text(&kept).contains(r#"{"index":{"_id":"3","_type":"_doc"}}"#), "{}", text(&kept));
        let created = batch(&Action { is_create: true, keeps_versions: true, ..Action::default() });
        assert!(text(&created).starts_with("{\"create\":{\"_id\":\"\\u00fc\",\"routing\":\"a b\"}}\n"));
    }

    #[test]
    fn parts_of_a_batch_keep_their_numbers() {
        let whole = batch(&Action::default());
        assert_eq!(whole.lines(), "lines 1 to 3");
        let [first, second] = whole.split();
        assert_eq!([first.lines(), second.lines()], ["lines 1 to 2", "line 3"]);
        assert_eq!(format!("{}{}", text(&first), text(&second)), text(&whole));
        assert_eq!(
            whole.items.iter().map(|item| whole.id(item)).collect::<Vec<_>>(),
            [Some("ü".into()), None, Some("3".into())]
        );
        let some = whole.only([2, 0, 9]);
        assert_eq!(text(&some.only([0])), text(&second));
        assert_eq!(some.items.iter().map(|item| item.number).collect::<Vec<_>>(), [3, 1]);
    }
}
