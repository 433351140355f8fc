//! Packets: three bytes of length, one of sequence, then the payload. A payload of 16 MiB and more comes in several.
//! https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_basic_packets.html

use coffer_addon::{Connection, Error, Result};

/// Length and sequence.
const HEADER: usize = 4;

/// What a packet can carry. One that is full is followed by another one, be it empty.
pub(super) const FULL: usize = 0xff_ffff;

/// Payloads above this are put together in memory of their own: in the read buffer, they would grow both of its halves.
const LARGE: usize = 1 << 20;

/// A connection as packets. One payload at a time is held, until the next one is received.
pub(super) struct Packets {
    connection: Connection,
    /// Of the next packet, in either direction.
    sequence: u8,
    place: Place,
    /// A payload that was put together.
    large: Vec<u8>,
    /// The longest payload that is received, in bytes.
    limit: usize,
}

/// Where the payload is that was received last.
#[derive(Clone, Copy)]
enum Place {
    Nowhere,
    /// In the read buffer, behind its header, so many bytes.
    Buffer(usize),
    Large,
}

impl Packets {
    pub fn new(connection: Connection) -> Self {
        Packets { connection, sequence: 0, place: Place::Nowhere, large: Vec::new(), limit: usize::MAX }
    }

    /// Begins a command: its packets are counted from 0, and may be of any length.
    pub fn restart(&mut self) {
        self.sequence = 0;
        self.limit = usize::MAX;
    }

    /// Payloads of this command that are longer are refused before they are held.
    pub fn limit(&mut self, bytes: usize) {
        self.limit = bytes;
    }

    /// Receives a payload, for [`Packets::payload`]. One that is too long is `Unsupported`.
    pub async fn receive(&mut self) -> Result<()> {
        self.release();
        let (length, sequence) = self.header().await?;
        if length <= LARGE {
            while self.connection.buffer().len() < HEADER + length {
                self.fill().await?;
            }
            self.place = Place::Buffer(length);
            // A server that ends a session says why at any time, with a number of its own.
            let is_error = self.payload().first() == Some(&0xff);
            return if is_error { Ok(()) } else { self.check(sequence) };
        }
        self.check(sequence)?;
        self.place = Place::Large;
        let mut left = length;
        loop {
            let length = self.large.len() + left;
            if length > self.limit {
                let limit = self.limit;
                return Err(Error::Unsupported(format!(
                    "a row has {length} bytes or more, and up to {limit} can be held at once"
                )));
            }
            self.connection.consume(HEADER);
            self.large.reserve(left);
            let is_full = left == FULL;
            while left > 0 {
                if self.connection.buffer().is_empty() {
                    self.fill().await?;
                }
                let buffer = self.connection.buffer();
                let piece = buffer.get(..left.min(buffer.len())).unwrap_or_default();
                self.large.extend_from_slice(piece);
                let taken = piece.len();
                self.connection.consume(taken);
                left -= taken;
            }
            if !is_full {
                return Ok(());
            }
            let (length, sequence) = self.header().await?;
            self.check(sequence)?;
            left = length;
        }
    }

    /// The payload that was received last.
    pub fn payload(&self) -> &[u8] {
        match self.place {
            Place::Nowhere => &[],
            Place::Buffer(length) => self.connection.buffer().get(HEADER..HEADER + length).unwrap_or_default(),
            Place::Large => &self.large,
        }
    }

    /// Sends one payload: `head`, then `body`.
    pub async fn send(&mut self, mut head: &[u8], mut body: &[u8]) -> Result<()> {
        loop {
            let length = (head.len() + body.len()).min(FULL);
            let (first, head_left) = head.split_at_checked(length).unwrap_or((head, &[]));
            let (second, body_left) = body.split_at_checked(length - first.len()).unwrap_or((body, &[]));
            (head, body) = (head_left, body_left);
            let [a, b, c, _] = u32::try_from(length).unwrap_or_default().to_le_bytes();
            self.connection.write(&[a, b, c, self.sequence]).await?;
            self.sequence = self.sequence.wrapping_add(1);
            self.connection.write(first).await?;
            self.connection.write(second).await?;
            if length < FULL {
                return self.connection.send().await;
            }
        }
    }

    /// Goes on in TLS. The numbers go on too.
    pub async fn start_tls(mut self) -> Result<Self> {
        self.release();
        let Packets { connection, sequence, .. } = self;
        Ok(Packets { sequence, ..Packets::new(connection.start_tls().await?) })
    }

    /// Lets go of the payload.
    fn release(&mut self) {
        if let Place::Buffer(length) = self.place {
            self.connection.consume(HEADER + length);
        }
        self.place = Place::Nowhere;
        if self.large.capacity() > FULL {
            self.large = Vec::new();
        }
        self.large.clear();
    }

    /// Length and sequence number of the next packet, whose header stays in the buffer.
    async fn header(&mut self) -> Result<(usize, u8)> {
        loop {
            if let Some(([a, b, c, sequence], _)) = self.connection.buffer().split_first_chunk::<HEADER>() {
                return Ok((usize::from(*a) | usize::from(*b) << 8 | usize::from(*c) << 16, *sequence));
            }
            self.fill().await?;
        }
    }

    fn check(&mut self, sequence: u8) -> Result<()> {
        if sequence != self.sequence {
            return Err(Error::Corrupt("the server's packets are out of order; is it MySQL or MariaDB?".into()));
        }
        self.sequence = sequence.wrapping_add(1);
        Ok(())
    }

    async fn fill(&mut self) -> Result<()> {
        match self.connection.fill().await? {
            0 => Err(Error::Unavailable("the server closed the connection".into())),
            _ => Ok(()),
        }
    }
}
