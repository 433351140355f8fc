//! COPY in both directions. Payloads pass through in large batches: nothing is parsed, and no row has an allocation.

use super::{Client, HEADER, Running, header, unreadable};
use coffer_addon::{Error, Result};
use futures::AsyncWrite;
use postgres_protocol::message::backend::Message;
use postgres_protocol::message::frontend;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

/// A batch is handed on at this size; it may overshoot by what one read brings.
const BATCH: usize = 256 * 1024;

/// The rows of a `COPY … TO STDOUT`. Read to its end, else the session is of no more use.
pub struct CopyOut<'a> {
    client: &'a mut Client,
    /// Bytes of the message under way that have not come yet.
    rest: usize,
    rows: Option<u64>,
}

/// The rows of a `COPY … FROM STDIN`. [`finish`](Self::finish) or [`fail`](Self::fail) it, else the session is of no more use.
pub struct CopyIn<'a> {
    client: &'a mut Client,
}

impl Client {
    /// Begins a `COPY … TO STDOUT`. Errors say nothing of the rows, and leave it to the caller to name the table.
    pub async fn copy_out(&mut self, sql: &str) -> Result<CopyOut<'_>> {
        self.running = Running::private("COPY TO STDOUT");
        self.begin(sql).await?;
        match self.receive().await? {
            Message::CopyOutResponse(_) => Ok(CopyOut { client: self, rest: 0, rows: None }),
            Message::ErrorResponse(body) => {
                let error = self.server_error(&body);
                Err(self.after(error).await)
            }
            _ => Err(self.unexpected()),
        }
    }

    /// Begins a `COPY … FROM STDIN`. Errors say nothing of the rows, and leave it to the caller to name the table.
    pub async fn copy_in(&mut self, sql: &str) -> Result<CopyIn<'_>> {
        self.running = Running::private("COPY FROM STDIN");
        self.begin(sql).await?;
        match self.receive().await? {
            Message::CopyInResponse(_) => Ok(CopyIn { client: self }),
            Message::ErrorResponse(body) => {
                let error = self.server_error(&body);
                Err(self.after(error).await)
            }
            _ => Err(Error::Corrupt("a statement that should begin COPY FROM STDIN does something else".into())),
        }
    }

    /// Deals with notices and the like. Ready when the next message is an answer, or the connection will give none: reading
    /// on tells which.
    fn poll_answer(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            match header(self.connection.buffer()) {
                Ok(Some((b'N' | b'S' | b'A', length))) if self.connection.buffer().len() >= length => {
                    if self.take(length).is_err() {
                        return Poll::Ready(());
                    }
                }
                Ok(None | Some((b'N' | b'S' | b'A', _))) => match self.connection.poll_fill(cx) {
                    Poll::Ready(Ok(count)) if count > 0 => {}
                    Poll::Ready(_) => return Poll::Ready(()),
                    Poll::Pending => return Poll::Pending,
                },
                Ok(Some(_)) | Err(_) => return Poll::Ready(()),
            }
        }
    }

    /// Waits until the session is ready again and gives `error` back; how the wait ended matters less.
    async fn after(&mut self, error: Error) -> Error {
        while let Ok(message) = self.receive().await {
            if matches!(message, Message::ReadyForQuery(_)) {
                break;
            }
        }
        error
    }

    /// After the last row: command tag and readiness. Gives the number of rows.
    async fn copied(&mut self) -> Result<u64> {
        let mut rows = None;
        let mut failure = None;
        loop {
            match self.receive().await {
                Ok(Message::CommandComplete(body)) => {
                    let tag = body.tag().map_err(unreadable)?;
                    rows = tag.strip_prefix("COPY ").and_then(|count| count.parse().ok());
                }
                Ok(Message::ErrorResponse(body)) => failure = Some(self.server_error(&body)),
                Ok(Message::ReadyForQuery(_)) => break,
                Ok(Message::CopyDone) => {}
                Ok(_) => return Err(self.unexpected()),
                Err(closed) => return Err(failure.unwrap_or(closed)),
            }
        }
        match (failure, rows) {
            (Some(error), _) => Err(error),
            (None, Some(rows)) => Ok(rows),
            (None, None) => Err(self.unexpected()),
        }
    }
}

impl CopyOut<'_> {
    /// The next rows in COPY's text, appended to `batch` whose capacity is used again; nothing after the last.
    pub async fn next(&mut self, mut batch: Vec<u8>) -> Result<Option<Vec<u8>>> {
        if self.rows.is_some() {
            return Ok(None);
        }
        batch.reserve(BATCH);
        loop {
            let (taken, other) = self.strip(&mut batch)?;
            self.client.connection.consume(taken);
            match other {
                // A notice, a setting: may come at any time.
                Some(b'N' | b'S' | b'A') => {
                    self.client.receive_any().await?;
                }
                // Hand on what came before the end; the next call meets it again.
                Some(_) if !batch.is_empty() => return Ok(Some(batch)),
                Some(_) => {
                    self.rows = Some(self.client.copied().await?);
                    return Ok(None);
                }
                None if batch.len() >= BATCH => return Ok(Some(batch)),
                None => self.client.fill().await?,
            }
        }
    }

    /// Appends the payloads in the buffer to `batch`. Gives how much of the buffer that was, and the type of the message
    /// that comes next where it is no CopyData.
    fn strip(&mut self, batch: &mut Vec<u8>) -> Result<(usize, Option<u8>)> {
        let buffer = self.client.connection.buffer();
        let mut left = buffer;
        loop {
            let payload = left.get(..self.rest.min(left.len())).unwrap_or_default();
            batch.extend_from_slice(payload);
            self.rest -= payload.len();
            left = left.get(payload.len()..).unwrap_or_default();
            if self.rest > 0 {
                return Ok((buffer.len(), None));
            }
            match header(left)? {
                Some((b'd', length)) => {
                    self.rest = length - HEADER;
                    left = left.get(HEADER..).unwrap_or_default();
                }
                other => return Ok((buffer.len() - left.len(), other.map(|(kind, _)| kind))),
            }
        }
    }

    /// The server's own count, once [`next`](Self::next) gave nothing.
    pub fn rows(&self) -> u64 {
        self.rows.unwrap_or(0)
    }
}

impl CopyIn<'_> {
    /// Sends a piece of COPY's text, cut anywhere.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<()> {
        // The server does not need a piece in one message; a modest one is in its hands sooner.
        for piece in bytes.chunks(BATCH) {
            let length = u32::try_from(piece.len() + 4).unwrap_or(u32::MAX);
            let [a, b, c, d] = length.to_be_bytes();
            self.send(&[b'd', a, b, c, d]).await?;
            self.send(piece).await?;
        }
        Ok(())
    }

    /// Whether the server has given its answer already: mid-way that is an error, and the rest need not be sent.
    pub fn has_answer(&mut self) -> bool {
        let mut context = Context::from_waker(Waker::noop());
        self.client.poll_answer(&mut context).is_ready()
    }

    /// Ends the rows. Gives how many the server took.
    pub async fn finish(mut self) -> Result<u64> {
        frontend::copy_done(&mut self.client.outgoing);
        self.flush().await?;
        self.client.copied().await
    }

    async fn flush(&mut self) -> Result<()> {
        let message = self.client.outgoing.split();
        self.send(&message).await?;
        let outcome = poll_fn(|cx| {
            let _ = self.client.poll_answer(cx);
            Pin::new(&mut self.client.connection).poll_flush(cx)
        });
        outcome.await.map_err(|error| self.client.lost(error.into()))
    }

    /// Sends bytes and takes notices meanwhile: a server that cannot get rid of its own reads nothing more either.
    async fn send(&mut self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            let sent = poll_fn(|cx| {
                // An answer ends nothing here: a message that has begun must be sent whole, and the server drops it.
                let _ = self.client.poll_answer(cx);
                Pin::new(&mut self.client.connection).poll_write(cx, bytes)
            });
            let sent = sent.await.map_err(|error| self.client.lost(error.into()))?;
            bytes = bytes.get(sent..).unwrap_or_default();
        }
        Ok(())
    }

    /// Takes all of it back for a reason of the caller's, which comes back.
    pub async fn fail(mut self, reason: Error) -> Error {
        if frontend::copy_fail("the rows ended early", &mut self.client.outgoing).is_ok() && self.flush().await.is_ok()
        {
            // It answers with an error that says no more than the reason.
            let _ = self.client.copied().await;
        }
        reason
    }
}
