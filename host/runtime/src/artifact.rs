//! Artifacts between steps: a name, labels and a bounded stream of bytes that says whether it ended whole.
//!
//! A channel that closes looks like one that ended, so the end is a message of its own: a reader sees `Ok(None)` only after
//! the writer's [`ArtifactWriter::finish`].

use bytes::Bytes;
use std::task::{Context, Poll, ready};
use tokio::sync::{mpsc, oneshot};

/// What names a stream of bytes; see the contract's `artifact`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Artifact {
    pub name: String,
    pub labels: Vec<(String, String)>,
}

impl Artifact {
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), labels: Vec::new() }
    }
}

/// A stream for `artifact` that holds up to `capacity` chunks (at least one) before its writer waits.
pub fn artifact(artifact: Artifact, capacity: usize) -> (ArtifactWriter, ArtifactReader) {
    let (sender, receiver) = mpsc::channel(capacity.max(1));
    let writer = ArtifactWriter { sender };
    (writer, ArtifactReader { artifact, receiver, end: None })
}

enum Message {
    Chunk(Bytes),
    /// Told back when the reader has come to it.
    Finished(oneshot::Sender<()>),
    Failed(String),
}

/// Dropped without [`finish`](Self::finish), it fails the artifact for its reader.
#[derive(Debug)]
pub struct ArtifactWriter {
    sender: mpsc::Sender<Message>,
}

impl ArtifactWriter {
    /// Waits while the reader is `capacity` chunks behind. Empty chunks are not sent.
    pub async fn write(&mut self, chunk: Bytes) -> Result<(), ReaderGone> {
        if chunk.is_empty() {
            return if self.sender.is_closed() { Err(ReaderGone) } else { Ok(()) };
        }
        self.send(Message::Chunk(chunk)).await
    }

    /// The trailer: everything written so far is all there is.
    pub async fn finish(self) -> Result<(), ReaderGone> {
        self.send(Message::Finished(oneshot::channel().0)).await
    }

    /// The trailer, and then waits until the reader has come to it. An error says that it left the artifact before its end.
    pub async fn finish_read(self) -> Result<(), ReaderGone> {
        let (read, seen) = oneshot::channel();
        self.send(Message::Finished(read)).await?;
        seen.await.map_err(|_| ReaderGone)
    }

    pub async fn fail(self, reason: impl Into<String>) {
        // A reader that has gone needs no reason.
        let _ = self.send(Message::Failed(reason.into())).await;
    }

    /// Resolves when nobody will read any more.
    pub async fn closed(&self) {
        self.sender.closed().await;
    }

    async fn send(&self, message: Message) -> Result<(), ReaderGone> {
        self.sender.send(message).await.map_err(|_| ReaderGone)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("nobody reads the artifact any more")]
pub struct ReaderGone;

/// Dropped before its end, it makes the writer's next call fail.
#[derive(Debug)]
pub struct ArtifactReader {
    artifact: Artifact,
    receiver: mpsc::Receiver<Message>,
    end: Option<Result<(), ArtifactError>>,
}

/// The artifact is not whole; what was read of it must not be used as if it were.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ArtifactError {
    #[error("artifact {0} ended without its trailer")]
    Truncated(String),
    #[error("artifact {name} failed: {reason}")]
    Failed { name: String, reason: String },
}

impl ArtifactReader {
    pub fn artifact(&self) -> &Artifact {
        &self.artifact
    }

    /// The next chunk; `Ok(None)` only after a good trailer. Asked again after its end, it repeats the end.
    pub async fn next(&mut self) -> Result<Option<Bytes>, ArtifactError> {
        std::future::poll_fn(|cx| self.poll_next(cx)).await
    }

    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, ArtifactError>> {
        if let Some(end) = &self.end {
            return Poll::Ready(end.clone().map(|()| None));
        }
        let end = match ready!(self.receiver.poll_recv(cx)) {
            Some(Message::Chunk(chunk)) => return Poll::Ready(Ok(Some(chunk))),
            Some(Message::Finished(read)) => {
                // Most writers do not wait for it.
                let _ = read.send(());
                Ok(())
            }
            Some(Message::Failed(reason)) => Err(ArtifactError::Failed { name: self.artifact.name.clone(), reason }),
            None => Err(ArtifactError::Truncated(self.artifact.name.clone())),
        };
        self.end = Some(end.clone());
        Poll::Ready(end.map(|()| None))
    }
}

impl std::fmt::Debug for Message {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Chunk(chunk) => write!(f, "Chunk({} bytes)", chunk.len()),
            Self::Finished(_) => f.write_str("Finished"),
            Self::Failed(reason) => write!(f, "Failed({reason})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn ends_only_with_a_trailer() {
        let (mut writer, mut reader) = artifact(Artifact::new("a"), 4);
        writer.write(Bytes::from_static(b"one")).await.unwrap();
        writer.finish().await.unwrap();
        assert_eq!(reader.next().await.unwrap().unwrap(), "one");
        assert_eq!(reader.next().await, Ok(None));
        assert_eq!(reader.next().await, Ok(None), "the end stays the end");
    }

    #[tokio::test]
    async fn a_writer_can_wait_for_its_reader_to_come_to_the_end() {
        let (writer, mut reader) = artifact(Artifact::new("a"), 4);
        let (finished, read) = tokio::join!(writer.finish_read(), reader.next());
        assert_eq!((finished, read), (Ok(()), Ok(None)));

        let (writer, reader) = artifact(Artifact::new("b"), 4);
        let (finished, ()) = tokio::join!(writer.finish_read(), async { drop(reader) });
        assert_eq!(finished, Err(ReaderGone), "it was sent, but nobody read it");
    }

    #[tokio::test]
    async fn a_dropped_writer_is_a_failure() {
        let (mut writer, mut reader) = artifact(Artifact::new("a"), 4);
        writer.write(Bytes::from_static(b"one")).await.unwrap();
        drop(writer);
        assert_eq!(reader.next().await.unwrap().unwrap(), "one");
        assert_eq!(reader.next().await, Err(ArtifactError::Truncated("a".into())));
        assert_eq!(reader.next().await, Err(ArtifactError::Truncated("a".into())));
    }

    #[tokio::test]
    async fn a_failure_has_its_reason_and_a_gone_reader_is_told() {
        let (writer, mut reader) = artifact(Artifact::new("a"), 4);
        writer.fail("disk full").await;
        let error = reader.next().await.unwrap_err();
        assert_eq!(error.to_string(), "artifact a failed: disk full");

        let (mut writer, reader) = artifact(Artifact::new("b"), 4);
        drop(reader);
        assert_eq!(writer.write(Bytes::from_static(b"x")).await, Err(ReaderGone));
        assert_eq!(writer.write(Bytes::new()).await, Err(ReaderGone));
    }
}
