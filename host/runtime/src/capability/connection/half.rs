//! The two halves of a connection, in the clear or under TLS, each at home or lent to a stream.

use crate::stdio::lock;
use std::{
    io,
    pin::Pin,
    sync::Mutex,
    task::{Context, Poll},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf, ReadHalf, WriteHalf},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::Notify,
};
use tokio_rustls::client::TlsStream;

/// A half at home, or lent.
pub(super) struct Slot<T> {
    half: Mutex<Option<T>>,
    returned: Notify,
}

impl<T> Slot<T> {
    pub(super) fn new(half: T) -> Self {
        Self { half: Mutex::new(Some(half)), returned: Notify::new() }
    }

    pub(super) fn take(&self) -> Option<T> {
        lock(&self.half).take()
    }

    pub(super) fn give_back(&self, half: T) {
        *lock(&self.half) = Some(half);
        self.returned.notify_one();
    }

    pub(super) async fn wait(&self) -> T {
        loop {
            if let Some(half) = self.take() {
                return half;
            }
            self.returned.notified().await;
        }
    }
}

pub(super) enum ReadEnd {
    Plain(OwnedReadHalf),
    Tls(ReadHalf<TlsStream<TcpStream>>),
}

pub(super) enum WriteEnd {
    Plain(OwnedWriteHalf),
    Tls(WriteHalf<TlsStream<TcpStream>>),
}

impl ReadEnd {
    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(half) => Pin::new(half).poll_read(cx, buffer),
            Self::Tls(half) => Pin::new(half).poll_read(cx, buffer),
        }
    }
}

impl WriteEnd {
    pub(super) fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self {
            Self::Plain(half) => Pin::new(half).poll_write(cx, bytes),
            Self::Tls(half) => Pin::new(half).poll_write(cx, bytes),
        }
    }

    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(half) => Pin::new(half).poll_flush(cx),
            Self::Tls(half) => Pin::new(half).poll_flush(cx),
        }
    }

    pub(super) async fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(half) => half.flush().await,
            Self::Tls(half) => half.flush().await,
        }
    }
}
