//! Lines of a file in NDJSON, and the parts of a document's line as they stand there: nothing is parsed and printed again.

use coffer_addon::{Error, Incoming, Result};
use serde::Deserialize;
use serde_json::value::RawValue;

/// Servers take requests of 100 MB unless they are told otherwise.
const MAX_LINE: usize = 256 << 20;

/// The lines of an artifact; empty ones are skipped.
pub struct Lines<'a> {
    incoming: &'a mut Incoming,
    /// Of the last line that was returned, from 1, among those that are not empty.
    pub number: u64,
    /// The last line's length with its end, to be taken from the buffer.
    taken: usize,
    /// How much of the buffer has no line's end.
    scanned: usize,
}

impl<'a> Lines<'a> {
    pub fn new(incoming: &'a mut Incoming) -> Self {
        Lines { incoming, number: 0, taken: 0, scanned: 0 }
    }

    /// The next line without its end; none at the end of an artifact that is whole.
    pub async fn next(&mut self) -> Result<Option<&[u8]>> {
        loop {
            self.incoming.consume(self.taken);
            (self.taken, self.scanned) = (0, 0);
            let length = self.find_end().await?;
            let Some(length) = length else { return Ok(None) };
            let line = self.incoming.buffer().get(..length).unwrap_or_default();
            if !line.trim_ascii().is_empty() {
                break;
            }
        }
        self.number += 1;
        Ok(Some(self.incoming.buffer().get(..self.taken).unwrap_or_default().trim_ascii()))
    }

    async fn find_end(&mut self) -> Result<Option<usize>> {
        loop {
            let buffer = self.incoming.buffer();
            let rest = buffer.get(self.scanned..).unwrap_or_default();
            if let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
                let length = self.scanned + end;
                self.taken = length + 1;
                return Ok(Some(length));
            }
            self.scanned = buffer.len();
            if self.scanned > MAX_LINE {
                return Err(Error::Corrupt(format!(
                    "{}: line {} has more than {MAX_LINE} bytes",
                    self.incoming.artifact.name,
                    self.number + 1
                )));
            }
            if self.incoming.fill().await? == 0 {
                self.taken = self.scanned;
                return Ok(Some(self.scanned).filter(|length| *length > 0));
            }
        }
    }
}

/// A document's line: a hit of a search, with what was there of it.
#[derive(Debug, Deserialize)]
pub struct Line<'a> {
    #[serde(rename = "_index")]
    pub index: Option<String>,
    #[serde(rename = "_type", borrow)]
    pub kind: Option<&'a RawValue>,
    #[serde(rename = "_id", borrow)]
    pub id: Option<&'a RawValue>,
    #[serde(rename = "_routing", borrow)]
    pub routing: Option<&'a RawValue>,
    #[serde(rename = "_version")]
    pub version: Option<i64>,
    #[serde(rename = "_source", borrow)]
    pub source: Option<&'a RawValue>,
}

impl<'a> Line<'a> {
    /// The error has no word of the line.
    pub fn parse(bytes: &'a [u8], file: &str, number: u64) -> Result<Line<'a>> {
        let wrong = |what: &str| Error::Corrupt(format!("{file}: line {number} {what}"));
        let line: Line = serde_json::from_slice(bytes).map_err(|error| {
            wrong(&format!("is no document: {:?} error at column {}", error.classify(), error.column()))
        })?;
        let Some(source) = line.source else {
            return Err(Error::Unsupported(format!(
                "{file}: line {number} has no _source: what was indexed is not in the dump"
            )));
        };
        if !source.get().starts_with('{') {
            return Err(wrong("has a _source that is no object"));
        }
        Ok(line)
    }
}

/// The text of a string in JSON, or of a number that stands where one should.
pub fn text(raw: &RawValue) -> Option<String> {
    match serde_json::from_str(raw.get()).ok()? {
        serde_json::Value::String(text) => Some(text),
        serde_json::Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use coffer_addon::Artifact;
    use coffer_addon::testing::{Written, inbox};

    async fn read(bytes: &[u8]) -> Result<Vec<Vec<u8>>> {
        let artifact = Artifact { name: "a.json".into(), ..Artifact::default() };
        let inbox = inbox([Written { artifact, bytes: Ok(bytes.to_vec()) }]);
        let mut incoming = inbox.next().await.expect("one");
        let mut lines = Lines::new(&mut incoming);
        let mut all = Vec::new();
        while let Some(line) = lines.next().await? {
            all.push(line.to_vec());
        }
        assert_eq!(lines.number, all.len() as u64);
        Ok(all)
    }

    #[tokio::test]
    async fn lines_end_however_they_end() {
        let wanted = vec![b"{}".to_vec(), b"[1, 2]".to_vec()];
        for whole in ["{}\n[1, 2]\n", "{}\r\n[1, 2]\r\n", "{}\n\n \n[1, 2]", "\n{}\n[1, 2]\n\n"] {
            assert_eq!(read(whole.as_bytes()).await, Ok(wanted.clone()), "{whole:?}");
        }
        assert_eq!(read(b"").await, Ok(Vec::new()));
        let large = vec![b'x'; 300_000];
        assert_eq!(read(&[&large[..], b"\n", &large].concat()).await, Ok(vec![large.clone(), large]));
    }

    #[test]
    fn a_documents_parts_stand_as_they_stood() {
        let text =
            r#"{"_index":"i","_id":"\u00fc","_score":1,"_source":{"a": 1.0,"a":12345678901234567890123}, "x":[]}"#;
        let line = Line::parse(text.as_bytes(), "i.json", 1).expect("read");
        assert_eq!(line.source.map(RawValue::get), Some(r#"{"a": 1.0,"a":12345678901234567890123}"#));
        assert_eq!((line.id.map(RawValue::get), line.id.and_then(self::text)), (Some(r#""\u00fc""#), Some("ü".into())));
        assert!(line.routing.is_none() && line.version.is_none());
    }

    #[test]
    fn a_wrong_line_is_told_by_its_number_alone() {
        for (text, wanted) in [
            (r#"{"_id":"secret","_source":{"secret":1}"#, "line 7 is no document: Eof error at column 38"),
            (r#"{"_id":"secret"}"#, "line 7 has no _source"),
            (r#"{"_id":"secret","_source":["secret"]}"#, "line 7 has a _source that is no object"),
            (r#"{"_id":"secret","_version":"secret","_source":{}}"#, "line 7 is no document: Data error"),
        ] {
            let error = Line::parse(text.as_bytes(), "i.json", 7).expect_err(wanted);
            assert!(error.message().contains(wanted) && !error.message().contains("secret"), "{wanted}: {error}");
        }
        assert!(Line::parse(b"{\"_source\":{\"a\":\"\xff\"}}", "i.json", 1).is_err());
    }
}
