//! The keys of the SAML service provider: RSA pairs with self-signed certificates, which sign requests and decrypt assertions.

use std::sync::Arc;

use jiff::Timestamp;

use crate::certificate::Certificate;
use crate::config::SamlKeyPair;
use crate::seal::SealRing;
use crate::store::{Store, StoreError};

/// All key pairs, at least one. All are published and all decrypt.
#[derive(Clone, Debug)]
pub struct SpKeys {
    signer: Arc<SpKey>,
    others: Vec<Arc<SpKey>>,
}

/// One key pair.
pub struct SpKey {
    certificate: Certificate,
}

/// How a key was wrapped with RSA-OAEP (XML Encryption 1.1, 5.5.2): digest and MGF1 digest are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Oaep {
    /// SHA-1 with MGF1-SHA-1.
    Sha1,
    /// SHA-256 with MGF1-SHA-256.
    Sha256,
}

/// A private key that cannot be used, or a ciphertext that does not open: deliberately without detail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the key cannot do that")]
pub struct KeyError;

impl SpKeys {
    /// The configured pairs; none are configured: those of the store, one made where there is none.
    ///
    /// # Errors
    /// If the store fails, or a kept key does not open any more.
    pub async fn load(
        _store: &Store,
        _ring: &SealRing,
        _configured: &[SamlKeyPair],
        _name: &str,
        _now: Timestamp,
    ) -> Result<Self, StoreError> {
        todo!()
    }

    /// The pair that signs.
    pub fn signer(&self) -> &SpKey {
        &self.signer
    }

    /// All pairs, the one that signs first.
    pub fn all(&self) -> impl Iterator<Item = &SpKey> {
        std::iter::once(&self.signer)
            .chain(&self.others)
            .map(AsRef::as_ref)
    }
}

impl SpKey {
    /// Its certificate.
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// Signs with RSASSA-PKCS1-v1_5 and SHA-256 (`rsa-sha256`, RFC 4051).
    ///
    /// # Errors
    /// [`KeyError`] if the provider fails.
    pub fn sign(&self, _message: &[u8]) -> Result<Vec<u8>, KeyError> {
        todo!()
    }

    /// Unwraps a content key.
    ///
    /// # Errors
    /// [`KeyError`] for every reason alike.
    pub fn unwrap_key(&self, _by: Oaep, _wrapped: &[u8]) -> Result<Vec<u8>, KeyError> {
        todo!()
    }
}

impl std::fmt::Debug for SpKey {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "SpKey({})", self.certificate.fingerprint())
    }
}
