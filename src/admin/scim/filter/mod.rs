//! Filters (RFC 7644 section 3.4.2.2): parsed within bounds, resolved against the schemas, evaluated here or narrowed to an index.

mod matches;
mod parse;

pub(super) use matches::values;
pub(super) use parse::{PatchPath, patch_path};

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::schema::{Located, ResourceKind};
use crate::directory::scim::{GroupKey, UserKey};
use crate::identity::folded;

/// `attrOp`, besides `pr`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operator {
    Eq,
    Ne,
    Co,
    Sw,
    Ew,
    Gt,
    Ge,
    Lt,
    Le,
}

/// What an attribute is compared with, of the attribute's own type.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Literal {
    /// As it was written, and as it is compared where case does not matter.
    Text {
        exact: String,
        folded: String,
    },
    Boolean(bool),
    Time(Timestamp),
    Null,
}

/// A parsed filter. Names are resolved: against a resource at the top, against one value inside of brackets.
#[derive(Clone, Debug)]
pub(super) enum Filter {
    And(Vec<Filter>),
    Or(Vec<Filter>),
    Not(Box<Filter>),
    Present(Located),
    Is(Located, Operator, Literal),
    /// Some value of the attribute matches.
    Values(Located, Box<Filter>),
}

impl Filter {
    /// An index that finds every user who can match.
    pub(super) fn user_key(&self) -> Option<UserKey> {
        self.narrowed(&|name, text| match name {
            "id" => Some(UserKey::Id(text.to_owned())),
            "externalId" => Some(UserKey::ExternalId(text.to_owned())),
            "userName" => Some(UserKey::UserName(folded(text))),
            "emails" => Some(UserKey::Email(folded(text))),
            _ => None,
        })
    }

    /// An index that finds every group that can match.
    pub(super) fn group_key(&self) -> Option<GroupKey> {
        self.narrowed(&|name, text| match name {
            "id" => Some(GroupKey::Id(text.to_owned())),
            "externalId" => Some(GroupKey::ExternalId(text.to_owned())),
            "displayName" => Some(GroupKey::DisplayName(folded(text))),
            "members" => Some(GroupKey::Member(text.to_owned())),
            _ => None,
        })
    }

    fn narrowed<T>(&self, key: &dyn Fn(&str, &str) -> Option<T>) -> Option<T> {
        match self {
            Self::And(parts) => parts.iter().find_map(|part| part.narrowed(key)),
            Self::Is(at, Operator::Eq, Literal::Text { exact, .. }) if at.extension.is_none() => {
                let whole = at.sub.is_none_or(|sub| sub.name == "value");
                whole.then(|| key(at.attribute.name, exact)).flatten()
            }
            Self::Values(at, inner) if at.extension.is_none() => inner.narrowed(&|name, text| {
                (name == "value")
                    .then(|| key(at.attribute.name, text))
                    .flatten()
            }),
            Self::Or(_) | Self::Not(_) | Self::Present(_) | Self::Is(..) | Self::Values(..) => None,
        }
    }

    /// Since when whatever matches was changed, where the filter says so.
    pub(super) fn changed_since(&self) -> Option<Timestamp> {
        match self {
            Self::And(parts) => parts.iter().find_map(Self::changed_since),
            Self::Is(at, Operator::Gt | Operator::Ge | Operator::Eq, Literal::Time(since)) => {
                let is_change = at.sub.is_some_and(|sub| sub.name == "lastModified");
                (is_change && at.attribute.name == "meta").then_some(*since)
            }
            Self::Or(_) | Self::Not(_) | Self::Present(_) | Self::Is(..) | Self::Values(..) => None,
        }
    }

    /// Whether it needs that attribute of the resource.
    pub(super) fn names(&self, attribute: &str) -> bool {
        match self {
            Self::And(parts) | Self::Or(parts) => parts.iter().any(|part| part.names(attribute)),
            Self::Not(inner) => inner.names(attribute),
            Self::Present(at) | Self::Is(at, ..) | Self::Values(at, _) => {
                at.extension.is_none() && at.attribute.name == attribute
            }
        }
    }

    /// What must be equal for it to hold, if it is one or several equalities: what a new value is made of where none matches.
    pub(super) fn equalities(&self) -> Option<Map<String, Value>> {
        let mut found = Map::new();
        self.gather(&mut found).then_some(found)
    }

    fn gather(&self, into: &mut Map<String, Value>) -> bool {
        match self {
            Self::And(parts) => parts.iter().all(|part| part.gather(into)),
            Self::Is(at, Operator::Eq, literal) => {
                let value = match literal {
                    Literal::Text { exact, .. } => Value::String(exact.clone()),
                    Literal::Boolean(value) => Value::Bool(*value),
                    Literal::Time(_) | Literal::Null => return false,
                };
                into.insert(at.attribute.name.to_owned(), value);
                true
            }
            Self::Or(_) | Self::Not(_) | Self::Present(_) | Self::Is(..) | Self::Values(..) => {
                false
            }
        }
    }

    /// The ids, where it is `value eq "…"`, or several of them with `or`.
    pub(super) fn listed_values(&self) -> Option<Vec<String>> {
        match self {
            Self::Is(at, Operator::Eq, Literal::Text { exact, .. })
                if at.attribute.name == "value" =>
            {
                Some(vec![exact.clone()])
            }
            Self::Or(parts) => {
                let lists = parts.iter().map(Self::listed_values);
                Some(lists.collect::<Option<Vec<_>>>()?.concat())
            }
            Self::And(_) | Self::Not(_) | Self::Present(_) | Self::Is(..) | Self::Values(..) => {
                None
            }
        }
    }

    /// For [`ResourceKind`]: reads a filter's text.
    ///
    /// # Errors
    /// 400 `invalidFilter`.
    pub(super) fn read(kind: ResourceKind, text: &str) -> Result<Self, super::error::ScimError> {
        parse::filter(kind, text)
    }
}

#[cfg(test)]
mod tests;
