//! usher's own keys: the ES256 keys of the signed header (current, next and retired ones) and the
//! seal key where the config gives none.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::seal::SealRing;
use crate::store::{Store, StoreError};

/// The seal ring: of the configured keys, or else of one made at first start and kept in the store.
pub async fn seal_ring(
    store: &Store,
    configured: &[crate::secret::Secret],
) -> Result<SealRing, StoreError> {
    let _ = (store, configured);
    todo!()
}

/// The key that signs now, with what verifiers must know.
#[derive(Debug)]
pub struct SigningKeys {
    /// Private part for `jsonwebtoken`, of the current key.
    pub current: SigningKey,
    /// The JWKS document: the next, the current and the still valid older keys (RFC 7517).
    pub jwks: serde_json::Value,
    /// When these keys must be loaded or rotated again.
    pub renew_at: Timestamp,
}

/// One ES256 key pair.
pub struct SigningKey {
    /// RFC 7638 thumbprint.
    pub kid: String,
    /// Private part.
    pub encoding: jsonwebtoken::EncodingKey,
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "SigningKey({})", self.kid)
    }
}

/// How long a key signs before the next (already published) takes over: 30 days.
pub const SIGNS_FOR: Duration = Duration::from_secs(30 * 24 * 3600);

/// Loads the keys, makes what is missing, rotates what is due.
pub async fn signing_keys(store: &Store, now: Timestamp) -> Result<Arc<SigningKeys>, StoreError> {
    let _ = (store, now);
    todo!()
}
