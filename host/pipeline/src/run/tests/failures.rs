//! Runs that fail: with the right cause, with nothing listed, and with `finally` done.

use coffer_api::{FailureClass, StepPhase};
use serde_json::{Value, json};
use tokio::{io::AsyncWriteExt, net::TcpListener};

use super::{super::*, support::*};
use crate::plan::Ends;

fn generate() -> StepSpec<'static> {
    ("generate", "source", json!({"length": 3_000_000, "piece": 70_000}))
}

fn error(case: &str) -> StepSpec<'static> {
    ("error", "action", json!({"case": case, "text": "as told"}))
}

/// What each fault of a source is called; whatever it is, nothing is listed and the next backup is good.
#[tokio::test(flavor = "multi_thread")]
async fn a_faulty_step_lists_nothing_and_is_named() {
    let disk = Disk::new().await;
    for (function, class) in [
        ("no-trailer", FailureClass::OpenArtifacts),
        ("bad-trailer", FailureClass::Corrupt),
        ("open-artifact", FailureClass::OpenArtifacts),
        ("trap", FailureClass::Trap),
        ("facts", FailureClass::Failed),
        ("nonsense", FailureClass::InvalidParameter),
    ] {
        let plan =
            planned(Ends::Repositories, &[(function, "source", json!({}))], &[("print", "action", json!({}))], |_| {});
        let (result, status) = ended(plan, Data::Repositories(vec![disk.destination("repo")])).await;
        let failure = result.unwrap_err().failure();
        assert_eq!(failure.class, class, "{function}: {failure:?}");
        assert!(failure.message.contains(&format!("step {function}")), "{failure:?}");
        assert_eq!(disk.snapshots().await, 0, "{function}");
        assert_eq!(status.steps[1].phase, StepPhase::Succeeded, "finally runs after {function}");
    }
    let plan = planned(Ends::Repositories, &[generate()], &[], |_| {});
    ended(plan, Data::Repositories(vec![disk.destination("repo")])).await.0.unwrap();
    assert_eq!(disk.snapshots().await, 1);
}

/// One part fails and the others because of it: the first is named, whichever way the failure travels.
#[tokio::test(flavor = "multi_thread")]
async fn the_cause_is_told_and_not_what_followed() {
    let disk = Disk::new().await;
    let steps = [generate(), ("echo", "transform", json!({})), ("trap", "transform", json!({"text": "no"}))];
    let plan = planned(Ends::Repositories, &steps, &[], |_| {});
    let (result, status) = ended(plan, Data::Repositories(vec![disk.destination("repo")])).await;
    let failure = result.unwrap_err().failure();
    assert!(failure.class == FailureClass::Trap && failure.message.contains("step trap"), "{failure:?}");
    assert_eq!(status.steps[2].error.as_ref().unwrap().class, FailureClass::Trap);

    for _ in 0..10 {
        let steps = [("bad-trailer", "source", json!({})), ("echo", "transform", json!({}))];
        let plan = planned(Ends::Repositories, &steps, &[], |_| {});
        let (result, status) = ended(plan, Data::Repositories(vec![disk.destination("repo")])).await;
        let failure = result.unwrap_err().failure();
        assert!(failure.message.contains("row 17 is broken"), "{failure:?}");
        let followed = status.steps[1].error.as_ref().unwrap();
        assert_eq!(followed.class, FailureClass::Cancelled);
        assert!(followed.message.starts_with("stopped: step bad-trailer failed"), "{followed:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_failing_repository_fails_the_session_and_is_named() {
    let (good, bad) = (Disk::new().await, Disk::new().await);
    bad.break_down();
    let plan = planned(Ends::Repositories, &[generate()], &[], |_| {});
    let (result, _) = ended(plan, Data::Repositories(vec![good.destination("good"), bad.destination("bad")])).await;
    let error = result.unwrap_err();
    let failure = error.failure();
    // A small dump reaches the disk only with the commit, and by then the first repository has listed it.
    assert_eq!(failure.class, FailureClass::Unavailable);
    assert!(failure.message.contains("repository bad"), "{failure:?}");
    assert!(failure.hint.is_some());
    match error {
        Error::Partly { stored, .. } => assert_eq!((stored, good.snapshots().await), (vec!["good".to_owned()], 1)),
        _ => assert_eq!(good.snapshots().await, 0),
    }
    bad.mend();
    assert_eq!(bad.snapshots().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_tried_again_when_the_application_comes_back() {
    let disk = Disk::new().await;
    let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let plan = planned(Ends::Repositories, &[("record", "source", json!({"least": 5}))], &[], |task| {
        task["steps"][0]["retry"] = json!({"maxRetries": 100, "delay": "50ms"});
    });
    let data = Data::Repositories(vec![disk.destination("repo")]);
    let mut running = start_on(plan, data, Some(application(port))).await;
    running.watch.wait_for(|status| status.steps[0].phase == StepPhase::Failed).await.unwrap();
    // First it hangs up in the middle, then it is well.
    let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    for answer in ["he", "hello"] {
        listener.accept().await.unwrap().0.write_all(answer.as_bytes()).await.unwrap();
    }
    let outcome = running.task.await.unwrap().unwrap();
    assert_eq!((outcome.snapshots.len(), disk.snapshots().await), (1, 1));
    assert_eq!(disk.content("/record").await, b"hello");
    let status = running.watch.borrow();
    assert!(status.steps[0].attempt > 2, "{:?}", status.steps);
    assert_eq!(status.steps[0].error, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_is_unavailable_is_tried_again() {
    for (case, attempts, class) in [("unavailable", 3, FailureClass::Unavailable), ("denied", 1, FailureClass::Denied)]
    {
        let steps = [error(case), ("print", "action", json!({}))];
        let plan = planned(Ends::Nothing, &steps, &[], |task| {
            task["steps"][0]["retry"] = json!({"maxRetries": 2, "delay": "1ms"});
        });
        let (result, status) = ended(plan, Data::Nothing).await;
        let failure = result.unwrap_err().failure();
        assert_eq!((failure.class, status.steps[0].attempt), (class, attempts));
        assert!(failure.message.contains("as told"), "{failure:?}");
        assert_eq!(status.steps[1].phase, StepPhase::Skipped);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_stops_the_run_and_finally_still_runs() {
    let steps = [("sleep", "action", json!({})), ("print", "action", json!({}))];
    let plan = planned(Ends::Nothing, &steps, &[("facts", "action", json!({"count": 1}))], |_| {});
    let mut running = start(plan, Data::Nothing).await;
    running.watch.wait_for(|status| status.steps[0].phase == StepPhase::Running).await.unwrap();
    running.cancel.cancel();
    assert!(matches!(running.task.await.unwrap(), Err(Error::Cancelled)));
    let phases: Vec<_> = running.watch.borrow().steps.iter().map(|step| step.phase).collect();
    assert_eq!(phases, [StepPhase::Failed, StepPhase::Skipped, StepPhase::Succeeded]);
}

#[tokio::test(flavor = "multi_thread")]
async fn timeouts_of_the_step_and_of_the_session_stop_it() {
    let plan = planned(Ends::Nothing, &[("sleep", "action", json!({}))], &[], |task| {
        task["steps"][0]["timeout"] = json!("100ms");
    });
    let failure = ended(plan, Data::Nothing).await.0.unwrap_err().failure();
    assert!(failure.class == FailureClass::Timeout && failure.message.contains("step sleep"), "{failure:?}");

    let mut plan = planned(Ends::Nothing, &[("sleep", "action", json!({}))], &[("facts", "action", json!({}))], |_| {});
    plan.timeout = "100ms".parse().ok();
    let (result, status) = ended(plan, Data::Nothing).await;
    let failure = result.unwrap_err().failure();
    assert_eq!(failure.message, "not done after 100ms, the session's timeout");
    assert_eq!(status.steps[0].phase, StepPhase::Failed);
    assert_eq!(status.steps[1].phase, StepPhase::Succeeded);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_finally_step_that_fails_fails_the_run_and_lists_nothing() {
    let disk = Disk::new().await;
    let plan = planned(Ends::Repositories, &[generate()], &[error("failed"), ("print", "action", json!({}))], |_| {});
    let (result, status) = ended(plan, Data::Repositories(vec![disk.destination("repo")])).await;
    assert!(result.unwrap_err().failure().message.contains("step error"));
    assert_eq!(status.steps[2].phase, StepPhase::Succeeded);
    assert_eq!(disk.snapshots().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_that_contradicts_its_manifest_is_not_restored() {
    let manifest = |artifacts: Value| {
        json!({
            "format": 1, "time": "2026-11-21T10:00:00Z", "session": "s", "task": "t", "steps": [], "artifacts": artifacts,
            "target": {"kind": "AppBinding", "namespace": "demo", "name": "shop", "application": "test"},
        })
    };
    let sha = "0".repeat(64);
    for (manifest, class, text) in [
        (
            manifest(json!([{"name": "a", "length": 5, "sha256": sha}])),
            FailureClass::Corrupt,
            "manifest says otherwise",
        ),
        (manifest(json!([{"name": "a", "length": 6, "sha256": sha}])), FailureClass::Corrupt, "its manifest says 6"),
        (manifest(json!([{"name": "b", "length": 5, "sha256": sha}])), FailureClass::Corrupt, "does not hold it"),
        (manifest(json!([])), FailureClass::Corrupt, "does not list it"),
        (json!({"format": 2}), FailureClass::Corrupt, "cannot be used"),
        (json!("nonsense"), FailureClass::Corrupt, "cannot be used"),
    ] {
        let disk = Disk::new().await;
        let held = disk.hold(&[("a", b"bytes")], Some(manifest)).await;
        let plan = planned(Ends::Snapshot, &[("drain", "sink", json!({}))], &[], |_| {});
        let data =
            Data::Snapshot { name: "repo".to_owned(), repository: disk.repository.clone(), snapshot: Box::new(held) };
        let (result, status) = ended(plan, data).await;
        let failure = result.unwrap_err().failure();
        assert_eq!(failure.class, class);
        assert!(failure.message.contains(text), "{failure:?}");
        assert_ne!(status.steps[0].phase, StepPhase::Succeeded, "{text}");
    }
    let disk = Disk::new().await;
    let held = disk.hold(&[], None).await;
    let plan = planned(Ends::Snapshot, &[("drain", "sink", json!({}))], &[], |_| {});
    let data =
        Data::Snapshot { name: "repo".to_owned(), repository: disk.repository.clone(), snapshot: Box::new(held) };
    assert_eq!(ended(plan, data).await.0.unwrap_err().class(), FailureClass::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_pack_fails_the_restore_by_name() {
    let disk = Disk::new().await;
    let held = disk.hold(&[("a", &pattern(3_000_000))], None).await;
    for folder in std::fs::read_dir(disk.folder.path().join("repo/data")).unwrap() {
        for pack in std::fs::read_dir(folder.unwrap().path()).unwrap() {
            let path = pack.unwrap().path();
            let mut bytes = std::fs::read(&path).unwrap();
            // The tree blob lives in a pack of its own; both are damaged, whichever is read first must be noticed.
            if bytes.len() > 100 {
                bytes[50] ^= 1;
                std::fs::write(path, bytes).unwrap();
            }
        }
    }
    let plan = planned(Ends::Snapshot, &[("drain", "sink", json!({}))], &[], |_| {});
    let data =
        Data::Snapshot { name: "repo".to_owned(), repository: disk.repository.clone(), snapshot: Box::new(held) };
    let failure = ended(plan, data).await.0.unwrap_err().failure();
    assert_eq!(failure.class, FailureClass::Corrupt);
    assert!(failure.message.contains("from repository repo"), "{failure:?}");
}

/// Says that all is well after a few bytes of the first artifact.
#[tokio::test(flavor = "multi_thread")]
async fn a_sink_that_leaves_artifacts_unread_has_failed() {
    let disk = Disk::new().await;
    let bytes = pattern(3_000_000);
    // So small that all of it is in the channel before the sink goes.
    let held = disk.hold(&[("a", b"little"), ("b", &bytes), ("c", &bytes)], None).await;
    let plan = planned(Ends::Snapshot, &[("drop-artifact", "sink", json!({}))], &[], |_| {});
    let data =
        Data::Snapshot { name: "repo".to_owned(), repository: disk.repository.clone(), snapshot: Box::new(held) };
    let (result, status) = ended(plan, data).await;
    let failure = result.unwrap_err().failure();
    assert_eq!(failure.class, FailureClass::Failed);
    assert_eq!(failure.message, "step drop-artifact read 0 of 3 artifacts to their end, and not a, b, c");
    assert!(failure.hint.is_some());
    assert_eq!((status.steps[0].phase, status.steps[0].error.as_ref()), (StepPhase::Failed, Some(&failure)));

    let plan = planned(Ends::Application, &[generate(), ("drop-artifact", "sink", json!({}))], &[], |_| {});
    let (result, _) = ended(plan, Data::Application(Box::new(application(1)))).await;
    assert!(result.unwrap_err().failure().message.contains("0 of 1 artifacts"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sink_that_reports_less_than_was_backed_up_has_failed() {
    let step = |role: &str, bytes: &str| json!({"name": role, "function": "f", "digest": "", "role": role, "facts": {"bytes": bytes, "rows": "7"}});
    for (steps, differs) in [
        (json!([step("action", "6"), step("source", "5")]), false),
        (json!([step("source", "6")]), true),
        // Who knows what it left out.
        (json!([step("source", "6"), step("transform", "6")]), false),
    ] {
        let disk = Disk::new().await;
        let sha256 = hex::encode(<sha2::Sha256 as sha2::Digest>::digest(b"bytes"));
        let manifest = json!({
            "format": 1, "time": "2026-11-21T10:00:00Z", "session": "s", "task": "t", "steps": steps,
            "artifacts": [{"name": "a", "length": 5, "sha256": sha256}],
            "target": {"kind": "AppBinding", "namespace": "demo", "name": "shop", "application": "test"},
        });
        let held = disk.hold(&[("a", b"bytes")], Some(manifest)).await;
        let plan = planned(Ends::Snapshot, &[("drain", "sink", json!({}))], &[], |_| {});
        let data =
            Data::Snapshot { name: "repo".to_owned(), repository: disk.repository.clone(), snapshot: Box::new(held) };
        let (result, status) = ended(plan, data).await;
        if !differs {
            result.unwrap();
            continue;
        }
        let failure = result.unwrap_err().failure();
        assert_eq!(failure.message, "step drain reports bytes 5, but 6 was backed up");
        assert_eq!((failure.class, status.steps[0].phase), (FailureClass::Failed, StepPhase::Failed));
    }
}
