//! A TCP proxy between the addon and the application: it counts, and it can cut, stall, slow down and talk nonsense.
//!
//! One proxy serves one run. It outlives the run for a moment, because the application's side of a connection tells what
//! was left behind: a session that the server still works for is a connection that stays open.

use crate::gate::{Gate, lock};
use crate::limits::{MOVE_BYTES, NONSENSE_BYTES, SEGMENT_BYTES, SOCKET_BYTES};
use coffer_runtime::{Application, Endpoint};
use socket2::{Domain, Socket, Type};
use std::io;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    ToAddon,
    ToApplication,
}

/// What happens to connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    /// After so many bytes every connection is cut, and nobody listens any more: the server was killed.
    Cut(Direction, u64),
    /// After so many bytes the connections that are open then stand still. Later ones work.
    Stall(Direction, u64),
    /// So many bytes a second in each direction, over all connections.
    Throttle(u64),
    /// Accepts, and hangs up at once.
    HangUp,
    /// Answers with bytes that mean nothing, then hangs up.
    Nonsense,
}

#[derive(Debug)]
pub(crate) struct Proxy {
    state: Arc<State>,
    /// Stops listening and cuts what is open when it is dropped.
    _tasks: JoinSet<()>,
}

#[derive(Debug)]
struct State {
    fault: Fault,
    gate: Option<Gate>,
    counts: [AtomicU64; 2],
    /// When the next byte may pass, a direction.
    paces: [Mutex<Instant>; 2],
    /// The most connections at once.
    most: AtomicU64,
    open: watch::Sender<usize>,
    first: CancellationToken,
    cut: CancellationToken,
}

impl Proxy {
    /// Listens for every endpoint of `application`; gives the application as the addon is to see it.
    pub(crate) fn start(application: &Application, fault: Fault) -> io::Result<(Self, Application)> {
        let gate = match fault {
            Fault::Cut(_, after) | Fault::Stall(_, after) => Some(Gate::after(after)),
            _ => None,
        };
        let state = Arc::new(State {
            fault,
            gate,
            counts: Default::default(),
            paces: [Mutex::new(Instant::now()), Mutex::new(Instant::now())],
            most: AtomicU64::new(0),
            open: watch::Sender::new(0),
            first: CancellationToken::new(),
            cut: CancellationToken::new(),
        });
        let mut tasks = JoinSet::new();
        let mut seen = application.clone();
        // The name in the server's certificate is still its own.
        let hosts: Vec<&str> = application.endpoints.iter().map(|endpoint| endpoint.host.as_str()).collect();
        if let (None, Some(host)) = (&seen.tls.server_name, hosts.first())
            && hosts.iter().all(|other| other == host)
        {
            seen.tls.server_name = Some((*host).to_owned());
        }
        for endpoint in &mut seen.endpoints {
            let (listener, port) = listen()?;
            let to =
                std::mem::replace(endpoint, Endpoint { host: "127.0.0.1".into(), port, name: endpoint.name.clone() });
            tasks.spawn(serve(listener, to, Arc::clone(&state)));
        }
        Ok((Self { state, _tasks: tasks }, seen))
    }

    /// Bytes that went this way.
    pub(crate) fn count(&self, direction: Direction) -> u64 {
        self.state.count(direction).load(Relaxed)
    }

    /// How many connections were open at once, at most. How many there were in all is a matter of chance: a pool opens
    /// another when one is not back yet.
    pub(crate) fn most(&self) -> u64 {
        self.state.most.load(Relaxed)
    }

    /// Resolves when the addon has connected.
    pub(crate) async fn connected(&self) {
        self.state.first.cancelled().await;
    }

    /// Where the fault is one after so many bytes.
    pub(crate) fn gate(&self) -> Option<&Gate> {
        self.state.gate.as_ref()
    }

    /// Ends a stall: what was kept back goes on.
    pub(crate) fn resume(&self) {
        if let (Fault::Stall(..), Some(gate)) = (self.state.fault, &self.state.gate) {
            gate.open();
        }
    }

    /// Waits until both sides have closed all connections; how many are still open then.
    pub(crate) async fn settled(&self, limit: Duration) -> usize {
        let mut open = self.state.open.subscribe();
        // The sender is ours, so waiting ends only well, or by the limit.
        let _ = timeout(limit, open.wait_for(|open| *open == 0)).await;
        *self.state.open.borrow()
    }
}

impl State {
    fn count(&self, direction: Direction) -> &AtomicU64 {
        let [to_addon, to_application] = &self.counts;
        match direction {
            Direction::ToAddon => to_addon,
            Direction::ToApplication => to_application,
        }
    }

    fn pace(&self, direction: Direction) -> &Mutex<Instant> {
        let [to_addon, to_application] = &self.paces;
        match direction {
            Direction::ToAddon => to_addon,
            Direction::ToApplication => to_application,
        }
    }

    /// How many bytes may go this way now.
    async fn pass(&self, direction: Direction, wanted: usize, exempt: bool) -> usize {
        match (self.fault, &self.gate) {
            (Fault::Cut(way, _), Some(gate)) if way == direction => gate.pass(wanted).await,
            (Fault::Stall(way, _), Some(gate)) if way == direction && !exempt => gate.pass(wanted).await,
            (Fault::Throttle(rate), _) => {
                // A tenth of a second's worth at a time.
                let some = wanted.min(usize::try_from(rate / 10).unwrap_or(usize::MAX).max(1));
                let share = Duration::from_secs_f64(some as f64 / rate.max(1) as f64);
                let at = {
                    let mut next = lock(self.pace(direction));
                    *next = (*next).max(Instant::now()) + share;
                    *next
                };
                sleep_until(at).await;
                some
            }
            _ => wanted,
        }
    }
}

fn listen() -> io::Result<(TcpListener, u16)> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    // Connections inherit all of these from their listener.
    socket.set_recv_buffer_size(SOCKET_BYTES)?;
    socket.set_send_buffer_size(SOCKET_BYTES)?;
    socket.set_tcp_mss(SEGMENT_BYTES)?;
    socket.bind(&std::net::SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())?;
    socket.listen(128)?;
    socket.set_nonblocking(true)?;
    let listener = TcpListener::from_std(socket.into())?;
    let port = listener.local_addr()?.port();
    Ok((listener, port))
}

async fn serve(listener: TcpListener, to: Endpoint, state: Arc<State>) {
    let mut connections = JoinSet::new();
    let killed = async {
        match (&state.fault, &state.gate) {
            (Fault::Cut(..), Some(gate)) => gate.reached().await,
            _ => std::future::pending().await,
        }
    };
    let accepting = async {
        loop {
            match listener.accept().await {
                Ok((client, _)) => {
                    state.open.send_modify(|open| {
                        *open += 1;
                        state.most.fetch_max(*open as u64, Relaxed);
                    });
                    state.first.cancel();
                    let (to, state) = (to.clone(), Arc::clone(&state));
                    connections.spawn(async move {
                        // The one that began after the fault is none of its.
                        let exempt = state.gate.as_ref().is_some_and(Gate::is_reached);
                        tokio::select! {
                            () = connection(client, &to, &state, exempt) => {}
                            () = state.cut.cancelled() => {}
                        }
                        state.open.send_modify(|open| *open -= 1);
                    });
                }
                // Out of descriptors, say: the addon sees a connection that is not answered.
                Err(_) => tokio::time::sleep(crate::limits::LOOK).await,
            }
        }
    };
    tokio::select! {
        () = killed => state.cut.cancel(),
        () = accepting => {}
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

async fn connection(mut client: TcpStream, to: &Endpoint, state: &State, exempt: bool) {
    match state.fault {
        Fault::HangUp => return,
        Fault::Nonsense => {
            // The client speaks first or not; it is answered either way. What it makes of that is what is tested.
            let mut said = [0; 1];
            let _ = timeout(Duration::from_millis(200), client.read(&mut said)).await;
            let nonsense: Vec<u8> = (0..NONSENSE_BYTES).map(|i| ((i * 7919) >> 3) as u8 | 0x80).collect();
            let _ = client.write_all(&nonsense).await;
            let _ = client.shutdown().await;
            return;
        }
        _ => {}
    }
    // An application that cannot be reached is what the addon shall see then: a connection that ends at once.
    let Ok(server) = TcpStream::connect((to.host.as_str(), to.port)).await else { return };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
    let gone = CancellationToken::new();
    let ended = CancellationToken::new();
    let up = async {
        tokio::select! {
            () = request(from_client, to_server, state, exempt, &gone) => {}
            () = ended.cancelled() => {}
        }
    };
    let down = async {
        answer(from_server, to_client, state, exempt, &gone).await;
        // A server that has closed takes no requests any more.
        ended.cancel();
    };
    tokio::join!(up, down);
}

/// What the addon says, until it has hung up. It closes both ways at once, as the host's sockets do.
async fn request(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    state: &State,
    exempt: bool,
    gone: &CancellationToken,
) {
    let mut buffer = vec![0; MOVE_BYTES];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        let mut rest = buffer.get(..count).unwrap_or_default();
        while !rest.is_empty() {
            let some = tokio::select! {
                some = state.pass(Direction::ToApplication, rest.len(), exempt) => some,
                // It may hang up while it is kept waiting.
                () = hung_up(&from) => {
                    gone.cancel();
                    return;
                }
            };
            let (now, later) = rest.split_at_checked(some).unwrap_or((rest, &[]));
            if to.write_all(now).await.is_err() {
                return;
            }
            state.count(Direction::ToApplication).fetch_add(now.len() as u64, Relaxed);
            rest = later;
        }
    }
    gone.cancel();
    // Dropping the half tells the server.
}

/// Resolves when the other side has closed; what it still had to say is in the way of that and stays unread.
async fn hung_up(from: &OwnedReadHalf) {
    loop {
        tokio::time::sleep(crate::limits::LOOK).await;
        // A FIN behind unread bytes is told by the poll alone.
        if from.ready(tokio::io::Interest::READABLE).await.is_ok_and(|ready| ready.is_read_closed()) {
            return;
        }
    }
}

/// What the application says, until it hangs up. To an addon that is gone nothing is said any more, but the server is heard
/// to its end: that is when its session is over.
async fn answer(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    state: &State,
    exempt: bool,
    gone: &CancellationToken,
) {
    let mut buffer = vec![0; MOVE_BYTES];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        let mut rest = buffer.get(..count).unwrap_or_default();
        while !rest.is_empty() && !gone.is_cancelled() {
            let some = tokio::select! {
                some = state.pass(Direction::ToAddon, rest.len(), exempt) => some,
                () = gone.cancelled() => break,
            };
            let (now, later) = rest.split_at_checked(some).unwrap_or((rest, &[]));
            let written = tokio::select! {
                written = to.write_all(now) => written,
                () = gone.cancelled() => break,
            };
            if written.is_err() {
                gone.cancel();
                break;
            }
            state.count(Direction::ToAddon).fetch_add(now.len() as u64, Relaxed);
            rest = later;
        }
    }
    let _ = to.shutdown().await;
}
