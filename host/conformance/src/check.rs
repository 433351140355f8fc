//! Goes through the cases, one after the other, and keeps what later ones stand on.

use crate::artifacts::{Offer, Taken};
use crate::case::{Case, End, Kind, Roles, matches, plan};
use crate::command;
use crate::descriptor;
use crate::limits::SETTLE;
use crate::outcome::{Conformance, Done, Finding, Outcome};
use crate::step::{Ran, Step};
use crate::{Bound, Compare, Error, Settings};
use coffer_addon_descriptor::{Capability, Descriptor, Function};
use coffer_runtime::{Class, Limits, Linked, Report};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::time::Instant;
use tempfile::TempDir;

/// Facts that mean the same in a source and in a sink, as the contract says.
const TOTALS: [&str; 3] = ["tables", "rows", "bytes"];

/// How far it is.
#[derive(Debug)]
pub enum Event<'a> {
    Begun { case: &'a str, number: usize, of: usize },
    Ended { outcome: &'a Outcome, number: usize, of: usize },
}

pub(crate) struct Kit<'a> {
    pub(crate) linked: &'a Linked,
    pub(crate) descriptor: &'a Descriptor,
    pub(crate) imports: &'a [Capability],
    pub(crate) roles: Roles,
    pub(crate) settings: &'a Settings,
    /// Where the source's artifacts are kept; gone with the kit.
    pub(crate) folder: TempDir,
    /// What the whole runs found, for the cases that stand on them.
    pub(crate) source: Option<Whole>,
    pub(crate) sink: Option<Whole>,
}

/// A whole run, as a measure for broken ones.
#[derive(Debug, Clone)]
pub(crate) struct Whole {
    pub(crate) artifacts: Vec<Taken>,
    pub(crate) totals: BTreeMap<String, String>,
    pub(crate) to_addon: u64,
    pub(crate) to_application: u64,
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

/// Runs every case that `settings` select on a component with these imports. An error is no verdict on the addon.
pub async fn check(
    imports: &[Capability],
    linked: &Linked,
    settings: &Settings,
    mut tell: impl FnMut(Event<'_>),
) -> Result<Conformance, Error> {
    let descriptor = linked.describe().await.map_err(|error| Error::Describe(Box::new(error)))?;
    let roles = Roles::find(&descriptor, settings).map_err(Error::Settings)?;
    let cases = plan(&descriptor, &roles);
    for pattern in settings.only.iter().chain(&settings.skip) {
        if !cases.iter().any(|case| matches(pattern, &case.id)) {
            let ids: Vec<&str> = cases.iter().map(|case| case.id.as_str()).collect();
            return Err(Error::Settings(format!("there is no case {pattern}; there are: {}", ids.join(", "))));
        }
    }
    let cases = selected(cases, &settings.only);
    let folder = tempfile::Builder::new().prefix("coffer-addon-test-").tempdir()?;
    let mut kit = Kit { linked, descriptor: &descriptor, imports, roles, settings, folder, source: None, sink: None };
    let of = cases.len();
    let mut outcomes = Vec::with_capacity(of);
    for (number, case) in (1..).zip(&cases) {
        tell(Event::Begun { case: &case.id, number, of });
        let begun = Instant::now();
        let done = if settings.skip.iter().any(|pattern| matches(pattern, &case.id)) {
            Done::LeftOut("by --skip".into())
        } else {
            kit.run(case).await?
        };
        let outcome = done.judged(&case.id, case.expected, begun.elapsed());
        tell(Event::Ended { outcome: &outcome, number, of });
        outcomes.push(outcome);
    }
    Ok(Conformance::new(format!("{} {}", descriptor.name, descriptor.version), outcomes))
}

/// Those that were asked for, and the whole runs that they are measured by.
fn selected(cases: Vec<Case>, only: &[String]) -> Vec<Case> {
    if only.is_empty() {
        return cases;
    }
    let wanted = |case: &Case| only.iter().any(|pattern| matches(pattern, &case.id));
    let needs = |end: End| {
        cases.iter().filter(|case| wanted(case)).any(|case| match &case.kind {
            Kind::Descriptor | Kind::FunctionDescriptor(_) | Kind::UnknownFunction | Kind::NotCovered => false,
            Kind::UnknownParameter(_) | Kind::WrongType(_) | Kind::Action(_) | Kind::ActionRefused(..) => false,
            Kind::RoundTrip | Kind::Damaged(_) => true,
            Kind::Whole(of) | Kind::Refused(of, _) | Kind::CancelAtStart(of) | Kind::CancelAt(of, _) => {
                end == End::Source || *of == End::Sink
            }
            Kind::CancelStalled(of) | Kind::CutAt(of, _) | Kind::Throttled(of) | Kind::HeldBack(of) => {
                end == End::Source || *of == End::Sink
            }
        })
    };
    let (source, sink) = (needs(End::Source), needs(End::Sink));
    let is_measure = |case: &Case| match case.id.as_str() {
        "source/whole" => source,
        "sink/whole" => sink,
        _ => false,
    };
    cases.iter().filter(|case| wanted(case) || is_measure(case)).cloned().collect()
}

impl Kit<'_> {
    async fn run(&mut self, case: &Case) -> Result<Done, Error> {
        match &case.kind {
            Kind::Descriptor => {
                let again = self.linked.describe().await.map_err(|error| Error::Describe(Box::new(error)))?;
                let mut problems = descriptor::addon(self.descriptor, self.imports);
                if again != *self.descriptor {
                    problems.push("it describes itself differently when asked again".to_owned());
                }
                let Descriptor { functions, tasks, .. } = self.descriptor;
                Ok(Finding::of(problems, format!("{} Functions, {} Tasks", functions.len(), tasks.len())))
            }
            Kind::FunctionDescriptor(name) => Ok(match self.function(name) {
                Some(function) => {
                    Finding::of(descriptor::function(function, self.imports), "nothing to say against it")
                }
                None => Done::LeftOut("there is none".into()),
            }),
            Kind::NotCovered => Ok(Done::LeftOut("this kit does not run transforms yet".into())),
            Kind::UnknownFunction => self.unknown_function().await,
            Kind::UnknownParameter(name) => self.unknown_parameter(name).await,
            Kind::WrongType(name) => self.wrong_type(name).await,
            Kind::Action(name) => self.action(name).await,
            Kind::ActionRefused(name, refusal) => self.action_refused(name, *refusal).await,
            kind => self.with_artifacts(&case.id, kind).await,
        }
    }

    async fn with_artifacts(&mut self, id: &str, kind: &Kind) -> Result<Done, Error> {
        let end = match kind {
            Kind::Whole(end) | Kind::Refused(end, _) | Kind::CancelAtStart(end) | Kind::CancelAt(end, _) => *end,
            Kind::CancelStalled(end) | Kind::CutAt(end, _) | Kind::Throttled(end) | Kind::HeldBack(end) => *end,
            _ => End::Sink,
        };
        if let Some(why) = self.missing(end, matches!(kind, Kind::Whole(_)) && !id.ends_with("again")) {
            return Ok(Done::LeftOut(why));
        }
        if end == End::Sink
            && !matches!(kind, Kind::RoundTrip | Kind::Refused(..))
            && let Some(reset) = &self.settings.reset
            && let Err(said) = command::run(reset).await
        {
            return Ok(Finding::problem(format!("the reset command failed: {said}")));
        }
        match kind {
            Kind::Whole(End::Source) => self.source_whole().await,
            Kind::Whole(End::Sink) => self.sink_whole().await,
            Kind::RoundTrip => self.round_trip().await,
            Kind::Refused(end, refusal) => self.refused(*end, *refusal).await,
            Kind::CancelAtStart(end) => self.cancel_at_start(*end).await,
            Kind::CancelAt(end, percent) => self.cancel_at(*end, *percent).await,
            Kind::CancelStalled(end) => self.cancel_stalled(*end).await,
            Kind::CutAt(end, percent) => self.cut_at(*end, *percent).await,
            Kind::Throttled(end) => self.throttled(*end).await,
            Kind::HeldBack(end) => self.held_back(*end).await,
            Kind::Damaged(harm) => self.damaged(*harm).await,
            _ => Ok(Done::LeftOut("nothing is known of it".into())),
        }
    }

    /// What a case of this end lacks; `first` is the whole run that the others stand on.
    fn missing(&self, end: End, first: bool) -> Option<String> {
        let (bound, role, measure) = match end {
            End::Source => (&self.settings.source, &self.roles.source, &self.source),
            End::Sink => (&self.settings.target, &self.roles.sink, &self.sink),
        };
        let (option, name) = match end {
            End::Source => ("--binding", "source"),
            End::Sink => ("--restore-binding", "sink"),
        };
        if bound.is_none() {
            return Some(format!("needs {option}"));
        }
        if role.is_none() {
            return Some(format!("the addon has no {name}"));
        }
        if end == End::Sink && self.source.is_none() {
            return Some("source/whole did not pass".into());
        }
        (!first && measure.is_none()).then(|| format!("{name}/whole did not pass"))
    }

    pub(crate) fn function(&self, name: &str) -> Option<&Function> {
        self.descriptor.functions.iter().find(|function| function.name == name)
    }

    pub(crate) fn limits(&self) -> Limits {
        let Settings { memory, timeout, .. } = *self.settings;
        Limits { memory, deadline: Some(timeout), idle: timeout, ..Limits::default() }
    }

    /// A run of the source or the sink, whole so far. `None` only where [`Kit::missing`] has said so.
    pub(crate) fn step(&self, end: End) -> Option<Step<'_>> {
        let (bound, function) = match end {
            End::Source => (self.settings.source.as_ref()?, self.roles.source.as_ref()?),
            End::Sink => (self.settings.target.as_ref()?, self.roles.sink.as_ref()?),
        };
        let mut step = Step::new(self.linked, self.limits(), &function.name, bound.application.clone());
        step.parameters = parameters(function, bound);
        if end == End::Sink {
            step.offers = self.offers();
        }
        Some(step)
    }

    /// What the source wrote, in the order that the sink wants.
    pub(crate) fn offers(&self) -> Vec<Offer> {
        let first = self.roles.sink.as_ref().map(|sink| sink.first.as_slice()).unwrap_or_default();
        let rank = |name: &str| first.iter().position(|wanted| wanted == name).unwrap_or(usize::MAX);
        let artifacts = self.source.iter().flat_map(|whole| &whole.artifacts);
        let mut offers: Vec<Offer> = artifacts
            .filter_map(|taken| {
                let (artifact, file) = (taken.artifact.clone(), taken.file.clone()?);
                Some(Offer { artifact, file, damage: crate::artifacts::Damage::None })
            })
            .collect();
        // Stable: those that are not asked for first stay as they are.
        offers.sort_by_key(|offer| rank(&offer.artifact.name));
        offers
    }

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
        if let Some(line) = &self.settings.leftovers
            && let Err(said) = command::until(line, SETTLE).await
        {
            problems.push(format!("something is left in the application; the command says: {said}"));
        }
        problems
    }

    /// How two dumps of the same data differ.
    pub(crate) fn difference(&self, before: &Whole, after: &Whole) -> Vec<String> {
        let mut problems = totals_differ(&before.totals, &after.totals);
        if self.settings.compare == Compare::Facts {
            return problems;
        }
        let by_name = |whole: &Whole| -> BTreeMap<String, Taken> {
            whole.artifacts.iter().map(|taken| (taken.artifact.name.clone(), taken.clone())).collect()
        };
        let (before, mut after) = (by_name(before), by_name(after));
        let mut differing = Vec::new();
        for (name, was) in &before {
            match after.remove(name) {
                None => problems.push(format!("artifact {name} is missing")),
                Some(_) if self.settings.volatile.contains(name) => {}
                Some(is) if is.sha256 != was.sha256 => {
                    differing.push(format!("{name} ({} bytes, then {})", was.length, is.length));
                }
                Some(_) => {}
            }
        }
        problems.extend(after.keys().map(|name| format!("artifact {name} is new")));
        if !differing.is_empty() {
            let names = command::shorten(&differing.join(", "));
            problems.push(format!(
                "artifacts differ: {names}; where that is right, name them by --volatile, or choose --compare facts"
            ));
        }
        problems
    }
}

/// What is set for a Function.
pub(crate) fn parameters(function: &Function, bound: &Bound) -> Map<String, Value> {
    let mut parameters = descriptor::declared(function, &bound.offered);
    parameters.extend(bound.parameters.clone());
    parameters
}

pub(crate) fn totals(report: &Report) -> BTreeMap<String, String> {
    report.facts.iter().filter(|(name, _)| TOTALS.contains(&name.as_str())).cloned().collect()
}

/// Of those that both report.
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
        (Err(error), Expect::Success) => {
            Some(format!("it failed as {}: {}", error.class, command::shorten(&error.message)))
        }
        (Ok(_), _) => Some(format!("it said that all went well: {}", seen(ran))),
        (Err(error), Expect::Class(class)) if error.class == class => None,
        (Err(error), Expect::Error) if is_its_own(error.class) => None,
        (Err(error), Expect::Class(class)) => {
            Some(format!("it failed as {}, not as {class}: {}", error.class, command::shorten(&error.message)))
        }
        (Err(error), Expect::Error) => Some(format!(
            "it failed as {}, not by a verdict of its own: {}",
            error.class,
            command::shorten(&error.message)
        )),
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
        Err(error) => format!("{}: {}", error.class, command::shorten(&error.message)),
        Ok(report) => {
            let mut parts: Vec<String> = totals(report).iter().map(|(name, value)| format!("{name} {value}")).collect();
            if !ran.artifacts.is_empty() {
                let length: u64 = ran.artifacts.iter().map(|taken| taken.length).sum();
                parts.push(format!("{} artifacts with {length} bytes", ran.artifacts.len()));
            }
            parts.push(format!("{} connections", ran.connections));
            parts.join(", ")
        }
    }
}
