//! The fate of a snapshot under way: its first error stops everything that works for it.

use std::sync::{Arc, OnceLock};

use tokio_util::sync::CancellationToken;

use crate::error::{Error, Result};

#[derive(Default)]
pub(crate) struct Health {
    cause: OnceLock<Arc<Error>>,
    failed: CancellationToken,
}

impl Health {
    /// The first cause counts; what follows from it does not.
    pub(crate) fn fail(&self, cause: Error) {
        if self.cause.set(Arc::new(cause)).is_ok() {
            self.failed.cancel();
        }
    }

    pub(crate) fn check(&self) -> Result<()> {
        match self.cause.get() {
            Some(cause) => Err(Error::Failed(Arc::clone(cause))),
            None => Ok(()),
        }
    }

    /// Runs until the end, or until something fails, here or elsewhere.
    pub(crate) async fn guard<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        let result = tokio::select! {
            biased;
            () = self.failed.cancelled() => None,
            result = work => Some(result),
        };
        match result {
            Some(Ok(value)) => Ok(value),
            Some(Err(cause)) => {
                self.fail(match cause {
                    // Reported already.
                    Error::Failed(_) => return Err(cause),
                    cause => cause,
                });
                self.check().and_then(|()| Err(Error::Abandoned))
            }
            None => self.check().and_then(|()| Err(Error::Abandoned)),
        }
    }
}
