//! Names that files and statements can hold.

use crate::layout::FileNames;

/// Names as they were given to files, one for all databases.
#[derive(Default)]
pub struct Names {
    pub files: FileNames,
}

impl Names {
    /// A line's end cannot be quoted away in a name, and behind a `;` it ends a statement for `myloader` and our own restore.
    pub fn check(&self, unsupported: &mut Vec<String>, kind: &str, name: &str) {
        if name.contains(";\n") {
            unsupported.push(format!("{kind} {name:?} (a line of its name ends in a semicolon)"));
        }
    }
}
