//! Names that files and statements can hold.

use crate::layout::FileNames;

/// Names as they were given to files, one for all databases.
#[derive(Default)]
pub struct Names {
    pub files: FileNames,
}

impl Names {
    /// A line's end cannot be quoted away in a name, and behind a `;` it ends a statement for `myloader` and our own restore.
    /// What has such a name is left out, and said to be.
    pub fn check(&self, unsupported: &mut Vec<String>, kind: &str, name: &str) -> bool {
        let is_good = !name.contains(";\n");
        if !is_good {
            unsupported.push(format!("{kind} {name:?} (a line of its name ends in a semicolon)"));
        }
        is_good
    }
}
