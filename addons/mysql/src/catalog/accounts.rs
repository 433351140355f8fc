//! Accounts and roles, with what they are granted.

use super::lossy;
use crate::client::{Client, Flavor};
use crate::layout::{Account, EVERYBODY, Sql};
use crate::sql::literal;
use coffer_addon::{Context as _, Error, Result};

/// What a server makes for itself.
const OWN: [&str; 4] = ["mariadb.sys", "mysql.infoschema", "mysql.session", "mysql.sys"];

/// All but the server's own; roles first, as others are granted them.
pub async fn read(client: &mut Client) -> Result<Vec<Account>> {
    let mariadb = client.version().flavor == Flavor::MariaDb;
    let sql = if mariadb {
        "SELECT User AS user, Host AS host, is_role AS role, x509_subject, x509_issuer, ssl_cipher FROM mysql.user \
         ORDER BY is_role DESC, User, Host"
    } else {
        // A role is an account that nobody can log in with; nothing else tells one.
        "SELECT User AS user, Host AS host, 'N' AS role, x509_subject, x509_issuer, ssl_cipher FROM mysql.user \
         ORDER BY User, Host"
    };
    let rows = client.query(sql).await.map_err(|error| match error {
        Error::Denied(text) => Error::Denied(format!("{text}; users needs SELECT on the database mysql")),
        other => other,
    })?;
    let mut accounts = Vec::new();
    for row in &rows {
        let (user, host) = (row.get("user")?, row.opt("host")?.unwrap_or_default());
        if OWN.contains(&user) || (mariadb && user == EVERYBODY) {
            continue;
        }
        let role = row.get("role")? == "Y";
        let name = if role { literal(user) } else { format!("{}@{}", literal(user), literal(host)) };
        let mut account = account(client, name, role).await?;
        for (word, column) in [("SUBJECT", "x509_subject"), ("ISSUER", "x509_issuer"), ("CIPHER", "ssl_cipher")] {
            // Servers do not quote what is in these (MySQL to 9.7, MariaDB to 11.8 at least).
            let value = lossy(row, column)?;
            if value.contains(['\'', '\\']) {
                let (wrong, right) = (format!("{word} '{value}'"), format!("{word} {}", literal(&value)));
                for sql in std::iter::once(&mut account.create).chain(&mut account.grants) {
                    *sql = sql.text().replace(&wrong, &right).into();
                }
            }
        }
        accounts.push(account);
    }
    if client.version().is_mariadb(101_100) {
        accounts.extend(everybody(client).await?);
    }
    Ok(accounts)
}

/// What everybody is granted, which MariaDB keeps like a role's. It is there once it was granted something.
async fn everybody(client: &mut Client) -> Result<Option<Account>> {
    let sql = format!("SHOW GRANTS FOR {EVERYBODY}");
    let rows = client.query(&sql).await.context(|| "unable to read what PUBLIC is granted")?;
    let mut grants: Vec<Sql> = Vec::new();
    for row in &rows {
        let grant = row.at(0).unwrap_or_default();
        if !grant.starts_with("GRANT USAGE ON *.* ") {
            grants.push(grant.into());
        }
    }
    let create = format!("GRANT USAGE ON *.* TO {EVERYBODY}").into();
    Ok((!grants.is_empty()).then(|| Account { name: EVERYBODY.into(), role: true, create, grants }))
}

async fn account(client: &mut Client, name: String, role: bool) -> Result<Account> {
    let failed = || format!("unable to read account {name}");
    let (create, mut last) = if role {
        (format!("CREATE ROLE {name}"), Vec::new())
    } else {
        let row = client.query_one(&format!("SHOW CREATE USER {name}")).await.context(failed)?;
        let create = row.at(0).ok_or_else(|| Error::Corrupt(failed()))?;
        without_default_role(create, &name)
    };
    let mut grants: Vec<Sql> = Vec::new();
    for row in client.query(&format!("SHOW GRANTS FOR {name}")).await.context(failed)? {
        let grant = row.at(0).ok_or_else(|| Error::Corrupt(failed()))?;
        // What everybody is granted is listed with each account, and belongs to none.
        if grant.starts_with("SET DEFAULT ROLE") {
            last.push(Sql::from(grant));
        } else if !grant.contains(" TO PUBLIC") && !grant.contains(" TO `PUBLIC`") {
            grants.push(grant.into());
        }
    }
    grants.append(&mut last);
    Ok(Account { name, role, create: create.into(), grants })
}

/// An account can have a default role only once it was granted it: that becomes a statement of its own.
fn without_default_role(create: &str, name: &str) -> (String, Vec<Sql>) {
    const CLAUSE: &str = " DEFAULT ROLE ";
    const BEHIND: &str = " REQUIRE ";
    let parts = create.split_once(CLAUSE).and_then(|(before, rest)| Some((before, rest.split_once(BEHIND)?)));
    match parts {
        Some((before, (roles, after))) => {
            let set = format!("SET DEFAULT ROLE {roles} TO {name}");
            (format!("{before}{BEHIND}{after}"), vec![set.into()])
        }
        None => (create.into(), Vec::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_roles_come_last() {
        let create = "CREATE USER `a`@`%` IDENTIFIED WITH 'caching_sha2_password' AS 0x24 DEFAULT ROLE `r`@`%`,`s`@`%` REQUIRE NONE";
        let (create, last) = without_default_role(create, "'a'@'%'");
        assert_eq!(create, "CREATE USER `a`@`%` IDENTIFIED WITH 'caching_sha2_password' AS 0x24 REQUIRE NONE");
        assert_eq!(last, [Sql::from("SET DEFAULT ROLE `r`@`%`,`s`@`%` TO 'a'@'%'")]);
    }
}
