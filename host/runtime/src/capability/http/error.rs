//! Why a request or its answer broke, as the contract's cases. hyper's errors hold no headers and no bodies.

use super::{body::Broken, client::Told};
use crate::{bindings::GuestError, limits::HTTP_HEAD_BYTES, state::Remedy};
use std::{error::Error, io, iter::successors};

type Cause<'a> = &'a (dyn Error + 'static);

fn causes<'a>(error: Cause<'a>) -> impl Iterator<Item = Cause<'a>> {
    // By the value: a reference to a reference would be an error of its own.
    successors(Some(error), |error: &Cause<'a>| <dyn Error>::source(*error))
}

fn find<T: Error + 'static>(error: Cause<'_>) -> Option<&T> {
    causes(error).find_map(|cause| cause.downcast_ref())
}

/// Of a request without an answer.
pub(super) fn of_request(error: Cause<'_>, what: &str, remedy: &Remedy) -> GuestError {
    if let Some(Told(told)) = find(error) {
        return told.clone();
    }
    if let Some(Broken(broken)) = find(error) {
        return broken.clone();
    }
    of_connection(error, &format!("{what}: the connection broke before the answer"), remedy)
}

/// Of an answer's body.
pub(super) fn of_body(error: Cause<'_>, what: &str, remedy: &Remedy) -> GuestError {
    if let Some(Broken(broken)) = find(error) {
        return broken.clone();
    }
    of_connection(error, &format!("{what}: the connection broke in the middle of the answer"), remedy)
}

fn of_connection(error: Cause<'_>, what: &str, remedy: &Remedy) -> GuestError {
    if let Some(error) = find::<io::Error>(error) {
        // As a connection tells what TLS said of it.
        if error.kind() == io::ErrorKind::PermissionDenied {
            let text = format!("{what}: {error}");
            remedy.told(&text);
            return GuestError::Denied(text);
        }
        if matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput) {
            return GuestError::Corrupt(format!("{what}: it is not HTTP any more: {error}"));
        }
    }
    match find::<hyper::Error>(error) {
        Some(error) if error.is_parse_too_large() => GuestError::Corrupt(format!(
            "{what}: the answer's head is larger than the {HTTP_HEAD_BYTES} bytes, or has more headers, than allowed"
        )),
        Some(error) if error.is_parse() => GuestError::Corrupt(format!(
            "{what}: the answer is not HTTP ({error}): where the server speaks TLS, set the binding's tlsMode to Require"
        )),
        _ => {
            let mut reasons: Vec<_> = causes(error).map(ToString::to_string).collect();
            // hyper's own frame of mind says nothing that its causes do not say better.
            if reasons.len() > 1 {
                reasons.remove(0);
            }
            reasons.dedup();
            GuestError::Unavailable(format!("{what}: {}", reasons.join(": ")))
        }
    }
}
