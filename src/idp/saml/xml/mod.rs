//! XML as SAML messages use it: scanned in linear time before any tree is built, read by namespace, written in canonical form.

pub mod canonical;
pub mod scan;
pub mod time;
mod token;
pub mod write;

use std::borrow::Cow;

pub use roxmltree::{Document, Node, NodeId};
use roxmltree::{NodeType, ParsingOptions};

pub use scan::{Limits, ScanError};

/// `saml:`, assertions.
pub const ASSERTION: &str = "urn:oasis:names:tc:SAML:2.0:assertion";
/// `samlp:`, the protocol.
pub const PROTOCOL: &str = "urn:oasis:names:tc:SAML:2.0:protocol";
/// `md:`, metadata.
pub const METADATA: &str = "urn:oasis:names:tc:SAML:2.0:metadata";
/// `ds:`, XML Signature.
pub const DSIG: &str = "http://www.w3.org/2000/09/xmldsig#";
/// `xenc:`, XML Encryption.
pub const XENC: &str = "http://www.w3.org/2001/04/xmlenc#";
/// `xenc11:`, XML Encryption 1.1.
pub const XENC11: &str = "http://www.w3.org/2009/xmlenc11#";
/// Exclusive canonicalization without comments.
pub const EXCLUSIVE_C14N: &str = "http://www.w3.org/2001/10/xml-exc-c14n#";

/// Why bytes are no document that usher reads, or an element is not shaped as it must be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum XmlError {
    /// The scan refused it.
    #[error(transparent)]
    Scan(#[from] ScanError),
    /// It is not well-formed (XML 1.0 with namespaces).
    #[error("it is not well-formed XML: {0}")]
    NotWellFormed(String),
    /// An element is missing, comes twice, or holds what it must not; in words for a log.
    #[error("{0}")]
    Shape(String),
}

/// Characters of a parser's complaint that are kept: it quotes names, which may be as long as the document.
const COMPLAINT: usize = 160;

/// Scans, then parses.
///
/// # Errors
/// [`XmlError::Scan`] and [`XmlError::NotWellFormed`].
pub fn parse<'a>(bytes: &'a [u8], limits: &Limits) -> Result<Document<'a>, XmlError> {
    tree(scan::scan(bytes, limits)?, limits)
}

/// Parses octets that [`canonical::exclusive`] wrote of a document that [`parse`] gave, and that somebody signed who is trusted:
/// they are not scanned once more.
///
/// # Errors
/// [`XmlError::Scan`] and [`XmlError::NotWellFormed`].
pub fn parse_canonical<'a>(octets: &'a [u8], limits: &Limits) -> Result<Document<'a>, XmlError> {
    tree(scan::canonical(octets, limits)?, limits)
}

fn tree<'a>(text: &'a str, limits: &Limits) -> Result<Document<'a>, XmlError> {
    let options = ParsingOptions {
        allow_dtd: false,
        nodes_limit: u32::try_from(limits.nodes.saturating_mul(2)).unwrap_or(u32::MAX),
        ..ParsingOptions::default()
    };
    Document::parse_with_options(text, options).map_err(|error| {
        let complaint = error.to_string();
        XmlError::NotWellFormed(complaint.chars().take(COMPLAINT).collect())
    })
}

/// Whether `node` is the element `name` of `namespace`.
pub fn is(node: Node<'_, '_>, namespace: &str, name: &str) -> bool {
    node.is_element()
        && node.tag_name().namespace() == Some(namespace)
        && node.tag_name().name() == name
}

/// The element children of `node`. Text between them must be white space.
///
/// # Errors
/// [`XmlError::Shape`] if there is other text between them.
pub fn children<'a, 'i>(node: Node<'a, 'i>) -> Result<Vec<Node<'a, 'i>>, XmlError> {
    let mut elements = Vec::new();
    for child in node.children() {
        match child.node_type() {
            NodeType::Element => elements.push(child),
            NodeType::Comment => {}
            NodeType::Text if is_white(child) => {}
            NodeType::Text | NodeType::PI | NodeType::Root => {
                return Err(shape(format!(
                    "{} holds text between its elements",
                    named(node)
                )));
            }
        }
    }
    Ok(elements)
}

/// The one child element of that name, if there is one. Other children, and text between them, are passed over.
///
/// # Errors
/// [`XmlError::Shape`] if there are several.
pub fn one<'a, 'i>(
    node: Node<'a, 'i>,
    namespace: &str,
    name: &str,
) -> Result<Option<Node<'a, 'i>>, XmlError> {
    let mut found = node.children().filter(|child| is(*child, namespace, name));
    match (found.next(), found.next()) {
        (first, None) => Ok(first),
        (_, Some(_)) => Err(shape(format!("{} has several {name}", named(node)))),
    }
}

/// As [`one`], and it must be there.
///
/// # Errors
/// [`XmlError::Shape`] if it is missing or comes several times.
pub fn sole<'a, 'i>(
    node: Node<'a, 'i>,
    namespace: &str,
    name: &str,
) -> Result<Node<'a, 'i>, XmlError> {
    one(node, namespace, name)?.ok_or_else(|| shape(format!("{} has no {name}", named(node))))
}

/// The whole text of an element that holds nothing but text, as it stands. Comments in it, which only metadata may have, do
/// not cut it.
///
/// # Errors
/// [`XmlError::Shape`] if it has element children.
pub fn text<'a>(node: Node<'a, '_>) -> Result<Cow<'a, str>, XmlError> {
    let mut whole = Cow::Borrowed("");
    for child in node.children() {
        match child.node_type() {
            NodeType::Text => {
                let piece = child.text().unwrap_or_default();
                if whole.is_empty() {
                    whole = Cow::Borrowed(piece);
                } else {
                    whole.to_mut().push_str(piece);
                }
            }
            NodeType::Comment => {}
            NodeType::Element | NodeType::PI | NodeType::Root => {
                return Err(shape(format!("{} holds more than text", named(node))));
            }
        }
    }
    Ok(whole)
}

/// An attribute without a namespace that must be there.
///
/// # Errors
/// [`XmlError::Shape`] if it is missing.
pub fn attribute<'a>(node: Node<'a, '_>, name: &str) -> Result<&'a str, XmlError> {
    optional_attribute(node, name).ok_or_else(|| shape(format!("{} has no {name}", named(node))))
}

/// An attribute without a namespace. ([`Node::attribute`] would take one of any namespace for it.)
pub fn optional_attribute<'a>(node: Node<'a, '_>, name: &str) -> Option<&'a str> {
    node.attributes()
        .find(|attribute| attribute.namespace().is_none() && attribute.name() == name)
        .map(|attribute| attribute.value())
}

fn is_white(node: Node<'_, '_>) -> bool {
    node.text().unwrap_or_default().chars().all(token::is_space)
}

/// The name of an element for a log; names may be as long as the document.
fn named(node: Node<'_, '_>) -> String {
    node.tag_name().name().chars().take(64).collect()
}

fn shape(what: String) -> XmlError {
    XmlError::Shape(what)
}

#[cfg(test)]
mod tests;
