//! Log, progress, cancelled, sleep: what every addon may do.

use super::Own;
use crate::{
    Level,
    bindings::coffer::addon::host::{self, Host, HostWithStore},
    state::State,
    stdio::lock,
};
use std::{sync::atomic::Ordering::Relaxed, time::Duration};
use wasmtime::component::Accessor;

impl Host for State {
    fn log(&mut self, level: host::Level, message: String, fields: Vec<(String, String)>) -> wasmtime::Result<()> {
        let level = match level {
            host::Level::Trace => Level::Trace,
            host::Level::Debug => Level::Debug,
            host::Level::Info => Level::Info,
            host::Level::Warn => Level::Warn,
            host::Level::Error => Level::Error,
        };
        self.traffic.add_sign();
        lock(&self.gate).log(level, &message, fields);
        Ok(())
    }

    fn progress(&mut self, done: u64, total: Option<u64>) -> wasmtime::Result<()> {
        self.traffic.add_sign();
        lock(&self.gate).progress(done, total);
        Ok(())
    }
}

impl HostWithStore<State> for Own {
    async fn cancelled(accessor: &Accessor<State, Self>) -> wasmtime::Result<()> {
        let cancel = accessor.with(|mut access| {
            let state = access.get();
            state.stop.listens.store(true, Relaxed);
            state.stop.told.clone()
        });
        cancel.cancelled().await;
        Ok(())
    }

    async fn sleep(_: &Accessor<State, Self>, milliseconds: u64) -> wasmtime::Result<()> {
        tokio::time::sleep(Duration::from_millis(milliseconds)).await;
        Ok(())
    }
}
