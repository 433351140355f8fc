//! What the server complains about, and what that means for whoever may retry.

use super::unreadable;
use coffer_addon::{Error, Result, host};
use fallible_iterator::FallibleIterator;
use postgres_protocol::message::backend::{ErrorFields, ErrorResponseBody, NoticeResponseBody};

/// An error or a notice as the server sent it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerError {
    /// Not translated where the server says so (since 9.6): `ERROR`, `FATAL`, `WARNING`, …
    pub severity: String,
    /// SQLSTATE: https://www.postgresql.org/docs/current/errcodes-appendix.html
    pub code: String,
    pub message: String,
    pub detail: Option<String>,
    pub hint: Option<String>,
    /// The stack of functions and statements it came from.
    pub context: Option<String>,
}

impl ServerError {
    pub(super) fn read(body: &ErrorResponseBody) -> Result<Self> {
        Self::collect(body.fields())
    }

    fn collect(mut fields: ErrorFields<'_>) -> Result<Self> {
        let mut error = ServerError::default();
        while let Some(field) = fields.next().map_err(unreadable)? {
            // Before the encoding is settled a server may answer in its own: a broken letter is better than no message.
            let text = String::from_utf8_lossy(field.value_bytes()).into_owned();
            match field.type_() {
                b'S' if error.severity.is_empty() => error.severity = text,
                b'V' => error.severity = text,
                b'C' => error.code = text,
                b'M' => error.message = text,
                b'D' => error.detail = Some(text),
                b'H' => error.hint = Some(text),
                b'W' => error.context = Some(text),
                _ => {}
            }
        }
        Ok(error)
    }

    /// The contract's error for what a statement of our own met: nothing in it is a secret.
    pub fn during(&self, statement: &str) -> Error {
        let context = self.context.as_deref().and_then(|context| context.lines().next());
        let detail = self.detail.as_deref();
        self.put_together(&self.message, detail, context.map(String::from), Some(statement))
    }

    /// The contract's error for what rows or a dump's statements met: tables, columns and lines are named, values are not.
    pub fn without_values(&self) -> Error {
        let message = message_without_values(&self.code, &self.message);
        self.put_together(&message, None, self.context.as_deref().and_then(place), None)
    }

    fn put_together(
        &self,
        message: &str,
        detail: Option<&str>,
        context: Option<String>,
        statement: Option<&str>,
    ) -> Error {
        let mut text = format!("{message} (SQLSTATE {})", self.code);
        let parts = [
            ("detail: ", detail),
            ("hint: ", self.hint.as_deref()),
            ("at: ", context.as_deref()),
            ("while running ", statement),
        ];
        for (label, part) in parts {
            if let Some(part) = part {
                text.push_str("; ");
                text.push_str(label);
                text.push_str(part);
            }
        }
        self.classify(text)
    }

    /// The error of that case with a text of the caller's.
    pub(super) fn classify(&self, text: String) -> Error {
        let class = self.code.get(..2).unwrap_or_default();
        match (class, self.code.as_str()) {
            // Invalid authorization; insufficient privilege.
            ("28", _) | (_, "42501") => Error::Denied(text),
            // Connection exceptions; out of connections, memory or disk; shutting down, starting up; a lock or a
            // serialization that another session won.
            ("08" | "53" | "40", _) | (_, "57P01" | "57P02" | "57P03" | "57P05" | "55P03") => Error::Unavailable(text),
            ("0A", _) => Error::Unsupported(text),
            // A database, schema or role that does not exist was named by someone.
            ("3D", _) => Error::InvalidParameter(text),
            (_, "XX001" | "XX002") => Error::Corrupt(text),
            _ => Error::Failed(text),
        }
    }
}

/// Quotation marks as the server's languages have them.
const QUOTES: [char; 8] = ['"', '«', '»', '„', '“', '”', '「', '」'];

/// The message without the value that it quotes. Names are quoted too; where there can be a value, both go.
fn message_without_values(code: &str, message: &str) -> String {
    // Data exceptions show the datum, but for a badly formed line (22P04). A syntax error shows a word of the statement.
    let shows_value = code.starts_with("22") && code != "22P04" || code == "42601" && message.contains(['\'', '$']);
    let (Some(begin), Some(end)) = (message.find(QUOTES), message.rfind(QUOTES)) else { return message.into() };
    if !shows_value || begin == end {
        return message.into();
    }
    let behind = message.get(end..).unwrap_or_default().trim_start_matches(QUOTES);
    format!("{}\"…\"{behind}", message.get(..begin).unwrap_or_default())
}

/// Where it happened: of COPY's own line (`COPY t, line 3, column ssn: "…"`) all before the value, else of the innermost one.
fn place(context: &str) -> Option<String> {
    let line = context.lines().find(|line| line.starts_with("COPY ")).or_else(|| context.lines().next())?;
    let end = line.find(|c| c == ':' || c == '：' || QUOTES.contains(&c)).unwrap_or(line.len());
    let place = line.get(..end)?.trim();
    (!place.is_empty()).then(|| place.into())
}

/// A notice goes to the run's log; `private` leaves out where it shows values.
pub(super) fn log_notice(body: &NoticeResponseBody, private: bool) {
    let Ok(notice) = ServerError::collect(body.fields()) else { return };
    let level = match notice.severity.as_str() {
        "WARNING" => host::Level::Warn,
        "NOTICE" | "INFO" => host::Level::Info,
        _ => host::Level::Debug,
    };
    let mut fields = vec![("code", notice.code)];
    fields.extend(notice.detail.filter(|_| !private).map(|detail| ("detail", detail)));
    fields.extend(notice.hint.map(|hint| ("hint", hint)));
    host::log(level, &format!("server: {}", notice.message), &fields);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sqlstate_decides_the_case() {
        let case = |code: &str| {
            let error = ServerError { code: code.into(), message: "no".into(), ..Default::default() };
            error.during("SELECT 1")
        };
        assert!(matches!(case("28P01"), Error::Denied(_)));
        assert!(matches!(case("42501"), Error::Denied(_)));
        assert!(matches!(case("57P03"), Error::Unavailable(_)));
        assert!(matches!(case("53300"), Error::Unavailable(_)));
        assert!(matches!(case("55P03"), Error::Unavailable(_)));
        assert!(matches!(case("0A000"), Error::Unsupported(_)));
        assert!(matches!(case("3D000"), Error::InvalidParameter(_)));
        assert!(matches!(case("XX001"), Error::Corrupt(_)));
        assert!(matches!(case("57014"), Error::Failed(_)));
        assert!(matches!(case(""), Error::Failed(_)));
    }

    #[test]
    fn the_text_has_what_the_server_said_and_what_was_running() {
        let error = ServerError {
            code: "23505".into(),
            message: "duplicate key".into(),
            detail: Some("Key (id)=(1) already exists.".into()),
            hint: Some("Try another.".into()),
            ..Default::default()
        };
        assert_eq!(
            error.during("SELECT 1").message(),
            "duplicate key (SQLSTATE 23505); detail: Key (id)=(1) already exists.; hint: Try another.; while running SELECT 1"
        );
    }

    #[test]
    fn values_stay_out_of_what_is_private() {
        let text = |code: &str, message: &str, context: &str| {
            let error = ServerError {
                code: code.into(),
                message: message.into(),
                detail: Some("Key (ssn)=(SECRET) already exists.".into()),
                context: Some(context.into()),
                ..Default::default()
            };
            error.without_values().message().to_string()
        };
        assert_eq!(
            text(
                "22P02",
                "invalid input syntax for type integer: \"SEC\"RET\"",
                "COPY t, line 3, column ssn: \"SEC\"RET\""
            ),
            "invalid input syntax for type integer: \"…\" (SQLSTATE 22P02); at: COPY t, line 3, column ssn"
        );
        assert_eq!(
            text(
                "22003",
                "value \"SECRET\" is out of range for type integer",
                "COPY t, ligne 3, colonne ssn : « SECRET »"
            ),
            "value \"…\" is out of range for type integer (SQLSTATE 22003); at: COPY t, ligne 3, colonne ssn"
        );
        assert_eq!(
            text(
                "22P02",
                "invalid input syntax for type json",
                "JSON data, line 1: {\"SECRET\"...\nCOPY t, line 1, column j: \"{\""
            ),
            "invalid input syntax for type json (SQLSTATE 22P02); at: COPY t, line 1, column j"
        );
        assert_eq!(
            text("22P04", "missing data for column \"b\"", "COPY t, line 1: \"SECRET\""),
            "missing data for column \"b\" (SQLSTATE 22P04); at: COPY t, line 1"
        );
        assert_eq!(
            text("42601", "syntax error at or near \"'SECRET'\"", ""),
            "syntax error at or near \"…\" (SQLSTATE 42601)"
        );
        assert_eq!(
            text("P0001", "no", "SQL statement \"INSERT INTO t VALUES ('SECRET')\"\nPL/pgSQL function f() line 3"),
            "no (SQLSTATE P0001); at: SQL statement"
        );
        assert_eq!(
            text("42704", "role \"passing\" does not exist", ""),
            "role \"passing\" does not exist (SQLSTATE 42704)"
        );
    }
}
