//! Every version starts, answers, takes the right passwords, and leaves nothing behind.

use super::*;

/// MySQL 5.5 comes by Maven, which not every machine has.
fn start(version: MysqlVersion, options: &MysqlOptions) -> Option<Mysql> {
    if let (MysqlVersion::MySql55, Err(error)) = (version, version.programs()) {
        crate::skipped(format_args!("no MySQL 5.5: {error}"));
        return None;
    }
    Some(Mysql::start(version, options).unwrap())
}

fn each(test: impl Fn(Mysql)) {
    MysqlVersion::ALL.into_iter().filter_map(|version| start(version, &MysqlOptions::default())).for_each(test);
}

/// Connects over TCP as a client from outside would.
fn connect(server: &Mysql, user: &str, password: &str, extra: &[&str]) -> Result<String> {
    let mut command = server.client("mysql")?;
    command.args(["--no-defaults", "--protocol=tcp", "--host=127.0.0.1", "--batch", "--skip-column-names"]);
    command.arg(format!("--port={}", server.port())).args(["--user", user]).args(extra);
    command.args(["--execute", "select current_user()"]).env("MYSQL_PWD", password);
    Ok(String::from_utf8_lossy(&run(&mut command)?).trim().to_owned())
}

#[test]
fn every_version_starts_with_a_clean_binary_log_and_answers() {
    each(|server| {
        let version = server.mysql("select version()").unwrap();
        let number = server.version().name().split(' ').nth(1).unwrap();
        assert!(version.starts_with(number), "{version}");
        assert_eq!(version.contains("MariaDB"), server.version().is_mariadb(), "{version}");
        assert_eq!(server.mysql("select @@log_bin, @@binlog_format").unwrap(), "1\tROW");
        assert_eq!(server.mysql("select 'a\\tb\\nc\\\\', null").unwrap(), "a\\tb\\nc\\\\\tNULL");
        assert_eq!(
            server.mysql("select convert_tz('2020-07-01 00:00:00', 'Asia/Kolkata', '+00:00')").unwrap(),
            "2020-06-30 18:30:00"
        );
        let users = server.mysql("select user from mysql.user where user not like '%.%' order by 1").unwrap();
        assert_eq!(users, "coffer\nroot");
        match server.version() {
            MysqlVersion::MySql97 => {
                assert_eq!(server.mysql("select @@gtid_mode, @@gtid_executed").unwrap(), "ON\t");
            }
            MysqlVersion::MySql55 => {}
            _ => assert_eq!(server.mysql("select @@gtid_binlog_pos").unwrap(), ""),
        }
    });
}

#[test]
fn every_way_to_log_in_takes_the_right_password_and_no_other() {
    each(|server| {
        let tls_off: &[&str] = match server.version() {
            // Without TLS the password travels encrypted with the server's key.
            MysqlVersion::MySql97 => &["--ssl-mode=DISABLED", "--get-server-public-key"],
            _ => &["--skip-ssl"],
        };
        let own = server.password();
        assert_eq!(connect(&server, Mysql::USER, own, tls_off).unwrap(), "coffer@%");
        for (number, auth) in server.version().auths().iter().enumerate() {
            let (name, password) = (format!("user{number}"), "pass\\wörd '\"1");
            server.create_user(&name, *auth, password).unwrap();
            let answer = connect(&server, &name, password, tls_off);
            assert_eq!(answer.unwrap(), format!("{name}@%"), "{auth:?}");
            let refused = connect(&server, &name, "wrong", tls_off).unwrap_err().to_string();
            assert!(refused.contains("1045"), "{refused}");
        }
    });
}

#[test]
fn tls_is_verified_where_asked_for_and_required_where_the_server_says_so() {
    for version in MysqlVersion::SUPPORTED {
        let options = MysqlOptions { tls: MysqlTls::Required, ..MysqlOptions::default() };
        let server = Mysql::start(version, &options).unwrap();
        let authority = server.folder.join("ca.crt").display().to_string();
        let authority = format!("--ssl-ca={authority}");
        let (verify, off) = if version.is_mariadb() {
            ("--ssl-verify-server-cert", "--skip-ssl")
        } else {
            ("--ssl-mode=VERIFY_IDENTITY", "--ssl-mode=DISABLED")
        };
        assert_eq!(connect(&server, Mysql::USER, server.password(), &[&authority, verify]).unwrap(), "coffer@%");
        let refused = connect(&server, Mysql::USER, server.password(), &[off]).unwrap_err().to_string();
        // Older servers do not say why.
        let reason = if version == MysqlVersion::MariaDb1011 { "1045" } else { "3159" };
        assert!(refused.contains(reason), "{refused}");
        let stranger = server.folder.join("stranger.crt");
        fs::write(&stranger, Authority::new().unwrap().certificate()).unwrap();
        let stranger = format!("--ssl-ca={}", stranger.display());
        assert!(connect(&server, Mysql::USER, server.password(), &[&stranger, verify]).is_err());
    }
    let old = MysqlOptions { tls: MysqlTls::Available, ..MysqlOptions::default() };
    assert!(Mysql::start(MysqlVersion::MySql55, &old).is_err());
}

#[test]
fn a_killed_server_comes_back_with_its_data_and_a_dropped_one_leaves_nothing() {
    each(|mut server| {
        server.mysql("create database kept; create table kept.t (a int); insert into kept.t values (7)").unwrap();
        let (folder, port) = (server.folder.clone(), server.port());
        server.kill9();
        assert!(server.mysql("select 1").is_err());
        server.start_again().unwrap();
        assert_eq!((server.port(), server.query("kept", "select * from t").unwrap().as_str()), (port, "7"));
        drop(server);
        assert!(!folder.exists());
    });
}

#[test]
fn a_failed_script_says_why_and_a_failed_start_shows_the_log() {
    let server = Mysql::start(MysqlVersion::MariaDb118, &MysqlOptions::default()).unwrap();
    let error = server.mysql("select 1;\nselect nonsense").unwrap_err().to_string();
    assert!(error.contains("nonsense"), "{error}");
    let settings = vec![("no_such_setting".to_owned(), "1".to_owned())];
    let options = MysqlOptions { settings, ..MysqlOptions::default() };
    let error = Mysql::start(MysqlVersion::MariaDb118, &options).err().unwrap().to_string();
    assert!(error.contains("no_such_setting"), "{error}");
}

/// Set for the process that is to die.
const DOOMED: &str = "COFFER_TEST_DOOMED";

#[test]
fn a_server_dies_with_its_owner() {
    use std::io::{BufRead, BufReader};

    if std::env::var_os(DOOMED).is_some() {
        let server = Mysql::start(MysqlVersion::MariaDb118, &MysqlOptions::default()).unwrap();
        println!("{DOOMED} {} {}", server.port(), server.folder.display());
        std::thread::park();
        drop(server);
    }
    let mut owner = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "mysql::tests::a_server_dies_with_its_owner", "--nocapture"])
        .env(DOOMED, "1")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(owner.stdout.take().unwrap()).lines();
    let line = lines.find_map(|line| line.unwrap().split_once(DOOMED).map(|(_, rest)| rest.trim().to_owned()));
    let (port, folder) = line.as_deref().and_then(|line| line.split_once(' ')).unwrap();
    let port = port.parse().unwrap();
    assert!(crate::process::listens(port) && Path::new(folder).is_dir());
    // SIGKILL: nothing of the owner's runs any more.
    owner.kill().unwrap();
    owner.wait().unwrap();
    let gone = (0..1500).any(|_| {
        std::thread::sleep(Duration::from_millis(20));
        !crate::process::listens(port) && !Path::new(folder).exists()
    });
    assert!(gone, "{folder} or its server is still there");
}
