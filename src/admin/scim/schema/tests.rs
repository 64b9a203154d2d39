#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;

fn found(kind: ResourceKind, path: &str) -> Option<String> {
    Some(match locate(kind, path)? {
        Place::Extension(urn) => format!("[{urn}]"),
        Place::Attribute(at) => format!(
            "{}{}{}",
            at.extension.map_or("", |_| "enterprise:"),
            at.attribute.name,
            at.sub.map_or(String::new(), |sub| format!(".{}", sub.name))
        ),
    })
}

#[test]
fn finds_attributes_in_any_case_and_with_their_urn() {
    let user = |path: &str| found(ResourceKind::User, path);
    for (path, expected) in [
        ("USERNAME", "userName"),
        ("name.givenname", "name.givenName"),
        ("emails.value", "emails.value"),
        ("meta.lastModified", "meta.lastModified"),
        ("id", "id"),
        (&format!("{USER}:userName"), "userName"),
        (
            &format!("{ENTERPRISE}:manager.value"),
            "enterprise:manager.value",
        ),
        (&ENTERPRISE.to_lowercase(), &format!("[{ENTERPRISE}]")),
    ] {
        assert_eq!(user(path).as_deref(), Some(expected), "{path}");
    }
    for path in [
        "",
        "nothing",
        "userName.value",
        "name.",
        "members",
        "department",
        "urn:x:y:z",
        &format!("{ENTERPRISE}:nothing"),
        &format!("{ENTERPRISE}x"),
    ] {
        assert_eq!(user(path), None, "{path}");
    }
    assert_eq!(
        found(ResourceKind::Group, "members.value").as_deref(),
        Some("members.value")
    );
    assert_eq!(found(ResourceKind::Group, "userName"), None);
}

#[test]
fn the_password_is_never_returned_and_the_id_always() {
    for (_, schema) in schemas("https://x") {
        for attribute in schema["attributes"].as_array().unwrap() {
            let never = attribute["returned"] == "never";
            assert_eq!(never, attribute["name"] == "password", "{attribute}");
        }
    }
}
