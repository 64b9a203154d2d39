//! The keys of the SAML service provider: RSA pairs with self-signed certificates, which sign requests and decrypt assertions.

mod kept;

use std::sync::Arc;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{
    KeyPair, OAEP_SHA1_MGF1SHA1, OAEP_SHA256_MGF1SHA256, OAEP_SHA384_MGF1SHA384,
    OAEP_SHA512_MGF1SHA512, OaepPrivateDecryptingKey, PrivateDecryptingKey,
};
use aws_lc_rs::signature::RSA_PKCS1_SHA256;
use jiff::Timestamp;

use crate::certificate::{self, Certificate};
use crate::config::SamlKeyPair;
use crate::seal::SealRing;
use crate::store::{Store, StoreError};

pub use kept::{Kept, RotationError, list, make, remove, sign_with};

/// All key pairs, at least one. All are published and all decrypt.
#[derive(Clone, Debug)]
pub struct SpKeys {
    signer: Arc<SpKey>,
    others: Vec<Arc<SpKey>>,
}

/// One key pair.
pub struct SpKey {
    certificate: Certificate,
    signing: KeyPair,
    decrypting: OaepPrivateDecryptingKey,
}

/// How a key was wrapped with RSA-OAEP (XML Encryption 1.1, 5.5.2): digest and MGF1 digest are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Oaep {
    /// SHA-1 with MGF1-SHA-1.
    Sha1,
    /// SHA-256 with MGF1-SHA-256.
    Sha256,
    /// SHA-384 with MGF1-SHA-384.
    Sha384,
    /// SHA-512 with MGF1-SHA-512.
    Sha512,
}

/// A private key that cannot be used, or a ciphertext that does not open: deliberately without detail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the key cannot do that")]
pub struct KeyError;

impl SpKeys {
    /// The configured pairs; none are configured: those of the store, one made where there is none. `name` (a host) is the
    /// common name of a certificate that is made.
    ///
    /// # Errors
    /// If the store fails, or a kept key does not open any more.
    pub async fn load(
        store: &Store,
        ring: &SealRing,
        configured: &[SamlKeyPair],
        name: &str,
        now: Timestamp,
    ) -> Result<Self, StoreError> {
        let keys = if configured.is_empty() {
            kept::load(store, ring, name, now).await?
        } else {
            configured
                .iter()
                .map(configured_key)
                .collect::<Result<Vec<_>, _>>()?
        };
        Self::of(keys).ok_or_else(|| StoreError("there is no SAML key".to_owned()))
    }

    /// Of keys, of which the first signs; none where there are none.
    pub fn of(keys: Vec<SpKey>) -> Option<Self> {
        let mut keys = keys.into_iter().map(Arc::new);
        Some(Self {
            signer: keys.next()?,
            others: keys.collect(),
        })
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

fn configured_key(pair: &SamlKeyPair) -> Result<SpKey, StoreError> {
    let shown = |error: &dyn std::fmt::Display| {
        let fingerprint = pair.certificate.fingerprint();
        StoreError(format!("`keys.saml`, certificate {fingerprint}: {error}"))
    };
    let key = certificate::key_pair(&pair.certificate, &pair.key).map_err(|error| shown(&error))?;
    SpKey::new(pair.certificate.clone(), key).map_err(|error| shown(&error))
}

impl SpKey {
    /// Of a pair whose certificate belongs to it ([`certificate::key_pair`]).
    ///
    /// # Errors
    /// [`KeyError`] if the provider does not take the key for decrypting.
    pub fn new(certificate: Certificate, signing: KeyPair) -> Result<Self, KeyError> {
        let pkcs8: Pkcs8V1Der<'_> = signing.as_der().map_err(|_| KeyError)?;
        let decrypting = PrivateDecryptingKey::from_pkcs8(pkcs8.as_ref())
            .map_err(|_| KeyError)
            .and_then(|key| OaepPrivateDecryptingKey::new(key).map_err(|_| KeyError))?;
        Ok(Self {
            certificate,
            signing,
            decrypting,
        })
    }

    /// Its certificate.
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// Signs with RSASSA-PKCS1-v1_5 and SHA-256 (`rsa-sha256`, RFC 4051).
    ///
    /// # Errors
    /// [`KeyError`] if the provider fails.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        let mut signature = vec![0; self.signing.public_modulus_len()];
        self.signing
            .sign(
                &RSA_PKCS1_SHA256,
                &SystemRandom::new(),
                message,
                &mut signature,
            )
            .map_err(|_| KeyError)?;
        Ok(signature)
    }

    /// Unwraps a content key.
    ///
    /// # Errors
    /// [`KeyError`] for every reason alike.
    pub fn unwrap_key(&self, by: Oaep, wrapped: &[u8]) -> Result<Vec<u8>, KeyError> {
        let algorithm = match by {
            Oaep::Sha1 => &OAEP_SHA1_MGF1SHA1,
            Oaep::Sha256 => &OAEP_SHA256_MGF1SHA256,
            Oaep::Sha384 => &OAEP_SHA384_MGF1SHA384,
            Oaep::Sha512 => &OAEP_SHA512_MGF1SHA512,
        };
        let mut room = vec![0; self.decrypting.min_output_size()];
        let length = self
            .decrypting
            .decrypt(algorithm, wrapped, &mut room, None)
            .map_err(|_| KeyError)?
            .len();
        room.truncate(length);
        Ok(room)
    }
}

impl std::fmt::Debug for SpKey {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "SpKey({})", self.certificate.fingerprint())
    }
}

#[cfg(test)]
mod tests;
