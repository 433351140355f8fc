//! What is right and wrong with a run: how it ended, what it left, and whether two dumps are the same.

use crate::Compare;
use crate::artifacts::Taken;
use crate::check::Kit;
use crate::command::{self, shorten};
use crate::limits::SETTLE;
use crate::outcome::{Done, Finding};
use crate::step::Ran;
use coffer_runtime::{Class, Report};
use std::collections::BTreeMap;

/// Facts that mean the same in a source and in a sink, as the contract says.
const TOTALS: [&str; 3] = ["tables", "rows", "bytes"];

/// A whole run, as a measure for broken ones.
#[derive(Debug, Clone)]
pub(crate) struct Whole {
    pub(crate) artifacts: Vec<Taken>,
    pub(crate) totals: BTreeMap<String, String>,
    pub(crate) to_addon: u64,
    pub(crate) to_application: u64,
    /// Over the connections, as the addon took and gave it.
    pub(crate) exchanged: u64,
    pub(crate) connections: u64,
}

/// How a run has to end.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Expect {
    Success,
    Class(Class),
    /// By the addon's own verdict, whichever.
    Error,
}

impl Kit<'_> {
    /// What is wrong with how a run ended, and with what it left.
    pub(crate) async fn judge(&self, ran: &Ran, expect: Expect) -> Done {
        let mut problems: Vec<String> = unexpected(ran, expect).into_iter().collect();
        problems.extend(self.aftermath(ran).await);
        self.finding(problems, ran)
    }

    pub(crate) fn finding(&self, problems: Vec<String>, ran: &Ran) -> Done {
        Done::Found(Finding { problems, seen: seen(ran), memory: Some(ran.memory) })
    }

    /// What was left behind, and what was said that should not be.
    pub(crate) async fn aftermath(&self, ran: &Ran) -> Vec<String> {
        let mut problems = Vec::new();
        if ran.lingering > 0 {
            let count = ran.lingering;
            problems
                .push(format!("{SETTLE:?} after its end the application still has {count} of its connections open"));
        }
        if let Some(place) = &ran.secret {
            problems.push(format!("a credential is in {place}"));
        }
        if let Some(source) = self.source.as_ref().filter(|_| ran.outcome.is_err()) {
            problems.extend(untrue(ran, source, &self.settings.volatile));
        }
        if let Some(line) = self.settings.leftovers.as_ref().filter(|_| !self.littered.get())
            && let Err(said) = command::until(line, SETTLE).await
        {
            self.littered.set(true);
            problems.push(format!("something is left in the application; the command says: {said}"));
        }
        problems
    }

    /// Looks whether what the case before has left is still there.
    pub(crate) async fn look_for_litter(&self) {
        if self.littered.get()
            && let Some(line) = &self.settings.leftovers
        {
            self.littered.set(command::run(line).await.is_err());
        }
    }

    /// How two dumps of the same data differ.
    pub(crate) fn difference(&self, before: &Whole, after: &Whole) -> Vec<String> {
        let mut problems = totals_differ(&before.totals, &after.totals);
        if self.settings.compare == Compare::Facts {
            if !TOTALS.iter().any(|total| before.totals.contains_key(*total) && after.totals.contains_key(*total)) {
                let totals = TOTALS.join(", ");
                problems.push(format!("nothing was compared: the source reports none of {totals}; see --compare"));
            }
            return problems;
        }
        let by_name = |whole: &Whole| -> BTreeMap<String, Taken> {
            let steady = whole.artifacts.iter().filter(|taken| !self.settings.volatile.contains(&taken.artifact.name));
            steady.map(|taken| (taken.artifact.name.clone(), taken.clone())).collect()
        };
        let (mut before, mut after) = (by_name(before), by_name(after));
        if self.settings.compare == Compare::Contents {
            // The name is then what stands in it.
            (before, after) = (by_contents(before), by_contents(after));
        }
        let mut differing = Vec::new();
        for (name, was) in &before {
            match after.remove(name) {
                None => differing.push(format!("{} ({} bytes) is missing", was.artifact.name, was.length)),
                Some(is) if is.sha256 != was.sha256 => {
                    differing.push(format!("{name} had {} bytes and has {} others", was.length, is.length));
                }
                Some(_) => {}
            }
        }
        differing.extend(after.values().map(|is| format!("{} ({} bytes) is new", is.artifact.name, is.length)));
        if !differing.is_empty() {
            let names = shorten(&differing.join(", "));
            problems.push(format!("artifacts differ: {names}; where that is right, see --volatile and --compare"));
        }
        problems
    }
}

/// The same artifacts under what stands in them; of equal ones, which it is.
fn by_contents(artifacts: BTreeMap<String, Taken>) -> BTreeMap<String, Taken> {
    let mut count = BTreeMap::<[u8; 32], usize>::new();
    let artifacts = artifacts.into_values().map(|taken| {
        let which = count.entry(taken.sha256).or_default();
        *which += 1;
        (format!("{:?} {which}", taken.sha256), taken)
    });
    artifacts.collect()
}

pub(crate) fn totals(report: &Report) -> BTreeMap<String, String> {
    report.facts.iter().filter(|(name, _)| TOTALS.contains(&name.as_str())).cloned().collect()
}

/// Of those that both report: by themselves none may say that two dumps are the same, as [`Kit::difference`] does.
pub(crate) fn totals_differ(before: &BTreeMap<String, String>, after: &BTreeMap<String, String>) -> Vec<String> {
    let both = before.iter().filter_map(|(name, was)| Some((name, was, after.get(name)?)));
    both.filter(|(_, was, is)| was != is).map(|(name, was, is)| format!("{name} were {was} and are {is}")).collect()
}

/// Artifacts that were said to be whole by a run that failed, and are not.
fn untrue(ran: &Ran, source: &Whole, volatile: &[String]) -> Vec<String> {
    let lies = ran.artifacts.iter().filter(|taken| taken.whole && !volatile.contains(&taken.artifact.name));
    lies.filter_map(|taken| {
        let whole = source.artifacts.iter().find(|other| other.artifact.name == taken.artifact.name)?;
        let (is, was) = (taken.length, whole.length);
        let name = &taken.artifact.name;
        (is < was).then(|| format!("artifact {name} was said to be whole with {is} of {was} bytes"))
    })
    .collect()
}

fn unexpected(ran: &Ran, expect: Expect) -> Option<String> {
    match (&ran.outcome, expect) {
        (Ok(_), Expect::Success) => None,
        (Err(error), Expect::Success) => Some(format!("it failed as {}: {}", error.class, shorten(&error.message))),
        (Ok(_), _) => Some(format!("it said that all went well: {}", seen(ran))),
        (Err(error), Expect::Class(class)) if error.class == class => None,
        (Err(error), Expect::Error) if is_its_own(error.class) => None,
        (Err(error), Expect::Class(class)) => {
            Some(format!("it failed as {}, not as {class}: {}", error.class, shorten(&error.message)))
        }
        (Err(error), Expect::Error) => {
            Some(format!("it failed as {}, not by a verdict of its own: {}", error.class, shorten(&error.message)))
        }
    }
}

/// Whether the addon said so, and not the host about it.
fn is_its_own(class: Class) -> bool {
    use Class::{Corrupt, Denied, Failed, InvalidParameter, Unavailable, Unsupported};
    matches!(class, InvalidParameter | Unavailable | Denied | Unsupported | Corrupt | Failed)
}

/// A run in a line.
pub(crate) fn seen(ran: &Ran) -> String {
    match &ran.outcome {
        Err(error) => format!("{}: {}", error.class, shorten(&error.message)),
        Ok(report) => {
            let mut parts: Vec<String> = totals(report).iter().map(|(name, value)| format!("{name} {value}")).collect();
            if !ran.artifacts.is_empty() {
                let length: u64 = ran.artifacts.iter().map(|taken| taken.length).sum();
                parts.push(format!("{} artifacts with {length} bytes", ran.artifacts.len()));
            }
            parts.push(format!("{} connections at once", ran.connections));
            parts.join(", ")
        }
    }
}
