//! The keys of the test IdPs and of a test SP, with their certificates. Everybody can read them: for tests only.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING,
    ECDSA_P521_SHA512_FIXED_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm, RSA_PKCS1_SHA256,
    RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RSA_PSS_SHA256, RsaEncoding, RsaKeyPair,
};
use aws_lc_rs::{digest, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::ForgeError;
use super::rsa::RsaNumbers;

/// A private key with its self-signed certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TestKey {
    /// Its name.
    pub name: &'static str,
    pem: &'static str,
}

macro_rules! test_keys {
    ($($(#[$doc:meta])* $name:ident $file:literal;)*) => {
        impl TestKey {
            $($(#[$doc])* pub const $name: TestKey = TestKey {
                name: $file,
                pem: include_str!(concat!("test-only-", $file, ".pem")),
            };)*
        }
    };
}

test_keys! {
    /// RSA-2048: signs for the IdP.
    IDP "idp";
    /// RSA-2048: the IdP's next.
    IDP_NEXT "idp-next";
    /// RSA-2048 of another IdP.
    OTHER_IDP "other-idp";
    /// RSA-2048 of nobody who is trusted.
    ATTACKER "attacker";
    /// RSA-2048, certificate over since 2020.
    EXPIRED "expired";
    /// RSA-2048, certificate valid from 2045.
    FUTURE "future";
    /// RSA-1024.
    WEAK "weak";
    /// NIST P-256.
    P256 "p256";
    /// NIST P-384.
    P384 "p384";
    /// NIST P-521.
    P521 "p521";
    /// RSA-2048 of a service provider.
    SP "sp";
    /// RSA-2048: the service provider's other key.
    SP_NEXT "sp-next";
}

const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----";

fn der(pem: &str) -> Vec<u8> {
    let body: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    STANDARD.decode(body).unwrap_or_default()
}

impl TestKey {
    /// The certificate as PEM.
    pub fn certificate_pem(self) -> &'static str {
        let start = self.pem.find(CERTIFICATE).unwrap_or_default();
        self.pem.get(start..).unwrap_or_default()
    }

    /// The private key as PEM (PKCS#8).
    pub fn key_pem(self) -> &'static str {
        self.pem.split(CERTIFICATE).next().unwrap_or_default()
    }

    /// The certificate as base64 of its DER, as metadata and `KeyInfo` have it.
    pub fn certificate_base64(self) -> String {
        STANDARD.encode(self.certificate_der())
    }

    /// The DER of the certificate.
    pub fn certificate_der(self) -> Vec<u8> {
        der(self.certificate_pem())
    }

    /// The DER of the private key (PKCS#8).
    pub fn key_der(self) -> Vec<u8> {
        der(self.key_pem())
    }

    /// `ds:Modulus` of an RSA key, base64.
    ///
    /// # Errors
    /// It is no RSA key.
    pub fn modulus(self) -> Result<String, ForgeError> {
        Ok(STANDARD.encode(RsaNumbers::of_private(&self.key_der())?.n))
    }

    /// Signs `message`.
    ///
    /// # Errors
    /// The key is of another kind than the algorithm.
    pub fn sign(self, by: SignatureAlgorithm, message: &[u8]) -> Result<Vec<u8>, ForgeError> {
        use SignatureAlgorithm as By;
        match by {
            By::RsaSha1 => self.sign_by_numbers(Digest::Sha1, message),
            By::RsaSha256 if self == Self::WEAK => self.sign_by_numbers(Digest::Sha256, message),
            By::RsaSha256 => self.sign_rsa(&RSA_PKCS1_SHA256, message),
            By::RsaSha384 => self.sign_rsa(&RSA_PKCS1_SHA384, message),
            By::RsaSha512 => self.sign_rsa(&RSA_PKCS1_SHA512, message),
            By::RsaPssSha256 => self.sign_rsa(&RSA_PSS_SHA256, message),
            By::EcdsaSha256 => self.sign_ecdsa(&ECDSA_P256_SHA256_FIXED_SIGNING, message),
            By::EcdsaSha384 => self.sign_ecdsa(&ECDSA_P384_SHA384_FIXED_SIGNING, message),
            By::EcdsaSha512 => self.sign_ecdsa(&ECDSA_P521_SHA512_FIXED_SIGNING, message),
            By::HmacSha1 => Ok(self.hmac(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, message)),
            By::HmacSha256 => Ok(self.hmac(hmac::HMAC_SHA256, message)),
        }
    }

    fn sign_by_numbers(self, digest: Digest, message: &[u8]) -> Result<Vec<u8>, ForgeError> {
        RsaNumbers::of_private(&self.key_der())?.sign(digest, message)
    }

    fn sign_rsa(
        self,
        padding: &'static dyn RsaEncoding,
        message: &[u8],
    ) -> Result<Vec<u8>, ForgeError> {
        let pair = RsaKeyPair::from_pkcs8(&self.key_der()).map_err(|_| ForgeError::Key)?;
        let mut signature = vec![0; pair.public_modulus_len()];
        pair.sign(padding, &SystemRandom::new(), message, &mut signature)
            .map_err(|_| ForgeError::Key)?;
        Ok(signature)
    }

    fn sign_ecdsa(
        self,
        by: &'static EcdsaSigningAlgorithm,
        message: &[u8],
    ) -> Result<Vec<u8>, ForgeError> {
        let pair = EcdsaKeyPair::from_pkcs8(by, &self.key_der()).map_err(|_| ForgeError::Key)?;
        let signature = pair
            .sign(&SystemRandom::new(), message)
            .map_err(|_| ForgeError::Key)?;
        Ok(signature.as_ref().to_vec())
    }

    /// The confusion of keys: what everybody can read, the certificate, as the secret.
    fn hmac(self, by: hmac::Algorithm, message: &[u8]) -> Vec<u8> {
        let secret = self.certificate_der();
        let tag = hmac::sign(&hmac::Key::new(by, &secret), message);
        tag.as_ref().to_vec()
    }
}

/// How to sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignatureAlgorithm {
    /// `rsa-sha1`.
    RsaSha1,
    /// `rsa-sha256`.
    RsaSha256,
    /// `rsa-sha384`.
    RsaSha384,
    /// `rsa-sha512`.
    RsaSha512,
    /// `sha256-rsa-MGF1`.
    RsaPssSha256,
    /// `ecdsa-sha256`, on P-256.
    EcdsaSha256,
    /// `ecdsa-sha384`, on P-384.
    EcdsaSha384,
    /// `ecdsa-sha512`, on P-521.
    EcdsaSha512,
    /// `hmac-sha1` with the certificate's DER as the secret.
    HmacSha1,
    /// `hmac-sha256` with the certificate's DER as the secret.
    HmacSha256,
}

impl SignatureAlgorithm {
    /// Its URI (RFC 6931).
    pub fn uri(self) -> &'static str {
        match self {
            Self::RsaSha1 => "http://www.w3.org/2000/09/xmldsig#rsa-sha1",
            Self::RsaSha256 => "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256",
            Self::RsaSha384 => "http://www.w3.org/2001/04/xmldsig-more#rsa-sha384",
            Self::RsaSha512 => "http://www.w3.org/2001/04/xmldsig-more#rsa-sha512",
            Self::RsaPssSha256 => "http://www.w3.org/2007/05/xmldsig-more#sha256-rsa-MGF1",
            Self::EcdsaSha256 => "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha256",
            Self::EcdsaSha384 => "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha384",
            Self::EcdsaSha512 => "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha512",
            Self::HmacSha1 => "http://www.w3.org/2000/09/xmldsig#hmac-sha1",
            Self::HmacSha256 => "http://www.w3.org/2001/04/xmldsig-more#hmac-sha256",
        }
    }
}

/// A digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Digest {
    /// SHA-1.
    Sha1,
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

impl Digest {
    /// Its URI.
    pub fn uri(self) -> &'static str {
        match self {
            Self::Sha1 => "http://www.w3.org/2000/09/xmldsig#sha1",
            Self::Sha256 => "http://www.w3.org/2001/04/xmlenc#sha256",
            Self::Sha384 => "http://www.w3.org/2001/04/xmldsig-more#sha384",
            Self::Sha512 => "http://www.w3.org/2001/04/xmlenc#sha512",
        }
    }

    /// URI of MGF1 with it (XML Encryption 1.1, 5.5.2).
    pub fn mgf_uri(self) -> &'static str {
        match self {
            Self::Sha1 => "http://www.w3.org/2009/xmlenc11#mgf1sha1",
            Self::Sha256 => "http://www.w3.org/2009/xmlenc11#mgf1sha256",
            Self::Sha384 => "http://www.w3.org/2009/xmlenc11#mgf1sha384",
            Self::Sha512 => "http://www.w3.org/2009/xmlenc11#mgf1sha512",
        }
    }

    /// The digest of `bytes`.
    pub fn of(self, bytes: &[u8]) -> Vec<u8> {
        digest::digest(self.algorithm(), bytes).as_ref().to_vec()
    }

    pub(super) fn algorithm(self) -> &'static digest::Algorithm {
        match self {
            Self::Sha1 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
            Self::Sha256 => &digest::SHA256,
            Self::Sha384 => &digest::SHA384,
            Self::Sha512 => &digest::SHA512,
        }
    }

    /// What stands before the digest in a `DigestInfo` (RFC 8017 9.2).
    pub(super) fn info(self) -> &'static [u8] {
        match self {
            Self::Sha1 => b"\x30\x21\x30\x09\x06\x05\x2b\x0e\x03\x02\x1a\x05\x00\x04\x14",
            Self::Sha256 => {
                b"\x30\x31\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00\x04\x20"
            }
            Self::Sha384 => {
                b"\x30\x41\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x02\x05\x00\x04\x30"
            }
            Self::Sha512 => {
                b"\x30\x51\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x03\x05\x00\x04\x40"
            }
        }
    }
}
