//! XML encryption of assertions and name IDs.

use aws_lc_rs::aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::cipher::{AES_128, AES_256, EncryptingKey, EncryptionContext, UnboundCipherKey};
use aws_lc_rs::iv::FixedLength;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::keys::{Digest, TestKey};
use super::rsa::RsaNumbers;
use super::{DS, ForgeError, SAML, XENC};

/// How the content is encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContentCipher {
    /// AES-128-GCM.
    Aes128Gcm,
    /// AES-256-GCM.
    Aes256Gcm,
    /// AES-128-CBC.
    Aes128Cbc,
    /// AES-256-CBC.
    Aes256Cbc,
}

impl ContentCipher {
    /// Its URI.
    pub fn uri(self) -> &'static str {
        match self {
            Self::Aes128Gcm => "http://www.w3.org/2009/xmlenc11#aes128-gcm",
            Self::Aes256Gcm => "http://www.w3.org/2009/xmlenc11#aes256-gcm",
            Self::Aes128Cbc => "http://www.w3.org/2001/04/xmlenc#aes128-cbc",
            Self::Aes256Cbc => "http://www.w3.org/2001/04/xmlenc#aes256-cbc",
        }
    }

    fn key_length(self) -> usize {
        match self {
            Self::Aes128Gcm | Self::Aes128Cbc => 16,
            Self::Aes256Gcm | Self::Aes256Cbc => 32,
        }
    }
}

/// How the content key is wrapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyTransport {
    /// `rsa-oaep-mgf1p`: the mask is MGF1 with SHA-1; a digest is named unless it is SHA-1.
    OaepMgf1p(Digest),
    /// `xmlenc11#rsa-oaep` with a digest and a mask, both named.
    Oaep(Digest, Digest),
    /// `rsa-1_5`.
    Rsa15,
}

impl KeyTransport {
    fn method(self) -> String {
        let digest = |digest: Digest| {
            let uri = digest.uri();
            format!("<ds:DigestMethod xmlns:ds=\"{DS}\" Algorithm=\"{uri}\"></ds:DigestMethod>")
        };
        let (uri, inner) = match self {
            Self::OaepMgf1p(Digest::Sha1) => ("2001/04/xmlenc#rsa-oaep-mgf1p", String::new()),
            Self::OaepMgf1p(by) => ("2001/04/xmlenc#rsa-oaep-mgf1p", digest(by)),
            Self::Oaep(by, mask) => {
                let mask = format!(
                    "<xenc11:MGF xmlns:xenc11=\"http://www.w3.org/2009/xmlenc11#\" Algorithm=\"{}\"></xenc11:MGF>",
                    mask.mgf_uri()
                );
                ("2009/xmlenc11#rsa-oaep", digest(by) + &mask)
            }
            Self::Rsa15 => ("2001/04/xmlenc#rsa-1_5", String::new()),
        };
        format!(
            "<xenc:EncryptionMethod Algorithm=\"http://www.w3.org/{uri}\">{inner}</xenc:EncryptionMethod>"
        )
    }
}

/// How something is encrypted, and for whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encryption {
    /// DER of the certificate whose key opens it.
    pub recipient: Vec<u8>,
    /// The content.
    pub content: ContentCipher,
    /// The content key.
    pub transport: KeyTransport,
    /// Whether `EncryptedKey` stands beside `EncryptedData` instead of within it.
    pub key_beside: bool,
}

/// Something encrypted, in its parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encrypted {
    /// `EncryptionMethod` of the content.
    pub content_method: String,
    /// `EncryptionMethod` element of the key.
    pub key_method: String,
    /// The wrapped key.
    pub wrapped: Vec<u8>,
    /// Nonce or IV, ciphertext and tag.
    pub ciphertext: Vec<u8>,
    /// `CipherData` of the content instead of the value.
    pub cipher_data: Option<String>,
    /// Whether `EncryptedKey` stands beside `EncryptedData`.
    pub key_beside: bool,
}

impl Encryption {
    /// As IdPs usually do it: AES-256-GCM, RSA-OAEP with SHA-256.
    pub fn to(recipient: TestKey) -> Self {
        Self {
            recipient: recipient.certificate_der(),
            content: ContentCipher::Aes256Gcm,
            transport: KeyTransport::Oaep(Digest::Sha256, Digest::Sha256),
            key_beside: false,
        }
    }

    /// Encrypts the canonical form of an element.
    ///
    /// # Errors
    /// The recipient has no RSA key, or there is no randomness.
    pub fn encrypt(&self, element: &str) -> Result<Encrypted, ForgeError> {
        let mut key = vec![0; self.content.key_length()];
        aws_lc_rs::rand::fill(&mut key).map_err(|_| ForgeError::Key)?;
        self.encrypt_with(&key, element.as_bytes())
    }

    /// As [`Encryption::encrypt`], with a content key of one's own.
    ///
    /// # Errors
    /// The recipient has no RSA key, or the content key has the wrong length.
    pub fn encrypt_with(&self, key: &[u8], content: &[u8]) -> Result<Encrypted, ForgeError> {
        Ok(Encrypted {
            content_method: self.content.uri().to_owned(),
            key_method: self.transport.method(),
            wrapped: self.wrap(key)?,
            ciphertext: self.seal(key, content)?,
            cipher_data: None,
            key_beside: self.key_beside,
        })
    }

    fn wrap(&self, key: &[u8]) -> Result<Vec<u8>, ForgeError> {
        let (_, certificate) = x509_parser::parse_x509_certificate(&self.recipient)
            .map_err(|_| ForgeError::Unreadable("no certificate".to_owned()))?;
        let numbers = RsaNumbers::of_public(&certificate.public_key().subject_public_key.data)?;
        match self.transport {
            KeyTransport::OaepMgf1p(digest) => numbers.encrypt_oaep(digest, Digest::Sha1, key),
            KeyTransport::Oaep(digest, mask) => numbers.encrypt_oaep(digest, mask, key),
            KeyTransport::Rsa15 => numbers.encrypt_old(key),
        }
    }

    fn seal(&self, key: &[u8], content: &[u8]) -> Result<Vec<u8>, ForgeError> {
        match self.content {
            ContentCipher::Aes128Gcm => gcm(&AES_128_GCM, key, content),
            ContentCipher::Aes256Gcm => gcm(&AES_256_GCM, key, content),
            ContentCipher::Aes128Cbc => cbc(&AES_128, key, content),
            ContentCipher::Aes256Cbc => cbc(&AES_256, key, content),
        }
    }
}

fn gcm(
    by: &'static aws_lc_rs::aead::Algorithm,
    key: &[u8],
    content: &[u8],
) -> Result<Vec<u8>, ForgeError> {
    let key = UnboundKey::new(by, key).map_err(|_| ForgeError::Key)?;
    let mut nonce = [0; 12];
    aws_lc_rs::rand::fill(&mut nonce).map_err(|_| ForgeError::Key)?;
    let mut sealed = content.to_vec();
    LessSafeKey::new(key)
        .seal_in_place_append_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::empty(),
            &mut sealed,
        )
        .map_err(|_| ForgeError::Key)?;
    Ok([nonce.to_vec(), sealed].concat())
}

/// With the padding of XML Encryption 5.2: the last byte counts, the others are anything.
fn cbc(
    by: &'static aws_lc_rs::cipher::Algorithm,
    key: &[u8],
    content: &[u8],
) -> Result<Vec<u8>, ForgeError> {
    let key = UnboundCipherKey::new(by, key).map_err(|_| ForgeError::Key)?;
    let mut iv = [0; 16];
    aws_lc_rs::rand::fill(&mut iv).map_err(|_| ForgeError::Key)?;
    let count = 16 - content.len() % 16;
    let mut sealed = content.to_vec();
    sealed.extend(std::iter::repeat_n(0xa5, count - 1));
    sealed.push(u8::try_from(count).unwrap_or(16));
    EncryptingKey::cbc(key)
        .and_then(|key| {
            key.less_safe_encrypt(&mut sealed, EncryptionContext::Iv128(FixedLength::from(iv)))
        })
        .map_err(|_| ForgeError::Key)?;
    Ok([iv.to_vec(), sealed].concat())
}

impl Encrypted {
    /// `saml:EncryptedAssertion` or `saml:EncryptedID` in canonical form; `declared` where an ancestor declares `saml`.
    pub fn element(&self, name: &str, declared: bool) -> String {
        let namespace = if declared {
            String::new()
        } else {
            format!(" xmlns:saml=\"{SAML}\"")
        };
        // Within `EncryptedData` the prefix is declared; beside it, it is not.
        let own = if self.key_beside {
            format!(" xmlns:xenc=\"{XENC}\"")
        } else {
            String::new()
        };
        let wrapped = STANDARD.encode(&self.wrapped);
        let key = format!(
            "<xenc:EncryptedKey{own}>{}<xenc:CipherData><xenc:CipherValue>{wrapped}</xenc:CipherValue></xenc:CipherData></xenc:EncryptedKey>",
            self.key_method
        );
        let (within, beside) = if self.key_beside {
            (String::new(), key)
        } else {
            let info = format!("<ds:KeyInfo xmlns:ds=\"{DS}\">{key}</ds:KeyInfo>");
            // Exclusive canonicalization declares `ds` once.
            let info = info.replace(
                &format!("<ds:DigestMethod xmlns:ds=\"{DS}\""),
                "<ds:DigestMethod",
            );
            (info, String::new())
        };
        let value = || {
            let value = STANDARD.encode(&self.ciphertext);
            format!("<xenc:CipherValue>{value}</xenc:CipherValue>")
        };
        let data = self.cipher_data.clone().unwrap_or_else(value);
        format!(
            "<saml:{name}{namespace}><xenc:EncryptedData xmlns:xenc=\"{XENC}\" Type=\"http://www.w3.org/2001/04/xmlenc#Element\">\
             <xenc:EncryptionMethod Algorithm=\"{}\"></xenc:EncryptionMethod>{within}\
             <xenc:CipherData>{data}</xenc:CipherData></xenc:EncryptedData>{beside}</saml:{name}>",
            self.content_method
        )
    }
}
