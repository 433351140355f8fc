//! What the statuses of both kinds of session have in common, and how it changes. Pure: no clock but what is given.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::run::{Retry, SessionPhase, StepPhase, StepStatus};
use crate::condition::{self, Status, types};
use crate::{Condition, Failure, FailureClass, Time};

/// What became of a run.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RunStatus {
    /// Where it stands.
    #[serde(default)]
    pub phase: SessionPhase,
    /// When it started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Time>,
    /// How many times it was started, from 1. A backup is started again when the process that ran it was killed and its retry
    /// policy says so, a restore never.
    #[serde(default)]
    pub attempt: u32,
    /// Its steps, in order, the `finally` steps last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<StepStatus>,
    /// What an operator should know although the run went on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Failure>,
    /// Condition `Complete`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

impl RunStatus {
    /// It cannot start yet.
    pub fn wait(&mut self, reason: &str, message: String, now: Time) {
        self.phase = SessionPhase::Pending;
        condition::set(&mut self.conditions, types::COMPLETE, Status::False, reason, message, None, now);
    }

    /// Another attempt starts.
    pub fn start(&mut self, now: Time) {
        let conditions = std::mem::take(&mut self.conditions);
        *self = Self {
            phase: SessionPhase::Running,
            started_at: Some(now.clone()),
            attempt: self.attempt + 1,
            conditions,
            ..Self::default()
        };
        condition::set(&mut self.conditions, types::COMPLETE, Status::False, "Running", "", None, now);
    }

    /// It did all it was to do.
    pub fn succeed(&mut self, now: Time) {
        self.phase = SessionPhase::Succeeded;
        self.finished_at = Some(now.clone());
        condition::set(&mut self.conditions, types::COMPLETE, Status::True, "Succeeded", "", None, now);
    }

    /// It had succeeded, but for saying so.
    pub fn complete(&mut self, now: Time) {
        for step in &mut self.steps {
            if matches!(step.phase, StepPhase::Running | StepPhase::Pending) {
                step.phase = StepPhase::Succeeded;
                step.finished_at.get_or_insert_with(|| now.clone());
            }
        }
        self.succeed(now);
    }

    /// What is left when the API server refuses the whole: a failure without steps and warnings, of at most `bytes` of message.
    pub fn shortened(&self, refusal: &str, bytes: usize, now: Time) -> Self {
        let said = self.error.as_ref().map_or_else(|| self.phase.as_str(), |failure| failure.message.as_str());
        let class = self.error.as_ref().map_or(FailureClass::Host, |failure| failure.class);
        let mut message = format!("the API server refuses this session's status ({refusal}), which was to say: {said}");
        message.truncate(message.floor_char_boundary(bytes));
        let mut short = Self { started_at: self.started_at.clone(), attempt: self.attempt, ..Self::default() };
        short.fail(Failure::new(class, message).hint("the log of `coffer serve` has the rest"), now);
        short
    }

    /// It ended without having done all.
    pub fn fail(&mut self, failure: Failure, now: Time) {
        self.close_steps(&now);
        self.phase = SessionPhase::Failed;
        self.started_at.get_or_insert_with(|| now.clone());
        self.finished_at = Some(now.clone());
        let message = failure.message.clone();
        let reason = if failure.class == FailureClass::Interrupted { "Interrupted" } else { "Failed" };
        self.error = Some(failure);
        condition::set(&mut self.conditions, types::COMPLETE, Status::True, reason, message, None, now);
    }

    /// The process that ran it ended first: tries again when `retry` allows it, else fails with `hint`.
    pub fn interrupt(&mut self, retry: Option<Retry>, how: &str, hint: &str, now: Time) {
        let allowed = retry.map_or(0, |retry| retry.max_retries);
        if self.attempt <= allowed {
            self.close_steps(&now);
            let message = format!("{how}; attempt {} of {} follows", self.attempt + 1, allowed + 1);
            self.wait("Interrupted", message, now);
        } else {
            self.fail(Failure::new(FailureClass::Interrupted, how).hint(hint), now);
        }
    }

    /// Steps that nobody works on any more must not look as if somebody did.
    fn close_steps(&mut self, now: &Time) {
        for step in &mut self.steps {
            match step.phase {
                StepPhase::Running => {
                    step.phase = StepPhase::Failed;
                    step.finished_at = Some(now.clone());
                }
                StepPhase::Pending => step.phase = StepPhase::Skipped,
                StepPhase::Succeeded | StepPhase::Failed | StepPhase::Skipped => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::jiff;

    use super::*;

    fn at(seconds: i64) -> Time {
        Time(jiff::Timestamp::from_second(seconds).unwrap())
    }

    fn retry(max_retries: u32) -> Option<Retry> {
        Some(Retry { max_retries, delay: None })
    }

    #[test]
    fn an_interrupted_session_is_tried_again_as_often_as_its_policy_says_and_then_fails() {
        let mut state = RunStatus::default();
        state.start(at(1));
        state.steps = vec![StepStatus { phase: StepPhase::Running, ..StepStatus::default() }];
        state.interrupt(retry(1), "the process was killed", "", at(2));
        assert_eq!((state.phase, state.attempt, state.steps[0].phase), (SessionPhase::Pending, 1, StepPhase::Failed));
        assert!(state.conditions[0].message.ends_with("attempt 2 of 2 follows"), "{:?}", state.conditions);
        state.start(at(3));
        assert_eq!((state.attempt, state.steps.len()), (2, 0));
        state.interrupt(retry(1), "the process was killed", "", at(4));
        assert_eq!((state.phase, state.finished_at.clone()), (SessionPhase::Failed, Some(at(4))));
        assert_eq!(state.error.unwrap().class, FailureClass::Interrupted);
    }

    #[test]
    fn without_a_policy_an_interrupted_session_fails() {
        let mut state = RunStatus::default();
        state.start(at(1));
        state.interrupt(None, "the process was killed", "", at(2));
        assert_eq!(state.phase, SessionPhase::Failed);
    }

    #[test]
    fn a_status_that_is_too_large_is_shortened_to_a_failure() {
        let mut state = RunStatus::default();
        state.start(at(1));
        state.steps = vec![StepStatus::default(); 1000];
        state.warnings = vec!["warning".to_owned(); 1000];
        state.fail(Failure::new(FailureClass::Denied, "é".repeat(10_000)), at(2));
        let short = state.shortened("too large", 1024, at(3));
        assert_eq!((short.phase, short.steps.len(), short.warnings.len()), (SessionPhase::Failed, 0, 0));
        assert_eq!((short.started_at, short.attempt), (Some(at(1)), 1));
        let error = short.error.unwrap();
        assert!(error.class == FailureClass::Denied && error.message.contains("too large"), "{error:?}");
        assert!((1000..=1024).contains(&error.message.len()), "{}", error.message.len());
    }

    #[test]
    fn a_new_attempt_forgets_the_error_of_the_one_before() {
        let mut state = RunStatus::default();
        state.start(at(1));
        state.fail(Failure::new(FailureClass::Unavailable, "gone"), at(2));
        state.start(at(3));
        assert_eq!((state.error, state.finished_at, state.started_at), (None, None, Some(at(3))));
    }
}
