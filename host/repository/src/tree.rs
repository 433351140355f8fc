//! Trees: directories as JSON blobs (restic's design document, "Trees and Data").
//!
//! What we write is byte for byte what Go's encoder would make of it, down to the order of fields: restic's `rewrite` and `repair`
//! refuse trees which they can not reproduce.

use std::collections::{BTreeMap, btree_map::Entry as Slot};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    error::{Error, Result},
    gostring,
    id::Id,
    identity::Identity,
    limits,
};

/// About what a node takes as JSON beside its name and its content, what an id in it takes, and what stands around all nodes.
const NODE_JSON: usize = 320;
const ID_JSON: usize = 67;
const TREE_JSON: usize = 16;

/// What a finished stream became.
#[derive(Debug, Clone)]
pub(crate) struct FileRecord {
    pub(crate) size: u64,
    pub(crate) content: Vec<Id>,
}

/// The files of a snapshot under way, in the order that trees want: by the bytes of their names.
#[derive(Debug, Default)]
pub(crate) struct Directory(BTreeMap<String, Child>);

#[derive(Debug)]
enum Child {
    /// `None` while it is being written.
    File(Option<FileRecord>),
    Directory(Directory),
}

impl Directory {
    /// Takes a path for a file; a second file of that name, or a file where a directory is, is refused.
    pub(crate) fn claim(&mut self, path: &str) -> Result<()> {
        let taken = |reason| Error::InvalidPath { path: path.into(), reason };
        let (parents, name) = components(path)?;
        let mut directory = self;
        for parent in parents {
            let child = directory.0.entry(parent.into()).or_insert_with(|| Child::Directory(Self::default()));
            let Child::Directory(child) = child else { return Err(taken("a file stands where it needs a directory")) };
            directory = child;
        }
        match directory.0.entry(name.into()) {
            Slot::Vacant(slot) => {
                slot.insert(Child::File(None));
                Ok(())
            }
            Slot::Occupied(_) => Err(taken("the snapshot has it already")),
        }
    }

    pub(crate) fn complete(&mut self, path: &str, record: FileRecord) -> Result<()> {
        let (parents, name) = components(path)?;
        let mut directory = Some(self);
        for parent in parents {
            directory = match directory.and_then(|directory| directory.0.get_mut(parent)) {
                Some(Child::Directory(child)) => Some(child),
                _ => None,
            };
        }
        match directory.and_then(|directory| directory.0.get_mut(name)) {
            Some(Child::File(slot @ None)) => {
                *slot = Some(record);
                Ok(())
            }
            _ => Err(Error::Internal(format!("{path} was completed without being open"))),
        }
    }

    /// The JSON of this tree, after all below it went to `save` with their ids. What a tree says is dropped when its JSON is made.
    pub(crate) fn save(self, owner: &Owner, save: &mut impl FnMut(Id, Vec<u8>)) -> Result<Id> {
        let (mut children, mut size) = (Vec::with_capacity(self.0.len()), TREE_JSON);
        for (name, child) in self.0 {
            children.push(match child {
                Child::File(Some(record)) => {
                    size += NODE_JSON + name.len() + record.content.len() * ID_JSON;
                    (name, Ok(record))
                }
                Child::File(None) => return Err(Error::Unfinished { path: name }),
                Child::Directory(directory) => {
                    size += NODE_JSON + name.len();
                    let id = directory.save(owner, save)?;
                    (name, Err(id))
                }
            });
        }
        let nodes = children.iter().map(|(name, child)| match child {
            Ok(record) => owner.file(name, record),
            Err(subtree) => owner.directory(name, *subtree),
        });
        // The list of a large file makes many megabytes, which a buffer that grows would have twice.
        let mut json = Vec::with_capacity(size);
        serde_json::to_writer(&mut json, &Tree { nodes: nodes.collect() }).map_err(crate::work::internal)?;
        drop(children);
        let json = String::from_utf8(json).map_err(crate::work::internal)?;
        let mut bytes = gostring::escape_html(json).into_bytes();
        bytes.push(b'\n');
        let id = Id::of(&bytes);
        save(id, bytes);
        Ok(id)
    }
}

/// The directories and the name of a path: relative, with or without a leading slash.
fn components(path: &str) -> Result<(Vec<&str>, &str)> {
    let mut parts: Vec<&str> = path.strip_prefix('/').unwrap_or(path).split('/').collect();
    if let Some(reason) = parts.iter().find_map(|part| invalid_name(part)) {
        return Err(Error::InvalidPath { path: path.into(), reason });
    }
    if parts.len() > limits::TREE_DEPTH {
        return Err(Error::InvalidPath { path: path.into(), reason: "it is too deep" });
    }
    let name = parts.pop().unwrap_or_default();
    Ok((parts, name))
}

/// Names that would do harm when someone writes them to a disk, or that restic would write differently.
pub(crate) fn invalid_name(name: &str) -> Option<&'static str> {
    match name {
        "" => Some("it has an empty component"),
        "." | ".." => Some("it has a relative component"),
        name if name.len() > limits::NAME_MAX => Some("it has a component of more than 255 bytes"),
        name if name.contains('/') => Some("it has a slash in a component"),
        name if name.chars().any(char::is_control) => Some("it has a control character"),
        _ => None,
    }
}

/// What all nodes of a snapshot have in common.
pub(crate) struct Owner {
    pub(crate) identity: Identity,
    pub(crate) time: Timestamp,
}

/// Fields in restic's order.
#[derive(Serialize)]
struct Node<'a> {
    name: String,
    #[serde(rename = "type")]
    kind: &'static str,
    /// Go's `os.FileMode`.
    mode: u32,
    mtime: Timestamp,
    atime: Timestamp,
    ctime: Timestamp,
    uid: u32,
    gid: u32,
    #[serde(skip_serializing_if = "str::is_empty")]
    user: &'a str,
    #[serde(skip_serializing_if = "is_zero")]
    size: u64,
    /// `null` for directories, `[]` for empty files.
    content: Option<&'a [Id]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    subtree: Option<Id>,
}

#[derive(Serialize)]
struct Tree<'a> {
    nodes: Vec<Node<'a>>,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_zero(size: &u64) -> bool {
    *size == 0
}

impl Owner {
    fn node(&self, name: &str, kind: &'static str, mode: u32) -> Node<'_> {
        let Self { identity, time } = self;
        Node {
            name: gostring::quote(name),
            kind,
            mode,
            mtime: *time,
            atime: *time,
            ctime: *time,
            uid: identity.uid,
            gid: identity.gid,
            user: &identity.username,
            size: 0,
            content: None,
            subtree: None,
        }
    }

    /// A dump is for its owner only, also after `restic restore`.
    fn file<'a>(&'a self, name: &str, record: &'a FileRecord) -> Node<'a> {
        Node { size: record.size, content: Some(&record.content), ..self.node(name, "file", 0o600) }
    }

    fn directory(&self, name: &str, subtree: Id) -> Node<'_> {
        const DIRECTORY: u32 = 1 << 31;
        Node { subtree: Some(subtree), ..self.node(name, "dir", DIRECTORY | 0o700) }
    }
}

/// As much of a tree as reading needs, whoever wrote it.
#[derive(Deserialize)]
pub(crate) struct StoredTree {
    #[serde(default)]
    pub(crate) nodes: Vec<StoredNode>,
}

#[derive(Deserialize)]
pub(crate) struct StoredNode {
    name: String,
    #[serde(rename = "type")]
    pub(crate) kind: String,
    #[serde(default)]
    pub(crate) size: u64,
    #[serde(default)]
    pub(crate) content: Option<Vec<Id>>,
    #[serde(default)]
    pub(crate) subtree: Option<Id>,
}

impl StoredNode {
    /// The name, if it is one that may be written to a disk.
    pub(crate) fn name(&self) -> Result<String, &'static str> {
        let name = gostring::unquote(&self.name).ok_or("a name in it is malformed")?;
        match invalid_name(&name) {
            // Control characters are legal in file names, and other programs may have backed one up.
            Some("it has a control character") | None => Ok(name),
            Some(_) => Err("a name in it is not one of a file"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    fn owner() -> Owner {
        let identity = Identity { hostname: "host".into(), username: "backup".into(), pid: 1, uid: 1000, gid: 100 };
        Owner { identity, time: "2026-01-02T03:04:05.5Z".parse().unwrap() }
    }

    fn flatten(trees: &HashMap<Id, Vec<u8>>, id: Id, prefix: &str, files: &mut Vec<(String, u64, Vec<Id>)>) {
        let tree: StoredTree = serde_json::from_slice(&trees[&id]).unwrap();
        let names: Vec<String> = tree.nodes.iter().map(|node| node.name().unwrap()).collect();
        assert!(names.is_sorted(), "{names:?}");
        for (node, name) in tree.nodes.into_iter().zip(names) {
            match node.kind.as_str() {
                "dir" => flatten(trees, node.subtree.unwrap(), &format!("{prefix}{name}/"), files),
                _ => files.push((format!("{prefix}{name}"), node.size, node.content.unwrap())),
            }
        }
    }

    proptest! {
        #[test]
        fn trees_give_back_their_files(
            paths in prop::collection::btree_map("[a-c\"\\\\é<&>]{1,3}(/[a-c]{1,2}){0,3}", any::<u32>(), 0..20)
        ) {
            let (mut root, mut expected) = (Directory::default(), Vec::new());
            for (path, size) in paths {
                // A file where another path has a directory.
                if root.claim(&path).is_err() { continue }
                let content = vec![Id::of(path.as_bytes()); (size % 4) as usize];
                root.complete(&path, FileRecord { size: size.into(), content: content.clone() }).unwrap();
                expected.push((path, u64::from(size), content));
            }
            let (mut trees, mut files) = (HashMap::new(), Vec::new());
            let id = root.save(&owner(), &mut |id, bytes| { trees.insert(id, bytes); }).unwrap();
            flatten(&trees, id, "", &mut files);
            files.sort();
            expected.sort();
            prop_assert_eq!(files, expected);
        }
    }

    #[test]
    fn json_is_what_restic_would_write() {
        let mut root = Directory::default();
        root.claim("d/a&\"b").unwrap();
        root.complete("d/a&\"b", FileRecord { size: 0, content: vec![] }).unwrap();
        let mut trees = Vec::new();
        let _ = root.save(&owner(), &mut |_, bytes| trees.push(String::from_utf8(bytes).unwrap())).unwrap();
        let time = "2026-01-02T03:04:05.5Z";
        assert_eq!(
            trees[0],
            format!(
                "{{\"nodes\":[{{\"name\":\"a\\u0026\\\\\\\"b\",\"type\":\"file\",\"mode\":384,\"mtime\":\"{time}\",\
                 \"atime\":\"{time}\",\"ctime\":\"{time}\",\"uid\":1000,\"gid\":100,\"user\":\"backup\",\"content\":[]}}]}}\n"
            )
        );
        assert!(trees[1].contains("\"type\":\"dir\",\"mode\":2147484096,"), "{}", trees[1]);
        assert!(trees[1].contains("\"content\":null,\"subtree\":\""), "{}", trees[1]);
    }

    #[test]
    fn paths_that_could_do_harm_are_refused() {
        for path in ["", "/", "a//b", "../a", "a/./b", "a\0b", "a/", "a\nb", &"x".repeat(256), &"a/".repeat(200)] {
            assert!(matches!(Directory::default().claim(path), Err(Error::InvalidPath { .. })), "{path:?}");
        }
        let mut root = Directory::default();
        root.claim("a").unwrap();
        root.claim("d/b").unwrap();
        for path in ["a", "/a", "a/b", "d"] {
            assert!(matches!(root.claim(path), Err(Error::InvalidPath { .. })), "{path:?}");
        }
    }

    #[test]
    fn a_hostile_name_is_not_handed_out() {
        for name in ["..", "a/b", "", "."] {
            let json = format!("{{\"name\":{},\"type\":\"file\"}}", serde_json::to_string(name).unwrap());
            assert!(serde_json::from_str::<StoredNode>(&json).unwrap().name().is_err(), "{name:?}");
        }
    }
}
