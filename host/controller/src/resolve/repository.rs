//! A Repository object → the opened restic repository.

use super::{secret, storage};
use crate::context::Context;
use crate::error::{Error, Result};
use crate::object;
use coffer_api::refs::ObjectRef;
use coffer_api::{Failure, FailureClass, Repository};
use coffer_repository::{Error as RepositoryError, Store, open_store};
use kube::{Client, ResourceExt};
use secrecy::SecretString;

/// The key of the encryption Secret, under the name that restic knows.
const PASSWORD: &str = "RESTIC_PASSWORD";

/// A repository that could be opened, and the object that stands for it.
#[derive(Clone)]
pub struct Opened {
    pub object: Repository,
    pub repository: coffer_repository::Repository,
}

/// Opens the Repository `reference` for an object of `namespace`. Its usage policy must let that namespace in.
pub async fn open(client: &Client, namespace: &str, reference: &ObjectRef) -> Result<Opened> {
    let object = find(client, namespace, reference).await?;
    let (store, password) = locate(client, &object).await?;
    let opened = coffer_repository::Repository::open(store, &password).await;
    let repository = opened.map_err(|error| Error::Refused(failure(&object::label(&object), &error)))?;
    Ok(Opened { object, repository })
}

/// Opens the repository of `object`, or makes it where there was never one.
pub(crate) async fn open_or_init(context: &Context, object: &Repository) -> Result<coffer_repository::Repository> {
    let label = object::label(object);
    let refuse = |error: RepositoryError| Error::Refused(failure(&label, &error));
    let (store, password) = locate(&context.client, object).await?;
    let open = || coffer_repository::Repository::open(store.clone(), &password);
    match open().await {
        Err(RepositoryError::Absent { .. } | RepositoryError::NotARepository { .. }) => {}
        other => return other.map_err(refuse),
    }
    // A session and its Repository's reconcile may both find nothing, or one of them what the other is just making.
    let _making = context.making.lock().await;
    match open().await {
        Err(RepositoryError::Absent { .. }) => {}
        other => return other.map_err(refuse),
    }
    if object.status.as_ref().is_some_and(|status| status.repository_id.is_some()) {
        // It was there. An empty one in its place would hide that everything is gone.
        return Err(Error::refused(
            FailureClass::NotFound,
            format!("{label}: the repository that was at {store} is gone"),
        )
        .hint("bring the data back, or delete the Repository object and apply it again to begin anew"));
    }
    // Its own folder is made, the storage's is not: a disk that is not mounted is no place for backups.
    let namespace = object.namespace().unwrap_or_default();
    let storage = storage::find(&context.client, &namespace, object.spec.storage.as_ref()).await?;
    let root = storage::config(&context.client, &storage, None).await?;
    let checked = async { open_store(&root)?.check().await };
    checked.await.map_err(|error| Error::Refused(failure(&object::label(&storage), &error)))?;
    tracing::info!(repository = label, %store, "making the repository");
    coffer_repository::Repository::init(store.clone(), &password).await.map_err(refuse)
}

/// The Repository object that an object of `namespace` may use.
pub(crate) async fn find(client: &Client, namespace: &str, reference: &ObjectRef) -> Result<Repository> {
    let owner = reference.namespace_or(namespace);
    let object: Repository = object::get(client, owner, reference.name.as_str()).await?;
    if !object.spec.usage_policy.allows(owner, namespace) {
        return Err(Error::refused(
            FailureClass::Denied,
            format!("Repository {owner}/{} may not be used from namespace {namespace}", reference.name),
        )
        .hint("its owner can set spec.usagePolicy.allowedNamespaces.from: All"));
    }
    Ok(object)
}

/// Where the repository is, and its password.
pub(crate) async fn locate(client: &Client, object: &Repository) -> Result<(Store, SecretString)> {
    let namespace = object.namespace().unwrap_or_default();
    let storage = storage::find(client, &namespace, object.spec.storage.as_ref()).await?;
    let keys = secret::read(client, &namespace, object.spec.encryption_secret.name.as_str()).await?;
    let password = keys.require(PASSWORD)?;
    let config = storage::config(client, &storage, Some(&object.spec.path)).await?;
    let store = open_store(&config).map_err(|error| Error::Refused(failure(&object::label(object), &error)))?;
    Ok((store, password))
}

/// What an error of the repository means, with the object that stands for it.
pub(crate) fn failure(object: &str, error: &RepositoryError) -> Failure {
    let failure = coffer_pipeline::failure(error);
    Failure { message: format!("{object}: {}", failure.message), ..failure }
}

#[cfg(test)]
mod tests {
    use super::*;
    use coffer_repository::StoreConfig;

    #[tokio::test]
    async fn absent_wrong_password_and_foreign_are_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        let store = || open_store(&StoreConfig::Local { path: dir.path().join("repo") }).unwrap();
        let open = async |password: &str| {
            let password = SecretString::from(password);
            coffer_repository::Repository::open(store(), &password).await.map(drop)
        };
        let class = |result: Result<(), RepositoryError>| failure("Repository demo/r", &result.unwrap_err()).class;
        assert_eq!(class(open("right").await), FailureClass::NotFound);
        coffer_repository::Repository::init(store(), &SecretString::from("right")).await.unwrap();
        assert_eq!(class(open("wrong").await), FailureClass::Denied);
        std::fs::remove_file(dir.path().join("repo/config")).unwrap();
        assert_eq!(class(open("right").await), FailureClass::Invalid);
    }
}
