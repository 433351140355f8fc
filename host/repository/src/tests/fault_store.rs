//! A store that fails on order, and counts.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use futures::{FutureExt, StreamExt, stream::BoxStream};
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, path::Path,
};

/// Which calls fail, counted from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    None,
    /// This call fails and does nothing.
    Before(usize),
    /// This call fails after it was carried out: its answer is lost.
    After(usize),
    /// This call comes just before another client's PUT: it does not find what is there.
    TooEarly(usize),
    /// From this call on nothing works any more.
    DeadFrom(usize),
    /// PUTs fail once so many bytes are stored.
    FullAt(usize),
    /// Of PUTs to this folder of the repository, as a key without permission sees it.
    DeniedIn(&'static str),
    /// As a bucket that was deleted answers PUTs.
    Gone,
}

pub(super) struct FaultStore<S> {
    inner: S,
    fault: Fault,
    put_time: Duration,
    calls: Arc<AtomicUsize>,
    stored: AtomicUsize,
    putting: AtomicUsize,
    most_putting: AtomicUsize,
}

impl<S> FaultStore<S> {
    pub(super) fn new(inner: S, fault: Fault) -> Self {
        Self {
            inner,
            fault,
            put_time: Duration::ZERO,
            calls: Arc::default(),
            stored: AtomicUsize::new(0),
            putting: AtomicUsize::new(0),
            most_putting: AtomicUsize::new(0),
        }
    }

    pub(super) fn slow(inner: S, put_time: Duration) -> Self {
        Self { put_time, ..Self::new(inner, Fault::None) }
    }

    pub(super) fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    pub(super) fn most_putting(&self) -> usize {
        self.most_putting.load(Ordering::SeqCst)
    }

    async fn call<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        let call = self.calls.fetch_add(1, Ordering::SeqCst);
        match self.fault {
            Fault::Before(at) if call == at => Err(injected()),
            Fault::TooEarly(at) if call == at => {
                Err(object_store::Error::NotFound { path: "any".into(), source: "not yet".into() })
            }
            Fault::DeadFrom(at) if call >= at => Err(injected()),
            Fault::After(at) if call == at => {
                work.await?;
                Err(injected())
            }
            _ => work.await,
        }
    }
}

fn injected() -> object_store::Error {
    object_store::Error::Generic { store: "FaultStore", source: "injected".into() }
}

impl<S: fmt::Display> fmt::Display for FaultStore<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "faulty {}", self.inner)
    }
}

impl<S: fmt::Debug> fmt::Debug for FaultStore<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "faulty {:?}", self.inner)
    }
}

#[async_trait]
impl<S: ObjectStore + Clone> ObjectStore for FaultStore<S> {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let putting = self.putting.fetch_add(1, Ordering::SeqCst) + 1;
        self.most_putting.fetch_max(putting, Ordering::SeqCst);
        let stored = self.stored.fetch_add(payload.content_length(), Ordering::SeqCst) + payload.content_length();
        let result = match self.fault {
            Fault::FullAt(size) if stored > size => Err(object_store::Error::Generic {
                store: "FaultStore",
                source: Box::new(std::io::Error::from(std::io::ErrorKind::StorageFull)),
            }),
            Fault::DeniedIn(folder) if location.as_ref().starts_with(folder) => {
                Err(object_store::Error::PermissionDenied { path: location.to_string(), source: "injected".into() })
            }
            Fault::Gone => {
                Err(object_store::Error::NotFound { path: location.to_string(), source: "no such bucket".into() })
            }
            _ => {
                let result = self.call(self.inner.put_opts(location, payload, options)).await;
                // It is there before the answer is.
                tokio::time::sleep(self.put_time).await;
                result
            }
        };
        self.putting.fetch_sub(1, Ordering::SeqCst);
        result
    }

    async fn put_multipart_opts(&self, _: &Path, _: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        Err(injected())
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.call(self.inner.get_opts(location, options)).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let store = Self { calls: Arc::clone(&self.calls), ..Self::new(self.inner.clone(), self.fault) };
        locations
            .then(move |location| {
                let store = Self { calls: Arc::clone(&store.calls), ..Self::new(store.inner.clone(), store.fault) };
                async move {
                    let location = location?;
                    store.call(store.inner.delete(&location)).await?;
                    Ok(location)
                }
            })
            .boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let listed = self.inner.list(prefix);
        match self.call(async { Ok(()) }).now_or_never() {
            Some(Ok(())) => listed,
            _ => futures::stream::once(async { Err(injected()) }).boxed(),
        }
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.call(self.inner.list_with_delimiter(prefix)).await
    }

    async fn copy_opts(&self, _: &Path, _: &Path, _: CopyOptions) -> Result<()> {
        Err(injected())
    }
}
