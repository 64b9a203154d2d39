//! Attribute paths (RFC 7644 section 3.10), resolved against the schemas of a resource.

use super::{Attribute, COMMON, ResourceKind};

/// What an attribute path leads to.
#[derive(Clone, Copy, Debug)]
pub(in crate::admin::scim) struct Located {
    /// The extension whose object holds the attribute; none: the resource itself.
    pub(in crate::admin::scim) extension: Option<&'static str>,
    /// The attribute.
    pub(in crate::admin::scim) attribute: &'static Attribute,
    /// Its sub-attribute, where the path names one.
    pub(in crate::admin::scim) sub: Option<&'static Attribute>,
}

impl Located {
    /// What is compared, sorted or shown: the sub-attribute where there is one.
    pub(in crate::admin::scim) fn last(&self) -> &'static Attribute {
        self.sub.unwrap_or(self.attribute)
    }
}

/// A place in a resource.
#[derive(Clone, Copy, Debug)]
pub(in crate::admin::scim) enum Place {
    /// An attribute or sub-attribute.
    Attribute(Located),
    /// A whole extension.
    Extension(&'static str),
}

/// Resolves `userName`, `name.givenName`, `urn:…:User:userName`, `urn:…:enterprise:2.0:User:manager.value`, or the URN of an
/// extension alone; names and URNs in any case. `None`: no schema of such a resource has it.
pub(in crate::admin::scim) fn locate(kind: ResourceKind, path: &str) -> Option<Place> {
    for extension in kind.extensions() {
        if let Some(rest) = without_urn(path, extension.urn) {
            if rest.is_empty() {
                return Some(Place::Extension(extension.urn));
            }
            return within(extension.attributes, rest, Some(extension.urn));
        }
    }
    let rest = match without_urn(path, kind.core().urn) {
        Some(rest) => rest,
        None => path,
    };
    within(kind.core().attributes, rest, None).or_else(|| within(COMMON, rest, None))
}

/// What follows `urn` and its colon.
fn without_urn<'a>(path: &'a str, urn: &str) -> Option<&'a str> {
    let head = path.get(..urn.len())?;
    if !head.eq_ignore_ascii_case(urn) {
        return None;
    }
    let rest = path.get(urn.len()..)?;
    if rest.is_empty() {
        return Some(rest);
    }
    rest.strip_prefix(':').filter(|rest| !rest.is_empty())
}

fn within(
    attributes: &'static [Attribute],
    path: &str,
    extension: Option<&'static str>,
) -> Option<Place> {
    let (name, sub) = match path.split_once('.') {
        Some((name, sub)) => (name, Some(sub)),
        None => (path, None),
    };
    let attribute = attributes
        .iter()
        .find(|attribute| attribute.name.eq_ignore_ascii_case(name))?;
    let sub = match sub {
        Some(sub) => Some(attribute.sub(sub)?),
        None => None,
    };
    Some(Place::Attribute(Located {
        extension,
        attribute,
        sub,
    }))
}
