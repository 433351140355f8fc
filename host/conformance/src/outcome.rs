//! What a case found: the lines of the table.

use crate::case::matches;
use serde::Serialize;
use std::time::Duration;

/// One case, done or left out.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Outcome {
    /// Such as `source/cancel-50`; what `--only` and `--skip` go by.
    pub case: String,
    pub verdict: Verdict,
    /// What a conforming addon does.
    pub expected: String,
    /// What this one did, or why the case was left out.
    pub found: String,
    pub seconds: f64,
    /// The most linear memory of the component, in bytes, where it ran.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    Passed,
    Failed,
    Skipped,
}

impl Verdict {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
        }
    }
}

/// All of them.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Conformance {
    /// Name and version.
    pub addon: String,
    pub cases: Vec<Outcome>,
    pub passed: usize,
    pub failed: usize,
    pub skipped: usize,
    /// The most linear memory that any run has had, in bytes.
    pub peak_memory: u64,
}

impl Conformance {
    pub(crate) fn new(addon: String, cases: Vec<Outcome>) -> Self {
        let count = |verdict| cases.iter().filter(|case| case.verdict == verdict).count();
        Self {
            addon,
            passed: count(Verdict::Passed),
            failed: count(Verdict::Failed),
            skipped: count(Verdict::Skipped),
            peak_memory: cases.iter().filter_map(|case| case.memory).max().unwrap_or(0),
            cases,
        }
    }

    /// Why nothing of what was asked for was tried: a case among these that was left out, when all of them were. The whole
    /// runs that they stand on do not count.
    pub fn untried(&self, only: &[String]) -> Option<&Outcome> {
        let mut asked = self.cases.iter().filter(|case| only.iter().any(|pattern| matches(pattern, &case.case)));
        let first = asked.next()?;
        let is_left_out = |case: &Outcome| case.verdict == Verdict::Skipped;
        (is_left_out(first) && asked.all(is_left_out)).then_some(first)
    }
}

/// What a case's check gives.
pub(crate) struct Finding {
    /// Empty: it passed.
    pub(crate) problems: Vec<String>,
    /// What there was to see when all was well.
    pub(crate) seen: String,
    pub(crate) memory: Option<u64>,
}

/// A case that could not be done is no verdict on the addon.
pub(crate) enum Done {
    Found(Finding),
    LeftOut(String),
}

impl Finding {
    pub(crate) fn of(problems: Vec<String>, seen: impl Into<String>) -> Done {
        Done::Found(Self { problems, seen: seen.into(), memory: None })
    }

    pub(crate) fn problem(problem: impl Into<String>) -> Done {
        Self::of(vec![problem.into()], "")
    }
}

impl Done {
    pub(crate) fn judged(self, case: &str, expected: &str, time: Duration) -> Outcome {
        let (verdict, found, memory) = match self {
            Self::LeftOut(why) => (Verdict::Skipped, why, None),
            Self::Found(Finding { problems, seen, memory }) if problems.is_empty() => (Verdict::Passed, seen, memory),
            Self::Found(Finding { problems, memory, .. }) => (Verdict::Failed, problems.join("; "), memory),
        };
        let (case, expected) = (case.to_owned(), expected.to_owned());
        Outcome { case, verdict, expected, found, seconds: time.as_secs_f64(), memory }
    }
}
