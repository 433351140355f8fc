//! Which server it is, and what follows from that.

use coffer_addon::{Error, Result};
use serde_json::Value;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flavour {
    Elasticsearch,
    OpenSearch,
}

impl Flavour {
    pub fn name(self) -> &'static str {
        match self {
            Flavour::Elasticsearch => "Elasticsearch",
            Flavour::OpenSearch => "OpenSearch",
        }
    }
}

/// What `GET /` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    pub flavour: Flavour,
    /// As the server says it.
    pub text: String,
    pub major: u32,
    pub minor: u32,
    pub cluster: String,
    /// Empty before the nodes have made a cluster.
    pub cluster_uuid: String,
    /// Without the parts that are under Elastic's own licence: no points in time, no data streams, no ILM.
    pub oss: bool,
}

impl Version {
    pub fn of(answer: &Value) -> Result<Self> {
        let version = answer.get("version").unwrap_or(&Value::Null);
        let text = |name: &str| version.get(name).and_then(Value::as_str).unwrap_or_default();
        let number = text("number");
        let mut parts = number.split(['.', '-']).map(|part| part.parse::<u32>().ok());
        let (Some(Some(major)), Some(Some(minor))) = (parts.next(), parts.next()) else {
            return Err(Error::Unsupported(
                "what answers there is no Elasticsearch and no OpenSearch: its GET / names no version".into(),
            ));
        };
        let flavour = if text("distribution") == "opensearch" { Flavour::OpenSearch } else { Flavour::Elasticsearch };
        let version = Version {
            flavour,
            text: number.to_owned(),
            major,
            minor,
            cluster_uuid: match answer.get("cluster_uuid").and_then(Value::as_str) {
                Some(uuid) if uuid != "_na_" => uuid.to_owned(),
                _ => String::new(),
            },
            cluster: answer.get("cluster_name").and_then(Value::as_str).unwrap_or_default().to_owned(),
            oss: text("build_flavor") == "oss",
        };
        if flavour == Flavour::Elasticsearch && !version.is_since(6, 5) {
            return Err(Error::Unsupported(format!("Elasticsearch {number} is too old: it must be 6.5 or later")));
        }
        Ok(version)
    }

    pub fn is_since(&self, major: u32, minor: u32) -> bool {
        (self.major, self.minor) >= (major, minor)
    }

    pub fn is_elasticsearch(&self) -> bool {
        self.flavour == Flavour::Elasticsearch
    }

    /// Elasticsearch from this version on, and every OpenSearch: it is a branch of 7.10.
    pub fn has_since(&self, major: u32, minor: u32) -> bool {
        !self.is_elasticsearch() || self.is_since(major, minor)
    }

    /// Mappings are below a type's name.
    pub fn has_types(&self) -> bool {
        self.is_elasticsearch() && self.major < 7
    }

    /// Points in time that can be read page by page; some builds lack them all the same, which a dump finds out. Elasticsearch
    /// 7.10 and 7.11 have some without an order (`_shard_doc`) in which no document comes twice.
    pub fn has_points_in_time(&self) -> bool {
        match self.flavour {
            Flavour::Elasticsearch => self.is_since(7, 12) && !self.oss,
            Flavour::OpenSearch => self.is_since(2, 4),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn servers_are_told_apart() {
        let open =
            Version::of(&json!({ "version": { "number": "3.8.0", "distribution": "opensearch" } })).expect("one");
        assert_eq!((open.flavour, open.major, open.minor), (Flavour::OpenSearch, 3, 8));
        assert!(open.has_points_in_time());
        let old = json!({ "version": { "number": "7.10.2", "build_flavor": "oss" }, "cluster_name": "c" });
        let old = Version::of(&old).expect("one");
        assert!(old.is_elasticsearch() && !old.has_points_in_time() && !old.has_types());
        assert!(matches!(Version::of(&json!({ "version": { "number": "5.6.1" } })), Err(Error::Unsupported(_))));
        assert!(matches!(Version::of(&json!({ "ok": true })), Err(Error::Unsupported(_))));
    }
}
