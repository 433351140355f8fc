//! Requests that must not be done twice. A server that says it has no time (429, 503) may do what it was asked all the same: it
//! has given up waiting for it.

use super::waits::{Waits, asked};
use crate::client::{Client, Refusal, what};
use coffer_addon::Result;
use coffer_addon::http::{Request, Response};
use std::time::Duration;

/// How long a server is asked that has no time: about as long as for other requests.
const PATIENCE: Duration = Duration::from_secs(25);

/// The answer, or the server's refusal. `is_done` is asked about every refusal that is, or follows, one for want of time: whether
/// the request was done by then. Then there is no answer.
pub async fn ask(
    client: &Client,
    method: &'static str,
    path: &str,
    body: Option<&[u8]>,
    is_done: impl AsyncFn(&Refusal) -> Result<bool>,
) -> Result<Result<Option<Response>, Refusal>> {
    let what = what(method, path);
    let mut waits = Waits::new(PATIENCE);
    let mut was_busy = false;
    loop {
        let mut request = Request::new(method, path);
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body);
        }
        let answer = client.http().send(request).await.map_err(|error| error.context(&what))?;
        if answer.is_success() {
            return Ok(Ok(Some(answer)));
        }
        let wanted = asked(answer.header("retry-after"));
        let refusal = Refusal::read(answer).await?;
        was_busy |= refusal.is_busy();
        if was_busy && is_done(&refusal).await? {
            return Ok(Ok(None));
        }
        if !refusal.is_busy() || !waits.wait(wanted).await {
            return Ok(Err(refusal));
        }
        coffer_addon::debug!("{what} was answered {}; asking again", refusal.status);
    }
}

/// Whether it says that there is one of that name.
pub fn is_there(refusal: &Refusal) -> bool {
    refusal.status == 400 && refusal.kind.ends_with("already_exists_exception")
}
