//! The Redirect binding (SAML Bindings 3.4): DEFLATE, base64, URL encoding, and a signature over the raw query.

use url::Url;

use super::{Message, Outgoing};
use crate::idp::saml::signature::Algorithm;
use crate::keys::saml::{KeyError, SpKey};

/// Bytes that a message may inflate to.
pub const INFLATED: usize = 256 * 1024;

/// A message as it stood in the query, each parameter at most once.
#[derive(Debug)]
pub struct Received {
    /// Request or response.
    pub message: Message,
    /// The XML.
    pub xml: Vec<u8>,
    /// `RelayState`.
    pub relay_state: Option<String>,
    /// What the signature is over, byte by byte as it was sent; none where the message is not signed.
    pub signed: Option<Signed>,
}

/// The signature of a query.
#[derive(Debug)]
pub struct Signed {
    /// `SigAlg`.
    pub algorithm: Algorithm,
    /// `SAMLRequest=…[&RelayState=…]&SigAlg=…`, raw.
    pub bytes: Vec<u8>,
    /// `Signature`, decoded.
    pub signature: Vec<u8>,
}

/// Reads a raw query.
///
/// # Errors
/// A sentence for the log: a parameter comes twice, both messages are there, base64 or DEFLATE is broken or too large,
/// bytes follow the DEFLATE stream, or the algorithm is not accepted.
pub fn decode(_query: &str) -> Result<Received, String> {
    todo!()
}

/// The URL for a message, signed where a key is given.
///
/// # Errors
/// [`KeyError`] if the key cannot sign.
pub fn encode(
    _to: &Url,
    _message: Message,
    _xml: &str,
    _relay_state: Option<&str>,
    _key: Option<&SpKey>,
) -> Result<Outgoing, KeyError> {
    todo!()
}
