//! `attributes` and `excludedAttributes` (RFC 7644 section 3.9).

use serde_json::{Map, Value};

use super::schema::{Located, Place, ResourceKind, Returned, locate};

/// What of a resource is shown.
#[derive(Clone, Debug, Default)]
pub(super) struct Projection {
    /// Only these; none: everything by default.
    only: Option<Vec<Place>>,
    /// All but these.
    without: Vec<Place>,
}

impl Projection {
    /// Reads two lists of names; what no schema has is left out. Where both are there, `attributes` counts.
    pub(super) fn new(kind: ResourceKind, only: &[String], without: &[String]) -> Self {
        let places = |names: &[String]| -> Vec<Place> {
            names.iter().filter_map(|name| locate(kind, name)).collect()
        };
        Self {
            only: (!only.is_empty()).then(|| places(only)),
            without: places(without),
        }
    }

    /// Whether the client named what it wants to see.
    pub(super) fn is_chosen(&self) -> bool {
        self.only.is_some()
    }

    /// Whether anything of an attribute is shown, so that what is costly is not looked up in vain.
    pub(super) fn shows(&self, name: &str) -> bool {
        let names = |place: &Place| match place {
            Place::Attribute(at) => at.extension.is_none() && at.attribute.name == name,
            Place::Extension(_) => false,
        };
        match &self.only {
            Some(only) => only.iter().any(names),
            None => !self.without.iter().any(|place| {
                names(place) && matches!(place, Place::Attribute(at) if at.sub.is_none())
            }),
        }
    }

    /// Leaves of a resource what is shown. `id` and `schemas` always are.
    pub(super) fn apply(&self, mut resource: Map<String, Value>) -> Map<String, Value> {
        let Some(only) = &self.only else {
            for place in &self.without {
                remove(&mut resource, place);
            }
            return resource;
        };
        let mut shown = Map::new();
        for name in ["id", "schemas"] {
            if let Some(value) = resource.get(name) {
                shown.insert(name.to_owned(), value.clone());
            }
        }
        for place in only {
            copy(&resource, place, &mut shown);
        }
        shown
    }
}

fn remove(from: &mut Map<String, Value>, place: &Place) {
    let at = match place {
        Place::Extension(urn) => {
            from.remove(*urn);
            return;
        }
        Place::Attribute(at) => at,
    };
    if at.attribute.returned == Returned::Always {
        return;
    }
    let holder = match at.extension {
        Some(urn) => from.get_mut(urn).and_then(Value::as_object_mut),
        None => Some(from),
    };
    let Some(holder) = holder else { return };
    let Some(sub) = at.sub else {
        holder.remove(at.attribute.name);
        return;
    };
    match holder.get_mut(at.attribute.name) {
        Some(Value::Object(parts)) => {
            parts.remove(sub.name);
        }
        Some(Value::Array(list)) => {
            let parts = list.iter_mut().filter_map(Value::as_object_mut);
            parts.for_each(|parts| {
                parts.remove(sub.name);
            });
        }
        Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) | None => {}
    }
}

fn copy(from: &Map<String, Value>, place: &Place, into: &mut Map<String, Value>) {
    match place {
        Place::Extension(urn) => {
            if let Some(value) = from.get(*urn) {
                into.insert((*urn).to_owned(), value.clone());
            }
        }
        Place::Attribute(at) => match at.extension {
            None => copy_at(from, at, into),
            Some(urn) => {
                let Some(part) = from.get(urn).and_then(Value::as_object) else {
                    return;
                };
                let entry = into.entry(urn).or_insert_with(|| Value::Object(Map::new()));
                if let Some(shown) = entry.as_object_mut() {
                    copy_at(part, at, shown);
                }
            }
        },
    }
}

fn copy_at(from: &Map<String, Value>, at: &Located, into: &mut Map<String, Value>) {
    let Some(value) = from.get(at.attribute.name) else {
        return;
    };
    let Some(sub) = at.sub else {
        into.insert(at.attribute.name.to_owned(), value.clone());
        return;
    };
    let entry = into
        .entry(at.attribute.name)
        .or_insert_with(|| match value {
            Value::Array(list) => {
                Value::Array(list.iter().map(|_| Value::Object(Map::new())).collect())
            }
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::String(_)
            | Value::Object(_) => Value::Object(Map::new()),
        });
    let put = |into: &mut Value, from: &Value| {
        if let (Some(parts), Some(value)) = (into.as_object_mut(), from.get(sub.name)) {
            parts.insert(sub.name.to_owned(), value.clone());
        }
    };
    match (entry, value) {
        (Value::Array(shown), Value::Array(list)) => {
            shown
                .iter_mut()
                .zip(list)
                .for_each(|(into, from)| put(into, from));
        }
        (shown, value) => put(shown, value),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use serde_json::json;

    use super::*;

    fn shown(only: &[&str], without: &[&str]) -> Value {
        let ann = json!({
            "id": "7", "schemas": ["u"], "userName": "ann", "meta": { "version": "1", "created": "x" },
            "name": { "givenName": "Ann", "familyName": "A" },
            "emails": [{ "value": "a@x", "type": "work" }, { "value": "b@x", "type": "home" }],
            "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User":
                { "department": "d", "division": "e" },
        });
        let Value::Object(ann) = ann else {
            panic!("no object")
        };
        let list = |names: &[&str]| {
            names
                .iter()
                .map(|name| (*name).to_owned())
                .collect::<Vec<_>>()
        };
        let projection = Projection::new(ResourceKind::User, &list(only), &list(without));
        Value::Object(projection.apply(ann))
    }

    #[test]
    fn shows_only_what_was_asked_for_and_always_the_id() {
        assert_eq!(
            shown(
                &["USERNAME", "name.givenName", "emails.value", "nothing"],
                &[]
            ),
            json!({
                "id": "7", "schemas": ["u"], "userName": "ann", "name": { "givenName": "Ann" },
                "emails": [{ "value": "a@x" }, { "value": "b@x" }],
            })
        );
        let urn = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
        assert_eq!(
            shown(&[&format!("{urn}:department")], &[]),
            json!({ "id": "7", "schemas": ["u"], urn: { "department": "d" } })
        );
        assert_eq!(
            shown(&["password"], &[]),
            json!({ "id": "7", "schemas": ["u"] })
        );
    }

    #[test]
    fn leaves_out_what_was_excluded_but_never_the_id() {
        let urn = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
        assert_eq!(
            shown(
                &[],
                &["id", "schemas", "meta", "name.familyName", "emails", urn]
            ),
            json!({ "id": "7", "schemas": ["u"], "userName": "ann", "name": { "givenName": "Ann" } })
        );
    }

    #[test]
    fn knows_beforehand_what_it_will_show() {
        let list = |name: &str| vec![name.to_owned()];
        let group = |only: &[String], without: &[String]| {
            Projection::new(ResourceKind::Group, only, without).shows("members")
        };
        assert!(group(&[], &[]));
        assert!(!group(&[], &list("members")));
        assert!(group(&[], &list("members.display")));
        assert!(!group(&list("displayName"), &[]));
        assert!(group(&list("members.value"), &[]));
    }
}
