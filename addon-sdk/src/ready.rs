//! Waiting until the application is there.

use crate::{Error, Result, host};
use futures::future::{Either, select};
use std::pin::pin;
use std::time::{Duration, Instant};

/// Between two attempts. A server that starts is not helped by more.
const PAUSE: Duration = Duration::from_millis(500);

/// Makes attempts until one succeeds; gives what it gave and how many there were. Only [`Error::Unavailable`] is worth
/// another one: a wrong password gets no better by waiting.
pub async fn wait_ready<T>(timeout: Duration, mut attempt: impl AsyncFnMut() -> Result<T>) -> Result<(T, u64)> {
    let begin = Instant::now();
    let mut attempts = 0;
    loop {
        attempts += 1;
        let left = timeout.saturating_sub(begin.elapsed());
        // An attempt may hang as long as it likes; the deadline does not wait for it.
        let outcome = match select(pin!(attempt()), pin!(host::sleep(left))).await {
            Either::Left((outcome, _)) => outcome,
            Either::Right(_) => Err(Error::Unavailable("the application did not answer".into())),
        };
        match outcome {
            Ok(ready) => return Ok((ready, attempts)),
            Err(Error::Unavailable(text)) if begin.elapsed() + PAUSE < timeout => {
                crate::debug!("not ready yet: {text}");
                host::sleep(PAUSE).await;
            }
            Err(Error::Unavailable(text)) => {
                let seconds = timeout.as_secs_f64();
                let attempts = if attempts == 1 { "1 attempt".to_string() } else { format!("{attempts} attempts") };
                return Err(Error::Unavailable(format!("not ready after {seconds} s and {attempts}: {text}")));
            }
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_unavailable_is_tried_again() {
        let mut answers = vec![Ok(7), Err(Error::Unavailable("starting".into()))];
        let ready = wait_ready(Duration::from_secs(60), async || answers.pop().expect("asked too often"));
        assert_eq!(ready.await, Ok((7, 2)));
        let denied = Err(Error::Denied("no".into()));
        let refused = wait_ready(Duration::from_secs(60), async || denied.clone()).await;
        assert_eq!(refused, denied.map(|(): ()| ((), 0)));
    }

    #[tokio::test]
    async fn one_that_hangs_is_given_up() {
        let hung = wait_ready(Duration::from_millis(10), async || std::future::pending::<Result<()>>().await).await;
        let text = "not ready after 0.01 s and 1 attempt: the application did not answer";
        assert_eq!(hung, Err(Error::Unavailable(text.into())));
    }
}
