//! Manifest files: YAML with several documents, JSON, `kind: List`, folders of them. Every error says file and document.

use crate::failure::{Failure, OrFail, Result};
use serde_json::Value;
use std::io::Read;
use std::path::{Path, PathBuf};

/// One object of a manifest, and where it stands.
#[derive(Debug, Clone)]
pub struct Document {
    pub object: Value,
    pub origin: Origin,
}

/// Where an object stands, for messages: `shop.yaml, document 2 (line 14)`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Origin {
    file: String,
    document: usize,
    line: usize,
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}, document {} (line {})", self.file, self.document, self.line)
    }
}

/// Everything that is wrong with a set of manifests.
#[derive(Debug, Default)]
pub struct Problems(Vec<(Origin, String)>);

impl Problems {
    pub fn add(&mut self, origin: &Origin, what: impl std::fmt::Display) {
        self.0.push((origin.clone(), format!("{origin}: {what}")));
    }

    /// In the order of the documents.
    pub fn into_texts(mut self) -> Vec<String> {
        self.0.sort();
        self.0.into_iter().map(|(_, text)| text).collect()
    }
}

/// Reads all documents of `paths`. `-` is stdin; of a folder its `.yaml`, `.yml` and `.json` files, in order of name.
/// Syntax errors are gathered in `problems`; files that cannot be read fail at once.
pub fn read(paths: &[PathBuf], problems: &mut Problems) -> Result<Vec<Document>> {
    let mut documents = Vec::new();
    for path in paths {
        if path.as_os_str() == "-" {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text).or_fail(|| "unable to read manifests from stdin")?;
            parse("stdin", &text, &mut documents, problems);
            continue;
        }
        for file in files(path)? {
            let text =
                std::fs::read_to_string(&file).or_fail(|| format!("unable to read the manifest {}", file.display()))?;
            parse(&file.display().to_string(), &text, &mut documents, problems);
        }
    }
    Ok(documents)
}

fn files(path: &Path) -> Result<Vec<PathBuf>> {
    let what = || format!("unable to read the manifest {}", path.display());
    if !std::fs::metadata(path).or_fail(what)?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path).or_fail(what)? {
        let file = entry.or_fail(what)?.path();
        let extension = file.extension().and_then(|extension| extension.to_str());
        if file.is_file() && matches!(extension, Some("yaml" | "yml" | "json")) {
            files.push(file);
        }
    }
    if files.is_empty() {
        return Err(Failure::new(format_args!("the folder {} holds no .yaml, .yml or .json file", path.display())));
    }
    files.sort();
    Ok(files)
}

/// Splits at document markers before parsing, so that one broken document hides no other. A line that begins with `---`
/// is always a marker: YAML forbids it inside any scalar (YAML 1.2.2, production c-forbidden).
fn parse(file: &str, text: &str, documents: &mut Vec<Document>, problems: &mut Problems) {
    let mut number = 0;
    for (line, source) in split(text) {
        if source.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#')) {
            continue;
        }
        number += 1;
        let origin = Origin { file: file.to_owned(), document: number, line };
        match serde_saphyr::from_str::<Value>(&source) {
            Ok(Value::Null) => {}
            Ok(object) => flatten(object, &origin, documents),
            Err(error) => problems.add(&origin, format_args!("not valid YAML: {}", explain(&error, line))),
        }
    }
}

/// Without the lines around it: they may hold a secret. `first` is the document's first line in its file.
pub fn explain(error: &serde_saphyr::Error, first: usize) -> String {
    let mut options = serde_saphyr::RenderOptions::default();
    options.formatter = &serde_saphyr::UserMessageFormatter;
    options.snippets = serde_saphyr::SnippetMode::Off;
    options.line_offset = first.saturating_sub(1) as u64;
    error.without_snippet().render_with_options(options)
}

/// The documents' texts with the number of their first line, from 1.
fn split(text: &str) -> Vec<(usize, String)> {
    let mut parts = vec![(1, String::new())];
    for (index, line) in text.lines().enumerate() {
        let marker = line.strip_prefix("---").filter(|rest| rest.is_empty() || rest.starts_with([' ', '\t']));
        match (marker, parts.last_mut()) {
            (Some(rest), _) if rest.trim().is_empty() => parts.push((index + 2, String::new())),
            // What stands behind the marker belongs to the document.
            (Some(rest), _) => parts.push((index + 1, format!("{}\n", rest.trim_start()))),
            (None, Some((_, part))) => {
                part.push_str(line);
                part.push('\n');
            }
            (None, None) => {}
        }
    }
    parts
}

/// A `List`, as `kubectl get -o yaml` prints it, stands for its items.
fn flatten(object: Value, origin: &Origin, documents: &mut Vec<Document>) {
    let is_list = object.get("kind").and_then(Value::as_str).is_some_and(|kind| kind == "List");
    match object {
        Value::Object(mut list) if is_list => {
            if let Some(Value::Array(items)) = list.remove("items") {
                for item in items {
                    flatten(item, origin, documents);
                }
            }
        }
        object => documents.push(Document { object, origin: origin.clone() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> (Vec<Document>, Vec<String>) {
        let (mut documents, mut problems) = (Vec::new(), Problems::default());
        parse("shop.yaml", text, &mut documents, &mut problems);
        (documents, problems.into_texts())
    }

    #[test]
    fn documents_are_numbered_and_placed() {
        let (documents, problems) =
            parsed("# a comment\n---\nkind: A\n---\n\n---\nkind: B\ntext: |\n  --- no marker\n");
        assert_eq!(problems, Vec::<String>::new());
        let places: Vec<_> = documents.iter().map(|document| document.origin.to_string()).collect();
        assert_eq!(places, ["shop.yaml, document 1 (line 3)", "shop.yaml, document 2 (line 7)"]);
        assert_eq!(documents[1].object["text"], "--- no marker\n");
    }

    #[test]
    fn one_broken_document_hides_no_other() {
        let (documents, problems) = parsed("kind: [\n---\nkind: B\n---\nkind: C\nkind: D\n");
        assert_eq!(documents.len(), 1);
        assert_eq!(problems.len(), 2, "{problems:?}");
        assert!(problems[0].starts_with("shop.yaml, document 1 (line 1): not valid YAML"), "{}", problems[0]);
        assert!(problems[1].contains("line 6"), "{}", problems[1]);
    }

    #[test]
    fn what_stands_beside_a_mistake_is_not_shown() {
        let (_, problems) = parsed("kind: Secret\nstringData: {password: hunter2, {\n");
        assert!(problems.len() == 1 && !problems[0].contains("hunter2"), "{problems:?}");
    }

    #[test]
    fn json_and_lists_are_manifests_too() {
        let (documents, _) = parsed(r#"{"kind": "List", "items": [{"kind": "A"}, {"kind": "B"}]}"#);
        assert_eq!(documents.len(), 2);
    }
}
