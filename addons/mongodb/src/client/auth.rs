//! Logging in: the conversation about SCRAM's messages, or a client certificate.

use super::login::{Login, Mechanism};
use super::scram::{Scram, salted};
use super::{Client, Kind, ServerError, code};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bson::raw::RawDocument;
use bson::spec::BinarySubtype;
use bson::{RawBinaryRef, RawBsonRef, rawdoc};
use coffer_addon::{Error, Result};

/// Random bytes; they go as Base64, which has no comma.
const NONCE: usize = 24;

/// Answers of a server that never comes to an end.
const MOST_ANSWERS: u32 = 4;

/// Where users of certificates are.
const EXTERNAL: &str = "$external";

/// Logs in as the binding says, or not at all.
pub(super) async fn log_in(client: &mut Client, login: &Login) -> Result<()> {
    // An arbiter has no users.
    if client.hello.kind == Kind::Arbiter {
        return Ok(());
    }
    if login.mechanism == Some(Mechanism::X509) {
        let command = rawdoc! { "authenticate": 1, "mechanism": Mechanism::X509.name() };
        let outcome = client.try_run(EXTERNAL, command).await?;
        return outcome.map(|_| ()).map_err(|error| refused(login, "the client certificate's subject", &error));
    }
    let Some(user) = &login.user else { return Ok(()) };
    let Some(password) = &login.password else {
        return Err(Error::Denied(format!(
            "the binding's secret has user {user} and no key `password`; remove the user if the server wants no login"
        )));
    };
    let mechanism = login.mechanism.unwrap_or_else(|| chosen(client.hello.mechanisms.as_deref()));
    scram(client, login, mechanism, user, password).await
}

/// Servers say which ways a user has, since 4.0; before, there is one.
fn chosen(offered: Option<&[String]>) -> Mechanism {
    let has_sha256 = offered.unwrap_or_default().iter().any(|name| name == Mechanism::ScramSha256.name());
    if has_sha256 { Mechanism::ScramSha256 } else { Mechanism::ScramSha1 }
}

async fn scram(client: &mut Client, login: &Login, mechanism: Mechanism, user: &str, password: &str) -> Result<()> {
    let who = format!("user {user} of database {}", login.source);
    let mut ask = async |command| match client.try_run(&login.source, command).await? {
        Ok(reply) => Ok(reply),
        Err(error) => Err(refused(login, &who, &error)),
    };
    let scram = Scram::new(mechanism, user, nonce()?);
    let first = scram.first();
    let start = rawdoc! {
        "saslStart": 1,
        "mechanism": mechanism.name(),
        "payload": payload(&first),
        // Where it is not known, it is passed over, and the conversation has an exchange more.
        "options": { "skipEmptyExchange": true },
    };
    let reply = ask(start).await?;
    let conversation = super::error::number::<i32>(&reply, "conversationId").unwrap_or(1);
    let challenge = scram.challenge(said(&reply)?)?;
    let key = (mechanism, challenge.salt.clone(), challenge.iterations);
    // Hashing takes a while, and all connections of a run need the same.
    let known = login.salted.borrow().as_ref().filter(|(of, _)| *of == key).map(|(_, salted)| salted.clone());
    let salted = match known {
        Some(salted) => salted,
        None => {
            let salted = salted(mechanism, user, password, &challenge)?;
            login.salted.replace(Some((key, salted.clone())));
            salted
        }
    };
    let proof = scram.prove(&challenge, &salted);
    let go_on = |text: &str| rawdoc! { "saslContinue": 1, "conversationId": conversation, "payload": payload(text) };
    let mut reply = ask(go_on(&proof.message)).await?;
    proof.check(said(&reply)?)?;
    for _ in 0..MOST_ANSWERS {
        if reply.get_bool("done").unwrap_or(false) {
            return Ok(());
        }
        reply = ask(go_on("")).await?;
    }
    Err(Error::Corrupt(format!("the server's login of {who} comes to no end")))
}

fn payload(text: &str) -> RawBsonRef<'_> {
    RawBsonRef::Binary(RawBinaryRef { subtype: BinarySubtype::Generic, bytes: text.as_bytes() })
}

fn said(reply: &RawDocument) -> Result<&[u8]> {
    let payload = reply.get_binary("payload").map(|payload| payload.bytes);
    payload.map_err(|_| Error::Corrupt("the server's part in the login is missing".into()))
}

fn nonce() -> Result<String> {
    let mut bytes = [0; NONCE];
    getrandom::fill(&mut bytes).map_err(|error| Error::Failed(format!("no random bytes: {error}")))?;
    Ok(BASE64.encode(bytes))
}

/// The server's "no" to a login, with the remedy for what mostly is the reason.
fn refused(login: &Login, who: &str, error: &ServerError) -> Error {
    let text = error.text();
    match error.code {
        code::AUTHENTICATION_FAILED if login.mechanism == Some(Mechanism::X509) => Error::Denied(format!(
            "the server lets {who} not in: {text}; create it as a user of {EXTERNAL}, and check the binding's tlsSecret"
        )),
        // FerretDB gives a wrong password another code than MongoDB.
        code::AUTHENTICATION_FAILED => Error::Denied(format!(
            "wrong user or password for {who}: {text}; check the binding's secret, and authSource, the database that has the user, in its address"
        )),
        _ => match error.classify(format!("unable to log in {who}: {text}")) {
            // Whatever a server says for "no".
            Error::Failed(text) => Error::Denied(text),
            error => error,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stronger_way_is_chosen() {
        let chosen = |offered: &[&str]| {
            let offered: Vec<_> = offered.iter().map(|name| (*name).to_string()).collect();
            super::chosen(Some(&offered))
        };
        assert_eq!(chosen(&["SCRAM-SHA-1", "SCRAM-SHA-256"]), Mechanism::ScramSha256);
        assert_eq!(chosen(&["SCRAM-SHA-1"]), Mechanism::ScramSha1);
        assert_eq!(chosen(&["PLAIN"]), Mechanism::ScramSha1);
        assert_eq!(super::chosen(None), Mechanism::ScramSha1);
    }

    #[test]
    fn a_nonce_has_no_comma_and_is_never_the_same() {
        let (one, other) = (nonce().expect("random"), nonce().expect("random"));
        assert!(one.len() == 32 && !one.contains(','));
        assert_ne!(one, other);
    }
}
