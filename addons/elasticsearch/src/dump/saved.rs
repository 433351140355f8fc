//! Dashboards' saved objects, from its export into a file for each space.

use crate::client::dashboards::{DEFAULT_SPACE, Dashboards};
use crate::client::{Body, Client};
use crate::layout::{self, Definition, Space};
use coffer_addon::http::Response;
use coffer_addon::{ArtifactWriter, Error, Outbox, Result, omitted};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// The longest line that is taken: a canvas with pictures.
const MAX_LINE: usize = 64 << 20;

/// Where saved objects come from.
pub struct Saved {
    dashboards: Dashboards,
    types: Vec<String>,
    pub found: layout::Dashboards,
}

/// What was exported.
#[derive(Debug, Default)]
pub struct Exported {
    /// By artifact.
    pub counts: BTreeMap<String, u64>,
    /// What the export says that it lacks, for people.
    pub lacking: Vec<String>,
}

#[derive(Deserialize)]
struct Types {
    types: Vec<Type>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Type {
    Name(String),
    /// Since Kibana 7.13.
    Described {
        name: String,
    },
}

impl Saved {
    /// Asks which spaces there are, and what can be exported.
    pub async fn find(client: &Client) -> Result<Saved> {
        let dashboards = Dashboards::connect(client).await?;
        let product = if dashboards.is_kibana() { "kibana" } else { "opensearch-dashboards" };
        let path = format!("/api/{product}/management/saved_objects/_allowed_types");
        let types = match dashboards.ask("GET", DEFAULT_SPACE, &path, &Body::None).await? {
            Ok(mut answer) => {
                let types: Types = answer.json(1 << 20).await?;
                let name = |found| match found {
                    Type::Name(name) | Type::Described { name } => name,
                };
                types.types.into_iter().map(name).collect()
            }
            // It is not for others than its own pages, who says so; newer ones know this instead.
            Err(refusal) if dashboards.is_kibana() && matches!(refusal.status, 400 | 404) => vec!["*".to_owned()],
            Err(refusal) => return Err(refusal.error(&format!("{}: GET {path}", dashboards.name()))),
        };
        let spaces = spaces(&dashboards).await?;
        let found = layout::Dashboards {
            flavour: dashboards.name().into(),
            version: dashboards.version.clone(),
            spaces: spaces.into_iter().map(|(id, definition)| space(id, definition)).collect(),
        };
        Ok(Saved { dashboards, types, found })
    }

    /// Writes a file for each space.
    pub async fn export(&self, outbox: &Outbox) -> Result<Exported> {
        let mut exported = Exported::default();
        for space in &self.found.spaces {
            let body = json!({ "type": self.types, "includeReferencesDeep": true, "excludeExportDetails": false });
            let path = "/api/saved_objects/_export";
            let in_space = |error: Error| error.context(format!("unable to export the saved objects of {}", space.id));
            let answer = match self.dashboards.ask("POST", &space.id, path, &Body::json(&body)?).await? {
                Ok(answer) => answer,
                Err(refusal) => {
                    let is_long = refusal.reason.contains("Can't export more than");
                    let error = refusal.error(&format!("{}: POST {path}", self.dashboards.name()));
                    return Err(in_space(match is_long {
                        true => error.context("set savedObjects.maxImportExportSize in its configuration"),
                        false => error,
                    }));
                }
            };
            let file = outbox.file(space.file.clone()).label("mediaType", "application/x-ndjson");
            let mut writer = file.label("space", space.id.clone()).open();
            match copy(answer, &mut writer).await {
                Ok(details) => {
                    writer.finish().await?;
                    exported.counts.insert(space.file.clone(), details.exported_count);
                    exported.lacking.extend(details.lacking().map(|what| format!("{what} in space {}", space.id)));
                }
                Err(error) => return Err(writer.fail(in_space(error)).await),
            }
        }
        if !exported.lacking.is_empty() {
            let lacking = omitted::line(&exported.lacking);
            coffer_addon::warn!("NOT IN THIS BACKUP: of {}'s saved objects {lacking}", self.dashboards.name());
        }
        Ok(exported)
    }
}

fn space(id: String, definition: Option<Definition>) -> Space {
    Space { file: layout::saved_objects_name(&id), id, definition }
}

/// By id, each as it is put in.
async fn spaces(dashboards: &Dashboards) -> Result<Vec<(String, Option<Definition>)>> {
    let only = || vec![(DEFAULT_SPACE.to_owned(), None)];
    if !dashboards.is_kibana() {
        return Ok(only());
    }
    let path = "/api/spaces/space";
    let found: Vec<Map<String, Value>> = match dashboards.ask("GET", DEFAULT_SPACE, path, &Body::None).await? {
        Ok(mut answer) => answer.json(16 << 20).await?,
        // They are turned off, or it is one without.
        Err(refusal) if refusal.status == 404 => return Ok(only()),
        Err(refusal) => return Err(refusal.error(&format!("{}: GET {path}", dashboards.name()))),
    };
    let mut spaces = Vec::new();
    for mut space in found {
        // The default one's: it cannot be removed.
        space.remove("_reserved");
        let id = space.get("id").and_then(Value::as_str).map(str::to_owned);
        // It becomes a file's name.
        let is_id = |id: &String| {
            !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
        };
        let id = id.filter(is_id).ok_or_else(|| Error::Corrupt("a space of Kibana's has no id".into()))?;
        spaces.push((id, Some(Definition::new(&Value::Object(space))?)));
    }
    spaces.sort_by(|(one, _), (other, _)| one.cmp(other));
    Ok(spaces)
}

/// What stands at the end of an export.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Details {
    exported_count: u64,
    #[serde(default)]
    missing_references: Vec<Object>,
    #[serde(default)]
    excluded_objects: Vec<Object>,
}

#[derive(Debug, Deserialize)]
struct Object {
    #[serde(rename = "type")]
    kind: String,
    id: String,
}

impl Details {
    fn lacking(&self) -> impl Iterator<Item = String> {
        let missing = self.missing_references.iter().map(|object| (object, "is referred to and not there"));
        let excluded = self.excluded_objects.iter().map(|object| (object, "cannot be exported"));
        missing.chain(excluded).map(|(Object { kind, id }, why)| format!("{kind} {id} ({why})"))
    }
}

/// What a line may be: an object with its type, or the details.
#[derive(Deserialize)]
struct Line {
    #[serde(rename = "type")]
    kind: Option<String>,
    #[serde(rename = "exportedCount")]
    exported_count: Option<u64>,
}

/// Hands an export on line by line, and checks that it is whole.
async fn copy(mut answer: Response, writer: &mut ArtifactWriter) -> Result<Details> {
    let (mut count, mut details, mut scanned) = (0, None, 0);
    loop {
        let end = answer.buffer().iter().skip(scanned).position(|byte| *byte == b'\n').map(|end| scanned + end);
        let (length, taken) = match end {
            Some(end) => (end, end + 1),
            None => {
                scanned = answer.buffer().len();
                if scanned > MAX_LINE {
                    return Err(Error::Unsupported(format!("a saved object has more than {MAX_LINE} bytes")));
                }
                if answer.fill().await? > 0 {
                    continue;
                }
                (scanned, scanned)
            }
        };
        scanned = 0;
        if let Some(line) = answer.buffer().get(..length).map(<[u8]>::trim_ascii).filter(|line| !line.is_empty()) {
            let wrong = |_| Error::Corrupt("the export is not the lines of JSON that it should be".into());
            let read: Line = serde_json::from_slice(line).map_err(wrong)?;
            match (details.is_some(), read) {
                (false, Line { exported_count: Some(_), .. }) => {
                    details = Some(serde_json::from_slice::<Details>(line).map_err(wrong)?);
                }
                (false, Line { kind: Some(_), .. }) => count += 1,
                _ => return Err(Error::Corrupt("the export has a line that is no saved object".into())),
            }
            writer.write(line).await?;
            writer.write(b"\n").await?;
        }
        answer.consume(taken);
        if end.is_none() {
            break;
        }
    }
    match details {
        Some(details) if details.exported_count == count => Ok(details),
        Some(details) => Err(Error::Corrupt(format!(
            "the export says that it has {} saved objects, and has {count}",
            details.exported_count
        ))),
        None => Err(Error::Corrupt("the export does not say at its end that it is whole".into())),
    }
}
