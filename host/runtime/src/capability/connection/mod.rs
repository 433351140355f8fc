//! A connection to the bound application: two halves, lent to one stream each and given back when the stream is gone.
//!
//! Bytes go between socket and guest memory with no buffer in between. That is also what makes `start-tls` sound: nothing
//! that came in the clear can be left over and pass for what came under TLS.

mod half;
mod streams;

use self::{
    half::{ReadEnd, Slot, WriteEnd},
    streams::{Incoming, Outgoing},
};
use super::{Own, failed, incoming::outcome, invalid};
use crate::{
    bindings::{
        GuestError,
        coffer::addon::application::{HostConnection, HostConnectionWithStore},
    },
    limits::STREAM_RETURN,
    state::{Remedy, State},
    tls,
};
use std::{io, sync::Arc};
use tokio::{
    net::TcpStream,
    sync::{OwnedSemaphorePermit, oneshot},
    time::timeout,
};
use tokio_rustls::TlsConnector;
use wasmtime::component::{Access, Accessor, FutureReader, Resource, StreamReader};

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
