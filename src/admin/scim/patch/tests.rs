#![allow(clippy::unwrap_used, clippy::panic)]

use serde_json::json;

use super::*;
use crate::admin::scim::schema::ENTERPRISE;

fn object(value: Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

/// The document after these operations, or the `scimType` of the refusal.
fn after(before: &Value, operations: &Value) -> Result<Value, &'static str> {
    let kind = ResourceKind::User;
    let message = object(json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": operations,
    }));
    let fault = |error: ScimError| error.kind.unwrap().as_str();
    let mut document = object(before.clone());
    for operation in read(kind, &message).map_err(fault)? {
        apply(&mut document, &operation, kind).map_err(fault)?;
    }
    Ok(Value::Object(document))
}

fn check(table: &[(Value, Value, Value)]) {
    for (before, operations, expected) in table {
        let found =
            after(before, operations).unwrap_or_else(|error| panic!("{operations}: {error}"));
        assert_eq!(found, *expected, "{before} {operations}");
    }
}

#[test]
fn adds_replaces_and_removes_as_the_rfc_says() {
    let two = json!([{ "value": "a@x", "type": "work", "primary": true }, { "value": "b@x", "type": "home" }]);
    check(&[
        (
            json!({}),
            json!([{ "op": "add", "path": "title", "value": "Dr." }]),
            json!({ "title": "Dr." }),
        ),
        (
            json!({ "title": "x" }),
            json!([{ "op": "replace", "path": "TITLE", "value": "y" }]),
            json!({ "title": "y" }),
        ),
        (
            json!({ "title": "x" }),
            json!([{ "op": "remove", "path": "title" }]),
            json!({}),
        ),
        (
            json!({ "title": "x" }),
            json!([{ "op": "replace", "path": "title", "value": null }]),
            json!({}),
        ),
        (
            json!({ "name": { "givenName": "A", "familyName": "B" } }),
            json!([{ "op": "replace", "path": "name", "value": { "givenName": "C" } }]),
            json!({ "name": { "givenName": "C", "familyName": "B" } }),
        ),
        (
            json!({ "name": { "givenName": "A" } }),
            json!([{ "op": "remove", "path": "name.givenName" }]),
            json!({}),
        ),
        (
            json!({ "emails": two }),
            json!([{ "op": "add", "path": "emails", "value": [{ "value": "c@x", "primary": true }, { "value": "b@x", "type": "home" }] }]),
            json!({ "emails": [
                { "value": "a@x", "type": "work", "primary": false }, { "value": "b@x", "type": "home" },
                { "value": "c@x", "primary": true },
            ] }),
        ),
        (
            json!({ "emails": two }),
            json!([{ "op": "replace", "path": "emails", "value": [{ "value": "c@x" }] }]),
            json!({ "emails": [{ "value": "c@x" }] }),
        ),
        (
            json!({ "emails": two }),
            json!([{ "op": "remove", "path": "emails[type eq \"work\"]" }]),
            json!({ "emails": [{ "value": "b@x", "type": "home" }] }),
        ),
        (
            json!({ "emails": two }),
            json!([{ "op": "remove", "path": "emails[type eq \"nothing\"].value" }]),
            json!({ "emails": two }),
        ),
        (
            json!({ "emails": two }),
            json!([{ "op": "replace", "path": "emails[type eq \"home\"].primary", "value": true }]),
            json!({ "emails": [
                { "value": "a@x", "type": "work", "primary": false }, { "value": "b@x", "type": "home", "primary": true },
            ] }),
        ),
        (
            json!({ "emails": two }),
            json!([{ "op": "replace", "path": "emails[type eq \"home\"]", "value": { "value": "d@x" } }]),
            json!({ "emails": [
                { "value": "a@x", "type": "work", "primary": true }, { "value": "d@x", "type": "home" },
            ] }),
        ),
        (
            json!({ "emails": two }),
            json!([{ "op": "remove", "path": "emails" }]),
            json!({}),
        ),
        (
            json!({ "emails": two }),
            json!([{ "op": "remove", "path": "emails.type" }]),
            json!({ "emails": [{ "value": "a@x", "primary": true }, { "value": "b@x" }] }),
        ),
    ]);
}

#[test]
fn takes_what_entra_id_sends() {
    check(&[
        // Names of operations with capital letters, booleans as texts.
        (
            json!({ "active": true }),
            json!([{ "op": "Replace", "path": "active", "value": "False" }]),
            json!({ "active": false }),
        ),
        (
            json!({ "active": true }),
            json!([{ "op": "Add", "path": "active", "value": "false" }]),
            json!({ "active": false }),
        ),
        // A value that is not there yet.
        (
            json!({}),
            json!([{ "op": "Add", "path": "emails[type eq \"work\"].value", "value": "a@x" }]),
            json!({ "emails": [{ "type": "work", "value": "a@x" }] }),
        ),
        (
            json!({ "phoneNumbers": [{ "type": "mobile", "value": "1" }] }),
            json!([{ "op": "Replace", "path": "phoneNumbers[type eq \"work\"].value", "value": "2" }]),
            json!({ "phoneNumbers": [{ "type": "mobile", "value": "1" }, { "type": "work", "value": "2" }] }),
        ),
        (
            json!({}),
            json!([{ "op": "Add", "path": "roles[primary eq \"True\"].value", "value": "admin" }]),
            json!({ "roles": [{ "primary": true, "value": "admin" }] }),
        ),
        (
            json!({}),
            json!([{ "op": "Add", "path": "addresses[type eq \"work\"].streetAddress", "value": "1 Road\nTown" }]),
            json!({ "addresses": [{ "type": "work", "streetAddress": "1 Road\nTown" }] }),
        ),
        // The extension by its URN, the manager as a text.
        (
            json!({}),
            json!([
                { "op": "Add", "path": format!("{ENTERPRISE}:department"), "value": "Sales" },
                { "op": "Add", "path": format!("{ENTERPRISE}:manager"), "value": "26118915" },
            ]),
            json!({ ENTERPRISE: { "department": "Sales", "manager": { "value": "26118915" } } }),
        ),
        (
            json!({ ENTERPRISE: { "manager": { "value": "1" } } }),
            json!([{ "op": "Remove", "path": format!("{ENTERPRISE}:manager") }]),
            json!({}),
        ),
        // Paths as names inside of a value.
        (
            json!({ "emails": [{ "type": "work", "value": "a@x" }], "displayName": "a" }),
            json!([{ "op": "replace", "value": {
                "displayName": "b",
                "emails[type eq \"work\"].value": "b@x",
                "emails[type eq \"work\"].primary": true,
                "name.givenName": "Given",
                format!("{ENTERPRISE}:employeeNumber"): 847,
            } }]),
            json!({
                "displayName": "b", "name": { "givenName": "Given" },
                "emails": [{ "type": "work", "value": "b@x", "primary": true }],
                ENTERPRISE: { "employeeNumber": "847" },
            }),
        ),
        // What is unknown or read-only in a value is left out.
        (
            json!({}),
            json!([{ "op": "Add", "value": { "id": "1", "meta": {}, "custom": "x", "nickName": "n" } }]),
            json!({ "nickName": "n" }),
        ),
    ]);
}

#[test]
fn takes_what_okta_sends() {
    check(&[
        (
            json!({ "active": true }),
            json!([{ "op": "replace", "value": { "active": false } }]),
            json!({ "active": false }),
        ),
        (
            json!({ "userName": "a" }),
            json!([{ "op": "replace", "value": { ENTERPRISE: { "department": "d" }, "password": "secret" } }]),
            json!({ "userName": "a", ENTERPRISE: { "department": "d" } }),
        ),
        (
            json!({ "emails": [{ "value": "a@x" }, { "value": "b@x" }] }),
            json!([{ "op": "remove", "path": "emails", "value": [{ "value": "a@x" }] }]),
            json!({ "emails": [{ "value": "b@x" }] }),
        ),
    ]);
}

#[test]
fn refuses_what_it_cannot_do_by_the_type_of_the_fault() {
    let many: Vec<Value> = vec![json!({ "op": "remove", "path": "title" }); 1001];
    for (operations, kind) in [
        (json!([{ "op": "move", "path": "title" }]), "invalidSyntax"),
        (json!([{ "path": "title" }]), "invalidSyntax"),
        (json!([]), "invalidSyntax"),
        (json!("add"), "invalidSyntax"),
        (json!(["add"]), "invalidSyntax"),
        (json!(many), "invalidSyntax"),
        (json!([{ "op": "remove" }]), "noTarget"),
        (json!([{ "op": "add", "value": "x" }]), "invalidValue"),
        (
            json!([{ "op": "add", "path": "nothing", "value": "x" }]),
            "invalidPath",
        ),
        (
            json!([{ "op": "add", "path": "emails[", "value": "x" }]),
            "invalidPath",
        ),
        (
            json!([{ "op": "add", "path": "emails[nothing eq \"x\"].value", "value": "x" }]),
            "invalidPath",
        ),
        (
            json!([{ "op": "add", "path": "title[value eq \"x\"]", "value": "x" }]),
            "invalidPath",
        ),
        (
            json!([{ "op": "add", "path": "name[givenName eq \"x\"].familyName", "value": "x" }]),
            "invalidPath",
        ),
        (
            json!([{ "op": "add", "value": { "emails[": "x" } }]),
            "invalidPath",
        ),
        (
            json!([{ "op": "replace", "path": "id", "value": "x" }]),
            "mutability",
        ),
        (
            json!([{ "op": "add", "path": "groups", "value": [{ "value": "x" }] }]),
            "mutability",
        ),
        (
            json!([{ "op": "replace", "path": "meta.created", "value": "x" }]),
            "mutability",
        ),
        (
            json!([{ "op": "replace", "path": "emails[type co \"w\"].value", "value": "x" }]),
            "noTarget",
        ),
        (
            json!([{ "op": "replace", "path": "active", "value": "maybe" }]),
            "invalidValue",
        ),
        (
            json!([{ "op": "replace", "path": "title", "value": { "a": 1 } }]),
            "invalidValue",
        ),
        (
            json!([{ "op": "replace", "path": "title", "value": "a\u{0}" }]),
            "invalidValue",
        ),
        (
            json!([{ "op": "replace", "path": "name", "value": [1] }]),
            "invalidValue",
        ),
    ] {
        assert_eq!(
            after(&json!({}), &operations),
            Err(kind),
            "{operations:.100}"
        );
    }
}

#[test]
fn a_message_of_another_schema_is_refused() {
    let operations = json!([{ "op": "remove", "path": "title" }]);
    let read_as = |schemas: Value| {
        let message = json!({ "schemas": schemas, "Operations": operations });
        read(ResourceKind::User, &object(message)).map(|operations| operations.len())
    };
    assert_eq!(read_as(json!([MESSAGE.to_lowercase()])).unwrap(), 1);
    for other in [
        json!([]),
        json!("urn:ietf:params:scim:api:messages:2.0:PatchOp"),
        json!(["urn:ietf:params:scim:api:messages:2.0:BulkRequest"]),
    ] {
        let refused = read_as(other.clone()).unwrap_err();
        assert_eq!(refused.kind, Some(ScimType::InvalidSyntax), "{other}");
    }
    let without = object(json!({ "Operations": operations }));
    assert!(read(ResourceKind::User, &without).is_ok());
}
