//! The artifacts of the step before, or of a snapshot.

use crate::buffer::ReadBuffer;
use crate::error::{Error, Result};
use crate::sys;
use crate::types::Artifact;
use futures::io::{AsyncBufRead, AsyncRead};
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

/// Gives artifacts one after another; several may be read at once. Cheap to clone.
#[derive(Clone)]
pub struct Inbox {
    pub(crate) raw: sys::Inbox,
}

impl Inbox {
    /// The next artifact, or nothing when there are no more.
    pub async fn next(&self) -> Option<Incoming> {
        let (artifact, raw) = self.raw.next().await?;
        Some(Incoming { artifact, reading: ReadBuffer::new(raw) })
    }
}

/// An artifact being read. Its end is `Ok` only when the writer said that it is whole; a stream that broke is an error.
pub struct Incoming {
    pub artifact: Artifact,
    reading: ReadBuffer<sys::Incoming>,
}

impl Incoming {
    /// Bytes received and not consumed yet, in one piece.
    pub fn buffer(&self) -> &[u8] {
        self.reading.buffer()
    }

    /// Takes `amount` bytes from the front of [`Incoming::buffer`].
    pub fn consume(&mut self, amount: usize) {
        self.reading.consume(amount);
    }

    /// Receives more bytes behind those in [`Incoming::buffer`]. 0: the artifact ended and is whole.
    pub async fn fill(&mut self) -> Result<usize> {
        let outcome = poll_fn(|cx| self.reading.poll_fill(cx)).await;
        outcome.map_err(|error| error.context(format!("artifact {}", self.artifact.name)))
    }

    /// All of it, for small ones: more than `limit` bytes are `corrupt`.
    pub async fn read_all(&mut self, limit: usize) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        loop {
            // Also what was there before: whoever looked at how it begins has not consumed that.
            let piece = self.buffer();
            if bytes.len() + piece.len() > limit {
                let name = &self.artifact.name;
                return Err(Error::Corrupt(format!("artifact {name} is larger than the {limit} bytes it may have")));
            }
            bytes.extend_from_slice(piece);
            self.consume(usize::MAX);
            if self.fill().await? == 0 {
                return Ok(bytes);
            }
        }
    }
}

impl AsyncBufRead for Incoming {
    fn poll_fill_buf(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        self.get_mut().reading.poll_nonempty(cx).map_err(io::Error::from)
    }

    fn consume(self: Pin<&mut Self>, amount: usize) {
        self.get_mut().reading.consume(amount);
    }
}

impl AsyncRead for Incoming {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, target: &mut [u8]) -> Poll<io::Result<usize>> {
        self.get_mut().reading.poll_copy(cx, target).map_err(io::Error::from)
    }
}
