//! XML signatures (XML-DSig core, 2nd edition) in the one shape that usher takes, and signatures over raw bytes (Redirect binding).

use jiff::Timestamp;

use super::xml::Node;
use crate::certificate::Certificate;

/// Signature algorithms that usher takes (RFC 6931): by their URI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// `rsa-sha256`.
    RsaSha256,
    /// `rsa-sha384`.
    RsaSha384,
    /// `rsa-sha512`.
    RsaSha512,
    /// `ecdsa-sha256` over P-256.
    EcdsaSha256,
    /// `ecdsa-sha384` over P-384.
    EcdsaSha384,
}

impl Algorithm {
    /// The algorithm of a URI; none for those that usher does not take (SHA-1, HMAC, DSA…).
    pub fn of_uri(_uri: &str) -> Option<Self> {
        todo!()
    }

    /// Its URI.
    pub fn uri(self) -> &'static str {
        todo!()
    }
}

/// The canonical octets of an element whose signature was verified: claims are read from these alone, by parsing them anew.
pub struct SignedOctets {
    octets: Vec<u8>,
}

impl SignedOctets {
    /// The octets.
    pub fn as_bytes(&self) -> &[u8] {
        &self.octets
    }
}

/// Why a signature does not count.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// It is not in the one shape that usher takes.
    #[error("the signature is not shaped as it must be: {0}")]
    Shape(String),
    /// An algorithm that usher does not take, by its URI.
    #[error("the algorithm {0} is not accepted")]
    Algorithm(String),
    /// What was signed is not what stands there.
    #[error("the digest is not that of the signed element")]
    Digest,
    /// No certificate of the IdP verifies the value.
    #[error("none of the {0} signing certificates of the identity provider verifies it")]
    Value(usize),
    /// A certificate verifies it, whose time is over or has not come.
    #[error("the certificate that verifies it is valid from {not_before} to {not_after} only")]
    CertificateDates {
        /// `notBefore`.
        not_before: Timestamp,
        /// `notAfter`.
        not_after: Timestamp,
    },
}

/// The `ds:Signature` child of an element, if it has one.
///
/// # Errors
/// [`SignatureError::Shape`] if it has several.
pub fn of<'a, 'i>(_element: Node<'a, 'i>) -> Result<Option<Node<'a, 'i>>, SignatureError> {
    todo!()
}

/// Verifies the enveloped `signature` of `element`, its parent, whose `ID` attribute the one reference names.
///
/// # Errors
/// As [`SignatureError`] tells.
pub fn verify_enveloped(
    _element: Node<'_, '_>,
    _signature: Node<'_, '_>,
    _certificates: &[Certificate],
    _now: Timestamp,
) -> Result<SignedOctets, SignatureError> {
    todo!()
}

/// Verifies a signature over bytes (SAML Bindings 3.4.4.1).
///
/// # Errors
/// [`SignatureError::Value`] and [`SignatureError::CertificateDates`].
pub fn verify_bytes(
    _algorithm: Algorithm,
    _signed: &[u8],
    _signature: &[u8],
    _certificates: &[Certificate],
    _now: Timestamp,
) -> Result<(), SignatureError> {
    todo!()
}

/// An enveloped signature, in canonical form, for an element that usher wrote with [`super::xml::write`]: `canonical` is that
/// element without the signature, and `id` its `ID`. It belongs right after the element's `Issuer` child
/// (for metadata: as its first child).
///
/// # Errors
/// [`crate::keys::saml::KeyError`] if the key cannot sign.
pub fn sign_enveloped(
    _canonical: &str,
    _id: &str,
    _key: &crate::keys::saml::SpKey,
) -> Result<String, crate::keys::saml::KeyError> {
    todo!()
}
