//! `EncryptedAssertion` and `EncryptedID` (XML Encryption 1.1): RSA-OAEP and AES-GCM; AES-CBC only where the ciphertext itself is signed.

use super::xml::Node;
use crate::keys::saml::SpKeys;

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

/// Decrypts the `xenc:EncryptedData` of `encrypted` (a `saml:EncryptedAssertion` or `saml:EncryptedID`). The result is a
/// document of its own: the plaintext element inside `<usher:plaintext>`, a root that carries the namespace declarations in scope
/// where it was encrypted.
///
/// # Errors
/// [`DecryptError`].
pub fn decrypt(
    _encrypted: Node<'_, '_>,
    _keys: &SpKeys,
    _integrity: Integrity,
) -> Result<Vec<u8>, DecryptError> {
    todo!()
}
