//! The kinds, one file each, and the pieces that several of them share.

#![allow(clippy::duplicated_attributes, reason = "columns share their type and priority")]

pub mod addon;
pub mod app_binding;
pub mod backup_configuration;
pub mod backup_session;
pub mod backup_storage;
pub mod function;
pub mod repository;
pub mod restore_session;
pub mod run;
pub mod run_status;
pub mod snapshot;
pub mod task;

pub use addon::{Addon, AddonModule, AddonPhase, AddonSpec, AddonStatus};
pub use app_binding::{AppBinding, AppBindingSpec, ClientConfig, SecretTransform, ServiceRef, TlsMode};
pub use backup_configuration::{
    BackupConfiguration, BackupConfigurationSpec, BackupConfigurationStatus, ConfigurationPhase, Session, TaskUse,
};
pub use backup_session::{BackupSession, BackupSessionSpec, BackupSessionStatus, SnapshotRef};
pub use backup_storage::{BackupStorage, BackupStorageSpec, BackupStorageStatus, LocalProvider, S3Provider};
pub use function::{Capability, Function, FunctionSpec, Limits, Role, Serves};
pub use repository::{Repository, RepositorySpec, RepositoryStatus, StoragePhase};
pub use restore_session::{DataSource, RestoreSession, RestoreSessionSpec, RestoreSessionStatus, Source};
pub use run::{Artifact, Progress, Retry, SessionPhase, StepPhase, StepStatus};
pub use run_status::RunStatus;
pub use snapshot::{Snapshot, SnapshotSpec};
pub use task::{Task, TaskSpec, TaskStep};
