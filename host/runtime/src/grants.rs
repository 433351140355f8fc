//! What an operator lets an addon reach.

use coffer_addon_descriptor::Capability;

/// A set of capabilities; empty by default. The `host` interface (log, progress, sleep) is always given.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Grants {
    application: bool,
    http: bool,
    inbox: bool,
    outbox: bool,
}

impl Grants {
    pub fn all() -> Self {
        Self { application: true, http: true, inbox: true, outbox: true }
    }

    pub fn none() -> Self {
        Self::default()
    }

    pub fn contains(&self, capability: Capability) -> bool {
        match capability {
            Capability::Application => self.application,
            Capability::Http => self.http,
            Capability::Inbox => self.inbox,
            Capability::Outbox => self.outbox,
        }
    }
}

impl FromIterator<Capability> for Grants {
    fn from_iter<I: IntoIterator<Item = Capability>>(capabilities: I) -> Self {
        let mut grants = Self::none();
        for capability in capabilities {
            match capability {
                Capability::Application => grants.application = true,
                Capability::Http => grants.http = true,
                Capability::Inbox => grants.inbox = true,
                Capability::Outbox => grants.outbox = true,
            }
        }
        grants
    }
}

/// As the contract spells it.
pub(crate) fn name(capability: Capability) -> &'static str {
    match capability {
        Capability::Application => "application",
        Capability::Http => "http",
        Capability::Inbox => "inbox",
        Capability::Outbox => "outbox",
    }
}

pub(crate) fn by_name(name: &str) -> Option<Capability> {
    [Capability::Application, Capability::Http, Capability::Inbox, Capability::Outbox]
        .into_iter()
        .find(|c| self::name(*c) == name)
}
