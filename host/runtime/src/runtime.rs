//! The engine, shared by all addons of a process: compiles them and drives the clock that makes busy guests yield.

use crate::{
    Compiled, Digest, Error, LoadError,
    cache::Cache,
    component,
    limits::{COMPONENT_BYTES, EPOCH, STACK_BYTES},
};
use std::{path::PathBuf, sync::Arc};
use tokio::sync::Semaphore;
use wasmtime::{Config, Engine, WasmBacktraceDetails, component::Component};

#[derive(Debug, Clone)]
pub struct RuntimeOptions {
    /// Private folder for compiled components, made with mode 0700 when absent.
    pub cache: PathBuf,
}

/// Cheap to clone.
#[derive(Clone)]
pub struct Runtime {
    engine: Engine,
    cache: Arc<Cache>,
    /// Compiling takes all cores by itself; two at once would only take more memory.
    compiling: Arc<Semaphore>,
}

impl std::fmt::Debug for Runtime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runtime").field("cache", &self.cache).finish_non_exhaustive()
    }
}

impl Runtime {
    pub fn new(options: RuntimeOptions) -> Result<Self, Error> {
        let mut config = Config::new();
        config
            .wasm_component_model(true)
            .wasm_component_model_async(true)
            .epoch_interruption(true)
            .max_wasm_stack(STACK_BYTES)
            // Lines of the guest's source would need its debug data, which addons are built without.
            .wasm_backtrace_details(WasmBacktraceDetails::Disable);
        let engine = Engine::new(&config).map_err(|error| Error::Engine(format!("{error:#}")))?;
        let cache = Arc::new(Cache::open(options.cache, &engine)?);
        tick(&engine)?;
        Ok(Self { engine, cache, compiling: Arc::new(Semaphore::new(1)) })
    }

    /// Compiles a component, or takes it from the cache; the work is done on the blocking pool.
    pub async fn compile(&self, wasm: &[u8]) -> Result<Compiled, LoadError> {
        check_header(wasm)?;
        let wasm = wasm.to_vec();
        let Self { engine, cache, compiling } = self.clone();
        let _permit = compiling.acquire_owned().await.map_err(|error| LoadError::Compile(error.to_string()))?;
        tokio::task::spawn_blocking(move || {
            let digest = Digest::of(&wasm);
            let name = digest.to_hex();
            let component = match cache.get(&engine, &name) {
                Some(component) => component,
                None => {
                    let component =
                        Component::new(&engine, &wasm).map_err(|error| LoadError::Compile(format!("{error:#}")))?;
                    cache.put(&name, &component);
                    component
                }
            };
            component::inspect(engine, component, digest)
        })
        .await
        .map_err(|error| LoadError::Compile(error.to_string()))?
    }
}

/// WebAssembly begins with `\0asm`, then 16 bits of version and 16 bits of layer: 0 a module, 1 a component.
fn check_header(wasm: &[u8]) -> Result<(), LoadError> {
    if wasm.len() > COMPONENT_BYTES {
        return Err(LoadError::TooLarge { length: wasm.len(), limit: COMPONENT_BYTES });
    }
    match wasm {
        [0, b'a', b's', b'm', _, _, 0, 0, ..] => Err(LoadError::CoreModule),
        [0, b'a', b's', b'm', _, _, 1, 0, ..] => Ok(()),
        _ => Err(LoadError::NotWasm),
    }
}

/// A thread of its own, so that it ticks also while every runtime thread computes. It ends with the engine.
fn tick(engine: &Engine) -> Result<(), Error> {
    let engine = engine.weak();
    std::thread::Builder::new()
        .name("wasm-epoch".into())
        .spawn(move || {
            while let Some(engine) = engine.upgrade() {
                engine.increment_epoch();
                drop(engine);
                std::thread::sleep(EPOCH);
            }
        })
        .map(drop)
        .map_err(|error| Error::Engine(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_tell_what_it_is() {
        assert!(matches!(check_header(b""), Err(LoadError::NotWasm)));
        assert!(matches!(check_header(b"\x7fELF\x02\x01\x01\x00\x00"), Err(LoadError::NotWasm)));
        assert!(matches!(check_header(b"\0asm\x01\0\0\0"), Err(LoadError::CoreModule)));
        assert!(check_header(b"\0asm\x0d\0\x01\0").is_ok());
    }
}
