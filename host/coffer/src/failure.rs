//! What the user is told when a command fails: the error, its causes, and what to do about it.
//!
//! A command line has one audience and one way out, so this is one plain type rather than an enum: the libraries below
//! keep their typed errors, and here they become sentences.

use std::error::Error as StdError;
use std::fmt;

pub type Result<T, E = Failure> = std::result::Result<T, E>;

/// `error:` / `cause:` / `hint:`, and the process's exit code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    pub error: String,
    pub causes: Vec<String>,
    pub hint: Option<String>,
}

impl Failure {
    pub fn new(error: impl fmt::Display) -> Self {
        Self { error: error.to_string(), causes: Vec::new(), hint: None }
    }

    /// Adds `cause` and everything below it. Sources that only repeat what was said above are left out.
    pub fn because(mut self, cause: &(dyn StdError + 'static)) -> Self {
        let mut next = Some(cause);
        while let Some(error) = next {
            self = self.cause(error);
            next = error.source();
        }
        self
    }

    pub fn cause(mut self, cause: impl fmt::Display) -> Self {
        let cause = cause.to_string();
        let said = |text: &String| text.contains(&cause);
        if !cause.is_empty() && !said(&self.error) && !self.causes.iter().any(said) {
            self.causes.push(cause);
        }
        self
    }

    pub fn hint(mut self, hint: impl fmt::Display) -> Self {
        self.hint = Some(hint.to_string());
        self
    }

    /// An error of the Kubernetes API, said without the client's wording around it.
    pub fn api(what: impl fmt::Display, error: &kube::Error) -> Self {
        match error {
            kube::Error::Api(status) => {
                let failure = Self::new(what).cause(&status.message);
                match status.code {
                    401 | 403 => failure.hint(
                        "the kubeconfig's token is not this server's; check --kubeconfig and --data-dir, \
                         or restart `coffer serve`",
                    ),
                    _ => failure,
                }
            }
            kube::Error::HyperError(_) | kube::Error::Service(_) => Self::new(what)
                .because(error)
                .hint("is `coffer serve` running? start it, or name a server by --kubeconfig"),
            other => Self::new(what).because(other),
        }
    }
}

/// Turns any library's error into a [`Failure`] that says what was being done.
pub trait OrFail<T> {
    fn or_fail<D: fmt::Display>(self, what: impl FnOnce() -> D) -> Result<T>;
}

impl<T, E: StdError + 'static> OrFail<T> for std::result::Result<T, E> {
    fn or_fail<D: fmt::Display>(self, what: impl FnOnce() -> D) -> Result<T> {
        self.map_err(|error| match (&error as &dyn std::any::Any).downcast_ref::<kube::Error>() {
            Some(api) => Failure::api(what(), api),
            None => Failure::new(what()).because(&error),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_that_repeats_the_error_is_left_out() {
        let inner = std::io::Error::other("disk is full");
        let failure = Failure::new("unable to write: disk is full").because(&inner);
        assert_eq!(failure.causes, Vec::<String>::new());
    }

    #[test]
    fn every_source_becomes_a_cause() {
        #[derive(Debug, thiserror::Error)]
        #[error("unable to open the file")]
        struct Outer(#[source] std::io::Error);
        let failure = Failure::new("unable to start").because(&Outer(std::io::Error::other("no such file")));
        assert_eq!(failure.causes, ["unable to open the file", "no such file"]);
    }
}
