//! The host's side for a native build: whatever a test gives. Same shapes as `wasm.rs`.

use crate::application::{Binding, TlsMode};
use crate::buffer::Source;
use crate::error::{Error, Result};
use crate::host::Level;
use crate::types::{Artifact, Receipt};
use futures::future::LocalBoxFuture;
use futures::io::{AsyncRead, AsyncWrite};
use sha2::{Digest, Sha256};
use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

/// Anything that a connection can be made of.
pub trait Io: AsyncRead + AsyncWrite + Unpin {}
impl<T: AsyncRead + AsyncWrite + Unpin> Io for T {}

pub struct Connection {
    io: Box<dyn Io>,
    target: Option<Vec<u8>>,
    outgoing: Option<(Vec<u8>, usize)>,
}

impl Connection {
    pub fn new(io: impl Io + 'static) -> Self {
        Connection { io: Box::new(io), target: None, outgoing: None }
    }
}

impl Source for Connection {
    fn begin_read(&mut self, target: Vec<u8>) {
        self.target = Some(target);
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<Vec<u8>>> {
        let Some(target) = &mut self.target else { return Poll::Ready(Ok(Vec::new())) };
        let filled = target.len();
        target.resize(target.capacity(), 0);
        let polled = Pin::new(&mut self.io).poll_read(cx, target.get_mut(filled..).unwrap_or_default());
        target.truncate(filled + if let Poll::Ready(Ok(count)) = &polled { *count } else { 0 });
        ready!(polled)?;
        Poll::Ready(Ok(self.target.take().unwrap_or_default()))
    }
}

impl Connection {
    pub fn begin_write(&mut self, bytes: Vec<u8>) {
        self.outgoing = Some((bytes, 0));
    }

    pub fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Vec<u8>>>> {
        while let Some((bytes, sent)) = &mut self.outgoing {
            let rest = bytes.get(*sent..).unwrap_or_default();
            if rest.is_empty() {
                return Poll::Ready(Ok(self.outgoing.take().map(|(bytes, _)| bytes)));
            }
            match ready!(Pin::new(&mut self.io).poll_write(cx, rest))? {
                0 => return Poll::Ready(Err(Error::Unavailable("the server closed the connection".into()))),
                count => *sent += count,
            }
        }
        Poll::Ready(Ok(None))
    }

    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx).map_err(Error::from)
    }

    pub async fn start_tls(self) -> Result<Connection> {
        Err(Error::Unsupported("a native build has no host to do TLS".into()))
    }
}

/// Makes a connection to a named endpoint.
pub type Connect = Rc<dyn Fn(Option<&str>) -> LocalBoxFuture<'static, Result<crate::Connection>>>;

#[derive(Clone)]
pub struct Application {
    pub binding: Binding,
    pub credentials: BTreeMap<String, String>,
    pub connect: Connect,
}

impl Application {
    pub fn info(&self) -> Binding {
        self.binding.clone()
    }

    pub fn credential(&self, key: &str) -> Result<String> {
        let found = self.credentials.get(key).cloned();
        found.ok_or_else(|| Error::Denied(format!("credential {key} was not granted")))
    }

    pub fn http(&self) -> super::Http {
        super::Http(self.clone())
    }

    pub async fn connect(&self, endpoint: Option<&str>) -> Result<crate::Connection> {
        (self.connect)(endpoint).await
    }
}

impl Default for Binding {
    fn default() -> Self {
        Binding {
            kind: String::new(),
            version: None,
            endpoints: vec!["default".into()],
            tls: TlsMode::Disable,
            parameters: Vec::new(),
        }
    }
}

/// An artifact as a native outbox keeps it.
#[derive(Clone, Debug, PartialEq)]
pub struct Written {
    pub artifact: Artifact,
    /// What the trailer said.
    pub bytes: Result<Vec<u8>>,
}

#[derive(Clone, Default)]
pub struct Outbox {
    pub written: Rc<RefCell<Vec<Written>>>,
}

impl Outbox {
    pub fn open(&self, artifact: Artifact) -> OutboxWrite {
        OutboxWrite { outbox: self.written.clone(), artifact: Some(artifact), bytes: Vec::new() }
    }
}

pub struct OutboxWrite {
    outbox: Rc<RefCell<Vec<Written>>>,
    artifact: Option<Artifact>,
    bytes: Vec<u8>,
}

impl OutboxWrite {
    pub async fn begin(&mut self) -> Result<()> {
        Ok(())
    }

    pub async fn write(&mut self, mut bytes: Vec<u8>) -> Result<Vec<u8>> {
        self.bytes.append(&mut bytes);
        Ok(bytes)
    }

    pub async fn end(mut self, trailer: Result<()>) -> Result<Receipt> {
        let bytes = std::mem::take(&mut self.bytes);
        let receipt = Receipt { length: bytes.len() as u64, sha256: Sha256::digest(&bytes).into() };
        self.keep(trailer.clone().map(|()| bytes));
        trailer.map(|()| receipt)
    }

    fn keep(&mut self, bytes: Result<Vec<u8>>) {
        if let Some(artifact) = self.artifact.take() {
            self.outbox.borrow_mut().push(Written { artifact, bytes });
        }
    }
}

impl Drop for OutboxWrite {
    fn drop(&mut self) {
        self.keep(Err(Error::Failed("the artifact was not finished".into())));
    }
}

#[derive(Clone, Default)]
pub struct Inbox {
    pub waiting: Rc<RefCell<VecDeque<Written>>>,
}

impl Inbox {
    pub async fn next(&self) -> Option<(Artifact, Incoming)> {
        let written = self.waiting.borrow_mut().pop_front()?;
        Some((written.artifact, Incoming { bytes: Some(written.bytes), target: None }))
    }
}

/// Gives the bytes in pieces, so that readers meet every boundary; the trailer comes after the last.
pub struct Incoming {
    bytes: Option<Result<Vec<u8>>>,
    target: Option<Vec<u8>>,
}

/// No multiple of anything, so that frames are cut everywhere.
const PIECE: usize = 61_001;

impl Source for Incoming {
    fn begin_read(&mut self, target: Vec<u8>) {
        self.target = Some(target);
    }

    fn poll_read(&mut self, _: &mut Context<'_>) -> Poll<Result<Vec<u8>>> {
        let mut target = self.target.take().unwrap_or_default();
        match &mut self.bytes {
            Some(Ok(bytes)) => {
                let rest = bytes.split_off(bytes.len().min(PIECE).min(target.capacity() - target.len()));
                target.append(bytes);
                *bytes = rest;
                Poll::Ready(Ok(target))
            }
            Some(Err(error)) => Poll::Ready(Err(error.clone())),
            None => Poll::Ready(Ok(target)),
        }
    }
}

thread_local! {
    /// What was logged on this thread, for tests that look.
    pub static LOG: RefCell<Vec<(Level, String)>> = const { RefCell::new(Vec::new()) };
}

pub fn log(level: Level, message: &str, _fields: &[(&str, String)]) {
    LOG.with_borrow_mut(|log| log.push((level, message.to_string())));
}

pub fn progress(_done: u64, _total: Option<u64>) {}

thread_local! {
    /// Runs of this thread that listen for being asked to stop.
    static LISTENING: RefCell<Vec<futures::channel::oneshot::Sender<()>>> = const { RefCell::new(Vec::new()) };
}

pub async fn cancelled() {
    let (sender, receiver) = futures::channel::oneshot::channel();
    LISTENING.with_borrow_mut(|listening| listening.push(sender));
    let _ = receiver.await;
}

pub fn cancel() {
    for listener in LISTENING.take() {
        let _ = listener.send(());
    }
}

/// Needs no runtime: a thread waits.
pub async fn sleep(duration: std::time::Duration) {
    let (sender, receiver) = futures::channel::oneshot::channel::<()>();
    std::thread::spawn(move || {
        std::thread::sleep(duration);
        let _ = sender.send(());
    });
    let _ = receiver.await;
}
