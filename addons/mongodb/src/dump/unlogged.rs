//! What an oplog does not tell: FerretDB's has writes, and no collection that was dropped, renamed or replaced. Replaying such an
//! oplog would put one collection's documents into another.

use super::oplog::Written;
use crate::catalog::{self, Found, Identity};
use crate::client::Client;
use crate::parameters::Dump;
use coffer_addon::{Error, Result, omitted};
use std::collections::BTreeSet;

/// The collections there were before the oplog's beginning was noted; none where the oplog tells all.
pub struct Unlogged(Option<BTreeSet<Identity>>);

impl Unlogged {
    /// Before anything else of the dump.
    pub async fn look(client: &mut Client, parameters: &Dump) -> Result<Self> {
        if !client.version().is_ferretdb() || !client.hello().is_member() {
            return Ok(Unlogged(None));
        }
        catalog::identities(client, parameters).await.map(|there| Unlogged(Some(there)))
    }

    /// After the oplog's end: fails when a collection that was there, was dumped, or was written to is not that one any more.
    pub async fn check(self, client: &mut Client, parameters: &Dump, found: &[Found], written: &Written) -> Result<()> {
        let Some(mut before) = self.0 else { return Ok(()) };
        let now = catalog::identities(client, parameters).await?;
        let is_own = |name: &str| name.split_once('.').is_none_or(|(database, _)| catalog::OWN.contains(&database));
        before.extend(found.iter().map(Found::identity).filter(|(name, _)| !is_own(name)));
        let mut gone: BTreeSet<&str> = before.difference(&now).map(|(name, _)| name.as_str()).collect();
        let names: BTreeSet<&str> = now.iter().map(|(name, _)| name.as_str()).collect();
        gone.extend(written.collections().filter(|name| !names.contains(name) && !is_own(name)));
        if gone.is_empty() {
            return Ok(());
        }
        Err(Error::Failed(format!(
            "collections were dropped, renamed or replaced during the dump, which this server's oplog does not tell: {}; run the \
             dump again when nobody does that, or set consistency to `none`",
            omitted::line(&gone)
        )))
    }
}
