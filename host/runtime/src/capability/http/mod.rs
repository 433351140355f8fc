//! Requests to the bound application over HTTP. The guest names an endpoint and a path; address, TLS, connections and the
//! proof of who we are stay here.
//!
//! hyper's client, on connections that [`client`] makes: it takes and gives bodies by polling, so that back-pressure goes
//! through to the guest's streams, its pool is this run's own and is dropped with it, and what TLS says is told as it is told
//! of any other connection.

mod body;
mod client;
mod error;
mod request;

pub(crate) use client::Http;
pub(crate) use request::basic;

use self::{
    body::{Answer, Asked, Sending, Taking},
    request::Checked,
};
use super::{Own, failed, incoming::lend, outbox::Trailer};
use crate::{
    bindings::{
        GuestError,
        coffer::addon::{
            http::{Host, HostWithStore, Request, Response},
            types::Binding,
        },
    },
    limits::CHANNEL_CHUNKS,
    state::State,
};
use hyper::body::Incoming;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use wasmtime::component::{Access, Accessor};

impl Host for State {
    fn info(&mut self) -> wasmtime::Result<Binding> {
        self.binding()
    }
}

impl HostWithStore<State> for Own {
    async fn send(
        accessor: &Accessor<State, Self>,
        request: Request,
    ) -> wasmtime::Result<Result<Response, GuestError>> {
        let (bound, limits, traffic, remedy) = accessor.with(|mut access| {
            let state = access.get();
            state.traffic.add_event();
            wasmtime::error::Ok((state.bound()?, state.limits.clone(), state.traffic.clone(), state.remedy.clone()))
        })?;
        let begun = accessor.with(|mut access| begin(&mut access, &bound, request))?;
        let (checked, sending, sent, permit) = match begun {
            Ok(begun) => begun,
            Err(error) => return Ok(Err(error)),
        };
        let Checked { endpoint, request, closing_is_an_end } = checked;
        let client = match bound.http_client(&endpoint, &limits, &traffic, &remedy).await {
            Ok(client) => client,
            Err(error) => return Ok(Err(error)),
        };
        let what = format!("{} {} of endpoint {}", request.method(), request.uri().path(), endpoint.name);
        let answered = tokio::select! {
            // A body that broke off breaks the request off too, and is the better reason.
            biased;
            error = silent(sent, limits.response, &what) => Err(error),
            answered = client.request(request.map(|()| sending)) => {
                answered.map_err(|error| error::of_request(&error, &what, &remedy))
            }
        };
        // An attempt that failed is progress too: whoever waits for a server tries again and again.
        traffic.add_event();
        match answered {
            Ok(answered) => {
                let asked = Asked { what, ends: closing_is_an_end, limit: limits.response, remedy };
                accessor.with(|mut access| respond(&mut access, answered, asked, permit).map(Ok))
            }
            Err(error) => Ok(Err(error)),
        }
    }
}

/// A request that may go, what it sends, when that has been sent, and its place among the others.
type Begun = (Checked, Sending, oneshot::Receiver<GuestError>, OwnedSemaphorePermit);

/// Checks a request and takes its streams, whatever comes of it.
fn begin(
    access: &mut Access<'_, State, Own>,
    bound: &super::application::Bound,
    mut request: Request,
) -> wasmtime::Result<Result<Begun, GuestError>> {
    let body = request.body.take();
    let state = access.get();
    let length = body.as_ref().map(|body| body.length);
    let checked = request::check(bound, &request, length).and_then(|checked| {
        let permit = state.requests.clone().try_acquire_owned().map_err(|_| {
            failed(format_args!(
                "too many requests are under way, {} are allowed: lower `jobs`, or read the answers to their ends",
                state.limits.requests
            ))
        })?;
        Ok((checked, permit))
    });
    let traffic = state.traffic.clone();
    let (done, sent) = oneshot::channel();
    let sending = match body {
        None => Sending::nothing(done),
        Some(mut body) if checked.is_err() => {
            body.bytes.close(&mut *access)?;
            body.trailer.close(&mut *access)?;
            Sending::nothing(done)
        }
        Some(body) => {
            let (chunks, taken) = mpsc::channel(CHANNEL_CHUNKS);
            let (verdict, judged) = oneshot::channel();
            body.bytes.pipe(&mut *access, Taking::new(chunks, traffic))?;
            body.trailer.pipe(&mut *access, Trailer::new(verdict))?;
            Sending::new(taken, judged, body.length, done)
        }
    };
    Ok(checked.map(|(checked, permit)| (checked, sending, sent, permit)))
}

/// Resolves when a request's body broke off, or when all of it has been sent and then nothing came for `limit`.
async fn silent(sent: oneshot::Receiver<GuestError>, limit: Duration, what: &str) -> GuestError {
    if let Ok(broken) = sent.await {
        return broken;
    }
    tokio::time::sleep(limit).await;
    GuestError::Unavailable(format!("{what}: no answer within {limit:?}"))
}

fn respond(
    access: &mut Access<'_, State, Own>,
    answered: hyper::Response<Incoming>,
    mut asked: Asked,
    permit: OwnedSemaphorePermit,
) -> wasmtime::Result<Response> {
    let (head, body) = answered.into_parts();
    let headers = head
        .headers
        .iter()
        .map(|(name, value)| (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned()));
    let headers = headers.collect();
    asked.ends |= body::says_its_end(&head, &body);
    let (body, trailer) = lend(access, Answer::new(asked, body, permit))?;
    Ok(Response { status: head.status.as_u16(), headers, body, trailer })
}
