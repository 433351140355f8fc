//! The sample database is the same on every version, and the comparison that judges restores can tell two apart.

use coffer_test_servers::compare::{Database, checksums, same_dump, same_rows};
use coffer_test_servers::{Postgres, PostgresOptions, PostgresVersion, sample};

#[test]
fn the_sample_is_the_same_on_every_version() {
    let made = PostgresVersion::ALL.map(|version| {
        let server = Postgres::start(version, &PostgresOptions::default()).unwrap();
        sample::create(&server, "sample", sample::SMALL).unwrap();
        checksums(&server, "sample").unwrap()
    });
    assert!(made[0].len() > 30, "{:?}", made[0]);
    assert_eq!(made[0], made[1]);
    let rows = |name: &str| made[0].iter().find(|sum| sum.relation == name).map(|sum| sum.rows);
    assert_eq!(rows("awkward.empty"), Some(0));
    assert_eq!(rows("awkward.no_columns"), Some(3));
    assert!(rows("audit.change").unwrap() > 0);
}

#[test]
fn postgres_own_tools_copy_the_sample_and_one_changed_byte_is_found() {
    let server = Postgres::start(PostgresVersion::V17, &PostgresOptions::default()).unwrap();
    sample::create(&server, "sample", sample::SMALL).unwrap();
    server.psql("postgres", "create database copy template template0").unwrap();
    let script = server.dump("sample", &[]).unwrap();
    server.psql("copy", &String::from_utf8(script).unwrap()).unwrap();

    let (source, copy) = (Database { server: &server, name: "sample" }, Database { server: &server, name: "copy" });
    assert!(same_rows(source, copy).unwrap().len() > 30);
    assert!(same_dump(source, copy, &[]).unwrap() > 1000);

    server.psql("copy", "update awkward.value set t = '\\n' where id = 4").unwrap();
    let error = same_rows(source, copy).unwrap_err().to_string();
    assert!(error.contains("awkward.value"), "{error}");
    let error = same_dump(source, copy, &[]).unwrap_err().to_string();
    assert!(error.contains("COPY awkward.value") || error.contains("newline"), "{error}");
    server.psql("copy", "comment on view shop.good_customer is 'x'").unwrap();
    let error = same_dump(source, copy, &["--schema-only"]).unwrap_err().to_string();
    assert!(error.contains("good_customer"), "{error}");
}
