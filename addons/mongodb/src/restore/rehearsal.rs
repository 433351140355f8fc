//! With `drop`: what the server does not make as the dump has it is found while the old collections are still there.

use super::definition::{Definition, Made};
use super::making::{Ignored, accept, ignored, make, options};
use super::parameters::Restore;
use super::there::drop_collection;
use crate::client::Client;
use coffer_addon::Result;
use std::collections::BTreeSet;

/// Makes each of these under a name that `is_free` in its database, looks at it, and drops it again. Those without options
/// are not tried, and equal ones of a database once.
pub async fn rehearse(
    client: &mut Client,
    parameters: &Restore,
    definitions: &[&Definition],
    is_free: impl Fn(&str, &str) -> bool,
) -> Result<()> {
    let (mut seen, mut missing) = (BTreeSet::new(), Vec::new());
    for definition in definitions {
        let Some(made) = &definition.made else { continue };
        let options = options(made)?;
        if options.is_empty() || !seen.insert((&definition.target, options.as_bytes().to_vec())) {
            continue;
        }
        let name =
            (0_u32..).map(|number| format!("coffer_tried_{number}")).find(|name| is_free(&definition.target, name));
        let trial = Definition {
            name: name.unwrap_or_default(),
            made: Some(Made { options, indexes: Vec::new(), uuid: None }),
            ..(*definition).clone()
        };
        let failed = || format!("{}, tried as {} before anything is dropped", definition.namespace(), trial.name);
        make(client, parameters, &trial).await.map_err(|error| error.context(failed()))?;
        let found = ignored(client, &[&trial]).await;
        drop_collection(client, &trial).await?;
        let found = found.map_err(|error| error.context(failed()))?;
        missing.extend(found.into_iter().map(|found| Ignored { namespace: definition.namespace(), ..found }));
    }
    if parameters.allow_unsupported {
        // They are told once the collections themselves are made.
        return Ok(());
    }
    accept(parameters, missing)
}
