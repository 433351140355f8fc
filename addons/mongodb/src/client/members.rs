//! Which of the application's endpoints to speak to: each is asked what it is.

use super::{Hello, Login};
use coffer_addon::{Application, Error, Result};

/// What a run needs of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadPreference {
    /// To write, or to read what is newest.
    Primary,
    /// To read without being in the primary's way.
    SecondaryPreferred,
}

/// An endpoint and what it said.
#[derive(Clone, Debug)]
pub struct Member {
    pub endpoint: String,
    pub said: Result<Hello>,
}

/// The endpoints that were asked.
#[derive(Clone, Debug)]
pub struct Members(Vec<Member>);

impl Members {
    /// Asks the endpoints of the binding's address: not those of shards and of a config server.
    pub async fn ask(_application: &Application, _login: &Login) -> Result<Self> {
        Err(Error::Unsupported("not yet".into()))
    }

    /// All of them, in the binding's order.
    pub fn all(&self) -> &[Member] {
        &self.0
    }

    /// The endpoint to speak to.
    pub fn choose(&self, _preference: ReadPreference) -> Result<&Member> {
        Err(Error::Unsupported("not yet".into()))
    }
}
