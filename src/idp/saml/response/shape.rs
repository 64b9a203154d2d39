//! The one shape that a response may have: which elements stand where, by namespace, and how often.
//!
//! Signature wrapping lives from a second assertion that a reader finds where the verifier did not look. Here there is no second
//! place: anything named like an assertion, a response or a signature outside its one place is refused, in any namespace.

use std::collections::HashSet;

use super::super::check::{Check, Refused, shown};
use super::super::xml::{
    ASSERTION, DSIG, Document, Node, PROTOCOL, XmlError, children, is, optional_attribute,
};

/// How often an element may come: as often as it likes (the document is bounded anyway).
pub(in crate::idp::saml) const MANY: usize = usize::MAX;

/// Characters of an `ID`.
const ID: usize = 256;

/// A refusal of what an element holds.
pub(in crate::idp::saml) fn at(check: Check) -> impl Fn(XmlError) -> Refused {
    move |error| Refused::at(check, error.to_string())
}

/// The child elements of one element, all of which are known.
pub(in crate::idp::saml) struct Parts<'a, 'i>(Vec<Node<'a, 'i>>);

impl<'a, 'i> Parts<'a, 'i> {
    /// The first of that name.
    pub(in crate::idp::saml) fn find(&self, namespace: &str, name: &str) -> Option<Node<'a, 'i>> {
        self.all(namespace, name).next()
    }

    /// All of that name.
    pub(in crate::idp::saml) fn all(
        &self,
        namespace: &str,
        name: &str,
    ) -> impl Iterator<Item = Node<'a, 'i>> {
        self.0
            .iter()
            .copied()
            .filter(move |node| is(*node, namespace, name))
    }

    /// All of them, in their order.
    pub(in crate::idp::saml) fn nodes(&self) -> &[Node<'a, 'i>] {
        &self.0
    }
}

/// The children of `node`: only those allowed, each at most so many times, and no text between them.
pub(in crate::idp::saml) fn closed<'a, 'i>(
    node: Node<'a, 'i>,
    allowed: &[(&str, &str, usize)],
) -> Result<Parts<'a, 'i>, Refused> {
    let found = children(node).map_err(at(Check::Shape))?;
    let of = |child: &Node<'_, '_>| {
        allowed
            .iter()
            .position(|(namespace, name, _)| is(*child, namespace, name))
    };
    let mut counts = vec![0_usize; allowed.len()];
    for child in &found {
        let Some((count, (_, name, most))) =
            of(child).and_then(|at| counts.get_mut(at).zip(allowed.get(at)))
        else {
            return Err(refused(format!(
                "{} holds {}, which has no place there",
                node.tag_name().name(),
                named(*child)
            )));
        };
        *count += 1;
        if *count > *most {
            let parent = node.tag_name().name();
            return Err(refused(format!("{parent} holds {name} more than {most}×")));
        }
    }
    Ok(Parts(found))
}

fn refused(detail: impl Into<String>) -> Refused {
    Refused::at(Check::Shape, detail)
}

/// An element as a log shows it.
fn named(node: Node<'_, '_>) -> String {
    let name = node.tag_name();
    match name.namespace() {
        Some(namespace) => format!("{} of {}", shown(name.name()), shown(namespace)),
        None => format!("{} of no namespace", shown(name.name())),
    }
}

/// What a response carries.
#[derive(Clone, Copy)]
pub(super) enum Carried<'a, 'i> {
    /// `saml:Assertion`.
    Plain(Node<'a, 'i>),
    /// `saml:EncryptedAssertion`.
    Encrypted(Node<'a, 'i>),
}

/// The parts of a `samlp:Response`.
pub(super) struct Envelope<'a, 'i> {
    pub(super) root: Node<'a, 'i>,
    pub(super) issuer: Option<Node<'a, 'i>>,
    pub(super) status: Node<'a, 'i>,
    carried: Option<Carried<'a, 'i>>,
}

impl<'a, 'i> Envelope<'a, 'i> {
    /// The one assertion. Asked for after the status: an IdP that says no sends none.
    pub(super) fn carried(&self) -> Result<Carried<'a, 'i>, Refused> {
        self.carried
            .ok_or_else(|| refused("the response holds no assertion"))
    }
}

/// A whole document whose root is a `samlp:Response` with at most one assertion.
pub(super) fn response<'a, 'i>(document: &'a Document<'i>) -> Result<Envelope<'a, 'i>, Refused> {
    let root = document.root_element();
    if !is(root, PROTOCOL, "Response") {
        return Err(refused(format!(
            "the message is {}, not a SAML 2.0 Response",
            named(root)
        )));
    }
    let parts = closed(
        root,
        &[
            (ASSERTION, "Issuer", 1),
            (DSIG, "Signature", 1),
            (PROTOCOL, "Status", 1),
            (ASSERTION, "Assertion", 1),
            (ASSERTION, "EncryptedAssertion", 1),
        ],
    )?;
    let plain = parts.find(ASSERTION, "Assertion").map(Carried::Plain);
    let encrypted = parts
        .find(ASSERTION, "EncryptedAssertion")
        .map(Carried::Encrypted);
    // Of two, the second has no place and is refused below.
    let carried = plain.or(encrypted);
    let assertion = carried.map(|(Carried::Plain(node) | Carried::Encrypted(node))| node);
    placed(root, Some(root), assertion)?;
    id(root)?;
    if let Some(Carried::Plain(assertion)) = carried {
        id(assertion)?;
    }
    let status = parts
        .find(PROTOCOL, "Status")
        .ok_or_else(|| refused("the response holds no Status"))?;
    Ok(Envelope {
        root,
        issuer: parts.find(ASSERTION, "Issuer"),
        status,
        carried,
    })
}

/// The `saml:Assertion` of a whole document: its root where it was parsed out of signed octets, the one child of the root where it
/// was decrypted.
pub(super) fn assertion<'a, 'i>(
    document: &'a Document<'i>,
    decrypted: bool,
) -> Result<Node<'a, 'i>, Refused> {
    let root = document.root_element();
    let node = if decrypted { lone(root)? } else { root };
    if !is(node, ASSERTION, "Assertion") {
        return Err(refused(format!("{} is no assertion", named(node))));
    }
    placed(root, None, Some(node))?;
    id(node)?;
    Ok(node)
}

/// The `saml:NameID` that is all that was decrypted.
pub(in crate::idp::saml) fn name_id<'a, 'i>(
    document: &'a Document<'i>,
) -> Result<Node<'a, 'i>, Refused> {
    let root = document.root_element();
    let node = lone(root)?;
    placed(root, None, None)?;
    if is(node, ASSERTION, "NameID") {
        return Ok(node);
    }
    Err(refused(format!("{} is no NameID", named(node))))
}

fn lone<'a, 'i>(root: Node<'a, 'i>) -> Result<Node<'a, 'i>, Refused> {
    match children(root).map_err(at(Check::Shape))?.as_slice() {
        [node] => Ok(*node),
        several => Err(refused(format!(
            "what was decrypted is {} elements, not one",
            several.len()
        ))),
    }
}

/// Walks over everything once: assertions, responses and signatures stand in their one place, and no ID comes twice.
pub(in crate::idp::saml) fn placed(
    root: Node<'_, '_>,
    response: Option<Node<'_, '_>>,
    assertion: Option<Node<'_, '_>>,
) -> Result<(), Refused> {
    let mut ids = HashSet::new();
    let mut signed = HashSet::new();
    for node in root.descendants().filter(Node::is_element) {
        let fits = match node.tag_name().name() {
            "Response" => Some(node) == response,
            "Assertion" | "EncryptedAssertion" => Some(node) == assertion,
            "Signature" => {
                let parent = node.parent();
                let place = parent.is_some() && (parent == response || parent == assertion);
                place && is(node, DSIG, "Signature") && signed.insert(parent)
            }
            _ => true,
        };
        if !fits {
            return Err(refused(format!(
                "{} stands where it has no place",
                named(node)
            )));
        }
        for attribute in node
            .attributes()
            .filter(|attribute| is_id(attribute.name()))
        {
            if let Some(namespace) = attribute.namespace() {
                return Err(refused(format!(
                    "{} has an ID of the namespace {}",
                    named(node),
                    shown(namespace)
                )));
            }
            if !ids.insert(attribute.value()) {
                return Err(refused(format!(
                    "the ID {} comes twice",
                    shown(attribute.value())
                )));
            }
        }
    }
    Ok(())
}

/// Whether an attribute of that local name may be read as an ID by somebody: of SAML 2.0 and 1.1, XML-DSig, XML-Enc and `xml:id`.
fn is_id(name: &str) -> bool {
    name.eq_ignore_ascii_case("id") || matches!(name, "AssertionID" | "ResponseID" | "RequestID")
}

/// The `ID` of a message or assertion: an ASCII `NCName` of at most 256 characters. It is compared, stored and logged.
pub(in crate::idp::saml) fn id<'a>(node: Node<'a, '_>) -> Result<&'a str, Refused> {
    let name = node.tag_name().name();
    let id = optional_attribute(node, "ID").ok_or_else(|| refused(format!("{name} has no ID")))?;
    let mut letters = id.bytes();
    let first = letters
        .next()
        .is_some_and(|first| first.is_ascii_alphabetic() || first == b'_');
    let rest = letters.all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte));
    if first && rest && id.len() <= ID {
        return Ok(id);
    }
    let shown = shown(id);
    Err(refused(format!(
        "the ID {shown} of {name} is no name of at most {ID} letters, digits, `_`, `-` and `.`"
    )))
}
