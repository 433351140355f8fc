//! SCRAM: proving that both sides know the password without telling it. Pure: what to say for what the server said.
//! https://www.rfc-editor.org/rfc/rfc5802, https://www.rfc-editor.org/rfc/rfc7677, and MongoDB's peculiarities in
//! https://github.com/mongodb/specifications/blob/master/source/auth/auth.md
//!
//! HMAC and PBKDF2 are a few lines over any hash: the `sha1` that is in the tree already is of another generation than the
//! `hmac` and `pbkdf2` that go with its `sha2`.

use super::login::Mechanism;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use coffer_addon::{Error, Result};
use md5::Md5;
use sha1::Sha1;
use sha2::{Digest as _, Sha256};
use std::fmt::Write as _;

/// How often a password is hashed. Less is what somebody in the middle would ask for; much more would stall the addon.
const ITERATIONS: std::ops::RangeInclusive<u32> = 4096..=1_000_000;

/// A hash whose blocks have 64 bytes, as those of SHA-1 and SHA-256 have.
trait Hash: Clone + Default {
    type Output: AsRef<[u8]> + AsMut<[u8]> + Copy;
    fn add(&mut self, bytes: &[u8]);
    fn output(self) -> Self::Output;
}

impl Hash for Sha1 {
    type Output = [u8; 20];

    fn add(&mut self, bytes: &[u8]) {
        sha1::Digest::update(self, bytes);
    }

    fn output(self) -> [u8; 20] {
        sha1::Digest::finalize(self).into()
    }
}

impl Hash for Sha256 {
    type Output = [u8; 32];

    fn add(&mut self, bytes: &[u8]) {
        self.update(bytes);
    }

    fn output(self) -> [u8; 32] {
        self.finalize().into()
    }
}

/// https://www.rfc-editor.org/rfc/rfc2104, its key taken in once for many.
struct Hmac<H> {
    inner: H,
    outer: H,
}

impl<H: Hash> Hmac<H> {
    fn new(key: &[u8]) -> Self {
        let mut block = [0; 64];
        let mut hashed = H::default();
        hashed.add(key);
        let hashed = hashed.output();
        let key = if key.len() > block.len() { hashed.as_ref() } else { key };
        for (to, from) in block.iter_mut().zip(key) {
            *to = *from;
        }
        let begin = |pad: u8| {
            let mut hash = H::default();
            hash.add(&block.map(|byte| byte ^ pad));
            hash
        };
        Hmac { inner: begin(0x36), outer: begin(0x5c) }
    }

    fn of(&self, parts: &[&[u8]]) -> H::Output {
        let (mut inner, mut outer) = (self.inner.clone(), self.outer.clone());
        for part in parts {
            inner.add(part);
        }
        outer.add(inner.output().as_ref());
        outer.output()
    }
}

/// The first block of PBKDF2, which is as long as the hash: all that SCRAM needs.
fn hash_often<H: Hash>(password: &[u8], salt: &[u8], iterations: u32) -> Vec<u8> {
    let hmac = Hmac::<H>::new(password);
    let mut last = hmac.of(&[salt, &1_u32.to_be_bytes()]);
    let mut sum = last;
    for _ in 1..iterations {
        last = hmac.of(&[last.as_ref()]);
        xor(sum.as_mut(), last.as_ref());
    }
    sum.as_ref().to_vec()
}

fn xor(to: &mut [u8], from: &[u8]) {
    for (to, from) in to.iter_mut().zip(from) {
        *to ^= from;
    }
}

/// A conversation that has begun.
pub(super) struct Scram {
    mechanism: Mechanism,
    nonce: String,
    /// The first message without its head, which goes into the proof.
    bare: String,
}

/// What the server chose, with what it said as a whole.
pub(super) struct Challenge {
    said: String,
    nonce: String,
    pub salt: Vec<u8>,
    pub iterations: u32,
}

/// The proof to send, and what the server has to prove itself with.
pub(super) struct Proof {
    pub message: String,
    signature: Vec<u8>,
}

/// A password hashed as the challenge wants it: as good as the password, for this user on this server.
pub(super) fn salted(mechanism: Mechanism, user: &str, password: &str, challenge: &Challenge) -> Result<Vec<u8>> {
    let Challenge { salt, iterations, .. } = challenge;
    match mechanism {
        Mechanism::ScramSha256 => {
            let prepared = stringprep::saslprep(password).map_err(|_| {
                Error::Denied(format!(
                    "the password of user {user} has characters that no password may have (RFC 4013, SASLprep); check the binding's secret"
                ))
            })?;
            Ok(hash_often::<Sha256>(prepared.as_bytes(), salt, *iterations))
        }
        // What the server has is made from this, since it had another way to log in.
        _ => {
            let mut digest = String::new();
            for byte in Md5::digest(format!("{user}:mongo:{password}")) {
                let _ = write!(digest, "{byte:02x}");
            }
            Ok(hash_often::<Sha1>(digest.as_bytes(), salt, *iterations))
        }
    }
}

impl Scram {
    /// `nonce` is of random letters without a comma.
    pub fn new(mechanism: Mechanism, user: &str, nonce: String) -> Self {
        let user = user.replace('=', "=3D").replace(',', "=2C");
        Scram { mechanism, bare: format!("n={user},r={nonce}"), nonce }
    }

    /// Without channel binding, which MongoDB has not.
    pub fn first(&self) -> String {
        format!("n,,{}", self.bare)
    }

    /// What the server answers to the first message.
    pub fn challenge(&self, said: &[u8]) -> Result<Challenge> {
        let said = std::str::from_utf8(said).map_err(|_| nonsense())?;
        let mut fields = said.split(',');
        let mut field = |name: &str| fields.next().and_then(|field| field.strip_prefix(name)).ok_or_else(nonsense);
        let (nonce, salt, iterations) = (field("r=")?, field("s=")?, field("i=")?);
        if !nonce.starts_with(&self.nonce) || nonce.len() == self.nonce.len() {
            return Err(nonsense());
        }
        let salt = BASE64.decode(salt).map_err(|_| nonsense())?;
        let iterations = iterations.parse().map_err(|_| nonsense())?;
        if !ITERATIONS.contains(&iterations) {
            let (least, most) = (ITERATIONS.start(), ITERATIONS.end());
            return Err(Error::Unsupported(format!(
                "the server wants the password hashed {iterations} times, and from {least} to {most} are possible; change its scramIterationCount or scramSHA256IterationCount, and the password"
            )));
        }
        Ok(Challenge { said: said.into(), nonce: nonce.into(), salt, iterations })
    }

    /// The answer to a challenge.
    pub fn prove(&self, challenge: &Challenge, salted: &[u8]) -> Proof {
        // `biws` is `n,,` in Base64.
        let without = format!("c=biws,r={}", challenge.nonce);
        let signed = format!("{},{},{without}", self.bare, challenge.said);
        let (proof, signature) = match self.mechanism {
            Mechanism::ScramSha256 => sign::<Sha256>(salted, signed.as_bytes()),
            _ => sign::<Sha1>(salted, signed.as_bytes()),
        };
        Proof { message: format!("{without},p={}", BASE64.encode(proof)), signature }
    }
}

/// The client's proof and the server's.
fn sign<H: Hash>(salted: &[u8], signed: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let salted = Hmac::<H>::new(salted);
    let mut key = salted.of(&[b"Client Key"]);
    let mut stored = H::default();
    stored.add(key.as_ref());
    let signature = Hmac::<H>::new(stored.output().as_ref()).of(&[signed]);
    xor(key.as_mut(), signature.as_ref());
    let server = Hmac::<H>::new(salted.of(&[b"Server Key"]).as_ref()).of(&[signed]);
    (key.as_ref().to_vec(), server.as_ref().to_vec())
}

impl Proof {
    /// Whether the server has proved that it knows the password.
    pub fn check(&self, said: &[u8]) -> Result<()> {
        let said = said.strip_prefix(b"v=").and_then(|said| BASE64.decode(said).ok());
        if said.as_ref() != Some(&self.signature) {
            return Err(Error::Denied(
                "the server did not prove that it knows the user's password: somebody may pose as it".into(),
            ));
        }
        Ok(())
    }
}

fn nonsense() -> Error {
    Error::Corrupt("the server's part in the login makes no sense".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The conversations that MongoDB's specification has as examples.
    #[test]
    fn conversations_go_as_specified() {
        for (mechanism, nonce, said, proof, server) in [
            (
                Mechanism::ScramSha1,
                "fyko+d2lbbFgONRv9qkxdawL",
                "r=fyko+d2lbbFgONRv9qkxdawLHo+Vgk7qvUOKUwuWLIWg4l/9SraGMHEE,s=rQ9ZY3MntBeuP3E1TDVC4w==,i=10000",
                "MC2T8BvbmWRckDw8oWl5IVghwCY=",
                "v=UMWeI25JD1yNYZRMpZ4VHvhZ9e0=",
            ),
            (
                Mechanism::ScramSha256,
                "rOprNGfwEbeRWgbNEkqO",
                "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
                "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
                "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
            ),
        ] {
            let scram = Scram::new(mechanism, "user", nonce.into());
            assert_eq!(scram.first(), format!("n,,n=user,r={nonce}"));
            let challenge = scram.challenge(said.as_bytes()).expect("a challenge");
            let salted = salted(mechanism, "user", "pencil", &challenge).expect("salted");
            let made = scram.prove(&challenge, &salted);
            assert!(made.message.ends_with(&format!(",p={proof}")), "{}", made.message);
            assert_eq!(made.check(server.as_bytes()), Ok(()));
            for wrong in [&b""[..], b"v=", b"e=other-error", b"v=AAAA", &server.as_bytes()[..server.len() - 2]] {
                assert!(matches!(made.check(wrong), Err(Error::Denied(_))), "{wrong:?}");
            }
        }
    }

    #[test]
    fn challenges_of_somebody_else_are_refused() {
        let scram = Scram::new(Mechanism::ScramSha256, "a,b=c", "abc".into());
        assert_eq!(scram.first(), "n,,n=a=2Cb=3Dc,r=abc");
        for wrong in ["", "r=abc,s=AAAA,i=5000", "r=xbcd,s=AAAA,i=5000", "r=abcd,s=?,i=5000", "r=abcd,s=AAAA,i=x"] {
            assert!(matches!(scram.challenge(wrong.as_bytes()), Err(Error::Corrupt(_))), "{wrong}");
        }
        for iterations in ["4095", "1", "4294967295"] {
            let weak = scram.challenge(format!("r=abcd,s=AAAA,i={iterations}").as_bytes()).err();
            assert!(matches!(&weak, Some(Error::Unsupported(text)) if text.contains(iterations)), "{weak:?}");
        }
    }

    #[test]
    fn passwords_are_prepared_for_sha256_only() {
        let challenge = Challenge { said: String::new(), nonce: String::new(), salt: vec![1], iterations: 1 };
        let of = |mechanism, password| salted(mechanism, "user", password, &challenge);
        // A soft hyphen counts for nothing, a non-breaking space is a space, a Roman numeral is letters.
        assert_eq!(of(Mechanism::ScramSha256, "I\u{ad}X\u{a0}\u{2168}"), of(Mechanism::ScramSha256, "IX IX"));
        assert_ne!(of(Mechanism::ScramSha1, "\u{2168}"), of(Mechanism::ScramSha1, "IX"));
        let refused = of(Mechanism::ScramSha256, "hunter\u{7}2");
        assert!(matches!(&refused, Err(Error::Denied(text)) if !text.contains("hunter")), "{refused:?}");
    }
}
