//! An addon for the notes of `addon-sdk/examples/notes-server.rs` that gets wrong what its binding's parameter `fault` names:
//! what the conformance kit has to see. Without a fault it is a good one.

use coffer_addon::descriptor::{COPY_OF, Task, TaskStep};
use coffer_addon::{
    Addon, Application, Connection, Error, Function, Inbox, Outbox, Report, Result, TlsMode, host, info,
};
use futures::future::{Either, select};
use std::pin::pin;
use std::time::Duration;

const FILE: &str = "notes.txt";
/// For other tools, when it is written at all.
const COPY: &str = "notes.copy";
const HEADER: &str = "notes 1 ";

#[derive(Default, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Parameters {
    /// Nothing: it is there to be of the wrong type.
    nothing: u64,
}

/// What this binding's addon gets wrong.
#[derive(Clone, Copy)]
struct Faults<'a>(Option<&'a str>);

impl Faults<'_> {
    fn has(self, fault: &str) -> bool {
        self.0 == Some(fault)
    }
}

async fn dump(application: Application, outbox: Outbox, _: Parameters) -> Result<Report> {
    let binding = application.binding();
    let faults = Faults(binding.parameter("fault"));
    judged(faults, read(&application, &outbox, faults).await)
}

async fn restore(application: Application, inbox: Inbox, _: Parameters) -> Result<Report> {
    let binding = application.binding();
    let faults = Faults(binding.parameter("fault"));
    judged(faults, write(&application, &inbox, faults).await)
}

/// How an error comes out.
#[allow(clippy::panic)]
fn judged(faults: Faults<'_>, outcome: Result<Report>) -> Result<Report> {
    match outcome {
        Err(error) if faults.has("panics") => panic!("{error}"),
        Err(_) if faults.has("says-all-is-well") => Ok(Report::new().fact("rows", 0)),
        Err(error) if faults.has("calls-everything-failed") => Err(Error::Failed(error.to_string())),
        Ok(_) if faults.has("reports-nothing") => Ok(Report::new()),
        other => other,
    }
}

async fn read(application: &Application, outbox: &Outbox, faults: Faults<'_>) -> Result<Report> {
    let mut server = login(application, faults).await?;
    if faults.has("leaves-a-lock") || faults.has("cleans-up-for-ever") {
        ask(&mut server, "LOCK").await?;
    }
    let work = async {
        let count = number(&ask(&mut server, "READ").await?)?;
        let mut file = outbox.file(FILE).open();
        file.write(format!("{HEADER}{count}\n").as_bytes()).await?;
        let (mut rows, mut bytes, mut hoard) = (0, 0, Vec::new());
        while rows < count {
            if server.buffer().is_empty() && server.fill().await? == 0 {
                if faults.has("calls-half-a-file-whole") {
                    break;
                }
                return Err(file.fail(Error::Unavailable("the server hung up".into())).await);
            }
            let piece = server.buffer();
            rows += lines(piece);
            bytes += piece.len() as u64;
            if faults.has("hoards") {
                hoard.extend_from_slice(piece);
            } else {
                file.write(piece).await?;
            }
            let length = piece.len();
            server.consume(length);
        }
        file.write(&hoard).await?;
        file.finish().await?;
        if faults.has("writes-a-copy") || faults.has("hides-that-it-is-a-copy") {
            let copy = outbox.file(COPY);
            let copy = if faults.has("writes-a-copy") { copy.label(COPY_OF, FILE) } else { copy };
            let mut copy = copy.open();
            // Larger than what it is taken for a copy of.
            for _ in 0..=2 * rows {
                copy.write(&[b'x'; 128]).await?;
            }
            copy.finish().await?;
        }
        Ok((server, Report::new().fact("rows", rows).fact("bytes", bytes)))
    };
    if faults.has("cleans-up-for-ever") {
        return match select(pin!(work), pin!(host::cancelled())).await {
            Either::Left((outcome, _)) => unlock(outcome?).await,
            Either::Right(_) => {
                ask(&mut login(application, faults).await?, "UNLOCK").await?;
                host::sleep(Duration::from_secs(3600)).await;
                Err(Error::Failed("cancelled".into()))
            }
        };
    }
    let (server, report) = work.await?;
    if faults.has("leaves-a-lock") { unlock((server, report)).await } else { Ok(report) }
}

async fn unlock((mut server, report): (Connection, Report)) -> Result<Report> {
    ask(&mut server, "UNLOCK").await?;
    Ok(report)
}

async fn write(application: &Application, inbox: &Inbox, faults: Faults<'_>) -> Result<Report> {
    let Some(mut file) = inbox.next().await else {
        return if faults.has("restores-nothing") {
            Ok(Report::new())
        } else {
            Err(Error::Corrupt(format!("{FILE} did not come")))
        };
    };
    if file.artifact.name != FILE {
        return Err(Error::Corrupt(format!("{} is none of mine", file.artifact.name)));
    }
    let whole = file.read_all(64 << 20);
    let whole = match whole.await {
        Err(_) if faults.has("believes-broken-files") => return Ok(Report::new()),
        whole => whole?,
    };
    let end = whole.iter().position(|byte| *byte == b'\n').unwrap_or(0);
    let (header, notes) = whole.split_at_checked(end).unwrap_or_default();
    let notes = notes.get(1..).unwrap_or_default();
    let header = std::str::from_utf8(header)?;
    let named = number(header.strip_prefix(HEADER).ok_or_else(|| Error::Corrupt("no header".into()))?)?;
    let count = lines(notes);
    if !faults.has("counts-nothing") && (count != named || !notes.ends_with(b"\n")) {
        return Err(Error::Corrupt(format!("{count} of {named} notes")));
    }
    if !faults.has("reads-no-text") {
        std::str::from_utf8(notes)?;
    }
    let mut other = inbox.next().await;
    if faults.has("writes-a-copy") || faults.has("hides-that-it-is-a-copy") {
        while let Some(copy) = other.as_mut().filter(|other| other.artifact.name == COPY) {
            while copy.fill().await? > 0 {
                copy.consume(usize::MAX);
            }
            other = inbox.next().await;
        }
    }
    match other {
        Some(other) if !faults.has("passes-over-others") => {
            return Err(Error::Corrupt(format!("{} is none of mine", other.artifact.name)));
        }
        _ => {}
    }
    let mut server = login(application, faults).await?;
    server.write(format!("WRITE {count}\n").as_bytes()).await?;
    if faults.has("loses-a-note") {
        // The first one twice, the last one never.
        let first = notes.iter().position(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        let last = notes.len() - notes.iter().rev().skip(1).position(|byte| *byte == b'\n').unwrap_or(0) - 1;
        server.write(notes.get(..first).unwrap_or_default()).await?;
        server.write(notes.get(..last).unwrap_or_default()).await?;
    } else {
        server.write(notes).await?;
    }
    server.send().await?;
    if !faults.has("does-not-wait-for-the-answer") {
        answer(&mut server).await?;
    }
    Ok(Report::new().fact("rows", count).fact("bytes", notes.len()))
}

async fn login(application: &Application, faults: Faults<'_>) -> Result<Connection> {
    if application.binding().tls == TlsMode::Require && !faults.has("forgets-tls") {
        return Err(Error::Unsupported("notes speak no TLS".into()));
    }
    let (user, password) = (application.credential("username")?, application.credential("password")?);
    if faults.has("logs-the-password") {
        info!("logging in as {user} with {password}");
    }
    let mut server = application.connect(None).await?;
    ask(&mut server, &format!("HELLO {user} {password}")).await?;
    Ok(server)
}

async fn ask(server: &mut Connection, line: &str) -> Result<String> {
    server.write(format!("{line}\n").as_bytes()).await?;
    server.send().await?;
    answer(server).await
}

async fn answer(server: &mut Connection) -> Result<String> {
    let line = loop {
        if let Some(end) = server.buffer().iter().position(|byte| *byte == b'\n') {
            let line = server.buffer().get(..end).unwrap_or_default().to_vec();
            server.consume(end + 1);
            break line;
        }
        if server.fill().await? == 0 {
            return Err(Error::Unavailable("the server hung up".into()));
        }
    };
    match std::str::from_utf8(&line)?.split_once(' ') {
        Some(("OK", rest)) => Ok(rest.to_string()),
        Some(("NO", why)) => Err(Error::Denied(why.to_string())),
        _ => Err(Error::Corrupt("no answer of notes".into())),
    }
}

fn number(text: &str) -> Result<u64> {
    text.parse().map_err(|_| Error::Corrupt(format!("{text:?} is no number")))
}

fn lines(piece: &[u8]) -> u64 {
    piece.iter().filter(|byte| **byte == b'\n').count() as u64
}

fn addon() -> Addon {
    let serves = |function: Function| function.serves("notes", ">=1, <2", [1]);
    Addon::new("faulty-notes", "1.0.0")
        .description("Does to notes what no addon should")
        .function(serves(Function::source("notes-dump", dump).description("Writes all notes into a text file")))
        .function(serves(Function::sink("notes-restore", restore).description("Replaces all notes")))
        .task(Task::new("notes-backup", "Backs notes up").step(TaskStep::new("dump", "notes-dump")))
}

coffer_addon::export!(addon);
