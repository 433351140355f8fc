//! Dashboards' saved objects: a file for each space, which its import takes whole. It holds nothing of the search server's but the
//! names of indices, so a file is imported when it comes.

use super::parameters::Restore;
use super::unfinished::Unfinished;
use crate::client::dashboards::{DEFAULT_SPACE, Dashboards};
use crate::client::{Body, Client};
use crate::layout::{self, Definition, Space};
use coffer_addon::http::segment;
use coffer_addon::{Context as _, Error, Incoming, Result, omitted};
use serde::Deserialize;
use serde_json::{Value, json};
use xxhash_rust::xxh3::xxh3_128;

/// The longest file. By default Kibana takes 25 MiB, and this is held in memory twice.
const MAX_FILE: usize = 64 << 20;

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
        let bytes = incoming.read_all(MAX_FILE).await?;
        let count = count(&bytes).context(|| incoming.artifact.name.clone())?;
        let failed = || format!("unable to restore the saved objects of space {}", space.id);
        self.make(space).await.context(failed)?;
        // Of none there is nothing to import, and the export's details would be taken for an object.
        if count > 0 {
            self.send(space, &bytes, count).await.context(failed)?;
        }
        Ok(count)
    }

    async fn make(&self, space: &Space) -> Result<()> {
        let Some(definition) = &space.definition else { return Ok(()) };
        let body = Body::Json(definition.text().into());
        match self.there(space).await? {
            None => {
                self.dashboards.send("POST", DEFAULT_SPACE, "/api/spaces/space", &body).await?;
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

    async fn send(&self, space: &Space, bytes: &[u8], count: u64) -> Result<()> {
        let path = format!("/api/saved_objects/_import?overwrite={}", self.overwrite);
        let answer = match self.dashboards.ask("POST", &space.id, &path, &multipart(bytes)).await? {
            Ok(mut answer) => answer.json::<Answer>(64 << 20).await?,
            Err(refusal) => {
                let error = refusal.error(&format!("{}: POST /api/saved_objects/_import", self.dashboards.name()));
                let remedy = "raise savedObjects.maxImportPayloadBytes and savedObjects.maxImportExportSize in its configuration";
                return Err(if matches!(refusal.status, 400 | 413) { error.with(remedy) } else { error });
            }
        };
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

/// How many objects a file has; all its lines are whole.
fn count(bytes: &[u8]) -> Result<u64> {
    let mut count = 0;
    for (number, line) in (1..).zip(bytes.split(|byte| *byte == b'\n')) {
        if line.trim_ascii().is_empty() {
            continue;
        }
        let wrong = |_| Error::Corrupt(format!("line {number} is no saved object"));
        let line: Line = serde_json::from_slice(line).map_err(wrong)?;
        count += u64::from(line.kind.is_some());
    }
    Ok(count)
}

/// The file as a form has it.
fn multipart(bytes: &[u8]) -> Body {
    // Of the contents, so that it is not in them.
    let boundary = format!("coffer-{:032x}", xxh3_128(bytes));
    let head = format!(
        "--{boundary}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"export.ndjson\"\r\n\
         Content-Type: application/ndjson\r\n\r\n"
    );
    let mut body = Vec::with_capacity(bytes.len() + 512);
    body.extend_from_slice(head.as_bytes());
    body.extend_from_slice(bytes);
    body.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
    Body::Other(format!("multipart/form-data; boundary={boundary}"), body)
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
    fn objects_are_counted_without_the_details() {
        assert_eq!(count(b"{\"type\":\"a\",\"id\":\"1\"}\n\n{\"exportedCount\":1}\n"), Ok(1));
        assert!(matches!(count(b"{}\n{"), Err(Error::Corrupt(text)) if text.starts_with("line 2")));
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
