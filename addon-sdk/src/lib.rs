//! What an addon's author writes against: an `async fn` and a struct for each function, and `export!`.
//!
//! ```
//! use coffer_addon::{Addon, Application, Function, Outbox, Report, Result};
//! use futures::AsyncReadExt;
//!
//! #[derive(serde::Deserialize, schemars::JsonSchema)]
//! #[serde(deny_unknown_fields)]
//! struct Parameters {}
//!
//! /// Keeps what the application says until it hangs up.
//! async fn record(application: Application, outbox: Outbox, _: Parameters) -> Result<Report> {
//!     let mut connection = application.connect(None).await?;
//!     let mut said = Vec::new();
//!     connection.read_to_end(&mut said).await?;
//!     let receipt = outbox.file("said.txt").label("mediaType", "text/plain").write_all(&said).await?;
//!     Ok(Report::new().fact("bytes", receipt.length))
//! }
//!
//! fn addon() -> Addon {
//!     Addon::new("recorder", "1.0.0").function(Function::source("record", record))
//! }
//!
//! coffer_addon::export!(addon);
//! ```
//!
//! An instance has one thread. What should happen at once is joined: `futures::join!`, `FuturesUnordered`. Connections and
//! artifacts then progress independently, each with its own buffers.
//!
//! On anything but wasm the same code builds against [`testing`], so that protocol code has ordinary tests.

mod addon;
mod application;
pub mod budget;
mod buffer;
mod connection;
mod error;
pub mod hash;
pub mod host;
pub mod http;
mod inbox;
pub mod index;
pub mod omitted;
mod outbox;
pub mod parameters;
pub mod problems;
pub mod ready;
pub mod stop;
mod sys;
#[cfg(not(target_family = "wasm"))]
pub mod testing;
mod types;
pub mod work;

pub use addon::{Addon, Ends, Function};
pub use application::{Application, Binding, TlsMode};
pub use buffer::room;
pub use coffer_addon_descriptor as descriptor;
pub use connection::Connection;
pub use error::{Context, Error, Result, summary};
pub use inbox::{Inbox, Incoming};
pub use outbox::{ArtifactWriter, Draft, Outbox};
pub use types::{Artifact, Receipt, Report};

#[cfg(target_family = "wasm")]
#[doc(hidden)]
pub use sys::bindings;
#[cfg(target_family = "wasm")]
#[doc(hidden)]
pub use sys::exported;

/// Exports the addon that a function without arguments makes: `export!(addon);`, once a crate. Natively it does nothing.
#[macro_export]
macro_rules! export {
    ($addon:path) => {
        #[cfg(target_family = "wasm")]
        const _: () = {
            struct Component;

            impl $crate::bindings::exports::coffer::addon::step::Guest for Component {
                fn describe() -> ::std::string::String {
                    $crate::exported::describe($addon())
                }

                async fn run(
                    function: ::std::string::String,
                    parameters: ::std::string::String,
                ) -> ::std::result::Result<
                    $crate::bindings::coffer::addon::types::Report,
                    $crate::bindings::coffer::addon::types::Error,
                > {
                    $crate::exported::run($addon(), function, parameters).await
                }
            }

    $crate::bindings::export!(Component with_types_in $crate::bindings);
        };
        // Natively the addon is only built, so that it and the tests of it compile.
        #[cfg(not(target_family = "wasm"))]
        const _: fn() -> $crate::Addon = $addon;
    };
}
