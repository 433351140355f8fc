//! Sealing: AES-256-CTR with Poly1305-AES, `IV ‖ ciphertext ‖ MAC` (restic's design document, "Keys, Encryption and MAC").
//!
//! The cipher's counter has 64 bits where restic's has 128. They differ only when a random IV's low half lies within a blob's
//! length of overflowing, which has a probability below 2⁻⁴⁰ for a million million blobs; verification before upload would
//! not see it, but restic's MAC (over the ciphertext) and our hash check would.

use aes256ctr_poly1305aes::{Aes256CtrPoly1305Aes, Key as CipherKey, Nonce, Tag, aead::AeadInPlace};
use base64::{Engine, prelude::BASE64_STANDARD};
use secrecy::{ExposeSecret, SecretBox, zeroize::Zeroize};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

pub(crate) const IV: usize = 16;
pub(crate) const MAC: usize = 16;
/// Bytes that sealing adds.
pub(crate) const OVERHEAD: usize = IV + MAC;

/// The MAC does not fit: other key, or damage.
#[derive(Debug, thiserror::Error)]
#[error("its message authentication code does not match")]
pub(crate) struct BadMac;

/// 64 bytes: AES-256 key, AES-128 key and r of Poly1305. Wiped when dropped.
pub(crate) struct Key {
    bytes: SecretBox<[u8; 64]>,
    cipher: Aes256CtrPoly1305Aes,
}

impl Key {
    pub(crate) fn new(mut bytes: [u8; 64]) -> Self {
        let cipher = Aes256CtrPoly1305Aes::new(CipherKey::from_slice(&bytes));
        let key = Self { bytes: SecretBox::new(Box::new(bytes)), cipher };
        bytes.zeroize();
        key
    }

    pub(crate) fn random() -> Self {
        let mut bytes: [u8; 64] = rand::random();
        // r as Poly1305 uses it; restic stores it masked.
        for (place, mask) in [(51, 15), (55, 15), (59, 15), (63, 15), (52, 252), (56, 252), (60, 252)] {
            if let Some(byte) = bytes.get_mut::<usize>(place) {
                *byte &= mask;
            }
        }
        let key = Self::new(bytes);
        bytes.zeroize();
        key
    }

    pub(crate) fn seal(&self, plain: &[u8]) -> Vec<u8> {
        let mut sealed = Vec::with_capacity(plain.len() + OVERHEAD);
        self.seal_into(plain, &mut sealed);
        sealed
    }

    /// Replaces what is in `sealed`.
    pub(crate) fn seal_into(&self, plain: &[u8], sealed: &mut Vec<u8>) {
        let iv: [u8; IV] = rand::random();
        sealed.clear();
        sealed.reserve(plain.len() + OVERHEAD);
        sealed.extend_from_slice(&iv);
        sealed.extend_from_slice(plain);
        let (_, body) = sealed.split_at_mut(IV);
        // Fails for messages over 64 GiB only; a MAC of zeros then opens nowhere.
        let tag = self.cipher.encrypt_in_place_detached(Nonce::from_slice(&iv), b"", body).unwrap_or_default();
        sealed.extend_from_slice(&tag);
    }

    pub(crate) fn open(&self, sealed: &[u8]) -> Result<Vec<u8>, BadMac> {
        let mut plain = Vec::new();
        self.open_into(sealed, &mut plain)?;
        Ok(plain)
    }

    /// Replaces what is in `plain`.
    pub(crate) fn open_into(&self, sealed: &[u8], plain: &mut Vec<u8>) -> Result<(), BadMac> {
        let (iv, rest) = sealed.split_at_checked(IV).ok_or(BadMac)?;
        let (body, tag) = rest.len().checked_sub(MAC).and_then(|end| rest.split_at_checked(end)).ok_or(BadMac)?;
        plain.clear();
        plain.extend_from_slice(body);
        self.cipher
            .decrypt_in_place_detached(Nonce::from_slice(iv), b"", plain, Tag::from_slice(tag))
            .map_err(|_| BadMac)
    }

    /// A secret of its own kind from this key, for uses other than sealing.
    pub(crate) fn derive(&self, purpose: &str) -> [u8; 32] {
        Sha256::new().chain_update(purpose).chain_update(self.bytes.expose_secret()).finalize().into()
    }

    /// The master key as key files hold it.
    pub(crate) fn to_json(&self) -> serde_json::Result<Vec<u8>> {
        let bytes = self.bytes.expose_secret();
        let (encrypt, mac) = bytes.split_at(32);
        let (k, r) = mac.split_at(16);
        let text = |bytes| BASE64_STANDARD.encode(bytes);
        serde_json::to_vec(&MasterKey { mac: MacKey { k: text(k), r: text(r) }, encrypt: text(encrypt) })
    }

    pub(crate) fn from_json(json: &[u8]) -> Option<Self> {
        let key: MasterKey = serde_json::from_slice(json).ok()?;
        let mut bytes = Vec::with_capacity(64);
        for (text, length) in [(&key.encrypt, 32), (&key.mac.k, 16), (&key.mac.r, 16)] {
            let part = BASE64_STANDARD.decode(text).ok().filter(|part| part.len() == length)?;
            bytes.extend_from_slice(&part);
        }
        Some(Self::new(bytes.try_into().ok()?))
    }
}

#[derive(Serialize, Deserialize)]
struct MasterKey {
    mac: MacKey,
    encrypt: String,
}

#[derive(Serialize, Deserialize)]
struct MacKey {
    k: String,
    r: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opens_what_it_sealed_and_nothing_else() {
        let key = Key::random();
        let sealed = key.seal(b"coffer");
        assert_eq!(sealed.len(), 6 + OVERHEAD);
        assert_eq!(key.open(&sealed).unwrap(), b"coffer");
        for bit in 0..sealed.len() * 8 {
            let mut damaged = sealed.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(key.open(&damaged).is_err(), "bit {bit}");
        }
        assert!(Key::random().open(&sealed).is_err());
        assert!(key.open(&sealed[..OVERHEAD - 1]).is_err());
    }

    #[test]
    fn a_key_survives_its_json() {
        let key = Key::random();
        let again = Key::from_json(&key.to_json().unwrap()).unwrap();
        assert_eq!(again.open(&key.seal(b"coffer")).unwrap(), b"coffer");
    }
}
