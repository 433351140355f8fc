//! Connections to the bound application, used well and abused.

use crate::{
    bindings::{
        coffer::addon::{
            application::{self, Connection, TlsMode},
            outbox,
            types::{Artifact, Error},
        },
        wit_future, wit_stream,
    },
    guest::{Outcome, Parameters, facts},
};
use futures::future::join;
use wit_bindgen::StreamResult;

const BUFFER: usize = 64 << 10;

/// Connects, and starts TLS when the binding wants it. Protocols say a word in the clear first; so do we.
async fn open(endpoint: &str) -> Result<Connection, Error> {
    let endpoint = if endpoint.is_empty() { None } else { Some(endpoint.to_owned()) };
    let connection = application::connect(endpoint).await?;
    if application::info().tls == TlsMode::Disable {
        return Ok(connection);
    }
    send(&connection, b"S".to_vec()).await?;
    let (mut bytes, trailer) = connection.receive();
    let (_, answer) = bytes.read(Vec::with_capacity(1)).await;
    drop((bytes, trailer));
    if answer != b"S" {
        return Err(Error::Unsupported("the server speaks no TLS".into()));
    }
    Connection::start_tls(connection).await
}

async fn send(connection: &Connection, bytes: Vec<u8>) -> Result<(), Error> {
    let (mut writer, reader) = wit_stream::new();
    let sent = connection.transmit(reader);
    let write = async {
        writer.write_all(bytes).await;
        drop(writer);
    };
    join(write, sent.into_future()).await.1
}

/// Sends `bytes` bytes and reads as many back, comparing: for an echo server.
pub async fn speak(parameters: &Parameters) -> Outcome {
    let length = usize::try_from(parameters.number("bytes")).unwrap_or(0);
    let connection = open(&parameters.text("endpoint")).await?;
    let sent: Vec<u8> = (0..length).map(|i| u8::try_from(i % 251).unwrap_or(0)).collect();
    let (mut bytes, trailer) = connection.receive();
    let expected = sent.clone();
    let receive = async {
        let mut heard = Vec::new();
        while heard.len() < length {
            match bytes.read(Vec::with_capacity(BUFFER.min(length - heard.len()))).await {
                (StreamResult::Complete(_), some) => heard.extend(some),
                _ => return Err(trailer.await.err().unwrap_or(Error::Unavailable("the server hung up".into()))),
            }
        }
        Ok(heard)
    };
    let (heard, sent) = join(receive, send(&connection, sent)).await;
    let heard = heard?;
    sent?;
    if heard != expected {
        return Err(Error::Corrupt("the echo differs".into()));
    }
    facts([("heard", heard.len().to_string())])
}

/// Writes what the application says into an artifact until it hangs up; wants at least `least` bytes.
pub async fn record(parameters: &Parameters) -> Outcome {
    let connection = open("").await?;
    let (mut bytes, ended) = connection.receive();
    let (mut writer, reader) = wit_stream::new();
    let (trailer, promised) = wit_future::new(|| Err(Error::Failed("the trailer's writer was dropped".into())));
    let written = outbox::write(Artifact { name: "record".into(), labels: vec![] }, reader, promised);
    let copy = async {
        let mut total = 0_u64;
        let mut buffer = Vec::with_capacity(BUFFER);
        loop {
            buffer.clear();
            match bytes.read(buffer).await {
                (StreamResult::Complete(_), full) => {
                    total += full.len() as u64;
                    buffer = writer.write_all(full).await;
                }
                _ => break,
            }
        }
        drop(writer);
        let mut outcome = ended.await;
        if outcome.is_ok() && total < parameters.number("least") {
            outcome = Err(Error::Unavailable(format!("the server hung up after {total} bytes")));
        }
        let _ = trailer.write(outcome).await;
    };
    let ((), receipt) = join(copy, written).await;
    facts([("length", receipt?.length.to_string())])
}

#[allow(clippy::print_stdout)]
pub fn credentials() -> Outcome {
    let user = application::credential("username")?;
    let password = application::credential("password")?;
    let missing = application::credential("elsewhere");
    println!("careless: the password is {password}");
    facts([
        ("user", user),
        ("password", password),
        ("denied", matches!(missing, Err(Error::Denied(_))).to_string()),
        ("kind", application::info().kind),
    ])
}

/// Connects until the host refuses.
pub async fn many() -> Outcome {
    let mut open = Vec::new();
    loop {
        match application::connect(None).await {
            Ok(connection) => open.push(connection),
            Err(Error::Failed(text)) => return facts([("open", open.len().to_string()), ("refused", text)]),
            Err(error) => return Err(error),
        }
    }
}

/// A stream of the connection is still open when TLS is to start.
pub async fn tls_too_early() -> Outcome {
    let connection = application::connect(None).await?;
    let (bytes, trailer) = connection.receive();
    let outcome = Connection::start_tls(connection).await;
    drop((bytes, trailer));
    outcome.map(drop)?;
    facts([])
}

pub async fn two_readers() -> Outcome {
    let connection = application::connect(None).await?;
    let (first, _first_trailer) = connection.receive();
    let (mut second, second_trailer) = connection.receive();
    let (result, _) = second.read(Vec::with_capacity(1)).await;
    let refused = second_trailer.await;
    drop(first);
    // Given back, the half can be lent again.
    let (third, third_trailer) = connection.receive();
    drop((third, third_trailer));
    facts([("ended", (result == StreamResult::Dropped).to_string()), ("refused", refused.is_err().to_string())])
}
