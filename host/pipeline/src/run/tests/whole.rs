//! Runs that end well.

use std::sync::Arc;

use coffer_api::StepPhase;
use coffer_runtime::ArtifactReader;
use serde_json::json;
use tokio::sync::mpsc;

use super::{super::*, support::*};
use crate::{manifest::target_tag, plan::Ends};

const LENGTH: usize = 3_000_000;

fn generate() -> StepSpec<'static> {
    ("generate", "source", json!({"length": LENGTH, "piece": 70_000}))
}

#[tokio::test(flavor = "multi_thread")]
async fn one_dump_goes_to_many_repositories_and_comes_back() {
    let (first, second) = (Disk::new().await, Disk::new().await);
    let plan = planned(
        Ends::Repositories,
        &[("print", "action", json!({})), generate(), ("echo", "transform", json!({}))],
        &[("facts", "action", json!({"count": 1}))],
        |_| {},
    );
    let data = Data::Repositories(vec![first.destination("first"), second.destination("second")]);
    let (result, status) = ended(plan, data).await;
    let outcome = result.unwrap();

    let names: Vec<_> = outcome.snapshots.iter().map(|stored| stored.reference.repository.as_str()).collect();
    assert_eq!(names, ["first", "second"]);
    assert_eq!(status.snapshots.len(), 2);
    let manifest = outcome.manifest.unwrap();
    for disk in [&first, &second] {
        assert_eq!(disk.content("/generated").await, pattern(LENGTH));
        let stored: Manifest = serde_json::from_slice(&disk.content("/.coffer/manifest.json").await).unwrap();
        assert_eq!(stored, manifest);
        let snapshot = disk.latest().await;
        assert!(snapshot.tags.contains(&target_tag("AppBinding", "demo", "shop")), "{:?}", snapshot.tags);
    }
    let artifact = &manifest.artifacts[0];
    assert_eq!((artifact.name.as_str(), artifact.length), ("generated", LENGTH as u64));
    assert_eq!(artifact.labels, [("made-by".to_owned(), "test-guests".to_owned())]);
    assert_eq!(manifest.steps[1].facts["sha256"], artifact.sha256);
    assert!(manifest.steps.iter().all(|step| step.digest.starts_with("sha256:")));

    let phases: Vec<_> = status.steps.iter().map(|step| (step.name.as_str(), step.phase, step.artifacts)).collect();
    let done = StepPhase::Succeeded;
    assert_eq!(phases, [("print", done, 0), ("generate", done, 1), ("echo", done, 1), ("facts", done, 0)]);
    let source = &status.steps[1];
    assert_eq!((source.bytes, source.progress.unwrap().done), (LENGTH as u64, LENGTH as u64));
    assert!(source.started_at.is_some() && source.finished_at >= source.started_at);

    let restore =
        planned(Ends::Snapshot, &[("echo", "transform", json!({})), ("drain", "sink", json!({}))], &[], |_| {});
    let (result, status) = ended(restore, snapshot(&first).await).await;
    assert!(result.unwrap().snapshots.is_empty());
    assert_eq!(status.steps[1].facts["bytes"], LENGTH.to_string());
    assert_eq!((status.steps[1].bytes, status.steps[1].artifacts), (LENGTH as u64, 1));
    assert_eq!(status.warnings, [""; 0]);
    assert_eq!(manifest.source(), None, "a transform may leave something out");
}

async fn snapshot(disk: &Disk) -> Data {
    let snapshot = Box::new(disk.latest().await);
    Data::Snapshot { name: "repo".to_owned(), repository: disk.repository.clone(), snapshot }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_needs_no_repository() {
    let plan = planned(Ends::Application, &[generate(), ("drain", "sink", json!({}))], &[], |_| {});
    let (result, status) = ended(plan, Data::Application(Box::new(application(1)))).await;
    result.unwrap();
    assert_eq!(status.steps[1].facts["bytes"], LENGTH.to_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_transform_leaves_out_fails_nobody_and_is_told() {
    let disk = Disk::new().await;
    let bytes = pattern(LENGTH);
    disk.hold(&[("a", &bytes), ("b", &bytes)], None).await;
    let plan = planned(
        Ends::Snapshot,
        &[("drop-artifact", "transform", json!({})), ("drain", "sink", json!({}))],
        &[],
        |_| {},
    );
    let (result, status) = ended(plan, snapshot(&disk).await).await;
    result.unwrap();
    assert_eq!(status.steps[1].facts["bytes"], "0");
    assert_eq!(status.warnings, ["step drop-artifact left 2 of 2 artifacts unread: a, b"]);

    // The same between two steps: the source writes to the end although nobody reads.
    let steps = [generate(), ("drop-artifact", "transform", json!({})), ("drain", "sink", json!({}))];
    let running =
        start(planned(Ends::Application, &steps, &[], |_| {}), Data::Application(Box::new(application(1)))).await;
    running.task.await.unwrap().unwrap();
    assert_eq!(running.watch.borrow().steps[0].bytes, LENGTH as u64);
    assert_eq!(running.watch.borrow().warnings, ["step drop-artifact left 1 of 1 artifacts unread: generated"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_step_warns_of_stands_in_the_status() {
    let (result, status) =
        ended(planned(Ends::Nothing, &[("print", "action", json!({}))], &[], |_| {}), Data::Nothing).await;
    result.unwrap();
    assert_eq!(status.warnings, ["to standard error, in two pieces"]);
}

/// Takes every artifact before it reads any, then reads them from the last to the first: what a sink with parallel jobs may do.
#[tokio::test(flavor = "multi_thread")]
async fn artifacts_come_in_the_asked_order_and_may_all_be_open_at_once() {
    let disk = Disk::new().await;
    let bytes: Vec<Vec<u8>> = (0..12).map(|i| pattern(20_000_000 / (i + 1))).collect();
    let names: Vec<String> = (0..12).map(|i| format!("folder/{i}.dat")).collect();
    let mut files: Vec<(&str, &[u8])> =
        names.iter().zip(&bytes).map(|(name, bytes)| (name.as_str(), bytes.as_slice())).collect();
    files.push(("toc.dat", b"contents"));
    let held = disk.hold(&files, None).await;

    let first = ["toc.dat".to_owned(), "folder/7.dat".to_owned()];
    let load = Load::open("repo", &disk.repository, &held, first.iter(), &Log::none()).await.unwrap();
    let plan = planned(Ends::Snapshot, &[("drain", "sink", json!({}))], &[], |_| {});
    let (board, _watch) = Status::of(&plan);
    let attempt = Attempt::new(&CancellationToken::new(), &board, &Log::none(), 1);
    let (inbox, mut taken) = mpsc::channel(1);
    let feeding = tokio::spawn({
        let attempt = attempt.clone();
        async move { Arc::new(load).feed(inbox, &attempt, Some(0)).await }
    });
    let mut readers: Vec<ArtifactReader> = Vec::new();
    while let Some(reader) = taken.recv().await {
        readers.push(reader);
    }
    let order: Vec<_> = readers.iter().map(|reader| reader.artifact().name.clone()).collect();
    assert_eq!(&order[..3], ["toc.dat", "folder/7.dat", "folder/0.dat"]);
    assert_eq!(order.len(), 13);
    for mut reader in readers.into_iter().rev() {
        let mut read = Vec::new();
        while let Some(chunk) = reader.next().await.unwrap() {
            read.extend_from_slice(&chunk);
        }
        let name = reader.artifact().name.clone();
        let (_, expected) = files.iter().find(|(file, _)| *file == name).unwrap();
        assert!(read == *expected, "{name}");
    }
    feeding.await.unwrap();
    assert!(!attempt.stop.is_cancelled());
}
