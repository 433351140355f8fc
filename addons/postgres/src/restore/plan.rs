//! What a restore runs, in which order: pg_restore's passes and what it adds to the entries' own statements.
//!
//! Source of the rules: PostgreSQL's pg_backup_archiver.c, `_tocEntryRestorePass`, `_printTocEntry`,
//! `_getObjectDescription`.

use crate::entry::{Entry, Section};
use crate::parameters::Restore;
use crate::sql::identifier;
use std::collections::HashMap;

/// Privileges come after all that is made and filled; what runs user code or looks at everything comes after those.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Pass {
    Main,
    Privileges,
    Last,
}

pub fn pass(entry: &Entry) -> Pass {
    match entry.kind.as_str() {
        "ACL" | "ACL LANGUAGE" | "DEFAULT ACL" => Pass::Privileges,
        "EVENT TRIGGER" | "MATERIALIZED VIEW DATA" => Pass::Last,
        // What hangs on an event trigger can only come after it.
        "COMMENT" | "SECURITY LABEL" if entry.tag.starts_with("EVENT TRIGGER ") => Pass::Last,
        _ => Pass::Main,
    }
}

/// Kinds of entries that no restore here can do yet.
pub fn is_unsupported(entry: &Entry) -> bool {
    matches!(entry.kind.as_str(), "BLOB" | "BLOBS" | "BLOB COMMENTS" | "BLOB METADATA" | "LARGE OBJECT")
}

/// Settings of the archive as such, needed by every session.
pub fn is_setting(entry: &Entry) -> bool {
    matches!(entry.kind.as_str(), "ENCODING" | "STDSTRINGS" | "SEARCHPATH")
}

/// The database itself and what hangs on it: restored by `create` only.
pub fn is_database(entry: &Entry) -> bool {
    match entry.kind.as_str() {
        "DATABASE" | "DATABASE PROPERTIES" => true,
        "ACL" | "COMMENT" | "SECURITY LABEL" => entry.tag.starts_with("DATABASE "),
        _ => false,
    }
}

/// Whether the restore wants it at all.
pub fn is_wanted(entry: &Entry, parameters: &Restore) -> bool {
    !(parameters.no_privileges && pass(entry) == Pass::Privileges || is_database(entry) && !parameters.create)
}

/// Gives entries that belong to no section (comments, labels, privileges) the one of what they are about: it has to be
/// there. Without such an entry, the one that the archive has reached, as pg_restore does.
pub fn place(entries: &mut [Entry]) {
    let sections: HashMap<i32, Section> = entries.iter().map(|entry| (entry.id, entry.section)).collect();
    let mut reached = Section::PreData;
    for entry in entries {
        reached = reached.max(entry.section);
        if entry.section == Section::None {
            let about = entry.dependencies.iter().filter_map(|needed| sections.get(needed)).max();
            entry.section = about.copied().filter(|section| *section != Section::None).unwrap_or(reached);
        }
    }
}

/// The statements that make an entry's object and give it to its owner.
pub fn statements(entry: &Entry, parameters: &Restore) -> String {
    if entry.create.is_empty() {
        return String::new();
    }
    if parameters.no_owner {
        // CREATE SCHEMA may name an owner itself. That of `public` is only a comment, as the schema is there.
        if entry.kind == "SCHEMA" && !entry.create.starts_with("--") {
            return format!("CREATE SCHEMA {};\n", identifier(&entry.tag));
        }
        return entry.create.clone();
    }
    match owned(entry) {
        Some(object) => format!("{}\nALTER {object} OWNER TO {};\n", entry.create, identifier(&entry.owner)),
        None => entry.create.clone(),
    }
}

/// How `ALTER … OWNER` names the entry's object; nothing for what has no owner of its own.
fn owned(entry: &Entry) -> Option<String> {
    // What cannot be dropped by itself cannot be owned by itself.
    if entry.owner.is_empty() || entry.drop.is_empty() {
        return None;
    }
    match entry.kind.as_str() {
        "COLLATION"
        | "CONVERSION"
        | "DATABASE"
        | "DOMAIN"
        | "EVENT TRIGGER"
        | "FOREIGN DATA WRAPPER"
        | "FOREIGN TABLE"
        | "MATERIALIZED VIEW"
        | "PROCEDURAL LANGUAGE"
        | "PUBLICATION"
        | "SCHEMA"
        | "SEQUENCE"
        | "SERVER"
        | "STATISTICS"
        | "SUBSCRIPTION"
        | "TABLE"
        | "TEXT SEARCH CONFIGURATION"
        | "TEXT SEARCH DICTIONARY"
        | "TYPE"
        | "VIEW" => {
            let name = identifier(&entry.tag);
            let schema =
                if entry.namespace.is_empty() { String::new() } else { format!("{}.", identifier(&entry.namespace)) };
            Some(format!("{} {schema}{name}", entry.kind))
        }
        // Their names hold argument types and the like: the drop statement has them as needed.
        "AGGREGATE" | "FUNCTION" | "OPERATOR" | "OPERATOR CLASS" | "OPERATOR FAMILY" | "PROCEDURE" => {
            let object = entry.drop.strip_prefix("DROP ")?;
            Some(object.trim_end_matches(['\n', ';', ' ']).to_string())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(kind: &str, tag: &str, drop: &str) -> Entry {
        Entry {
            kind: kind.into(),
            tag: tag.into(),
            namespace: "s".into(),
            owner: "o\"x".into(),
            create: "CREATE;\n".into(),
            drop: drop.into(),
            ..Entry::default()
        }
    }

    #[test]
    fn owners_are_set_as_pg_restore_sets_them() {
        let text = |entry: &Entry| statements(entry, &Restore::default());
        let table = entry("TABLE", "t", "DROP TABLE s.t;\n");
        assert_eq!(text(&table), "CREATE;\n\nALTER TABLE \"s\".\"t\" OWNER TO \"o\"\"x\";\n");
        let function = entry("FUNCTION", "f(integer)", "DROP FUNCTION s.f(a integer);\n");
        assert_eq!(text(&function), "CREATE;\n\nALTER FUNCTION s.f(a integer) OWNER TO \"o\"\"x\";\n");
        assert_eq!(text(&entry("INDEX", "i", "DROP INDEX s.i;\n")), "CREATE;\n");
        assert_eq!(text(&entry("TABLE ATTACH", "t", "")), "CREATE;\n");
        let no_owner = Restore { no_owner: true, ..Restore::default() };
        assert_eq!(statements(&table, &no_owner), "CREATE;\n");
        assert_eq!(statements(&entry("SCHEMA", "s", "DROP SCHEMA s;\n"), &no_owner), "CREATE SCHEMA \"s\";\n");
    }

    #[test]
    fn passes_put_privileges_and_refreshes_at_the_end() {
        assert_eq!(pass(&entry("TABLE", "t", "")), Pass::Main);
        assert_eq!(pass(&entry("ACL", "TABLE t", "")), Pass::Privileges);
        assert_eq!(pass(&entry("MATERIALIZED VIEW DATA", "m", "")), Pass::Last);
        assert_eq!(pass(&entry("COMMENT", "EVENT TRIGGER e", "")), Pass::Last);
        assert_eq!(pass(&entry("COMMENT", "TABLE t", "")), Pass::Main);
    }

    #[test]
    fn a_comment_runs_where_its_object_does() {
        let at = |id, section, dependencies: &[i32]| Entry {
            id,
            section,
            dependencies: dependencies.to_vec(),
            ..Entry::default()
        };
        let mut entries = [
            at(1, Section::PreData, &[]),
            at(2, Section::None, &[1]),
            at(3, Section::None, &[5]),
            at(4, Section::Data, &[1]),
            at(5, Section::PostData, &[1]),
            at(6, Section::None, &[]),
            at(7, Section::None, &[1]),
        ];
        place(&mut entries);
        use Section::{Data, PostData, PreData};
        let placed = entries.map(|entry| entry.section);
        assert_eq!(placed, [PreData, PreData, PostData, Data, PostData, PostData, PreData]);
    }

    #[test]
    fn the_database_itself_is_for_create_only() {
        let create = Restore { create: true, ..Restore::default() };
        for database in [entry("DATABASE", "d", ""), entry("COMMENT", "DATABASE d", ""), entry("ACL", "DATABASE d", "")]
        {
            assert!(!is_wanted(&database, &Restore::default()));
            assert!(is_wanted(&database, &create));
        }
        assert!(is_wanted(&entry("COMMENT", "TABLE t", ""), &Restore::default()));
    }
}
