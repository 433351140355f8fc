//! What a status and a body that refuse come to.

use coffer_addon::http::Response;
use coffer_addon::{Error, Result};
use serde_json::Value;

/// More of a body no error has.
const MAX_BODY: usize = 1 << 20;
/// Of a reason, for people.
const MAX_REASON: usize = 500;

/// Where reasons begin to quote documents: mappers, number formats and parsers.
const QUOTES: [&str; 4] = ["Preview of field's value", "[Source:", "For input string:", "could not parse input"];

/// What to do where an index is red.
pub const SHARDS: &str = "the server is up, but shards of the index are on no node that runs: GET /_cluster/allocation/explain says \
                          why; bring them back, or exclude the index";

/// A server's refusal: the status, and what the body says, without documents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub status: u16,
    /// `index_not_found_exception` and the like; empty where the body names none.
    pub kind: String,
    pub reason: String,
}

impl Refusal {
    pub async fn read(mut answer: Response) -> Result<Self> {
        let status = answer.status;
        let body = answer.read_all(MAX_BODY).await.unwrap_or_default();
        Ok(Refusal::of(status, &body))
    }

    /// Of a body, which need not be JSON: a proxy's is not.
    pub fn of(status: u16, body: &[u8]) -> Self {
        let body = serde_json::from_slice(body).unwrap_or(Value::Null);
        let error = body.get("error").unwrap_or(&Value::Null);
        // Dashboards' have the status' name there, and say more beside it.
        let (kind, reason) = match (error.as_str(), body.get("message").and_then(Value::as_str)) {
            (Some(kind), Some(message)) => (kind.to_owned(), without_documents(message)),
            _ => told(error),
        };
        Refusal { status, kind, reason }
    }

    /// Worth another attempt.
    pub fn is_busy(&self) -> bool {
        matches!(self.status, 429 | 503)
    }

    /// Said by what is in front of the server, which may have been asked or not.
    pub fn is_lost(&self) -> bool {
        matches!(self.status, 502 | 504)
    }

    /// The server is there, and has not all of an index.
    fn lacks_shards(&self) -> bool {
        let says = ["no_shard_available", "missing shards", "primary shard is not active"];
        let said = says.iter().any(|text| self.kind.contains(text) || self.reason.contains(text));
        self.status == 503 && (said || self.reason == "all shards failed")
    }

    /// `what` was refused.
    pub fn error(&self, what: &str) -> Error {
        let Refusal { status, kind, reason } = self;
        let said = match (kind.as_str(), reason.as_str()) {
            ("", "") => String::new(),
            ("", text) | (text, "") => format!(": {text}"),
            (kind, reason) => format!(": {kind}: {reason}"),
        };
        let text = format!("{what} was answered {status}{said}");
        if self.lacks_shards() {
            return Error::Unavailable(format!("{text}; {SHARDS}"));
        }
        match status {
            401 => Error::Denied(format!(
                "{text}; the server does not take these credentials: check the binding's username and password, token or API key"
            )),
            403 if kind == "cluster_block_exception" => Error::Failed(format!("{text}; lift the block first")),
            403 => Error::Denied(format!("{text}; give the user this privilege")),
            404 => Error::Failed(text),
            405 | 501 => Error::Unsupported(text),
            413 => Error::Failed(format!("{text}; the request is larger than the server's http.max_content_length")),
            408 | 429 | 502 | 503 | 504 => Error::Unavailable(text),
            _ => Error::Failed(text),
        }
    }
}

/// The type and the reason of an `error` object, of a request, a shard or an item of `_bulk`; without documents.
pub fn told(error: &Value) -> (String, String) {
    let text = |value: &Value, name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    if let Some(reason) = error.as_str() {
        return (String::new(), without_documents(reason));
    }
    let (kind, mut reason) = (text(error, "type"), text(error, "reason"));
    // The root says that all shards failed; why is further down.
    let shard = error.pointer("/failed_shards/0/reason").or_else(|| error.get("caused_by"));
    if let Some(cause) = shard {
        let (cause_kind, cause_reason) = (text(cause, "type"), text(cause, "reason"));
        if !cause_reason.is_empty() && !reason.contains(&cause_reason) {
            reason = format!("{reason} ({cause_kind}: {cause_reason})");
        }
    }
    (kind, without_documents(&reason))
}

/// A reason up to where it quotes a document.
pub fn without_documents(reason: &str) -> String {
    let end = QUOTES.iter().filter_map(|quote| reason.find(quote)).min().unwrap_or(reason.len());
    let told = reason.get(..end).unwrap_or_default().trim_end();
    let mut told: String = told.chars().take(MAX_REASON).collect();
    if told.len() < reason.trim_end().len() {
        told.push('…');
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_red_index_is_no_wrong_address() {
        let red =
            |reason: &str| format!(r#"{{"error":{{"type":"search_phase_execution_exception","reason":{reason:?}}}}}"#);
        for reason in ["all shards failed", "Search rejected due to missing shards [[x][0]]"] {
            let error = Refusal::of(503, red(reason).as_bytes()).error("POST /x/_pit");
            assert!(matches!(&error, Error::Unavailable(text) if text.contains("allocation/explain")), "{error}");
        }
        let busy = Refusal::of(503, red("queue is full").as_bytes()).error("POST /x/_pit");
        assert!(!busy.message().contains("allocation/explain"), "{busy}");
    }

    #[test]
    fn a_refusal_names_what_and_why() {
        let body = br#"{"error":{"type":"index_not_found_exception","reason":"no such index [x]"},"status":404}"#;
        let refusal = Refusal::of(404, body);
        assert_eq!(
            refusal.error("GET /x"),
            Error::Failed("GET /x was answered 404: index_not_found_exception: no such index [x]".into())
        );
        let kibana = br#"{"statusCode":400,"error":"Bad Request","message":"Can't export more than 10000 objects"}"#;
        assert_eq!(Refusal::of(400, kibana).reason, "Can't export more than 10000 objects");
        assert!(matches!(Refusal::of(401, b"").error("GET /"), Error::Denied(text) if text.contains("password")));
        assert!(matches!(Refusal::of(403, b"no").error("GET /"), Error::Denied(text) if text.contains("privilege")));
        assert!(matches!(Refusal::of(503, b"<html>").error("GET /"), Error::Unavailable(_)));
    }

    #[test]
    fn no_document_is_quoted() {
        let reason = "failed to parse field [a] of type [long]. Preview of field's value: 'secret'";
        assert_eq!(without_documents(reason), "failed to parse field [a] of type [long].…");
        let root = serde_json::json!({ "type": "search_phase_execution_exception", "reason": "all shards failed",
            "failed_shards": [{ "reason": { "type": "search_context_missing_exception", "reason": "No search context found for id [7]" } }] });
        let (kind, reason) = told(&root);
        assert_eq!(kind, "search_phase_execution_exception");
        assert!(reason.contains("search_context_missing_exception"), "{reason}");
    }
}
