//! What a dump cannot take along: an error unless the operator has said otherwise, and then loud.

use crate::{Error, Result};

/// How many names an error or a warning has.
const NAMED: usize = 20;

/// Names in a line: the first of them and how many more there are.
pub fn line(names: impl IntoIterator<Item = impl AsRef<str>>) -> String {
    let mut line = String::new();
    let mut more = 0;
    for (index, name) in names.into_iter().enumerate() {
        if index >= NAMED {
            more += 1;
            continue;
        }
        if index > 0 {
            line.push_str(", ");
        }
        line.push_str(name.as_ref());
    }
    if more > 0 {
        line.push_str(&format!(" and {more} more"));
    }
    line
}

/// Objects that would not be in the backup. Unless `allowed`, they are the error that is made of their names.
pub fn check(omitted: &[String], allowed: bool, error: impl FnOnce(&str) -> Error) -> Result<()> {
    if omitted.is_empty() {
        return Ok(());
    }
    let names = line(omitted);
    if !allowed {
        return Err(error(&names));
    }
    crate::warn!("NOT IN THIS BACKUP: {names}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_stays_one() {
        assert_eq!(line(["a", "b"]), "a, b");
        let many: Vec<String> = (0..23).map(|number| number.to_string()).collect();
        assert!(line(&many).ends_with(", 18, 19 and 3 more"));
    }

    #[test]
    fn nothing_is_left_out_in_silence() {
        let names = ["TABLE t".to_string()];
        let refuse = |allowed| check(&names, allowed, |names| Error::Unsupported(names.into()));
        assert_eq!(refuse(false), Err(Error::Unsupported("TABLE t".into())));
        crate::testing::logged();
        assert_eq!(refuse(true), Ok(()));
        assert_eq!(crate::testing::logged(), [(crate::host::Level::Warn, "NOT IN THIS BACKUP: TABLE t".to_string())]);
        assert_eq!(check(&[], false, |_| Error::Failed(String::new())), Ok(()));
    }
}
