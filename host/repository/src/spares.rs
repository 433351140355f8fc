//! Buffers used again: giving megabytes back to the system and touching fresh ones costs more than encrypting them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

pub(crate) struct Spares {
    /// Of a new buffer.
    capacity: usize,
    /// A buffer that grew beyond this is not kept.
    largest: usize,
    buffers: Mutex<Vec<Vec<u8>>>,
}

impl Spares {
    pub(crate) fn new(capacity: usize, largest: usize) -> Self {
        Self { capacity, largest, buffers: Mutex::default() }
    }

    fn buffers(&self) -> MutexGuard<'_, Vec<Vec<u8>>> {
        self.buffers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn take(&self) -> Vec<u8> {
        let spare = self.buffers().pop();
        spare.unwrap_or_else(|| Vec::with_capacity(self.capacity))
    }

    pub(crate) fn give(&self, mut buffer: Vec<u8>) {
        if (self.capacity..=self.largest).contains(&buffer.capacity()) {
            buffer.clear();
            self.buffers().push(buffer);
        }
    }

    /// Bytes whose buffer comes back when the last user is done.
    pub(crate) fn lend(self: &Arc<Self>, buffer: Vec<u8>) -> Bytes {
        Bytes::from_owner(Lent { buffer, spares: Arc::clone(self) })
    }
}

struct Lent {
    buffer: Vec<u8>,
    spares: Arc<Spares>,
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.buffer
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        self.spares.give(std::mem::take(&mut self.buffer));
    }
}
