//! Two ways for a reconcile to fail: the object cannot be what it asks to be, which its status says, or the API server did
//! not do its part, which is tried again.

use coffer_api::{Failure, FailureClass};
pub(crate) use coffer_repository::chain;

/// Why a reconcile, or a step of it, did not get through.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Goes into the object's status.
    #[error("{}", .0.message)]
    Refused(Failure),
    #[error("unable to {action} {object}")]
    Api { action: &'static str, object: String, source: Box<kube::Error> },
}

pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    pub(crate) fn refused(class: FailureClass, message: impl Into<String>) -> Self {
        Self::Refused(Failure::new(class, message))
    }

    pub(crate) fn hint(self, hint: impl Into<String>) -> Self {
        match self {
            Self::Refused(failure) => Self::Refused(failure.hint(hint)),
            api @ Self::Api { .. } => api,
        }
    }

    pub(crate) fn api(action: &'static str, object: impl ToString) -> impl FnOnce(kube::Error) -> Self {
        let object = object.to_string();
        move |source| Self::Api { action, object, source: Box::new(source) }
    }

    /// As a status tells it. An API server that fails is unavailable, whatever it said.
    pub fn into_failure(self) -> Failure {
        match self {
            Self::Refused(failure) => failure,
            Self::Api { source, .. } if matches!(&*source, kube::Error::Api(_)) => {
                let message = match &*source {
                    kube::Error::Api(status) => status.message.clone(),
                    other => other.to_string(),
                };
                Failure::new(FailureClass::Unavailable, format!("the API server refused a request: {message}"))
            }
            Self::Api { action, object, source } => {
                Failure::new(FailureClass::Unavailable, format!("unable to {action} {object}: {source}"))
            }
        }
    }
}
