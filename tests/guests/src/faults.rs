//! What an addon can do wrong without any artifact or connection.

use crate::{
    bindings::{
        coffer::addon::{
            host::{self, Level},
            types::{Error, Report},
        },
        wit_stream,
    },
    guest::{Outcome, Parameters, facts as report},
};
use std::hint::black_box;

/// Panics with a text of the caller's choice, such as a secret.
#[allow(clippy::panic)]
pub fn trap(parameters: &Parameters) -> Outcome {
    panic!("giving up: {}", parameters.text("text"));
}

/// Computes for ever; `talks` meanwhile, or not.
pub fn endless_loop(parameters: &Parameters) -> Outcome {
    let talks = parameters.number("talks") > 0;
    let mut i = 0_u64;
    loop {
        i = black_box(i.wrapping_add(1));
        if talks {
            host::progress(i, None);
        }
    }
}

pub fn recursion() -> Outcome {
    fn down(depth: u64) -> u64 {
        let page = black_box([depth; 64]);
        if black_box(depth) == u64::MAX { 0 } else { down(depth + 1) + page.iter().sum::<u64>() }
    }
    report([("depth", down(0).to_string())])
}

/// A megabyte at a time, each touched, until there is no more.
pub fn allocate() -> Outcome {
    let mut hoard = Vec::new();
    loop {
        hoard.push(black_box(vec![1_u8; 1 << 20]));
    }
}

/// More than there is, with the means to be told so.
pub fn reserve() -> Outcome {
    let mut room = black_box(Vec::<u8>::new());
    let refused = room.try_reserve(1 << 30).is_err();
    black_box(room);
    report([("refused", refused.to_string())])
}

pub fn streams() -> Outcome {
    let mut hoard = Vec::new();
    for _ in 0..1_000_000 {
        hoard.push(wit_stream::new::<u8>());
    }
    report([("streams", hoard.len().to_string())])
}

pub fn exit() -> Outcome {
    std::process::exit(3)
}

/// The error `case`, with `text`.
pub fn error(parameters: &Parameters) -> Outcome {
    let text = parameters.text("text");
    Err(match parameters.text("case").as_str() {
        "invalid-parameter" => Error::InvalidParameter(text),
        "unavailable" => Error::Unavailable(text),
        "denied" => Error::Denied(text),
        "unsupported" => Error::Unsupported(text),
        "corrupt" => Error::Corrupt(text),
        _ => Error::Failed(text),
    })
}

pub fn flood_log(parameters: &Parameters) -> Outcome {
    for i in 0..parameters.number("lines") {
        host::log(Level::Info, &format!("line {i}"), &[("number".into(), i.to_string())]);
    }
    report([])
}

/// One line of 16 MiB.
pub fn huge_line() -> Outcome {
    host::log(Level::Info, &"x".repeat(16 << 20), &[]);
    report([])
}

#[allow(clippy::print_stdout, clippy::print_stderr)]
pub fn print() -> Outcome {
    println!("to standard output");
    eprint!("to standard error, in");
    eprintln!(" two pieces");
    report([])
}

/// What can be seen of the host: nothing.
pub fn look_around() -> Outcome {
    report([
        ("file", std::fs::read("/etc/passwd").is_ok().to_string()),
        ("folder", std::fs::read_dir("/").is_ok().to_string()),
        ("create", std::fs::write("/tmp/coffer-test-guest", "x").is_ok().to_string()),
        ("environment", std::env::vars().count().to_string()),
        ("arguments", std::env::args().count().to_string()),
        ("clock", std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).is_ok().to_string()),
    ])
}

/// Sleeps again and again, at most so many `times` where there is a limit; `say`s something now and then, or nothing.
pub async fn sleep(parameters: &Parameters) -> Outcome {
    let (say, times) = (parameters.text("say"), parameters.number("times"));
    for i in 1.. {
        host::sleep(5).await;
        match say.as_str() {
            "log" => host::log(Level::Debug, "still here", &[]),
            "progress" => host::progress(i, None),
            _ => {}
        }
        if i == times {
            break;
        }
    }
    report([])
}

/// Listens, then takes its time (`milliseconds`) to tidy up.
pub async fn wait_for_cancel(parameters: &Parameters) -> Outcome {
    host::log(Level::Info, "listening", &[]);
    host::cancelled().await;
    host::sleep(parameters.number("milliseconds")).await;
    host::log(Level::Info, "tidied up", &[]);
    report([])
}

pub fn facts(parameters: &Parameters) -> Outcome {
    let value = "x".repeat(usize::try_from(parameters.number("length").max(1)).unwrap_or(1));
    let facts = (0..parameters.number("count")).map(|i| (i.to_string(), value.clone())).collect();
    Ok(Report { facts })
}
