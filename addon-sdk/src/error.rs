//! Why a step failed, in the cases the host decides by, and what makes `?` pleasant.

use std::fmt::Display;

/// The contract's error. The case decides what the host does (retry, fail, ask); the text is for people: it names the
/// object, says the remedy where there is one, and holds no secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A parameter is missing, malformed or contradicts another. Never retried.
    #[error("{0}")]
    InvalidParameter(String),
    /// The application cannot be reached or is not ready at the moment. Retried.
    #[error("{0}")]
    Unavailable(String),
    /// The application or the host refused: wrong password, missing privilege, missing grant. Never retried.
    #[error("{0}")]
    Denied(String),
    /// Not possible with this application or this version of it. Never retried.
    #[error("{0}")]
    Unsupported(String),
    /// What was read is not what it claims to be: broken framing, wrong checksum, an artifact that ended early.
    #[error("{0}")]
    Corrupt(String),
    /// Anything else. Retried only where the step says so.
    #[error("{0}")]
    Failed(String),
}

pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// The text without its case.
    pub fn message(&self) -> &str {
        match self {
            Error::InvalidParameter(text)
            | Error::Unavailable(text)
            | Error::Denied(text)
            | Error::Unsupported(text)
            | Error::Corrupt(text)
            | Error::Failed(text) => text,
        }
    }

    /// Says what was being done; the case stays.
    pub fn context(self, what: impl Display) -> Self {
        self.map(|text| format!("{what}: {text}"))
    }

    /// Says what follows from it; the case stays.
    pub fn with(self, what: impl Display) -> Self {
        self.map(|text| format!("{text}; {what}"))
    }

    fn map(self, change: impl FnOnce(String) -> String) -> Self {
        match self {
            Error::InvalidParameter(text) => Error::InvalidParameter(change(text)),
            Error::Unavailable(text) => Error::Unavailable(change(text)),
            Error::Denied(text) => Error::Denied(change(text)),
            Error::Unsupported(text) => Error::Unsupported(change(text)),
            Error::Corrupt(text) => Error::Corrupt(change(text)),
            Error::Failed(text) => Error::Failed(change(text)),
        }
    }
}

/// `result.context(|| format!("unable to read {name}"))?`
pub trait Context<T> {
    fn context<D: Display>(self, what: impl FnOnce() -> D) -> Result<T>;
}

impl<T, E: Into<Error>> Context<T> for Result<T, E> {
    fn context<D: Display>(self, what: impl FnOnce() -> D) -> Result<T> {
        self.map_err(|error| error.into().context(what()))
    }
}

/// A peer that went away can be tried again; bytes that make no sense cannot.
impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        use std::io::ErrorKind;
        // An error of ours that went through an `AsyncRead` comes out as it was.
        if let Some(inner) = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
            return inner.clone();
        }
        let text = error.to_string();
        match error.kind() {
            ErrorKind::ConnectionRefused
            | ErrorKind::ConnectionReset
            | ErrorKind::ConnectionAborted
            | ErrorKind::NotConnected
            | ErrorKind::BrokenPipe
            | ErrorKind::TimedOut
            | ErrorKind::HostUnreachable
            | ErrorKind::NetworkUnreachable
            | ErrorKind::UnexpectedEof => Error::Unavailable(text),
            ErrorKind::PermissionDenied => Error::Denied(text),
            ErrorKind::InvalidData => Error::Corrupt(text),
            ErrorKind::Unsupported => Error::Unsupported(text),
            _ => Error::Failed(text),
        }
    }
}

/// For the `futures::io` traits, whose error is `io::Error`. The way back restores the case.
impl From<Error> for std::io::Error {
    fn from(error: Error) -> Self {
        use std::io::ErrorKind;
        let kind = match &error {
            Error::InvalidParameter(_) => ErrorKind::InvalidInput,
            Error::Unavailable(_) => ErrorKind::ConnectionAborted,
            Error::Denied(_) => ErrorKind::PermissionDenied,
            Error::Unsupported(_) => ErrorKind::Unsupported,
            Error::Corrupt(_) => ErrorKind::InvalidData,
            Error::Failed(_) => ErrorKind::Other,
        };
        std::io::Error::new(kind, error)
    }
}

impl From<serde_json::Error> for Error {
    fn from(error: serde_json::Error) -> Self {
        Error::Corrupt(format!("unreadable JSON: {error}"))
    }
}

impl From<std::str::Utf8Error> for Error {
    fn from(error: std::str::Utf8Error) -> Self {
        Error::Corrupt(format!("text is not UTF-8: {error}"))
    }
}

/// A statement in a line, for errors and logs.
pub fn summary(sql: &str) -> String {
    const LIMIT: usize = 120;
    let mut line: String = sql.split_whitespace().collect::<Vec<_>>().join(" ");
    if let Some((cut, _)) = line.char_indices().nth(LIMIT) {
        line.truncate(cut);
        line.push('…');
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn context_keeps_the_case() {
        let denied: Result<()> = Err(Error::Denied("no password".into()));
        assert_eq!(denied.context(|| "opening"), Err(Error::Denied("opening: no password".into())));
        assert_eq!(Error::Corrupt("a".into()).with("b is gone"), Error::Corrupt("a; b is gone".into()));
    }

    #[test]
    fn the_case_survives_io() {
        let error = Error::Unsupported("version 7".into());
        assert_eq!(Error::from(std::io::Error::from(error.clone())), error);
        let reset = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
        assert!(matches!(Error::from(reset), Error::Unavailable(_)));
    }

    #[test]
    fn a_summary_is_one_short_line() {
        assert_eq!(summary("SELECT\n  1;\n"), "SELECT 1;");
        assert_eq!(summary(&"ä ".repeat(500)).chars().count(), 121);
    }
}
