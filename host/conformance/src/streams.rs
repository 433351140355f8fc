//! What happens to streams: whole, cancelled, cut, slow, standing still, damaged.

use crate::Error;
use crate::artifacts::{Damage, Offer, Taken, line_end};
use crate::case::{End, Harm};
use crate::check::Kit;
use crate::judge::{Expect, Whole, seen, totals, totals_differ};
use crate::limits::{DAMAGE_BYTES, HELD_A_CONNECTION, HELD_A_REQUEST, LOOK, ODD_PIECE, QUIET, TAIL_BYTES, THROTTLED};
use crate::outcome::{Done, Finding};
use crate::proxy::{Direction, Fault};
use crate::refusals::idle;
use crate::step::{Handles, Ran};
use coffer_addon_descriptor::{COPY_OF, Capability};
use coffer_runtime::{ARTIFACT_BYTES_AHEAD, Artifact, Class};
use std::cell::Cell;
use std::time::Instant;
use tokio::time::sleep;

impl Whole {
    fn of(ran: &Ran) -> Option<Self> {
        let report = ran.outcome.as_ref().ok()?;
        Some(Self {
            artifacts: ran.artifacts.clone(),
            totals: totals(report),
            to_addon: ran.to_addon,
            to_application: ran.to_application,
            exchanged: ran.exchanged,
            connections: ran.connections,
        })
    }

    /// Of all artifacts.
    fn bytes(&self) -> u64 {
        self.artifacts.iter().map(|taken| taken.length).sum()
    }

    /// When fewer of them have gone through the host, the addon still has some: what the host takes ahead is not all.
    fn bytes_behind(&self) -> u64 {
        self.artifacts.iter().map(|taken| taken.length.saturating_sub(ARTIFACT_BYTES_AHEAD)).sum()
    }
}

impl Kit<'_> {
    pub(crate) async fn source_whole(&mut self) -> Result<Done, Error> {
        let Some(mut step) = self.step(End::Source) else { return Ok(Done::LeftOut("needs --binding".into())) };
        step.keep = Some(self.folder.path().to_owned());
        let ran = step.run(idle).await?;
        let mut problems = self.problems(&ran, Expect::Success).await;
        if ran.outcome.is_ok() && ran.artifacts.is_empty() {
            problems.push("it wrote no artifact".to_owned());
        }
        if problems.is_empty() {
            self.source = Whole::of(&ran);
        }
        Ok(self.finding(problems, &ran))
    }

    pub(crate) async fn sink_whole(&mut self) -> Result<Done, Error> {
        let Some(step) = self.step(End::Sink) else { return Ok(Done::LeftOut("needs --restore-binding".into())) };
        let ran = step.run(idle).await?;
        let mut problems = self.problems(&ran, Expect::Success).await;
        if let (Some(source), Some(sink)) = (&self.source, Whole::of(&ran)) {
            problems.extend(totals_differ(&source.totals, &sink.totals));
            let bytes = source.bytes();
            if ran.read < bytes {
                problems.push(format!("it read {} of the {bytes} bytes that the source wrote", ran.read));
            }
            if problems.is_empty() {
                self.sink = Some(sink);
            }
        }
        Ok(self.finding(problems, &ran))
    }

    /// The restored copy, as the source sees it.
    pub(crate) async fn round_trip(&self) -> Result<Done, Error> {
        let (Some(mut step), Some(target)) = (self.step(End::Source), &self.settings.target) else {
            return Ok(Done::LeftOut("needs --binding".into()));
        };
        step.application = target.application.clone();
        let ran = step.run(idle).await?;
        let mut problems = self.problems(&ran, Expect::Success).await;
        if let (Some(before), Some(after)) = (&self.source, Whole::of(&ran)) {
            problems.extend(self.difference(before, &after));
        }
        Ok(self.finding(problems, &ran))
    }

    /// With the first connection: there is nothing yet, and there has to be nothing afterwards.
    pub(crate) async fn cancel_at_start(&self, end: End) -> Result<Done, Error> {
        let Some(step) = self.step(end) else { return Ok(Done::LeftOut("needs a binding".into())) };
        let asked = Cell::new(None);
        let ran = step
            .run(async |handles: &Handles| {
                handles.proxy.connected().await;
                cancel(handles, &asked);
            })
            .await?;
        self.cancelled(&ran, asked.get(), true).await
    }

    /// In the middle of the artifacts, which stand still from there on.
    pub(crate) async fn cancel_at(&self, end: End, percent: u8) -> Result<Done, Error> {
        let Some(mut step) = self.step(end) else { return Ok(Done::LeftOut("needs a binding".into())) };
        let (all, behind) = self.source.as_ref().map_or((0, 0), |whole| (whole.bytes(), whole.bytes_behind()));
        step.hold_after = Some(match (end, behind) {
            // Early enough that the source cannot be through with what the host takes ahead.
            (End::Source, 2..) => part(all, percent).min(behind - 1),
            _ => part(all, percent),
        });
        let asked = Cell::new(None);
        let ran = step
            .run(async |handles: &Handles| {
                handles.gate.reached().await;
                cancel(handles, &asked);
            })
            .await?;
        if ran.outcome.is_ok() && end == End::Source && behind < 2 {
            let why = "its artifacts are so small that it was done before they could be held up; give it more data";
            return Ok(Done::LeftOut(why.into()));
        }
        self.cancelled(&ran, asked.get(), false).await
    }

    /// The same, of what goes over the connections; a new connection works, so that the addon can tidy up.
    pub(crate) async fn cancel_stalled(&self, end: End) -> Result<Done, Error> {
        let Some(mut step) = self.step(end) else { return Ok(Done::LeftOut("needs a binding".into())) };
        let (direction, all) = self.course(end);
        step.fault = Fault::Stall(direction, part(all, 50));
        let asked = Cell::new(None);
        let ran = step
            .run(async |handles: &Handles| {
                reached(handles).await;
                cancel(handles, &asked);
            })
            .await?;
        self.cancelled(&ran, asked.get(), false).await
    }

    async fn cancelled(&self, ran: &Ran, asked: Option<Instant>, early: bool) -> Result<Done, Error> {
        let mut problems = Vec::new();
        if !early && !ran.reached {
            problems.push(ended_before(ran));
        } else {
            problems = self.problems(ran, Expect::Class(Class::Cancelled)).await;
            let grace = self.limits().grace;
            if asked.is_some_and(|asked| ran.ended.duration_since(asked) >= grace) {
                problems.push(format!("it did not stop by itself within its grace of {grace:?}"));
            }
        }
        Ok(self.finding(problems, ran))
    }

    /// The server is killed: every connection breaks, and there is no new one.
    pub(crate) async fn cut_at(&self, end: End, percent: u8) -> Result<Done, Error> {
        let Some(mut step) = self.step(end) else { return Ok(Done::LeftOut("needs a binding".into())) };
        let (direction, all) = self.course(end);
        step.fault = Fault::Cut(direction, part(all, percent));
        let ran = step.run(idle).await?;
        let problems = if ran.reached {
            self.problems(&ran, Expect::Class(Class::Unavailable)).await
        } else {
            vec![ended_before(&ran)]
        };
        Ok(self.finding(problems, &ran))
    }

    pub(crate) async fn throttled(&self, end: End) -> Result<Done, Error> {
        let Some(mut step) = self.step(end) else { return Ok(Done::LeftOut("needs a binding".into())) };
        let (_, all) = self.course(end);
        step.fault = Fault::Throttle((all / THROTTLED.as_secs()).max(64 << 10));
        step.piece = ODD_PIECE;
        let ran = step.run(idle).await?;
        Ok(self.as_before(end, &ran).await)
    }

    /// One side stands still: the other must come to a stop too, instead of filling the addon. Then it goes on.
    pub(crate) async fn held_back(&self, end: End) -> Result<Done, Error> {
        let Some(mut step) = self.step(end) else { return Ok(Done::LeftOut("needs a binding".into())) };
        let (whole, function) = match end {
            End::Source => (&self.source, &self.roles.source),
            End::Sink => (&self.sink, &self.roles.sink),
        };
        let (Some(whole), Some(source)) = (whole, &self.source) else {
            return Ok(Done::LeftOut("the whole run did not pass".into()));
        };
        let (artifacts, exchanged) = (source.bytes(), whole.exchanged);
        // What of the connections is not in the artifacts, or the other way round, may come all at once.
        let is_http = function.as_ref().is_some_and(|function| function.capabilities.contains(&Capability::Http));
        let each = if is_http { HELD_A_REQUEST } else { HELD_A_CONNECTION };
        let allowed = each * whole.connections.max(1) + artifacts.abs_diff(exchanged);
        // Otherwise an addon that holds everything could pass.
        let needed = 2 * allowed;
        if artifacts.min(exchanged) < needed {
            let why = format!("needs {needed} bytes of data and more, there are {artifacts}: an addon might hold less");
            return Ok(Done::LeftOut(why));
        }
        match end {
            End::Source => step.hold_after = Some(part(artifacts, 10)),
            End::Sink => step.fault = Fault::Stall(Direction::ToApplication, part(whole.to_application, 10)),
        }
        let held = Cell::new(0);
        let ran = step
            .run(async |handles: &Handles| {
                reached(handles).await;
                quiet(handles).await;
                // What was taken on one side beyond what was given on the other, in the measure of the taken.
                let traffic = &handles.traffic;
                held.set(match end {
                    End::Source => traffic.exchanged().saturating_sub(scaled(traffic.written(), exchanged, artifacts)),
                    End::Sink => traffic.read().saturating_sub(scaled(traffic.exchanged(), artifacts, exchanged)),
                });
                handles.gate.open();
                handles.proxy.resume();
            })
            .await?;
        if !ran.reached {
            return Ok(self.finding(vec![ended_before(&ran)], &ran));
        }
        let held = held.get();
        match self.as_before(end, &ran).await {
            Done::Found(mut finding) => {
                if held > allowed {
                    let problem = format!("it took {held} bytes that it could not pass on, {allowed} are allowed");
                    finding.problems.push(problem);
                }
                finding.seen = format!("{held} of {allowed} bytes held; {}", finding.seen);
                Ok(Done::Found(finding))
            }
            left_out => Ok(left_out),
        }
    }

    pub(crate) async fn damaged(&self, harm: Harm) -> Result<Done, Error> {
        let Some(mut step) = self.step(End::Sink) else { return Ok(Done::LeftOut("needs a binding".into())) };
        let mut offers = self.offers();
        if let Err(why) = self.spoil(&mut offers, harm).await? {
            return Ok(Done::LeftOut(why));
        }
        step.offers = offers;
        let ran = step.run(idle).await?;
        Ok(self.judge(&ran, Expect::Error).await)
    }

    /// An error is why that cannot be done to these artifacts.
    async fn spoil(&self, offers: &mut Vec<Offer>, harm: Harm) -> Result<Result<(), String>, Error> {
        let first = self.roles.sink.as_ref().map(|sink| sink.first.clone()).unwrap_or_default();
        let artifacts = || self.source.iter().flat_map(|whole| &whole.artifacts);
        let is_first = |taken: &&Taken| first.contains(&taken.artifact.name);
        // A sink has to read what is for other tools to its end too, as all of a snapshot is checked; but not to mind it.
        let is_copy = |taken: &&Taken| taken.artifact.labels.iter().any(|(label, _)| label == COPY_OF);
        // Data rather than an index of it, where there are both.
        let data = artifacts().filter(|taken| !is_first(taken) && !is_copy(taken)).max_by_key(|taken| taken.length);
        let index = artifacts().find(is_first);
        let victim = match harm {
            Harm::FirstGarbled => index,
            _ => data.or(index),
        };
        let Some(victim) = victim else { return Ok(Err("no artifact is asked for first".into())) };
        let length = victim.length;
        let damage = match harm {
            Harm::Nothing => {
                offers.clear();
                return Ok(Ok(()));
            }
            Harm::Missing if offers.len() < 2 => return Ok(Err("there is but one artifact".into())),
            Harm::Missing => {
                offers.retain(|offer| offer.artifact.name != victim.artifact.name);
                return Ok(Ok(()));
            }
            Harm::Unknown => {
                let Some(other) = offers.last().cloned() else { return Ok(Err("there is no artifact".into())) };
                offers.push(Offer { artifact: Artifact::new("no-such-artifact.of-the-conformance-kit"), ..other });
                return Ok(Ok(()));
            }
            _ if length <= 2 * TAIL_BYTES => return Ok(Err(format!("its largest artifact has {length} bytes"))),
            Harm::Half => Damage::Short(length / 2),
            Harm::Broken => Damage::Broken(length / 2),
            Harm::Tail => Damage::Short(length - TAIL_BYTES),
            Harm::Garbled | Harm::FirstGarbled => Damage::Garbled((length / 2).saturating_sub(DAMAGE_BYTES / 2)),
            Harm::LineEnd => {
                let Some(file) = &victim.file else { return Ok(Err("it was not kept".into())) };
                match line_end(file, length).await? {
                    Some(end) => Damage::Short(end),
                    None => return Ok(Err("it has no lines".into())),
                }
            }
        };
        for offer in offers.iter_mut().filter(|offer| offer.artifact.name == victim.artifact.name) {
            offer.damage = damage;
        }
        Ok(Ok(()))
    }

    /// A success that differs in nothing from the whole run.
    async fn as_before(&self, end: End, ran: &Ran) -> Done {
        let mut problems = self.problems(ran, Expect::Success).await;
        if let Some(now) = Whole::of(ran) {
            match (end, &self.source, &self.sink) {
                (End::Source, Some(before), _) => problems.extend(self.difference(before, &now)),
                (End::Sink, _, Some(before)) => problems.extend(totals_differ(&before.totals, &now.totals)),
                _ => {}
            }
        }
        self.finding(problems, ran)
    }

    async fn problems(&self, ran: &Ran, expect: Expect) -> Vec<String> {
        match self.judge(ran, expect).await {
            Done::Found(Finding { problems, .. }) => problems,
            Done::LeftOut(_) => Vec::new(),
        }
    }

    /// Which way the data goes over the connections, and how much of it.
    fn course(&self, end: End) -> (Direction, u64) {
        match end {
            End::Source => (Direction::ToAddon, self.source.as_ref().map_or(0, |whole| whole.to_addon)),
            End::Sink => (Direction::ToApplication, self.sink.as_ref().map_or(0, |whole| whole.to_application)),
        }
    }
}

fn cancel(handles: &Handles, asked: &Cell<Option<Instant>>) {
    asked.set(Some(Instant::now()));
    handles.cancel.cancel();
}

/// Resolves when the stream that is to stand still does.
async fn reached(handles: &Handles) {
    match handles.proxy.gate() {
        Some(gate) => gate.reached().await,
        None => handles.gate.reached().await,
    }
}

/// Resolves when nothing has moved for a while.
async fn quiet(handles: &Handles) {
    let moves = || {
        let proxy = |direction| handles.proxy.count(direction);
        let traffic = &handles.traffic;
        let streams = [traffic.read(), traffic.written(), traffic.exchanged()];
        (proxy(Direction::ToAddon), proxy(Direction::ToApplication), streams)
    };
    let (mut mark, mut since) = (moves(), Instant::now());
    while since.elapsed() < QUIET {
        sleep(LOOK).await;
        if moves() != mark {
            (mark, since) = (moves(), Instant::now());
        }
    }
}

/// `count` of `from`, as so many of `to`.
fn scaled(count: u64, to: u64, from: u64) -> u64 {
    let scaled = u128::from(count) * u128::from(to) / u128::from(from.max(1));
    u64::try_from(scaled).unwrap_or(u64::MAX)
}

fn part(all: u64, percent: u8) -> u64 {
    (all / 100).saturating_mul(u64::from(percent)).max(1)
}

fn ended_before(ran: &Ran) -> String {
    format!("it ended before it came so far: {}", seen(ran))
}
