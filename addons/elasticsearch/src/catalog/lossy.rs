//! Indices whose documents cannot be had as they were indexed.

use super::Found;
use coffer_addon::Result;
use serde_json::Value;

/// Why an index's documents are not what was indexed; `whole` is none: not even a part of them can be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lossy {
    pub why: &'static str,
    pub nothing: bool,
}

/// None where they are.
pub fn lossy(found: &Found) -> Result<Option<Lossy>> {
    let nothing = |why| Some(Lossy { why, nothing: true });
    let part = |why| Some(Lossy { why, nothing: false });
    match found.setting("index.mapping.source.mode").map(str::to_ascii_lowercase).as_deref() {
        Some("disabled") => return Ok(nothing("_source is disabled")),
        Some("synthetic") => return Ok(part("_source is synthetic")),
        _ => {}
    }
    if found.setting("index.derived_source.enabled") == Some("true") {
        return Ok(part("_source is derived"));
    }
    let mappings = found.definition.mappings.as_ref().map(|mappings| mappings.value()).transpose()?;
    let mappings = mappings.unwrap_or_default();
    // With types it is one level below.
    let below = mappings.as_object().into_iter().flat_map(|types| types.values());
    let sources: Vec<&Value> =
        [&mappings].into_iter().chain(below).filter_map(|mapping| mapping.get("_source")).collect();
    let mut is_stored = found.setting("index.mapping.source.mode").is_some();
    for source in sources {
        let is_set = |name: &str| source.get(name).and_then(Value::as_array).is_some_and(|fields| !fields.is_empty());
        let mode = source.get("mode").and_then(Value::as_str).unwrap_or_default();
        is_stored |= mode.eq_ignore_ascii_case("stored");
        if source.get("enabled").is_some_and(|enabled| *enabled == false || *enabled == "false")
            || mode.eq_ignore_ascii_case("disabled")
        {
            return Ok(nothing("_source is disabled"));
        }
        if mode.eq_ignore_ascii_case("synthetic") {
            return Ok(part("_source is synthetic"));
        }
        if is_set("excludes") || is_set("includes") {
            return Ok(part("_source leaves fields out"));
        }
    }
    // What these modes have unless something else is said.
    match found.setting("index.mode") {
        Some("time_series" | "logsdb") if !is_stored => Ok(part("_source is synthetic")),
        _ => Ok(None),
    }
}
