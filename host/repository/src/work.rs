//! The CPU work of all repositories of this process, bounded to the cores: chunking, hashing, compression and encryption run on
//! tokio's blocking threads, as many at a time as there are cores, so that they neither hold up I/O nor each other.
//!
//! A job never waits for another one while it holds a core, so this can not dead-lock.

use std::{
    sync::{Arc, Mutex, OnceLock, PoisonError},
    thread,
};

use tokio::sync::Semaphore;

use crate::{
    codec::Codec,
    error::{Error, Result},
    limits,
};

/// What a core keeps from job to job: megabytes each, so they belong to the cores and not to tokio's many threads.
#[derive(Default)]
pub(crate) struct Scratch {
    pub(crate) codec: Codec,
    pub(crate) packed: Vec<u8>,
    pub(crate) sealed: Vec<u8>,
    pub(crate) opened: Vec<u8>,
    pub(crate) plain: Vec<u8>,
}

struct Cores {
    free: Arc<Semaphore>,
    scratches: Mutex<Vec<Scratch>>,
}

pub(crate) async fn on_core<T: Send + 'static>(
    job: impl FnOnce(&mut Scratch) -> Result<T> + Send + 'static,
) -> Result<T> {
    static CORES: OnceLock<Cores> = OnceLock::new();
    let cores = CORES.get_or_init(|| {
        let count = thread::available_parallelism().map_or(1, usize::from);
        Cores { free: Arc::new(Semaphore::new(count)), scratches: Mutex::default() }
    });
    let core = Arc::clone(&cores.free).acquire_owned().await.map_err(internal)?;
    // The permit moves along: a job whose caller went away still holds its core until it ends.
    tokio::task::spawn_blocking(move || {
        let scratches = || cores.scratches.lock().unwrap_or_else(PoisonError::into_inner);
        let spare = scratches().pop();
        let mut scratch = spare.unwrap_or_default();
        let result = job(&mut scratch);
        for buffer in [&mut scratch.packed, &mut scratch.sealed, &mut scratch.opened, &mut scratch.plain] {
            buffer.clear();
            // A huge tree passes once; its memory shall not stay.
            buffer.shrink_to(limits::SCRATCH_KEPT);
        }
        scratches().push(scratch);
        drop(core);
        result
    })
    .await
    .map_err(internal)?
}

pub(crate) fn internal(error: impl std::fmt::Display) -> Error {
    Error::Internal(error.to_string())
}
