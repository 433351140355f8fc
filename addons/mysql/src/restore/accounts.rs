//! Users, roles and what they are granted. Their statements hold the hashes of passwords and are never shown.

use super::plan::Plan;
use super::session::Session;
use super::words::{Kind, Quotes, Word, words};
use crate::client::{Done, ServerError};
use crate::layout::{Account, EVERYBODY, Sql};
use crate::sql::literal;
use coffer_addon::{Context as _, Result};

/// Makes them; gives those whose grants are to be made too. An account that is there keeps its password and its privileges
/// unless `overwrite` says otherwise, and the one that restores keeps them in any case.
pub async fn make<'a>(session: &mut Session, plan: &Plan<'a>) -> Result<Vec<&'a Account>> {
    let row = session.client.query_one("SELECT CURRENT_USER() AS own").await?;
    let own = row.get("own")?.to_string();
    let mut made = Vec::new();
    for account in &plan.index.accounts {
        let kind = if account.role { "role" } else { "user" };
        if is_there(session, account).await? {
            if !plan.parameters.overwrite || plain(&account.name) == own {
                coffer_addon::warn!("{kind} {} is there and stays as it is", account.name);
                continue;
            }
            // Everybody cannot be dropped, and is granted what the dump has beside.
            if account.name != EVERYBODY {
                let dropped = session.client.execute(&format!("DROP {} {}", kind.to_uppercase(), account.name)).await;
                dropped.context(|| format!("unable to drop {kind} {}", account.name))?;
            }
        }
        let outcome = session.client.execute_private(account.create.bytes()).await;
        outcome.context(|| format!("unable to make {kind} {}", account.name))?;
        made.push(account);
    }
    Ok(made)
}

/// The server's numbers for a database, a table and a routine that are not there.
const NOT_THERE: [u16; 3] = [1049, 1146, 1305];

/// What accounts are granted, as far as it was not granted yet.
pub struct Grants<'a>(Vec<Grant<'a>>);

struct Grant<'a> {
    account: &'a Account,
    sql: Vec<u8>,
    /// What it is about, if the dump has not got that: accounts are the whole server's, and databases need not be all.
    elsewhere: Option<String>,
}

impl<'a> Grants<'a> {
    pub fn new(plan: &Plan<'a>, accounts: &[&'a Account]) -> Self {
        let grant = |account: &'a Account, sql: &Sql| match std::str::from_utf8(sql.bytes()) {
            Ok(text) => Grant {
                account,
                sql: plan.renames.apply_to_grant(&without_identity(text)).into_bytes(),
                elsewhere: about(text)
                    .filter(|(database, object)| !plan.has(database, object))
                    .map(|(d, o)| format!("{d}.{o}")),
            },
            Err(_) => Grant { account, sql: sql.bytes().to_vec(), elsewhere: None },
        };
        let all = accounts.iter().flat_map(|account| account.grants.iter().map(|sql| grant(account, sql)));
        Grants(all.collect())
    }

    /// Grants what can be by now: what is about an object has to wait until it is there, and an object may have to wait
    /// until its definer was granted what it takes.
    pub async fn try_all(&mut self, session: &mut Session) -> Result<()> {
        for one in std::mem::take(&mut self.0) {
            if grant(session, &one.sql).await?.is_err() {
                self.0.push(one);
            }
        }
        Ok(())
    }

    /// Grants the rest.
    pub async fn finish(self, session: &mut Session) -> Result<()> {
        for Grant { account, sql, elsewhere } in self.0 {
            let outcome = grant(session, &sql).await?;
            if let (Err(error), Some(object)) = (&outcome, &elsewhere)
                && NOT_THERE.contains(&error.number)
            {
                coffer_addon::warn!(
                    "{} is not granted what it had on {object}, which is neither in the dump nor on the server",
                    account.name
                );
                continue;
            }
            let outcome = outcome.map_err(|error| error.without_values());
            outcome.context(|| format!("unable to give {} its privileges", account.name))?;
        }
        Ok(())
    }
}

/// MariaDB 10 understands the word PACKAGE in Oracle's mode only.
async fn grant(session: &mut Session, sql: &[u8]) -> Result<Result<Done, ServerError>> {
    let is_about_packages = words(&String::from_utf8_lossy(sql), Quotes::default()).any(|word| word.is("PACKAGE"));
    if !is_about_packages {
        return session.client.try_execute_private(sql).await;
    }
    session.client.execute("SET SESSION sql_mode = 'ORACLE'").await?;
    let outcome = session.client.try_execute_private(sql).await?;
    session.reset().await?;
    Ok(outcome)
}

/// A grant without how its account logs in, which CREATE USER has said: MariaDB words both in one statement, and takes the
/// password for a new one, which has not expired.
fn without_identity(sql: &str) -> String {
    let all: Vec<Word> = words(sql, Quotes::default()).collect();
    let Some(identified) = all.iter().position(|word| word.is("IDENTIFIED")) else { return sql.to_string() };
    let (head, tail) = all.split_at(identified);
    let mut tail = tail.iter().filter(|word| word.kind != Kind::Blank).skip_while(|word| !word.is("GRANT"));
    let may_grant = tail.next().is_some() && tail.next().is_some_and(|word| word.is("OPTION"));
    let head: String = head.iter().map(|word| word.text).collect();
    format!("{}{}", head.trim_end(), if may_grant { " WITH GRANT OPTION" } else { "" })
}

/// The database and the object that a grant is about, as far as it is about one: `` `a`.`b` `` behind ON.
fn about(sql: &str) -> Option<(String, String)> {
    let all: Vec<Word> = words(sql, Quotes::default()).filter(|word| word.kind != Kind::Blank).collect();
    let mut rest = all.iter().skip_while(|word| !word.is("ON")).skip(1).take_while(|word| !word.is("TO"));
    let mut database = None;
    while let Some(word) = rest.next() {
        if word.is(".") {
            return Some((database?, rest.next()?.name()?.into_owned()));
        }
        database = word.name().map(|name| name.into_owned());
    }
    None
}

async fn is_there(session: &mut Session, account: &Account) -> Result<bool> {
    let plain = plain(&account.name);
    let (user, host) = plain.rsplit_once('@').unwrap_or((&plain, ""));
    let sql = format!("SELECT 1 FROM mysql.user WHERE user = {} AND host = {}", literal(user), literal(host));
    let rows = session.client.query(&sql).await.context(|| "unable to see which users are there")?;
    Ok(!rows.is_empty())
}

/// `user@host` of a quoted account, as definers are written. A role of MariaDB has no host.
pub fn plain(account: &str) -> String {
    let mut parts = words(account, Quotes::default()).map(|word| match word.kind {
        Kind::Text => {
            let quote = word.text.get(..1).unwrap_or_default();
            let inside = word.text.strip_prefix(quote).and_then(|text| text.strip_suffix(quote)).unwrap_or(word.text);
            inside.replace(&quote.repeat(2), quote).replace("\\'", "'").replace("\\\\", "\\")
        }
        _ => word.name().map_or(word.text.to_string(), |name| name.into_owned()),
    });
    parts.by_ref().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grant_says_nothing_of_passwords() {
        for (sql, wanted) in [
            ("GRANT USAGE ON *.* TO `a`@`%` IDENTIFIED BY PASSWORD '*B6' REQUIRE SSL", "GRANT USAGE ON *.* TO `a`@`%`"),
            (
                "GRANT RELOAD ON *.* TO `a`@`%` IDENTIFIED VIA ed25519 USING 'x' WITH GRANT OPTION MAX_USER_CONNECTIONS 3",
                "GRANT RELOAD ON *.* TO `a`@`%` WITH GRANT OPTION",
            ),
            ("GRANT SELECT ON `identified`.* TO `a`@`%`", "GRANT SELECT ON `identified`.* TO `a`@`%`"),
        ] {
            assert_eq!(without_identity(sql), wanted);
        }
    }

    #[test]
    fn a_grant_is_about_an_object_or_about_all() {
        let about = |sql| about(sql).map(|(database, object)| format!("{database}.{object}"));
        for (sql, wanted) in [
            ("GRANT SELECT (`a`, `on`) ON `d`.`t` TO `u`@`%`", Some("d.t")),
            ("GRANT EXECUTE ON PACKAGE BODY `d`.`p` TO `u`", Some("d.p")),
            ("GRANT ALL PRIVILEGES ON `d`.* TO `u`@`%`", None),
            ("GRANT PROXY ON ''@'%' TO 'a.b'@'%' WITH GRANT OPTION", None),
            ("GRANT `reader` TO `u`@`%`", None),
        ] {
            assert_eq!(about(sql).as_deref(), wanted, "{sql}");
        }
    }

    #[test]
    fn accounts_lose_their_quotes() {
        for (quoted, wanted) in [
            ("`a b`@`%`", "a b@%"),
            ("'it''s'@'local.host'", "it's@local.host"),
            ("`reader`", "reader"),
            ("''@'%'", "@%"),
        ] {
            assert_eq!(plain(quoted), wanted);
        }
    }
}
