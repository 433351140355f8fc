//! The query parameters of a request.

use crate::status::{Result, Status};

/// Parameters in the order they stand in the URL.
#[derive(Clone, Debug, Default)]
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    pub(crate) fn parse(text: Option<&str>) -> Query {
        Query(form_urlencoded::parse(text.unwrap_or_default().as_bytes()).into_owned().collect())
    }

    /// A parameter's value; an empty one counts as not given, as in Kubernetes.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, value)| key == name && !value.is_empty()).map(|(_, value)| value.as_str())
    }

    pub(crate) fn flag(&self, name: &str) -> Result<bool> {
        match self.get(name) {
            None | Some("false" | "0") => Ok(false),
            Some("true" | "1") => Ok(true),
            Some(other) => Err(Status::bad_request(format!("{name}={other}: expected true or false"))),
        }
    }

    pub(crate) fn number(&self, name: &str) -> Result<Option<u64>> {
        let refuse = |text: &str| Status::bad_request(format!("{name}={text}: expected a whole number"));
        self.get(name).map(|text| text.parse().map_err(|_| refuse(text))).transpose()
    }
}

/// What is done about fields that the schema does not know.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum FieldValidation {
    Strict,
    /// Drop them and say so in a `Warning` header.
    Warn,
    /// Drop them.
    Ignore,
}

impl Query {
    /// Strict when not said, unlike Kubernetes: a misspelt field is refused whatever the client.
    pub(crate) fn field_validation(&self) -> Result<FieldValidation> {
        match self.get("fieldValidation") {
            None | Some("Strict") => Ok(FieldValidation::Strict),
            Some("Warn") => Ok(FieldValidation::Warn),
            Some("Ignore") => Ok(FieldValidation::Ignore),
            Some(other) => {
                Err(Status::bad_request(format!("fieldValidation={other}: expected Strict, Warn or Ignore")))
            }
        }
    }

    pub(crate) fn dry_run(&self) -> Result<bool> {
        match self.get("dryRun") {
            None => Ok(false),
            Some("All") => Ok(true),
            Some(other) => Err(Status::bad_request(format!("dryRun={other}: expected All"))),
        }
    }
}
