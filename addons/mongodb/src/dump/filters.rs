//! The parameter `query`: filters by collection. What is wrong with one is said before any documents are read, not hours later
//! when its collection's turn has come.

use crate::catalog::Found;
use crate::client::{Client, ServerError, code};
use crate::layout::Kind;
use crate::restore::extjson::Json;
use bson::raw::{RawArrayBuf, RawBsonRef, RawDocument, RawDocumentBuf};
use bson::rawdoc;
use coffer_addon::{Error, Result};
use std::collections::BTreeMap;

/// By namespace.
#[derive(Debug)]
pub struct Filters(BTreeMap<String, RawDocumentBuf>);

impl Filters {
    pub fn parse(query: &BTreeMap<String, String>) -> Result<Self> {
        let filter = |(name, text): (&String, &String)| {
            let filter = Json::parse(text.as_bytes()).and_then(|json| json.document());
            let filter = filter.map_err(|error| {
                let why = error.message();
                Error::InvalidParameter(format!("query: that of {name} is no document in extended JSON: {why}"))
            })?;
            Ok((name.clone(), filter))
        };
        query.iter().map(filter).collect::<Result<_>>().map(Filters)
    }

    pub fn of(&self, namespace: &str) -> Option<&RawDocumentBuf> {
        self.0.get(namespace)
    }

    /// One for a collection that is not dumped is mistyped, and the server has to take each.
    pub async fn check(&self, client: &mut Client, all: &[Found]) -> Result<()> {
        for (name, filter) in &self.0 {
            let found = all.iter().find(|found| found.namespace() == *name);
            let found =
                found.ok_or_else(|| Error::InvalidParameter(format!("query: no collection {name} is dumped")))?;
            let why = match found.kind {
                Kind::Collection => None,
                Kind::View => Some("is a view, which has no documents"),
                Kind::Timeseries => {
                    Some("is a time series, whose documents are dumped as the buckets they are kept in; dump it whole")
                }
            };
            if let Some(why) = why {
                return Err(Error::InvalidParameter(format!("query: {name} {why}")));
            }
            if let Err(error) = refusal(client, found, filter).await? {
                return Err(match error.during("the query on trial") {
                    Error::Failed(_) | Error::Unsupported(_) => {
                        let text = error.text();
                        Error::InvalidParameter(format!("query: the server does not take that of {name}: {text}"))
                    }
                    other => other.context(format!("query: that of {name}")),
                });
            }
        }
        Ok(())
    }
}

/// What the server has against a filter, without looking for anything: as the inner error.
async fn refusal(client: &mut Client, found: &Found, filter: &RawDocument) -> Result<Result<(), ServerError>> {
    if !client.version().has_lazy_filters() {
        let find = rawdoc! { "find": found.name.as_str(), "filter": filter.to_owned() };
        let explain = rawdoc! { "explain": find, "verbosity": "queryPlanner" };
        return Ok(match client.try_run(&found.database, explain).await? {
            Err(error) if [code::COMMAND_NOT_FOUND, code::COMMAND_NOT_SUPPORTED].contains(&error.code) => {
                coffer_addon::debug!("the server cannot say beforehand whether it takes a filter: {}", error.text());
                Ok(())
            }
            told => told.map(|_| ()),
        });
    }
    for part in parts(filter) {
        let pipeline = RawArrayBuf::from_iter([rawdoc! { "$limit": 1 }, rawdoc! { "$match": part }]);
        let one = rawdoc! { "aggregate": found.name.as_str(), "pipeline": pipeline, "cursor": {} };
        if let Err(error) = client.try_run(&found.database, one).await? {
            return Ok(Err(error));
        }
    }
    Ok(Ok(()))
}

/// A filter's conditions, each by itself: a server that looks at them one after the other with a document in its hand stops at
/// the first that is not met.
fn parts(filter: &RawDocument) -> Vec<RawDocumentBuf> {
    let mut parts = Vec::new();
    // It was put together here: nothing in it is broken.
    for (name, value) in filter.iter().flatten() {
        match value {
            RawBsonRef::Array(all) if ["$and", "$or", "$nor"].contains(&name.as_str()) => {
                for one in all.into_iter().flatten() {
                    match one {
                        RawBsonRef::Document(one) => parts.extend(self::parts(one)),
                        _ => parts.push(alone(name, value)),
                    }
                }
            }
            RawBsonRef::Document(operators) if is_split(operators) => {
                for (operator, operand) in operators.iter().flatten() {
                    parts.push(alone(name, RawBsonRef::Document(&alone(operator, operand))));
                }
            }
            _ => parts.push(alone(name, value)),
        }
    }
    parts
}

/// Whether it is operators and no value, and none of them needs another.
fn is_split(document: &RawDocument) -> bool {
    let mut names = document.iter().map(|field| field.map(|(name, _)| name.as_str()).unwrap_or_default());
    names.all(|name| name.starts_with('$') && !["$regex", "$options", "$ref", "$id", "$db"].contains(&name))
}

fn alone(name: &bson::raw::CStr, value: RawBsonRef<'_>) -> RawDocumentBuf {
    let mut document = RawDocumentBuf::new();
    document.append(name, value);
    document
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_are_told_apart() {
        let regex = rawdoc! { "name": { "$regex": "a", "$options": "i" } };
        let filter = rawdoc! {
            "paid": { "$gt": 1, "$lt": 3 },
            "$or": [{ "a": 1, "b": { "c": 1 } }, { "$and": [regex.clone()] }, 7],
            "empty": {},
        };
        let expected = [
            rawdoc! { "paid": { "$gt": 1 } },
            rawdoc! { "paid": { "$lt": 3 } },
            rawdoc! { "a": 1 },
            rawdoc! { "b": { "c": 1 } },
            regex,
            rawdoc! { "$or": [{ "a": 1, "b": { "c": 1 } }, { "$and": [{ "name": { "$regex": "a", "$options": "i" } }] }, 7] },
        ];
        assert_eq!(parts(&filter), expected);
    }
}
