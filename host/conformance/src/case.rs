//! The cases: which there are for an addon, by what it is and by what its author gives.

use crate::Settings;
use coffer_addon_descriptor::{Descriptor, Function, Role};

/// Percent of what the whole run moved: early, in the middle, late.
const POINTS: [u8; 3] = [10, 50, 90];

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Case {
    pub(crate) id: String,
    pub(crate) expected: &'static str,
    pub(crate) kind: Kind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Needs nothing but the component.
    Descriptor,
    FunctionDescriptor(String),
    UnknownFunction,
    UnknownParameter(String),
    WrongType(String),
    NotCovered,
    /// With the application.
    Action(String),
    ActionRefused(String, Refusal),
    Whole(End),
    RoundTrip,
    Refused(End, Refusal),
    CancelAtStart(End),
    CancelAt(End, u8),
    CancelStalled(End),
    CutAt(End, u8),
    Throttled(End),
    HeldBack(End),
    Damaged(Harm),
}

/// Which of the two Functions that artifacts go between.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Source,
    Sink,
}

/// Why a Function cannot begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    Password,
    Unreachable,
    HangsUp,
    Nonsense,
    Tls,
}

/// What is wrong with what a sink is handed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Harm {
    Nothing,
    Missing,
    Unknown,
    Half,
    LineEnd,
    Tail,
    Broken,
    Garbled,
    FirstGarbled,
}

impl Refusal {
    const ALL: [Self; 5] = [Self::Password, Self::Unreachable, Self::HangsUp, Self::Nonsense, Self::Tls];

    fn name(self) -> &'static str {
        match self {
            Self::Password => "wrong-password",
            Self::Unreachable => "unreachable",
            Self::HangsUp => "hangs-up",
            Self::Nonsense => "nonsense",
            Self::Tls => "tls",
        }
    }

    fn expected(self) -> &'static str {
        match self {
            Self::Password => "a wrong password is denied",
            Self::Unreachable => "nobody listens: unavailable",
            Self::HangsUp => "hung up on at once: unavailable",
            Self::Nonsense => "a server that talks nonsense: an error, no trap",
            Self::Tls => "no secured connection, no work: an error",
        }
    }
}

impl Harm {
    const ALL: [(Self, &'static str, &'static str); 9] = [
        (Self::Nothing, "nothing", "no artifact comes: an error"),
        (Self::Missing, "missing", "the largest artifact does not come: an error"),
        (Self::Unknown, "unknown", "an artifact comes that is none of its: an error"),
        (Self::Half, "half", "half an artifact, said to be whole: an error"),
        (Self::LineEnd, "half-at-line-end", "the same, cut at a line's end: an error"),
        (Self::Tail, "tail", "its last 16 bytes are missing: an error"),
        (Self::Broken, "broken", "an artifact fails half-way: an error"),
        (Self::Garbled, "garbled", "4 KiB in the middle are overwritten: an error"),
        (Self::FirstGarbled, "first-garbled", "what comes first is overwritten: an error"),
    ];
}

/// The Functions under test, found in the descriptor.
#[derive(Debug, Clone, Default)]
pub(crate) struct Roles {
    pub(crate) source: Option<Function>,
    pub(crate) sink: Option<Function>,
    pub(crate) actions: Vec<Function>,
}

impl Roles {
    /// An error says what to choose.
    pub(crate) fn find(descriptor: &Descriptor, settings: &Settings) -> Result<Self, String> {
        let source = settings.source.as_ref().map(|bound| bound.application.kind.as_str());
        let target = settings.target.as_ref().map(|bound| bound.application.kind.as_str());
        let actions = descriptor.functions.iter().filter(|function| function.role == Role::Action);
        Ok(Self {
            source: one(descriptor, Role::Source, source, settings.source_function.as_deref(), "--source")?,
            sink: one(descriptor, Role::Sink, target, settings.sink_function.as_deref(), "--sink")?,
            actions: actions.filter(|function| source.is_some_and(|kind| serves(function, kind))).cloned().collect(),
        })
    }
}

fn serves(function: &Function, kind: &str) -> bool {
    function.serves.is_empty() || function.serves.iter().any(|serves| serves.application == kind)
}

fn one(
    descriptor: &Descriptor,
    role: Role,
    kind: Option<&str>,
    named: Option<&str>,
    option: &str,
) -> Result<Option<Function>, String> {
    let of_role = || descriptor.functions.iter().filter(|function| function.role == role);
    let names = |functions: &[&Function]| functions.iter().map(|f| f.name.as_str()).collect::<Vec<_>>().join(", ");
    if let Some(named) = named {
        let found = of_role().find(|function| function.name == named).cloned();
        let all = names(&of_role().collect::<Vec<_>>());
        return found.map(Some).ok_or(format!("{option} {named} is none of the addon's Functions of that role: {all}"));
    }
    let Some(kind) = kind else { return Ok(None) };
    let fitting: Vec<&Function> = of_role().filter(|function| serves(function, kind)).collect();
    match fitting.as_slice() {
        [] if of_role().next().is_none() => Ok(None),
        [] => Err(format!(
            "the binding is to {kind}, which none of these serves: {}",
            names(&of_role().collect::<Vec<_>>())
        )),
        [only] => Ok(Some((*only).clone())),
        several => Err(format!("several Functions fit; choose one by {option}: {}", names(several))),
    }
}

/// All cases, in the order in which they run.
pub(crate) fn plan(descriptor: &Descriptor, roles: &Roles) -> Vec<Case> {
    let mut cases = Vec::new();
    let mut add = |id: String, expected, kind| cases.push(Case { id, expected, kind });
    add("descriptor".into(), "name, Functions and Tasks agree", Kind::Descriptor);
    for function in &descriptor.functions {
        let name = &function.name;
        add(
            format!("{name}/descriptor"),
            "role, capabilities and schema agree",
            Kind::FunctionDescriptor(name.clone()),
        );
        add(
            format!("{name}/unknown-parameter"),
            "refused as invalid, before anything else",
            Kind::UnknownParameter(name.clone()),
        );
        add(format!("{name}/wrong-type"), "refused as invalid, before anything else", Kind::WrongType(name.clone()));
    }
    add("unknown-function".into(), "refused, no trap", Kind::UnknownFunction);
    if descriptor.functions.iter().any(|function| function.role == Role::Transform) {
        add("transforms".into(), "run on artifacts", Kind::NotCovered);
    }
    for function in &roles.actions {
        let name = &function.name;
        add(format!("{name}/whole"), "succeeds", Kind::Action(name.clone()));
        for refusal in Refusal::ALL {
            let kind = Kind::ActionRefused(name.clone(), refusal);
            add(format!("{name}/{}", refusal.name()), refusal.expected(), kind);
        }
    }
    for end in [End::Source, End::Sink] {
        let name = match end {
            End::Source => "source",
            End::Sink => "sink",
        };
        add(
            format!("{name}/whole"),
            match end {
                End::Source => "succeeds with artifacts",
                End::Sink => "succeeds with the source's totals",
            },
            Kind::Whole(end),
        );
        if end == End::Sink {
            add("round-trip".into(), "the copy's artifacts are the source's", Kind::RoundTrip);
        }
        for refusal in Refusal::ALL {
            add(format!("{name}/{}", refusal.name()), refusal.expected(), Kind::Refused(end, refusal));
        }
        add(format!("{name}/cancel-at-start"), "stops, and leaves nothing", Kind::CancelAtStart(end));
        for point in POINTS {
            add(format!("{name}/cancel-{point}"), "stops, and leaves nothing", Kind::CancelAt(end, point));
        }
        let stalled = "stops although the application stands still";
        add(format!("{name}/cancel-stalled"), stalled, Kind::CancelStalled(end));
        for point in POINTS {
            let expected = "the application is gone: unavailable";
            add(format!("{name}/cut-{point}"), expected, Kind::CutAt(end, point));
        }
        add(format!("{name}/throttled"), "succeeds as before, slowly", Kind::Throttled(end));
        let held = match end {
            End::Source => "holds the application back while artifacts stand still",
            End::Sink => "holds artifacts back while the application stands still",
        };
        add(format!("{name}/held-back"), held, Kind::HeldBack(end));
    }
    for (harm, name, expected) in Harm::ALL {
        add(format!("sink/{name}"), expected, Kind::Damaged(harm));
    }
    add("sink/whole-again".into(), "succeeds after all of this", Kind::Whole(End::Sink));
    cases
}

/// `*` at the end stands for anything: `sink/cut-*`.
pub(crate) fn matches(pattern: &str, id: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => id.starts_with(prefix),
        None => id == pattern,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_names_or_beginnings() {
        assert!(matches("sink/cut-*", "sink/cut-10") && matches("sink/tls", "sink/tls"));
        assert!(!matches("sink/cut-*", "source/cut-10") && !matches("sink", "sink/tls"));
    }
}
