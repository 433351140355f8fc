//! Key files: the master key, sealed with a key that scrypt derives from a password.

use base64::{Engine, prelude::BASE64_STANDARD};
use jiff::Timestamp;
use scrypt::Params;
use secrecy::{ExposeSecret, SecretString, zeroize::Zeroize};
use serde::{Deserialize, Serialize};

use crate::{crypto::Key, identity, limits};

#[derive(Serialize, Deserialize)]
pub(crate) struct KeyFile {
    created: Timestamp,
    #[serde(default)]
    username: String,
    #[serde(default)]
    hostname: String,
    kdf: String,
    #[serde(rename = "N")]
    n: u64,
    r: u32,
    p: u32,
    /// base64
    salt: String,
    /// base64 of the sealed master key
    data: String,
}

/// Why a key file did not yield the master key.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// It is well formed, and the password is not its own.
    WrongPassword,
    /// Not a key file that can be used.
    Malformed(&'static str),
}

impl KeyFile {
    /// Takes half a second of CPU: call it where that is welcome.
    pub(crate) fn seal(master: &Key, password: &SecretString, cost: (u8, u32, u32)) -> Result<Self, &'static str> {
        let (log_n, r, p) = cost;
        let salt: [u8; 64] = rand::random();
        let user = derive(password, &salt, log_n, r, p).ok_or("scrypt refuses its parameters")?;
        let mut json = master.to_json().map_err(|_| "the master key can not be written")?;
        let data = user.seal(&json);
        json.zeroize();
        let identity = identity::current();
        Ok(Self {
            created: Timestamp::now(),
            username: identity.username,
            hostname: identity.hostname,
            kdf: "scrypt".into(),
            n: 1 << log_n,
            r,
            p,
            salt: BASE64_STANDARD.encode(salt),
            data: BASE64_STANDARD.encode(data),
        })
    }

    /// Takes as long as its maker chose: call it where that is welcome.
    pub(crate) fn open(&self, password: &SecretString) -> Result<Key, Refusal> {
        if self.kdf != "scrypt" {
            return Err(Refusal::Malformed("its key derivation function is not scrypt"));
        }
        let memory = self.n.saturating_mul(u64::from(self.r)).saturating_mul(128);
        if !self.n.is_power_of_two() || memory > limits::SCRYPT_MEMORY || self.p > limits::SCRYPT_PARALLEL {
            return Err(Refusal::Malformed("its scrypt parameters are out of bounds"));
        }
        let salt = BASE64_STANDARD.decode(&self.salt).map_err(|_| Refusal::Malformed("its salt is not base64"))?;
        let data = BASE64_STANDARD.decode(&self.data).map_err(|_| Refusal::Malformed("its data is not base64"))?;
        let log_n = u8::try_from(self.n.trailing_zeros()).unwrap_or(u8::MAX);
        let user = derive(password, &salt, log_n, self.r, self.p)
            .ok_or(Refusal::Malformed("its scrypt parameters are out of bounds"))?;
        let mut json = user.open(&data).map_err(|_| Refusal::WrongPassword)?;
        let master = Key::from_json(&json).ok_or(Refusal::Malformed("its master key is malformed"));
        json.zeroize();
        master
    }
}

fn derive(password: &SecretString, salt: &[u8], log_n: u8, r: u32, p: u32) -> Option<Key> {
    let params = Params::new(log_n, r, p).ok()?;
    let mut bytes = [0; 64];
    scrypt::scrypt(password.expose_secret().as_bytes(), salt, &params, &mut bytes).ok()?;
    let key = Key::new(bytes);
    bytes.zeroize();
    Some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_its_password_opens_a_key_file() {
        let master = Key::random();
        let file = KeyFile::seal(&master, &"right".into(), (4, 8, 1)).unwrap();
        let file: KeyFile = serde_json::from_slice(&serde_json::to_vec(&file).unwrap()).unwrap();
        assert_eq!(file.open(&"right".into()).ok().unwrap().open(&master.seal(b"x")).unwrap(), b"x");
        assert_eq!(file.open(&"wrong".into()).err(), Some(Refusal::WrongPassword));
    }

    #[test]
    fn a_hostile_key_file_can_not_take_all_memory() {
        let mut file = KeyFile::seal(&Key::random(), &"right".into(), (4, 8, 1)).unwrap();
        file.n = 1 << 40;
        assert!(matches!(file.open(&"right".into()), Err(Refusal::Malformed(_))));
    }
}
