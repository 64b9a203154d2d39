//! The algorithms of signatures, by their URIs (RFC 6931).

use aws_lc_rs::digest::{self, SHA256, SHA384, SHA512};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, RSA_PKCS1_2048_8192_SHA256,
    RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512, VerificationAlgorithm,
};

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
    const ALL: [Self; 5] = [
        Self::RsaSha256,
        Self::RsaSha384,
        Self::RsaSha512,
        Self::EcdsaSha256,
        Self::EcdsaSha384,
    ];

    /// The algorithm of a URI; none for those that usher does not take (SHA-1, HMAC, DSA…).
    pub fn of_uri(uri: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.uri() == uri)
    }

    /// Its URI.
    pub fn uri(self) -> &'static str {
        match self {
            Self::RsaSha256 => "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256",
            Self::RsaSha384 => "http://www.w3.org/2001/04/xmldsig-more#rsa-sha384",
            Self::RsaSha512 => "http://www.w3.org/2001/04/xmldsig-more#rsa-sha512",
            Self::EcdsaSha256 => "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha256",
            Self::EcdsaSha384 => "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha384",
        }
    }

    /// How it is verified with an RSA key.
    pub(super) fn rsa(self) -> Option<&'static dyn VerificationAlgorithm> {
        match self {
            Self::RsaSha256 => Some(&RSA_PKCS1_2048_8192_SHA256),
            Self::RsaSha384 => Some(&RSA_PKCS1_2048_8192_SHA384),
            Self::RsaSha512 => Some(&RSA_PKCS1_2048_8192_SHA512),
            Self::EcdsaSha256 | Self::EcdsaSha384 => None,
        }
    }

    /// How it is verified with a key on P-256; the value is r and s, one after the other (XML-DSig 1.1, 6.4.3).
    pub(super) fn p256(self) -> Option<&'static dyn VerificationAlgorithm> {
        match self {
            Self::EcdsaSha256 => Some(&ECDSA_P256_SHA256_FIXED),
            Self::RsaSha256 | Self::RsaSha384 | Self::RsaSha512 | Self::EcdsaSha384 => None,
        }
    }

    /// How it is verified with a key on P-384.
    pub(super) fn p384(self) -> Option<&'static dyn VerificationAlgorithm> {
        match self {
            Self::EcdsaSha384 => Some(&ECDSA_P384_SHA384_FIXED),
            Self::RsaSha256 | Self::RsaSha384 | Self::RsaSha512 | Self::EcdsaSha256 => None,
        }
    }
}

/// Digests of references.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DigestAlgorithm {
    Sha256,
    Sha384,
    Sha512,
}

impl DigestAlgorithm {
    pub(super) fn of_uri(uri: &str) -> Option<Self> {
        [Self::Sha256, Self::Sha384, Self::Sha512]
            .into_iter()
            .find(|one| one.uri() == uri)
    }

    pub(super) fn uri(self) -> &'static str {
        match self {
            Self::Sha256 => "http://www.w3.org/2001/04/xmlenc#sha256",
            Self::Sha384 => "http://www.w3.org/2001/04/xmldsig-more#sha384",
            Self::Sha512 => "http://www.w3.org/2001/04/xmlenc#sha512",
        }
    }

    pub(super) fn provider(self) -> &'static digest::Algorithm {
        match self {
            Self::Sha256 => &SHA256,
            Self::Sha384 => &SHA384,
            Self::Sha512 => &SHA512,
        }
    }
}
