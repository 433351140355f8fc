//! What the server complains about, and what that means for whoever may retry.

use super::read::Reader;
use coffer_addon::Error;

/// An error as the server sent it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerError {
    /// As in https://dev.mysql.com/doc/mysql-errors/9.7/en/server-error-reference.html and
    /// https://mariadb.com/docs/server/reference/error-codes/mariadb-error-code-reference
    pub number: u16,
    pub message: String,
}

impl ServerError {
    /// From an ERR packet.
    pub(super) fn read(payload: &[u8]) -> Option<Self> {
        let mut reader = Reader(payload);
        if reader.u8()? != 0xff {
            return None;
        }
        let number = reader.u16()?;
        // The SQLSTATE; before the login there is none.
        if reader.0.first() == Some(&b'#') {
            reader.bytes(6)?;
        }
        // Before the character set is settled a server may answer in its own: a broken letter is better than no message.
        Some(ServerError { number, message: String::from_utf8_lossy(reader.0).into_owned() })
    }

    /// The contract's error for what a statement of our own met: nothing in it is a secret.
    pub fn during(&self, statement: &str) -> Error {
        let ServerError { number, message } = self;
        self.classify(format!("{message} (server error {number}); while running {statement}"))
    }

    /// The contract's error for what rows or a dump's statements met: tables and columns are named, values are not.
    pub fn without_values(&self) -> Error {
        let ServerError { number, message } = self;
        self.classify(format!("{} (server error {number})", message_without_values(*number, message)))
    }

    /// The error of that case with a text of the caller's.
    pub(super) fn classify(&self, text: String) -> Error {
        match self.number {
            // Wrong password or host, locked or expired account; missing privilege; a server or transaction that takes no
            // writes.
            1044
            | 1045
            | 1095
            | 1129..=1133
            | 1142
            | 1143
            | 1227
            | 1251
            | 1275
            | 1290
            | 1370
            | 1410
            | 1419
            | 1698
            | 1820
            | 1836
            | 1862
            | 3118
            | 3159
            | 4151 => Error::Denied(text),
            // Too many connections, out of memory or disk; shutting down; a connection that broke, was killed or idle for
            // too long; a lock or a deadlock that another session won.
            1021
            | 1037
            | 1040
            | 1041
            | 1053
            | 1077
            | 1079
            | 1152
            | 1158..=1161
            | 1184
            | 1203
            | 1205
            | 1213
            | 1226
            | 1927
            | 3169
            | 3572
            | 4031 => Error::Unavailable(text),
            // A feature, storage engine or plugin that this server has not.
            1235 | 1286 | 1524 => Error::Unsupported(text),
            // A database that does not exist was named by someone.
            1049 => Error::InvalidParameter(text),
            // Tables and indexes that are broken on the server's disk.
            1034 | 1035 | 1194 | 1195 | 1712 => Error::Corrupt(text),
            _ => Error::Failed(text),
        }
    }
}

/// Errors that quote names only: of columns, tables, accounts, variables.
const NAMES_ONLY: [u16; 64] = [
    1007, 1008, 1040, 1044, 1045, 1046, 1048, 1049, 1050, 1051, 1053, 1054, 1060, 1061, 1063, 1067, 1068, 1069, 1071,
    1072, 1075, 1091, 1101, 1103, 1109, 1110, 1115, 1136, 1142, 1143, 1146, 1147, 1153, 1163, 1170, 1171, 1193, 1205,
    1213, 1227, 1235, 1238, 1264, 1265, 1273, 1286, 1290, 1304, 1305, 1356, 1359, 1360, 1364, 1396, 1406, 1410, 1419,
    1449, 1451, 1452, 1537, 1539, 1726, 3819,
];

/// The message without what it quotes: mostly a value, or the statement itself. What comes behind stays, as it names the
/// column or the key.
fn message_without_values(number: u16, message: &str) -> String {
    // SIGNAL, in a trigger or a routine: its author chose the text.
    const SIGNALLED: u16 = 1644;
    if number == SIGNALLED {
        return "a trigger or a routine raised an error of its own".into();
    }
    let is_quote = |c: char| c == '\'' || c == '"';
    let (Some(begin), Some(end)) = (message.find(is_quote), message.rfind(is_quote)) else { return message.into() };
    if NAMES_ONLY.contains(&number) {
        return message.into();
    }
    // `Duplicate entry 'a' for key 't.PRIMARY'`, `Incorrect integer value: 'a' for column 'b' at row 1`.
    let last =
        [" for key ", " for column ", " in value for column "].iter().filter_map(|words| message.rfind(words)).min();
    let behind = match last {
        Some(last) if last > begin => message.get(last..),
        _ => message.get(end + 1..),
    };
    format!("{}'…'{}", message.get(..begin).unwrap_or_default(), behind.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_decides_the_case() {
        let case = |number| ServerError { number, message: "no".into() }.during("SELECT 1");
        assert!(matches!(case(1045), Error::Denied(_)));
        assert!(matches!(case(1227), Error::Denied(_)));
        assert!(matches!(case(1040), Error::Unavailable(_)));
        assert!(matches!(case(1205), Error::Unavailable(_)));
        assert!(matches!(case(1049), Error::InvalidParameter(_)));
        assert!(matches!(case(1286), Error::Unsupported(_)));
        assert!(matches!(case(1194), Error::Corrupt(_)));
        assert!(matches!(case(1064), Error::Failed(_)));
        assert_eq!(case(1064).message(), "no (server error 1064); while running SELECT 1");
    }

    #[test]
    fn an_error_has_a_state_or_none() {
        let error = |payload: &[u8]| ServerError::read(payload).map(|error| (error.number, error.message));
        assert_eq!(error(b"\xff\x15\x04#28000Access denied"), Some((1045, "Access denied".into())));
        assert_eq!(error(b"\xff\x10\x04Too many connections"), Some((1040, "Too many connections".into())));
        assert_eq!(error(b"\xff\x10"), None);
        assert_eq!(error(b"\x00\x10\x04"), None);
    }

    #[test]
    fn values_stay_out_of_what_is_private() {
        let text = |number, message: &str| {
            let error = ServerError { number, message: message.into() };
            error.without_values().message().replace(&format!(" (server error {number})"), "")
        };
        for (number, message, shown) in [
            (
                1062,
                "Duplicate entry 'SEC' for key 'RET' for key 't.PRIMARY'",
                "Duplicate entry '…' for key 't.PRIMARY'",
            ),
            (
                1366,
                "Incorrect integer value: 'SECRET' for column `d`.`t`.`a` at row 3",
                "Incorrect integer value: '…' for column `d`.`t`.`a` at row 3",
            ),
            (
                1292,
                "Incorrect datetime value: 'SECRET' for column 'a' at row 1",
                "Incorrect datetime value: '…' for column 'a' at row 1",
            ),
            (1406, "Data too long for column 'a' at row 1", "Data too long for column 'a' at row 1"),
            (
                1064,
                "You have an error in your SQL syntax near 'INSERT INTO t VALUES (''SECRET'')' at line 1",
                "You have an error in your SQL syntax near '…' at line 1",
            ),
            (
                3140,
                "Invalid JSON text: \"Missing a name.\" at position 7 in value for column 't.j'.",
                "Invalid JSON text: '…' in value for column 't.j'.",
            ),
            (1644, "SECRET", "a trigger or a routine raised an error of its own"),
            (1396, "Operation CREATE USER failed for 'a'@'%'", "Operation CREATE USER failed for 'a'@'%'"),
            (1231, "Variable 'a' can't be set to the value of 'SECRET'", "Variable '…'"),
        ] {
            assert_eq!(text(number, message), shown);
        }
    }
}
