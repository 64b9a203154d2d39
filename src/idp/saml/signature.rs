//! XML signatures (XML-DSig core, 2nd edition) in the one shape that usher takes, and signatures over raw bytes (Redirect binding).
//!
//! The order is fixed: the shape, then the digest over our own canonical octets, then the value. What is handed on are those
//! very octets, so that a mistake in canonicalization can only refuse.

mod algorithm;
mod shape;

use aws_lc_rs::digest::digest;
use aws_lc_rs::signature::{UnparsedPublicKey, VerificationAlgorithm};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;

use self::algorithm::DigestAlgorithm;
use self::shape::{Signature, SignedInfo};
use super::check::Check;
use super::response::SKEW;
use super::xml::write::Element;
use super::xml::{self, DSIG, EXCLUSIVE_C14N, Limits, Node, canonical};
use crate::certificate::{Certificate, PublicKey};
use crate::keys::saml::{KeyError, SpKey};

pub use algorithm::Algorithm;

/// The transform that leaves the signature itself out.
const ENVELOPED: &str = "http://www.w3.org/2000/09/xmldsig#enveloped-signature";

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

impl SignatureError {
    /// The step of the verification that failed.
    pub fn check(&self) -> Check {
        match self {
            Self::CertificateDates { .. } => Check::CertificateDates,
            Self::Shape(_) | Self::Algorithm(_) | Self::Digest | Self::Value(_) => Check::Signature,
        }
    }
}

/// The `ds:Signature` child of an element, if it has one.
///
/// # Errors
/// [`SignatureError::Shape`] if it has several.
pub fn of<'a, 'i>(element: Node<'a, 'i>) -> Result<Option<Node<'a, 'i>>, SignatureError> {
    xml::one(element, DSIG, "Signature").map_err(|error| SignatureError::Shape(error.to_string()))
}

/// Verifies the enveloped `signature` of `element`, its parent, whose `ID` attribute the one reference names.
///
/// That no other element of the document has that ID is not looked at here: the octets are of `element` alone.
///
/// # Errors
/// As [`SignatureError`] tells.
pub fn verify_enveloped(
    element: Node<'_, '_>,
    signature: Node<'_, '_>,
    certificates: &[Certificate],
    now: Timestamp,
) -> Result<SignedOctets, SignatureError> {
    let Signature {
        signed_info,
        says,
        value,
    } = shape::read(element, signature)?;
    let signed = canonical::exclusive(signed_info, None, &says.prefixes());
    read_again(&signed, &says)?;
    let prefixes = says.reference.prefixes();
    let octets = canonical::exclusive(element, Some(signature.id()), &prefixes);
    let computed = digest(says.reference.digest_algorithm.provider(), &octets);
    if computed.as_ref() != says.reference.digest {
        return Err(SignatureError::Digest);
    }
    verify_bytes(says.algorithm, &signed, &value, certificates, now)?;
    Ok(SignedOctets { octets })
}

/// What is signed is the canonical form: that must say what the tree said, or one of the two was misread.
fn read_again(signed: &[u8], says: &SignedInfo) -> Result<(), SignatureError> {
    let differs = || SignatureError::Shape("its canonical form says something else".to_owned());
    let document = xml::parse(signed, &Limits::METADATA).map_err(|_| differs())?;
    let again = shape::signed_info(document.root_element()).map_err(|_| differs())?;
    if again == *says {
        Ok(())
    } else {
        Err(differs())
    }
}

/// Verifies a signature over bytes (SAML Bindings 3.4.4.1).
///
/// # Errors
/// [`SignatureError::Value`] and [`SignatureError::CertificateDates`].
pub fn verify_bytes(
    algorithm: Algorithm,
    signed: &[u8],
    signature: &[u8],
    certificates: &[Certificate],
    now: Timestamp,
) -> Result<(), SignatureError> {
    let mut outside = None;
    for certificate in certificates {
        if !verifies(algorithm, certificate.key(), signed, signature) {
            continue;
        }
        if in_time(certificate, now) {
            return Ok(());
        }
        // Another certificate may hold the same key, renewed.
        outside = Some(SignatureError::CertificateDates {
            not_before: certificate.not_before(),
            not_after: certificate.not_after(),
        });
    }
    Err(outside.unwrap_or(SignatureError::Value(certificates.len())))
}

fn verifies(algorithm: Algorithm, key: &PublicKey, signed: &[u8], signature: &[u8]) -> bool {
    let with = |algorithm: &'static dyn VerificationAlgorithm, key: &[u8]| {
        UnparsedPublicKey::new(algorithm, key)
            .verify(signed, signature)
            .is_ok()
    };
    match key {
        PublicKey::Rsa(key) => algorithm.rsa().is_some_and(|by| with(by, key)),
        PublicKey::P256(point) => algorithm.p256().is_some_and(|by| with(by, point)),
        PublicKey::P384(point) => algorithm.p384().is_some_and(|by| with(by, point)),
    }
}

fn in_time(certificate: &Certificate, now: Timestamp) -> bool {
    let now = now.as_second();
    certificate.not_before().as_second() <= now.saturating_add(SKEW)
        && now.saturating_sub(SKEW) <= certificate.not_after().as_second()
}

/// An enveloped signature, in canonical form, for an element that usher wrote with [`super::xml::write`]: `canonical` is that
/// element without the signature, and `id` its `ID`. It belongs right after the element's `Issuer` child
/// (for metadata: as its first child).
///
/// # Errors
/// [`KeyError`] if the key cannot sign.
pub fn sign_enveloped(canonical: &str, id: &str, key: &SpKey) -> Result<String, KeyError> {
    let digested = digest(DigestAlgorithm::Sha256.provider(), canonical.as_bytes());
    let digested = STANDARD.encode(digested);
    // On its own, as it is signed, it declares the prefix itself.
    let alone = Element::new("ds:SignedInfo").attribute("xmlns:ds", DSIG);
    let value = key.sign(fill(alone, id, &digested).finish().as_bytes())?;
    let certificate = STANDARD.encode(key.certificate().der());
    // Many IdPs look for the certificate here before they compare it with ours.
    let key_info = Element::new("ds:KeyInfo").child(
        Element::new("ds:X509Data").child(Element::new("ds:X509Certificate").text(&certificate)),
    );
    let signature = Element::new("ds:Signature")
        .attribute("xmlns:ds", DSIG)
        .child(fill(Element::new("ds:SignedInfo"), id, &digested))
        .child(Element::new("ds:SignatureValue").text(&STANDARD.encode(value)))
        .child(key_info);
    Ok(signature.finish())
}

/// An element that usher writes, signed where a key is given: `element` makes it with the signature that it is given, which is
/// empty at first.
///
/// # Errors
/// [`KeyError`] if the key cannot sign.
pub fn write(
    key: Option<&SpKey>,
    id: &str,
    element: impl Fn(&str) -> Element,
) -> Result<String, KeyError> {
    let plain = element("").finish();
    let Some(key) = key else {
        return Ok(plain);
    };
    let signature = sign_enveloped(&plain, id, key)?;
    Ok(element(&signature).finish())
}

/// The content of a `ds:SignedInfo`.
fn fill(signed_info: Element, id: &str, digested: &str) -> Element {
    let method = |name, algorithm: &str| Element::new(name).attribute("Algorithm", algorithm);
    let transforms = Element::new("ds:Transforms")
        .child(method("ds:Transform", ENVELOPED))
        .child(method("ds:Transform", EXCLUSIVE_C14N));
    let reference = Element::new("ds:Reference")
        .attribute("URI", &format!("#{id}"))
        .child(transforms)
        .child(method("ds:DigestMethod", DigestAlgorithm::Sha256.uri()))
        .child(Element::new("ds:DigestValue").text(digested));
    signed_info
        .child(method("ds:CanonicalizationMethod", EXCLUSIVE_C14N))
        .child(method("ds:SignatureMethod", Algorithm::RsaSha256.uri()))
        .child(reference)
}

#[cfg(test)]
mod tests;
