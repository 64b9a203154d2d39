//! The one shape of a signature (XML-DSig 4, SAML Core 5.4): everything else is refused before anything is computed.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::algorithm::{Algorithm, DigestAlgorithm};
use super::{ENVELOPED, SignatureError};
use crate::idp::saml::xml::{self, DSIG, EXCLUSIVE_C14N, Node, XmlError};

/// Prefixes of a `PrefixList`, at most.
const PREFIXES: usize = 16;
/// Characters of a foreign value that a log shows.
const SHOWN: usize = 120;

/// A signature as it stands, of the right shape.
pub(super) struct Signature<'a, 'i> {
    pub(super) signed_info: Node<'a, 'i>,
    pub(super) says: SignedInfo,
    pub(super) value: Vec<u8>,
}

/// What a `ds:SignedInfo` says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct SignedInfo {
    prefixes: Vec<String>,
    pub(super) algorithm: Algorithm,
    pub(super) reference: Reference,
}

/// What its one `ds:Reference` says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Reference {
    uri: String,
    prefixes: Vec<String>,
    pub(super) digest_algorithm: DigestAlgorithm,
    pub(super) digest: Vec<u8>,
}

impl SignedInfo {
    pub(super) fn prefixes(&self) -> Vec<&str> {
        self.prefixes.iter().map(String::as_str).collect()
    }
}

impl Reference {
    pub(super) fn prefixes(&self) -> Vec<&str> {
        self.prefixes.iter().map(String::as_str).collect()
    }
}

impl From<XmlError> for SignatureError {
    fn from(error: XmlError) -> Self {
        Self::Shape(error.to_string())
    }
}

/// The parts of `signature`, which must be a child of `element` and refer to it.
pub(super) fn read<'a, 'i>(
    element: Node<'a, 'i>,
    signature: Node<'a, 'i>,
) -> Result<Signature<'a, 'i>, SignatureError> {
    if !xml::is(signature, DSIG, "Signature") || signature.parent() != Some(element) {
        return Err(shape("it is no child of what it signs"));
    }
    attributes(signature, &["Id"])?;
    let children = xml::children(signature)?;
    let (signed_node, value) = match children.as_slice() {
        [info, value] => (*info, *value),
        // What KeyInfo says is never read: keys come from the IdP's metadata alone.
        [info, value, key_info] if xml::is(*key_info, DSIG, "KeyInfo") => (*info, *value),
        _ => {
            return Err(shape(
                "it holds other than SignedInfo, SignatureValue, KeyInfo",
            ));
        }
    };
    let says = signed_info(signed_node)?;
    let id = only_id(element)?;
    if says.reference.uri.strip_prefix('#') != Some(id) {
        let uri = shown(&says.reference.uri);
        return Err(shape(&format!("it refers to {uri}, not to its parent")));
    }
    named(value, "SignatureValue")?;
    attributes(value, &["Id"])?;
    Ok(Signature {
        signed_info: signed_node,
        says,
        value: base64(value)?,
    })
}

/// The value of the attribute `ID` of an element that has no other attribute that could be taken for an ID.
fn only_id<'a>(element: Node<'a, '_>) -> Result<&'a str, SignatureError> {
    let mut alike = element
        .attributes()
        .filter(|attribute| attribute.name().eq_ignore_ascii_case("id"));
    match (alike.next(), alike.next()) {
        (Some(id), None) if id.namespace().is_none() && id.name() == "ID" => match id.value() {
            "" => Err(shape("the ID of what it signs is empty")),
            id => Ok(id),
        },
        _ => Err(shape("what it signs has not exactly one ID")),
    }
}

/// Reads a `ds:SignedInfo`.
pub(super) fn signed_info(node: Node<'_, '_>) -> Result<SignedInfo, SignatureError> {
    named(node, "SignedInfo")?;
    attributes(node, &["Id"])?;
    let children = xml::children(node)?;
    let [method, algorithm, reference] = children.as_slice() else {
        return Err(shape(
            "SignedInfo holds other than CanonicalizationMethod, SignatureMethod, one Reference",
        ));
    };
    let prefixes = exclusive(*method, "CanonicalizationMethod")?;
    let uri = bare(*algorithm, "SignatureMethod")?;
    let algorithm = Algorithm::of_uri(uri).ok_or_else(|| unknown(uri))?;
    Ok(SignedInfo {
        prefixes,
        algorithm,
        reference: read_reference(*reference)?,
    })
}

fn read_reference(node: Node<'_, '_>) -> Result<Reference, SignatureError> {
    named(node, "Reference")?;
    attributes(node, &["URI", "Id"])?;
    let children = xml::children(node)?;
    let [transforms, method, value] = children.as_slice() else {
        return Err(shape(
            "Reference holds other than Transforms, DigestMethod, DigestValue",
        ));
    };
    named(*transforms, "Transforms")?;
    attributes(*transforms, &[])?;
    let transforms = xml::children(*transforms)?;
    let [enveloped, canonical] = transforms.as_slice() else {
        return Err(shape("there are not exactly two transforms"));
    };
    match bare(*enveloped, "Transform")? {
        ENVELOPED => {}
        other => return Err(unknown(other)),
    }
    let prefixes = exclusive(*canonical, "Transform")?;
    let uri = bare(*method, "DigestMethod")?;
    let digest_algorithm = DigestAlgorithm::of_uri(uri).ok_or_else(|| unknown(uri))?;
    named(*value, "DigestValue")?;
    attributes(*value, &[])?;
    Ok(Reference {
        uri: xml::attribute(node, "URI")?.to_owned(),
        prefixes,
        digest_algorithm,
        digest: base64(*value)?,
    })
}

/// The prefix list of exclusive canonicalization; empty where there is none.
fn exclusive(node: Node<'_, '_>, name: &str) -> Result<Vec<String>, SignatureError> {
    let uri = algorithm(node, name)?;
    if uri != EXCLUSIVE_C14N {
        return Err(unknown(uri));
    }
    let children = xml::children(node)?;
    let list = match children.as_slice() {
        [] => return Ok(Vec::new()),
        [list] if xml::is(*list, EXCLUSIVE_C14N, "InclusiveNamespaces") => *list,
        _ => {
            return Err(shape(&format!(
                "{name} holds other than InclusiveNamespaces"
            )));
        }
    };
    attributes(list, &["PrefixList"])?;
    empty(list)?;
    let prefixes: Vec<String> = xml::attribute(list, "PrefixList")?
        .split_ascii_whitespace()
        .map(str::to_owned)
        .collect();
    if prefixes.len() > PREFIXES {
        return Err(shape("PrefixList is too long"));
    }
    Ok(prefixes)
}

/// The algorithm of an element that has no content.
fn bare<'a>(node: Node<'a, '_>, name: &str) -> Result<&'a str, SignatureError> {
    let uri = algorithm(node, name)?;
    empty(node)?;
    Ok(uri)
}

fn algorithm<'a>(node: Node<'a, '_>, name: &str) -> Result<&'a str, SignatureError> {
    named(node, name)?;
    attributes(node, &["Algorithm"])?;
    Ok(xml::attribute(node, "Algorithm")?)
}

fn empty(node: Node<'_, '_>) -> Result<(), SignatureError> {
    if xml::children(node)?.is_empty() {
        return Ok(());
    }
    let name = node.tag_name().name();
    Err(shape(&format!("{} is not empty", shown(name))))
}

fn named(node: Node<'_, '_>, name: &str) -> Result<(), SignatureError> {
    if xml::is(node, DSIG, name) {
        return Ok(());
    }
    Err(shape(&format!("{name} is not where it must be")))
}

/// There are no attributes but those named here, all without a namespace.
fn attributes(node: Node<'_, '_>, allowed: &[&str]) -> Result<(), SignatureError> {
    let other = node
        .attributes()
        .find(|attribute| attribute.namespace().is_some() || !allowed.contains(&attribute.name()));
    match other {
        None => Ok(()),
        Some(other) => Err(shape(&format!(
            "{} has the attribute {}",
            shown(node.tag_name().name()),
            shown(other.name())
        ))),
    }
}

/// Base64 with white space and nothing else: not even a comment.
fn base64(node: Node<'_, '_>) -> Result<Vec<u8>, SignatureError> {
    let plain = node.children().all(|child| child.is_text());
    let text = xml::text(node)?;
    let compact: String = text
        .chars()
        .filter(|letter| !letter.is_ascii_whitespace())
        .collect();
    match STANDARD.decode(compact) {
        Ok(bytes) if plain && !bytes.is_empty() => Ok(bytes),
        Ok(_) | Err(_) => Err(shape(&format!(
            "{} is not base64 alone",
            shown(node.tag_name().name())
        ))),
    }
}

fn shape(what: &str) -> SignatureError {
    SignatureError::Shape(what.to_owned())
}

fn unknown(uri: &str) -> SignatureError {
    SignatureError::Algorithm(shown(uri))
}

/// What stands in a message, for a log: printable and short.
fn shown(text: &str) -> String {
    text.chars()
        .filter(|letter| !letter.is_control())
        .take(SHOWN)
        .collect()
}
