//! The component's exports: which name is which fault.

use crate::{
    artifacts,
    bindings::{
        self,
        coffer::addon::types::{Error, Report},
        exports::coffer::addon::step,
    },
    connections, faults, requests,
};
use serde_json::Value;

struct Guest;

/// Generated too, so it may do what we do not.
#[allow(unsafe_code)]
mod exported {
    use super::*;
    bindings::export!(Guest with_types_in crate::bindings);
}

/// The parameters, read without ceremony: a missing one is zero, empty or false.
pub struct Parameters(Value);

impl Parameters {
    pub fn number(&self, key: &str) -> u64 {
        self.0.get(key).and_then(Value::as_u64).unwrap_or(0)
    }

    pub fn text(&self, key: &str) -> String {
        self.0.get(key).and_then(Value::as_str).unwrap_or("").to_owned()
    }
}

pub type Outcome = Result<Report, Error>;

pub fn facts<const N: usize>(facts: [(&str, String); N]) -> Outcome {
    Ok(Report { facts: facts.into_iter().map(|(key, value)| (key.to_owned(), value)).collect() })
}

impl step::Guest for Guest {
    fn describe() -> String {
        serde_json::json!({
            "name": "test-guests",
            "version": "1.2.3",
            "contract": "coffer:addon@0.1.0",
            "functions": [{
                "name": "echo", "role": "transform", "parameters": {"type": "object"}, "capabilities": ["inbox", "outbox"]
            }],
        })
        .to_string()
    }

    async fn run(function: String, parameters: String) -> Outcome {
        let parameters =
            Parameters(serde_json::from_str(&parameters).map_err(|error| Error::InvalidParameter(error.to_string()))?);
        match function.as_str() {
            "echo" => artifacts::echo().await,
            "generate" => artifacts::generate(&parameters).await,
            "drain" => artifacts::drain().await,
            "drop-artifact" => artifacts::drop_artifact().await,
            "no-trailer" => artifacts::no_trailer().await,
            "bad-trailer" => artifacts::bad_trailer().await,
            "open-artifact" => artifacts::open_artifact().await,
            "bad-names" => artifacts::bad_names().await,
            "many-open" => artifacts::many_open().await,

            "speak" => connections::speak(&parameters).await,
            "record" => connections::record(&parameters).await,
            "credentials" => connections::credentials(),
            "many-connections" => connections::many().await,
            "tls-too-early" => connections::tls_too_early().await,
            "two-readers" => connections::two_readers().await,

            "request" => requests::request(&parameters).await,
            "upload" => requests::upload(&parameters).await,
            "converse" => requests::converse(&parameters).await,
            "many-requests" => requests::many(&parameters).await,
            "leave" => requests::leave(&parameters).await,
            "give-up" => requests::give_up(&parameters).await,

            "trap" => faults::trap(&parameters),
            "loop" => faults::endless_loop(&parameters),
            "recursion" => faults::recursion(),
            "allocate" => faults::allocate(),
            "reserve" => faults::reserve(),
            "streams" => faults::streams(),
            "exit" => faults::exit(),
            "error" => faults::error(&parameters),
            "flood-log" => faults::flood_log(&parameters),
            "huge-line" => faults::huge_line(),
            "print" => faults::print(),
            "look-around" => faults::look_around(),
            "pending" => std::future::pending().await,
            "sleep" => faults::sleep(&parameters).await,
            "wait-for-cancel" => faults::wait_for_cancel(&parameters).await,
            "facts" => faults::facts(&parameters),
            other => Err(Error::InvalidParameter(format!("no function {other}"))),
        }
    }
}
