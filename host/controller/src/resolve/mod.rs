//! From objects to things that work: a Secret's key, a store, an opened repository, an application, a linked addon.
//!
//! Everything is looked up as late as possible and kept by nobody: a changed password counts from the next use on.

pub(crate) mod addon;
pub(crate) mod address;
pub mod application;
pub mod repository;
pub(crate) mod secret;
pub(crate) mod storage;
