//! HTTP in a component: the host's.

use super::wasm::{Incoming, bindings, write_whole};
use crate::application::{Binding, TlsMode};
use crate::error::{Error, Result};
use crate::http::{Head, answered_too_early};
use bindings::coffer::addon::{http, types};
use futures::future::{FutureExt, LocalBoxFuture};
use std::future::poll_fn;
use std::task::Poll;
use wit_bindgen::{FutureWriter, StreamWriter};

impl From<types::Binding> for Binding {
    fn from(binding: types::Binding) -> Self {
        Binding {
            kind: binding.kind,
            version: binding.version,
            endpoints: binding.endpoints,
            tls: match binding.tls {
                types::TlsMode::Disable => TlsMode::Disable,
                types::TlsMode::Require => TlsMode::Require,
            },
            parameters: binding.parameters,
        }
    }
}

#[derive(Clone)]
pub struct Http;

impl Http {
    pub fn info(&self) -> Binding {
        http::info().into()
    }

    /// `length`: none for a request without a body, else what is known of its length.
    pub fn open(&self, head: Head, length: Option<Option<u64>>) -> Exchange {
        let (writing, body) = match length {
            None => (None, None),
            Some(length) => {
                let (stream, bytes) = bindings::wit_stream::new();
                // Dropped unfinished, the request is broken off with this.
                let (trailer, promised) = bindings::wit_future::new(|| {
                    Err(types::Error::Failed("the addon did not finish the request".into()))
                });
                (Some((stream, trailer)), Some(http::Body { bytes, trailer: promised, length }))
            }
        };
        let Head { endpoint, method, path, headers } = head;
        let request = http::Request { endpoint, method: method.to_owned(), path, headers, body };
        let call = async { http::send(request).await.map_err(Error::from).map(Answer::new) };
        Exchange { writing, call: call.boxed_local(), early: None, cut: false }
    }
}

type Writing = (StreamWriter<u8>, FutureWriter<std::result::Result<(), types::Error>>);

/// A call of `send` under way. It needs no task of its own: every write polls it too.
pub struct Exchange {
    writing: Option<Writing>,
    call: LocalBoxFuture<'static, Result<Answer>>,
    /// How the call ended, when it did before the body.
    early: Option<Result<Answer>>,
    /// No more of the body is wanted.
    cut: bool,
}

impl Exchange {
    pub fn is_refused(&self) -> bool {
        matches!(&self.early, Some(Ok(answer)) if answer.is_refusal())
    }

    /// Gives the buffer back when it was taken, or nobody wants it any more because the answer is there.
    pub async fn write(&mut self, bytes: Vec<u8>) -> Result<Vec<u8>> {
        let refused = self.is_refused();
        let Exchange { writing, call, early, cut } = self;
        if let Some(Err(error)) = early {
            return Err(error.clone());
        }
        let Some((stream, _)) = writing.as_mut().filter(|_| !*cut && !refused) else { return Ok(bytes) };
        let mut write = std::pin::pin!(write_whole(stream, bytes));
        let mut taken = None;
        poll_fn(|cx| {
            if taken.is_none()
                && let Poll::Ready(outcome) = write.as_mut().poll(cx)
            {
                taken = Some(outcome);
            }
            // The call must be polled to begin at all, and says why the host stopped reading.
            if early.is_none()
                && let Poll::Ready(answer) = call.as_mut().poll(cx)
            {
                *early = Some(answer);
            }
            match (&mut taken, &*early) {
                (_, Some(Err(error))) => Poll::Ready(Err(error.clone())),
                (Some((true, buffer)), _) => Poll::Ready(Ok(std::mem::take(buffer))),
                (Some((false, _)), Some(Ok(_))) => {
                    *cut = true;
                    Poll::Ready(Ok(Vec::new()))
                }
                // Refused: what is left can stay here.
                (_, Some(Ok(answer))) if answer.is_refusal() => {
                    *cut = true;
                    Poll::Ready(Ok(Vec::new()))
                }
                _ => Poll::Pending,
            }
        })
        .await
    }

    /// Says that the body is whole; the answer.
    pub async fn end(self) -> Result<Answer> {
        let Exchange { writing, call, early, cut } = self;
        let Some((stream, trailer)) = writing else { return call.await };
        if cut {
            let mut answer = early.unwrap_or_else(|| Err(Error::Failed("the host ended the request".into())))?;
            if !answer.is_refusal() {
                return Err(answered_too_early(answer.status));
            }
            // Broken off now, the request would take its answer along.
            answer.body.unfinished = Some((stream, trailer));
            return Ok(answer);
        }
        drop(stream);
        let said = trailer.write(Ok(()));
        let answered = async {
            match early {
                Some(early) => early,
                None => call.await,
            }
        };
        // An answer may come before the trailer was taken.
        futures::join!(said, answered).1
    }
}

pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: AnswerBody,
}

pub struct AnswerBody {
    incoming: Incoming,
    unfinished: Option<Writing>,
}

impl Answer {
    fn new(response: http::Response) -> Self {
        let http::Response { status, headers, body, trailer } = response;
        Answer { status, headers, body: AnswerBody { incoming: Incoming::new(body, trailer), unfinished: None } }
    }

    fn is_refusal(&self) -> bool {
        self.status >= 300
    }
}

impl crate::buffer::Source for AnswerBody {
    fn begin_read(&mut self, target: Vec<u8>) {
        self.incoming.begin_read(target);
    }

    fn poll_read(&mut self, cx: &mut std::task::Context<'_>) -> Poll<Result<Vec<u8>>> {
        self.incoming.poll_read(cx)
    }
}
