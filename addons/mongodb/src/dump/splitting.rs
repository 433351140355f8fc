//! A large collection cut into ranges of `_id`, which several connections read at once.
//!
//! A range is one of the index, given by `min` and `max`: there all values have their place, of whatever type. A condition
//! (`$gte`, `$lt`) compares with values of the same type only, and what is of another would be in no range. The first range
//! has no lower bound and the last one no upper, so that together they are the whole index.

use crate::catalog::Found;
use crate::client::Client;
use crate::layout::Kind;
use bson::raw::{RawDocument, RawDocumentBuf};
use bson::rawdoc;
use coffer_addon::Result;

/// Ranges of one collection, at most. Each is a query, and takes a while to begin.
const MOST: u64 = 256;

/// Documents looked at for a bound: chosen at random, so that few would make ranges of very different sizes.
const SAMPLES: u64 = 20;

/// A range of a collection's documents.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Range {
    /// `{_id: …}` of its first document.
    pub from: Option<RawDocumentBuf>,
    /// `{_id: …}` of the first one behind it.
    pub to: Option<RawDocumentBuf>,
}

/// How a collection is cut: into one range, where it is small or cannot be cut.
pub async fn ranges(client: &mut Client, found: &Found, size: u64) -> Result<Vec<Range>> {
    let count = pieces(found, size);
    if count < 2 || client.version().is_ferretdb() {
        return Ok(vec![Range::default()]);
    }
    let wanted = i64::try_from(count * SAMPLES).unwrap_or(i64::MAX);
    let command = rawdoc! {
        "aggregate": found.name.as_str(),
        "pipeline": [
            { "$sample": { "size": wanted } },
            { "$project": { "_id": 1 } },
            { "$sort": { "_id": 1 } },
        ],
        "cursor": {},
        "allowDiskUse": true,
    };
    let mut cursor = client.query(&found.database, command).await?;
    let mut samples = Vec::new();
    while let Some(sample) = cursor.next().await? {
        samples.push(sample.to_owned());
    }
    Ok(between(&bounds(samples, usize::try_from(count).unwrap_or(1))))
}

/// How many ranges there are to be.
fn pieces(found: &Found, size: u64) -> u64 {
    // Capped collections are read in the order that they were written in, which is theirs; buckets are clustered, too. An index
    // that compares texts in a way of its own has bounds of its own.
    let whole = found.kind != Kind::Collection
        || found.is_capped()
        || found.is_clustered()
        || found.has_collation()
        || !found.has_id_index;
    if whole || size == 0 { 1 } else { found.bytes.div_ceil(size).min(MOST).min(found.documents) }
}

/// The bounds of `count` ranges with about as many samples each. Samples are in order, some of them perhaps twice.
fn bounds(samples: Vec<RawDocumentBuf>, count: usize) -> Vec<RawDocumentBuf> {
    let step = samples.len().div_ceil(count.max(1)).max(1);
    let mut bounds: Vec<RawDocumentBuf> = samples.into_iter().step_by(step).skip(1).filter(has_id).collect();
    bounds.dedup();
    bounds
}

fn has_id(sample: &RawDocumentBuf) -> bool {
    let sample: &RawDocument = sample;
    matches!(sample.get("_id"), Ok(Some(_)))
}

fn between(bounds: &[RawDocumentBuf]) -> Vec<Range> {
    let from = std::iter::once(None).chain(bounds.iter().cloned().map(Some));
    let to = bounds.iter().cloned().map(Some).chain(std::iter::once(None));
    from.zip(to).map(|(from, to)| Range { from, to }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_meet_and_have_no_ends() {
        let samples: Vec<_> = (0..40).map(|id| rawdoc! { "_id": id / 2 }).collect();
        let ranges = between(&bounds(samples, 4));
        let bound = |id: i32| Some(rawdoc! { "_id": id });
        let expected = [(None, bound(5)), (bound(5), bound(10)), (bound(10), bound(15)), (bound(15), None)];
        assert_eq!(ranges, expected.map(|(from, to)| Range { from, to }));
    }

    #[test]
    fn few_samples_make_fewer_ranges_and_none_make_one() {
        assert_eq!(between(&bounds(Vec::new(), 4)), [Range::default()]);
        let same = vec![rawdoc! { "_id": 1 }; 10];
        assert_eq!(between(&bounds(same, 4)).len(), 2);
    }
}
