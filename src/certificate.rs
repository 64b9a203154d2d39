//! X.509 certificates as containers of a key with dates (RFC 5280): nobody's chain is built or trusted here.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rsa::KeyPair;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, KeyPair as _, ParsedPublicKey,
    RSA_PKCS1_2048_8192_SHA256, VerificationAlgorithm,
};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use x509_parser::asn1_rs::{FromDer, Oid};
use x509_parser::certificate::{Validity, X509Certificate, X509CertificateParser};
use x509_parser::nom::Parser;
use x509_parser::oid_registry::{
    OID_EC_P256, OID_KEY_TYPE_EC_PUBLIC_KEY, OID_NIST_EC_P384, OID_PKCS1_RSAENCRYPTION,
};
use x509_parser::public_key::RSAPublicKey;
use x509_parser::x509::SubjectPublicKeyInfo;

use crate::secret::Secret;

const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";
/// Bytes of DER that are looked at, at most: those of an RSA-8192 key with generous extensions.
const LONGEST: usize = 64 * 1024;

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
    /// RSA of 2048 to 8192 bits, as DER `RSAPublicKey` (RFC 8017 A.1.1).
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

/// Why a private key is none that a certificate can be used with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyPairError {
    /// Not a private key in PEM.
    #[error("the key is no RSA private key in PEM (PKCS#8 or PKCS#1, not encrypted)")]
    NotAKey,
    /// Of another certificate.
    #[error("the key is not that of the certificate")]
    OtherCertificate,
}

impl Certificate {
    /// Of a PEM text with exactly one certificate, or of its bare base64 (as metadata and admin pages show it).
    /// Text around the PEM block is left aside (RFC 7468, 2).
    ///
    /// # Errors
    /// As [`CertificateError`] tells.
    pub fn from_text(text: &str) -> Result<Self, CertificateError> {
        let body = match text.split_once(BEGIN) {
            Some((before, rest)) => {
                let (body, after) = rest
                    .split_once(END)
                    .ok_or(CertificateError::NotACertificate)?;
                if [before, after].iter().any(|text| text.contains("-----")) {
                    return Err(CertificateError::NotACertificate);
                }
                body
            }
            None => text,
        };
        let compact: String = body
            .chars()
            .filter(|letter| !letter.is_ascii_whitespace())
            .collect();
        let der = STANDARD
            .decode(compact)
            .map_err(|_| CertificateError::NotACertificate)?;
        Self::from_der(&der)
    }

    /// Of DER: the whole of it must be one certificate.
    ///
    /// # Errors
    /// As [`CertificateError`] tells.
    pub fn from_der(der: &[u8]) -> Result<Self, CertificateError> {
        let parsed = parse(der).ok_or(CertificateError::NotACertificate)?;
        let (not_before, not_after) =
            dates(&parsed.tbs_certificate.validity).ok_or(CertificateError::NotACertificate)?;
        let key = PublicKey::of(&parsed.tbs_certificate.subject_pki)?;
        Ok(Self {
            der: der.to_vec(),
            not_before,
            not_after,
            key,
        })
    }

    /// The DER encoding.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// PEM, lines of 64 characters (RFC 7468).
    pub fn pem(&self) -> String {
        let mut pem = format!("{BEGIN}\n");
        for (at, letter) in STANDARD.encode(&self.der).chars().enumerate() {
            if at > 0 && at % 64 == 0 {
                pem.push('\n');
            }
            pem.push(letter);
        }
        pem.push('\n');
        pem.push_str(END);
        pem.push('\n');
        pem
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
        let pairs: Vec<String> = digest(&SHA256, &self.der)
            .as_ref()
            .iter()
            .map(|byte| format!("{byte:02X}"))
            .collect();
        pairs.join(":")
    }
}

impl std::fmt::Debug for Certificate {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Certificate({})", self.fingerprint())
    }
}

impl PublicKey {
    fn of(info: &SubjectPublicKeyInfo<'_>) -> Result<Self, CertificateError> {
        let bits = &info.subject_public_key;
        let other = |what: &str| Err(CertificateError::Key(what.to_owned()));
        if bits.unused_bits != 0 {
            return other("malformed");
        }
        let algorithm = &info.algorithm.algorithm;
        if *algorithm == OID_PKCS1_RSAENCRYPTION {
            return rsa(&bits.data).map(Self::Rsa);
        }
        if *algorithm != OID_KEY_TYPE_EC_PUBLIC_KEY {
            return other(&format!("of the kind {algorithm}"));
        }
        let curve = info.algorithm.parameters.as_ref();
        let Some(curve) = curve.and_then(|any| Oid::try_from(any).ok()) else {
            return other("on a curve without a name");
        };
        let point = bits.data.to_vec();
        if curve == OID_EC_P256 {
            on_curve(&ECDSA_P256_SHA256_FIXED, &point, 32)?;
            return Ok(Self::P256(point));
        }
        if curve == OID_NIST_EC_P384 {
            on_curve(&ECDSA_P384_SHA384_FIXED, &point, 48)?;
            return Ok(Self::P384(point));
        }
        other(&format!("on the curve {curve}"))
    }
}

/// A DER `RSAPublicKey` of 2048 to 8192 bits with an odd exponent of at least 3.
fn rsa(der: &[u8]) -> Result<Vec<u8>, CertificateError> {
    let other = |what: &str| CertificateError::Key(what.to_owned());
    let Ok(([], key)) = RSAPublicKey::from_der(der) else {
        return Err(other("malformed"));
    };
    let modulus = positive(key.modulus).ok_or_else(|| other("malformed"))?;
    let exponent = positive(key.exponent).ok_or_else(|| other("malformed"))?;
    let leading = modulus.first().map_or(0, |byte| byte.leading_zeros());
    let size = modulus.len() * 8 - usize::try_from(leading).unwrap_or(0);
    if !(2048..=8192).contains(&size) {
        return Err(other(&format!("RSA of {size} bits")));
    }
    let odd = |number: &[u8]| number.last().is_some_and(|byte| byte & 1 == 1);
    if !odd(modulus) || !odd(exponent) || exponent == [1] {
        return Err(other("RSA with numbers that cannot be"));
    }
    // The provider has limits of its own, such as the size of the exponent.
    if ParsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, der).is_err() {
        return Err(other("RSA that cannot be used"));
    }
    Ok(der.to_vec())
}

/// The digits of a DER INTEGER above zero, in its shortest form.
fn positive(integer: &[u8]) -> Option<&[u8]> {
    let (first, rest) = integer.split_first()?;
    if *first == 0 {
        return rest
            .first()
            .is_some_and(|next| *next >= 0x80)
            .then_some(rest);
    }
    (*first < 0x80).then_some(integer)
}

fn on_curve(
    algorithm: &'static dyn VerificationAlgorithm,
    point: &[u8],
    coordinate: usize,
) -> Result<(), CertificateError> {
    let uncompressed = point.first() == Some(&4) && point.len() == 1 + 2 * coordinate;
    if !uncompressed || ParsedPublicKey::new(algorithm, point).is_err() {
        return Err(CertificateError::Key(
            "no uncompressed point on its curve".to_owned(),
        ));
    }
    Ok(())
}

/// `notBefore` and `notAfter` of a DER certificate with a key of any kind; none for what is no certificate.
pub fn validity(der: &[u8]) -> Option<(Timestamp, Timestamp)> {
    dates(&parse(der)?.tbs_certificate.validity)
}

fn parse(der: &[u8]) -> Option<X509Certificate<'_>> {
    if der.len() > LONGEST {
        return None;
    }
    // Nothing is read from extensions, and those of some IdPs are odd.
    let mut parser = X509CertificateParser::new().with_deep_parse_extensions(false);
    match parser.parse(der) {
        Ok(([], certificate)) => Some(certificate),
        Ok(_) | Err(_) => None,
    }
}

fn dates(validity: &Validity) -> Option<(Timestamp, Timestamp)> {
    let from = Timestamp::from_second(validity.not_before.timestamp()).ok()?;
    let until = Timestamp::from_second(validity.not_after.timestamp()).ok()?;
    Some((from, until))
}

/// The RSA key pair of `certificate`, whose private key `key` is, in PEM.
///
/// # Errors
/// As [`KeyPairError`] tells.
pub fn key_pair(certificate: &Certificate, key: &Secret) -> Result<KeyPair, KeyPairError> {
    let der = PrivateKeyDer::from_pem_slice(key.expose().as_bytes());
    let der = der.map_err(|_| KeyPairError::NotAKey)?;
    let pair = if let PrivateKeyDer::Pkcs1(der) = &der {
        KeyPair::from_der(der.secret_pkcs1_der())
    } else {
        KeyPair::from_pkcs8(der.secret_der())
    };
    let pair = pair.map_err(|_| KeyPairError::NotAKey)?;
    match &certificate.key {
        PublicKey::Rsa(public) if public.as_slice() == pair.public_key().as_ref() => Ok(pair),
        PublicKey::Rsa(_) | PublicKey::P256(_) | PublicKey::P384(_) => {
            Err(KeyPairError::OtherCertificate)
        }
    }
}

#[cfg(test)]
mod tests;
