//! What the parts of a restore share, and what follows when all documents have been read.

use super::accounts::Accounts;
use super::definition::{Accounts as Of, Definition, Fate, fate};
use super::documents::Documents;
use super::indexes::Indexes;
use super::load::Loader;
use super::oplog::Replay;
use super::parameters::Restore;
use super::target::Target;
use crate::client::Client;
use crate::layout::{Data, Kind, OPLOG};
use coffer_addon::{Error, Inbox, Incoming, Result, omitted};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};

/// Artifacts that are read side by side: each has two buffers, which grow with its documents to 32 MiB and more, and two such
/// do not fit into a component's memory. What keeps the connections busy is the batches.
pub const AT_ONCE: usize = 1;

pub struct Run<'a> {
    pub inbox: &'a Inbox,
    pub parameters: &'a Restore,
    pub loader: Loader<'a>,
    pub indexes: Indexes,
    pub accounts: Accounts,
    pub databases: RefCell<BTreeSet<String>>,
    /// Collections of the dump that are none of the restore's.
    left_out: RefCell<BTreeSet<String>>,
    /// Those that are restored, by their names in the dump.
    pub known: RefCell<BTreeMap<(String, String), Kind>>,
    /// All collections of the dump, for parameters that name some.
    seen: RefCell<BTreeSet<(String, String)>>,
    /// Whether there are users or roles in it.
    has_accounts: Cell<bool>,
    pub replayed: Cell<Option<u64>>,
    /// What was read of the oplog.
    oplog: RefCell<Option<Data>>,
}

impl<'a> Run<'a> {
    pub fn new(inbox: &'a Inbox, parameters: &'a Restore, loader: Loader<'a>) -> Run<'a> {
        Run {
            inbox,
            parameters,
            loader,
            indexes: Indexes::default(),
            accounts: Accounts::default(),
            databases: RefCell::default(),
            left_out: RefCell::default(),
            known: RefCell::default(),
            seen: RefCell::default(),
            has_accounts: Cell::new(false),
            replayed: Cell::new(None),
            oplog: RefCell::default(),
        }
    }

    /// What becomes of a collection of the dump; none where it was left out by a filter.
    pub fn fate(&self, database: &str, collection: &str) -> Option<Fate> {
        let name = super::there::logical(collection);
        self.seen.borrow_mut().insert((database.into(), name.into()));
        let fate = fate(database, collection);
        if matches!(fate, Fate::Accounts(Of::Users | Of::Roles)) {
            self.has_accounts.set(true);
        }
        let leave_out = || self.left_out.borrow_mut().insert(format!("{database}.{name}"));
        match fate {
            Fate::Restored if !self.parameters.selects(database, name) => {
                leave_out();
                None
            }
            Fate::Restored => Some(fate),
            Fate::Accounts(_) if self.parameters.users_and_roles => Some(fate),
            Fate::Accounts(_) | Fate::Own => {
                leave_out();
                Some(fate)
            }
        }
    }

    /// A collection that is restored.
    pub fn note(&self, definition: &Definition) {
        self.known.borrow_mut().insert((definition.database.clone(), definition.name.clone()), definition.kind);
        self.databases.borrow_mut().insert(definition.target.clone());
        self.indexes.add(definition);
        self.loader.tally.add_table();
    }

    pub fn is_complete(&self) -> bool {
        self.left_out.borrow().is_empty()
    }

    /// Parameters that name what the dump does not have. To be asked once all of its collections are known.
    pub fn check_names(&self) -> Result<()> {
        let seen = self.seen.borrow();
        let databases: BTreeSet<&str> = seen.iter().map(|(database, _)| database.as_str()).collect();
        let of = |database: &str| databases.contains(database);
        if let Some(unknown) = self.parameters.rename.keys().find(|database| !of(database)) {
            return Err(Error::InvalidParameter(format!(
                "rename: the dump has no database {unknown}, only {}",
                omitted::line(&databases)
            )));
        }
        let mut targets = BTreeSet::new();
        for database in &databases {
            let target = self.parameters.target(database);
            if !targets.insert(target) {
                return Err(Error::InvalidParameter(format!("rename: two databases would become {target}")));
            }
        }
        let names: Vec<String> = seen.iter().map(|(database, name)| format!("{database}.{name}")).collect();
        let unmatched = self.parameters.include.without_match(&names);
        if !unmatched.is_empty() {
            return Err(Error::InvalidParameter(format!(
                "include: the dump has no collection like {}",
                unmatched.join(", ")
            )));
        }
        let is_wanted = |(database, name): &(String, String)| {
            fate(database, name) == Fate::Restored && self.parameters.selects(database, name)
        };
        if self.parameters.is_filtered() && !self.parameters.users_and_roles && !seen.iter().any(is_wanted) {
            return Err(Error::InvalidParameter("exclude: it leaves nothing of the dump to restore".into()));
        }
        if self.parameters.users_and_roles {
            self.accounts.check(self.has_accounts.get())?;
        }
        // A copy leaves them out of the dump already.
        let unmatched = self.parameters.exclude.without_match(&names);
        if !unmatched.is_empty() {
            coffer_addon::warn!("exclude: the dump has no collection like {}", unmatched.join(", "));
        }
        let left_out = self.left_out.borrow();
        if !left_out.is_empty() {
            coffer_addon::info!("not restored: {}", omitted::line(left_out.iter()));
        }
        Ok(())
    }

    /// Users or roles, which are few.
    pub async fn accounts(&self, of: Of, incoming: &mut Incoming) -> Result<()> {
        if !self.parameters.users_and_roles {
            return drain(incoming).await;
        }
        let mut documents = Documents::new(incoming);
        while let Some((document, _)) = documents.next().await? {
            self.account(of, document)?;
        }
        Ok(())
    }

    pub fn account(&self, of: Of, document: &[u8]) -> Result<()> {
        self.loader.tally.add_rows(1);
        self.loader.tally.add_bytes(document.len() as u64);
        self.accounts.add(of, document)
    }

    /// When all documents were sent: they are in, their number is right, the oplog is replayed.
    pub async fn settle(
        &self,
        leader: &mut Client,
        target: &mut Target,
        oplog: Option<(Incoming, Option<Data>)>,
    ) -> Result<()> {
        self.loader.idle().await;
        if self.replayed.get().is_none() {
            self.loader.check_counts(leader).await?;
        }
        if let Some((mut oplog, expected)) = oplog {
            self.replay(leader, target, &mut oplog, expected.as_ref()).await?;
        }
        Ok(())
    }

    /// Who replays what was written during the dump.
    pub fn replaying<'b>(&'b self, leader: &'b mut Client, target: &'b mut Target) -> Replay<'b> {
        Replay::new(leader, target, self.parameters, &self.indexes, &self.known.borrow())
    }

    async fn replay(
        &self,
        leader: &mut Client,
        target: &mut Target,
        oplog: &mut Incoming,
        expected: Option<&Data>,
    ) -> Result<()> {
        if !self.parameters.replay_oplog {
            coffer_addon::warn!("the oplog is not replayed: collections are of different moments");
            return drain(oplog).await;
        }
        let mut read = Data::new(OPLOG.into());
        let mut replay = self.replaying(leader, target);
        let mut documents = Documents::new(oplog);
        while let Some((document, _)) = documents.next().await? {
            read.add(document);
            replay.entry(document).await?;
        }
        self.replayed.set(Some(replay.count));
        replay.finish().await?;
        self.oplog.replace(Some(read));
        if expected.is_some() { self.check_oplog(expected) } else { Ok(()) }
    }

    /// What was read of the oplog against what the dump says of it.
    pub fn check_oplog(&self, expected: Option<&Data>) -> Result<()> {
        let (read, Some(expected)) = (self.oplog.borrow(), expected.filter(|_| self.parameters.replay_oplog)) else {
            return Ok(());
        };
        let is_same = |read: &Data| (read.documents, read.hash) == (expected.documents, expected.hash);
        if !read.as_ref().is_some_and(is_same) {
            return Err(Error::Corrupt(format!("{OPLOG}: its entries are not those of the dump")));
        }
        Ok(())
    }
}

/// To its end, so that it is known to be whole.
pub async fn drain(incoming: &mut Incoming) -> Result<()> {
    while incoming.fill().await? > 0 {
        incoming.consume(usize::MAX);
    }
    Ok(())
}
