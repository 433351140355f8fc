//! A run, live: bars on a terminal, lines elsewhere. Fed by a session's status, which is all there is to know.

use super::{Printer, bytes, rate};
use coffer_api::condition::types;
use coffer_api::{RunStatus, SessionPhase, StepPhase, StepStatus};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use jiff::{SignedDuration, Timestamp};
use std::collections::{HashMap, HashSet};
use std::fmt::Display;
use std::time::{Duration, Instant};

/// How often a running step says how far it is when there are no bars. Often enough to see that it lives.
const LINE_EVERY: Duration = Duration::from_secs(10);
const TICK: Duration = Duration::from_millis(120);

pub struct Progress {
    printer: Printer,
    bars: Option<MultiProgress>,
    steps: HashMap<String, Step>,
    /// Those that were said. By text: an attempt that starts anew counts its own anew.
    warnings: HashSet<String>,
    waiting: Option<String>,
}

struct Step {
    bar: Option<ProgressBar>,
    phase: StepPhase,
    attempt: u32,
    said: Instant,
}

impl Progress {
    pub fn new(printer: Printer) -> Self {
        let bars = printer.interactive().then(|| MultiProgress::with_draw_target(ProgressDrawTarget::stderr()));
        Self { printer, bars, steps: HashMap::new(), warnings: HashSet::new(), waiting: None }
    }

    /// Shows what changed since the last call.
    pub fn update(&mut self, run: &RunStatus) {
        for warning in self.unsaid(&run.warnings) {
            let printer = self.printer;
            self.above_bars(|| printer.warning(warning));
        }
        if let Some(reason) = waiting(run)
            && self.waiting.as_deref() != Some(reason)
        {
            self.waiting = Some(reason.to_owned());
            self.note(reason);
        }
        if self.printer.quiet() {
            return;
        }
        let width = run.steps.iter().map(|step| step.name.chars().count()).max().unwrap_or(0);
        for step in &run.steps {
            self.update_step(step, width);
        }
        if run.phase.is_terminal() {
            self.finish();
        }
    }

    /// Says something that is no part of the run's status.
    pub fn note(&self, text: impl Display) {
        self.above_bars(|| self.printer.note(text));
    }

    /// The warnings that were not said yet.
    fn unsaid<'a>(&mut self, warnings: &'a [String]) -> Vec<&'a String> {
        warnings.iter().filter(|warning| self.warnings.insert((*warning).clone())).collect()
    }

    /// Leaves the bars as they are.
    pub fn finish(&mut self) {
        for step in self.steps.values().filter_map(|step| step.bar.as_ref()) {
            if !step.is_finished() {
                step.abandon();
            }
        }
    }

    fn above_bars(&self, print: impl FnOnce()) {
        match &self.bars {
            Some(bars) => bars.suspend(print),
            None => print(),
        }
    }

    fn update_step(&mut self, step: &StepStatus, width: usize) {
        let known = self.steps.entry(step.name.clone()).or_insert_with(|| Step {
            bar: self.bars.as_ref().map(|bars| bars.add(new_bar(&format!("{:<width$}", step.name)))),
            phase: StepPhase::Pending,
            attempt: 0,
            said: Instant::now(),
        });
        let changed = known.phase != step.phase || known.attempt != step.attempt;
        let text = describe(step, Timestamp::now());
        if let Some(bar) = &known.bar {
            bar.set_message(text);
            match (step.progress, step.phase) {
                (Some(coffer_api::Progress { done, total: Some(total) }), StepPhase::Running) if total > 0 => {
                    bar.set_style(measured());
                    bar.set_length(total);
                    bar.set_position(done);
                }
                _ => bar.set_style(unmeasured()),
            }
            match step.phase {
                StepPhase::Running => bar.enable_steady_tick(TICK),
                StepPhase::Pending => {}
                StepPhase::Succeeded | StepPhase::Failed | StepPhase::Skipped => {
                    bar.disable_steady_tick();
                    bar.abandon();
                }
            }
        } else if changed && step.phase != StepPhase::Pending
            || step.phase == StepPhase::Running && known.said.elapsed() >= LINE_EVERY
        {
            self.printer.note(format_args!("{}: {text}", step.name));
            known.said = Instant::now();
        }
        known.phase = step.phase;
        known.attempt = step.attempt;
    }
}

/// What a session that has not started says it waits for.
fn waiting(run: &RunStatus) -> Option<&str> {
    let said = run.conditions.iter().find(|said| said.type_ == types::COMPLETE && !said.message.is_empty());
    said.filter(|_| run.phase == SessionPhase::Pending).map(|said| said.message.as_str())
}

fn new_bar(name: &str) -> ProgressBar {
    ProgressBar::new(0).with_style(unmeasured()).with_prefix(name.to_owned())
}

fn measured() -> ProgressStyle {
    style("{spinner} {prefix}  [{bar:24}] {percent:>3}%  {msg}")
}

fn unmeasured() -> ProgressStyle {
    style("{spinner} {prefix}  {msg}")
}

fn style(template: &str) -> ProgressStyle {
    // The templates above are constants; a broken one would show the default bar, not fail a backup.
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .tick_chars("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏ ")
        .progress_chars("=> ")
}

/// One line about a step, such as `running, 12.0 MiB at 4.0 MiB/s`.
fn describe(step: &StepStatus, now: Timestamp) -> String {
    let mut text = match step.phase {
        StepPhase::Pending => return "waiting".to_owned(),
        StepPhase::Skipped => return "skipped".to_owned(),
        StepPhase::Running if step.attempt > 1 => format!("running (attempt {})", step.attempt),
        StepPhase::Running => "running".to_owned(),
        StepPhase::Succeeded => "done".to_owned(),
        StepPhase::Failed => "failed".to_owned(),
    };
    let elapsed = elapsed(step, now);
    if step.bytes > 0 {
        text.push_str(&format!(", {}", bytes(step.bytes)));
        if step.artifacts > 0 {
            text.push_str(&format!(" in {} artifacts", step.artifacts));
        }
        // Less than the second that a status can tell has no rate.
        if elapsed.as_secs() > 0 {
            text.push_str(&format!(" at {}", rate(step.bytes, elapsed)));
        }
    }
    if step.phase != StepPhase::Running {
        text.push_str(&format!(", {}", super::duration(elapsed)));
    }
    text
}

/// How long a step ran, or has been running.
pub fn elapsed(step: &StepStatus, now: Timestamp) -> SignedDuration {
    match &step.started_at {
        Some(started) => step.finished_at.as_ref().map_or(now, |end| end.0).duration_since(started.0),
        None => SignedDuration::ZERO,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use coffer_api::Time;

    #[test]
    fn a_finished_step_tells_bytes_rate_and_time() {
        let at = |seconds| Some(Time(Timestamp::from_second(seconds).unwrap()));
        let step = StepStatus {
            name: "dump".into(),
            phase: StepPhase::Succeeded,
            started_at: at(100),
            finished_at: at(104),
            bytes: 8 << 20,
            artifacts: 3,
            ..StepStatus::default()
        };
        let text = describe(&step, Timestamp::from_second(1000).unwrap());
        assert_eq!(text, "done, 8.0 MiB in 3 artifacts at 2.0 MiB/s, 4s");
    }

    #[test]
    fn every_warning_is_said_once_also_those_of_a_second_attempt() {
        let mut progress = Progress::new(Printer::new(true));
        let warnings = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        assert_eq!(progress.unsaid(&warnings(&["slow", "old"])).len(), 2);
        assert_eq!(progress.unsaid(&warnings(&["slow", "new"])), ["new"]);
    }

    #[test]
    fn a_second_attempt_is_said() {
        let step = StepStatus { phase: StepPhase::Running, attempt: 2, ..StepStatus::default() };
        assert_eq!(describe(&step, Timestamp::UNIX_EPOCH), "running (attempt 2)");
    }
}
