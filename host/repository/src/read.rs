//! Reading: the files of a snapshot, and a file as a stream of checked bytes.

use std::{ops::Range, sync::Arc};

use bytes::Bytes;
use futures::{Stream, StreamExt, TryStreamExt, stream};
use object_store::ObjectStoreExt;
use tokio_util::task::AbortOnDropHandle;

use crate::{
    backend::{Backend, FileKind, describe},
    error::{Error, Part, Result},
    id::Id,
    index::{Index, Location},
    limits,
    pack::BlobKind,
    repository::Repository,
    snapshot::Snapshot,
    tree::StoredTree,
    work::{internal, on_core},
};

/// A file of a snapshot.
#[derive(Debug, Clone)]
pub struct FileEntry {
    /// From the root of the snapshot, with a leading slash. No component is empty, `.` or `..`.
    pub path: String,
    /// In bytes.
    pub size: u64,
    content: Arc<[Id]>,
}

impl Repository {
    /// All regular files of a snapshot, sorted by path.
    pub async fn files(&self, snapshot: &Snapshot) -> Result<Vec<FileEntry>> {
        // After the snapshot was read, for an index is written before its snapshot.
        let index = self.current_index().await?;
        let mut files = Vec::new();
        let mut pending = vec![(String::new(), snapshot.tree, 0)];
        while let Some((prefix, id, depth)) = pending.pop() {
            let name = || format!("tree {}", id.short());
            if depth > limits::TREE_DEPTH {
                return Err(Error::corrupt(Part::Data, name(), "it is nested too deep"));
            }
            let bytes = self.load_blob(&index, BlobKind::Tree, id).await?;
            let tree: StoredTree =
                serde_json::from_slice(&bytes).map_err(|error| Error::corrupt(Part::Data, name(), error))?;
            for node in tree.nodes {
                let path =
                    format!("{prefix}/{}", node.name().map_err(|reason| Error::corrupt(Part::Data, name(), reason))?);
                match (node.kind.as_str(), node.subtree) {
                    ("dir", Some(subtree)) => pending.push((path, subtree, depth + 1)),
                    ("dir", None) => return Err(Error::corrupt(Part::Data, name(), format!("{path} has no subtree"))),
                    ("file", _) => files.push(entry(&index, path, node.size, node.content.unwrap_or_default())?),
                    // Links, devices, sockets: nothing that has bytes.
                    _ => {}
                }
            }
        }
        files.sort_by(|left, right| left.path.cmp(&right.path));
        Ok(files)
    }

    /// The bytes of a file, every blob checked against its MAC and its hash before any of it is handed out. After an error the
    /// stream ends; what came before it is right, but it is not the whole file.
    pub fn read(&self, file: &FileEntry) -> impl Stream<Item = Result<Bytes>> + Send + Unpin + use<> {
        let (repository, content) = (self.clone(), Arc::clone(&file.content));
        let opened = async move {
            let index = repository.known_index().await?;
            let backend = Arc::clone(&repository.backend);
            let fetches = Spans { index, content, next: 0 }.map(move |span| {
                let backend = Arc::clone(&backend);
                // Spawned, so that it goes on while the reader is busy.
                let fetch = tokio::spawn(async move { fetch(backend, span?).await });
                let fetch = AbortOnDropHandle::new(fetch);
                async move { fetch.await.map_err(internal)? }
            });
            let blobs = stream::iter(fetches).buffered(limits::READ_AHEAD);
            Ok::<_, Error>(blobs.map_ok(|blobs| stream::iter(blobs).map(Ok)).try_flatten())
        };
        let mut failed = false;
        stream::once(opened)
            .try_flatten()
            .take_while(move |result| {
                let past_error = std::mem::replace(&mut failed, result.is_err());
                std::future::ready(!past_error)
            })
            .boxed()
    }

    async fn load_blob(&self, index: &Index, kind: BlobKind, id: Id) -> Result<Bytes> {
        let span = Span::of(id, find(index, kind, &id)?);
        let blobs = fetch(Arc::clone(&self.backend), span).await?;
        blobs.into_iter().next().ok_or_else(|| Error::Internal("a span without a blob".into()))
    }
}

fn entry(index: &Index, path: String, size: u64, content: Vec<Id>) -> Result<FileEntry> {
    let mut total = 0;
    for id in &content {
        total += find(index, BlobKind::Data, id)?.plain_length();
    }
    // rustic leaves the size of streams at 0.
    if size != total && size != 0 {
        return Err(Error::corrupt(
            Part::Data,
            path,
            format!("it should have {size} bytes, and its blobs have {total}"),
        ));
    }
    Ok(FileEntry { path, size: total, content: content.into() })
}

fn find(index: &Index, kind: BlobKind, id: &Id) -> Result<Location> {
    index.find(kind, id).ok_or_else(|| Error::corrupt(Part::Data, format!("blob {}", id.short()), "no index knows it"))
}

/// Blobs of one pack that are fetched together.
struct Span {
    pack: Id,
    range: Range<u64>,
    plain: u64,
    blobs: Vec<(Id, Location)>,
}

impl Span {
    fn of(id: Id, location: Location) -> Self {
        let range = range(&location);
        Self { pack: location.pack, range, plain: location.plain_length(), blobs: vec![(id, location)] }
    }

    /// Takes another blob if it lies close behind, or is one that the span covers already.
    fn extend(&mut self, id: Id, location: Location) -> bool {
        let next = range(&location);
        let end = next.end.max(self.range.end);
        let fits = location.pack == self.pack
            && next.start >= self.range.start
            && next.start <= self.range.end + limits::READ_GAP
            && end - self.range.start <= limits::READ_SPAN
            && self.plain + location.plain_length() <= limits::READ_SPAN;
        if fits {
            self.range.end = end;
            self.plain += location.plain_length();
            self.blobs.push((id, location));
        }
        fits
    }
}

fn range(location: &Location) -> Range<u64> {
    let start = u64::from(location.offset);
    start..start + u64::from(location.length)
}

/// The spans of a file, planned as they are needed: the list of a large file would be large.
struct Spans {
    index: Arc<Index>,
    content: Arc<[Id]>,
    next: usize,
}

impl Iterator for Spans {
    type Item = Result<Span>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut span: Option<Span> = None;
        while let Some(id) = self.content.get(self.next) {
            match (find(&self.index, BlobKind::Data, id), &mut span) {
                (Ok(location), None) => span = Some(Span::of(*id, location)),
                (Ok(location), Some(span)) => {
                    if !span.extend(*id, location) {
                        break;
                    }
                }
                // What comes before it is handed out first.
                (Err(_), Some(_)) => break,
                (Err(error), None) => {
                    self.next = self.content.len();
                    return Some(Err(error));
                }
            }
            self.next += 1;
        }
        span.map(Ok)
    }
}

async fn fetch(backend: Arc<Backend>, span: Span) -> Result<Vec<Bytes>> {
    let Span { pack, range, blobs, .. } = span;
    let sealed = match backend.store.objects.get_range(&FileKind::Pack.path(&pack), range.clone()).await {
        Ok(bytes) if bytes.len() as u64 == range.end - range.start => bytes,
        Ok(_) => return Err(Error::corrupt(Part::Data, describe(FileKind::Pack, &pack), "it is too short")),
        // The index says that it must be there.
        Err(object_store::Error::NotFound { .. }) => {
            return Err(Error::corrupt(Part::Data, describe(FileKind::Pack, &pack), "it is missing"));
        }
        // Stores differ in how they refuse a range beyond the end.
        Err(error) => match backend.store.objects.head(&FileKind::Pack.path(&pack)).await {
            Ok(object) if object.size < range.end => {
                return Err(Error::corrupt(Part::Data, describe(FileKind::Pack, &pack), "it is too short"));
            }
            _ => return Err(Error::store("read", describe(FileKind::Pack, &pack))(error)),
        },
    };
    on_core(move |scratch| {
        let open = |(id, location): (Id, Location)| {
            let damaged = |reason: &dyn std::fmt::Display| {
                Error::corrupt(
                    Part::Data,
                    format!("blob {} in {}", id.short(), describe(FileKind::Pack, &pack)),
                    reason,
                )
            };
            let start = (u64::from(location.offset) - range.start) as usize;
            let bytes = sealed.get(start..start + location.length as usize).unwrap_or_default();
            let mut plain = Vec::new();
            match location.uncompressed {
                Some(length) => {
                    backend.key.open_into(bytes, &mut scratch.opened).map_err(|error| damaged(&error))?;
                    let unpacked = scratch.codec.decompress(&scratch.opened, length, &mut plain);
                    unpacked.map_err(|error| damaged(&error))?;
                }
                None => backend.key.open_into(bytes, &mut plain).map_err(|error| damaged(&error))?,
            }
            match Id::of(&plain) == id {
                true => Ok(Bytes::from(plain)),
                false => Err(damaged(&"its content does not match its hash")),
            }
        };
        blobs.into_iter().map(open).collect()
    })
    .await
}
