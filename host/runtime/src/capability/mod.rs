//! What a guest may call, an interface a file; [`link`] puts into the linker exactly what was granted.

pub(crate) mod application;
pub(crate) mod connection;
mod host;
pub(crate) mod http;
mod inbox;
mod incoming;
pub(crate) mod outbox;

use crate::{
    Capability, Grants,
    bindings::{GuestError, coffer::addon},
    limits,
    state::State,
};
use std::fmt::Display;
use wasmtime::component::{HasSelf, Linker};
use wasmtime_wasi::{
    cli::{WasiCli, WasiCliView as _},
    filesystem::{WasiFilesystem, WasiFilesystemView as _},
    p2::{
        add_to_linker_proxy_interfaces_async,
        bindings::{cli, filesystem, random},
    },
    random::{WasiRandom, WasiRandomView as _},
};

/// How the bindings find their data in the store: the state is all of it.
pub(crate) type Own = HasSelf<State>;

pub(crate) fn link(linker: &mut Linker<State>, granted: &Grants) -> wasmtime::Result<()> {
    // Clocks, secure random numbers and standard streams, then what the standard library imports beside them.
    add_to_linker_proxy_interfaces_async(linker)?;
    random::insecure::add_to_linker::<_, WasiRandom>(linker, State::random)?;
    random::insecure_seed::add_to_linker::<_, WasiRandom>(linker, State::random)?;
    cli::environment::add_to_linker::<_, WasiCli>(linker, State::cli)?;
    cli::exit::add_to_linker::<_, WasiCli>(linker, State::cli)?;
    cli::terminal_input::add_to_linker::<_, WasiCli>(linker, State::cli)?;
    cli::terminal_output::add_to_linker::<_, WasiCli>(linker, State::cli)?;
    cli::terminal_stdin::add_to_linker::<_, WasiCli>(linker, State::cli)?;
    cli::terminal_stdout::add_to_linker::<_, WasiCli>(linker, State::cli)?;
    cli::terminal_stderr::add_to_linker::<_, WasiCli>(linker, State::cli)?;
    filesystem::preopens::add_to_linker::<_, WasiFilesystem>(linker, State::filesystem)?;
    filesystem::types::add_to_linker::<_, WasiFilesystem>(linker, State::filesystem)?;

    addon::types::add_to_linker::<_, Own>(linker, |state| state)?;
    addon::host::add_to_linker::<_, Own>(linker, |state| state)?;
    if granted.contains(Capability::Application) {
        addon::application::add_to_linker::<_, Own>(linker, |state| state)?;
    }
    if granted.contains(Capability::Http) {
        addon::http::add_to_linker::<_, Own>(linker, |state| state)?;
    }
    if granted.contains(Capability::Inbox) {
        addon::inbox::add_to_linker::<_, Own>(linker, |state| state)?;
    }
    if granted.contains(Capability::Outbox) {
        addon::outbox::add_to_linker::<_, Own>(linker, |state| state)?;
    }
    Ok(())
}

impl addon::types::Host for State {}

impl GuestError {
    pub(crate) fn text(&self) -> &str {
        match self {
            Self::InvalidParameter(text)
            | Self::Unavailable(text)
            | Self::Denied(text)
            | Self::Unsupported(text)
            | Self::Corrupt(text)
            | Self::Failed(text) => text,
        }
    }
}

fn failed(text: impl Display) -> GuestError {
    GuestError::Failed(text.to_string())
}

fn invalid(text: impl Display) -> GuestError {
    GuestError::InvalidParameter(text.to_string())
}

/// Guests may hand over long lists; the host keeps a readable number of readable pairs.
fn pairs(pairs: Vec<(String, String)>) -> Result<Vec<(String, String)>, GuestError> {
    if pairs.len() > limits::PAIRS {
        return Err(invalid(format_args!("{} pairs are more than the {} allowed", pairs.len(), limits::PAIRS)));
    }
    match pairs.iter().find(|(key, value)| key.len() + value.len() > limits::TEXT_BYTES) {
        Some((key, _)) => Err(invalid(format_args!("{} is too long", crate::event::cut(key)))),
        None => Ok(pairs),
    }
}
