//! Servers to dump, what a dump consists of, and the stock programs that restore one.

// Every test binary uses another part of it.
#![allow(dead_code)]
// clippy.toml allows these in test functions; helpers of tests are as much a test.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::print_stderr, clippy::unwrap_used)]

use coffer_addon::testing::{self, Written};
use coffer_addon::{Application, Binding, Ends, Error, Report, TlsMode};
use coffer_addon_mysql::layout::{INDEX, Index};
use coffer_test_servers::cache::run;
use coffer_test_servers::mysql::{Mysql, MysqlOptions, MysqlVersion};
use futures::io::{AsyncRead, AsyncWrite};
use std::cell::RefCell;
use std::io::{self, Write};
use std::pin::Pin;
use std::process::{Command, Stdio};
use std::rc::Rc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll};
use tokio_util::compat::TokioAsyncReadCompatExt;

/// The test binary's server of a version, started once.
pub fn server(version: MysqlVersion) -> &'static Mysql {
    static SERVERS: [OnceLock<Mysql>; 3] = [const { OnceLock::new() }; 3];
    let place = MysqlVersion::SUPPORTED.iter().position(|supported| *supported == version).expect("supported");
    SERVERS[place].get_or_init(|| Mysql::start(version, &MysqlOptions::default()).expect("a server"))
}

pub fn servers() -> impl Iterator<Item = &'static Mysql> {
    MysqlVersion::SUPPORTED.into_iter().map(server)
}

/// One dump of a version's server at a time: while one holds the lock of a table without transactions and reads definitions, the
/// global lock that another asks for holds up both until one has waited too long.
async fn alone(server: &Mysql) -> tokio::sync::MutexGuard<'static, ()> {
    static ONE: [tokio::sync::Mutex<()>; 4] = [const { tokio::sync::Mutex::const_new(()) }; 4];
    let place = MysqlVersion::ALL.iter().position(|version| *version == server.version()).expect("a version");
    ONE[place].lock().await
}

/// A name that no other test has.
pub fn name() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("dump_{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// What a script selects.
pub fn query(server: &Mysql, sql: &str) -> String {
    server.mysql(sql).expect("answered")
}

/// A database of its own with what a script makes.
pub fn database(server: &Mysql, script: &str) -> String {
    let name = name();
    query(server, &format!("CREATE DATABASE {name} CHARACTER SET utf8mb4; USE {name}; {script}"));
    name
}

/// The server as an addon sees it.
pub fn application(server: &Mysql, user: &str, password: &str) -> Application {
    let binding = Binding { kind: "mysql".into(), tls: TlsMode::Disable, ..Binding::default() };
    let port = server.port();
    testing::application(binding, &[("username", user), ("password", password)], move || async move {
        Ok(testing::connection(tokio::net::TcpStream::connect(("127.0.0.1", port)).await?.compat()))
    })
}

/// What was dumped.
pub struct Dump {
    pub report: Report,
    pub files: Vec<Written>,
}

impl Dump {
    pub fn fact(&self, name: &str) -> &str {
        fact(&self.report, name)
    }

    pub fn index(&self) -> Index {
        assert_eq!(self.files[0].artifact.name, INDEX);
        serde_json::from_slice(self.bytes(INDEX)).expect("an index")
    }

    pub fn bytes(&self, name: &str) -> &[u8] {
        let file = self.files.iter().find(|file| file.artifact.name == name);
        file.unwrap_or_else(|| panic!("no file {name}")).bytes.as_ref().expect("whole")
    }

    pub fn text(&self, name: &str) -> String {
        String::from_utf8_lossy(self.bytes(name)).into_owned()
    }

    pub fn names(&self) -> Vec<&str> {
        self.files.iter().map(|file| file.artifact.name.as_str()).collect()
    }
}

pub fn fact<'a>(report: &'a Report, name: &str) -> &'a str {
    let found = report.facts.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    found.unwrap_or_else(|| panic!("no fact {name} in {report:?}"))
}

/// Dumps as somebody.
pub async fn dump_as(server: &Mysql, (user, password): (&str, &str), parameters: &str) -> Result<Dump, Error> {
    let _one = alone(server).await;
    let (outbox, written) = testing::outbox();
    let ends = Ends { application: application(server, user, password), inbox: testing::inbox([]), outbox };
    let report = coffer_addon_mysql::addon().run(ends, "mysql-dump", parameters).await?;
    Ok(Dump { report, files: written.take() })
}

/// Dumps with all privileges.
pub async fn dump(server: &Mysql, parameters: &str) -> Result<Dump, Error> {
    dump_as(server, (Mysql::USER, server.password()), parameters).await
}

/// Dumps, and does something right before the rows of a table are asked for.
pub async fn dump_and(
    server: &Mysql,
    parameters: &str,
    (database, table): (&str, &str),
    then: impl FnOnce() + 'static,
) -> Result<Dump, Error> {
    dump_before(server, parameters, &["SELECT /*!40001", &format!("FROM `{database}`.`{table}`")], then).await
}

/// Dumps, and does something right before the first statement with these texts in it.
pub async fn dump_before(
    server: &Mysql,
    parameters: &str,
    needles: &[&str],
    then: impl FnOnce() + 'static,
) -> Result<Dump, Error> {
    let mut then = Some(then);
    dump_before_each(server, parameters, needles, move || then.take().into_iter().for_each(|then| then())).await
}

/// Dumps, and does something right before each statement with these texts in it.
pub async fn dump_before_each(
    server: &Mysql,
    parameters: &str,
    needles: &[&str],
    then: impl FnMut() + 'static,
) -> Result<Dump, Error> {
    let then: Hook = Rc::new(RefCell::new(then));
    let needles: Vec<String> = needles.iter().map(|needle| needle.to_string()).collect();
    let binding = Binding { kind: "mysql".into(), tls: TlsMode::Disable, ..Binding::default() };
    let port = server.port();
    let credentials = [("username", Mysql::USER), ("password", server.password())];
    let application = testing::application(binding, &credentials, move || {
        let (then, needles) = (then.clone(), needles.clone());
        async move {
            let io = tokio::net::TcpStream::connect(("127.0.0.1", port)).await?.compat();
            Ok(testing::connection(Hooked { io, needles, then }))
        }
    });
    let _one = alone(server).await;
    let (outbox, written) = testing::outbox();
    let ends = Ends { application, inbox: testing::inbox([]), outbox };
    let report = coffer_addon_mysql::addon().run(ends, "mysql-dump", parameters).await?;
    Ok(Dump { report, files: written.take() })
}

type Hook = Rc<RefCell<dyn FnMut()>>;

/// A connection that does something before it sends statements with these texts in them.
struct Hooked<T> {
    io: T,
    needles: Vec<String>,
    then: Hook,
}

impl<T: AsyncRead + Unpin> AsyncRead for Hooked<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, target: &mut [u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_read(cx, target)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Hooked<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let text = String::from_utf8_lossy(bytes);
        if self.needles.iter().all(|needle| text.contains(needle)) {
            (self.then.borrow_mut())();
        }
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_close(cx)
    }
}

/// Restores by the addon itself, with all privileges.
pub async fn restore(server: &Mysql, parameters: &str, files: Vec<Written>) -> Result<Report, Error> {
    let (outbox, _) = testing::outbox();
    let application = application(server, Mysql::USER, server.password());
    let ends = Ends { application, inbox: testing::inbox(files), outbox };
    coffer_addon_mysql::addon().run(ends, "mysql-restore", parameters).await
}

/// Restores by stock `myloader`, in one thread: Debian's gives up where two get into a deadlock over a unique key.
pub fn myloader(server: &Mysql, files: &[Written]) {
    let folder = tempfile::tempdir().expect("a folder");
    for file in files {
        let path = folder.path().join(&file.artifact.name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(path, file.bytes.as_ref().expect("whole")).expect("written");
    }
    let mut command = server.mydumper("myloader").expect("myloader");
    let output = command.args(["--threads", "1", "--verbose", "3", "--directory"]).arg(folder.path()).output();
    let output = output.expect("myloader");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && !said.contains("CRITICAL"), "{said}");
}

/// Restores by `mysql`, file by file in the order of the dump, and then the rows.
pub fn client(server: &Mysql, files: &[Written]) {
    let (definitions, rows): (Vec<&Written>, Vec<&Written>) = files
        .iter()
        .filter(|file| file.artifact.name.ends_with(".sql"))
        .partition(|file| file.artifact.name.contains("-schema") || file.artifact.name.starts_with("coffer/"));
    let (before, after): (Vec<&Written>, Vec<&Written>) =
        definitions.into_iter().partition(|file| !file.artifact.name.ends_with("-schema-triggers.sql"));
    for file in before.into_iter().chain(rows).chain(after) {
        let name = &file.artifact.name;
        let database = name.split(['.', '-']).next().expect("a name");
        let database = if name.ends_with("-schema-create.sql") || name.starts_with("coffer/") { "" } else { database };
        let script = file.bytes.as_ref().expect("whole");
        if let Err(error) = feed(server, database, script) {
            panic!("{name}: {error}");
        }
    }
}

fn feed(server: &Mysql, database: &str, script: &[u8]) -> Result<(), String> {
    let mut command: Command = server.tool("mysql").expect("mysql");
    // Whoever wants comments kept says so.
    command.args(["--comments", "--max-allowed-packet=64M"]);
    if !database.is_empty() {
        command.arg(format!("--database={database}"));
    }
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("mysql starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    // It stops at the first error, and says on stderr why.
    let _ = stdin.write_all(script);
    drop(stdin);
    let output = child.wait_with_output().expect("mysql ends");
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}

/// Whether nobody holds a lock that is in the way of writing or altering.
pub fn is_free(server: &Mysql, database: &str, table: &str) {
    query(
        server,
        &format!(
            "SET lock_wait_timeout = 5; ALTER TABLE {database}.{table} COMMENT = 'free'; \
             CREATE TABLE {database}.free_again (a int) ENGINE = InnoDB; INSERT INTO {database}.free_again VALUES (1); \
             DROP TABLE {database}.free_again"
        ),
    );
}

/// Stock programs print to their end.
pub fn printed(command: &mut Command) -> String {
    String::from_utf8_lossy(&run(command).expect("it runs")).into_owned()
}
