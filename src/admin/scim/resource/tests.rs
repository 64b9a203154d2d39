#![allow(clippy::unwrap_used, clippy::panic)]

use serde_json::json;

use super::*;
use crate::admin::scim::schema::{ENTERPRISE, USER};
use crate::config::{self, ScimConfig};

fn object(value: Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

fn kept(sent: Value) -> Result<Value, String> {
    let read = read(ResourceKind::User, &object(sent)).and_then(|document| {
        check(ResourceKind::User, &document)?;
        Ok(document)
    });
    read.map(Value::Object).map_err(|error| {
        let kind = error.kind.map_or("", |kind| kind.as_str());
        format!("{} {kind}", error.status.as_u16())
    })
}

#[test]
fn keeps_what_is_known_in_its_canonical_form() {
    let sent = json!({
        "schemas": [USER, ENTERPRISE], "ID": "mine", "meta": { "version": "1" }, "groups": [{ "value": "g" }],
        "USERNAME": "ann", "externalId": "e", "password": "secret", "unknown": { "a": 1 }, "Active": "True",
        "nickName": "", "title": null, "employeeNumber": "not here",
        "emails": { "VALUE": "ann@example.com", "Primary": "true", "unknown": 1 },
        "addresses": [{ "streetAddress": "1 Road\nTown" }, {}],
        ENTERPRISE.to_lowercase(): { "Manager": "boss", "employeeNumber": 7, "unknown": 1 },
    });
    let expected = json!({
        "userName": "ann", "externalId": "e", "active": true,
        "emails": [{ "value": "ann@example.com", "primary": true }],
        "addresses": [{ "streetAddress": "1 Road\nTown" }],
        ENTERPRISE: { "manager": { "value": "boss" }, "employeeNumber": "7" },
    });
    assert_eq!(kept(sent).unwrap(), expected);
}

#[test]
fn refuses_what_is_not_of_its_type_or_too_much() {
    let long = "x".repeat(5000);
    let emails: Vec<Value> = (0..501)
        .map(|n| json!({ "value": format!("{n}@x.example") }))
        .collect();
    let certificates: Vec<Value> = (0..3)
        .map(|n| json!({ "value": format!("{n}{}", "x".repeat(30_000)) }))
        .collect();
    for (sent, fault) in [
        (json!({}), "400 invalidValue"),
        (json!({ "userName": " " }), "400 invalidValue"),
        (json!({ "userName": true }), "400 invalidValue"),
        (json!({ "userName": "a\u{0}" }), "400 invalidValue"),
        (json!({ "userName": "a\nb" }), "400 invalidValue"),
        (json!({ "userName": "a\u{2028}" }), "400 invalidValue"),
        (json!({ "userName": long }), "400 invalidValue"),
        (
            json!({ "userName": "a", "active": "perhaps" }),
            "400 invalidValue",
        ),
        (
            json!({ "userName": "a", "name": "Ann" }),
            "400 invalidValue",
        ),
        (
            json!({ "userName": "a", "emails": emails }),
            "400 invalidValue",
        ),
        (
            json!({ "userName": "a", "emails": [{ "value": "a@x", "primary": true }, { "value": "b@x", "primary": true }] }),
            "400 invalidValue",
        ),
        (
            json!({ "userName": "a", "x509Certificates": certificates }),
            "413 ",
        ),
        (
            json!({ "userName": "a", "schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"] }),
            "400 invalidSyntax",
        ),
    ] {
        assert_eq!(
            kept(sent.clone()).err().as_deref(),
            Some(fault),
            "{:.100}",
            sent.to_string()
        );
    }
}

/// An IdP that may write, by the text of its `scim.match` and its domains.
fn idp(lines: &str) -> std::sync::Arc<Idp> {
    let text = format!(
        "listen: 127.0.0.1:4180\npublic_url: https://wiki.example\nidentity_providers:\n  - id: acme\n    label: Acme\n{lines}    \
         oidc: {{ issuer: https://login.example, client_id: u, client_secret: s }}\n\
         apps: [{{ id: wiki, upstream: \"http://127.0.0.1:1\" }}]\n"
    );
    let parsed = config::parse("usher.yaml", &text, &|_| None);
    let config = parsed.unwrap_or_else(|problems| panic!("{problems}"));
    std::sync::Arc::clone(config.idps.first().unwrap())
}

#[test]
fn the_directory_is_told_the_primary_address_and_the_full_name() {
    let idp = idp(
        "    scim: { token: 0123456789012345678901234567890123456789, match: { scim: emails.value } }\n",
    );
    let data = |document: Value| user_data(object(document), &idp);
    let told = data(json!({
        "userName": "Ann", "active": false, "name": { "givenName": "Ann", "familyName": "A" },
        "emails": [{ "value": "home@example.com", "type": "home" }, { "value": "Work@Example.com", "type": "Work" }],
    }))
    .unwrap();
    assert_eq!(told.attributes.email.as_deref(), Some("Work@Example.com"));
    assert_eq!(told.attributes.name.as_deref(), Some("Ann A"));
    assert_eq!(told.match_value.as_deref(), Some("work@example.com"));
    assert!(!told.active);
    let told = data(json!({
        "userName": "Ann", "displayName": "Doctor Ann",
        "emails": [{ "value": "a@example.com", "type": "work" }, { "value": "b@example.com", "primary": true }],
    }))
    .unwrap();
    assert_eq!(told.attributes.email.as_deref(), Some("b@example.com"));
    assert_eq!(told.attributes.name.as_deref(), Some("Doctor Ann"));
    assert!(told.active);
    let long = format!("{}@example.com", "a".repeat(EMAIL));
    for email in [
        long.as_str(),
        "nobody",
        "a@b@c",
        "a b@example.com",
        "a@",
        "@example.com",
        "<a@example.com>",
    ] {
        assert!(
            data(json!({ "userName": "a", "emails": [{ "value": email }] })).is_err(),
            "{email}"
        );
    }
    let long = "x".repeat(NAME + 1);
    for document in [
        json!({ "userName": long }),
        json!({ "userName": "a", "externalId": long }),
        json!({ "userName": "a", "displayName": long }),
        json!({ "userName": "a", "name": { "familyName": long } }),
    ] {
        assert!(data(document.clone()).is_err(), "{document}");
    }
    let group = |length: usize| group_name(&object(json!({ "displayName": "x".repeat(length) })));
    assert!(group(GROUP).is_ok() && group(GROUP + 1).is_err());
    let scim: &ScimConfig = idp.scim.as_ref().unwrap();
    assert_eq!(scim.compared(" ANN@Example.com"), "ann@example.com");
}

#[test]
fn an_idp_asserts_only_addresses_of_its_own_domains() {
    let idp = idp(
        "    email_domains: [acme.example]\n    scim: { token: 0123456789012345678901234567890123456789 }\n",
    );
    let data = |email: &str| {
        user_data(
            object(json!({ "userName": "a", "emails": [{ "value": email }] })),
            &idp,
        )
    };
    assert!(data("a@ACME.example").is_ok());
    assert!(data("a@globex.example").is_err());
    assert!(data("a@sub.acme.example").is_err());
}
