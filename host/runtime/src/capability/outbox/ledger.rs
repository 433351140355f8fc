//! What a run has begun to write and what of it is whole, and the order in which it is handed on.

use super::super::invalid;
use crate::{
    Artifact, Receipt, Written,
    bindings::GuestError,
    limits::{ARTIFACT_NAME_BYTES, LEDGER_BYTES, OPEN_ARTIFACTS},
};
use std::{
    collections::{BTreeSet, HashSet},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};
use tokio::sync::OwnedMutexGuard;

/// A run's artifacts, begun and ended.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    names: HashSet<String>,
    open: BTreeSet<String>,
    broken: BTreeSet<String>,
    written: Vec<Written>,
    /// Of everything above, about.
    bytes: usize,
    /// Held by whoever hands an artifact on.
    order: Arc<tokio::sync::Mutex<()>>,
}

/// An artifact's place among those that are handed on: they come in the order in which the guest began them, whichever of their
/// tasks runs first. A guest that lets one wait for another counts on it.
pub(super) type Place = Pin<Box<dyn Future<Output = OwnedMutexGuard<()>> + Send>>;

impl Ledger {
    pub(super) fn begin(&mut self, artifact: &Artifact) -> Result<(), GuestError> {
        check_name(&artifact.name)?;
        let labels: usize = artifact.labels.iter().map(|(key, value)| key.len() + value.len() + 48).sum();
        let bytes = self.bytes + 2 * artifact.name.len() + labels + 128;
        if bytes > LEDGER_BYTES {
            return Err(invalid("this run has more artifacts, or longer names and labels, than the host remembers"));
        }
        if self.open.len() >= OPEN_ARTIFACTS {
            return Err(invalid(format_args!("{OPEN_ARTIFACTS} artifacts are open: finish one before the next")));
        }
        if !self.names.insert(artifact.name.clone()) {
            return Err(invalid(format_args!("this run already wrote an artifact {}", artifact.name)));
        }
        self.open.insert(artifact.name.clone());
        self.bytes = bytes;
        Ok(())
    }

    /// Behind all that asked before.
    pub(super) fn place(&self) -> Place {
        // With a budget the lock might not even queue.
        let mut lock = Box::pin(tokio::task::unconstrained(self.order.clone().lock_owned()));
        match lock.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(guard) => Box::pin(std::future::ready(guard)),
            Poll::Pending => lock,
        }
    }

    pub(super) fn end(&mut self, artifact: Artifact, receipt: Option<Receipt>) {
        self.open.remove(&artifact.name);
        match receipt {
            Some(receipt) => self.written.push(Written { artifact, receipt }),
            None => {
                self.broken.insert(artifact.name);
            }
        }
    }

    /// What was written whole, or the names of what was not.
    pub(crate) fn close(&mut self) -> Result<Vec<Written>, Vec<String>> {
        let incomplete: Vec<_> = self.open.iter().chain(&self.broken).cloned().collect();
        if incomplete.is_empty() { Ok(std::mem::take(&mut self.written)) } else { Err(incomplete) }
    }
}

/// A name becomes a path in the snapshot and, one day, on somebody's disk.
fn check_name(name: &str) -> Result<(), GuestError> {
    let refuse = |reason: &str| Err(invalid(format_args!("artifact name {name:?} {reason}")));
    if name.len() > ARTIFACT_NAME_BYTES {
        return Err(invalid(format_args!(
            "an artifact's name has {} bytes, {ARTIFACT_NAME_BYTES} are allowed",
            name.len()
        )));
    }
    if name.chars().any(|c| c.is_control() || c == '\\') {
        return refuse("holds a control character or a backslash");
    }
    if name.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return refuse("is not a relative path of plain parts");
    }
    if name.split('/').next() == Some(".coffer") {
        return refuse("is in the folder .coffer, which is the host's");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::mpsc;

    #[test]
    fn names_are_relative_paths_of_plain_parts() {
        for good in ["toc.dat", "base/16384/1", "a b", "…", ".hidden", "x.coffer"] {
            assert!(check_name(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "/",
            "/etc/passwd",
            "a//b",
            "a/",
            "../a",
            "a/../b",
            ".",
            "a\0b",
            "a\nb",
            "a\\b",
            ".coffer/manifest.json",
        ] {
            assert!(matches!(check_name(bad), Err(GuestError::InvalidParameter(_))), "{bad:?}");
        }
        assert!(check_name(&"a".repeat(ARTIFACT_NAME_BYTES + 1)).is_err());
    }

    #[test]
    fn the_ledger_knows_what_is_not_whole() {
        let receipt = Receipt { length: 0, sha256: [0; 32] };
        let mut ledger = Ledger::default();
        for name in ["whole", "broken", "open"] {
            ledger.begin(&Artifact::new(name)).unwrap();
        }
        assert!(ledger.begin(&Artifact::new("whole")).is_err(), "names are unique");
        let greedy = Artifact { name: "greedy".into(), labels: vec![("k".repeat(LEDGER_BYTES), String::new())] };
        assert!(ledger.begin(&greedy).is_err(), "the host's memory is not the guest's");
        ledger.end(Artifact::new("whole"), Some(receipt));
        ledger.end(Artifact::new("broken"), None);
        assert_eq!(ledger.close().unwrap_err(), ["open", "broken"]);
    }

    #[tokio::test]
    async fn artifacts_come_in_the_order_in_which_they_were_begun() {
        let ledger = Ledger::default();
        let places: Vec<Place> = (0..3).map(|_| ledger.place()).collect();
        let (took, mut taken) = mpsc::unbounded_channel();
        // Whichever asks first.
        for (number, place) in places.into_iter().enumerate().rev() {
            let took = took.clone();
            tokio::spawn(async move {
                let _turn = place.await;
                took.send(number).unwrap();
            });
        }
        for number in 0..3 {
            assert_eq!(taken.recv().await, Some(number));
        }
    }
}
