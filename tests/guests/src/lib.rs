//! One component with many faults, a Function each: what the runtime must survive and report.
//!
//! Written on the bare bindings, because the SDK would prevent most of it. Natively the crate is empty.

#[cfg(target_family = "wasm")]
mod artifacts;
#[cfg(target_family = "wasm")]
mod connections;
#[cfg(target_family = "wasm")]
mod faults;
#[cfg(target_family = "wasm")]
mod guest;
#[cfg(target_family = "wasm")]
mod requests;

/// Generated from the contract.
#[cfg(target_family = "wasm")]
#[allow(unsafe_code, clippy::all, clippy::indexing_slicing, clippy::expect_used, clippy::unwrap_used, clippy::panic)]
mod bindings {
    wit_bindgen::generate!({
        path: "../../wit/0.1.0",
        world: "addon",
    });
}
