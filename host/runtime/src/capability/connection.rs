//! A connection to the bound application: two halves, lent to one stream each and given back when the stream is gone.
//!
//! Bytes go between socket and guest memory with no buffer in between. That is also what makes `start-tls` sound: nothing
//! that came in the clear can be left over and pass for what came under TLS.

use super::{Own, failed, incoming::outcome, invalid};
use crate::{
    Traffic,
    bindings::{
        GuestError,
        coffer::addon::application::{HostConnection, HostConnectionWithStore},
    },
    limits::{FLUSH, POLL_BYTES, STREAM_RETURN},
    state::{Remedy, State},
    stdio::lock,
    tls,
};
use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf, ReadHalf, WriteHalf},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    runtime::Handle,
    sync::{Notify, OwnedSemaphorePermit, oneshot},
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use wasmtime::{
    AsContextMut as _, StoreContextMut,
    component::{
        Access, Accessor, Destination, FutureReader, Resource, Source, StreamConsumer, StreamProducer, StreamReader,
        StreamResult,
    },
};

/// Whose streams they are, for people.
const OF: &str = "the connection's";

/// The guest's handle, public for the bindings alone. The socket lives until the handle and its streams are gone.
pub struct Connection(Arc<Link>);

struct Link {
    read: Slot<ReadEnd>,
    write: Slot<WriteEnd>,
    /// Whose certificate to expect.
    host: String,
    /// Counts the connection while it lives, also across `start-tls`.
    permit: Arc<OwnedSemaphorePermit>,
    remedy: Remedy,
}

impl Connection {
    pub(crate) fn plain(stream: TcpStream, host: String, permit: OwnedSemaphorePermit, remedy: Remedy) -> Self {
        let (read, write) = stream.into_split();
        let (read, write) = (Slot::new(ReadEnd::Plain(read)), Slot::new(WriteEnd::Plain(write)));
        Self(Arc::new(Link { read, write, host, permit: Arc::new(permit), remedy }))
    }
}

impl Link {
    fn classify(&self, error: &io::Error, what: &str) -> GuestError {
        let text = format!("{what}: {}", describe_io(error));
        if tls::is_refusal(error) {
            self.remedy.told(&text);
            GuestError::Denied(text)
        } else {
            GuestError::Unavailable(text)
        }
    }
}

/// A half at home, or lent.
struct Slot<T> {
    half: Mutex<Option<T>>,
    returned: Notify,
}

impl<T> Slot<T> {
    fn new(half: T) -> Self {
        Self { half: Mutex::new(Some(half)), returned: Notify::new() }
    }

    fn take(&self) -> Option<T> {
        lock(&self.half).take()
    }

    fn give_back(&self, half: T) {
        *lock(&self.half) = Some(half);
        self.returned.notify_one();
    }

    async fn wait(&self) -> T {
        loop {
            if let Some(half) = self.take() {
                return half;
            }
            self.returned.notified().await;
        }
    }
}

enum ReadEnd {
    Plain(OwnedReadHalf),
    Tls(ReadHalf<TlsStream<TcpStream>>),
}

enum WriteEnd {
    Plain(OwnedWriteHalf),
    Tls(WriteHalf<TlsStream<TcpStream>>),
}

impl ReadEnd {
    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(half) => Pin::new(half).poll_read(cx, buffer),
            Self::Tls(half) => Pin::new(half).poll_read(cx, buffer),
        }
    }
}

impl WriteEnd {
    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self {
            Self::Plain(half) => Pin::new(half).poll_write(cx, bytes),
            Self::Tls(half) => Pin::new(half).poll_write(cx, bytes),
        }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(half) => Pin::new(half).poll_flush(cx),
            Self::Tls(half) => Pin::new(half).poll_flush(cx),
        }
    }

    async fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(half) => half.flush().await,
            Self::Tls(half) => half.flush().await,
        }
    }
}

impl HostConnection for State {
    fn drop(&mut self, connection: Resource<Connection>) -> wasmtime::Result<()> {
        self.table.delete(connection)?;
        Ok(())
    }
}

impl HostConnectionWithStore<State> for Own {
    fn receive(
        mut access: Access<'_, State, Self>,
        connection: Resource<Connection>,
    ) -> wasmtime::Result<(StreamReader<u8>, FutureReader<Result<(), GuestError>>)> {
        let state = access.get();
        let link = state.table.get(&connection)?.0.clone();
        let traffic = state.traffic.clone();
        let (trailer, receiver) = oneshot::channel();
        let mut producer = Incoming { half: link.read.take(), link, trailer: Some(trailer), traffic };
        if producer.half.is_none() {
            producer.end(Err(failed("the connection is being read already: drop that stream first")));
        }
        let bytes = StreamReader::new(&mut access, producer)?;
        Ok((bytes, outcome(&mut access, receiver, OF)?))
    }

    fn transmit(
        mut access: Access<'_, State, Self>,
        connection: Resource<Connection>,
        mut bytes: StreamReader<u8>,
    ) -> wasmtime::Result<FutureReader<Result<(), GuestError>>> {
        let state = access.get();
        let link = state.table.get(&connection)?.0.clone();
        let traffic = state.traffic.clone();
        let (done, receiver) = oneshot::channel();
        match link.write.take() {
            Some(half) => {
                let consumer =
                    Outgoing { half: Some(half), link, done: Some(done), taken: 0, unflushed: false, traffic };
                bytes.pipe(&mut access, consumer)?;
            }
            None => {
                bytes.close(&mut access)?;
                // The receiver is right here.
                let _ = done.send(Err(failed("the connection is being written already: end that stream first")));
            }
        }
        outcome(&mut access, receiver, OF)
    }

    async fn start_tls(
        accessor: &Accessor<State, Self>,
        plain: Resource<Connection>,
    ) -> wasmtime::Result<Result<Resource<Connection>, GuestError>> {
        let (link, bound, limit, traffic) = accessor.with(|mut access| {
            let state = access.get();
            let link = state.table.delete(plain)?.0;
            wasmtime::error::Ok((link, state.application.clone(), state.limits.connect, state.traffic.clone()))
        })?;
        let Some(bound) = bound else { return Ok(Err(failed("no application is bound to this call"))) };
        let secured = secure(&link, &bound, limit).await;
        traffic.add_event();
        match secured {
            Ok(connection) => accessor.with(|mut access| access.get().hold(connection)),
            Err(error) => Ok(Err(error)),
        }
    }
}

async fn secure(
    link: &Link,
    bound: &super::application::Bound,
    limit: std::time::Duration,
) -> Result<Connection, GuestError> {
    let halves = timeout(STREAM_RETURN, async { (link.read.wait().await, link.write.wait().await) });
    let (read, write) = halves.await.map_err(|_| failed("start-tls while a stream of the connection is still open"))?;
    let (ReadEnd::Plain(read), WriteEnd::Plain(write)) = (read, write) else {
        return Err(failed("the connection speaks TLS already"));
    };
    let stream = read.reunite(write).map_err(failed)?;
    let name = tls::server_name(bound.tls(), &link.host).map_err(invalid)?;
    let connector = TlsConnector::from(bound.client_config().await?);
    let stream = timeout(limit, connector.connect(name, stream))
        .await
        .map_err(|_| GuestError::Unavailable(format!("the TLS handshake did not end within {limit:?}")))?
        .map_err(|error| link.classify(&error, "TLS was refused"))?;
    let (read, write) = tokio::io::split(stream);
    Ok(Connection(Arc::new(Link {
        read: Slot::new(ReadEnd::Tls(read)),
        write: Slot::new(WriteEnd::Tls(write)),
        host: link.host.clone(),
        permit: link.permit.clone(),
        remedy: link.remedy.clone(),
    })))
}

/// As people say it, with the remedy where TLS has one.
pub(crate) fn describe_io(error: &io::Error) -> String {
    tls::explain(error)
}

/// The read half on loan.
struct Incoming {
    half: Option<ReadEnd>,
    link: Arc<Link>,
    trailer: Option<oneshot::Sender<Result<(), GuestError>>>,
    traffic: Arc<Traffic>,
}

impl Incoming {
    fn end(&mut self, trailer: Result<(), GuestError>) {
        if let Some(half) = self.half.take() {
            self.link.read.give_back(half);
        }
        if let Some(sender) = self.trailer.take() {
            // A guest that dropped the future does not want to know.
            let _ = sender.send(trailer);
        }
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        self.end(Ok(()));
    }
}

impl StreamProducer<State> for Incoming {
    type Item = u8;
    type Buffer = Option<u8>;

    fn poll_produce<'a>(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut store: StoreContextMut<'a, State>,
        destination: Destination<'a, u8, Self::Buffer>,
        finish: bool,
    ) -> Poll<wasmtime::Result<StreamResult>> {
        let this = self.get_mut();
        let Some(half) = this.half.as_mut() else { return Poll::Ready(Ok(StreamResult::Dropped)) };
        if destination.remaining(store.as_context_mut()) == Some(0) {
            return Poll::Ready(Ok(StreamResult::Completed));
        }
        let mut direct = destination.as_direct(store, POLL_BYTES);
        let buffer = direct.remaining();
        let room = buffer.len().min(POLL_BYTES);
        let mut buffer = ReadBuf::new(buffer.get_mut(..room).unwrap_or_default());
        match half.poll_read(cx, &mut buffer) {
            Poll::Ready(Ok(())) => {
                let count = buffer.filled().len();
                if count == 0 {
                    this.end(Ok(()));
                    return Poll::Ready(Ok(StreamResult::Dropped));
                }
                direct.mark_written(count);
                this.traffic.add_exchanged(count);
                Poll::Ready(Ok(StreamResult::Completed))
            }
            Poll::Ready(Err(error)) => {
                this.end(Err(this.link.classify(&error, "the connection broke while reading")));
                Poll::Ready(Ok(StreamResult::Dropped))
            }
            Poll::Pending if finish => Poll::Ready(Ok(StreamResult::Cancelled)),
            Poll::Pending => Poll::Pending,
        }
    }
}

/// The write half on loan.
struct Outgoing {
    half: Option<WriteEnd>,
    link: Arc<Link>,
    done: Option<oneshot::Sender<Result<(), GuestError>>>,
    /// Of the guest's current write.
    taken: usize,
    /// Records that TLS has made and the socket has not taken yet.
    unflushed: bool,
    traffic: Arc<Traffic>,
}

impl Outgoing {
    fn end(&mut self, outcome: Result<(), GuestError>) {
        if let Some(half) = self.half.take() {
            self.link.write.give_back(half);
        }
        if let Some(done) = self.done.take() {
            let _ = done.send(outcome);
        }
    }

    fn fail(&mut self, error: &io::Error) -> Poll<wasmtime::Result<StreamResult>> {
        self.end(Err(self.link.classify(error, "the connection broke while writing")));
        Poll::Ready(Ok(StreamResult::Dropped))
    }

    fn completed(&mut self) -> Poll<wasmtime::Result<StreamResult>> {
        self.taken = 0;
        Poll::Ready(Ok(StreamResult::Completed))
    }
}

impl Drop for Outgoing {
    /// The guest has written everything; the last records may still have to leave.
    fn drop(&mut self) {
        let (Ok(runtime), true) = (Handle::try_current(), self.unflushed) else {
            return self.end(Ok(()));
        };
        let (half, done, link) = (self.half.take(), self.done.take(), self.link.clone());
        runtime.spawn(async move {
            let Some(mut half) = half else { return };
            let flushed = match timeout(FLUSH, half.flush()).await {
                Ok(flushed) => flushed,
                Err(_) => Err(io::ErrorKind::TimedOut.into()),
            };
            link.write.give_back(half);
            if let Some(done) = done {
                let _ = done.send(flushed.map_err(|error| link.classify(&error, "the connection broke while writing")));
            }
        });
    }
}

impl StreamConsumer<State> for Outgoing {
    type Item = u8;

    fn poll_consume(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        store: StoreContextMut<State>,
        source: Source<'_, u8>,
        finish: bool,
    ) -> Poll<wasmtime::Result<StreamResult>> {
        let this = self.get_mut();
        let mut source = source.as_direct(store);
        while this.taken < POLL_BYTES {
            let Some(half) = this.half.as_mut() else { return Poll::Ready(Ok(StreamResult::Dropped)) };
            let bytes = source.remaining();
            if bytes.is_empty() {
                break;
            }
            let some = bytes.get(..POLL_BYTES).unwrap_or(bytes);
            match half.poll_write(cx, some) {
                Poll::Ready(Ok(0)) => return this.fail(&io::ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(count)) => {
                    source.mark_read(count);
                    this.taken += count;
                    this.unflushed = true;
                    this.traffic.add_exchanged(count);
                }
                Poll::Ready(Err(error)) => return this.fail(&error),
                // The guest will offer the rest again, and with it comes the next poll.
                Poll::Pending if this.taken > 0 => return this.completed(),
                Poll::Pending if finish => return Poll::Ready(Ok(StreamResult::Cancelled)),
                Poll::Pending => return Poll::Pending,
            }
        }
        // Said to be sent before it has left, a request could wait here for ever, and the guest for its answer.
        let Some(half) = this.half.as_mut() else { return Poll::Ready(Ok(StreamResult::Dropped)) };
        match half.poll_flush(cx) {
            Poll::Ready(Ok(())) => {
                this.unflushed = false;
                this.completed()
            }
            Poll::Ready(Err(error)) => this.fail(&error),
            Poll::Pending if finish => this.completed(),
            Poll::Pending => Poll::Pending,
        }
    }
}
