//! SCRAM-SHA-256 (RFC 7677), the client's side.

use std::hash::{BuildHasher, Hasher, RandomState};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

/// Between the client's first message and its answer to the server's.
pub(super) struct Scram<'a> {
    password: &'a str,
    first_bare: String,
}

impl<'a> Scram<'a> {
    pub(super) fn new(user: &str, password: &'a str) -> Self {
        let user = user.replace('=', "=3D").replace(',', "=2C");
        let nonce = RandomState::new().build_hasher().finish();
        Self { password, first_bare: format!("n={user},r=coffer{nonce:016x}") }
    }

    pub(super) fn first(&self) -> Vec<u8> {
        format!("n,,{}", self.first_bare).into_bytes()
    }

    /// The answer to the server's first message; nothing if that makes no sense.
    pub(super) fn proof(&self, server: &[u8]) -> Option<Vec<u8>> {
        let server = std::str::from_utf8(server).ok()?;
        let part = |name: &str| server.split(',').find_map(|part| part.strip_prefix(name));
        let (nonce, salt, rounds) = (part("r=")?, STANDARD.decode(part("s=")?).ok()?, part("i=")?.parse().ok()?);
        let salted = pbkdf2::pbkdf2_hmac_array::<Sha256, 32>(self.password.as_bytes(), &salt, rounds);
        let without_proof = format!("c=biws,r={nonce}");
        let signed = format!("{},{server},{without_proof}", self.first_bare);
        let key = sign(&salted, b"Client Key")?;
        let signature = sign(&Sha256::digest(key), signed.as_bytes())?;
        let proof: Vec<u8> = key.iter().zip(signature).map(|(key, signature)| key ^ signature).collect();
        Some(format!("{without_proof},p={}", STANDARD.encode(proof)).into_bytes())
    }
}

fn sign(key: &[u8], text: &[u8]) -> Option<[u8; 32]> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).ok()?;
    mac.update(text);
    Some(mac.finalize().into_bytes().into())
}
