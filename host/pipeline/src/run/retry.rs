//! Tries again what was unavailable, and nothing else.

use std::time::Duration;

use coffer_api::Retry;
use tokio_util::sync::CancellationToken;

use super::status::Log;
use crate::Error;

/// Before the first retry, unless the operator says otherwise: a restart of a database takes about as long.
const DELAY: Duration = Duration::from_secs(10);
/// Longer waits gain nothing: what is away for so long is waited for in steps of this size.
const LONGEST_DELAY: Duration = Duration::from_secs(10 * 60);

/// A failed attempt.
pub(super) struct Failed {
    pub(super) error: Error,
    /// Trying again would do harm.
    pub(super) is_final: bool,
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self { error, is_final: false }
    }
}

/// Counts the attempts at something. Not a function that takes the attempt as an async closure: those are not `Send` yet.
pub(super) struct Retries<'a> {
    max_retries: u32,
    delay: Duration,
    stop: &'a CancellationToken,
    log: &'a Log,
    /// The attempt under way, from 1.
    pub(super) number: u32,
}

impl<'a> Retries<'a> {
    pub(super) fn new(retry: Option<Retry>, stop: &'a CancellationToken, log: &'a Log) -> Self {
        let (max_retries, delay) =
            retry.map_or((0, DELAY), |retry| (retry.max_retries, retry.delay.map_or(DELAY, Duration::from)));
        Self { max_retries, delay, stop, log, number: 1 }
    }

    /// Waits until it is time for the next attempt. Gives the error back when there shall be none: it failed for good, was
    /// tried often enough, or is to be stopped.
    pub(super) async fn wait(&mut self, failed: Failed) -> Result<(), Error> {
        let Failed { error, is_final } = failed;
        if self.number > self.max_retries || self.stop.is_cancelled() || !error.class().is_transient() || is_final {
            return Err(error);
        }
        let pause = pause(self.delay, self.number);
        let seconds = pause.as_secs_f32();
        self.log.warn(format!("attempt {} failed, the next begins in {seconds:.1} s: {}", self.number, error.chain()));
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = self.stop.cancelled() => return Err(error),
        }
        self.number += 1;
        Ok(())
    }
}

/// Doubles with each retry; the jitter (three quarters to five quarters) keeps sessions that failed together from coming back
/// together.
fn pause(delay: Duration, retry: u32) -> Duration {
    let doubled = delay.saturating_mul(2_u32.saturating_pow(retry - 1)).min(LONGEST_DELAY);
    doubled.mul_f64(rand::random_range(0.75..1.25))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_limit() {
        let second = Duration::from_secs(1);
        for (retry, low, high) in [(1, 0.75, 1.25), (2, 1.5, 2.5), (3, 3.0, 5.0), (60, 450.0, 750.0)] {
            let pause = pause(second, retry).as_secs_f64();
            assert!((low..=high).contains(&pause), "{retry}: {pause}");
        }
    }

    #[tokio::test]
    async fn only_what_may_help_is_tried_again() {
        let unavailable = || Error::Store {
            repository: "r".to_owned(),
            source: Box::new(coffer_repository::Error::LockLost("gone".to_owned())),
        };
        let retry = Some(Retry { max_retries: 2, delay: "1ms".parse().ok() });
        let stop = CancellationToken::new();

        let log = Log::none();
        let mut retries = Retries::new(retry, &stop, &log);
        assert!(retries.wait(unavailable().into()).await.is_ok());
        assert!(retries.wait(unavailable().into()).await.is_ok());
        assert_eq!(retries.number, 3);
        assert!(retries.wait(unavailable().into()).await.is_err(), "often enough");

        assert!(Retries::new(None, &stop, &log).wait(unavailable().into()).await.is_err(), "nobody asked for it");
        assert!(Retries::new(retry, &stop, &log).wait(Error::Cancelled.into()).await.is_err(), "not transient");
        let sunk = Failed { error: unavailable(), is_final: true };
        assert!(Retries::new(retry, &stop, &log).wait(sunk).await.is_err(), "it would do harm");
        stop.cancel();
        assert!(Retries::new(retry, &stop, &log).wait(unavailable().into()).await.is_err(), "stopped");
    }
}
