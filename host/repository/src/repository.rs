//! A repository: making one, opening one, and what it lists.

use std::{collections::BTreeSet, sync::Arc};

use futures::{StreamExt, TryStreamExt, stream};
use object_store::{ObjectStoreExt, PutMode, PutPayload};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

use crate::{
    backend::{self, Backend, FileKind, config_path, describe},
    chunker::GearTable,
    codec,
    crypto::Key,
    error::{Error, Part, Result},
    health::Health,
    id::Id,
    index::Index,
    key::{KeyFile, Refusal},
    limits,
    lock::Lock,
    polynomial,
    snapshot::{Snapshot, SnapshotFile, SnapshotFilter, SnapshotList, SnapshotOptions},
    store::{OpenStore, Store},
    work::{internal, on_core},
    write::SnapshotWriter,
};

/// An opened repository. Cheap to clone.
#[derive(Clone)]
pub struct Repository {
    pub(crate) backend: Arc<Backend>,
    pub(crate) gear: Arc<GearTable>,
    /// The index files last seen and what they say.
    index: Arc<Mutex<(BTreeSet<Id>, Arc<Index>)>>,
    id: Arc<str>,
}

impl std::fmt::Debug for Repository {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Repository").field("id", &self.id).field("store", &self.backend.store).finish_non_exhaustive()
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct ConfigFile {
    version: u32,
    id: String,
    /// Of restic's chunker; we only keep it.
    chunker_polynomial: String,
}

impl Repository {
    /// Makes a repository where there is none.
    ///
    /// The config is written first, by a PUT that only one of several racing callers can win, then the winner's key: so no loser
    /// leaves anything behind. A crash between the two leaves a config without a key, which opens as [`Error::NotARepository`].
    pub async fn init(store: impl Into<Store>, password: &SecretString) -> Result<Self> {
        Self::init_with_cost(store.into(), password, limits::SCRYPT).await
    }

    pub(crate) async fn init_with_cost(store: Store, password: &SecretString, cost: (u8, u32, u32)) -> Result<Self> {
        let store = store.make()?;
        match read_config(&store).await {
            Err(Error::Absent { .. }) => {}
            Ok(_) => return Err(Error::AlreadyExists { store: store.name }),
            Err(error) => return Err(error),
        }
        let key = Key::random();
        let config = ConfigFile {
            version: 2,
            id: hex::encode(rand::random::<[u8; 32]>()),
            chunker_polynomial: polynomial::random(),
        };
        let sealed = key.seal(&serde_json::to_vec(&config).map_err(internal)?);
        let password = password.clone();
        // Before anything is written, as it takes long: whoever opens a config waits for its key a moment only.
        let (key, key_file) = on_core(move |_| {
            let file = KeyFile::seal(&key, &password, cost).map_err(internal)?;
            Ok((key, serde_json::to_vec(&file).map_err(internal)?))
        })
        .await?;
        create_config(&store, sealed.into()).await?;
        let backend = Backend { store, key };
        let id = Id::of(&key_file);
        if let Err(error) = backend.put(FileKind::Key, &id, key_file.into()).await {
            // Ours, and of no use to anyone.
            let _ = backend.store.objects.delete(&config_path()).await;
            return Err(error);
        }
        Ok(Self::new(backend, config))
    }

    /// Opens a repository. [`Error::Absent`], [`Error::WrongPassword`], [`Error::Unreachable`] and [`Error::NotARepository`] tell
    /// apart why it can not be; only the first may lead to [`Repository::init`].
    pub async fn open(store: impl Into<Store>, password: &SecretString) -> Result<Self> {
        let store = store.into().open()?;
        let sealed_config = read_config(&store).await?;
        let keys = keys(&store).await?;
        let mut damaged = None;
        let mut opened_config = None;
        for id in keys.iter().take(limits::KEYS_TRIED) {
            let file = match backend::read(&*store.objects, FileKind::Key, id).await {
                Ok(bytes) => serde_json::from_slice::<KeyFile>(&bytes)
                    .map_err(|error| Error::corrupt(Part::Key, describe(FileKind::Key, id), error)),
                Err(error) => Err(error),
            };
            let password = password.clone();
            let opened = match file {
                Ok(file) => on_core(move |_| Ok(file.open(&password))).await?,
                Err(error @ Error::Corrupt { .. }) => {
                    damaged = Some(error);
                    continue;
                }
                Err(error) => return Err(error),
            };
            match opened {
                Ok(key) => match key.open(&sealed_config) {
                    Ok(config) => {
                        opened_config = Some((key, config));
                        break;
                    }
                    Err(error) => damaged = Some(Error::corrupt(Part::Config, "the config", error)),
                },
                Err(Refusal::WrongPassword) => {}
                Err(Refusal::Malformed(reason)) => {
                    damaged = Some(Error::corrupt(Part::Key, describe(FileKind::Key, id), reason));
                }
            }
        }
        let Some((key, config)) = opened_config else {
            let name = store.name;
            return Err(match (keys.is_empty(), damaged) {
                (true, _) => Error::NotARepository {
                    store: name,
                    reason: "it has a config but no key; if that is left of an interrupted init, delete the config"
                        .into(),
                },
                // With a damaged key nobody can tell whether the password is wrong.
                (false, Some(damage)) => damage,
                (false, None) => Error::WrongPassword { store: name },
            });
        };
        let config: ConfigFile =
            serde_json::from_slice(&config).map_err(|error| Error::corrupt(Part::Config, "the config", error))?;
        if config.version != 2 {
            return Err(Error::Version { store: store.name, version: config.version });
        }
        Ok(Self::new(Backend { store, key }, config))
    }

    fn new(backend: Backend, config: ConfigFile) -> Self {
        // From the master key: secret, and the same for everyone who writes to this repository.
        let gear = GearTable::new(&backend.key.derive("coffer chunker 1"));
        Self { backend: Arc::new(backend), gear: Arc::new(gear), index: Arc::default(), id: config.id.into() }
    }

    /// The repository's own id, of its config.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Begins a snapshot: takes a shared lock and loads the index.
    pub async fn begin(&self, options: SnapshotOptions) -> Result<SnapshotWriter> {
        let health = Arc::new(Health::default());
        let lock = Lock::acquire(Arc::clone(&self.backend), Arc::clone(&health)).await?;
        let index = self.current_index().await?;
        Ok(SnapshotWriter::new(self, lock, index, health, options))
    }

    /// A shared lock, for as long as it is held: no `restic prune` deletes what is being read meanwhile. Reading works without.
    pub async fn hold(&self) -> Result<Lock> {
        Lock::acquire(Arc::clone(&self.backend), Arc::default()).await
    }

    /// All snapshots, oldest first.
    pub async fn snapshots(&self) -> Result<SnapshotList> {
        let ids = self.backend.list(FileKind::Snapshot).await?;
        let mut loaded = stream::iter(ids)
            .map(|id| async move { self.load_snapshot(id).await })
            .buffer_unordered(limits::SMALL_READS);
        let mut list = SnapshotList::default();
        while let Some(result) = loaded.next().await {
            match result {
                Ok(snapshot) => list.snapshots.push(snapshot),
                // Forgotten since it was listed.
                Err(Error::Store { source: object_store::Error::NotFound { .. }, .. }) => {}
                Err(error @ Error::Corrupt { .. }) => list.damaged.push(error),
                Err(error) => return Err(error),
            }
        }
        list.snapshots.sort_by_key(|snapshot| (snapshot.time, snapshot.id));
        Ok(list)
    }

    /// One snapshot: `latest` among those that match, or an id or the beginning of one, whatever the filter.
    pub async fn snapshot(&self, which: &str, filter: &SnapshotFilter) -> Result<Snapshot> {
        if which == "latest" {
            let SnapshotList { snapshots, damaged } = self.snapshots().await?;
            // The damaged one might be the latest.
            if let Some(damage) = damaged.into_iter().next() {
                return Err(damage);
            }
            let latest = snapshots.into_iter().rfind(|snapshot| filter.matches(snapshot));
            return latest.ok_or_else(|| Error::NoSnapshot(which.into()));
        }
        let ids = self.backend.list(FileKind::Snapshot).await?;
        let mut matching = ids.into_iter().filter(|id| !which.is_empty() && id.to_string().starts_with(which));
        match (matching.next(), matching.next()) {
            (Some(id), None) => self.load_snapshot(id).await,
            (Some(_), Some(_)) => Err(Error::AmbiguousSnapshot(which.into())),
            (None, _) => Err(Error::NoSnapshot(which.into())),
        }
    }

    async fn load_snapshot(&self, id: Id) -> Result<Snapshot> {
        let body = self.backend.load(FileKind::Snapshot, &id).await?;
        let file: SnapshotFile = codec::decode_file(&body)
            .map_err(|error| Error::corrupt(Part::Snapshot, describe(FileKind::Snapshot, &id), error))?;
        Ok(file.named(id))
    }

    /// The index as it is now. What was loaded before is kept as long as the set of index files stays the same.
    pub(crate) async fn current_index(&self) -> Result<Arc<Index>> {
        let mut cached = self.index.lock().await;
        let ids: BTreeSet<Id> = self.backend.list(FileKind::Index).await?.into_iter().collect();
        if cached.0 != ids {
            let files = stream::iter(ids.clone()).map(|id| {
                let backend = Arc::clone(&self.backend);
                async move {
                    let body = backend.load(FileKind::Index, &id).await?;
                    let decode = move || codec::decode_file(&body);
                    on_core(move |_| {
                        decode().map_err(|error| Error::corrupt(Part::Index, describe(FileKind::Index, &id), error))
                    })
                    .await
                }
            });
            let index =
                files.buffer_unordered(limits::SMALL_READS).try_fold(Index::default(), async |mut index, file| {
                    index.add(file)?;
                    Ok(index)
                });
            let mut index = index.await?;
            let index = on_core(move |_| {
                index.sort();
                Ok(index)
            });
            *cached = (ids, Arc::new(index.await?));
        }
        Ok(Arc::clone(&cached.1))
    }

    /// The index as last loaded.
    pub(crate) async fn known_index(&self) -> Result<Arc<Index>> {
        {
            let cached = self.index.lock().await;
            if !cached.0.is_empty() {
                return Ok(Arc::clone(&cached.1));
            }
        }
        self.current_index().await
    }
}

/// The sealed config, or why there is none.
async fn read_config(store: &OpenStore) -> Result<Vec<u8>> {
    let mut found = store.probe.get(&config_path()).await;
    if matches!(found, Err(object_store::Error::NotFound { .. })) {
        let lacking = without_config(store).await;
        if !matches!(lacking, Error::NotARepository { .. }) {
            return Err(lacking);
        }
        // Someone may have made it between the two looks: what others wrote is seen only now, and the config is the first of it.
        found = store.probe.get(&config_path()).await;
        if matches!(found, Err(object_store::Error::NotFound { .. })) {
            return Err(lacking);
        }
    }
    let object = found.map_err(Error::contact(&store.name))?;
    if object.meta.size > limits::FILE_MAX {
        return Err(Error::NotARepository { store: store.name.clone(), reason: "its config is far too large".into() });
    }
    Ok(object.bytes().await.map_err(Error::contact(&store.name))?.into())
}

/// The keys. A config without any may be one that is being made at this moment: a key follows by the next write.
async fn keys(store: &OpenStore) -> Result<Vec<Id>> {
    let mut looks = 0;
    loop {
        let keys = backend::list(&*store.objects, FileKind::Key).await.map_err(Error::contact(&store.name))?;
        looks += 1;
        if !keys.is_empty() || looks == limits::KEY_LOOKS {
            return Ok(keys);
        }
        tokio::time::sleep(limits::KEY_PAUSE).await;
    }
}

/// An empty place may become a repository; anything else is somebody's, or a repository that lost its config.
async fn without_config(store: &OpenStore) -> Error {
    match store.probe.list(None).try_next().await {
        // A bucket that does not exist says so here.
        Err(error) => Error::contact(&store.name)(error),
        Ok(None) => Error::Absent { store: store.name.clone() },
        Ok(Some(object)) => {
            let reason = format!("it has no config, but other objects, such as {}", object.location);
            Error::NotARepository { store: store.name.clone(), reason }
        }
    }
}

/// Stores the config unless there is one. Whatever the store answers, what it then holds decides: a PUT whose answer was lost
/// may have won, and some servers say "conflict" where nothing exists.
async fn create_config(store: &OpenStore, sealed: bytes::Bytes) -> Result<()> {
    let payload = PutPayload::from(sealed.clone());
    let mut outcome = store.objects.put_opts(&config_path(), payload.clone(), PutMode::Create.into()).await.map(drop);
    if matches!(outcome, Err(object_store::Error::NotImplemented { .. } | object_store::Error::NotSupported { .. })) {
        // A store without conditional PUTs: nothing was there a moment ago, and the check below sees most races.
        outcome = store.objects.put(&config_path(), payload).await.map(drop);
    }
    match (read_config(store).await, outcome) {
        (Ok(stored), _) if stored == sealed => Ok(()),
        (Ok(_), _) => Err(Error::AlreadyExists { store: store.name.clone() }),
        (Err(_), Err(error)) => Err(Error::contact(&store.name)(error)),
        (Err(error), Ok(())) => Err(error),
    }
}
