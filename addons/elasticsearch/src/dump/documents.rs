//! Documents, from searches into their files.

use super::contexts::{Context, Contexts};
use super::file::{File, Piece, WANTED};
use super::page::Page;
use super::point;
use super::turns::{Right, Turns};
use crate::client::waits::in_spite_of_losses;
use crate::client::{Body, Client};
use crate::layout::{Consistency, Count};
use coffer_addon::http::{Response, segment};
use coffer_addon::work::{Queue, Tally};
use coffer_addon::{ArtifactWriter, Error, Outbox, Result};
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use std::cell::RefCell;

/// Each job may hold one answer up to here. A longer one is asked for again with fewer documents in it, where the server can do
/// that.
const LONG: usize = 8 << 20;
/// The longest answer that is taken: the host gives 256 MiB in all. A server takes documents of up to 100 MB unless it is told
/// otherwise.
const LONGEST: usize = 160 << 20;
/// Of a large document: as much as the host takes at once.
const PIECE: usize = 256 << 10;

/// What all that read documents share.
pub struct Documents<'a> {
    pub client: &'a Client,
    pub outbox: &'a Outbox,
    pub contexts: &'a Contexts,
    pub tally: &'a Tally,
    pub consistency: Consistency,
    /// For those that have a [`LONG`] answer.
    pub turns: Turns,
    /// What went wrong first: what follows may be for that alone.
    pub first: RefCell<Option<Error>>,
}

impl Documents<'_> {
    /// Reads pieces until none is left.
    pub async fn work(&self, queue: &Queue<Piece<'_>>) -> Result<()> {
        while let Some(piece) = queue.take() {
            if let Err(error) = self.piece(&piece).await {
                let error = explain(error).context(format!("unable to dump index {}", piece.file.found.name()));
                let error = piece.file.break_off(error).await;
                // The others go on until then, and are let go of in the middle behind it.
                let first = self.first.borrow_mut().get_or_insert(error).clone();
                self.contexts.settle().await;
                return Err(first);
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
            let mut writer = file.writer().await;
            // There is a file also where there are no documents.
            self.open(file, &mut writer).await?;
            if let Some(writer) = writer.take() {
                writer.finish().await?;
            }
            self.turns.finish(file.found.name());
        }
        Ok(())
    }

    /// Reads a slice; gives how many documents it had and how many the server says there are.
    async fn by_pit(&self, piece: &Piece<'_>) -> Result<(u64, Option<u64>)> {
        let file = piece.file;
        let key = self.pit(file).await?;
        let (mut size, mut after, mut read, mut total) = (file.first_size(), None::<Box<RawValue>>, 0, None);
        let mut right = None;
        loop {
            let mut body = self.search(piece, size);
            let id = self.contexts.id(key).unwrap_or_default();
            body.insert("pit".into(), json!({ "id": id, "keep_alive": self.contexts.pit_keep_alive() }));
            body.insert("track_total_hits".into(), after.is_none().into());
            let body = Body::Json(with_search_after(&body, after.as_deref())?);
            let limit = if size > 1 { LONG } else { LONGEST };
            let held: Option<Right<'_>> = right.take();
            // Nothing is written of a page that did not come whole, and what it is of stays as it is: it may be asked for twice.
            let came = in_spite_of_losses("POST /_search", async || {
                match self.client.ask("POST", "/_search", &body).await? {
                    Ok(answer) => self.whole(file, answer, limit, Long::now(held.is_some())).await.map(Ok),
                    Err(refusal) => Ok(Err(refusal)),
                }
            });
            let (bytes, _right) = match came.await?.map_err(|refusal| refusal.error("POST /_search"))? {
                Came::Whole(bytes, right) => (bytes, right.or(held)),
                Came::TooLong if size > 1 => {
                    size = (size / 8).max(1);
                    continue;
                }
                Came::TooLong => return Err(too_long()),
                Came::NotNow => {
                    right = Some(self.turn(file).await?);
                    continue;
                }
            };
            let page = match Page::read(&bytes) {
                Ok(page) => page,
                Err(_) if size > 1 => {
                    size = (size / 8).max(1);
                    continue;
                }
                Err(error) => return Err(self.unreadable(piece, key, after.as_deref(), error).await),
            };
            if let Some(id) = &page.pit_id {
                self.contexts.renamed(key, id);
            }
            page.check()?;
            total = total.or(page.total());
            let Some(last) = page.last() else {
                if page.hits().is_empty() {
                    return Ok((read, total));
                }
                return Err(Error::Corrupt("the server did not say where its answer ends".into()));
            };
            if after.as_deref().is_some_and(|after| after.get() == last.get()) {
                return Err(Error::Corrupt("the server gives the same documents again and again".into()));
            }
            let count = self.take(file, &page).await?;
            read += count;
            after = Some(last.to_owned());
            let each = u64::try_from(bytes.len()).unwrap_or(u64::MAX) / count.max(1);
            size = (WANTED / each.max(1)).min(size * 2).clamp(1, file.most());
        }
    }

    /// What an answer that is no JSON says by its one document: which that is. Servers take more for JSON than it is, and give it
    /// back as they got it.
    async fn unreadable(&self, piece: &Piece<'_>, key: u64, after: Option<&RawValue>, error: Error) -> Error {
        let mut body = self.search(piece, 1);
        body.insert("pit".into(), json!({ "id": self.contexts.id(key).unwrap_or_default() }));
        body.insert("_source".into(), false.into());
        let id = async {
            let body = Body::Json(with_search_after(&body, after)?);
            let answer: Value = self.client.send("POST", "/_search", &body).await?.json(LONG).await?;
            Ok::<_, Error>(answer.pointer("/hits/hits/0/_id").and_then(Value::as_str).map(str::to_owned))
        };
        match id.await {
            Ok(Some(id)) => Error::Unsupported(format!(
                "the document {id:?} is no JSON, although the server has taken it (a comment, a byte order mark, or bytes that are no \
                 UTF-8): index it anew, or leave it out with query ({error})"
            )),
            _ => error,
        }
    }

    /// The index's point in time, opened by the first slice that has its turn.
    async fn pit(&self, file: &File<'_>) -> Result<u64> {
        if let Some(key) = file.pit.get() {
            return Ok(key);
        }
        let opened = point::open(self.client, self.contexts, file.found).await?;
        let key = opened.map_err(|refusal| refusal.error("opening a point in time"))?;
        match file.pit.get() {
            // Another slice was quicker.
            Some(other) => {
                self.contexts.close(key).await?;
                Ok(other)
            }
            None => {
                file.pit.set(Some(key));
                Ok(key)
            }
        }
    }

    /// [`Documents::by_pit`] where there are no points in time. A page that was lost on the way is not given again; what is
    /// missing then is noticed by the count.
    async fn by_scroll(&self, piece: &Piece<'_>) -> Result<(u64, Option<u64>)> {
        let file = piece.file;
        let mut body = self.search(piece, file.first_size());
        if self.client.version().has_since(7, 0) {
            body.insert("track_total_hits".into(), true.into());
        }
        let index = segment(file.found.name());
        let keep_alive = self.contexts.scroll_keep_alive();
        let mut path = format!("/{index}/_search?scroll={keep_alive}{}", point::frozen(self.client, file.found));
        if file.slices > 1 {
            // Cheaper than slices, each of which would be open on all shards.
            path.push_str(&format!("&preference=_shards:{}", piece.slice));
        }
        let mut opening = Some(self.contexts.opening().await);
        let mut answer = self.client.send("POST", &path, &Body::json(&body)?).await.map_err(not_again)?;
        let (mut key, mut read, mut total) = (None, 0, None);
        loop {
            let came = self.whole(file, answer, LONGEST, Long::Awaited).await.map_err(not_again)?;
            let Came::Whole(bytes, _right) = came else { return Err(too_long()) };
            let page = Page::read(&bytes)?;
            let Some(id) = &page.scroll_id else {
                return Err(Error::Corrupt("the server opened a scroll and gave no id of it".into()));
            };
            match key {
                None => key = Some(self.contexts.add(Context::Scroll(id.clone()))),
                Some(key) => self.contexts.renamed(key, id),
            }
            drop(opening.take());
            page.check()?;
            total = total.or(page.total());
            if page.hits().is_empty() {
                break;
            }
            read += self.take(file, &page).await?;
            let more = json!({ "scroll": keep_alive, "scroll_id": id });
            answer = self.client.send("POST", "/_search/scroll", &Body::json(&more)?).await.map_err(not_again)?;
        }
        if let Some(key) = key {
            self.contexts.close(key).await?;
        }
        Ok((read, total))
    }

    fn search(&self, piece: &Piece<'_>, size: u64) -> Map<String, Value> {
        let version = self.client.version();
        let sort: &[&str] = match (self.consistency, version.is_elasticsearch()) {
            (Consistency::Pit, true) => &["_shard_doc"],
            // Skips what comes before, which the other alone does not here.
            (Consistency::Pit, false) if version.is_since(3, 3) => &["_doc", "_shard_doc"],
            // Unique within a shard, and a slice is of one.
            _ => &["_doc"],
        };
        let mut body = Map::new();
        body.insert("size".into(), size.into());
        body.insert("version".into(), true.into());
        body.insert("sort".into(), json!(sort));
        body.insert("query".into(), piece.file.query.clone());
        if self.consistency == Consistency::Pit && piece.file.slices > 1 {
            body.insert("slice".into(), json!({ "id": piece.slice, "max": piece.file.slices }));
        }
        if version.is_elasticsearch() && version.is_since(9, 2) {
            body.insert("_source".into(), json!({ "exclude_vectors": false }));
        }
        body
    }

    /// An answer's body, with the right to have it where it is long.
    async fn whole(&self, file: &File<'_>, mut answer: Response, limit: usize, long: Long) -> Result<Came<'_>> {
        let announced = answer.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0_usize);
        let (mut whole, mut right) = (Vec::new(), None);
        loop {
            let length = announced.max(whole.len() + answer.buffer().len());
            if length > limit {
                return Ok(Came::TooLong);
            }
            if length > LONG && right.is_none() && long != Long::Held {
                right = match long {
                    Long::Awaited => Some(self.turn(file).await?),
                    _ => self.turns.take(file.found.name()),
                };
                if right.is_none() {
                    return Ok(Came::NotNow);
                }
            }
            let more = length - whole.len();
            coffer_addon::room(&mut whole, more)?;
            whole.extend_from_slice(answer.buffer());
            answer.consume(usize::MAX);
            if answer.fill().await? == 0 {
                return Ok(Came::Whole(whole, right));
            }
        }
    }

    /// Waits for the right to a long answer. Its file takes its place among the others first.
    async fn turn(&self, file: &File<'_>) -> Result<Right<'_>> {
        if !self.turns.has_begun(file.found.name()) {
            let mut writer = file.writer().await;
            self.open(file, &mut writer).await?;
        }
        Ok(self.turns.wait(file.found.name()).await)
    }

    /// Writes a page's documents, whole lines that no other slice gets between.
    async fn take(&self, file: &File<'_>, page: &Page<'_>) -> Result<u64> {
        let mut writer = file.writer().await;
        let writer = self.open(file, &mut writer).await?;
        let with_types = self.client.version().has_types();
        let (mut lines, mut count) = (Vec::with_capacity(2 * PIECE), Count::default());
        for hit in page.hits() {
            hit.begin_line(file.found.name(), with_types, &mut lines)?;
            let source = hit.source()?;
            count.add(&hit.id()?, hit.routing()?.as_deref(), &source);
            for piece in source.chunks(PIECE) {
                lines.extend_from_slice(piece);
                if lines.len() >= PIECE {
                    lines = writer.write_buffer(lines).await?;
                }
            }
            lines.extend_from_slice(b"}\n");
        }
        writer.write_buffer(lines).await?;
        file.count.borrow_mut().merge(&count);
        self.tally.add_rows(count.documents);
        self.tally.add_bytes(count.bytes);
        Ok(count.documents)
    }

    /// The file's writer. A file takes its place among the others with its first: behind that of the index before it, where it
    /// is of a data stream.
    async fn open<'w>(
        &self,
        file: &File<'_>,
        writer: &'w mut Option<ArtifactWriter>,
    ) -> Result<&'w mut ArtifactWriter> {
        let opened = match writer.take() {
            Some(opened) => opened,
            None => {
                if let Some(before) = file.stream.as_ref().and_then(|stream| stream.before.as_deref()) {
                    self.turns.begun(before).await;
                }
                let name = file.found.definition.file.clone().unwrap_or_default();
                let draft = self.outbox.file(name).label("mediaType", "application/x-ndjson");
                let mut opened = draft.label("index", file.found.name()).open();
                // As the host knows them, not as what is written reaches it.
                opened.begin().await?;
                self.turns.begin(file.found.name());
                opened
            }
        };
        Ok(writer.insert(opened))
    }
}

/// What is to be done for an answer that turns out to be long.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Long {
    /// Nothing: the right to it is there.
    Held,
    /// The right is taken where it is to be had.
    Now,
    /// It is waited for, the answer by half: it will not be given again.
    Awaited,
}

impl Long {
    fn now(is_held: bool) -> Self {
        if is_held { Long::Held } else { Long::Now }
    }
}

enum Came<'a> {
    Whole(Vec<u8>, Option<Right<'a>>),
    TooLong,
    /// It is long, and another's turn.
    NotNow,
}

/// The server goes on behind a page that it has given, whether that arrived or not.
fn not_again(error: Error) -> Error {
    match error {
        Error::Unavailable(_) => error.with("a page of a scroll cannot be asked for twice: run the dump again"),
        error => error,
    }
}

fn too_long() -> Error {
    Error::Unsupported(format!(
        "an answer of the server is longer than the {LONGEST} bytes that there is room for: a document is too large"
    ))
}

/// The sort values go back as they came: some are longs that no float holds.
fn with_search_after(body: &impl Serialize, after: Option<&RawValue>) -> Result<Vec<u8>> {
    let mut bytes = serde_json::to_vec(body)?;
    if let Some(after) = after {
        bytes.pop();
        bytes.extend_from_slice(b",\"search_after\":");
        bytes.extend_from_slice(after.get().as_bytes());
        bytes.push(b'}');
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_a_page_ended_is_said_as_it_was_heard() {
        let after = RawValue::from_string("[9223372036854775807]".into()).expect("JSON");
        let body = with_search_after(&json!({ "size": 1 }), Some(&after)).expect("JSON");
        assert_eq!(String::from_utf8(body).unwrap(), r#"{"size":1,"search_after":[9223372036854775807]}"#);
    }

    #[test]
    fn a_lost_context_is_explained() {
        let lost = Error::Failed(
            "404: search_phase_execution_exception: all shards failed (search_context_missing_exception)".into(),
        );
        assert!(matches!(explain(lost), Error::Failed(text) if text.contains("run the dump again")));
    }
}
