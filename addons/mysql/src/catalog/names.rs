//! Names that files and statements can hold.

use crate::layout::FileNames;

/// Names as they were given to files, one for all databases.
#[derive(Default)]
pub struct Names {
    pub files: FileNames,
}

impl Names {
    /// A line's end in a name cannot be quoted away, and `myloader` and our own restore end statements at line ends.
    pub fn check(&self, unsupported: &mut Vec<String>, kind: &str, name: &str) {
        if name.contains('\n') {
            unsupported.push(format!("{kind} {name:?} (a line's end in its name)"));
        }
    }
}
