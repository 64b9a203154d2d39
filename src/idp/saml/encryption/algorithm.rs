//! The algorithms of XML Encryption 1.1 that usher takes.

use aws_lc_rs::aead::{
    AES_128_GCM, AES_192_GCM, AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey,
};
use aws_lc_rs::cipher::{
    AES_128, AES_192, AES_256, AES_CBC_IV_LEN, DecryptingKey, DecryptionContext, UnboundCipherKey,
};
use aws_lc_rs::iv::FixedLength;

use super::{DecryptError, because};
use crate::idp::saml::xml::{self, DSIG, Node, XENC, XENC11};
use crate::keys::saml::Oaep;

/// How content is encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Content {
    mode: Mode,
    size: Size,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// A nonce of 12 bytes, the ciphertext, a tag of 16 (XML Encryption 1.1, 5.2.4).
    Gcm,
    /// A block of 16 bytes as the initial vector, then the ciphertext (5.2.2).
    Cbc,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Size {
    Aes128,
    Aes192,
    Aes256,
}

impl Content {
    pub(super) fn of_uri(uri: &str) -> Option<Self> {
        let (mode, size) = match uri {
            "http://www.w3.org/2009/xmlenc11#aes128-gcm" => (Mode::Gcm, Size::Aes128),
            "http://www.w3.org/2009/xmlenc11#aes192-gcm" => (Mode::Gcm, Size::Aes192),
            "http://www.w3.org/2009/xmlenc11#aes256-gcm" => (Mode::Gcm, Size::Aes256),
            "http://www.w3.org/2001/04/xmlenc#aes128-cbc" => (Mode::Cbc, Size::Aes128),
            "http://www.w3.org/2001/04/xmlenc#aes192-cbc" => (Mode::Cbc, Size::Aes192),
            "http://www.w3.org/2001/04/xmlenc#aes256-cbc" => (Mode::Cbc, Size::Aes256),
            _ => return None,
        };
        Some(Self { mode, size })
    }

    pub(super) fn key_bytes(self) -> usize {
        match self.size {
            Size::Aes128 => 16,
            Size::Aes192 => 24,
            Size::Aes256 => 32,
        }
    }

    /// Whether somebody can change the plaintext without knowing the key.
    pub(super) fn needs_integrity(self) -> bool {
        match self.mode {
            Mode::Gcm => false,
            Mode::Cbc => true,
        }
    }

    /// The plaintext; none for every reason alike.
    pub(super) fn decrypt(self, key: &[u8], ciphertext: &[u8]) -> Option<Vec<u8>> {
        match self.mode {
            Mode::Gcm => self.gcm(key, ciphertext),
            Mode::Cbc => self.cbc(key, ciphertext),
        }
    }

    fn gcm(self, key: &[u8], ciphertext: &[u8]) -> Option<Vec<u8>> {
        let algorithm = match self.size {
            Size::Aes128 => &AES_128_GCM,
            Size::Aes192 => &AES_192_GCM,
            Size::Aes256 => &AES_256_GCM,
        };
        let (nonce, body) = ciphertext.split_at_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let key = LessSafeKey::new(UnboundKey::new(algorithm, key).ok()?);
        let mut body = body.to_vec();
        let length = key
            .open_in_place(nonce, Aad::empty(), &mut body)
            .ok()?
            .len();
        body.truncate(length);
        Some(body)
    }

    fn cbc(self, key: &[u8], ciphertext: &[u8]) -> Option<Vec<u8>> {
        let algorithm = match self.size {
            Size::Aes128 => &AES_128,
            Size::Aes192 => &AES_192,
            Size::Aes256 => &AES_256,
        };
        let (iv, body) = ciphertext.split_first_chunk::<AES_CBC_IV_LEN>()?;
        let key = DecryptingKey::cbc(UnboundCipherKey::new(algorithm, key).ok()?).ok()?;
        let mut body = body.to_vec();
        let context = DecryptionContext::Iv128(FixedLength::from(*iv));
        key.decrypt(&mut body, context).ok()?;
        // The last byte counts the padding, itself included; what the others hold is open (5.2.2).
        let padding = usize::from(*body.last()?);
        let length = body.len().checked_sub(padding)?;
        if !(1..=16).contains(&padding) {
            return None;
        }
        body.truncate(length);
        Some(body)
    }
}

/// How a content key is wrapped, by its `EncryptionMethod` (XML Encryption 1.1, 5.5.2). The provider knows OAEP with one digest
/// for both its parts only; `rsa-oaep-mgf1p` always has MGF1 with SHA-1, and both default to SHA-1.
pub(super) fn key_transport(method: Node<'_, '_>) -> Result<Oaep, DecryptError> {
    let digest = child_algorithm(method, DSIG, "DigestMethod")?
        .unwrap_or("http://www.w3.org/2000/09/xmldsig#sha1");
    let mask = child_algorithm(method, XENC11, "MGF")?
        .unwrap_or("http://www.w3.org/2009/xmlenc11#mgf1sha1");
    if xml::children(method).map_or(true, |all| {
        all.iter().any(|child| xml::is(*child, XENC, "OAEPparams"))
    }) {
        return Err(because("OAEPparams are not accepted"));
    }
    let oaep = uniform(digest, mask);
    let sha1_mask = mask == "http://www.w3.org/2009/xmlenc11#mgf1sha1";
    match xml::optional_attribute(method, "Algorithm").unwrap_or_default() {
        "http://www.w3.org/2009/xmlenc11#rsa-oaep" => oaep,
        "http://www.w3.org/2001/04/xmlenc#rsa-oaep-mgf1p" if sha1_mask => oaep,
        "http://www.w3.org/2001/04/xmlenc#rsa-oaep-mgf1p" => {
            Err(because("rsa-oaep-mgf1p has MGF1 with SHA-1 only"))
        }
        "http://www.w3.org/2001/04/xmlenc#rsa-1_5" => Err(because(
            "its key is wrapped with RSA 1.5, which is not accepted: let the IdP use RSA-OAEP",
        )),
        _ => Err(because("its key is not wrapped with RSA-OAEP")),
    }
}

fn uniform(digest: &str, mask: &str) -> Result<Oaep, DecryptError> {
    match (digest, mask) {
        ("http://www.w3.org/2000/09/xmldsig#sha1", "http://www.w3.org/2009/xmlenc11#mgf1sha1") => {
            Ok(Oaep::Sha1)
        }
        (
            "http://www.w3.org/2001/04/xmlenc#sha256",
            "http://www.w3.org/2009/xmlenc11#mgf1sha256",
        ) => Ok(Oaep::Sha256),
        (
            "http://www.w3.org/2001/04/xmldsig-more#sha384",
            "http://www.w3.org/2009/xmlenc11#mgf1sha384",
        ) => Ok(Oaep::Sha384),
        (
            "http://www.w3.org/2001/04/xmlenc#sha512",
            "http://www.w3.org/2009/xmlenc11#mgf1sha512",
        ) => Ok(Oaep::Sha512),
        _ => Err(because(
            "RSA-OAEP with different digests for OAEP and MGF1 is not accepted: let the IdP use xmlenc11#rsa-oaep with SHA-256 and MGF1-SHA-256, or rsa-oaep-mgf1p with SHA-1",
        )),
    }
}

fn child_algorithm<'a>(
    method: Node<'a, '_>,
    namespace: &str,
    name: &str,
) -> Result<Option<&'a str>, DecryptError> {
    let child = xml::one(method, namespace, name)
        .map_err(|_| because("EncryptionMethod names an algorithm twice"))?;
    Ok(child.map(|child| xml::optional_attribute(child, "Algorithm").unwrap_or_default()))
}
