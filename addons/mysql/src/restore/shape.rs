//! What the statements of an index may be: each makes the object that it is listed for, and does nothing else.
//!
//! A dump is as trustworthy as whoever can write to its repository. Views, routines and events hold any text in any case, and
//! run with their definers' privileges when they are used; but nothing but CREATE runs in the restore itself, and only for
//! what the plan has looked at: another database, another table, an account that is not in the list stay untouched.

use super::accounts::plain;
use super::rewrite::widen;
use super::words::{Kind, Quotes, Word, words};
use crate::layout::{Account, Database, EVERYBODY, INDEX, Index, Program, ProgramKind, Sequence, Sql};
use crate::sql::identifier;
use coffer_addon::{Error, Result};
use std::borrow::Cow;
use std::collections::BTreeSet;

/// Everything that an index lists, once and as what it is listed for.
pub fn check(index: &Index) -> Result<()> {
    check_twice(index)?;
    let databases: BTreeSet<&str> = index.databases.iter().map(|database| database.name.as_str()).collect();
    for database in &index.databases {
        for (kinds, programs) in [
            (&ROUTINES[..], &database.routines),
            (&[ProgramKind::Trigger][..], &database.triggers),
            (&[ProgramKind::Event][..], &database.events),
        ] {
            let is_own = |one: &&Program| one.database == database.name && kinds.contains(&one.kind);
            if let Some(program) = programs.iter().find(|one| !is_own(one)) {
                return Err(misplaced(program));
            }
        }
    }
    let is_view = |one: &&Program| one.kind == ProgramKind::View && databases.contains(one.database.as_str());
    if let Some(program) = index.views.iter().find(|one| !is_view(one)) {
        return Err(misplaced(program));
    }
    if index.schema {
        index.databases.iter().try_for_each(check_database)?;
        index.views.iter().try_for_each(check_program)?;
    }
    index.accounts.iter().try_for_each(check_account)
}

const ROUTINES: [ProgramKind; 4] =
    [ProgramKind::Function, ProgramKind::Procedure, ProgramKind::Package, ProgramKind::PackageBody];

fn misplaced(program: &Program) -> Error {
    let (kind, name) = (program.kind.keyword().to_lowercase(), &program.name);
    Error::Corrupt(format!("{INDEX} lists {kind} {}.{name} where it does not belong", program.database))
}

/// What would be made or filled twice.
fn check_twice(index: &Index) -> Result<()> {
    let mut seen = BTreeSet::new();
    // A database and its table are two names: joined by a point, `a.b`.`c` and `a`.`b.c` are one.
    let mut once = |kind: &'static str, names: &[&str]| {
        let error = || Error::Corrupt(format!("{INDEX} lists {kind} {} twice", names.join(".")));
        let is_new = seen.insert((kind, names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()));
        if is_new { Ok(()) } else { Err(error()) }
    };
    for database in &index.databases {
        let of = &database.name;
        once("database", &[of])?;
        once("file", &[&database.file])?;
        for table in &database.tables {
            once("table", &[of, &table.name])?;
            once("file", &[&table.file])?;
        }
        for sequence in &database.sequences {
            once("table", &[of, &sequence.name])?;
        }
        for program in database.routines.iter().chain(&database.triggers).chain(&database.events) {
            once(program.kind.keyword(), &[of, &program.name])?;
        }
    }
    for view in &index.views {
        once("table", &[&view.database, &view.name])?;
    }
    index.accounts.iter().try_for_each(|account| once("account", &[&account.name]))
}

fn check_database(database: &Database) -> Result<()> {
    let text = database.create.text();
    let mut head = Head::new(&text, Quotes::default());
    let is_made = head.all(["CREATE", "DATABASE"]) && head.quoted(&database.name);
    known(is_made, || format!("database {}", database.name))?;
    for table in &database.tables {
        let of = || format!("table {}.{}", database.name, table.name);
        known(only_makes("TABLE", &table.name, &table.create), of)?;
    }
    for sequence in &database.sequences {
        let of = || format!("sequence {}.{}", database.name, sequence.name);
        known(only_makes("SEQUENCE", &sequence.name, &sequence.create) && is_set(sequence), of)?;
    }
    let programs = database.routines.iter().chain(&database.triggers).chain(&database.events);
    programs.into_iter().try_for_each(check_program)
}

fn known(is_known: bool, object: impl Fn() -> String) -> Result<()> {
    if is_known {
        return Ok(());
    }
    let object = object();
    Err(Error::Corrupt(format!(
        "the statement that {INDEX} has for {object} is none that makes it and does nothing else"
    )))
}

/// CREATE of a table or a sequence as servers word it: without rows of other tables, and without comments, by which a text
/// may be one thing here and another thing to a server of another version.
fn only_makes(kind: &str, name: &str, sql: &Sql) -> bool {
    let text = sql.text();
    let mut head = Head::new(&text, Quotes::default());
    let is_named = head.all(["CREATE", kind]) && head.quoted(name);
    let is_own = |word: Word| if kind == "TABLE" { word.is("(") } else { !word.is(".") };
    if !is_named || !head.next().is_some_and(is_own) {
        return false;
    }
    let mut is_framed = false;
    head.words.all(|word| match word.kind {
        Kind::Blank if word.text == "*/" => std::mem::take(&mut is_framed),
        Kind::Blank if is_frame(&word) => !std::mem::replace(&mut is_framed, true),
        Kind::Blank => word.text.trim().is_empty(),
        // Where the server passes over the frame, it ends here.
        Kind::Text | Kind::Quoted => !(is_framed && word.text.contains("*/")),
        Kind::Bare => !["SELECT", "TABLE"].iter().any(|keyword| word.is(keyword)),
        Kind::Sign => word.text != ";",
    }) && !is_framed
}

/// `DO SETVAL(…)` of a sequence.
fn is_set(sequence: &Sequence) -> bool {
    let text = sequence.set.text();
    let number = text.strip_prefix(&format!("DO SETVAL({}, ", identifier(&sequence.name)));
    number.and_then(|rest| rest.strip_suffix(", 0)")).is_some_and(|number| number.parse::<i128>().is_ok())
}

/// `CREATE … <kind> <name>`, of a trigger with its table.
fn check_program(program: &Program) -> Result<()> {
    let charset = program.character_set_client.as_str();
    let is_utf8 = charset.starts_with("utf8") || charset == "binary";
    let text = if is_utf8 { program.create.text() } else { Cow::Owned(widen(program.create.bytes())) };
    let quotes = Quotes::of(program.sql_mode.as_deref().unwrap_or_default());
    let mut head = Head::new(&text, quotes);
    head.is_foreign = !is_utf8;
    known(makes(&mut head, program).is_some(), || {
        format!("{} {}.{}", program.kind.keyword().to_lowercase(), program.database, program.name)
    })
}

fn makes(head: &mut Head<'_>, program: &Program) -> Option<()> {
    let mut kind = program.kind.keyword().split(' ');
    let first = kind.next()?;
    head.keyword("CREATE")?;
    loop {
        let word = head.next()?;
        if word.is(first) {
            break;
        }
        match () {
            () if word.is("ALGORITHM") => head.keyword("=").and_then(|()| head.next()).map(drop)?,
            () if word.is("SQL") => head.keyword("SECURITY").and_then(|()| head.next()).map(drop)?,
            () if word.is("AGGREGATE") => {}
            () if word.is("DEFINER") => head.keyword("=").and_then(|()| head.account()).map(drop)?,
            () => return None,
        }
    }
    kind.try_for_each(|word| head.keyword(word))?;
    head.object(&program.database, &program.name)?;
    if program.kind == ProgramKind::Trigger {
        while !head.next()?.is("ON") {}
        head.object(&program.database, program.table.as_deref()?)?;
    }
    Some(())
}

/// An account, made by CREATE and given privileges by statements that do nothing else.
fn check_account(account: &Account) -> Result<()> {
    let text = |sql: &Sql| sql.text().into_owned();
    let object = || format!("account {}", account.name);
    let mut named = Head::new(&account.name, Quotes::default());
    let is_name = named.account().is_some() && named.words.next().is_none();
    let create = text(&account.create);
    let mut head = Head::new(&create, Quotes::default());
    let is_made = if account.name == EVERYBODY {
        create == format!("GRANT USAGE ON *.* TO {EVERYBODY}")
    } else {
        head.all(["CREATE", if account.role { "ROLE" } else { "USER" }])
            && head.account().is_some_and(|made| plain(&made) == plain(&account.name))
    };
    known(is_name && is_made, object)?;
    for grant in account.grants.iter().map(text) {
        let head = || Head::new(&grant, Quotes::default());
        let is_grant = head().all(["GRANT"]) || head().all(["REVOKE"]) || head().all(["SET", "DEFAULT", "ROLE"]);
        known(is_grant, object)?;
    }
    Ok(())
}

/// The beginning of a statement, word by word. A comment whose inside is run is not understood: only some servers run it.
struct Head<'a> {
    words: Box<dyn Iterator<Item = Word<'a>> + 'a>,
    /// The text is in a character set of which only ASCII is understood.
    is_foreign: bool,
}

impl<'a> Head<'a> {
    fn new(sql: &'a str, quotes: Quotes) -> Self {
        Head { words: Box::new(words(sql, quotes)), is_foreign: false }
    }

    fn next(&mut self) -> Option<Word<'a>> {
        let word = self.words.find(|word| word.kind != Kind::Blank || is_frame(word) || word.text == "*/")?;
        (word.kind != Kind::Blank).then_some(word)
    }

    fn keyword(&mut self, keyword: &str) -> Option<()> {
        self.next().filter(|word| word.is(keyword)).map(drop)
    }

    fn all<const N: usize>(&mut self, keywords: [&str; N]) -> bool {
        keywords.into_iter().all(|keyword| self.keyword(keyword).is_some())
    }

    fn quoted(&mut self, name: &str) -> bool {
        self.next().is_some_and(|word| word.kind == Kind::Quoted && word.name().is_some_and(|is| is == name))
    }

    /// A name as a user wrote it: in any case, as far as servers fold names, and with its database or without.
    fn object(&mut self, database: &str, name: &str) -> Option<()> {
        let mut first = self.next()?;
        if first.is("IF") {
            self.keyword("NOT")?;
            self.keyword("EXISTS")?;
            first = self.next()?;
        }
        let is_foreign = self.is_foreign;
        let is = |word: &Word, wanted: &str| {
            let found = word.name()?;
            let is_beyond = is_foreign && !wanted.is_ascii() && !found.is_ascii();
            (is_beyond || found.to_lowercase() == wanted.to_lowercase()).then_some(())
        };
        if !self.next().is_some_and(|word| word.is(".")) {
            return is(&first, name);
        }
        is(&first, database)?;
        self.next().and_then(|word| is(&word, name))
    }

    /// `user@host`, `role`, `CURRENT_USER`, as it stands there.
    fn account(&mut self) -> Option<String> {
        let is_part = |word: &Word| matches!(word.kind, Kind::Quoted | Kind::Text | Kind::Bare);
        let user = self.next().filter(is_part)?;
        let mut rest = std::mem::replace(&mut self.words, Box::new(std::iter::empty())).peekable();
        let host = match rest.next_if(|word| word.is("@")) {
            Some(_) => Some(rest.next().filter(is_part)?),
            None => None,
        };
        self.words = Box::new(rest);
        Some(match host {
            Some(host) => format!("{}@{}", user.text, host.text),
            None => user.text.to_string(),
        })
    }
}

/// The beginning of a comment whose inside is run.
fn is_frame(word: &Word) -> bool {
    word.kind == Kind::Blank && (word.text.starts_with("/*!") || word.text.starts_with("/*M!"))
}
