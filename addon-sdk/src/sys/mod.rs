//! The two platforms: a component with its host (`wasm`), or a native build with whatever a test provides (`native`).

#[cfg(target_family = "wasm")]
mod http_wasm;
#[cfg(target_family = "wasm")]
mod wasm;
#[cfg(target_family = "wasm")]
pub use {http_wasm::*, wasm::*};

#[cfg(not(target_family = "wasm"))]
mod http_native;
#[cfg(not(target_family = "wasm"))]
mod native;
#[cfg(not(target_family = "wasm"))]
pub use {http_native::*, native::*};
