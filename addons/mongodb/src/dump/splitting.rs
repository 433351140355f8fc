//! A large collection cut into ranges of `_id`, which several connections read at once.
//!
//! A range is one of the index, given by `min` and `max`: there all values have their place, of whatever type. A condition
//! (`$gte`, `$lt`) compares with values of the same type only, and what is of another would be in no range. The first range
//! has no lower bound and the last one no upper, so that together they are the whole index.

use crate::catalog::Found;
use crate::client::{Client, ServerError};
use crate::layout::Kind;
use bson::raw::{RawBsonRef, RawDocument, RawDocumentBuf};
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

impl Range {
    /// Whether a document is the first one behind the range, which a server that keeps to it never sends.
    pub fn ends_before(&self, document: &[u8]) -> bool {
        let field = self.to.as_ref().and_then(|to| to.as_bytes().get(4..to.as_bytes().len().saturating_sub(1)));
        field.zip(document.get(4..)).is_some_and(|(field, document)| document.starts_with(field))
    }
}

/// How a collection is cut: into one range, where it is small or cannot be cut.
pub async fn ranges(client: &mut Client, found: &Found, size: u64) -> Result<Vec<Range>> {
    let count = pieces(found, size);
    if count < 2 {
        return Ok(vec![Range::default()]);
    }
    match cut(client, found, count).await? {
        Ok(bounds) => Ok(between(&bounds)),
        // It takes longer, and that is all.
        Err(error) => {
            coffer_addon::debug!("{} is read by one connection: {}", found.namespace(), error.text());
            Ok(vec![Range::default()])
        }
    }
}

/// Bounds between `count` ranges, where the server has such; the inner error is a refusal.
async fn cut(client: &mut Client, found: &Found, count: u64) -> Result<Result<Vec<RawDocumentBuf>, ServerError>> {
    let wanted = i64::try_from(count * SAMPLES).unwrap_or(i64::MAX);
    let sample = rawdoc! {
        "aggregate": found.name.as_str(),
        "pipeline": [
            { "$sample": { "size": wanted } },
            { "$project": { "_id": 1 } },
            { "$sort": { "_id": 1 } },
        ],
        "cursor": {},
        "allowDiskUse": true,
    };
    let samples = match all(client, found, sample).await? {
        Ok(samples) => samples,
        Err(error) => return Ok(Err(error)),
    };
    let bounds = bounds(samples, usize::try_from(count).unwrap_or(1));
    let Some(first) = bounds.first() else { return Ok(Ok(bounds)) };
    // There are servers that are like MongoDB and pass over a bound in silence: every range would be the whole collection.
    let probe = rawdoc! {
        "find": found.name.as_str(),
        "hint": { "_id": 1 },
        "min": first.clone(),
        "projection": { "_id": 1 },
        "limit": 1,
        "singleBatch": true,
    };
    Ok(match all(client, found, probe).await? {
        Ok(probed) if probed.first() == Some(first) => Ok(bounds),
        Ok(_) => Ok(Vec::new()),
        Err(error) => Err(error),
    })
}

async fn all(
    client: &mut Client,
    found: &Found,
    command: RawDocumentBuf,
) -> Result<Result<Vec<RawDocumentBuf>, ServerError>> {
    let mut cursor = match client.try_query(&found.database, command).await? {
        Ok(cursor) => cursor,
        Err(error) => return Ok(Err(error)),
    };
    let mut all = Vec::new();
    while let Some(document) = cursor.next().await? {
        all.push(document.to_owned());
    }
    Ok(Ok(all))
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
    // An array is no `_id`, and would be another bound than a value.
    !matches!(sample.get("_id"), Ok(None | Some(RawBsonRef::Array(_))) | Err(_))
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
    fn what_is_behind_a_range_is_told() {
        let range = Range { from: None, to: Some(rawdoc! { "_id": 5 }) };
        assert!(range.ends_before(rawdoc! { "_id": 5, "a": 1 }.as_bytes()));
        assert!(!range.ends_before(rawdoc! { "_id": 4, "a": 1 }.as_bytes()));
        assert!(!Range::default().ends_before(rawdoc! { "_id": 5 }.as_bytes()));
    }

    #[test]
    fn few_samples_make_fewer_ranges_and_none_make_one() {
        assert_eq!(between(&bounds(Vec::new(), 4)), [Range::default()]);
        let same = vec![rawdoc! { "_id": 1 }; 10];
        assert_eq!(between(&bounds(same, 4)).len(), 2);
    }
}
