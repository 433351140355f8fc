//! A read buffer that the host fills directly, with what is unconsumed always in one piece.

use crate::error::{Error, Result};
use std::task::{Context, Poll, ready};

/// Room offered to one read. From 64 KiB on a crossing into the host costs nothing next to the bytes; 256 KiB leaves room
/// for a partial frame in front.
pub(crate) const CHUNK: usize = 256 * 1024;

/// Makes room for `more` bytes, where their number is up to the application or a dump. An addon may have so much memory and no more;
/// what cannot be had is an error here, behind which the run tidies up, and a trap in [`Vec::push`] and its like.
pub fn room(buffer: &mut Vec<u8>, more: usize) -> Result<()> {
    buffer.try_reserve(more).map_err(|_| {
        let wanted = buffer.len().saturating_add(more);
        Error::Unsupported(format!(
            "there is no memory for a piece of {wanted} bytes; raise spec.limits.memory of the Addon to several times of that"
        ))
    })
}

/// Where bytes come from. A read that began is never taken back: dropped in flight it would lose what arrives.
pub(crate) trait Source {
    /// Begins to read into the spare capacity of `target`. Called only when no read is in flight.
    fn begin_read(&mut self, target: Vec<u8>);
    /// Gives `target` back with bytes appended; with none at the end.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<Vec<u8>>>;
}

pub(crate) struct ReadBuffer<S> {
    pub source: S,
    /// Bytes received; those before `consumed` were taken.
    received: Vec<u8>,
    consumed: usize,
    /// The other buffer. A read in flight owns it, with a copy in front of what was unconsumed when it began.
    spare: Vec<u8>,
    /// How long that copy is, while a read is in flight.
    in_flight: Option<usize>,
    /// How much of that copy has been consumed since.
    consumed_since: usize,
}

impl<S: Source> ReadBuffer<S> {
    pub fn new(source: S) -> Self {
        ReadBuffer { source, received: Vec::new(), consumed: 0, spare: Vec::new(), in_flight: None, consumed_since: 0 }
    }

    pub fn buffer(&self) -> &[u8] {
        self.received.get(self.consumed..).unwrap_or_default()
    }

    pub fn consume(&mut self, amount: usize) {
        let amount = amount.min(self.buffer().len());
        self.consumed += amount;
        self.consumed_since += amount;
    }

    /// Appends what the source gives to `buffer()`; 0 at its end.
    pub fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<usize>> {
        let in_front = match self.in_flight {
            Some(in_front) => in_front,
            None => {
                let mut target = std::mem::take(&mut self.spare);
                let unconsumed = self.received.get(self.consumed..).unwrap_or_default();
                target.clear();
                // A frame larger than a chunk doubles the room each time, so that growing stays linear.
                room(&mut target, unconsumed.len() + CHUNK.max(unconsumed.len()))?;
                target.extend_from_slice(unconsumed);
                let in_front = target.len();
                self.source.begin_read(target);
                self.consumed_since = 0;
                self.in_flight = Some(in_front);
                in_front
            }
        };
        let outcome = ready!(self.source.poll_read(cx));
        self.in_flight = None;
        let filled = outcome?;
        let count = filled.len().saturating_sub(in_front);
        self.spare = std::mem::replace(&mut self.received, filled);
        self.consumed = self.consumed_since;
        Poll::Ready(Ok(count))
    }

    /// [`Self::poll_fill`] only if there is nothing in the buffer.
    pub fn poll_nonempty(&mut self, cx: &mut Context<'_>) -> Poll<Result<&[u8]>> {
        if self.buffer().is_empty() {
            ready!(self.poll_fill(cx))?;
        }
        Poll::Ready(Ok(self.buffer()))
    }

    /// Copies out what is there, as `AsyncRead` wants it.
    pub fn poll_copy(&mut self, cx: &mut Context<'_>, target: &mut [u8]) -> Poll<Result<usize>> {
        let bytes = ready!(self.poll_nonempty(cx))?;
        let count = bytes.len().min(target.len());
        if let (Some(to), Some(from)) = (target.get_mut(..count), bytes.get(..count)) {
            to.copy_from_slice(from);
        }
        self.consume(count);
        Poll::Ready(Ok(count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::task::noop_waker;

    /// Gives pieces of `1, 2, 3, …`, each after one `Pending`.
    struct Pieces {
        next: u8,
        pieces: Vec<usize>,
        target: Option<Vec<u8>>,
        ready: bool,
    }

    impl Source for Pieces {
        fn begin_read(&mut self, target: Vec<u8>) {
            assert!(self.target.is_none(), "a read is in flight already");
            self.target = Some(target);
            self.ready = false;
        }

        fn poll_read(&mut self, _: &mut Context<'_>) -> Poll<Result<Vec<u8>>> {
            if !std::mem::replace(&mut self.ready, true) {
                return Poll::Pending;
            }
            let mut target = self.target.take().expect("begun");
            for _ in 0..self.pieces.pop().unwrap_or(0) {
                target.push(self.next);
                self.next += 1;
            }
            Poll::Ready(Ok(target))
        }
    }

    #[test]
    fn what_is_unconsumed_stays_in_front_also_when_consumed_during_a_read() {
        let waker = noop_waker();
        let mut cx = Context::from_waker(&waker);
        let source = Pieces { next: 1, pieces: vec![3, 4, 5], target: None, ready: false };
        let mut buffer = ReadBuffer::new(source);
        assert!(buffer.poll_fill(&mut cx).is_pending());
        assert_eq!(buffer.poll_fill(&mut cx), Poll::Ready(Ok(5)));
        buffer.consume(2);
        assert_eq!(buffer.buffer(), [3, 4, 5]);
        // A fill that is given up and taken up again, with a consume between.
        assert!(buffer.poll_fill(&mut cx).is_pending());
        assert_eq!(buffer.buffer(), [3, 4, 5]);
        buffer.consume(1);
        assert_eq!(buffer.poll_fill(&mut cx), Poll::Ready(Ok(4)));
        assert_eq!(buffer.buffer(), [4, 5, 6, 7, 8, 9]);
        buffer.consume(100);
        assert!(buffer.poll_fill(&mut cx).is_pending());
        assert_eq!(buffer.poll_fill(&mut cx), Poll::Ready(Ok(3)));
        assert_eq!(buffer.buffer(), [10, 11, 12]);
        assert!(buffer.poll_fill(&mut cx).is_pending());
        assert_eq!(buffer.poll_fill(&mut cx), Poll::Ready(Ok(0)));
        assert_eq!(buffer.buffer(), [10, 11, 12]);
    }
}
