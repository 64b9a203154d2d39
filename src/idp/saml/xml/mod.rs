//! XML as SAML messages use it: scanned in linear time before any tree is built, read by namespace, written in canonical form.

pub mod canonical;
pub mod scan;
pub mod time;
pub mod write;

use std::borrow::Cow;

pub use roxmltree::{Document, Node, NodeId};

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

/// Scans, then parses.
///
/// # Errors
/// [`XmlError::Scan`] and [`XmlError::NotWellFormed`].
pub fn parse<'a>(_bytes: &'a [u8], _limits: &Limits) -> Result<Document<'a>, XmlError> {
    todo!()
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
pub fn children<'a, 'i>(_node: Node<'a, 'i>) -> Result<Vec<Node<'a, 'i>>, XmlError> {
    todo!()
}

/// The one child element of that name, if there is one.
///
/// # Errors
/// [`XmlError::Shape`] if there are several.
pub fn one<'a, 'i>(
    _node: Node<'a, 'i>,
    _namespace: &str,
    _name: &str,
) -> Result<Option<Node<'a, 'i>>, XmlError> {
    todo!()
}

/// As [`one`], and it must be there.
///
/// # Errors
/// [`XmlError::Shape`] if it is missing or comes several times.
pub fn sole<'a, 'i>(
    _node: Node<'a, 'i>,
    _namespace: &str,
    _name: &str,
) -> Result<Node<'a, 'i>, XmlError> {
    todo!()
}

/// The whole text of an element that holds nothing but text, as it stands.
///
/// # Errors
/// [`XmlError::Shape`] if it has element children.
pub fn text<'a>(_node: Node<'a, '_>) -> Result<Cow<'a, str>, XmlError> {
    todo!()
}

/// An attribute without a namespace that must be there.
///
/// # Errors
/// [`XmlError::Shape`] if it is missing.
pub fn attribute<'a>(_node: Node<'a, '_>, _name: &str) -> Result<&'a str, XmlError> {
    todo!()
}
