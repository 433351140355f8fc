//! Goes through the cases, one after the other, and keeps what later ones stand on.

use crate::artifacts::Offer;
use crate::case::{Case, End, Kind, Roles, matches, plan};
use crate::command;
use crate::descriptor;
use crate::judge::Whole;
use crate::limits::CONNECT;
use crate::outcome::{Conformance, Done, Finding, Outcome};
use crate::step::Step;
use crate::{Bound, Error, Settings};
use coffer_addon_descriptor::{Capability, Descriptor, Function};
use coffer_runtime::{Limits, Linked};
use serde_json::{Map, Value};
use std::cell::Cell;
use std::time::Instant;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::time::timeout;

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
    /// Something was found that an earlier case has left: it is not blamed on the next ones.
    pub(crate) littered: Cell<bool>,
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
    for bound in settings.source.iter().chain(&settings.target) {
        reachable(bound).await?;
    }
    for pattern in settings.only.iter().chain(&settings.skip) {
        if !cases.iter().any(|case| matches(pattern, &case.id)) {
            let ids: Vec<&str> = cases.iter().map(|case| case.id.as_str()).collect();
            return Err(Error::Settings(format!("there is no case {pattern}; there are: {}", ids.join(", "))));
        }
    }
    let cases = selected(cases, &settings.only);
    let folder = tempfile::Builder::new().prefix("coffer-addon-test-").tempdir()?;
    let mut kit = Kit {
        linked,
        descriptor: &descriptor,
        imports,
        roles,
        settings,
        folder,
        source: None,
        sink: None,
        littered: Cell::new(false),
    };
    let of = cases.len();
    let mut outcomes = Vec::with_capacity(of);
    for (number, case) in (1..).zip(&cases) {
        tell(Event::Begun { case: &case.id, number, of });
        let begun = Instant::now();
        kit.look_for_litter().await;
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

/// Behind the proxy a server that is not there would look like one that hangs up.
async fn reachable(bound: &Bound) -> Result<(), Error> {
    for endpoint in &bound.application.endpoints {
        let (host, port) = (endpoint.host.as_str(), endpoint.port);
        let connected = timeout(CONNECT, TcpStream::connect((host, port))).await;
        let connected = connected.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()));
        connected
            .map_err(|error| Error::Settings(format!("the application at {host}:{port} is not there: {error}")))?;
    }
    Ok(())
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
}

/// What is set for a Function.
pub(crate) fn parameters(function: &Function, bound: &Bound) -> Map<String, Value> {
    let mut parameters = descriptor::declared(function, &bound.offered);
    parameters.extend(bound.parameters.clone());
    parameters
}
