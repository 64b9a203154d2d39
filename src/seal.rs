//! Sealed values: AES-256-GCM under a ring of keys, for cookies and for tokens at rest.
//!
//! A sealed value is base64url(`key id` ‖ `nonce` ‖ ciphertext ‖ tag). The purpose is bound as
//! additional data, so that a value sealed for one use opens for no other.

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// Bytes of the key id in front of a sealed value.
const KEY_ID_LEN: usize = 4;

/// The keys that open, of which the first seals.
pub struct SealRing {
    keys: Vec<SealKey>,
}

impl std::fmt::Debug for SealRing {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "SealRing({} keys)", self.keys.len())
    }
}

struct SealKey {
    id: [u8; KEY_ID_LEN],
    key: RandomizedNonceKey,
}

/// Why there is no ring or no plaintext.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// The ring would be empty.
    #[error("no seal key is given")]
    NoKey,
    /// A key is shorter than 32 bytes.
    #[error("a seal key must be at least 32 bytes long")]
    ShortKey,
    /// The value was not sealed by a key of this ring for this purpose, or was changed.
    #[error("the value is not sealed by a key in use")]
    NotOpened,
    /// The provider failed to seal.
    #[error("sealing failed")]
    NotSealed,
}

impl SealRing {
    /// A ring of keys, newest first; each at least 32 bytes (longer ones are hashed to 32).
    pub fn new<K: AsRef<[u8]>>(keys: &[K]) -> Result<Self, SealError> {
        if keys.is_empty() {
            return Err(SealError::NoKey);
        }
        let keys = keys
            .iter()
            .map(|key| SealKey::new(key.as_ref()))
            .collect::<Result<_, _>>()?;
        Ok(Self { keys })
    }

    /// Seals `plaintext` for `purpose` with the newest key.
    pub fn seal(&self, purpose: &str, plaintext: &[u8]) -> Result<String, SealError> {
        let key = self.keys.first().ok_or(SealError::NoKey)?;
        let mut body = plaintext.to_vec();
        let nonce = key
            .key
            .seal_in_place_append_tag(Aad::from(purpose.as_bytes()), &mut body)
            .map_err(|_| SealError::NotSealed)?;
        let mut sealed = Vec::with_capacity(KEY_ID_LEN + NONCE_LEN + body.len());
        sealed.extend_from_slice(&key.id);
        sealed.extend_from_slice(nonce.as_ref());
        sealed.extend_from_slice(&body);
        Ok(URL_SAFE_NO_PAD.encode(sealed))
    }

    /// Whether the newest key sealed it. What an older one sealed cannot be opened any more once that leaves the ring.
    pub fn is_newest(&self, sealed: &str) -> bool {
        let id = URL_SAFE_NO_PAD.decode(sealed).ok();
        let id = id.as_deref().and_then(|bytes| bytes.get(..KEY_ID_LEN));
        id.is_some_and(|id| self.keys.first().is_some_and(|key| key.id == id))
    }

    /// Opens what [`SealRing::seal`] made for the same purpose with any key of the ring.
    pub fn open(&self, purpose: &str, sealed: &str) -> Result<Vec<u8>, SealError> {
        let sealed = URL_SAFE_NO_PAD
            .decode(sealed)
            .map_err(|_| SealError::NotOpened)?;
        let (id, rest) = sealed
            .split_at_checked(KEY_ID_LEN)
            .ok_or(SealError::NotOpened)?;
        let (nonce, body) = rest
            .split_at_checked(NONCE_LEN)
            .ok_or(SealError::NotOpened)?;
        let key = self
            .keys
            .iter()
            .find(|key| key.id == id)
            .ok_or(SealError::NotOpened)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| SealError::NotOpened)?;
        let mut body = body.to_vec();
        let length = key
            .key
            .open_in_place(nonce, Aad::from(purpose.as_bytes()), &mut body)
            .map_err(|_| SealError::NotOpened)?
            .len();
        body.truncate(length);
        Ok(body)
    }
}

impl SealKey {
    fn new(key: &[u8]) -> Result<Self, SealError> {
        if key.len() < 32 {
            return Err(SealError::ShortKey);
        }
        // The id is of a hash with its own prefix, so that it tells nothing of the key.
        let key = digest(&SHA256, key);
        let named = digest(&SHA256, &[b"usher seal key id", key.as_ref()].concat());
        let mut id = [0; KEY_ID_LEN];
        for (to, from) in id.iter_mut().zip(named.as_ref()) {
            *to = *from;
        }
        let key =
            RandomizedNonceKey::new(&AES_256_GCM, key.as_ref()).map_err(|_| SealError::ShortKey)?;
        Ok(Self { id, key })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn opens_what_it_sealed_and_nothing_that_was_changed() {
        let ring = SealRing::new(&[[7u8; 32]]).unwrap();
        let sealed = ring.seal("state", b"hello").unwrap();
        assert_eq!(ring.open("state", &sealed).unwrap(), b"hello");
        for at in 0..sealed.len() {
            let mut bytes = sealed.clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(bytes).unwrap();
            assert_eq!(
                ring.open("state", &changed),
                Err(SealError::NotOpened),
                "byte {at}"
            );
        }
    }

    #[test]
    fn refuses_a_value_sealed_for_another_purpose() {
        let ring = SealRing::new(&[[7u8; 32]]).unwrap();
        let sealed = ring.seal("state", b"hello").unwrap();
        assert_eq!(ring.open("token", &sealed), Err(SealError::NotOpened));
    }

    #[test]
    fn an_older_key_still_opens_until_it_leaves_the_ring() {
        let old = SealRing::new(&[[1u8; 32]]).unwrap();
        let sealed = old.seal("state", b"hello").unwrap();
        let both = SealRing::new(&[[2u8; 32], [1u8; 32]]).unwrap();
        assert_eq!(both.open("state", &sealed).unwrap(), b"hello");
        assert!(old.is_newest(&sealed));
        assert!(!both.is_newest(&sealed));
        let new = SealRing::new(&[[2u8; 32]]).unwrap();
        assert_eq!(new.open("state", &sealed), Err(SealError::NotOpened));
    }

    #[test]
    fn refuses_a_short_key() {
        assert_eq!(SealRing::new(&[[1u8; 16]]).err(), Some(SealError::ShortKey));
    }
}
