//! How long a server that has no time, or is gone, is waited for: longer each time, and all in all no longer than the operator says.

use super::Refusal;
use coffer_addon::{Error, Result, host};
use std::time::Duration;

const FIRST: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_secs(15);

/// How often a request is repeated whose connection broke: it may have been the request that broke it. From the first pause on
/// that is about 6 s: a proxy or a node that is started anew.
const LOST: u32 = 5;
const FIRST_LOST: Duration = Duration::from_millis(200);

/// For [`in_spite_of_losses`], more than its pauses come to.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub struct Waits {
    next: Duration,
    left: Duration,
    lost: u32,
}

impl Waits {
    pub fn new(patience: Duration) -> Waits {
        Waits { next: FIRST, left: patience, lost: 0 }
    }

    /// Waits, for as long as the server asks for where it does. False: it has been long enough.
    pub async fn wait(&mut self, asked: Option<Duration>) -> bool {
        if self.left.is_zero() {
            return false;
        }
        let wait = asked.unwrap_or_default().max(self.next).min(self.left);
        self.left -= wait;
        self.next = (self.next * 2).min(LONGEST);
        host::sleep(wait).await;
        true
    }

    /// The same after a request that has no answer.
    pub async fn wait_lost(&mut self) -> bool {
        self.lost += 1;
        self.next = self.next.max(FIRST_LOST);
        self.lost <= LOST && self.wait(None).await
    }

    /// It got on: what comes next is waited for from the start.
    pub fn reset(&mut self, patience: Duration) {
        *self = Waits::new(patience);
    }
}

/// Does what may be done twice, and again when the connection is lost or what is in front of the server has lost it.
pub async fn in_spite_of_losses<T>(
    what: &str,
    work: impl AsyncFn() -> Result<Result<T, Refusal>>,
) -> Result<Result<T, Refusal>> {
    let mut waits = Waits::new(PATIENCE);
    loop {
        let outcome = work().await;
        let why = match &outcome {
            Err(Error::Unavailable(text)) => text.clone(),
            Ok(Err(refusal)) if refusal.is_lost() => refusal.status.to_string(),
            _ => return outcome,
        };
        if !waits.wait_lost().await {
            return outcome.map_err(|error| error.with(format!("it was asked {} times", LOST + 1)));
        }
        coffer_addon::warn!("{what} had no answer, and is asked again: {why}");
    }
}

/// What `Retry-After` says in seconds; a date is not worth it.
pub fn asked(header: Option<&str>) -> Option<Duration> {
    header.and_then(|text| text.trim().parse().ok()).map(|seconds: u32| Duration::from_secs(seconds.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn patience_has_an_end() {
        let mut waits = Waits::new(Duration::from_millis(4));
        assert!(waits.wait(None).await && !waits.wait(None).await);
        waits.reset(Duration::from_millis(2));
        assert!(waits.wait_lost().await && !waits.wait_lost().await);
        assert_eq!(asked(Some("3")), Some(Duration::from_secs(3)));
        assert_eq!(asked(Some("Fri, 31 Dec 1999 23:59:59 GMT")), None);
    }
}
