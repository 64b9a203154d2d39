//! `EncryptedAssertion` and `EncryptedID` (XML Encryption 1.1): RSA-OAEP and AES-GCM; AES-CBC only where the ciphertext itself is signed.
//!
//! References (`RetrievalMethod`, `CipherReference`) are never followed. Whoever can post to us can try ciphertexts on our keys,
//! so whatever depends on a private key or on decrypted bytes takes one way and ends in one error.

mod algorithm;

use aws_lc_rs::rand::fill;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use self::algorithm::{Content, key_transport};
use super::xml::{self, DSIG, Limits, Node, XENC};
use crate::keys::saml::{Oaep, SpKey, SpKeys};

/// `EncryptedKey`s that are looked at, at most: each costs an RSA operation with each of our keys.
const ENCRYPTED_KEYS: usize = 4;
/// Bytes of ciphertext, at most: 1 MiB.
const CIPHERTEXT: usize = 1024 * 1024;
/// `Type` of an encrypted element.
const ELEMENT: &str = "http://www.w3.org/2001/04/xmlenc#Element";
/// The namespace of the element around a plaintext.
const PLAINTEXT: &str = "urn:usher:plaintext";
/// The one cause for everything that depends on a private key or on decrypted bytes.
pub(super) const UNIFORM: DecryptError = DecryptError {
    cause: "no key of ours opens it, or what is in it is not one element",
};

/// Whether the ciphertext stands under a verified signature. Without one, CBC would be an oracle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Integrity {
    /// The octets that hold it were verified.
    Signed,
    /// Nobody vouches for it: AES-GCM alone.
    Unsigned,
}

/// It does not decrypt. One error for all reasons; `cause` is for `usher saml inspect` and the log, and is the same for
/// everything that depends on a private key or on decrypted bytes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it cannot be decrypted: {cause}")]
pub struct DecryptError {
    /// What to look at.
    pub cause: &'static str,
}

/// A content key as it was sent.
struct Wrapped {
    by: Oaep,
    key: Vec<u8>,
}

/// Decrypts the `xenc:EncryptedData` of `encrypted` (a `saml:EncryptedAssertion` or `saml:EncryptedID`). The result is a
/// document of its own: the plaintext element inside `<usher:plaintext>`, a root that carries the namespace declarations in scope
/// where it was encrypted. That the root holds exactly one element, and all is well-formed, was checked.
///
/// # Errors
/// [`DecryptError`].
pub fn decrypt(
    encrypted: Node<'_, '_>,
    keys: &SpKeys,
    integrity: Integrity,
) -> Result<Vec<u8>, DecryptError> {
    let data = sole(
        encrypted,
        "EncryptedData",
        "there is not exactly one EncryptedData",
    )?;
    if xml::optional_attribute(data, "Type").is_some_and(|kind| kind != ELEMENT) {
        return Err(because("the Type of EncryptedData is not Element"));
    }
    let content = content(data)?;
    if content.needs_integrity() && integrity == Integrity::Unsigned {
        return Err(because(
            "AES-CBC is accepted only in a signed response: let the IdP encrypt with AES-GCM, or sign the response",
        ));
    }
    let wrapped = encrypted_keys(encrypted, data)?;
    let ciphertext = cipher_value(data, CIPHERTEXT)?;
    let context = Context::of(encrypted)?;
    for wrapped in &wrapped {
        for key in keys.all() {
            // A wrong key may give a plaintext by AES-CBC: what counts is that it is an element.
            let plaintext = open(content, &ciphertext, wrapped, key);
            if let Ok(whole) = plaintext.and_then(|plaintext| context.around(&plaintext)) {
                return Ok(whole);
            }
        }
    }
    Err(UNIFORM)
}

fn open(
    content: Content,
    ciphertext: &[u8],
    wrapped: &Wrapped,
    key: &SpKey,
) -> Result<Vec<u8>, DecryptError> {
    let mut random = vec![0; content.key_bytes()];
    fill(&mut random).map_err(|_| UNIFORM)?;
    // A content key that does not unwrap is replaced by a random one, so that the same work follows (RFC 3218, 2.3.2).
    let content_key = key
        .unwrap_key(wrapped.by, &wrapped.key)
        .ok()
        .filter(|key| key.len() == content.key_bytes())
        .unwrap_or(random);
    content.decrypt(&content_key, ciphertext).ok_or(UNIFORM)
}

fn content(data: Node<'_, '_>) -> Result<Content, DecryptError> {
    let method = sole(
        data,
        "EncryptionMethod",
        "EncryptedData has no EncryptionMethod",
    )?;
    let uri = xml::optional_attribute(method, "Algorithm").unwrap_or_default();
    Content::of_uri(uri).ok_or(because(
        "its content is not encrypted with AES-GCM or AES-CBC",
    ))
}

/// Those in the `ds:KeyInfo` of `data`, and those beside `data`.
fn encrypted_keys(
    encrypted: Node<'_, '_>,
    data: Node<'_, '_>,
) -> Result<Vec<Wrapped>, DecryptError> {
    let info = xml::one(data, DSIG, "KeyInfo");
    let info = info.map_err(|_| because("EncryptedData has several KeyInfo"))?;
    let all = info
        .iter()
        .flat_map(|info| info.children())
        .chain(encrypted.children())
        .filter(|node| xml::is(*node, XENC, "EncryptedKey"));
    let all: Vec<_> = all.collect();
    if all.len() > ENCRYPTED_KEYS {
        return Err(because("there are too many EncryptedKeys"));
    }
    let mut refused = because("there is no EncryptedKey");
    let mut wrapped = Vec::new();
    for node in all {
        match encrypted_key(node) {
            Ok(key) => wrapped.push(key),
            Err(why) => refused = why,
        }
    }
    if wrapped.is_empty() {
        Err(refused)
    } else {
        Ok(wrapped)
    }
}

fn encrypted_key(node: Node<'_, '_>) -> Result<Wrapped, DecryptError> {
    let method = sole(
        node,
        "EncryptionMethod",
        "EncryptedKey has no EncryptionMethod",
    )?;
    Ok(Wrapped {
        by: key_transport(method)?,
        key: cipher_value(node, 1024)?,
    })
}

/// The `CipherValue` of an `EncryptedData` or `EncryptedKey`.
fn cipher_value(node: Node<'_, '_>, limit: usize) -> Result<Vec<u8>, DecryptError> {
    let data = sole(node, "CipherData", "there is not exactly one CipherData")?;
    let value = sole(data, "CipherValue", "CipherData has no CipherValue")?;
    let text = xml::text(value).map_err(|_| because("CipherValue holds more than text"))?;
    let compact: String = text
        .chars()
        .filter(|letter| !letter.is_ascii_whitespace())
        .collect();
    let bytes = STANDARD
        .decode(compact)
        .map_err(|_| because("CipherValue is not base64"))?;
    if bytes.len() > limit {
        return Err(because("CipherValue is too long"));
    }
    Ok(bytes)
}

/// The namespace declarations in scope where something was encrypted: its element may use their prefixes.
struct Context {
    root: String,
}

impl Context {
    fn of(encrypted: Node<'_, '_>) -> Result<Self, DecryptError> {
        let mut root =
            xml::write::Element::new("usher:plaintext").attribute("xmlns:usher", PLAINTEXT);
        for namespace in encrypted.namespaces() {
            root = match namespace.name() {
                Some("xml") => root,
                Some("usher") => return Err(because("the prefix `usher` is in use around it")),
                Some(prefix) => root.attribute(&format!("xmlns:{prefix}"), namespace.uri()),
                None => root.attribute("xmlns", namespace.uri()),
            };
        }
        Ok(Self {
            root: root.finish(),
        })
    }

    /// The plaintext in its context, if it is one element there.
    fn around(&self, plaintext: &[u8]) -> Result<Vec<u8>, DecryptError> {
        let (start, end) = self.root.split_once("></").ok_or(UNIFORM)?;
        let whole = [start.as_bytes(), b">", plaintext, b"</", end.as_bytes()].concat();
        let document = xml::parse(&whole, &Limits::MESSAGE).map_err(|_| UNIFORM)?;
        let root = document.root_element();
        let inside = xml::children(root).map_err(|_| UNIFORM)?;
        if inside.len() == 1 {
            Ok(whole)
        } else {
            Err(UNIFORM)
        }
    }
}

fn sole<'a, 'i>(
    node: Node<'a, 'i>,
    name: &str,
    cause: &'static str,
) -> Result<Node<'a, 'i>, DecryptError> {
    xml::sole(node, XENC, name).map_err(|_| because(cause))
}

fn because(cause: &'static str) -> DecryptError {
    DecryptError { cause }
}

#[cfg(test)]
mod tests;
