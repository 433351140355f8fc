//! Loads, confines and runs addons: WebAssembly components that speak the contract in `wit/`.
//!
//! The stages are types, and none can be skipped: [`Runtime::compile`] gives [`Compiled`], [`Compiled::link`] with the
//! operator's [`Grants`] gives [`Linked`], and [`Linked::run`] runs one [`Operation`] in a store of its own, which is dropped
//! at its end, at its deadline and at a cancel. What a component was not granted is not linked, so it cannot be called.
//!
//! Bytes come and go as [`ArtifactReader`]s: bounded streams that say whether they ended whole. The crate knows neither
//! Kubernetes nor repositories.

mod application;
mod artifact;
mod bindings;
mod cache;
mod capability;
mod component;
mod error;
mod event;
mod grants;
mod guard;
mod limits;
mod operation;
mod runtime;
mod state;
mod stdio;
mod tls;

pub use application::{Application, Endpoint, Identity, Tls, TlsMode};
pub use artifact::{Artifact, ArtifactError, ArtifactReader, ArtifactWriter, ReaderGone, artifact};
pub use coffer_addon_descriptor::{Capability, Descriptor};
pub use component::{Compiled, Digest, Linked};
pub use error::{Class, Error, LinkError, LoadError, RunError};
pub use event::{Event, Level, Observer};
pub use grants::Grants;
pub use guard::Traffic;
pub use limits::{ARTIFACT_BYTES_AHEAD, COMPONENT_BYTES, Limits};
pub use operation::{Inbox, Operation, Outbox, Receipt, Report, Written};
pub use runtime::{Runtime, RuntimeOptions};
