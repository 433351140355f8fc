//! What no server does at will: busy, gone, confused.

use super::restoring::fake::{Asked, Fake, all_well, each};
use super::restoring::{artifact, fact, restore_at};
use coffer_addon::testing::Written;
use coffer_addon::{Error, Report};
use coffer_addon_elasticsearch::layout::{COUNTS, Count, INDEX};
use serde_json::{Value, json};

/// A dump of one index, as ours are.
fn dump(documents: u32) -> Vec<Written> {
    let mut count = Count::default();
    let mut lines = String::new();
    for number in 0..documents {
        let source = format!(r#"{{"number":{number}}}"#);
        count.add(&number.to_string(), None, source.as_bytes());
        lines.push_str(&format!("{{\"_index\":\"x\",\"_id\":\"{number}\",\"_source\":{source}}}\n"));
    }
    let index = json!({ "format": 1, "tool": "a test", "consistency": "pit", "schema": true, "data": true,
        "server": { "flavour": "Elasticsearch", "version": "8.19.0", "cluster": "c" },
        "indices": [{ "name": "x", "settings": { "index.refresh_interval": "7s", "index.number_of_replicas": "2" },
            "mappings": { "properties": {} }, "file": "x.json" }] });
    let counts = json!({ "format": 1, "indices": { "x": count } });
    vec![artifact(INDEX, index.to_string()), artifact("x.json", lines), artifact(COUNTS, counts.to_string())]
}

async fn restore(fake: &Fake, parameters: Value, documents: u32) -> Result<Report, Error> {
    restore_at(fake.port, &parameters.to_string(), dump(documents)).await
}

/// Whatever byte of a file is not what it was: it is told, or makes no difference.
#[tokio::test]
async fn no_damage_is_taken_for_a_dump() {
    let whole = dump(3);
    let sent = async |files: Vec<Written>| {
        let fake = Fake::start(|asked, _| all_well(asked)).await;
        let restored = restore_at(fake.port, "{}", files).await;
        let bodies: Vec<String> = fake.bulks().into_iter().map(|asked| asked.body).collect();
        restored.map(|_| bodies)
    };
    let wanted = sent(whole.clone()).await.expect("restored");
    let mut told = 0;
    for file in 0..whole.len() {
        let bytes = whole[file].bytes.clone().expect("whole");
        // Documents and counts at each byte; the index here and there.
        let step = if file == 0 { 7 } else { 1 };
        for place in (0..bytes.len()).step_by(step) {
            let mut files = whole.clone();
            files[file].bytes.as_mut().expect("whole")[place] ^= if place % 2 == 0 { 0x01 } else { 0x20 };
            match sent(files).await {
                // Of the index a setting or a name may be another.
                Ok(bodies) => assert_eq!(bodies, wanted, "byte {place} of {}", whole[file].artifact.name),
                Err(_) => told += 1,
            }
        }
        let mut files = whole.clone();
        files[file].bytes.as_mut().expect("whole").truncate(bytes.len() / 2);
        sent(files).await.expect_err("half of it");
    }
    assert!(told > 100, "{told}");
}

fn place(asked: &[Asked], method: &str, path: &str) -> usize {
    asked.iter().position(|asked| asked.is(method, path)).unwrap_or_else(|| panic!("no {method} {path}"))
}

#[tokio::test]
async fn an_index_is_made_filled_and_made_what_it_was() {
    let fake = Fake::start(|asked, _| all_well(asked)).await;
    let report = restore(&fake, json!({}), 10).await.expect("restored");
    assert_eq!((fact(&report, "rows"), fact(&report, "tables"), fact(&report, "bytes")), ("10", "1", "120"));
    let asked = fake.asked();
    let (made, filled) = (place(&asked, "PUT", "/x"), place(&asked, "POST", "/x/_bulk"));
    let finished = place(&asked, "PUT", "/x/_settings");
    assert!(made < filled && filled < place(&asked, "POST", "/x/_refresh") && filled < finished);
    let body = |place: usize| serde_json::from_str::<Value>(&asked[place].body).expect("JSON");
    let settings = body(made)["settings"].clone();
    assert_eq!(
        (&settings["index.refresh_interval"], &settings["index.number_of_replicas"]),
        (&json!("-1"), &json!("0"))
    );
    let settings = body(finished);
    assert_eq!(
        (&settings["index.refresh_interval"], &settings["index.number_of_replicas"]),
        (&json!("7s"), &json!("2"))
    );
    assert!(asked[filled].query.contains("pipeline=_none"), "{}", asked[filled].query);
}

#[tokio::test]
async fn a_busy_server_is_asked_again_for_what_it_did_not_take() {
    let fake = Fake::start(|asked, number| match number {
        0 => Some((429, "{}".into())),
        1 => Some((503, "<html>".into())),
        2 => each(&[201, 429, 201, 503]),
        3 => None,
        4 => each(&[409, 201]),
        _ => all_well(asked),
    })
    .await;
    // The fourth got no answer: what it conflicts with then is its own.
    let report = restore(&fake, json!({}), 4).await;
    let sent: Vec<usize> = fake.bulks().iter().map(Asked::documents).collect();
    assert_eq!(sent, [4, 4, 4, 2, 2]);
    // The script's count lacks what it never answered for.
    assert!(matches!(&report, Err(Error::Failed(text)) if text.contains("has 3 documents after 4")), "{report:?}");
}

/// It had time for the document, and none for its copies.
#[tokio::test]
async fn a_document_that_there_was_no_time_for_may_be_there() {
    let fake = Fake::saying(
        |asked, number| match number {
            0 => each(&[201, 503, 201, 504]),
            1 => each(&[409, 201]),
            _ => all_well(asked),
        },
        |asked| {
            let count = json!({ "count": 4, "_shards": { "failed": 0 } });
            asked.is("GET", "/x/_count").then(|| (200, count.to_string()))
        },
    )
    .await;
    let report = restore(&fake, json!({}), 4).await.expect("restored");
    assert_eq!(fact(&report, "rows"), "4");
}

#[tokio::test]
async fn patience_ends() {
    let fake = Fake::start(|_, _| Some((429, "{}".into()))).await;
    let failed = restore(&fake, json!({ "patience": "120ms" }), 2).await;
    assert!(
        matches!(&failed, Err(Error::Unavailable(text)) if text.contains("x.json") && text.contains("into x") && text.contains("patience")),
        "{failed:?}"
    );
    let fake = Fake::start(|_, _| None).await;
    let failed = restore(&fake, json!({ "patience": "120ms" }), 2).await;
    assert!(
        matches!(&failed, Err(Error::Unavailable(text)) if text.contains("x.json into x: lines 1 to 2")),
        "{failed:?}"
    );
}

#[tokio::test]
async fn a_refused_document_ends_the_restore_unless_errors_are_collected() {
    let refusing = |_: &Asked, _| each(&[201, 400, 201, 400]);
    let fake = Fake::start(refusing).await;
    let failed = restore(&fake, json!({}), 4).await.expect_err("refused");
    let wanted = "unable to restore x.json into x: line 2 of x.json (document \"1\") was refused by x: 400 some_exception; \
        restored by half: x; overwrite replaces them";
    assert_eq!(failed, Error::Failed(wanted.into()));
    // Nobody has to know how to make it usable.
    let settings = fake.asked().into_iter().rfind(|asked| asked.is("PUT", "/x/_settings")).expect("put back");
    let settings: Value = serde_json::from_str(&settings.body).expect("JSON");
    assert_eq!(
        (&settings["index.refresh_interval"], &settings["index.number_of_replicas"]),
        (&json!("7s"), &json!("2"))
    );
    let fake = Fake::start(refusing).await;
    let failed = restore(&fake, json!({ "collectErrors": true }), 4).await.expect_err("refused");
    let text = failed.message();
    assert!(text.starts_with("2 things") && text.contains("line 2 of") && text.contains("line 4 of"), "{text}");
    assert!(!text.contains("secret"));
    place(&fake.asked(), "PUT", "/x/_settings");
}

#[tokio::test]
async fn a_request_that_is_too_large_goes_in_parts() {
    let fake = Fake::start(|asked, _| match asked.documents() {
        3.. => Some((413, String::new())),
        _ => all_well(asked),
    })
    .await;
    restore(&fake, json!({}), 10).await.expect("restored");
    let taken: usize = fake.bulks().iter().map(Asked::documents).filter(|documents| *documents < 3).sum();
    assert_eq!(taken, 10);
    let fake = Fake::start(|_, _| Some((413, String::new()))).await;
    let failed = restore(&fake, json!({}), 3).await;
    assert!(matches!(&failed, Err(Error::Unsupported(text)) if text.contains("http.max_content_length")), "{failed:?}");
}

#[tokio::test]
async fn an_answer_that_makes_no_sense_is_an_error() {
    for (answer, wanted) in [
        ("{\"errors\":false,\"items\":[", "not the JSON"),
        ("{\"errors\":false,\"items\":[]}", "answers for 0"),
        ("[]", "not the JSON"),
    ] {
        let fake = Fake::start(move |_, _| Some((200, answer.into()))).await;
        let failed = restore(&fake, json!({}), 2).await.expect_err(wanted);
        assert!(failed.message().contains(wanted) && failed.message().contains("x.json into x"), "{failed}");
    }
    let fake = Fake::start(|_, _| Some((403, json!({ "error": { "type": "security_exception" } }).to_string()))).await;
    let failed = restore(&fake, json!({}), 2).await;
    assert!(matches!(&failed, Err(Error::Denied(text)) if text.contains("security_exception")), "{failed:?}");
}

#[tokio::test]
async fn a_dump_that_is_not_whole_is_told() {
    let fake = || Fake::start(|asked, _| all_well(asked));
    let check = async |files: Vec<Written>, wanted: &str| {
        let failed = restore_at(fake().await.port, "{}", files).await;
        assert!(matches!(&failed, Err(Error::Corrupt(text)) if text.contains(wanted)), "{wanted}: {failed:?}");
    };
    let whole = dump(5);
    check(whole[..2].to_vec(), "coffer.counts.json did not come").await;
    check(vec![whole[0].clone(), whole[2].clone()], "x.json did not come").await;
    let mut short = whole.clone();
    let bytes = short[1].bytes.as_mut().expect("whole");
    bytes.truncate(bytes.len() / 2);
    check(short, "x.json: line 3 is no document").await;
    let mut fewer = whole.clone();
    let bytes = fewer[1].bytes.as_mut().expect("whole");
    let line = bytes.iter().position(|byte| *byte == b'\n').expect("lines");
    bytes.truncate(line + 1);
    check(fewer, "x has 1 documents of 12 bytes, and the dump had 5 of 60").await;
    let mut other = whole.clone();
    let bytes = other[1].bytes.as_mut().expect("whole");
    let last = bytes.iter().rposition(|byte| *byte == b'4').expect("the last");
    bytes[last] = b'5';
    check(other, "by their hash").await;
    let mut twice = whole.clone();
    twice.push(whole[1].clone());
    check(twice, "x.json came twice").await;
    let mut broken = whole;
    broken[1].bytes = Err(Error::Unavailable("gone".into()));
    let failed = restore_at(fake().await.port, "{}", broken).await;
    assert!(matches!(&failed, Err(Error::Unavailable(text)) if text.contains("x.json")), "{failed:?}");
}
