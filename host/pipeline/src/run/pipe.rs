//! Joins two steps: hands each artifact of the first to the second.
//!
//! Not a bare channel, for three reasons. A step that does not want the rest of an artifact (a filter) drops it, and that must
//! not fail the step above; so the rest is read and thrown away, and told at the end. And an artifact that broke above must
//! not make the step below report a failure of its own before the step above has told the cause (see [`super::attempt`]).
//! Nor must the end of a step that failed look like the end of its artifacts: the one below would say that some are missing.

use coffer_runtime::{ArtifactReader, ArtifactWriter, artifact};
use tokio::{sync::mpsc, task::JoinSet};
use tokio_util::sync::CancellationToken;

use super::attempt::{Attempt, Passed};
use crate::Error;

/// Chunks between two steps. The steps' own channels hold some too; this only keeps one from waiting for the other's wake-up.
const CHUNKS: usize = 2;

/// Where artifacts are counted.
#[derive(Clone, Copy)]
pub(super) struct Counted {
    pub(super) writer: usize,
    pub(super) reader: Option<usize>,
}

/// Ends when the first step has `ended` and everything it wrote has been taken or dropped. Each whole artifact is
/// counted for its writer and, once read to its end, for its reader.
pub(super) async fn join(
    mut above: mpsc::Receiver<ArtifactReader>,
    below: mpsc::Sender<ArtifactReader>,
    attempt: &Attempt,
    counted: Counted,
    ended: CancellationToken,
) -> Passed {
    let mut pumps = JoinSet::new();
    let mut passed = Passed::default();
    while let Some(reader) = next(&mut above, attempt).await {
        passed.total += 1;
        let name = reader.artifact().name.clone();
        let (writer, handed) = artifact(reader.artifact().clone(), CHUNKS);
        tokio::select! {
            // The second step may have ended well without taking it.
            _ = below.send(handed) => {}
            () = attempt.stop.cancelled() => break,
        }
        let part = attempt.clone();
        pumps.spawn(async move {
            tokio::select! {
                read = pump(reader, writer, &part, counted) => (!read).then_some(name),
                () = part.stop.cancelled() => None,
            }
        });
    }
    // By then a failure of the first step has stopped the second.
    tokio::select! {
        () = ended.cancelled() => {}
        () = attempt.stop.cancelled() => {}
    }
    drop(below);
    while let Some(ended) = pumps.join_next().await {
        match ended {
            Ok(unread) => passed.unread.extend(unread),
            Err(error) => attempt.fail(Error::Internal(error.to_string())),
        }
    }
    passed
}

/// The next artifact of a step; `None` when there are no more, or the attempt was stopped.
pub(super) async fn next(above: &mut mpsc::Receiver<ArtifactReader>, attempt: &Attempt) -> Option<ArtifactReader> {
    tokio::select! {
        reader = above.recv() => reader,
        () = attempt.stop.cancelled() => None,
    }
}

/// Whether the second step read it to its end.
async fn pump(mut reader: ArtifactReader, writer: ArtifactWriter, attempt: &Attempt, counted: Counted) -> bool {
    let mut writer = Some(writer);
    loop {
        match reader.next().await {
            Ok(Some(chunk)) => {
                if let Some(below) = &mut writer
                    && below.write(chunk).await.is_err()
                {
                    writer = None;
                }
            }
            Ok(None) => break,
            Err(_) => {
                attempt.stop.cancelled().await;
                return false;
            }
        }
    }
    attempt.board.artifact(counted.writer);
    // Whether it is still wanted is the second step's affair.
    let read = match writer {
        Some(below) => below.finish_read().await.is_ok(),
        None => false,
    };
    if let Some(place) = counted.reader.filter(|_| read) {
        attempt.board.artifact(place);
    }
    read
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Ends;
    use crate::run::tests::support::planned;
    use crate::run::{Log, Status};
    use serde_json::json;
    use std::time::Duration;
    use tokio::time::timeout;

    #[tokio::test]
    async fn the_end_of_a_step_is_known_before_that_of_its_artifacts() {
        let plan = planned(Ends::Repositories, &[("generate", "source", json!({}))], &[], |_| {});
        let attempt = Attempt::new(&CancellationToken::new(), &Status::of(&plan).0, &Log::none(), 1);
        let (written, above) = mpsc::channel(1);
        let (below, mut inbox) = mpsc::channel(1);
        let ended = CancellationToken::new();
        let joint = join(above, below, &attempt, Counted { writer: 0, reader: None }, ended.clone());
        let checks = async {
            // As the runtime does when a run has failed: the channel closes first.
            drop(written);
            let early = timeout(Duration::from_millis(50), inbox.recv()).await;
            assert!(early.is_err(), "nobody said how the step above ended");
            ended.cancel();
            assert!(inbox.recv().await.is_none());
        };
        tokio::join!(joint, checks);
    }
}
