//! A maker of SAML messages to try usher with, good ones and wrong ones. It shares nothing with the code that usher reads and
//! verifies them with: it writes XML in canonical form by hand, so that what it signs is the very text that it wrote, and
//! does the old algorithms that no library does any more by itself.
//!
//! ```no_run
//! # use usher::demo::saml::{Response, encode_base64};
//! # let now = jiff::Timestamp::now();
//! let mut response = Response::new("https://idp.test", "https://sp.test", "https://sp.test/acs", "_request", now);
//! response.assertion.attribute("mail", &["ann@example.test"]);
//! let field = encode_base64(response.to_xml()?.as_bytes());
//! # Ok::<(), usher::demo::saml::ForgeError>(())
//! ```

mod answer;
mod assertion;
mod binding;
mod encrypt;
mod keys;
mod logout;
mod metadata;
mod request;
mod rsa;
mod server;
mod sign;
#[cfg(test)]
mod tests;

pub use answer::{Place, Response, Signed};
pub use assertion::{
    Assertion, Attribute, AuthnStatement, Conditions, Confirmation, NameId, Raw, escape,
    escape_attribute,
};
pub use binding::{
    decode_base64, deflate, encode_base64, form, percent_encode, redirect_query, signed_query,
};
pub use encrypt::{ContentCipher, Encrypted, Encryption, KeyTransport};
pub use keys::{Digest, SignatureAlgorithm, TestKey};
pub use logout::{LogoutRequest, LogoutResponse};
pub use metadata::TestMetadata;
pub use request::{SentRequest, read_request};
pub use server::{MetadataFault, TestSamlIdp};
pub use sign::{KeyInfo, Reference, SignatureOptions, insert_after_issuer, insert_first};

use jiff::Timestamp;

/// Namespace of assertions.
pub const SAML: &str = "urn:oasis:names:tc:SAML:2.0:assertion";
/// Namespace of the protocol.
pub const SAMLP: &str = "urn:oasis:names:tc:SAML:2.0:protocol";
/// Namespace of XML signatures.
pub const DS: &str = "http://www.w3.org/2000/09/xmldsig#";
/// Namespace of XML encryption.
pub const XENC: &str = "http://www.w3.org/2001/04/xmlenc#";
/// Exclusive canonicalization without comments.
pub const EXCLUSIVE: &str = "http://www.w3.org/2001/10/xml-exc-c14n#";
/// The enveloped-signature transform.
pub const ENVELOPED: &str = "http://www.w3.org/2000/09/xmldsig#enveloped-signature";
/// The status of a message that went well.
pub const SUCCESS: &str = "urn:oasis:names:tc:SAML:2.0:status:Success";
/// The bearer confirmation.
pub const BEARER: &str = "urn:oasis:names:tc:SAML:2.0:cm:bearer";
/// A password over TLS.
pub const PASSWORD: &str = "urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport";
/// The name-ID format of an identifier that stays.
pub const PERSISTENT: &str = "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent";
/// The name-ID format of an e-mail address.
pub const EMAIL: &str = "urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress";
/// The name-ID format of an identifier for one session.
pub const TRANSIENT: &str = "urn:oasis:names:tc:SAML:2.0:nameid-format:transient";

/// Why a message could not be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ForgeError {
    /// A key cannot do what it was asked for, such as to sign by an algorithm of another kind.
    #[error("the test key cannot do that")]
    Key,
    /// A text is not what it should be.
    #[error("{0}")]
    Unreadable(String),
}

/// `xs:dateTime` in whole seconds, so many seconds after `now`.
pub fn at(now: Timestamp, seconds: i64) -> String {
    let second = now.as_second().saturating_add(seconds);
    Timestamp::from_second(second).unwrap_or(now).to_string()
}

/// An identifier that nobody used before: `_` and 32 hexadecimal digits.
pub fn fresh_id() -> String {
    format!("_{}", uuid::Uuid::now_v7().simple())
}
