//! Servers for the tests of the client, and the ways into them.

// Every test binary uses another part of it.
#![allow(dead_code)]
// clippy.toml allows these in test functions; helpers of tests are as much a test.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::print_stderr, clippy::unwrap_used)]

use coffer_addon::{Application, Binding, Connection, TlsMode, testing};
use coffer_addon_mysql::Client;
use coffer_addon_mysql::client::Login;
use coffer_test_servers::{Mysql, MysqlOptions, MysqlVersion};
use futures::io::{AsyncRead, AsyncWrite};
use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::OnceLock;
use std::task::{Context, Poll};
use tokio_util::compat::TokioAsyncReadCompatExt;

/// The binary's server of a version, started once; none (and a loud line) where its packages cannot be had.
pub fn server(version: MysqlVersion) -> Option<&'static Mysql> {
    static SERVERS: [OnceLock<Option<Mysql>>; 4] = [const { OnceLock::new() }; 4];
    let place = MysqlVersion::ALL.iter().position(|one| *one == version).expect("one of all");
    SERVERS[place].get_or_init(|| start(version, &MysqlOptions::default())).as_ref()
}

/// A server of a test's own.
pub fn start(version: MysqlVersion, options: &MysqlOptions) -> Option<Mysql> {
    if let Err(error) = version.programs() {
        coffer_test_servers::skipped(format_args!("no {}: {error}", version.name()));
        return None;
    }
    Some(Mysql::start(version, options).expect("a server"))
}

/// All that can be had.
pub fn servers() -> impl Iterator<Item = &'static Mysql> {
    MysqlVersion::ALL.into_iter().filter_map(server)
}

/// Those whose databases can be dumped and restored.
pub fn supported() -> impl Iterator<Item = &'static Mysql> {
    MysqlVersion::SUPPORTED.into_iter().filter_map(server)
}

/// A port on loopback as an addon sees it.
pub fn at(port: u16, user: &str, password: Option<&str>, parameters: &[(&str, &str)]) -> Application {
    let parameters = parameters.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
    let binding = Binding { kind: "mysql".into(), tls: TlsMode::Disable, parameters, ..Binding::default() };
    let mut credentials = vec![("username", user)];
    credentials.extend(password.map(|password| ("password", password)));
    testing::application(binding, &credentials, move || async move {
        Ok(testing::connection(tokio::net::TcpStream::connect(("127.0.0.1", port)).await?.compat()))
    })
}

/// The server as an addon sees it.
pub fn application(server: &Mysql, user: &str, password: Option<&str>) -> Application {
    at(server.port(), user, password, &[])
}

/// A session with all privileges.
pub async fn client(server: &Mysql) -> Client {
    let application = application(server, Mysql::USER, Some(server.password()));
    let login = Login::from_binding(&application).expect("login");
    Client::connect(&application, &login, None).await.expect("connected")
}

/// Waits until something is so.
pub async fn until(what: &str, condition: impl AsyncFn() -> bool) {
    for _ in 0..600 {
        if condition().await {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("{what}");
}

/// A peer that says what it was told to, whatever it hears.
pub struct Peer {
    says: futures::io::Cursor<Vec<u8>>,
    heard: Rc<RefCell<Vec<u8>>>,
}

/// A connection to a peer that says these payloads, each in its packet, numbered from 0 to the left of those that a client
/// answers; and what the peer hears.
pub fn peer(says: Vec<u8>) -> (Connection, Rc<RefCell<Vec<u8>>>) {
    let heard = Rc::new(RefCell::new(Vec::new()));
    (testing::connection(Peer { says: futures::io::Cursor::new(says), heard: heard.clone() }), heard)
}

/// A packet.
pub fn packet(sequence: u8, payload: &[u8]) -> Vec<u8> {
    let [a, b, c, _] = u32::try_from(payload.len()).unwrap().to_le_bytes();
    [&[a, b, c, sequence], payload].concat()
}

/// A greeting of a server with these capabilities beside the needed ones.
pub fn greeting(capabilities: u32, plugin: &str) -> Vec<u8> {
    let capabilities = (capabilities | 1 << 9 | 1 << 15 | 1 << 19).to_le_bytes();
    let mut payload = b"\x0a8.0.36\0\x07\0\0\0abcdefgh\0".to_vec();
    payload.extend(&capabilities[..2]);
    payload.extend([45, 2, 0]);
    payload.extend(&capabilities[2..]);
    payload.push(21);
    payload.extend([0; 10]);
    payload.extend(b"ijklmnopqrst\0");
    payload.extend(plugin.as_bytes());
    payload.push(0);
    packet(0, &payload)
}

impl AsyncRead for Peer {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, target: &mut [u8]) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.says).poll_read(cx, target)
    }
}

impl AsyncWrite for Peer {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        self.heard.borrow_mut().extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
