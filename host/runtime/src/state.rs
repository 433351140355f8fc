//! What one store holds: everything a guest can reach, and nothing else.

use crate::{
    Inbox, Limits, Operation, Outbox, Traffic,
    capability::{application::Bound, http::basic, outbox::Ledger},
    error::Stopped,
    event::{Gate, Level, Mask},
    guard::Stop,
    limits::{HANDLES, INSTANCES, MEMORIES, TABLE_ELEMENTS, TABLES},
    stdio::{Lines, lock},
};
use std::sync::{Arc, Mutex};
use tokio::sync::Semaphore;
use wasmtime::{ResourceLimiter, component::ResourceTable};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

pub(crate) struct State {
    pub(crate) table: ResourceTable,
    wasi: WasiCtx,
    pub(crate) limits: Limits,
    pub(crate) gate: Arc<Mutex<Gate>>,
    pub(crate) traffic: Arc<Traffic>,
    pub(crate) application: Option<Arc<Bound>>,
    /// A permit a connection, held until its last stream is gone.
    pub(crate) connections: Arc<Semaphore>,
    /// A permit a request, held until its answer's end.
    pub(crate) requests: Arc<Semaphore>,
    pub(crate) inbox: Arc<tokio::sync::Mutex<Inbox>>,
    pub(crate) outbox: Outbox,
    pub(crate) ledger: Arc<Mutex<Ledger>>,
    pub(crate) stop: Stop,
    pub(crate) remedy: Remedy,
    /// Bytes of all linear memories.
    memory: usize,
    refused: Refused,
}

/// The last growth of a memory that was refused.
type Refused = Arc<Mutex<Option<Stopped>>>;

/// The ends of a state that outlive its store, to judge the run by.
pub(crate) struct Outside {
    pub(crate) gate: Arc<Mutex<Gate>>,
    pub(crate) stderr: Lines,
    pub(crate) traffic: Arc<Traffic>,
    pub(crate) ledger: Arc<Mutex<Ledger>>,
    pub(crate) limits: Limits,
    pub(crate) stop: Stop,
    pub(crate) remedy: Remedy,
    pub(crate) refused: Refused,
}

/// What the host told the guest last that has its remedy with it. An error of the guest's that repeats it needs no other.
#[derive(Clone, Default)]
pub(crate) struct Remedy(Arc<Mutex<Option<String>>>);

impl Remedy {
    pub(crate) fn told(&self, text: &str) {
        *lock(&self.0) = Some(text.to_owned());
    }

    pub(crate) fn is_in(&self, text: &str) -> bool {
        lock(&self.0).as_ref().is_some_and(|told| text.contains(told))
    }
}

impl State {
    pub(crate) fn new(operation: Operation) -> (Self, Outside) {
        let Operation { application, inbox, outbox, limits, observer, traffic, cancel, .. } = operation;
        let credentials = application.iter().flat_map(|application| &application.credentials);
        // A server may hand back what it was shown.
        let shown = application.as_ref().and_then(|application| basic(&application.credentials));
        let shown = shown.map(|shown| (String::new(), shown));
        let mask = Mask::new(credentials.chain(shown.iter().map(|(key, shown)| (key, shown))));
        let gate = Arc::new(Mutex::new(Gate::new(observer, mask, limits.log_rate)));
        let stderr = Lines::new(gate.clone(), Level::Warn);
        // Nothing is inherited: no arguments, no environment, no directories, no sockets; standard input is empty.
        let wasi = WasiCtx::builder().stdout(Lines::new(gate.clone(), Level::Info)).stderr(stderr.clone()).build();
        let mut table = ResourceTable::new();
        table.set_max_capacity(HANDLES);
        let outside = Outside {
            gate: gate.clone(),
            stderr,
            traffic: traffic.clone(),
            ledger: Arc::default(),
            limits: limits.clone(),
            stop: Stop::new(cancel),
            remedy: Remedy::default(),
            refused: Refused::default(),
        };
        let state = Self {
            table,
            wasi,
            gate,
            traffic,
            application: application.map(|application| Arc::new(Bound::new(application))),
            connections: Arc::new(Semaphore::new(limits.connections.min(Semaphore::MAX_PERMITS))),
            requests: Arc::new(Semaphore::new(limits.requests.min(Semaphore::MAX_PERMITS))),
            inbox: Arc::new(tokio::sync::Mutex::new(inbox)),
            outbox,
            ledger: outside.ledger.clone(),
            stop: outside.stop.clone(),
            remedy: outside.remedy.clone(),
            memory: 0,
            refused: outside.refused.clone(),
            limits,
        };
        (state, outside)
    }
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

/// A guest that wants too much is refused, as it may know a way without. Most do not, and their allocators abort: what was refused
/// then says more than a panic.
impl ResourceLimiter for State {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let wanted = self.memory.saturating_add(desired.saturating_sub(current));
        if wanted > self.limits.memory {
            *lock(&self.refused) = Some(Stopped::Memory { wanted, limit: self.limits.memory });
            return Ok(false);
        }
        self.memory = wanted;
        self.traffic.set_memory(wanted);
        Ok(true)
    }

    fn table_growing(&mut self, _: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        if desired > TABLE_ELEMENTS {
            return Err(wasmtime::format_err!("wanted a table of {desired} elements, {TABLE_ELEMENTS} are allowed"));
        }
        Ok(true)
    }

    fn instances(&self) -> usize {
        INSTANCES
    }

    fn tables(&self) -> usize {
        TABLES
    }

    fn memories(&self) -> usize {
        MEMORIES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_memories_count_together() {
        let operation = Operation {
            limits: Limits { memory: 100, ..Limits::default() },
            ..Operation::new("f", serde_json::Value::Null)
        };
        let (mut state, outside) = State::new(operation);
        assert!(state.memory_growing(0, 40, None).unwrap());
        assert!(state.memory_growing(0, 40, None).unwrap());
        assert!(state.memory_growing(40, 60, None).unwrap());
        assert_eq!(state.traffic.memory(), 100);
        assert!(lock(&outside.refused).is_none());
        assert!(!state.memory_growing(40, 41, None).unwrap());
        assert_eq!(state.traffic.memory(), 100);
        assert!(matches!(*lock(&outside.refused), Some(Stopped::Memory { wanted: 101, limit: 100 })));
    }
}
