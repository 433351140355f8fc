//! The host's side in a component: the contract's bindings behind the shapes that `native.rs` has too.

use crate::addon::{Addon, Ends};
use crate::application::Binding;
use crate::buffer::Source;
use crate::error::{Error, Result};
use crate::host::Level;
use crate::types::{Artifact, Receipt, Report};
use bindings::coffer::addon::{application, host, inbox, outbox, types};
use futures::future::{FutureExt, LocalBoxFuture};
use std::future::poll_fn;
use std::task::{Context, Poll, ready};
use wit_bindgen::{FutureReader, StreamReader, StreamResult, StreamWriter};

/// Generated from the WIT.
#[allow(unsafe_code, clippy::all, clippy::indexing_slicing, clippy::expect_used, clippy::unwrap_used, clippy::panic)]
pub mod bindings {
    wit_bindgen::generate!({
        path: "../wit/0.1.0",
        world: "addon",
        pub_export_macro: true,
        default_bindings_module: "coffer_addon::bindings",
    });
}

type Trailer = FutureReader<std::result::Result<(), types::Error>>;

impl From<types::Error> for Error {
    fn from(error: types::Error) -> Self {
        match error {
            types::Error::InvalidParameter(text) => Error::InvalidParameter(text),
            types::Error::Unavailable(text) => Error::Unavailable(text),
            types::Error::Denied(text) => Error::Denied(text),
            types::Error::Unsupported(text) => Error::Unsupported(text),
            types::Error::Corrupt(text) => Error::Corrupt(text),
            types::Error::Failed(text) => Error::Failed(text),
        }
    }
}

impl From<Error> for types::Error {
    fn from(error: Error) -> Self {
        match error {
            Error::InvalidParameter(text) => types::Error::InvalidParameter(text),
            Error::Unavailable(text) => types::Error::Unavailable(text),
            Error::Denied(text) => types::Error::Denied(text),
            Error::Unsupported(text) => types::Error::Unsupported(text),
            Error::Corrupt(text) => types::Error::Corrupt(text),
            Error::Failed(text) => types::Error::Failed(text),
        }
    }
}

impl From<types::Artifact> for Artifact {
    fn from(artifact: types::Artifact) -> Self {
        Artifact { name: artifact.name, labels: artifact.labels }
    }
}

/// A stream with its trailer, read in pieces that own their buffer: what is in flight stays here when a reader goes away.
pub struct Incoming(Reading);

enum Reading {
    Idle {
        stream: StreamReader<u8>,
        trailer: Trailer,
    },
    Busy {
        read: LocalBoxFuture<'static, (StreamReader<u8>, StreamResult, Vec<u8>)>,
        trailer: Trailer,
    },
    /// The stream ended; the trailer says how.
    Ending {
        target: Vec<u8>,
        trailer: LocalBoxFuture<'static, std::result::Result<(), types::Error>>,
    },
    Ended {
        outcome: Result<()>,
        target: Vec<u8>,
    },
}

impl Incoming {
    pub(super) fn new(stream: StreamReader<u8>, trailer: Trailer) -> Self {
        Incoming(Reading::Idle { stream, trailer })
    }

    fn is_idle(&self) -> bool {
        matches!(self.0, Reading::Idle { .. })
    }

    fn take(&mut self) -> Reading {
        let nothing = Reading::Ended { outcome: Ok(()), target: Vec::new() };
        std::mem::replace(&mut self.0, nothing)
    }
}

impl Source for Incoming {
    fn begin_read(&mut self, target: Vec<u8>) {
        self.0 = match self.take() {
            Reading::Idle { mut stream, trailer } => {
                let read = async move {
                    let (result, target) = stream.read(target).await;
                    (stream, result, target)
                };
                Reading::Busy { read: read.boxed_local(), trailer }
            }
            Reading::Ended { outcome, .. } => Reading::Ended { outcome, target },
            busy => busy,
        };
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<Vec<u8>>> {
        loop {
            match &mut self.0 {
                // Nothing was begun; there is nothing to give back.
                Reading::Idle { .. } => return Poll::Ready(Ok(Vec::new())),
                Reading::Busy { read, .. } => {
                    let (stream, result, target) = ready!(read.as_mut().poll(cx));
                    let Reading::Busy { trailer, .. } = self.take() else { continue };
                    match result {
                        StreamResult::Complete(count) if count > 0 => {
                            self.0 = Reading::Idle { stream, trailer };
                            return Poll::Ready(Ok(target));
                        }
                        // A completed read of nothing is a readiness probe's answer, not the end.
                        StreamResult::Complete(_) | StreamResult::Cancelled => {
                            self.0 = Reading::Idle { stream, trailer };
                            self.begin_read(target);
                        }
                        StreamResult::Dropped => {
                            self.0 = Reading::Ending { target, trailer: trailer.into_future().boxed_local() };
                        }
                    }
                }
                Reading::Ending { trailer, .. } => {
                    let outcome = ready!(trailer.as_mut().poll(cx)).map_err(Error::from);
                    if let Reading::Ending { target, .. } = self.take() {
                        self.0 = Reading::Ended { outcome, target };
                    }
                }
                Reading::Ended { outcome, target } => {
                    return Poll::Ready(outcome.clone().map(|()| std::mem::take(target)));
                }
            }
        }
    }
}

/// Whether all of it was taken, and the buffer.
pub(super) async fn write_whole(writer: &mut StreamWriter<u8>, bytes: Vec<u8>) -> (bool, Vec<u8>) {
    let (mut result, mut left) = writer.write(bytes).await;
    while left.remaining() > 0 && result != StreamResult::Dropped {
        (result, left) = writer.write_buf(left).await;
    }
    (left.remaining() == 0, left.into_vec())
}

/// Both directions of a connection. Each is one stream for as long as the connection is in the same mode.
pub struct Connection {
    receiving: Incoming,
    sending: Sending,
    /// Resolves with an error when the host can no longer send.
    sent: LocalBoxFuture<'static, std::result::Result<(), types::Error>>,
    raw: application::Connection,
}

enum Sending {
    Idle(StreamWriter<u8>),
    Busy(LocalBoxFuture<'static, (StreamWriter<u8>, bool, Vec<u8>)>),
    Closed,
}

impl Connection {
    fn new(raw: application::Connection) -> Self {
        let (stream, trailer) = raw.receive();
        let (writer, reader) = bindings::wit_stream::new();
        let sent = raw.transmit(reader).into_future().boxed_local();
        Connection { receiving: Incoming::new(stream, trailer), sending: Sending::Idle(writer), sent, raw }
    }

    pub fn begin_write(&mut self, bytes: Vec<u8>) {
        if let Sending::Idle(mut writer) = std::mem::replace(&mut self.sending, Sending::Closed) {
            let write = async move {
                let (whole, bytes) = write_whole(&mut writer, bytes).await;
                (writer, whole, bytes)
            };
            self.sending = Sending::Busy(write.boxed_local());
        }
    }

    /// Gives the buffer back when all of it was taken; nothing when none was under way.
    pub fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Vec<u8>>>> {
        match &mut self.sending {
            Sending::Idle(_) => Poll::Ready(Ok(None)),
            Sending::Busy(write) => {
                let (writer, whole, buffer) = ready!(write.as_mut().poll(cx));
                if whole {
                    self.sending = Sending::Idle(writer);
                    return Poll::Ready(Ok(Some(buffer)));
                }
                self.sending = Sending::Closed;
                self.poll_closed(cx)
            }
            Sending::Closed => self.poll_closed(cx),
        }
    }

    /// The host took the stream's end away: its reason is in the future.
    fn poll_closed(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Vec<u8>>>> {
        let error = match ready!(self.sent.as_mut().poll(cx)) {
            Ok(()) => Error::Unavailable("the connection was closed for sending".into()),
            Err(error) => error.into(),
        };
        // Later calls get the same answer.
        let again = types::Error::from(error.clone());
        self.sent = std::future::ready(Err(again)).boxed_local();
        Poll::Ready(Err(error))
    }

    /// What the host took it sends without being asked.
    pub fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<Result<()>> {
        Poll::Ready(Ok(()))
    }

    pub async fn start_tls(mut self) -> Result<Connection> {
        if !self.receiving.is_idle() {
            // Only a read that was given up can be under way; TLS's first bytes would be lost with it.
            return Err(Error::Failed("TLS cannot start while a read is under way".into()));
        }
        poll_fn(|cx| self.poll_write(cx)).await?;
        let Connection { receiving, sending, sent, raw } = self;
        drop(receiving);
        drop(sending);
        sent.await?;
        Ok(Connection::new(application::Connection::start_tls(raw).await?))
    }
}

impl Source for Connection {
    fn begin_read(&mut self, target: Vec<u8>) {
        self.receiving.begin_read(target);
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<Vec<u8>>> {
        self.receiving.poll_read(cx)
    }
}

#[derive(Clone)]
pub struct Application;

impl Application {
    pub fn info(&self) -> Binding {
        application::info().into()
    }

    pub fn credential(&self, key: &str) -> Result<String> {
        Ok(application::credential(key)?)
    }

    pub fn http(&self) -> super::Http {
        super::Http
    }

    pub async fn connect(&self, endpoint: Option<&str>) -> Result<crate::Connection> {
        let raw = application::connect(endpoint.map(String::from)).await?;
        Ok(crate::Connection::new(Connection::new(raw)))
    }
}

#[derive(Clone)]
pub struct Inbox;

impl Inbox {
    pub async fn next(&self) -> Option<(Artifact, Incoming)> {
        let incoming = inbox::next().await?;
        Some((incoming.artifact.into(), Incoming::new(incoming.bytes, incoming.trailer)))
    }
}

#[derive(Clone)]
pub struct Outbox;

impl Outbox {
    pub fn open(&self, artifact: Artifact) -> OutboxWrite {
        let artifact = types::Artifact { name: artifact.name, labels: artifact.labels };
        let (stream, bytes) = bindings::wit_stream::new();
        // Dropped unfinished, the artifact reads as this.
        let (trailer, promised) =
            bindings::wit_future::new(|| Err(types::Error::Failed("the addon did not finish the artifact".into())));
        let call = outbox::write(artifact, bytes, promised).boxed_local();
        OutboxWrite { stream, trailer, call, early: None }
    }
}

/// A call of `outbox.write` under way. It needs no task of its own: every write polls it too.
pub struct OutboxWrite {
    stream: StreamWriter<u8>,
    trailer: wit_bindgen::FutureWriter<std::result::Result<(), types::Error>>,
    call: LocalBoxFuture<'static, std::result::Result<types::Receipt, types::Error>>,
    /// How the call ended, when it did before the artifact.
    early: Option<Error>,
}

impl OutboxWrite {
    /// A call begins when it is polled.
    pub async fn begin(&mut self) -> Result<()> {
        let OutboxWrite { call, early, .. } = self;
        if early.is_none()
            && let Poll::Ready(answer) = poll_fn(|cx| Poll::Ready(call.as_mut().poll(cx))).await
        {
            *early = Some(ended_early(answer));
        }
        early.clone().map_or(Ok(()), Err)
    }

    /// Gives the buffer back when all of it was taken.
    pub async fn write(&mut self, bytes: Vec<u8>) -> Result<Vec<u8>> {
        let OutboxWrite { stream, call, early, .. } = self;
        if let Some(error) = early {
            return Err(error.clone());
        }
        let mut write = std::pin::pin!(write_whole(stream, bytes));
        let mut is_cut = false;
        poll_fn(|cx| {
            if !is_cut && let Poll::Ready((whole, buffer)) = write.as_mut().poll(cx) {
                if whole {
                    return Poll::Ready(Ok(buffer));
                }
                // It is not to be polled again, and the call may take its time to say why.
                is_cut = true;
            }
            // The call must be polled to begin at all, and says why the host stopped reading. A write that the host did not
            // take whole is answered by it and by nothing else.
            let error = ended_early(ready!(call.as_mut().poll(cx)));
            *early = Some(error.clone());
            Poll::Ready(Err(error))
        })
        .await
    }

    /// Ends the stream and says how; the host's answer.
    pub async fn end(self, trailer: Result<()>) -> Result<Receipt> {
        let OutboxWrite { stream, trailer: writer, call, early } = self;
        if let Some(error) = early {
            return Err(error);
        }
        drop(stream);
        let said = writer.write(trailer.map_err(types::Error::from));
        // An answer may come before the trailer was taken: then it is an error and says why.
        let (_, answer) = futures::join!(said, call);
        let receipt = answer?;
        let sha256 = receipt.sha256.try_into();
        let sha256 = sha256.map_err(|_| Error::Failed("the host's receipt holds no SHA-256".into()))?;
        Ok(Receipt { length: receipt.length, sha256 })
    }
}

fn ended_early(answer: std::result::Result<types::Receipt, types::Error>) -> Error {
    match answer {
        Ok(_) => Error::Failed("the host ended the artifact before it was whole".into()),
        Err(error) => error.into(),
    }
}

pub fn log(level: Level, message: &str, fields: &[(&str, String)]) {
    let level = match level {
        Level::Trace => host::Level::Trace,
        Level::Debug => host::Level::Debug,
        Level::Info => host::Level::Info,
        Level::Warn => host::Level::Warn,
        Level::Error => host::Level::Error,
    };
    let fields: Vec<_> = fields.iter().map(|(key, value)| (key.to_string(), value.clone())).collect();
    host::log(level, message, &fields);
}

pub fn progress(done: u64, total: Option<u64>) {
    host::progress(done, total);
}

pub async fn cancelled() {
    host::cancelled().await;
}

pub async fn sleep(duration: std::time::Duration) {
    host::sleep(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)).await;
}

/// What `export!` expands to.
pub mod exported {
    use super::*;

    pub fn describe(addon: Addon) -> String {
        match addon.descriptor().and_then(|descriptor| Ok(serde_json::to_string(&descriptor)?)) {
            Ok(json) => json,
            // `describe` cannot fail by the contract. Text that is no descriptor tells the host so, and the author why.
            Err(error) => error.to_string(),
        }
    }

    pub async fn run(
        addon: Addon,
        function: String,
        parameters: String,
    ) -> std::result::Result<types::Report, types::Error> {
        let ends = Ends {
            application: crate::Application { raw: Application },
            inbox: crate::Inbox { raw: Inbox },
            outbox: crate::Outbox { raw: Outbox },
        };
        let Report { facts } = addon.run(ends, &function, &parameters).await?;
        Ok(types::Report { facts })
    }
}
