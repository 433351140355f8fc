//! A guest's standard output and error, line by line into the run's log.
//!
//! Rust's panic message goes to standard error only, so the last lines are kept to explain a trap.

use crate::{
    event::{Gate, Level},
    limits::TEXT_BYTES,
};
use bytes::Bytes;
use std::{
    collections::VecDeque,
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};
use tokio::io::AsyncWrite;
use wasmtime_wasi::{
    cli::{IsTerminal, StdoutStream},
    p2::{OutputStream, Pollable, StreamResult},
};

/// Lines kept to explain a trap: a panic's message and what stood before it.
const LAST_LINES: usize = 8;

#[derive(Clone)]
pub(crate) struct Lines(Arc<Mutex<Inner>>);

struct Inner {
    gate: Arc<Mutex<Gate>>,
    level: Level,
    open: Vec<u8>,
    last: VecDeque<String>,
}

impl Lines {
    pub(crate) fn new(gate: Arc<Mutex<Gate>>, level: Level) -> Self {
        Self(Arc::new(Mutex::new(Inner { gate, level, open: Vec::new(), last: VecDeque::new() })))
    }

    /// The last lines written, oldest first.
    pub(crate) fn last(&self) -> String {
        let mut inner = lock(&self.0);
        inner.end_line();
        inner.last.iter().map(String::as_str).collect::<Vec<_>>().join("\n")
    }
}

impl Inner {
    fn write(&mut self, bytes: &[u8]) {
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            // What goes beyond a readable line is cut when the line ends; until then it must not pile up.
            let room = (TEXT_BYTES * 2).saturating_sub(self.open.len());
            self.open.extend(part.iter().take(room));
            if part.ends_with(b"\n") {
                self.end_line();
            }
        }
    }

    fn end_line(&mut self) {
        let line = String::from_utf8_lossy(&std::mem::take(&mut self.open)).trim_end().to_owned();
        if line.is_empty() {
            return;
        }
        if self.last.len() == LAST_LINES {
            self.last.pop_front();
        }
        lock(&self.gate).log(self.level, &line, Vec::new());
        self.last.push_back(line);
    }
}

/// A poisoned lock is no reason to lose the log: nothing here is left half-done by a panic.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl IsTerminal for Lines {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Lines {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    /// The default hands bytes to a task, and a panic's message would still be on its way when the trap is reported.
    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

impl OutputStream for Lines {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        lock(&self.0).write(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(TEXT_BYTES)
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for Lines {
    async fn ready(&mut self) {}
}

impl AsyncWrite for Lines {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        lock(&self.0).write(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
