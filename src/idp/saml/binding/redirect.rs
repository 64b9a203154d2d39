//! The Redirect binding (SAML Bindings 3.4): DEFLATE, base64, URL encoding, and a signature over the raw query.

use std::borrow::Cow;
use std::io::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::write::DeflateEncoder;
use flate2::{Compression, Decompress, FlushDecompress, Status};
use percent_encoding::percent_decode_str;
use url::{Url, form_urlencoded};

use super::{Message, Outgoing, RELAY_STATE};
use crate::idp::saml::signature::Algorithm;
use crate::keys::saml::{KeyError, SpKey};

/// Bytes that a message may inflate to.
pub const INFLATED: usize = 256 * 1024;
/// Bytes of a query. The listener's limit of a request head is lower where nobody raised it.
const QUERY: usize = 64 * 1024;
/// Bytes that are inflated before the next look at the limit.
const STEP: usize = 16 * 1024;
/// The one encoding of messages in a query (Bindings 3.4.4), also if it is named.
const DEFLATE: &str = "urn:oasis:names:tc:SAML:2.0:bindings:URL-Encoding:DEFLATE";

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

/// Reads a raw query. Parameters that are not of this binding are passed over.
///
/// # Errors
/// A sentence for the log: a parameter comes twice or without `=`, both messages are there, base64 or DEFLATE is broken or too large,
/// bytes follow the DEFLATE stream, or the algorithm is not accepted.
pub fn decode(query: &str) -> Result<Received, String> {
    if query.len() > QUERY {
        return Err(format!("the query has more than {QUERY} bytes"));
    }
    let raw = Raw::of(query)?;
    let (message, value) = match (raw.request, raw.response) {
        (Some(request), None) => (Message::Request, request),
        (None, Some(response)) => (Message::Response, response),
        (None, None) => return Err("there is neither SAMLRequest nor SAMLResponse".to_owned()),
        (Some(_), Some(_)) => return Err("there are both SAMLRequest and SAMLResponse".to_owned()),
    };
    if let Some(encoding) = raw.encoding
        && decoded("SAMLEncoding", encoding)? != DEFLATE
    {
        return Err("SAMLEncoding is not DEFLATE".to_owned());
    }
    let relay_state = raw
        .relay_state
        .map(|value| decoded("RelayState", value))
        .transpose()?;
    if let Some(state) = &relay_state
        && state.len() > RELAY_STATE
    {
        return Err(format!("RelayState has more than {RELAY_STATE} bytes"));
    }
    Ok(Received {
        xml: inflate(&bytes(message.parameter(), value)?)?,
        signed: signed(&raw, message, value)?,
        message,
        relay_state,
    })
}

/// The parameters of the binding as they stand in the query, still encoded.
#[derive(Default)]
struct Raw<'a> {
    request: Option<&'a str>,
    response: Option<&'a str>,
    relay_state: Option<&'a str>,
    algorithm: Option<&'a str>,
    signature: Option<&'a str>,
    encoding: Option<&'a str>,
}

impl<'a> Raw<'a> {
    /// A name that is spelled with escapes (`%53AMLRequest`) is refused: some software would read it and some would not, and
    /// the signature is over names as they are spelled in the standard.
    fn of(query: &'a str) -> Result<Self, String> {
        let mut raw = Self::default();
        for pair in query.split('&') {
            let (name, value) = match pair.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (pair, None),
            };
            let plain = percent_decode_str(name).decode_utf8_lossy();
            let place = match plain.as_ref() {
                "SAMLRequest" => &mut raw.request,
                "SAMLResponse" => &mut raw.response,
                "RelayState" => &mut raw.relay_state,
                "SigAlg" => &mut raw.algorithm,
                "Signature" => &mut raw.signature,
                "SAMLEncoding" => &mut raw.encoding,
                _ => continue,
            };
            if name != plain {
                return Err(format!("the name of the parameter {plain} has escapes"));
            }
            // Without `=` it is not what a signature is over.
            let value = value.ok_or_else(|| format!("the parameter {plain} has no value"))?;
            if place.replace(value).is_some() {
                return Err(format!("the parameter {plain} comes twice"));
            }
        }
        Ok(raw)
    }
}

/// What the signature is over: the values as they were sent, in the order of the standard (Bindings 3.4.4.1), whatever
/// their order in the query.
fn signed(raw: &Raw<'_>, message: Message, value: &str) -> Result<Option<Signed>, String> {
    let (algorithm, signature) = match (raw.algorithm, raw.signature) {
        (Some(algorithm), Some(signature)) => (algorithm, signature),
        (None, None) => return Ok(None),
        (Some(_), None) => return Err("there is SigAlg without Signature".to_owned()),
        (None, Some(_)) => return Err("there is Signature without SigAlg".to_owned()),
    };
    let uri = decoded("SigAlg", algorithm)?;
    Ok(Some(Signed {
        algorithm: Algorithm::of_uri(&uri).ok_or_else(|| {
            let shown: String = uri.escape_debug().take(100).collect();
            format!("the algorithm {shown} is not accepted")
        })?,
        bytes: assemble(message, value, raw.relay_state, algorithm).into_bytes(),
        signature: bytes("Signature", signature)?,
    }))
}

/// Joins encoded values.
fn assemble(message: Message, value: &str, relay_state: Option<&str>, algorithm: &str) -> String {
    let mut text = format!("{}={value}", message.parameter());
    if let Some(state) = relay_state {
        text.push_str("&RelayState=");
        text.push_str(state);
    }
    text.push_str("&SigAlg=");
    text.push_str(algorithm);
    text
}

/// A value without its URL encoding, of forms (`+` is a space).
fn decoded(name: &str, value: &str) -> Result<String, String> {
    let whole = value.split('%').skip(1).all(|after| {
        let digits = after.as_bytes().get(..2);
        digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    });
    if !whole {
        return Err(format!("an escape in {name} is broken"));
    }
    percent_decode_str(&value.replace('+', " "))
        .decode_utf8()
        .map(Cow::into_owned)
        .map_err(|_| format!("{name} is not UTF-8"))
}

/// The bytes of a base64 value: without white space (Bindings 3.4.4.1), with padding.
fn bytes(name: &str, value: &str) -> Result<Vec<u8>, String> {
    STANDARD
        .decode(decoded(name, value)?.as_bytes())
        .map_err(|_| format!("{name} is not base64"))
}

/// Inflates a whole raw DEFLATE stream (RFC 1951) that must end where the bytes end.
fn inflate(deflated: &[u8]) -> Result<Vec<u8>, String> {
    let mut stream = Decompress::new(false);
    let mut xml = Vec::with_capacity(STEP);
    loop {
        let done = usize::try_from(stream.total_in()).unwrap_or(usize::MAX);
        let rest = deflated.get(done..).unwrap_or_default();
        let (read, written) = (stream.total_in(), stream.total_out());
        let status = stream
            .decompress_vec(rest, &mut xml, FlushDecompress::None)
            .map_err(|_| "the message is not DEFLATE".to_owned())?;
        if xml.len() > INFLATED {
            return Err(format!(
                "the message inflates to more than {INFLATED} bytes"
            ));
        }
        match status {
            Status::StreamEnd => break,
            Status::Ok | Status::BufError => {}
        }
        if xml.len() == xml.capacity() {
            xml.reserve(STEP);
        } else if (read, written) == (stream.total_in(), stream.total_out()) {
            return Err("the DEFLATE stream of the message does not end".to_owned());
        }
    }
    if stream.total_in() != deflated.len() as u64 {
        return Err("bytes follow the DEFLATE stream of the message".to_owned());
    }
    Ok(xml)
}

/// The URL for a message, signed where a key is given. A query that `to` has stays in front.
///
/// # Errors
/// [`KeyError`] if the key cannot sign.
pub fn encode(
    to: &Url,
    message: Message,
    xml: &str,
    relay_state: Option<&str>,
    key: Option<&SpKey>,
) -> Result<Outgoing, KeyError> {
    let mut stream = DeflateEncoder::new(Vec::new(), Compression::default());
    let deflated = stream
        .write_all(xml.as_bytes())
        .and_then(|()| stream.finish())
        .map_err(|_| KeyError)?;
    let value = encoded(STANDARD.encode(deflated).as_bytes());
    let relay_state = relay_state.map(|state| encoded(state.as_bytes()));
    let query = match key {
        Some(key) => {
            let algorithm = encoded(Algorithm::RsaSha256.uri().as_bytes());
            let mut query = assemble(message, &value, relay_state.as_deref(), &algorithm);
            let signature = STANDARD.encode(key.sign(query.as_bytes())?);
            query.push_str("&Signature=");
            query.push_str(&encoded(signature.as_bytes()));
            query
        }
        None => match relay_state {
            Some(state) => format!("{}={value}&RelayState={state}", message.parameter()),
            None => format!("{}={value}", message.parameter()),
        },
    };
    let mut url = to.clone();
    match to.query().filter(|before| !before.is_empty()) {
        Some(before) => url.set_query(Some(&format!("{before}&{query}"))),
        None => url.set_query(Some(&query)),
    }
    Ok(Outgoing::Redirect(url))
}

/// URL encoding with upper-case digits, as most software that encodes anew before it verifies writes it.
fn encoded(value: &[u8]) -> String {
    form_urlencoded::byte_serialize(value).collect()
}

#[cfg(test)]
mod tests;
