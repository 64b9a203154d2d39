//! The two bindings from the IdP's side.

use std::io::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::DeflateEncoder;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::ForgeError;
use super::keys::{SignatureAlgorithm, TestKey};

const KEPT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// Percent-encoding as most IdPs do it: upper case, only unreserved characters kept.
pub fn percent_encode(text: &str) -> String {
    utf8_percent_encode(text, KEPT).to_string()
}

/// Base64 with padding, in one line.
pub fn encode_base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// Bytes of base64.
///
/// # Errors
/// It is not base64.
pub fn decode_base64(text: &str) -> Result<Vec<u8>, ForgeError> {
    STANDARD
        .decode(text)
        .map_err(|_| ForgeError::Unreadable("no base64".to_owned()))
}

/// The body of the POST binding: `parameter` is `SAMLResponse` or `SAMLRequest`.
pub fn form(parameter: &str, xml: &[u8], relay_state: Option<&str>) -> String {
    let message = percent_encode(&encode_base64(xml));
    let relay_state = relay_state.map_or_else(String::new, |state| {
        format!("&RelayState={}", percent_encode(state))
    });
    format!("{parameter}={message}{relay_state}")
}

/// Raw DEFLATE.
///
/// # Errors
/// It does not happen in memory.
pub fn deflate(bytes: &[u8]) -> Result<Vec<u8>, ForgeError> {
    let unreadable = |error: std::io::Error| ForgeError::Unreadable(error.to_string());
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).map_err(unreadable)?;
    encoder.finish().map_err(unreadable)
}

/// A raw query signed as it stands: `signed` is all of it, `SigAlg` included, and the signature comes after.
///
/// # Errors
/// The key does not fit the algorithm.
pub fn signed_query(
    signed: &str,
    key: TestKey,
    by: SignatureAlgorithm,
) -> Result<String, ForgeError> {
    let signature = encode_base64(&key.sign(by, signed.as_bytes())?);
    Ok(format!("{signed}&Signature={}", percent_encode(&signature)))
}

/// The query of the Redirect binding, signed where a key is given.
///
/// # Errors
/// The key does not fit the algorithm.
pub fn redirect_query(
    parameter: &str,
    xml: &str,
    relay_state: Option<&str>,
    signer: Option<(TestKey, SignatureAlgorithm)>,
) -> Result<String, ForgeError> {
    let message = percent_encode(&encode_base64(&deflate(xml.as_bytes())?));
    let mut query = format!("{parameter}={message}");
    if let Some(state) = relay_state {
        query.push_str("&RelayState=");
        query.push_str(&percent_encode(state));
    }
    let Some((key, by)) = signer else {
        return Ok(query);
    };
    query.push_str("&SigAlg=");
    query.push_str(&percent_encode(by.uri()));
    signed_query(&query, key, by)
}
