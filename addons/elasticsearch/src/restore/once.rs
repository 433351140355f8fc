//! Requests that must not be done twice. A server that says it has no time (429, 503) may do what it was asked all the same: it
//! has given up waiting for it.

use crate::client::{Body, Client, Refusal};
use coffer_addon::Result;
use coffer_addon::http::Response;
use std::cell::Cell;

/// The answer, or the server's refusal. `is_done` is asked about every refusal that is, or follows, one for want of time: whether
/// the request was done by then. Then there is no answer.
pub async fn ask(
    client: &Client,
    method: &'static str,
    path: &str,
    body: Option<&[u8]>,
    is_done: impl AsyncFn(&Refusal) -> Result<bool>,
) -> Result<Result<Option<Response>, Refusal>> {
    let body = body.map_or(Body::None, |body| Body::Json(body.into()));
    let (was_busy, was_done) = (Cell::new(false), Cell::new(false));
    let again = async |refusal: &Refusal| {
        was_busy.set(was_busy.get() || refusal.is_busy());
        was_done.set(was_busy.get() && is_done(refusal).await?);
        Ok(refusal.is_busy() && !was_done.get())
    };
    let answer = client.ask_while(method, path, &body, again).await?;
    Ok(if was_done.get() && answer.is_err() { Ok(None) } else { answer.map(Some) })
}

/// Whether it says that there is one of that name.
pub fn is_there(refusal: &Refusal) -> bool {
    refusal.status == 400 && refusal.kind.ends_with("already_exists_exception")
}
