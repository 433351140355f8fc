//! One call of a Function, with its status.

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use coffer_api::{Failure, FailureClass, Role};
use coffer_runtime::{
    Application, Class, Event, Inbox, Level, Limits, Linked, Observer, Operation, Outbox, Report, Traffic,
};

use super::{attempt::Attempt, status::LogLine};
use crate::{Error, plan::Step};

/// How often the bytes of a running step reach its status: fast enough for a progress bar.
const TICK: Duration = Duration::from_millis(250);

/// A step, ready to run once.
pub(super) struct Job {
    pub(super) place: usize,
    pub(super) step: Step,
    pub(super) linked: Linked,
    pub(super) application: Option<Application>,
    pub(super) inbox: Option<Inbox>,
    pub(super) outbox: Option<Outbox>,
    pub(super) limits: Limits,
}

/// The host's limits with what the plan says over them.
pub(super) fn limits(host: &Limits, step: &Step) -> Limits {
    let mut limits = host.clone();
    if let Some(own) = &step.limits {
        if let Some(memory) = own.memory {
            limits.memory = usize::try_from(memory.get()).unwrap_or(usize::MAX);
        }
        if let Some(cpu) = own.cpu {
            limits.cpu = cpu.into();
        }
        if let Some(idle) = own.idle {
            limits.idle = idle.into();
        }
    }
    if let Some(timeout) = step.timeout {
        limits.deadline = Some(timeout.into());
    }
    limits
}

impl Job {
    /// Runs it. A failure goes to the attempt, which knows whether it was the first.
    pub(super) async fn run(self, attempt: &Attempt) -> Option<Report> {
        let Self { place, step, linked, application, inbox, outbox, limits } = self;
        let board = &attempt.board;
        board.started(place, attempt.number);
        let traffic = Arc::new(Traffic::default());
        let mut operation = Operation::new(&step.entry, step.arguments());
        operation.application = application;
        operation.limits = limits;
        operation.traffic = Arc::clone(&traffic);
        operation.cancel = attempt.stop.clone();
        operation.observer = observer(place, &step, attempt);
        if let Some(inbox) = inbox {
            operation.inbox = inbox;
        }
        if let Some(outbox) = outbox {
            operation.outbox = outbox;
        }
        let passed = || if step.role.writes_artifacts() { traffic.written() } else { traffic.read() };

        let result = {
            let mut running = std::pin::pin!(linked.run(operation));
            let mut tick = tokio::time::interval(TICK);
            loop {
                tokio::select! {
                    result = &mut running => break result,
                    _ = tick.tick() => board.bytes(place, passed()),
                }
            }
        };
        board.bytes(place, passed());
        if step.role == Role::Sink && traffic.read() > 0 {
            attempt.has_sunk.store(true, Relaxed);
        }
        match result {
            Ok(report) => {
                board.succeeded(place, &report);
                Some(report)
            }
            Err(source) => {
                let stopped = source.class == Class::Cancelled;
                let error = Error::Step { step: step.name.clone(), role: step.role, source };
                let failure = match attempt.failure().filter(|_| stopped) {
                    Some(cause) => Failure::new(FailureClass::Cancelled, format!("stopped: {cause}")),
                    None => error.failure(),
                };
                board.failed(place, failure);
                attempt.fail(if stopped { Error::Cancelled } else { error });
                None
            }
        }
    }
}

fn observer(place: usize, step: &Step, attempt: &Attempt) -> Observer {
    let (board, log, name) = (attempt.board.clone(), attempt.log.clone(), step.name.clone());
    Observer::new(move |event| match event {
        Event::Progress { done, total } => board.progress(place, done, total),
        Event::Log { level, message, fields } => {
            if level >= Level::Warn {
                board.warn([message.clone()]);
            }
            log.say(LogLine { step: name.clone(), level, message, fields });
        }
    })
}
