//! Guests that trap, loop, leak, flood and never end: stopped with a clear error, and the host stays well.

use crate::support::{Host, application, fact, listen};
use coffer_runtime::{Class, Limits, Operation, RunError};
use serde_json::{Value, json};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Runs a guest that must fail, with limits that a test has time for, then one that must not.
async fn fail(function: &str, parameters: Value) -> RunError {
    let host = Host::start().await;
    let limits = Limits {
        deadline: Some(Duration::from_secs(30)),
        // By the clock: on a busy machine a third of a second went by in a guest that was to fail otherwise.
        cpu: Duration::from_secs(2),
        memory: 64 << 20,
        ..Limits::default()
    };
    let error = host.linked.run(Operation { limits, ..Operation::new(function, parameters) }).await.unwrap_err();
    host.assert_healthy().await;
    error
}

#[tokio::test]
async fn a_panic_is_a_trap_with_its_last_words() {
    let error = fail("trap", json!({"text": "no such table"})).await;
    assert_eq!(error.class, Class::Trap);
    assert!(error.message.contains("unreachable") && error.message.contains("giving up: no such table"), "{error}");
}

#[tokio::test]
async fn an_endless_loop_is_stopped() {
    for talks in [0, 1] {
        let error = fail("loop", json!({"talks": talks})).await;
        assert_eq!(error.class, Class::Cpu, "{error}");
    }
}

#[tokio::test]
async fn a_memory_bomb_is_stopped_by_name() {
    let error = fail("allocate", json!({})).await;
    assert_eq!(error.class, Class::Memory, "{error}");
    assert!(error.message.contains("67108864 are allowed"), "{error}");
}

#[tokio::test]
async fn a_guest_that_asks_for_memory_may_be_refused_and_go_on() {
    let host = Host::start().await;
    let report = host.run("reserve", json!({})).await.unwrap();
    assert_eq!(fact(&report, "refused"), "true");
}

#[tokio::test]
async fn endless_recursion_is_a_trap() {
    assert_eq!(fail("recursion", json!({})).await.class, Class::Trap);
}

#[tokio::test]
async fn a_million_streams_are_a_trap() {
    assert_eq!(fail("streams", json!({})).await.class, Class::Trap);
}

#[tokio::test]
async fn exit_is_a_trap_and_not_ours() {
    let error = fail("exit", json!({})).await;
    assert_eq!(error.class, Class::Trap, "{error}");
}

#[tokio::test]
async fn a_huge_line_is_not_copied() {
    let error = fail("huge-line", json!({})).await;
    assert_eq!(error.class, Class::Trap, "{error}");
}

#[tokio::test]
async fn a_guest_without_an_application_has_none() {
    let error = fail("credentials", json!({})).await;
    assert!(error.message.contains("no application is bound"), "{error}");
}

#[tokio::test]
async fn too_many_facts_are_refused() {
    assert_eq!(fail("facts", json!({"count": 100_000})).await.class, Class::Failed);
    let host = Host::start().await;
    host.run("facts", json!({"count": 200, "length": 300})).await.unwrap();
    let error = host.run("facts", json!({"count": 200, "length": 400})).await.unwrap_err();
    assert_eq!(error.class, Class::Failed);
    assert!(error.message.contains("65536 are allowed"), "{error}");
}

#[tokio::test]
async fn the_guests_verdict_is_the_class() {
    let host = Host::start().await;
    for (case, class) in [
        ("invalid-parameter", Class::InvalidParameter),
        ("unavailable", Class::Unavailable),
        ("denied", Class::Denied),
        ("unsupported", Class::Unsupported),
        ("corrupt", Class::Corrupt),
        ("failed", Class::Failed),
    ] {
        let error = host.run("error", json!({"case": case, "text": "why"})).await.unwrap_err();
        assert_eq!((error.class, error.message.as_str()), (class, "why"));
    }
}

#[tokio::test]
async fn waiting_for_nothing_is_noticed() {
    assert_eq!(fail("pending", json!({})).await.class, Class::Trap);
}

#[tokio::test]
async fn the_deadline_ends_a_sleeper() {
    let host = Host::start().await;
    let limits = Limits { deadline: Some(Duration::from_millis(200)), ..Limits::default() };
    let error = host.linked.run(Operation { limits, ..Operation::new("sleep", json!({})) }).await.unwrap_err();
    assert_eq!(error.class, Class::Timeout);
    assert!(error.message.contains("200ms"), "{error}");
    host.assert_healthy().await;
}

#[tokio::test]
async fn the_idle_guard_ends_what_moves_nothing() {
    let host = Host::start().await;
    let limits = Limits { idle: Duration::from_millis(200), ..Limits::default() };
    let error = host.linked.run(Operation { limits, ..Operation::new("sleep", json!({})) }).await.unwrap_err();
    assert_eq!(error.class, Class::Idle, "{error}");
    assert!(error.message.contains("200ms, its idle limit"), "{error}");
    host.assert_healthy().await;
}

#[tokio::test]
async fn a_guest_that_speaks_is_not_idle() {
    let host = Host::start().await;
    for say in ["log", "progress"] {
        let limits = Limits { idle: Duration::from_millis(400), ..Limits::default() };
        // At least a second, which is more than the limit.
        let parameters = json!({"say": say, "times": 200});
        host.linked.run(Operation { limits, ..Operation::new("sleep", parameters) }).await.unwrap();
    }
}

#[tokio::test]
async fn a_loop_leaves_its_thread_to_others() {
    let host = Host::start().await;
    let limits = Limits { cpu: Duration::from_secs(3600), ..Limits::default() };
    let cancel = CancellationToken::new();
    let operation = Operation { limits, cancel: cancel.clone(), ..Operation::new("loop", json!({})) };
    // One thread: the second future is polled only because the guest yields.
    let (looped, ()) = tokio::join!(host.linked.run(operation), async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        cancel.cancel();
    });
    assert_eq!(looped.unwrap_err().class, Class::Cancelled);
    host.assert_healthy().await;
}

#[tokio::test]
async fn a_listener_may_tidy_up_after_a_cancel() {
    let host = Host::start().await;
    for (grace, tidies) in [(Duration::from_secs(3600), true), (Duration::from_millis(20), false)] {
        let (observer, heard) = listen();
        let cancel = CancellationToken::new();
        let limits = Limits { grace, ..Limits::default() };
        let parameters = json!({"milliseconds": 200});
        let operation =
            Operation { limits, observer, cancel: cancel.clone(), ..Operation::new("wait-for-cancel", parameters) };
        let (outcome, ()) = tokio::join!(host.linked.run(operation), async {
            while heard.lock().unwrap().is_empty() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            // Said just before it listens; this leaves it the time.
            tokio::time::sleep(Duration::from_millis(20)).await;
            cancel.cancel();
        });
        assert_eq!(outcome.unwrap_err().class, Class::Cancelled);
        assert_eq!(heard.lock().unwrap().contains(&"info: tidied up".to_owned()), tidies);
    }
    host.assert_healthy().await;
}

#[tokio::test]
async fn a_listener_may_tidy_up_when_its_time_is_over() {
    let host = Host::start().await;
    // Long enough for a guest to listen by then, also on a busy machine.
    let over = Duration::from_secs(2);
    let deadline = Limits { deadline: Some(over), ..Limits::default() };
    let idle = Limits { idle: over, ..Limits::default() };
    let run = async |limits: &Limits, grace: Duration| {
        let (observer, heard) = listen();
        let limits = Limits { grace, ..limits.clone() };
        let operation =
            Operation { limits, observer, ..Operation::new("wait-for-cancel", json!({"milliseconds": 200})) };
        let error = host.linked.run(operation).await.unwrap_err();
        (error.class, heard.lock().unwrap().contains(&"info: tidied up".to_owned()))
    };
    let (long, short) = (Duration::from_secs(3600), Duration::from_millis(20));
    let ended = tokio::join!(run(&deadline, long), run(&deadline, short), run(&idle, long), run(&idle, short));
    let (late, silent) = (Class::Timeout, Class::Idle);
    assert_eq!(ended, ((late, true), (late, false), (silent, true), (silent, false)));
    host.assert_healthy().await;
}

#[tokio::test]
async fn a_flood_of_log_lines_is_dropped() {
    let host = Host::start().await;
    let (observer, heard) = listen();
    let mut operation = Operation { observer, ..Operation::new("flood-log", json!({"lines": 1_000_000})) };
    // However slow the machine is: with the usual rate, a minute would let a good part of them through.
    operation.limits.log_rate = 1 << 10;
    host.linked.run(operation).await.unwrap();
    let heard = heard.lock().unwrap();
    assert!(heard.len() < 100_000, "{} lines", heard.len());
    assert!(heard.last().unwrap().contains("log lines were dropped"), "{:?}", heard.last());
}

#[tokio::test]
async fn standard_output_and_error_are_log_lines() {
    let host = Host::start().await;
    let (observer, heard) = listen();
    host.linked.run(Operation { observer, ..Operation::new("print", json!({})) }).await.unwrap();
    let heard = heard.lock().unwrap();
    assert_eq!(*heard, ["info: to standard output", "warn: to standard error, in two pieces"]);
}

#[tokio::test]
async fn a_guest_sees_nothing_of_the_host() {
    let host = Host::start().await;
    let report = host.run("look-around", json!({})).await.unwrap();
    for nothing in ["file", "folder", "create"] {
        assert_eq!(fact(&report, nothing), "false", "{nothing}");
    }
    assert_eq!((fact(&report, "environment"), fact(&report, "arguments")), ("0", "0"));
    assert_eq!(fact(&report, "clock"), "true");
}

#[tokio::test]
async fn secrets_are_masked_wherever_a_guest_puts_them() {
    let host = Host::start().await;
    let (observer, heard) = listen();
    let run = async |function: &str, parameters: Value| {
        let application = Some(application(1));
        let observer = observer.clone();
        host.linked.run(Operation { application, observer, ..Operation::new(function, parameters) }).await
    };
    let report = run("credentials", json!({})).await.unwrap();
    assert_eq!(fact(&report, "user"), "tester");
    assert_eq!(fact(&report, "password"), "***");
    assert_eq!(fact(&report, "denied"), "true");
    let trap = run("trap", json!({"text": "swordfish-7"})).await.unwrap_err();
    let error = run("error", json!({"text": "denied for swordfish-7"})).await.unwrap_err();
    let error_at_the_edge =
        run("error", json!({"text": format!("{}swordfish-7", "x".repeat(8_187))})).await.unwrap_err();
    assert!(!error_at_the_edge.message.contains("sword"), "masked before it is cut");
    for text in [format!("{report:?}"), trap.to_string(), format!("{error:?}"), format!("{:?}", heard.lock().unwrap())]
    {
        assert!(text.contains("***") && !text.contains("swordfish"), "{text}");
    }
}
