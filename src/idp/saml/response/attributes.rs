//! Attribute statements (SAML Core 2.7.3): names with the texts of their values.

use super::super::assertion::Attribute;
use super::super::check::{Check, Refused, shown};
use super::super::xml::{ASSERTION, Node, children, is, optional_attribute, text};
use super::shape::{MANY, at, closed};

const XSI: &str = "http://www.w3.org/2001/XMLSchema-instance";
/// Attributes of an assertion. Some IdPs repeat the attribute for each group.
const ATTRIBUTES: usize = 2_000;
/// Values of one attribute.
const VALUES: usize = 2_000;

fn refused(detail: String) -> Refused {
    Refused::at(Check::Attributes, detail)
}

/// All attributes in their order.
pub(super) fn read(statements: &[Node<'_, '_>]) -> Result<Vec<Attribute>, Refused> {
    let mut attributes = Vec::new();
    for statement in statements {
        let parts = closed(
            *statement,
            &[
                (ASSERTION, "Attribute", MANY),
                (ASSERTION, "EncryptedAttribute", MANY),
            ],
        )?;
        for node in parts.nodes() {
            if attributes.len() == ATTRIBUTES {
                return Err(refused(format!(
                    "there are more than {ATTRIBUTES} attributes"
                )));
            }
            attributes.push(attribute(*node)?);
        }
    }
    Ok(attributes)
}

fn attribute(node: Node<'_, '_>) -> Result<Attribute, Refused> {
    if is(node, ASSERTION, "EncryptedAttribute") {
        return Err(refused("there is an EncryptedAttribute".to_owned()).advising(
            "Your identity provider encrypted a single attribute, which is not understood here. Its administrator must encrypt the whole assertion instead.",
        ));
    }
    let name = optional_attribute(node, "Name")
        .filter(|name| !name.is_empty())
        .ok_or_else(|| refused("an Attribute has no Name".to_owned()))?;
    let parts = closed(node, &[(ASSERTION, "AttributeValue", MANY)])?;
    let found = parts.nodes().len();
    if found > VALUES {
        let name = shown(name);
        return Err(refused(format!(
            "{name} has {found} values, more than {VALUES}"
        )));
    }
    let values = parts
        .nodes()
        .iter()
        .map(|node| value(*node))
        .collect::<Result<Vec<_>, _>>()?;
    Ok(Attribute {
        name: name.to_owned(),
        friendly_name: optional_attribute(node, "FriendlyName").map(str::to_owned),
        values: values.into_iter().flatten().collect(),
    })
}

/// The text of an `AttributeValue`. A lone `NameID` in it, as `eduPersonTargetedID` has it, counts by its text; other structure says
/// nothing that usher could tell an app and is left out, as are nil and empty values.
fn value(node: Node<'_, '_>) -> Result<Option<String>, Refused> {
    if matches!(node.attribute((XSI, "nil")), Some("true" | "1")) {
        return Ok(None);
    }
    let holder = if node.children().any(|child| child.is_element()) {
        let Ok(inside) = children(node) else {
            return Ok(None);
        };
        match inside.as_slice() {
            [name] if is(*name, ASSERTION, "NameID") => *name,
            _ => return Ok(None),
        }
    } else {
        node
    };
    let text = text(holder).map_err(at(Check::Attributes))?;
    let held = !text.trim().is_empty();
    Ok(held.then(|| text.into_owned()))
}
