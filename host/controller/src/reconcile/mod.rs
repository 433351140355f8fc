//! One file a kind: what its reconcile does and what its status says.

pub(crate) mod addon;
pub(crate) mod backup_configuration;
pub(crate) mod backup_storage;
pub(crate) mod repository;
