//! Documents, from searches into their files.

use super::contexts::{Context, Contexts, KEEP_ALIVE, SCROLL_KEEP_ALIVE};
use super::page::Page;
use crate::catalog::Found;
use crate::client::{Body, Client, Refusal};
use crate::layout::{Consistency, Count};
use coffer_addon::http::segment;
use coffer_addon::work::{Queue, Tally};
use coffer_addon::{ArtifactWriter, Error, Outbox, Result};
use futures::lock::Mutex;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use std::cell::{Cell, RefCell};

/// About how long an answer should be, in bytes.
const WANTED: u64 = 4 << 20;
/// The longest answer that is taken: a server takes no longer document than 100 MB unless it is told to.
const LONGEST: usize = 256 << 20;
/// More documents no server gives in one answer, unless its max_result_window is set.
const MOST: u64 = 10_000;
/// More slices no server cuts into.
const MAX_SLICES: u32 = 1024;

/// One piece of the work.
pub struct Piece<'a> {
    pub file: &'a File<'a>,
    /// Of how many, from 0.
    slice: u32,
    size: u64,
}

/// An index's file, written by whoever reads one of its slices.
pub struct File<'a> {
    pub found: &'a Found,
    name: String,
    query: Value,
    slices: u32,
    pub pit: Cell<Option<u64>>,
    writer: Mutex<Option<ArtifactWriter>>,
    count: RefCell<Count>,
    /// Slices that were not read to their end.
    left: Cell<u32>,
    is_broken: Cell<bool>,
}

impl<'a> File<'a> {
    pub fn new(found: &'a Found, name: String, query: Option<Value>, slices: u32) -> Self {
        let slices = if slices > MAX_SLICES { 1 } else { slices.max(1) };
        File {
            found,
            name,
            query: query.unwrap_or_else(|| json!({ "match_all": {} })),
            slices,
            pit: Cell::new(None),
            writer: Mutex::new(None),
            count: RefCell::default(),
            left: Cell::new(slices),
            is_broken: Cell::new(false),
        }
    }

    pub fn pieces(&'a self) -> impl Iterator<Item = Piece<'a>> {
        let size = self.found.bytes / u64::from(self.slices);
        (0..self.slices).map(move |slice| Piece { file: self, slice, size })
    }

    pub fn count(&self) -> Count {
        *self.count.borrow()
    }

    /// How many documents a first answer should have.
    fn first_size(&self) -> u64 {
        // Compressed on the disk to a fifth, say.
        let each = self.found.bytes.saturating_mul(5) / self.found.documents.max(1);
        (WANTED / each.max(64)).clamp(1, 1000)
    }
}

impl Piece<'_> {
    pub fn size(&self) -> u64 {
        self.size
    }
}

/// What all that read documents share.
pub struct Documents<'a> {
    pub client: &'a Client,
    pub outbox: &'a Outbox,
    pub contexts: &'a Contexts,
    pub tally: &'a Tally,
    pub consistency: Consistency,
}

#[derive(Deserialize)]
struct OpenedPit {
    /// Elasticsearch's.
    id: Option<String>,
    /// OpenSearch's.
    pit_id: Option<String>,
    #[serde(rename = "_shards")]
    shards: Option<PitShards>,
}

#[derive(Deserialize)]
struct PitShards {
    failed: u64,
}

/// Opens a point in time. The server's refusal is for the caller: some do not know what that is.
pub async fn open_pit(client: &Client, contexts: &Contexts, index: &str) -> Result<Result<u64, Refusal>> {
    let index = segment(index);
    let path = match client.version().is_elasticsearch() {
        true => format!("/{index}/_pit?keep_alive={KEEP_ALIVE}"),
        false => format!("/{index}/_search/point_in_time?keep_alive={KEEP_ALIVE}&allow_partial_pit_creation=false"),
    };
    let mut answer = match client.ask("POST", &path, &Body::None).await? {
        Ok(answer) => answer,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let opened: OpenedPit = answer.json(1 << 20).await?;
    let Some(id) = opened.id.or(opened.pit_id) else {
        return Err(Error::Corrupt("the server opened a point in time and gave no id of it".into()));
    };
    let key = contexts.add(Context::Pit(id));
    if opened.shards.is_some_and(|shards| shards.failed > 0) {
        return Err(Error::Unavailable("not all shards have opened a point in time".into()));
    }
    Ok(Ok(key))
}

impl Documents<'_> {
    /// Reads pieces until none is left.
    pub async fn work(&self, queue: &Queue<Piece<'_>>) -> Result<()> {
        while let Some(piece) = queue.take() {
            if let Err(error) = self.piece(&piece).await {
                let error = explain(error).context(format!("unable to dump index {}", piece.file.found.name()));
                piece.file.is_broken.set(true);
                return Err(match piece.file.writer.lock().await.take() {
                    Some(writer) => writer.fail(error).await,
                    None => error,
                });
            }
        }
        Ok(())
    }

    async fn piece(&self, piece: &Piece<'_>) -> Result<()> {
        let file = piece.file;
        let (read, total) = match self.consistency {
            Consistency::Pit => self.by_pit(piece).await?,
            Consistency::Scroll => self.by_scroll(piece).await?,
        };
        if let Some(total) = total.filter(|total| *total != read) {
            return Err(Error::Corrupt(format!("the server counts {total} documents and gave {read}")));
        }
        file.left.set(file.left.get().saturating_sub(1));
        if file.left.get() == 0 {
            if let Some(key) = file.pit.take() {
                self.contexts.close(key).await?;
            }
            self.write(file, Vec::new()).await?;
            if let Some(writer) = file.writer.lock().await.take() {
                writer.finish().await?;
            }
        }
        Ok(())
    }

    /// Reads a slice; gives how many documents it had and how many the server says there are.
    async fn by_pit(&self, piece: &Piece<'_>) -> Result<(u64, Option<u64>)> {
        let file = piece.file;
        if file.pit.get().is_none() {
            let opened = open_pit(self.client, self.contexts, file.found.name()).await?;
            let key = opened.map_err(|refusal| refusal.error("opening a point in time"))?;
            match file.pit.get() {
                // Another slice was quicker.
                Some(_) => self.contexts.close(key).await?,
                None => file.pit.set(Some(key)),
            }
        }
        let Some(key) = file.pit.get() else { return Err(Error::Failed("there is no point in time".into())) };
        let (mut size, mut after, mut read, mut total) = (file.first_size(), None::<Box<RawValue>>, 0, None);
        loop {
            let mut body = self.search(piece, size);
            let id = self.contexts.id(key).unwrap_or_default();
            body["pit"] = json!({ "id": id, "keep_alive": KEEP_ALIVE });
            body["track_total_hits"] = after.is_none().into();
            let body = Body::Json(match &after {
                None => serde_json::to_vec(&body)?,
                Some(after) => with_search_after(&body, after)?,
            });
            let mut answer = self.client.send("POST", "/_search", &body).await?;
            let bytes = match answer.read_all(LONGEST).await {
                Ok(bytes) => bytes,
                Err(Error::Corrupt(_)) if size > 1 => {
                    size = (size / 8).max(1);
                    continue;
                }
                Err(error) => return Err(error),
            };
            let page = Page::read(&bytes)?;
            if let Some(id) = &page.pit_id {
                self.contexts.renamed(key, id);
            }
            total = total.or(page.total());
            if page.len() == 0 {
                return Ok((read, total));
            }
            let count = self.take(file, &page).await?;
            read += count;
            let Some(last) = page.last() else {
                return Err(Error::Corrupt("the server did not say where its answer ends".into()));
            };
            if after.as_deref().is_some_and(|after| after.get() == last.get()) {
                return Err(Error::Corrupt("the server gives the same documents again and again".into()));
            }
            after = Some(last.to_owned());
            let each = u64::try_from(bytes.len()).unwrap_or(u64::MAX) / count.max(1);
            size = (WANTED / each.max(1)).clamp(1, MOST).min(size * 2);
        }
    }

    async fn by_scroll(&self, piece: &Piece<'_>) -> Result<(u64, Option<u64>)> {
        let file = piece.file;
        let mut body = self.search(piece, file.first_size());
        if self.client.version().is_since(7, 0) || !self.client.version().is_elasticsearch() {
            body["track_total_hits"] = true.into();
        }
        let path = format!("/{}/_search?scroll={SCROLL_KEEP_ALIVE}", segment(file.found.name()));
        let mut answer = self.client.send("POST", &path, &Body::json(&body)?).await?;
        let (mut key, mut read, mut total) = (None, 0, None);
        loop {
            let bytes = answer.read_all(LONGEST).await?;
            let page = Page::read(&bytes)?;
            let Some(id) = &page.scroll_id else {
                return Err(Error::Corrupt("the server opened a scroll and gave no id of it".into()));
            };
            match key {
                None => key = Some(self.contexts.add(Context::Scroll(id.clone()))),
                Some(key) => self.contexts.renamed(key, id),
            }
            total = total.or(page.total());
            if page.len() == 0 {
                break;
            }
            read += self.take(file, &page).await?;
            let more = json!({ "scroll": SCROLL_KEEP_ALIVE, "scroll_id": id });
            // Never asked twice: a page that was lost on the way would be missing. What is busy says so before it has begun one.
            answer = self.client.send("POST", "/_search/scroll", &Body::json(&more)?).await?;
        }
        if let Some(key) = key {
            self.contexts.close(key).await?;
        }
        Ok((read, total))
    }

    fn search(&self, piece: &Piece<'_>, size: u64) -> Value {
        let version = self.client.version();
        let shard_doc = match version.is_elasticsearch() {
            true => version.is_since(7, 12),
            false => version.is_since(3, 3),
        };
        let sort = match (self.consistency, shard_doc) {
            (Consistency::Pit, true) => "_shard_doc",
            // Unique within a shard, and a slice is of one.
            _ => "_doc",
        };
        let mut body = json!({ "size": size, "sort": [sort], "query": piece.file.query });
        if piece.file.slices > 1 {
            body["slice"] = json!({ "id": piece.slice, "max": piece.file.slices });
        }
        if version.is_elasticsearch() && version.is_since(9, 2) {
            body["_source"] = json!({ "exclude_vectors": false });
        }
        body
    }

    async fn take(&self, file: &File<'_>, page: &Page<'_>) -> Result<u64> {
        let (mut lines, mut count) = (Vec::new(), Count::default());
        page.write(file.found.name(), self.client.version().has_types(), &mut lines, &mut count)?;
        file.count.borrow_mut().merge(&count);
        self.write(file, lines).await?;
        self.tally.add_rows(count.documents);
        self.tally.add_bytes(count.bytes);
        Ok(count.documents)
    }

    /// Appends whole lines; with none it begins the file.
    async fn write(&self, file: &File<'_>, lines: Vec<u8>) -> Result<()> {
        let mut writer = file.writer.lock().await;
        if file.is_broken.get() {
            // The run ends with the other one's error.
            futures::future::pending::<()>().await;
        }
        let writer = writer.get_or_insert_with(|| {
            let draft = self.outbox.file(file.name.clone()).label("mediaType", "application/x-ndjson");
            draft.label("index", file.found.name()).open()
        });
        writer.write_buffer(lines).await.map(drop)
    }
}

/// The sort values go back as they came: some are longs that no float holds.
fn with_search_after(body: &Value, after: &RawValue) -> Result<Vec<u8>> {
    let mut bytes = serde_json::to_vec(body)?;
    bytes.pop();
    bytes.extend_from_slice(b",\"search_after\":");
    bytes.extend_from_slice(after.get().as_bytes());
    bytes.push(b'}');
    Ok(bytes)
}

/// What the server's words mean here.
fn explain(error: Error) -> Error {
    let text = error.message();
    if text.contains("search_context_missing") || text.contains("No search context found") {
        return Error::Failed(format!(
            "the server has lost the point in time or the scroll: a node was restarted, or it was not asked for too long; run the \
             dump again ({text})"
        ));
    }
    error
}
