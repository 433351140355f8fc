//! A connection to the bound application: a byte stream in each direction with a buffer each.
//!
//! It is an `AsyncRead`, `AsyncBufRead` and `AsyncWrite`. Protocols that parse frames do better with [`Connection::fill`],
//! [`Connection::buffer`] and [`Connection::consume`]: the host writes into the buffer they read from, nothing is copied.
//!
//! A future of a read or a write may be dropped at any time without loss: what is in flight stays with the connection, and
//! the next one picks it up. So a `select` between a read and anything else is safe.

use crate::buffer::{CHUNK, ReadBuffer};
use crate::error::{Error, Result};
use crate::sys;
use futures::io::{AsyncBufRead, AsyncRead, AsyncWrite};
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// A connection in the clear or, after [`Connection::start_tls`], in TLS that the host speaks. Dropping it closes it.
pub struct Connection {
    reading: ReadBuffer<sys::Connection>,
    /// Bytes written and not handed on yet.
    written: Vec<u8>,
    /// The other one of the pair, filled while the first is with the host.
    free: Vec<u8>,
}

impl Connection {
    pub(crate) fn new(raw: sys::Connection) -> Self {
        Connection { reading: ReadBuffer::new(raw), written: Vec::new(), free: Vec::new() }
    }

    /// Bytes received and not consumed yet, always in one piece.
    pub fn buffer(&self) -> &[u8] {
        self.reading.buffer()
    }

    /// Takes `amount` bytes from the front of [`Connection::buffer`]; more than there are takes them all.
    pub fn consume(&mut self, amount: usize) {
        self.reading.consume(amount);
    }

    /// Receives more bytes behind those in [`Connection::buffer`], however many those are. 0: the application closed.
    pub async fn fill(&mut self) -> Result<usize> {
        poll_fn(|cx| self.poll_fill(cx)).await
    }

    /// [`Connection::fill`] for a future written by hand, or to look whether something came.
    pub fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<usize>> {
        self.reading.poll_fill(cx)
    }

    /// Buffers `bytes` and hands them on in large pieces. Nothing is sent for sure before [`Connection::send`].
    pub async fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let taken = poll_fn(|cx| self.poll_buffer(cx, rest)).await?;
            rest = rest.get(taken..).unwrap_or_default();
        }
        Ok(())
    }

    /// Hands on what was written. Returns when the host has all of it, which sends it without further ado.
    pub async fn send(&mut self) -> Result<()> {
        poll_fn(|cx| self.poll_send(cx)).await
    }

    fn poll_buffer(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        if self.written.len() >= CHUNK {
            ready!(self.poll_hand_on(cx))?;
        }
        let taken = bytes.len().min(CHUNK - self.written.len());
        self.written.extend_from_slice(bytes.get(..taken).unwrap_or_default());
        if self.written.len() >= CHUNK
            && let Poll::Ready(outcome) = self.poll_hand_on(cx)
        {
            // Under way at once: the host takes it while the caller makes the next piece.
            outcome?;
        }
        Poll::Ready(Ok(taken))
    }

    /// Ready when the write before has ended and that of `written` is under way.
    fn poll_hand_on(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        ready!(self.poll_taken(cx))?;
        if !self.written.is_empty() {
            let bytes = std::mem::replace(&mut self.written, std::mem::take(&mut self.free));
            self.reading.source.begin_write(bytes);
            if let Poll::Ready(outcome) = self.poll_taken(cx) {
                outcome?;
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Ready when no write is under way.
    fn poll_taken(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        if let Some(mut bytes) = ready!(self.reading.source.poll_write(cx))? {
            bytes.clear();
            self.free = bytes;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        ready!(self.poll_hand_on(cx))?;
        ready!(self.poll_taken(cx))?;
        self.reading.source.poll_flush(cx)
    }

    /// Goes on in TLS, done by the host with the binding's CA and server name. What was received must have been consumed:
    /// bytes that came in the clear must never be taken for some that came in TLS.
    pub async fn start_tls(mut self) -> Result<Connection> {
        self.send().await?;
        if !self.buffer().is_empty() {
            return Err(Error::Corrupt("the server sent data before TLS began".into()));
        }
        Ok(Connection::new(self.reading.source.start_tls().await?))
    }
}

impl AsyncBufRead for Connection {
    fn poll_fill_buf(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        self.get_mut().reading.poll_nonempty(cx).map_err(io::Error::from)
    }

    fn consume(self: Pin<&mut Self>, amount: usize) {
        self.get_mut().reading.consume(amount);
    }
}

impl AsyncRead for Connection {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, target: &mut [u8]) -> Poll<io::Result<usize>> {
        self.get_mut().reading.poll_copy(cx, target).map_err(io::Error::from)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.get_mut().poll_buffer(cx, bytes).map_err(io::Error::from)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().poll_send(cx).map_err(io::Error::from)
    }

    /// Flushes. The application sees the end when the connection is dropped.
    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush(cx)
    }
}
