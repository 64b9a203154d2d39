//! X.509 certificates as containers of a key with dates (RFC 5280): nobody's chain is built or trusted here.

use jiff::Timestamp;

/// A certificate whose dates and key are known.
#[derive(Clone, PartialEq, Eq)]
pub struct Certificate {
    der: Vec<u8>,
    not_before: Timestamp,
    not_after: Timestamp,
    key: PublicKey,
}

/// The key of a certificate, of the kinds that usher verifies with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PublicKey {
    /// RSA of at least 2048 bits, as DER `RSAPublicKey` (RFC 8017 A.1.1).
    Rsa(Vec<u8>),
    /// An uncompressed point on P-256.
    P256(Vec<u8>),
    /// An uncompressed point on P-384.
    P384(Vec<u8>),
}

/// Why a text is no usable certificate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// It is not one certificate in PEM or base64.
    #[error("it is not one certificate in PEM or base64")]
    NotACertificate,
    /// The key is of a kind or size that usher does not verify with.
    #[error("its key is {0}; usher verifies with RSA of at least 2048 bits, P-256 and P-384")]
    Key(String),
}

impl Certificate {
    /// Of a PEM text with exactly one certificate, or of its bare base64 (as metadata and admin pages show it).
    ///
    /// # Errors
    /// As [`CertificateError`] tells.
    pub fn from_text(_text: &str) -> Result<Self, CertificateError> {
        todo!()
    }

    /// Of DER.
    ///
    /// # Errors
    /// As [`CertificateError`] tells.
    pub fn from_der(_der: &[u8]) -> Result<Self, CertificateError> {
        todo!()
    }

    /// The DER encoding.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// `notBefore`.
    pub fn not_before(&self) -> Timestamp {
        self.not_before
    }

    /// `notAfter`.
    pub fn not_after(&self) -> Timestamp {
        self.not_after
    }

    /// The public key.
    pub fn key(&self) -> &PublicKey {
        &self.key
    }

    /// SHA-256 of the DER, as upper-case hexadecimal pairs with colons: how admin pages show it.
    pub fn fingerprint(&self) -> String {
        todo!()
    }
}

impl std::fmt::Debug for Certificate {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Certificate({})", self.fingerprint())
    }
}
