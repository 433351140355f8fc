//! The ways to prove who one is, as pure functions: what to send for what the server sent.
//!
//! | plugin | what goes over the wire |
//! |---|---|
//! | `mysql_native_password` | a SHA-1 proof |
//! | `caching_sha2_password` | a SHA-256 proof; the password, if the server has not cached it |
//! | `sha256_password` | the password |
//! | `client_ed25519` (MariaDB) | a signature |
//! | `mysql_clear_password` | the password |
//!
//! A password goes as it is inside TLS only. Without TLS it is encrypted with a key that the server sends, where the plugin
//! has that: safe from who listens, not from who poses as the server, which is what `tlsMode: Disable` accepts.

use coffer_addon::{Error, Result};
use ed25519_dalek::VerifyingKey;
use ed25519_dalek::hazmat::{ExpandedSecretKey, raw_sign};
use rsa::pkcs8::DecodePublicKey;
use rsa::rand_core::{self, CryptoRng, RngCore};
use rsa::{Oaep, RsaPublicKey};
use sha1::{Digest as _, Sha1};
use sha2::{Digest, Sha256, Sha512};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Plugin {
    NativePassword,
    CachingSha2,
    Sha256,
    Ed25519,
    Clear,
}

/// Who wants to log in how.
pub(super) struct Prover<'a> {
    pub user: &'a str,
    pub password: &'a str,
    pub tls: bool,
}

impl Plugin {
    const ALL: [Plugin; 5] =
        [Plugin::NativePassword, Plugin::CachingSha2, Plugin::Sha256, Plugin::Ed25519, Plugin::Clear];

    pub fn name(self) -> &'static str {
        match self {
            Plugin::NativePassword => "mysql_native_password",
            Plugin::CachingSha2 => "caching_sha2_password",
            Plugin::Sha256 => "sha256_password",
            Plugin::Ed25519 => "client_ed25519",
            Plugin::Clear => "mysql_clear_password",
        }
    }

    fn find(name: &str) -> Option<Self> {
        Plugin::ALL.into_iter().find(|plugin| plugin.name() == name)
    }

    /// The one to begin with: the server's own where that is possible before it knows the user.
    pub fn first(name: &str) -> Self {
        match Plugin::find(name) {
            Some(plugin @ (Plugin::CachingSha2 | Plugin::Sha256)) => plugin,
            // With the greeting's nonce the others have nothing to begin with.
            _ => Plugin::NativePassword,
        }
    }
}

impl Prover<'_> {
    /// The plugin that the server switches to, by its name.
    pub fn switch(&self, name: &str) -> Result<Plugin> {
        let user = self.user;
        match Plugin::find(name) {
            Some(Plugin::Clear) if !self.tls => Err(Error::Denied(format!(
                "the server wants the password of user {user} in the clear (mysql_clear_password), and there is no TLS; set the binding's clientConfig.tlsMode to Require"
            ))),
            Some(plugin) => Ok(plugin),
            None => Err(Error::Unsupported(format!(
                "the server wants user {user} to log in by {name}, which is not possible here; ALTER USER … to caching_sha2_password, or to ed25519 or mysql_native_password"
            ))),
        }
    }

    /// What a plugin begins with.
    pub fn begin(&self, plugin: Plugin, nonce: &[u8]) -> Vec<u8> {
        let password = self.password.as_bytes();
        match plugin {
            Plugin::NativePassword | Plugin::CachingSha2 if password.is_empty() => Vec::new(),
            Plugin::NativePassword => native(password, nonce),
            Plugin::CachingSha2 => caching_sha2(password, nonce),
            Plugin::Ed25519 => ed25519(password, nonce),
            // No password, and a request for the key.
            Plugin::Sha256 if password.is_empty() => vec![0],
            Plugin::Sha256 if !self.tls => vec![1],
            Plugin::Sha256 | Plugin::Clear => self.in_the_clear(),
        }
    }

    /// What to answer to more of a plugin's own; none where nothing is to be said.
    pub fn go_on(&self, plugin: Plugin, nonce: &[u8], data: &[u8]) -> Result<Option<Vec<u8>>> {
        match (plugin, data) {
            // The proof was right.
            (Plugin::CachingSha2, [3]) => Ok(None),
            // The server does not know the password's hash yet, and wants the password; without TLS, its key first.
            (Plugin::CachingSha2, [4]) if self.tls => Ok(Some(self.in_the_clear())),
            (Plugin::CachingSha2, [4]) => Ok(Some(vec![2])),
            (Plugin::CachingSha2 | Plugin::Sha256, pem) if !self.tls => self.encrypted(pem, nonce).map(Some),
            _ => Err(Error::Corrupt(format!("the server answered {} with what makes no sense", plugin.name()))),
        }
    }

    fn in_the_clear(&self) -> Vec<u8> {
        [self.password.as_bytes(), &[0]].concat()
    }

    /// The password, made unrepeatable by the nonce, for the owner of a key.
    fn encrypted(&self, pem: &[u8], nonce: &[u8]) -> Result<Vec<u8>> {
        let key = std::str::from_utf8(pem).ok().and_then(|pem| RsaPublicKey::from_public_key_pem(pem).ok());
        let key = key.ok_or_else(|| Error::Corrupt("the server sent a public key that is none".into()))?;
        if nonce.is_empty() {
            return Err(Error::Corrupt("the server sent no nonce".into()));
        }
        let message: Vec<u8> =
            self.in_the_clear().iter().zip(nonce.iter().cycle()).map(|(letter, mask)| letter ^ mask).collect();
        let mut random = Random(Ok(()));
        let encrypted = key.encrypt(&mut random, Oaep::new::<Sha1>(), &message).map_err(|error| error.to_string());
        // The padding would be no secret.
        let encrypted = encrypted.and_then(|bytes| random.0.map(|()| bytes).map_err(|error| error.to_string()));
        encrypted.map_err(|error| {
            Error::Failed(format!("unable to encrypt the password of user {} for the server: {error}", self.user))
        })
    }
}

/// The host's randomness, and whether it was to be had.
struct Random(Result<(), getrandom::Error>);

impl RngCore for Random {
    fn next_u32(&mut self) -> u32 {
        rand_core::impls::next_u32_via_fill(self)
    }

    fn next_u64(&mut self) -> u64 {
        rand_core::impls::next_u64_via_fill(self)
    }

    fn fill_bytes(&mut self, target: &mut [u8]) {
        self.0 = self.0.and(getrandom::fill(target));
    }

    fn try_fill_bytes(&mut self, target: &mut [u8]) -> Result<(), rand_core::Error> {
        self.fill_bytes(target);
        Ok(())
    }
}

impl CryptoRng for Random {}

fn xor(left: &[u8], right: &[u8]) -> Vec<u8> {
    left.iter().zip(right).map(|(left, right)| left ^ right).collect()
}

/// SHA1(password) xor SHA1(nonce, SHA1(SHA1(password)))
fn native(password: &[u8], nonce: &[u8]) -> Vec<u8> {
    let once = Sha1::digest(password);
    let proof = Sha1::new().chain_update(nonce).chain_update(Sha1::digest(once)).finalize();
    xor(&once, &proof)
}

/// SHA256(password) xor SHA256(SHA256(SHA256(password)), nonce)
fn caching_sha2(password: &[u8], nonce: &[u8]) -> Vec<u8> {
    let once = Sha256::digest(password);
    let proof = Sha256::new().chain_update(Sha256::digest(once)).chain_update(nonce).finalize();
    xor(&once, &proof)
}

/// A signature of the nonce, with SHA512(password) for the expanded key: Ed25519 but that a password has any length.
/// https://mariadb.com/docs/server/reference/plugins/authentication-plugins/authentication-plugin-ed25519
fn ed25519(password: &[u8], nonce: &[u8]) -> Vec<u8> {
    let key = ExpandedSecretKey::from_bytes(&Sha512::digest(password).into());
    raw_sign::<Sha512>(&key, nonce, &VerifyingKey::from(&key)).to_bytes().to_vec()
}
