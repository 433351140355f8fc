//! The moment that a dump is of.
//!
//! Nothing stops the server from being written to while its documents are read. So that they are of one moment all the same,
//! either what is written meanwhile is dumped too and replayed on them (the oplog), or the server reads from a snapshot.

use crate::client::{Client, Kind, ServerError, code};
use crate::layout::Timestamp;
use crate::parameters::{self, Dump};
use bson::raw::{RawBsonRef, RawDocument, RawDocumentBuf, cstr};
use bson::rawdoc;
use coffer_addon::{Error, Result, host};
use std::time::Duration;

/// The database and the collection that has what members of a replica set write, in the order they write it in.
pub const OPLOG: (&str, &str) = ("local", "oplog.rs");

/// MongoDB 5.0 is the first that reads from a snapshot outside of transactions, MongoDB 8.0 so also of capped collections.
const SNAPSHOTS: u32 = 50_000;
pub const SNAPSHOTS_OF_CAPPED: u32 = 80_000;

/// How long a majority may take to have what one member has.
const MAJORITY_LIMIT: Duration = Duration::from_secs(60);
const MAJORITY_PAUSE: Duration = Duration::from_millis(200);

/// How documents are made to be of one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Plan {
    /// By what the oplog has from then on.
    Oplog {
        start: Timestamp,
    },
    Snapshot,
    /// They are not, and why.
    None(String),
}

/// Decides, and notes where the oplog stands. Before anything of the catalog is read.
pub async fn plan(client: &mut Client, parameters: &Dump, filtered: Option<&str>) -> Result<Plan> {
    use parameters::Consistency;
    if parameters.schema_only {
        return Ok(Plan::None("schemaOnly: no documents are read".into()));
    }
    let part = match filtered {
        Some(filtered) => Some(filtered),
        None => parameters.data_only.then_some("dataOnly"),
    };
    let wanted = parameters.consistency;
    if wanted == Consistency::None {
        return Ok(Plan::None("the parameters say so (consistency: none)".into()));
    }
    if !client.hello().is_member() {
        let why = "the server belongs to no replica set: it has neither an oplog nor snapshots".to_string();
        return match wanted {
            Consistency::Auto => Ok(Plan::None(why)),
            _ => Err(Error::Unsupported(format!(
                "consistency: {why}; make it a replica set of one member, or set consistency to `auto` or `none`"
            ))),
        };
    }
    let mut reasons = Vec::new();
    match (wanted, part) {
        (Consistency::Oplog, Some(part)) => {
            return Err(Error::InvalidParameter(format!(
                "consistency: the oplog is the whole server's, and can be replayed on a dump of the whole server only, not with \
                 {part}; set it to `snapshot`, or leave those out"
            )));
        }
        (Consistency::Auto, Some(part)) => {
            reasons.push(format!("the oplog is for whole servers only, not with {part}"))
        }
        (Consistency::Oplog | Consistency::Auto, None) => match start(client).await? {
            Ok(start) => return Ok(Plan::Oplog { start }),
            Err(why) if wanted == Consistency::Oplog => return Err(why.context("consistency")),
            Err(why) => reasons.push(why.message().to_string()),
        },
        (Consistency::Snapshot | Consistency::None, _) => {}
    }
    match no_snapshots(client) {
        None => Ok(Plan::Snapshot),
        Some(why) if wanted == Consistency::Snapshot => {
            Err(Error::Unsupported(format!("consistency: {why}; set it to `oplog` or `auto`")))
        }
        Some(why) => {
            reasons.push(why);
            Ok(Plan::None(reasons.join("; ")))
        }
    }
}

/// Why the server cannot read from a snapshot, if so.
fn no_snapshots(client: &Client) -> Option<String> {
    let version = client.version();
    if version.is_ferretdb() {
        return Some("FerretDB has no snapshots".into());
    }
    let is_old = !version.is_since(SNAPSHOTS);
    is_old.then(|| format!("the server reads from snapshots from MongoDB 5.0 on, and is {version}"))
}

/// Where the oplog's entries have to begin: everything before it is in the collections. The inner error is why the oplog
/// cannot be read.
async fn start(client: &mut Client) -> Result<Result<Timestamp>> {
    // What a majority has is in the collections of this member whatever happens, and has no gaps before it. A server that
    // does not tell has one member.
    let newest = match newest(client).await? {
        Ok(newest) => newest,
        Err(why) => return Ok(Err(why)),
    };
    let mut start = written(client).await?.map_or(newest, |written| written.majority.min(newest));
    // A transaction's entries are replayed from its first one on.
    let open = rawdoc! {
        "find": "transactions",
        "filter": { "state": { "$in": ["prepared", "inProgress"] } },
        "sort": { "startOpTime": 1 },
        "limit": 1,
        "singleBatch": true,
        "readConcern": { "level": "local" },
    };
    match first(client, "config", open).await? {
        Ok(Some(transaction)) => {
            let begun = transaction.get_document("startOpTime").ok().and_then(|time| time.get_timestamp("ts").ok());
            let begun =
                begun.ok_or_else(|| Error::Corrupt("an open transaction has no time at which it began".into()))?;
            start = start.min(begun.into());
        }
        Ok(None) => {}
        Err(error) => {
            return Ok(Err(unreadable("config.transactions, which has those that are open,", &error)));
        }
    }
    // One that was open when `start` was noted and no more when we looked: its last entry is behind `start`.
    while let Some(before) = earlier(client, start).await? {
        start = before;
    }
    Ok(Ok(start))
}

/// The entry before `start` that a transaction's entry behind `start` goes on from.
async fn earlier(client: &mut Client, start: Timestamp) -> Result<Option<Timestamp>> {
    let (none, start) = (bson::Timestamp::from(Timestamp::default()), bson::Timestamp::from(start));
    let mut command = rawdoc! {
        "find": OPLOG.1,
        "filter": {
            "ts": { "$gte": start },
            "op": "c",
            "prevOpTime.ts": { "$gt": none, "$lt": start },
            // Inserts of one batch, from MongoDB 8.0 on: each is replayed by itself.
            "multiOpType": { "$ne": 1 },
        },
        "limit": 1,
        "singleBatch": true,
    };
    replayed(client, &mut command);
    let entry = first(client, OPLOG.0, command).await?.map_err(|error| error.during("find in the oplog"))?;
    let before = entry.and_then(|entry| Some(entry.get_document("prevOpTime").ok()?.get_timestamp("ts").ok()?.into()));
    // Whatever a server makes of the filter: it has to become earlier.
    Ok(before.filter(|before| *before < Timestamp::from(start)))
}

/// What the member has written, and what a majority has of it.
#[derive(Clone, Copy, Debug)]
struct Written {
    newest: Timestamp,
    majority: Timestamp,
}

/// None where the server does not tell.
async fn written(client: &mut Client) -> Result<Option<Written>> {
    let reply = client.run("admin", rawdoc! { "isMaster": 1 }).await?;
    let time = |key: &str| {
        let time = reply.get_document("lastWrite").ok()?.get_document(key).ok()?.get_timestamp("ts").ok()?;
        Some(Timestamp::from(time))
    };
    Ok(time("opTime").zip(time("majorityOpTime")).map(|(newest, majority)| Written { newest, majority }))
}

/// Waits until a majority of the members has what was written until then, which nothing can undo any more. A server that does
/// not tell has one member.
pub async fn settled(client: &mut Client, until: Timestamp) -> Result<()> {
    let mut waited = Duration::ZERO;
    while written(client).await?.is_some_and(|written| written.majority < until) {
        if waited >= MAJORITY_LIMIT {
            return Err(Error::Unavailable(format!(
                "a majority of the replica set's members does not have what was written to this one {} s ago; are they up?",
                waited.as_secs()
            )));
        }
        host::sleep(MAJORITY_PAUSE).await;
        waited += MAJORITY_PAUSE;
    }
    Ok(())
}

/// The moment of a snapshot that has all that was there when this was called.
pub async fn snapshot(client: &mut Client) -> Result<Timestamp> {
    let written = written(client).await?.ok_or_else(|| {
        Error::Unsupported(
            "consistency: the server does not tell what a majority of its members has; set it to `none`".into(),
        )
    })?;
    settled(client, written.newest).await?;
    Ok(written.newest)
}

/// Whether the server says that it no longer has the snapshot.
pub fn has_gone(error: &Error) -> bool {
    let text = error.message();
    text.contains("SnapshotTooOld") || text.contains("SnapshotUnavailable")
}

/// The oplog's newest entry; the inner error is why it cannot be read.
pub async fn newest(client: &mut Client) -> Result<Result<Timestamp>> {
    Ok(match end(client, -1).await? {
        Ok(Some(newest)) => Ok(newest),
        Ok(None) => Err(Error::Unsupported("the server has no oplog, though it belongs to a replica set".into())),
        Err(error) => Err(unreadable("local.oplog.rs", &error)),
    })
}

fn unreadable(what: &str, error: &ServerError) -> Error {
    let text = format!("{what} cannot be read: {}", error.text());
    if error.code == code::UNAUTHORIZED {
        return Error::Denied(format!("{text}; grant the account the role `backup`"));
    }
    Error::Unsupported(text)
}

/// Fails when the oplog no longer has what was written since `start`.
pub async fn check_oplog(client: &mut Client, start: Timestamp) -> Result<()> {
    let oldest = end(client, 1).await?.map_err(|error| error.during("find in the oplog"))?;
    match oldest {
        Some(oldest) if oldest <= start => Ok(()),
        oldest => Err(Error::Failed(format!(
            "the oplog has rolled over: it began at {} or before when the dump did, and now begins at {}, so that what was written \
             in between is lost; make it larger (replSetResizeOplog, storage.oplogMinRetentionHours), or dump when less is \
             written",
            start,
            oldest.map_or_else(|| "nothing".into(), |oldest| oldest.to_string())
        ))),
    }
}

/// The oplog's first (1) or last (-1) entry.
async fn end(client: &mut Client, direction: i32) -> Result<Result<Option<Timestamp>, ServerError>> {
    let command = rawdoc! { "find": OPLOG.1, "sort": { "$natural": direction }, "limit": 1, "singleBatch": true };
    let entry = match first(client, OPLOG.0, command).await? {
        Ok(Some(entry)) => entry,
        Ok(None) => return Ok(Ok(None)),
        Err(error) => return Ok(Err(error)),
    };
    let time = entry.get_timestamp("ts");
    time.map(|time| Ok(Some(time.into()))).map_err(|_| Error::Corrupt("an entry of the oplog has no time".into()))
}

/// Makes a query of a span of the oplog begin where the span does, on servers that do not see to it themselves.
pub fn replayed(client: &Client, command: &mut RawDocumentBuf) {
    if !client.version().is_since(40_400) {
        command.append(cstr!("oplogReplay"), true);
    }
}

async fn first(
    client: &mut Client,
    database: &str,
    command: RawDocumentBuf,
) -> Result<Result<Option<RawDocumentBuf>, ServerError>> {
    match client.try_query(database, command).await? {
        Ok(mut cursor) => {
            let found = cursor.next().await?.map(RawDocument::to_owned);
            cursor.close().await?;
            Ok(Ok(found))
        }
        Err(error) => Ok(Err(error)),
    }
}

/// A router's documents are of no one moment, and moved between shards while they are read.
pub fn check_kind(client: &Client) -> Result<()> {
    match client.hello().kind {
        Kind::Mongos => Err(Error::Unsupported(
            "the server is a mongos, the router of a sharded cluster: a dump through it is of no one moment and may have \
             documents twice or not at all while the balancer moves them; stop the balancer, and dump each shard and the config \
             servers by bindings of their own, which name their replica sets' members"
                .into(),
        )),
        Kind::Arbiter | Kind::Other => Err(Error::Unavailable(
            "the server is a member of a replica set that serves no reads at the moment; is it starting or recovering?".into(),
        )),
        Kind::Standalone | Kind::Primary | Kind::Secondary => Ok(()),
    }
}

/// A field of an entry of the oplog.
pub fn namespace(entry: &RawDocument) -> &str {
    match entry.get("ns") {
        Ok(Some(RawBsonRef::String(namespace))) => namespace,
        _ => "",
    }
}
