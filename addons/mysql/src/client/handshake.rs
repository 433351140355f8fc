//! What the two sides tell each other before a session: the server's greeting, the client's answer.
//! https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_connection_phase_packets_protocol_handshake_v10.html

use super::read::{Reader, put_string};
use coffer_addon::{Error, Result};

/// Capability flags.
/// https://dev.mysql.com/doc/dev/mysql-server/latest/group__group__cs__capabilities__flags.html
pub(super) mod can {
    pub const LONG_PASSWORD: u32 = 1;
    pub const LONG_FLAG: u32 = 1 << 2;
    pub const CONNECT_WITH_DB: u32 = 1 << 3;
    pub const PROTOCOL_41: u32 = 1 << 9;
    pub const SSL: u32 = 1 << 11;
    pub const TRANSACTIONS: u32 = 1 << 13;
    pub const SECURE_CONNECTION: u32 = 1 << 15;
    pub const PLUGIN_AUTH: u32 = 1 << 19;
    pub const CONNECT_ATTRS: u32 = 1 << 20;
    pub const PLUGIN_AUTH_LENENC: u32 = 1 << 21;
    pub const DEPRECATE_EOF: u32 = 1 << 24;
}

/// What this client makes use of where the server has it. Neither compression, which the repository does better, nor LOCAL
/// INFILE, by which a server reads its client's files, nor several statements in one.
const WANTED: u32 = can::LONG_PASSWORD
    | can::LONG_FLAG
    | can::PROTOCOL_41
    | can::TRANSACTIONS
    | can::SECURE_CONNECTION
    | can::PLUGIN_AUTH
    | can::CONNECT_ATTRS
    | can::PLUGIN_AUTH_LENENC
    | can::DEPRECATE_EOF;

/// Every server since 4.1 has these.
const NEEDED: u32 = can::PROTOCOL_41 | can::SECURE_CONNECTION;

/// The longest payload that this client takes; the servers' own limit.
const MAX_PACKET: u32 = 1 << 30;

/// `utf8mb4_general_ci`, which servers have had since 5.5.3. `session` names the character set again.
const COLLATION: u8 = 45;

/// The server's first packet.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Greeting {
    pub capabilities: u32,
    /// What the password is hashed with.
    pub nonce: Vec<u8>,
    /// The way to log in that the server tries first.
    pub plugin: String,
}

impl Greeting {
    pub fn read(payload: &[u8]) -> Result<Self> {
        const VERSION: u8 = 10;
        if payload.first() != Some(&VERSION) {
            return Err(stranger());
        }
        let greeting = Self::fields(payload).ok_or_else(stranger)?;
        if greeting.capabilities & NEEDED != NEEDED {
            return Err(Error::Unsupported("the server's protocol is older than that of MySQL 4.1".into()));
        }
        Ok(greeting)
    }

    fn fields(payload: &[u8]) -> Option<Self> {
        let mut reader = Reader(payload);
        reader.u8()?;
        // What the server calls its version; it is asked again once there is a session, as a proxy may greet in its place.
        reader.until_nul();
        reader.u32()?;
        let mut nonce = reader.bytes(8)?.to_vec();
        reader.u8()?;
        let low = reader.u16()?;
        // Character set and status.
        reader.bytes(3)?;
        let high = reader.u16()?;
        let capabilities = u32::from(low) | u32::from(high) << 16;
        let length = usize::from(reader.u8()?);
        reader.bytes(10)?;
        let rest = length.saturating_sub(8).max(13);
        // Its last byte is a NUL.
        nonce.extend(reader.bytes(rest)?.get(..rest - 1)?);
        let plugin = String::from_utf8_lossy(reader.until_nul()).into_owned();
        Some(Greeting { capabilities, nonce, plugin })
    }
}

fn stranger() -> Error {
    Error::Corrupt(
        "the greeting makes no sense; is it MySQL or MariaDB, and its port for the classic protocol (3306)?".into(),
    )
}

/// What this client says of itself.
pub(super) struct Answer<'a> {
    pub capabilities: u32,
    pub user: &'a str,
    pub database: Option<&'a str>,
    /// The way to log in, and what it begins with.
    pub plugin: &'a str,
    pub proof: &'a [u8],
}

/// What both sides have, for a session in a database or in none, in TLS or not.
pub(super) fn agreed(greeting: &Greeting, database: Option<&str>, tls: bool) -> u32 {
    let mut wanted = WANTED;
    if database.is_some() {
        wanted |= can::CONNECT_WITH_DB;
    }
    if tls {
        wanted |= can::SSL;
    }
    wanted & greeting.capabilities
}

/// The fields that both an SSLRequest and a HandshakeResponse41 begin with; the former has no more.
pub(super) fn ssl_request(capabilities: u32) -> Vec<u8> {
    let mut payload = Vec::new();
    payload.extend(capabilities.to_le_bytes());
    payload.extend(MAX_PACKET.to_le_bytes());
    payload.push(COLLATION);
    payload.extend([0; 23]);
    payload
}

impl Answer<'_> {
    /// The HandshakeResponse41.
    pub fn encode(&self) -> Result<Vec<u8>> {
        let has = |flag| self.capabilities & flag != 0;
        if self.user.contains('\0') || self.database.is_some_and(|database| database.contains('\0')) {
            return Err(Error::InvalidParameter("the name of the user or database holds a NUL character".into()));
        }
        let mut payload = ssl_request(self.capabilities);
        let text = |payload: &mut Vec<u8>, text: &str| {
            payload.extend(text.as_bytes());
            payload.push(0);
        };
        text(&mut payload, self.user);
        if has(can::PLUGIN_AUTH_LENENC) {
            put_string(&mut payload, self.proof);
        } else {
            let length = u8::try_from(self.proof.len())
                .map_err(|_| Error::Unsupported("the password is too long for a server as old as this".into()))?;
            payload.push(length);
            payload.extend(self.proof);
        }
        if let Some(database) = self.database {
            text(&mut payload, database);
        }
        if has(can::PLUGIN_AUTH) {
            text(&mut payload, self.plugin);
        }
        if has(can::CONNECT_ATTRS) {
            // As `performance_schema.session_connect_attrs` shows it.
            let mut attributes = Vec::new();
            for text in ["program_name", "coffer"] {
                put_string(&mut attributes, text.as_bytes());
            }
            put_string(&mut payload, &attributes);
        }
        Ok(payload)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn greeting(version: &[u8], plugin: &[u8]) -> Vec<u8> {
        let mut payload = [b"\x0a".as_slice(), version, b"\0\x07\0\0\0abcdefgh\0"].concat();
        payload.extend([0xff, 0xff, 45, 2, 0, 0xff, 0xff, 21]);
        payload.extend([0; 10]);
        payload.extend(b"ijklmnopqrst\0");
        payload.extend(plugin);
        payload
    }

    #[test]
    fn a_greeting_is_read_also_without_its_last_nul() {
        for plugin in [&b"mysql_native_password\0"[..], b"mysql_native_password"] {
            let read = Greeting::read(&greeting(b"9.7.0", plugin)).expect("a greeting");
            assert_eq!(read.nonce, b"abcdefghijklmnopqrst");
            assert_eq!(read.plugin, "mysql_native_password");
            assert_eq!(read.capabilities, u32::MAX);
        }
    }

    #[test]
    fn anything_else_is_a_stranger() {
        let whole = greeting(b"9.7.0", b"");
        for payload in [&b"220 mail.example ESMTP"[..], b"", b"\x0b\x08\x05", whole.get(..40).expect("longer")] {
            assert!(matches!(Greeting::read(payload), Err(Error::Corrupt(text)) if text.contains("is it MySQL")));
        }
        let mut old = whole.clone();
        for byte in old.iter_mut().filter(|byte| **byte == 0xff) {
            *byte = 0;
        }
        assert!(matches!(Greeting::read(&old), Err(Error::Unsupported(_))));
    }
}
