//! Whether a sink wrote as much as its source read, by what both report.

use std::collections::BTreeMap;

use crate::Error;

/// Facts that mean the same for a source and for a sink, as the contract says.
const TOTALS: [&str; 3] = ["tables", "rows", "bytes"];

/// Compares the totals that both report; what only one of them reports says nothing.
pub(super) fn totals(
    source: &BTreeMap<String, String>,
    sink: &BTreeMap<String, String>,
    step: &str,
) -> Result<(), Error> {
    for fact in TOTALS {
        if let (Some(expected), Some(found)) = (source.get(fact), sink.get(fact))
            && expected != found
        {
            let (expected, found) = (expected.clone(), found.clone());
            return Err(Error::Differs { step: step.to_owned(), fact, expected, found });
        }
    }
    Ok(())
}
