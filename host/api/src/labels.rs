//! Labels, annotations, finalizers and field managers: every key Coffer writes on an object.

/// On a session: the BackupConfiguration it belongs to.
pub const CONFIGURATION: &str = "coffer.dev/configuration";
/// On a session: the entry of `sessions` it runs.
pub const SESSION: &str = "coffer.dev/session";
/// On a session or a snapshot: the kind of its target.
pub const TARGET_KIND: &str = "coffer.dev/target-kind";
/// On a session or a snapshot: the name of its target.
pub const TARGET_NAME: &str = "coffer.dev/target-name";
/// On a snapshot: the repository that holds it.
pub const REPOSITORY: &str = "coffer.dev/repository";
/// On a snapshot: the BackupSession that made it.
pub const BACKUP_SESSION: &str = "coffer.dev/backup-session";
/// On a snapshot: why it, or its manifest, cannot be read.
pub const UNREADABLE: &str = "coffer.dev/unreadable";
/// On a Function or a Task: the Addon that brought it.
pub const ADDON: &str = "coffer.dev/addon";
/// Who made an object, under the key that Kubernetes tools know.
pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// The value of [`MANAGED_BY`], and the field manager of every apply.
pub const MANAGER: &str = "coffer";
/// Holds an object until what it stands for is cleaned up.
pub const FINALIZER: &str = "coffer.dev/cleanup";
