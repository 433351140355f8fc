//! Artifacts, receipts and reports: what passes between a step and its host.

/// Names a stream of bytes. The name becomes the file's path in the snapshot: relative, `/` between its parts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Artifact {
    pub name: String,
    /// Media type, row count and the like: kept beside the bytes, never interpreted by the host.
    pub labels: Vec<(String, String)>,
}

impl Artifact {
    /// The value of a label.
    pub fn label(&self, key: &str) -> Option<&str> {
        self.labels.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }
}

/// The host's own measure of an artifact that arrived whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// In bytes.
    pub length: u64,
    pub sha256: [u8; 32],
}

/// What a run found out: counts, versions, positions. Kept with the snapshot. `tables`, `rows` and `bytes` (of the rows' data)
/// mean the same in every source and sink: a restore has failed when its sink reports another value than the source did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    pub facts: Vec<(String, String)>,
}

impl Report {
    pub fn new() -> Self {
        Report::default()
    }

    /// Adds a fact.
    pub fn fact(mut self, name: impl Into<String>, value: impl ToString) -> Self {
        self.facts.push((name.into(), value.to_string()));
        self
    }
}
