//! What a server says of itself before anyone has logged in.
//! https://www.mongodb.com/docs/manual/reference/command/hello/

use super::error::number;
use bson::raw::RawDocument;
use coffer_addon::{Error, Result};

/// The oldest protocol that is spoken here: that of MongoDB 3.6, the first with OP_MSG.
const OLDEST_WIRE: i32 = 6;

/// What a server is to its cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Standalone,
    Primary,
    Secondary,
    Arbiter,
    /// A router of a sharded cluster.
    Mongos,
    /// A member of a replica set that neither reads nor writes: starting, recovering, removed.
    Other,
}

/// A server's reply to `hello`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    pub kind: Kind,
    /// The replica set's name.
    pub set_name: Option<String>,
    /// `host:port` as the replica set knows it.
    pub me: Option<String>,
    pub primary: Option<String>,
    /// All members that are not hidden, as the replica set knows them.
    pub hosts: Vec<String>,
    pub hidden: bool,
    /// The longest document, in bytes.
    pub max_bson: usize,
    /// The longest message, in bytes.
    pub max_message: usize,
    /// The most documents of one insert.
    pub max_batch: usize,
    pub min_wire: i32,
    pub max_wire: i32,
    /// Whether the server has sessions.
    pub has_sessions: bool,
    /// When its last write was, in milliseconds since 1970: how far a secondary is.
    pub last_write: Option<i64>,
    /// Its clock when it answered, in the same.
    pub local_time: Option<i64>,
    /// The ways to log in that the user has, where the server says so.
    pub mechanisms: Option<Vec<String>>,
}

impl Hello {
    pub(super) fn read(reply: &RawDocument) -> Self {
        let flag = |key: &str| number::<i64>(reply, key).unwrap_or(0) != 0;
        let text = |key: &str| reply.get_str(key).ok().map(String::from);
        let size = |key: &str, otherwise: usize| number(reply, key).filter(|size| *size > 0).unwrap_or(otherwise);
        let set_name = text("setName");
        let kind = match &set_name {
            _ if text("msg").as_deref() == Some("isdbgrid") => Kind::Mongos,
            // `isWritablePrimary` of the new command, `ismaster` of the old one.
            Some(_) if flag("isWritablePrimary") || flag("ismaster") => Kind::Primary,
            Some(_) if flag("arbiterOnly") => Kind::Arbiter,
            Some(_) if flag("secondary") => Kind::Secondary,
            Some(_) => Kind::Other,
            None if flag("isreplicaset") => Kind::Other,
            None => Kind::Standalone,
        };
        let last_write = reply.get_document("lastWrite").and_then(|write| write.get_datetime("lastWriteDate"));
        Hello {
            kind,
            set_name,
            me: text("me"),
            primary: text("primary"),
            hosts: [strings(reply, "hosts"), strings(reply, "passives")].into_iter().flatten().flatten().collect(),
            hidden: flag("hidden"),
            max_bson: size("maxBsonObjectSize", 16 << 20),
            max_message: size("maxMessageSizeBytes", 48_000_000),
            max_batch: size("maxWriteBatchSize", 1000),
            min_wire: number(reply, "minWireVersion").unwrap_or(0),
            max_wire: number(reply, "maxWireVersion").unwrap_or(0),
            has_sessions: reply.get("logicalSessionTimeoutMinutes").is_ok_and(|minutes| minutes.is_some()),
            last_write: last_write.ok().map(|date| date.timestamp_millis()),
            local_time: reply.get_datetime("localTime").ok().map(|date| date.timestamp_millis()),
            mechanisms: strings(reply, "saslSupportedMechs"),
        }
    }

    /// A server that is too old is an error. None has ever been too new: they all still speak with older clients.
    pub(super) fn check(&self) -> Result<()> {
        let max_wire = self.max_wire;
        if max_wire < OLDEST_WIRE {
            return Err(Error::Unsupported(format!(
                "the server is older than MongoDB 3.6 (its wire version is {max_wire}, and {OLDEST_WIRE} is needed); upgrade it, or dump it with its own mongodump"
            )));
        }
        Ok(())
    }

    /// Whether it belongs to a replica set.
    pub fn is_member(&self) -> bool {
        matches!(self.kind, Kind::Primary | Kind::Secondary | Kind::Arbiter | Kind::Other)
    }
}

fn strings(reply: &RawDocument, key: &str) -> Option<Vec<String>> {
    let array = reply.get_array(key).ok()?;
    Some(array.into_iter().filter_map(|value| value.ok()?.as_str().map(String::from)).collect())
}
