//! An addon for notes: backs them up as one text file, restores them from it, and waits for the server.

use coffer_addon::descriptor::{Task, TaskStep};
use coffer_addon::parameters::WaitReady;
use coffer_addon::{Addon, Application, Connection, Error, Function, Inbox, Outbox, Report, Result, TlsMode, ready};

/// The one artifact. Its first line says how many follow, so that a file cut at a line's end is seen to be cut.
const FILE: &str = "notes.txt";
const HEADER: &str = "notes 1 ";
/// Longer lines than this no server sends.
const LONGEST: usize = 64 << 10;

#[derive(Default, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct Dump {
    /// How many notes there may be at most; more fail the dump. 0: any number.
    max_notes: u64,
}

#[derive(serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
struct Restore {}

/// Source: what comes from the server goes on in pieces, and is counted. Nothing is gathered.
async fn dump(application: Application, outbox: Outbox, parameters: Dump) -> Result<Report> {
    let mut server = login(&application).await?;
    let count = number(&ask(&mut server, "READ").await?)?;
    if parameters.max_notes > 0 && count > parameters.max_notes {
        return Err(Error::Failed(format!("there are {count} notes; raise maxNotes, now {}", parameters.max_notes)));
    }
    let mut file = outbox.file(FILE).label("mediaType", "text/plain").open();
    file.write(format!("{HEADER}{count}\n").as_bytes()).await?;
    let (mut rows, mut bytes) = (0, 0);
    while rows < count {
        if server.buffer().is_empty() && server.fill().await? == 0 {
            // Dropping the file would fail it, too; this says why.
            return Err(file.fail(hung_up()).await);
        }
        let piece = server.buffer();
        rows += lines(piece);
        bytes += piece.len() as u64;
        file.write(piece).await?;
        let length = piece.len();
        server.consume(length);
    }
    file.finish().await?;
    Ok(Report::new().fact("rows", rows).fact("bytes", bytes))
}

/// Sink: believes nothing that it cannot check. The server keeps the notes only when all of them came.
async fn restore(application: Application, inbox: Inbox, _: Restore) -> Result<Report> {
    let Some(mut file) = inbox.next().await else {
        return Err(Error::Corrupt(format!("there is nothing to restore: {FILE} did not come")));
    };
    if file.artifact.name != FILE {
        return Err(Error::Corrupt(format!("{} is none of this addon's artifacts", file.artifact.name)));
    }
    let header = loop {
        if let Some(end) = file.buffer().iter().position(|byte| *byte == b'\n') {
            let line = std::str::from_utf8(file.buffer().get(..end).unwrap_or_default())?.to_string();
            file.consume(end + 1);
            break line;
        }
        if file.buffer().len() > LONGEST || file.fill().await? == 0 {
            return Err(Error::Corrupt(format!("{FILE} has no first line")));
        }
    };
    let count = header.strip_prefix(HEADER).ok_or_else(|| Error::Corrupt(format!("{FILE} begins with {header:?}")))?;
    let count = number(count)?;

    let mut server = login(&application).await?;
    server.write(format!("WRITE {count}\n").as_bytes()).await?;
    let (mut rows, mut bytes, mut line) = (0, 0, Vec::new());
    // `fill` gives 0 only for an artifact that is whole; for a broken one it is an error.
    while !file.buffer().is_empty() || file.fill().await? > 0 {
        let piece = file.buffer();
        text(piece, &mut line)?;
        rows += lines(piece);
        bytes += piece.len() as u64;
        if rows > count {
            return Err(Error::Corrupt(format!("{FILE} has more notes than the {count} it names")));
        }
        server.write(piece).await?;
        let length = piece.len();
        file.consume(length);
    }
    if rows < count || !line.is_empty() {
        return Err(Error::Corrupt(format!("{FILE} has {rows} whole notes of the {count} it names")));
    }
    if let Some(other) = inbox.next().await {
        return Err(Error::Corrupt(format!("{} is none of this addon's artifacts", other.artifact.name)));
    }
    server.send().await?;
    let kept = number(&answer(&mut server).await?)?;
    if kept != count {
        return Err(Error::Failed(format!("the server kept {kept} of {count} notes")));
    }
    Ok(Report::new().fact("rows", rows).fact("bytes", bytes))
}

/// Action: only `Unavailable` is tried again.
async fn wait(application: Application, parameters: WaitReady) -> Result<Report> {
    let (_, attempts) = ready::wait_ready(parameters.timeout.0, async || login(&application).await).await?;
    Ok(Report::new().fact("attempts", attempts))
}

async fn login(application: &Application) -> Result<Connection> {
    if application.binding().tls == TlsMode::Require {
        return Err(Error::Unsupported("notes speak no TLS: set tlsMode: Disable on a network you trust".into()));
    }
    let (user, password) = (application.credential("username")?, application.credential("password")?);
    let mut server = application.connect(None).await?;
    ask(&mut server, &format!("HELLO {user} {password}")).await?;
    Ok(server)
}

/// Says a line; what the server answers after `OK`.
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
        if server.buffer().len() > LONGEST {
            return Err(Error::Corrupt("the server does not speak the protocol of notes".into()));
        }
        if server.fill().await? == 0 {
            return Err(hung_up());
        }
    };
    match std::str::from_utf8(&line)?.split_once(' ') {
        Some(("OK", rest)) => Ok(rest.to_string()),
        // What it refuses at all is who we are.
        Some(("NO", why)) => Err(Error::Denied(format!("the server refused: {why}"))),
        _ => Err(Error::Corrupt("the server does not speak the protocol of notes".into())),
    }
}

fn hung_up() -> Error {
    Error::Unavailable("the server hung up in the middle".into())
}

fn number(text: &str) -> Result<u64> {
    text.parse().map_err(|_| Error::Corrupt(format!("{text:?} is no number of notes")))
}

fn lines(piece: &[u8]) -> u64 {
    piece.iter().filter(|byte| **byte == b'\n').count() as u64
}

/// Checks that whole lines are text; `rest` keeps the begun one from piece to piece.
fn text(piece: &[u8], rest: &mut Vec<u8>) -> Result<()> {
    let whole = piece.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    let (whole, begun) = piece.split_at_checked(whole).unwrap_or((piece, &[]));
    if !whole.is_empty() {
        rest.extend_from_slice(whole);
        std::str::from_utf8(rest)?;
        rest.clear();
    }
    rest.extend_from_slice(begun);
    if rest.len() > LONGEST { Err(Error::Corrupt(format!("{FILE} has a line without an end"))) } else { Ok(()) }
}

pub fn addon() -> Addon {
    let serves = |function: Function| function.serves("notes", ">=1, <2", [1]);
    let task = |name: &str, about: &str, step: &str, function: &str| {
        Task::new(name, about).step(TaskStep::new("ready", "notes-wait-ready")).step(TaskStep::new(step, function))
    };
    Addon::new("notes", "1.0.0")
        .description("Backs up and restores notes as a text file")
        .function(serves(Function::action("notes-wait-ready", wait).description("Waits until the server answers")))
        .function(serves(Function::source("notes-dump", dump).description("Writes all notes into a text file")))
        .function(serves(
            Function::sink("notes-restore", restore).description("Replaces all notes by those of a text file"),
        ))
        .task(task("notes-backup", "Waits for the server, then backs it up", "dump", "notes-dump"))
        .task(task("notes-restore", "Waits for the server, then restores it", "restore", "notes-restore"))
}

coffer_addon::export!(addon);
