//! What `_bulk` answers: a status for each document. What it says of a document's contents goes no further.

use super::batch::Batch;
use coffer_addon::{Error, Result};
use serde::Deserialize;
use std::collections::BTreeMap;

/// What is wanted of the answer: little where all is well.
pub const WANTED: &str =
    "errors,error.type,items.*.status,items.*.error.type,items.*.error.reason,items.*.error.caused_by.type";

#[derive(Debug, Deserialize)]
struct Answer {
    errors: bool,
    items: Vec<BTreeMap<String, Outcome>>,
}

#[derive(Debug, Deserialize)]
struct Outcome {
    status: u16,
    error: Option<Cause>,
}

#[derive(Debug, Default, Deserialize)]
struct Cause {
    #[serde(default, rename = "type")]
    kind: String,
    #[serde(default)]
    reason: Option<String>,
    #[serde(default)]
    caused_by: Option<Box<Cause>>,
}

/// What became of a batch.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Outcomes {
    pub indexed: u64,
    /// There already, by a request whose answer was lost or was that there is no time.
    pub known: u64,
    /// Places of those that the server had no time for.
    pub again: Vec<usize>,
    /// Why, of the first of them.
    pub why_again: Option<String>,
    /// Places of those that it will never take, and why.
    pub refused: Vec<(usize, String)>,
}

/// How large the answer to a batch may be.
pub fn limit(batch: &Batch) -> usize {
    (1 << 20) + batch.items.len() * 8192
}

/// Whether the server has no time now, and may have some later.
pub fn is_busy(status: u16) -> bool {
    matches!(status, 429 | 502..=504)
}

pub fn read(bytes: &[u8], batch: &Batch) -> Result<Outcomes> {
    let answer: Answer = serde_json::from_slice(bytes).map_err(|error| {
        let (kind, column) = (error.classify(), error.column());
        Error::Corrupt(format!("the answer to _bulk is not the JSON it should be: {kind:?} error at column {column}"))
    })?;
    if answer.items.len() != batch.items.len() {
        return Err(Error::Failed(format!(
            "of {} documents the server answers for {}: nobody knows what became of the others",
            batch.items.len(),
            answer.items.len()
        )));
    }
    let mut outcomes = Outcomes::default();
    for (place, item) in answer.items.iter().enumerate() {
        let Some(outcome) = item.values().next().filter(|_| item.len() == 1) else {
            return Err(Error::Corrupt("the answer to _bulk has an item that is none".into()));
        };
        match outcome.status {
            200..=299 if outcome.error.is_none() => outcomes.indexed += 1,
            409 if batch.was_sent => outcomes.known += 1,
            status if is_busy(status) => {
                outcomes.again.push(place);
                outcomes.why_again.get_or_insert_with(|| reason(status, outcome.error.as_ref()));
            }
            status => outcomes.refused.push((place, reason(status, outcome.error.as_ref()))),
        }
    }
    if answer.errors && outcomes.again.is_empty() && outcomes.refused.is_empty() && outcomes.known == 0 {
        return Err(Error::Failed("the answer to _bulk says that there are errors, and has none".into()));
    }
    Ok(outcomes)
}

/// Of an index that takes nothing for as long as its block stands, as on a node whose disk is full.
const BLOCK: &str = "cluster_block_exception";

/// The kind of error, and the field where it names one: the rest has words of the document.
fn reason(status: u16, error: Option<&Cause>) -> String {
    let Some(error) = error else { return format!("status {status}") };
    let mut text = format!("{status} {}", error.kind);
    let reason = error.reason.as_deref().unwrap_or_default();
    if error.kind == BLOCK {
        // It has the index and the block, and nothing of the document.
        return format!("{text}: {reason}");
    }
    // Only up to the closing bracket, and only where that names a field of the mapping.
    let named = |before: &str| {
        let rest = reason.split_once(before)?.1;
        Some(rest.split_once(']')?.0)
    };
    if let Some(field) = named("failed to parse field [") {
        text.push_str(&format!(": field {field}"));
        if let Some(kind) = named("] of type [") {
            text.push_str(&format!(" of type {kind}"));
        }
    } else if let Some(field) = named("dynamic introduction of [") {
        text.push_str(&format!(": the mapping has no field {field}, and is strict"));
    } else if let Some(cause) = &error.caused_by {
        text.push_str(&format!(" by {}", cause.kind));
    }
    text
}

/// Why a whole request was refused, from its answer: the kind of error, without the words of it.
pub fn refusal(status: u16, bytes: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Refusal {
        error: Cause,
    }
    match serde_json::from_slice::<Refusal>(bytes) {
        Ok(Refusal { error }) if !error.kind.is_empty() => format!("{status} {}", error.kind),
        _ => format!("status {status}"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::batch::Action;
    use super::super::lines::Line;
    use super::*;

    fn batch(count: u64) -> Batch {
        let mut batch = Batch::default();
        for number in 1..=count {
            let line = Line::parse(b"{\"_source\":{}}", "f", number).expect("read");
            batch.add(&Action::default(), &line, number).expect("added");
        }
        batch
    }

    #[test]
    fn each_document_has_its_outcome() {
        let text = br#"{"errors":true,"items":[{"index":{"status":201}},{"index":{"status":429,"error":{"type":"es_rejected_execution_exception"}}},
            {"create":{"status":409,"error":{"type":"version_conflict_engine_exception","reason":"[secret]"}}},
            {"index":{"status":400,"error":{"type":"mapper_parsing_exception","reason":"failed to parse field [a.b] of type [integer] in document with id 'secret'. Preview of field's value: 'secret'"}}},
            {"index":{"status":400,"error":{"type":"x","reason":"secret","caused_by":{"type":"y","reason":"secret"}}}}]}"#;
        let found = read(text, &batch(5)).expect("read");
        assert_eq!((found.indexed, found.known, &found.again[..]), (1, 0, &[1][..]));
        let reasons: Vec<_> = found.refused.iter().map(|(place, why)| format!("{place} {why}")).collect();
        assert_eq!(
            reasons,
            [
                "2 409 version_conflict_engine_exception",
                "3 400 mapper_parsing_exception: field a.b of type integer",
                "4 400 x by y"
            ]
        );
        let sent = Batch { was_sent: true, ..batch(5) };
        assert_eq!(read(text, &sent).map(|found| (found.known, found.refused.len())), Ok((1, 2)));
    }

    #[test]
    fn an_answer_that_makes_no_sense_is_none() {
        for text in [
            "",
            "{}",
            r#"{"errors":false,"items":[]}"#,
            r#"{"errors":false,"items":[{"index":{}}]}"#,
            r#"{"errors":false,"items":[{}]}"#,
            r#"{"errors":true,"items":[{"index":{"status":200}}]}"#,
            r#"{"errors":false,"items":[{"index":{"status":200}},{"index":{"status":200}}]}"#,
        ] {
            assert!(read(text.as_bytes(), &batch(1)).is_err(), "{text}");
        }
    }

    #[test]
    fn a_refusal_is_its_kind() {
        assert_eq!(
            refusal(403, br#"{"error":{"type":"security_exception","reason":"secret"},"status":403}"#),
            "403 security_exception"
        );
        assert_eq!(refusal(413, b"<html>secret"), "status 413");
        assert_eq!(refusal(401, br#"{"error":"secret"}"#), "status 401");
    }

    #[test]
    fn a_block_is_told() {
        let told = "index [i] blocked by: [TOO_MANY_REQUESTS/12/disk usage exceeded flood-stage watermark];";
        let error = serde_json::json!({ "type": BLOCK, "reason": told });
        let error: Cause = serde_json::from_value(error).expect("a cause");
        assert_eq!(reason(429, Some(&error)), format!("429 {BLOCK}: {told}"));
    }
}
