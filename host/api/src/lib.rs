//! The resource kinds of `coffer.dev/v1alpha1`: their types, their schemas, and the checks that refuse a bad manifest
//! before anything runs. No I/O.
//!
//! - [`kinds`] has one file a kind; [`catalog`] lists them all, for the embedded API server and for `xtask generate`.
//! - [`validate`] checks an object the way both control planes must: unknown fields, types, required fields, defaults,
//!   and the rules that span fields.
//! - [`parameters`] checks the parameters of a step against its Function's JSON Schema.
//! - [`install`] turns what an addon describes of itself into Function and Task objects.
//!
//! The doc comment of a field here is the field's description in the generated CRD.

pub mod catalog;
pub mod condition;
pub mod duration;
pub mod failure;
pub mod install;
pub mod kinds;
pub mod labels;
pub mod parameters;
pub mod quantity;
pub mod refs;
pub mod secret;
pub mod usage;
pub mod validate;

mod hint;
mod schema;

pub use catalog::{Kind, crds, kinds};
pub use duration::Duration;
pub use failure::{Failure, FailureClass};
pub use kinds::*;
pub use parameters::Parameters;
pub use validate::{Cause, Invalid, validate, validate_update};

pub use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

/// The API group of every kind here.
pub const GROUP: &str = "coffer.dev";
/// The one version so far.
pub const VERSION: &str = "v1alpha1";
/// Group and version as they stand in a manifest.
pub const API_VERSION: &str = "coffer.dev/v1alpha1";
