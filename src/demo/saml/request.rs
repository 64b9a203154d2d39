//! What an IdP reads of the messages that usher sends.

use std::io::Read as _;

use flate2::read::DeflateDecoder;
use roxmltree::{Document, Node};
use url::Url;

use super::binding::decode_base64;
use super::{ForgeError, SAMLP};

/// A message that usher sent through the browser: an `AuthnRequest`, a `LogoutRequest` or a `LogoutResponse`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SentRequest {
    /// Local name of the root.
    pub kind: String,
    /// `ID`.
    pub id: String,
    /// `Issuer`: usher's entity ID.
    pub issuer: String,
    /// `Destination`.
    pub destination: Option<String>,
    /// `AssertionConsumerServiceURL`; empty where there is none.
    pub acs: String,
    /// `InResponseTo` of a response.
    pub in_response_to: Option<String>,
    /// `RelayState`.
    pub relay_state: Option<String>,
    /// `ForceAuthn`.
    pub force_authn: Option<String>,
    /// `IsPassive`.
    pub is_passive: Option<String>,
    /// `Format` of `NameIDPolicy`.
    pub name_id_format: Option<String>,
    /// `AuthnContextClassRef`s that are asked for.
    pub authn_context: Vec<String>,
    /// Text of the `NameID`.
    pub name_id: Option<String>,
    /// `SessionIndex`es of a logout request.
    pub session_indexes: Vec<String>,
    /// The top-level status of a response.
    pub status: Option<String>,
    /// The XML.
    pub xml: String,
    /// `SigAlg` of the query.
    pub signature_algorithm: Option<String>,
    /// The signature of the query, decoded, and what it is over.
    pub signature: Option<(Vec<u8>, String)>,
}

/// Reads what usher sent: the URL of the Redirect binding, or the page or form body of the POST binding.
///
/// # Errors
/// There is no message in it, or it is not XML.
pub fn read_request(sent: &str) -> Result<SentRequest, ForgeError> {
    if sent.contains("<form") || sent.contains("<FORM") {
        let field = |name: &str| input(sent, name);
        let message = field("SAMLRequest").or_else(|| field("SAMLResponse"));
        return of_form(message, field("RelayState"));
    }
    match Url::parse(sent) {
        Ok(url) => of_query(url.query().unwrap_or_default()),
        Err(_) => {
            let field = |name: &str| parameter(sent, name);
            let message = field("SAMLRequest").or_else(|| field("SAMLResponse"));
            of_form(message, field("RelayState"))
        }
    }
}

fn missing() -> ForgeError {
    ForgeError::Unreadable("there is no message".to_owned())
}

fn parameter(query: &str, name: &str) -> Option<String> {
    let mut pairs = url::form_urlencoded::parse(query.as_bytes());
    pairs
        .find(|(known, _)| known == name)
        .map(|(_, value)| value.into_owned())
}

/// The value of an `input` of a page.
fn input(page: &str, name: &str) -> Option<String> {
    let named = format!("name=\"{name}\"");
    let tag = page
        .split("<input")
        .skip(1)
        .filter_map(|rest| rest.split('>').next())
        .find(|tag| tag.contains(&named))?;
    let value = tag.split_once("value=\"")?.1.split('"').next()?;
    let mut text = value.to_owned();
    for (entity, plain) in [
        ("&quot;", "\""),
        ("&#34;", "\""),
        ("&#x2b;", "+"),
        ("&#43;", "+"),
        ("&#x3d;", "="),
        ("&#61;", "="),
        ("&#x2f;", "/"),
        ("&#47;", "/"),
        ("&#39;", "'"),
        ("&#x27;", "'"),
        ("&lt;", "<"),
        ("&#60;", "<"),
        ("&gt;", ">"),
        ("&#62;", ">"),
        ("&#38;", "&"),
        ("&amp;", "&"),
    ] {
        text = text.replace(entity, plain);
    }
    Some(text)
}

fn of_form(
    message: Option<String>,
    relay_state: Option<String>,
) -> Result<SentRequest, ForgeError> {
    let xml = decode_base64(&message.ok_or_else(missing)?)?;
    let mut request = read(String::from_utf8_lossy(&xml).into_owned())?;
    request.relay_state = relay_state;
    Ok(request)
}

fn of_query(query: &str) -> Result<SentRequest, ForgeError> {
    let message = parameter(query, "SAMLRequest").or_else(|| parameter(query, "SAMLResponse"));
    let deflated = decode_base64(&message.ok_or_else(missing)?)?;
    let mut xml = String::new();
    DeflateDecoder::new(deflated.as_slice())
        .read_to_string(&mut xml)
        .map_err(|error| ForgeError::Unreadable(error.to_string()))?;
    let mut request = read(xml)?;
    request.relay_state = parameter(query, "RelayState");
    request.signature_algorithm = parameter(query, "SigAlg");
    if let Some(signature) = parameter(query, "Signature") {
        let signed = query.split("&Signature=").next().unwrap_or_default();
        request.signature = Some((decode_base64(&signature)?, signed.to_owned()));
    }
    Ok(request)
}

fn read(xml: String) -> Result<SentRequest, ForgeError> {
    let mut request = {
        let document =
            Document::parse(&xml).map_err(|error| ForgeError::Unreadable(error.to_string()))?;
        fields(document.root_element())
    };
    request.xml = xml;
    Ok(request)
}

fn fields(root: Node<'_, '_>) -> SentRequest {
    let named = |name: &'static str| {
        root.descendants()
            .filter(move |node| node.is_element() && node.tag_name().name() == name)
    };
    let text = |name: &'static str| {
        named(name)
            .filter_map(|node| node.text())
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let attribute = |name: &str| root.attribute(name).map(str::to_owned);
    SentRequest {
        kind: match root.tag_name().namespace() {
            Some(SAMLP) => root.tag_name().name().to_owned(),
            Some(_) | None => String::new(),
        },
        id: attribute("ID").unwrap_or_default(),
        issuer: text("Issuer").into_iter().next().unwrap_or_default(),
        destination: attribute("Destination"),
        acs: attribute("AssertionConsumerServiceURL").unwrap_or_default(),
        in_response_to: attribute("InResponseTo"),
        force_authn: attribute("ForceAuthn"),
        is_passive: attribute("IsPassive"),
        name_id_format: named("NameIDPolicy")
            .next()
            .and_then(|node| node.attribute("Format"))
            .map(str::to_owned),
        authn_context: text("AuthnContextClassRef"),
        name_id: text("NameID").into_iter().next(),
        session_indexes: text("SessionIndex"),
        status: named("StatusCode")
            .next()
            .and_then(|node| node.attribute("Value"))
            .map(str::to_owned),
        ..SentRequest::default()
    }
}
