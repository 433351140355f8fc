//! Messages: a header, flags, and a document; a request may have a sequence of documents beside it.
//! https://github.com/mongodb/specifications/blob/master/source/message/OP_MSG.md
//!
//! Only OP_MSG, which servers have since 3.6, uncompressed and without checksums: TCP and TLS have theirs. A reply need not
//! be held whole: what is left of it can be taken piece by piece, so that a batch of 16 MB takes the memory of a document.

use super::batch::corrupt;
use super::pulse::Pulse;
use bson::raw::RawDocumentBuf;
use coffer_addon::{Connection, Error, Result};

/// Length, request, the request that is answered, opcode, flags, and the kind of the first section.
const HEADER: usize = 21;

const OP_MSG: i32 = 2013;

/// Flags: another message follows this one, unasked.
const MORE_TO_COME: u32 = 1 << 1;

/// Those that must be understood.
const REQUIRED: u32 = 0xffff;

/// The longest message that any server takes, and the most of one that is held here at once. What is read piece by piece may
/// be longer: FerretDB 1 sends as many documents as were asked for.
const MAX_MESSAGE: usize = 48_000_000;

/// The shortest document.
const EMPTY_DOCUMENT: usize = 5;

/// A piece of a message above this is put together in memory of its own: in the read buffer, it would grow both halves.
const LARGE: usize = 256 << 10;

/// A connection as requests and replies, one at a time.
pub(super) struct Wire {
    connection: Connection,
    /// Of the last request.
    request: i32,
    /// Bytes of the reply under way that were not consumed.
    left: usize,
    /// Bytes at the front of the read buffer that the caller still looks at; consumed with the next step.
    held: usize,
    /// A piece that was put together.
    large: Vec<u8>,
    /// A request is sent in part, or its reply has not begun: nobody can tell what comes next.
    is_torn: bool,
    pulse: Pulse,
}

impl Wire {
    pub fn new(connection: Connection) -> Self {
        Wire { connection, request: 0, left: 0, held: 0, large: Vec::new(), is_torn: false, pulse: Pulse::default() }
    }

    /// From now on it waits for the server only as long as that makes sense.
    pub fn watch(&mut self, pulse: Pulse) {
        self.pulse = pulse;
    }

    /// Whether a request was given up in the middle, or something went wrong with its reply.
    pub fn is_torn(&self) -> bool {
        self.is_torn
    }

    /// Nobody can tell any more what comes next.
    pub fn tear(&mut self) {
        self.is_torn = true;
    }

    /// Sends a request: a document, and raw documents one after the other as its field of a name.
    pub async fn send(&mut self, document: &[u8], sequence: Option<(&str, &[u8])>) -> Result<()> {
        let size = sequence.map_or(0, |(name, documents)| 4 + name.len() + 1 + documents.len());
        let kind = usize::from(sequence.is_some());
        let length = length(HEADER + document.len() + kind + size)?;
        self.request = self.request.wrapping_add(1);
        self.is_torn = true;
        let mut head = [0; HEADER];
        let fields = [length, self.request, 0, OP_MSG, 0];
        for (place, field) in head.chunks_mut(4).zip(fields) {
            place.copy_from_slice(&field.to_le_bytes());
        }
        let Wire { connection, pulse, .. } = self;
        pulse.alive(connection.write(&head)).await?;
        pulse.alive(connection.write(document)).await?;
        if let Some((name, documents)) = sequence {
            let mut head = vec![1];
            head.extend(i32::try_from(size).unwrap_or(i32::MAX).to_le_bytes());
            head.extend(name.as_bytes());
            head.push(0);
            pulse.alive(connection.write(&head)).await?;
            pulse.alive(connection.write(documents)).await?;
        }
        pulse.alive(connection.send()).await
    }

    /// Receives how the reply begins, and gives the length of its document.
    pub async fn reply(&mut self) -> Result<usize> {
        let request = self.request;
        self.left = HEADER;
        let left = Head::read(self.take(HEADER).await?, request)?;
        self.left = left;
        self.is_torn = false;
        let length = self.peek(4).await?.first_chunk().map(|length| i32::from_le_bytes(*length));
        // Servers reply with one document and nothing else.
        if length.and_then(|length| usize::try_from(length).ok()) != Some(left) {
            return Err(Error::Corrupt("the server's reply is not one document of the message's length".into()));
        }
        Ok(left)
    }

    /// Receives a reply as a whole.
    pub async fn document(&mut self) -> Result<RawDocumentBuf> {
        let length = self.reply().await?;
        if length > MAX_MESSAGE {
            return Err(Error::Unsupported(format!(
                "the server's answer has {length} bytes, and nobody takes more than {MAX_MESSAGE} at once"
            )));
        }
        let mut reply = Vec::new();
        self.take_into(&mut reply, length).await?;
        RawDocumentBuf::from_bytes(reply).map_err(|_| corrupt())
    }

    /// Bytes of the reply that were not consumed.
    pub fn left(&self) -> usize {
        self.left
    }

    /// The next bytes of the reply that are there already, and not consumed yet.
    pub fn ready(&self) -> &[u8] {
        let buffer = self.connection.buffer();
        let buffer = buffer.get(self.held..).unwrap_or_default();
        buffer.get(..buffer.len().min(self.left)).unwrap_or_default()
    }

    /// What [`Wire::take`] gave last.
    pub fn held(&self) -> &[u8] {
        if self.large.is_empty() { self.connection.buffer().get(..self.held).unwrap_or_default() } else { &self.large }
    }

    /// Receives more behind [`Wire::ready`].
    pub async fn more(&mut self) -> Result<()> {
        self.release();
        match self.pulse.alive(self.connection.fill()).await? {
            0 => Err(Error::Unavailable("the server closed the connection".into())),
            _ => Ok(()),
        }
    }

    /// The next bytes of the reply, which stay to be consumed.
    pub async fn peek(&mut self, count: usize) -> Result<&[u8]> {
        self.has(count)?;
        while self.ready().len() < count {
            self.more().await?;
        }
        Ok(self.ready().get(..count).unwrap_or_default())
    }

    /// Consumes the next bytes of the reply, and gives them, until the next step.
    pub async fn take(&mut self, count: usize) -> Result<&[u8]> {
        self.release();
        if count <= LARGE {
            self.peek(count).await?;
            self.hold(count);
        } else {
            let mut large = std::mem::take(&mut self.large);
            self.take_into(&mut large, count).await?;
            self.large = large;
        }
        Ok(self.held())
    }

    /// Consumes bytes of [`Wire::ready`], which [`Wire::held`] gives until the next step.
    pub fn hold(&mut self, count: usize) {
        self.release();
        let count = count.min(self.ready().len());
        self.held = count;
        self.left -= count;
    }

    /// Consumes the next bytes of the reply into `target`.
    pub async fn take_into(&mut self, target: &mut Vec<u8>, count: usize) -> Result<()> {
        self.has(count)?;
        if count > MAX_MESSAGE {
            return Err(Error::Corrupt(format!(
                "the server's reply has {count} bytes in one piece, more than any document"
            )));
        }
        target.reserve_exact(count);
        let mut wanted = count;
        while wanted > 0 {
            if self.ready().is_empty() {
                self.more().await?;
            }
            let ready = self.ready();
            let piece = ready.get(..wanted.min(ready.len())).unwrap_or_default();
            target.extend_from_slice(piece);
            wanted -= piece.len();
            let count = piece.len();
            self.hold(count);
        }
        Ok(())
    }

    /// Consumes what is left of the reply.
    pub async fn skip(&mut self) -> Result<()> {
        while self.left > 0 {
            if self.ready().is_empty() {
                self.more().await?;
            }
            self.hold(self.ready().len());
        }
        self.release();
        Ok(())
    }

    pub async fn start_tls(mut self) -> Result<Self> {
        self.release();
        Ok(Wire::new(self.connection.start_tls().await?))
    }

    fn has(&self, count: usize) -> Result<()> {
        if count > self.left {
            return Err(Error::Corrupt("a length in the server's reply is beyond its end".into()));
        }
        Ok(())
    }

    /// Lets go of what [`Wire::held`] gave.
    fn release(&mut self) {
        self.connection.consume(self.held);
        self.held = 0;
        if self.large.capacity() > 1 << 20 {
            self.large = Vec::new();
        }
        self.large.clear();
    }
}

/// A message's length as its header has it.
fn length(length: usize) -> Result<i32> {
    let allowed = i32::try_from(length).ok().filter(|_| length <= MAX_MESSAGE);
    allowed.ok_or_else(|| Error::Failed(format!("a message of {length} bytes is longer than any server takes")))
}

/// A reply's header.
struct Head;

impl Head {
    /// Checks it, and gives the length of what follows.
    fn read(head: &[u8], request: i32) -> Result<usize> {
        let field = |index: usize| head.get(4 * index..).and_then(<[u8]>::first_chunk).map(|b| i32::from_le_bytes(*b));
        let (Some(length), Some(answers), Some(opcode), Some(flags)) = (field(0), field(2), field(3), field(4)) else {
            return Err(stranger());
        };
        let length = usize::try_from(length).unwrap_or_default();
        if opcode != OP_MSG || length < HEADER + EMPTY_DOCUMENT {
            return Err(stranger());
        }
        if answers != request {
            return Err(Error::Corrupt(format!("the server replied to request {answers}, and {request} was asked")));
        }
        let flags = flags.cast_unsigned() & REQUIRED;
        if flags & MORE_TO_COME != 0 {
            return Err(Error::Corrupt(
                "the server says that more replies follow (moreToCome), which nobody asked for".into(),
            ));
        }
        // A checksum is sent to those only who send one.
        if flags != 0 || head.get(HEADER - 1) != Some(&0) {
            return Err(Error::Unsupported(format!(
                "the server's reply has flags ({flags:#x}) or sections that nobody asked for"
            )));
        }
        Ok(length - HEADER)
    }
}

fn stranger() -> Error {
    Error::Corrupt("the server sent what is no reply of MongoDB's; is it MongoDB 3.6 or later?".into())
}
