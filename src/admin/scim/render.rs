//! Resources as they are shown.

use std::collections::HashMap;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::reply::Meta;
use super::schema::ResourceKind;
use crate::directory::scim::{GroupRow, Membership, UserRow};

/// A resource of either kind, as it is kept.
#[derive(Clone, Debug)]
pub(super) enum Row {
    User(UserRow),
    Group(GroupRow),
}

impl Row {
    pub(super) fn kind(&self) -> ResourceKind {
        match self {
            Self::User(_) => ResourceKind::User,
            Self::Group(_) => ResourceKind::Group,
        }
    }

    pub(super) fn id(&self) -> &str {
        match self {
            Self::User(row) => &row.id,
            Self::Group(row) => &row.id,
        }
    }

    pub(super) fn version(&self) -> i64 {
        match self {
            Self::User(row) => row.version,
            Self::Group(row) => row.version,
        }
    }

    /// Where it stands among all in the order in which they changed.
    pub(super) fn place(&self) -> (i64, String) {
        (self.times().1.as_second(), self.id().to_owned())
    }

    fn times(&self) -> (Timestamp, Timestamp) {
        match self {
            Self::User(row) => (row.created_at, row.changed_at),
            Self::Group(row) => (row.created_at, row.changed_at),
        }
    }

    fn into_document(self) -> Map<String, Value> {
        match self {
            Self::User(row) => row.document,
            Self::Group(row) => row.document,
        }
    }

    pub(super) fn meta(&self, base: &str) -> Meta {
        Meta {
            location: format!("{base}/{}/{}", self.kind().endpoint(), self.id()),
            version: etag(self.version()),
        }
    }
}

/// A weak entity-tag: two states that it calls the same say the same, not byte for byte.
pub(super) fn etag(version: i64) -> String {
    format!("W/\"{version}\"")
}

/// The whole resource. `related`: the groups of a user or the members of a group; none: they are not shown.
pub(super) fn render(row: Row, related: Option<Vec<Membership>>, base: &str) -> Map<String, Value> {
    let kind = row.kind();
    let (id, meta) = (row.id().to_owned(), row.meta(base));
    let (created, changed) = row.times();
    let mut shown = row.into_document();
    let mut schemas = vec![kind.core().urn];
    for extension in kind.extensions() {
        if shown.contains_key(extension.urn) {
            schemas.push(extension.urn);
        }
    }
    shown.insert("schemas".to_owned(), schemas.into());
    shown.insert("id".to_owned(), id.into());
    let related = related.unwrap_or_default();
    if !related.is_empty() {
        let (name, one): (_, fn(&Membership, &str) -> Value) = match kind {
            ResourceKind::User => ("groups", group_of),
            ResourceKind::Group => ("members", member_of),
        };
        let values = related.iter().map(|membership| one(membership, base));
        shown.insert(name.to_owned(), Value::Array(values.collect()));
    }
    let meta = json!({
        "resourceType": kind.name(),
        "created": created.to_string(),
        "lastModified": changed.to_string(),
        "location": meta.location,
        "version": meta.version,
    });
    shown.insert("meta".to_owned(), meta);
    shown
}

fn group_of(membership: &Membership, base: &str) -> Value {
    json!({
        "value": membership.group,
        "$ref": format!("{base}/Groups/{}", membership.group),
        "display": membership.group_name,
        "type": "direct",
    })
}

/// One member as a group shows it.
pub(super) fn member_of(membership: &Membership, base: &str) -> Value {
    json!({
        "value": membership.member,
        "$ref": format!("{base}/Users/{}", membership.member),
        "type": "User",
    })
}

/// The part of `related` that belongs to one resource.
pub(super) fn take(
    related: &mut Option<HashMap<String, Vec<Membership>>>,
    id: &str,
) -> Option<Vec<Membership>> {
    related
        .as_mut()
        .map(|all| all.remove(id).unwrap_or_default())
}
