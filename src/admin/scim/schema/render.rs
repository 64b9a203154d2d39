//! `/Schemas` and `/ResourceTypes` (RFC 7643 sections 6 and 7).

use serde_json::{Map, Value, json};

use super::{Attribute, Kind, Mutability, ResourceKind, Returned, Schema};

/// Every schema with its URN.
pub(in crate::admin::scim) fn schemas(base: &str) -> Vec<(String, Value)> {
    ResourceKind::ALL
        .into_iter()
        .flat_map(|kind| std::iter::once(kind.core()).chain(kind.extensions()))
        .map(|schema| (schema.urn.to_owned(), render(schema, base)))
        .collect()
}

fn render(schema: &Schema, base: &str) -> Value {
    let attributes: Vec<Value> = schema.attributes.iter().map(attribute).collect();
    json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:Schema"],
        "id": schema.urn,
        "name": schema.name,
        "description": schema.description,
        "attributes": attributes,
        "meta": {
            "resourceType": "Schema",
            "location": format!("{base}/Schemas/{}", schema.urn),
        },
    })
}

fn attribute(of: &Attribute) -> Value {
    let mut shown = Map::new();
    let mut put = |key: &str, value: Value| shown.insert(key.to_owned(), value);
    put("name", of.name.into());
    put("type", type_name(of.kind).into());
    put("multiValued", of.multi.into());
    put("description", of.description.into());
    put("required", of.required.into());
    put("mutability", mutability(of.mutability).into());
    put("returned", returned(of.returned).into());
    match of.kind {
        Kind::Complex => {
            put(
                "subAttributes",
                of.sub.iter().map(attribute).collect::<Vec<_>>().into(),
            );
        }
        Kind::Text | Kind::Reference | Kind::Binary => {
            put("caseExact", of.case_exact.into());
            put(
                "uniqueness",
                if of.unique { "server" } else { "none" }.into(),
            );
        }
        Kind::Boolean | Kind::DateTime => {}
    }
    if !of.canonical.is_empty() {
        put("canonicalValues", of.canonical.into());
    }
    if !of.references.is_empty() {
        put("referenceTypes", of.references.into());
    }
    Value::Object(shown)
}

fn type_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Text => "string",
        Kind::Boolean => "boolean",
        Kind::DateTime => "dateTime",
        Kind::Reference => "reference",
        Kind::Binary => "binary",
        Kind::Complex => "complex",
    }
}

fn mutability(of: Mutability) -> &'static str {
    match of {
        Mutability::ReadWrite => "readWrite",
        Mutability::ReadOnly => "readOnly",
        Mutability::WriteOnly => "writeOnly",
        Mutability::Immutable => "immutable",
    }
}

fn returned(of: Returned) -> &'static str {
    match of {
        Returned::Always => "always",
        Returned::Default => "default",
        Returned::Never => "never",
    }
}

/// Every resource type with its name.
pub(in crate::admin::scim) fn resource_types(base: &str) -> Vec<(String, Value)> {
    ResourceKind::ALL
        .into_iter()
        .map(|kind| {
            let extensions: Vec<Value> = kind
                .extensions()
                .iter()
                .map(|schema| json!({ "schema": schema.urn, "required": false }))
                .collect();
            let mut shown = json!({
                "schemas": ["urn:ietf:params:scim:schemas:core:2.0:ResourceType"],
                "id": kind.name(),
                "name": kind.name(),
                "endpoint": format!("/{}", kind.endpoint()),
                "description": kind.core().description,
                "schema": kind.core().urn,
                "meta": {
                    "resourceType": "ResourceType",
                    "location": format!("{base}/ResourceTypes/{}", kind.name()),
                },
            });
            if !extensions.is_empty() {
                shown["schemaExtensions"] = extensions.into();
            }
            (kind.name().to_owned(), shown)
        })
        .collect()
}
