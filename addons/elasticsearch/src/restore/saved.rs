//! Dashboards' saved objects: a file for each space, which its import takes whole. It holds nothing of the search server's but the
//! names of indices, so a file is imported while it comes, line by line.

use super::lines::Lines;
use super::parameters::Restore;
use super::unfinished::Unfinished;
use crate::client::dashboards::{DEFAULT_SPACE, Dashboards};
use crate::client::{Body, Client, Refusal};
use crate::layout::{self, Definition, Space};
use coffer_addon::http::segment;
use coffer_addon::{Context as _, Error, Incoming, Result, omitted};
use serde::Deserialize;
use serde_json::{Value, json};

/// What a form's content type says. No line of an export begins with its `--`: each is read as JSON before it is sent.
const FORM: &str = "multipart/form-data; boundary=coffer-saved-objects";

/// In front of a form's only file, and behind it.
const HEAD: &str = "--coffer-saved-objects\r\nContent-Disposition: form-data; name=\"file\"; filename=\"export.ndjson\"\r\n\
    Content-Type: application/ndjson\r\n\r\n";
const TAIL: &str = "\r\n--coffer-saved-objects--\r\n";

/// The longest answer: it names each object.
const MAX_ANSWER: usize = 64 << 20;

/// Where saved objects go.
pub struct Saved<'a> {
    dashboards: Dashboards,
    overwrite: bool,
    unfinished: &'a Unfinished,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    success: bool,
    #[serde(default)]
    success_count: u64,
    #[serde(default)]
    errors: Vec<Refused>,
}

#[derive(Deserialize)]
struct Refused {
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    id: String,
    #[serde(default)]
    error: Value,
}

impl Refused {
    fn told(&self) -> String {
        let text = |name: &str| self.error.get(name).and_then(Value::as_str);
        let why = match text("type").unwrap_or("unknown") {
            "conflict" | "ambiguous_conflict" => "is there already: set overwrite to replace it".into(),
            "unsupported_type" => "is of a type that is not known there".into(),
            "missing_references" => {
                let references = self.error.get("references").and_then(Value::as_array);
                let named = references.into_iter().flatten().map(|reference| {
                    let part = |name: &str| reference.get(name).and_then(Value::as_str).unwrap_or_default();
                    format!("{} {}", part("type"), part("id"))
                });
                format!("lacks what it refers to: {}", omitted::line(named))
            }
            other => format!("{other} {}", text("message").unwrap_or_default()),
        };
        format!("{} {} ({})", self.kind, self.id, why.trim_end())
    }
}

/// Of an object, or of the export's own details, which have no type.
#[derive(Deserialize)]
struct Line {
    #[serde(rename = "type")]
    kind: Option<String>,
}

impl<'a> Saved<'a> {
    /// Looks at whether they can be restored, where they are to be; changes nothing.
    pub async fn look(
        client: &Client,
        dump: Option<&layout::Dashboards>,
        parameters: &Restore,
        unfinished: &'a Unfinished,
    ) -> Result<Option<Saved<'a>>> {
        let dump = match (dump, parameters.saved_objects) {
            (Some(dump), true) => dump,
            (Some(dump), false) => {
                coffer_addon::info!("not restored: the saved objects of {}; savedObjects does that", dump.flavour);
                return Ok(None);
            }
            (None, true) => {
                return Err(Error::InvalidParameter(
                    "savedObjects: the dump has none; dump with savedObjects, too, or leave it out here".into(),
                ));
            }
            (None, false) => return Ok(None),
        };
        let dashboards = Dashboards::connect(client).await?;
        if dump.flavour != dashboards.name() {
            return Err(Error::Unsupported(format!(
                "the dump has saved objects of {}, which {} does not take; leave savedObjects out",
                dump.flavour,
                dashboards.name()
            )));
        }
        let saved = Saved { dashboards, overwrite: parameters.overwrite, unfinished };
        for space in &dump.spaces {
            saved.check(space).await?;
        }
        Ok(Some(saved))
    }

    async fn check(&self, space: &Space) -> Result<()> {
        if space.id.is_empty() || !space.id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte)) {
            return Err(Error::Corrupt(format!("{:?} can be no name of a space", space.id)));
        }
        let (Some(definition), false) = (&space.definition, self.overwrite) else { return Ok(()) };
        match self.there(space).await? {
            // The default one is there always, and is no reason to overwrite everything.
            Some(there) if space.id != DEFAULT_SPACE && !is_same(&there, definition)? => {
                Err(Error::InvalidParameter(format!(
                    "there is another space {}; set overwrite to replace what is there, or leave savedObjects out",
                    space.id
                )))
            }
            _ => Ok(()),
        }
    }

    async fn there(&self, space: &Space) -> Result<Option<Value>> {
        let path = format!("/api/spaces/space/{}", segment(&space.id));
        match self.dashboards.ask("GET", DEFAULT_SPACE, &path, &Body::None).await? {
            Ok(mut answer) => answer.json(1 << 20).await.map(Some),
            Err(refusal) if refusal.status == 404 => Ok(None),
            Err(refusal) => Err(refusal.error(&format!("{}: GET {path}", self.dashboards.name()))),
        }
    }

    /// Imports a space's file; how many objects it has.
    pub async fn import(&self, space: &Space, incoming: &mut Incoming) -> Result<u64> {
        let failed = || format!("unable to restore the saved objects of space {}", space.id);
        self.make(space).await.context(failed)?;
        self.send(space, incoming).await.context(failed)
    }

    async fn make(&self, space: &Space) -> Result<()> {
        let Some(definition) = &space.definition else { return Ok(()) };
        let body = Body::Json(definition.text().into());
        match self.there(space).await? {
            None => {
                let path = "/api/spaces/space";
                if let Err(refusal) = self.dashboards.ask("POST", DEFAULT_SPACE, path, &body).await? {
                    // It may have been made by an attempt that was answered that there is no time.
                    let there = if refusal.status == 409 { self.there(space).await? } else { None };
                    let is_made = there.map(|there| is_same(&there, definition)).transpose()?;
                    if is_made != Some(true) {
                        return Err(refusal.error(&format!("{}: POST {path}", self.dashboards.name())));
                    }
                }
                self.unfinished.made(format!("space {}", space.id));
            }
            Some(there) if self.overwrite && !is_same(&there, definition)? => {
                let path = format!("/api/spaces/space/{}", segment(&space.id));
                self.dashboards.send("PUT", DEFAULT_SPACE, &path, &body).await?;
            }
            Some(_) => {}
        }
        Ok(())
    }

    /// Sends a file as it comes; how many objects it has. A file that is cut off breaks the request off, so that nothing of it
    /// is taken.
    async fn send(&self, space: &Space, incoming: &mut Incoming) -> Result<u64> {
        let path = format!("/api/saved_objects/_import?overwrite={}", self.overwrite);
        let name = incoming.artifact.name.clone();
        let mut lines = Lines::new(incoming);
        let mut upload = None;
        let (mut number, mut count) = (0, 0);
        while let Some(line) = lines.next().await? {
            number += 1;
            let is_object = is_object(line, number).context(|| name.clone())?;
            // Of none there is nothing to import, and the export's details would be taken for an object.
            if !is_object && count == 0 {
                continue;
            }
            count += u64::from(is_object);
            let upload = upload.get_or_insert_with(|| self.dashboards.open("POST", &space.id, &path, FORM, HEAD));
            if upload.is_refused() {
                break;
            }
            upload.write(line).await?;
            upload.write(b"\n").await?;
        }
        let Some(mut upload) = upload else { return Ok(0) };
        upload.write(TAIL.as_bytes()).await?;
        let mut answer = upload.finish().await?;
        if !answer.is_success() {
            return Err(self.refused(&Refusal::read(answer).await?));
        }
        self.check_taken(space, answer.json(MAX_ANSWER).await?, count)?;
        Ok(count)
    }

    fn refused(&self, refusal: &Refusal) -> Error {
        let error = refusal.error(&format!("{}: POST /api/saved_objects/_import", self.dashboards.name()));
        match refusal.status {
            400 | 413 => error.with(
                "raise savedObjects.maxImportPayloadBytes and savedObjects.maxImportExportSize in its configuration",
            ),
            // A second attempt would find what the first has left.
            status if status >= 500 || refusal.is_busy() => {
                error.with("some of the objects may be there now: try again with overwrite")
            }
            _ => error,
        }
    }

    fn check_taken(&self, space: &Space, answer: Answer, count: u64) -> Result<()> {
        if answer.success_count > 0 {
            self.unfinished.made(format!("{} saved objects of space {}", answer.success_count, space.id));
        }
        if !answer.success || !answer.errors.is_empty() {
            let errors: Vec<String> = answer.errors.iter().map(Refused::told).collect();
            return Err(Error::Failed(format!(
                "of {count} objects {} were taken, not {}",
                answer.success_count,
                if errors.is_empty() { "the others, and nobody says why".into() } else { omitted::line(errors) }
            )));
        }
        if answer.success_count != count {
            return Err(Error::Failed(format!("of {count} objects {} were taken", answer.success_count)));
        }
        Ok(())
    }
}

/// Whether a line is an object's, and not the export's details; the number is for the error of one that is neither.
fn is_object(line: &[u8], number: u64) -> Result<bool> {
    let wrong = |_| Error::Corrupt(format!("line {number} is no saved object"));
    let line: Line = serde_json::from_slice(line).map_err(wrong)?;
    Ok(line.kind.is_some())
}

/// Whether a space is what the dump says, as far as that says it.
fn is_same(there: &Value, definition: &Definition) -> Result<bool> {
    let wanted = definition.value()?;
    let fields = wanted.as_object().into_iter().flatten();
    Ok(fields.into_iter().all(|(name, value)| there.get(name).unwrap_or(&json!(null)) == value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_told_from_the_details() {
        assert_eq!(is_object(b"{\"type\":\"a\",\"id\":\"1\"}", 1), Ok(true));
        assert_eq!(is_object(b"{\"exportedCount\":1}", 1), Ok(false));
        for line in [&b"{"[..], b"--coffer-saved-objects", b"{}\r\n--coffer-saved-objects--"] {
            assert!(matches!(is_object(line, 2), Err(Error::Corrupt(text)) if text.starts_with("line 2")));
        }
    }

    #[test]
    fn a_refused_object_is_named_with_its_reason() {
        let told = |error: Value| Refused { kind: "dashboard".into(), id: "7".into(), error }.told();
        assert_eq!(
            told(json!({ "type": "missing_references", "references": [{ "type": "index-pattern", "id": "x" }] })),
            "dashboard 7 (lacks what it refers to: index-pattern x)"
        );
        assert!(told(json!({ "type": "conflict" })).contains("overwrite"));
        assert_eq!(told(Value::Null), "dashboard 7 (unknown)");
    }
}
