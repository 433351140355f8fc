//! What the server complains about, and what that means for whoever may retry.

use bson::raw::RawDocument;
use coffer_addon::Error;

/// An error as the server sent it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerError {
    /// As in https://www.mongodb.com/docs/manual/reference/error-codes/; 0 where the server gave none.
    pub code: i32,
    /// Empty where the server gave none.
    pub code_name: String,
    /// As the server words it, with any values it quotes. [`ServerError::text`] is fit for errors.
    pub message: String,
}

/// Codes that callers ask for.
pub mod code {
    pub const BAD_VALUE: i32 = 2;
    pub const UNAUTHORIZED: i32 = 13;
    pub const AUTHENTICATION_FAILED: i32 = 18;
    pub const NAMESPACE_NOT_FOUND: i32 = 26;
    pub const CURSOR_NOT_FOUND: i32 = 43;
    pub const NAMESPACE_EXISTS: i32 = 48;
    pub const COMMAND_NOT_FOUND: i32 = 59;
    pub const COMMAND_NOT_SUPPORTED: i32 = 115;
    pub const DUPLICATE_KEY: i32 = 11000;
}

impl ServerError {
    /// From a reply or a part of one (`writeErrors`, `writeConcernError`).
    pub fn read(reply: &RawDocument) -> Self {
        let text = |key: &str| reply.get_str(key).unwrap_or_default().to_string();
        ServerError { code: number(reply, "code").unwrap_or(0), code_name: text("codeName"), message: text("errmsg") }
    }

    /// Name and message. What the server quotes in braces, mostly a document or the command, is left out, and what follows: those
    /// are values.
    pub fn text(&self) -> String {
        let ServerError { code, code_name, message } = self;
        let message = match message.split_once('{') {
            Some((front, _)) => format!("{front}{{…}}"),
            None => message.clone(),
        };
        let space = if code_name.is_empty() { "" } else { " " };
        format!("{message} ({code_name}{space}{code})")
    }

    /// The contract's error for what a command met.
    pub fn during(&self, command: &str) -> Error {
        let remedy = match self.code {
            code::CURSOR_NOT_FOUND => {
                "; the server no longer has the cursor: it was restarted, or the cursor was killed, or idle for longer than the server allows"
            }
            10107 | 13435 | 13436 | 189 => {
                "; the server is not the primary: it stepped down, or the binding should name all members of the replica set"
            }
            _ => "",
        };
        self.classify(format!("{}{remedy}; while running {command}", self.text()))
    }

    /// The error of that case with a text of the caller's.
    pub(super) fn classify(&self, text: String) -> Error {
        match self.code {
            // Missing privilege, wrong password, a managed service's refusal, no such mechanism for the user.
            13 | 18 | 334 | 8000 => Error::Denied(text),
            // Host or network; shutting down, stepping down, not (yet) primary or secondary; timed out; a lock or a
            // conflict that another operation won; the cursor is gone with the server that had it; no room on the disk.
            6 | 7 | 24 | 43 | 46 | 50 | 89 | 91 | 112 | 133 | 189 | 202 | 262 | 9001 | 10107 | 11600 | 11602
            | 13435 | 13436 | 14031 => Error::Unavailable(text),
            // A command that this server has not.
            59 | 115 => Error::Unsupported(text),
            // Data that is broken on the server's disk.
            10085 | 17280 => Error::Corrupt(text),
            _ => Error::Failed(text),
        }
    }
}

/// A number whatever its type: servers differ in what they answer with.
pub fn number<T: TryFrom<i64>>(document: &RawDocument, key: &str) -> Option<T> {
    use bson::raw::RawBsonRef;
    let value = match document.get(key).ok()?? {
        RawBsonRef::Int32(value) => value.into(),
        RawBsonRef::Int64(value) => value,
        // Beyond 2^53 a float is not exact; nothing asked for here is as large.
        #[expect(clippy::cast_possible_truncation)]
        RawBsonRef::Double(value) if value.fract() == 0.0 && value.abs() < 9e15 => value as i64,
        RawBsonRef::Boolean(value) => value.into(),
        _ => return None,
    };
    T::try_from(value).ok()
}
