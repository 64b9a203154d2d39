#![allow(clippy::unwrap_used, clippy::panic)]

use serde_json::json;

use super::*;

fn user(text: &str) -> Result<Filter, String> {
    Filter::read(ResourceKind::User, text).map_err(|error| error.kind.unwrap().as_str().to_owned())
}

fn ann() -> Map<String, Value> {
    let ann = json!({
        "id": "2819c223", "userName": "Ann@Example.com", "externalId": "Ext-1", "active": true,
        "displayName": "Ann Ärger", "title": "",
        "name": { "familyName": "O'Malley", "givenName": "Ann" },
        "emails": [
            { "value": "ann@example.com", "type": "work", "primary": true },
            { "value": "ann@home.example", "type": "home" },
        ],
        "meta": { "lastModified": "2026-05-13T04:42:34Z", "resourceType": "User" },
        "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User":
            { "department": "Sales", "manager": { "value": "boss" } },
    });
    ann.as_object().unwrap().clone()
}

#[test]
fn evaluates_the_whole_grammar() {
    for (text, expected) in [
        (r#"userName eq "ann@example.COM""#, true),
        (r#"userName ne "ann@example.com""#, false),
        (r#"externalId eq "ext-1""#, false),
        (r#"externalId eq "Ext-1""#, true),
        (r#"displayName co "äR""#, true),
        (r#"displayName sw "ANN""#, true),
        (r#"displayName ew "ger""#, true),
        (r#"name.familyName co "O'Malley""#, true),
        (r#"title pr"#, false),
        (r#"nickName pr"#, false),
        (r#"name pr"#, true),
        (r#"nickName eq null"#, true),
        (r#"userName eq null"#, false),
        (r#"active eq true"#, true),
        (r#"active eq "False""#, false),
        (r#"active ne false"#, true),
        (r#"emails eq "ann@home.example""#, true),
        (r#"emails co "@home""#, true),
        (r#"emails.type eq "home""#, true),
        (
            r#"emails[type eq "work" and value co "@example.com"]"#,
            true,
        ),
        (
            r#"emails[type eq "home" and value co "@example.com"]"#,
            false,
        ),
        (r#"emails[type eq "work"].value eq "ANN@example.com""#, true),
        (
            r#"emails[type eq "work"].value eq "ann@home.example""#,
            false,
        ),
        (r#"meta.lastModified gt "2026-05-13T04:42:33Z""#, true),
        (r#"meta.lastModified ge "2026-05-13T06:42:34+02:00""#, true),
        (r#"meta.lastModified lt "2011-05-13T04:42:34Z""#, false),
        (r#"userName gt "ann""#, true),
        (
            r#"urn:ietf:params:scim:schemas:core:2.0:User:userName sw "A""#,
            true,
        ),
        (
            r#"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department eq "sales""#,
            true,
        ),
        (
            r#"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager eq "boss""#,
            true,
        ),
        (r#"title pr or userName pr and nickName pr"#, false),
        (r#"(title pr or userName pr) and active eq true"#, true),
        (r#"not (userName pr)"#, false),
        (r#"not(title pr) AND NOT (nickName pr)"#, true),
        (r#"userName eq "x\" or \"1\" eq \"1""#, false),
        (r#"  userName  Eq   "ann@example.com"  "#, true),
    ] {
        let found = user(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(found.matches(&ann()), expected, "{text}");
    }
}

#[test]
fn refuses_what_is_no_filter() {
    let deep = format!("{}userName pr{}", "(".repeat(17), ")".repeat(17));
    let deepest = "(".repeat(8000);
    let wide = vec!["title pr"; 201].join(" or ");
    let long = format!("userName eq \"{}\"", "x".repeat(9000));
    for text in [
        "",
        "userName",
        "userName eq",
        "userName eq x",
        r#"userName eq"x""#,
        r#"userName regex ".*""#,
        r#""1" eq "1""#,
        r#"userName eq "x" or "1" eq "1""#,
        r#"userName eq "x"#,
        r#"userName eq "x") or (userName pr"#,
        r#"(userName pr"#,
        r#"userName pr)"#,
        "userName pr and",
        "not userName pr",
        "password pr",
        r#"password co "a""#,
        r#"nothing eq "x""#,
        r#"urn:x:y:z eq "1""#,
        r#"name eq "x""#,
        r#"active gt true"#,
        r#"active eq "maybe""#,
        r#"meta.created eq "yesterday""#,
        "userName gt null",
        "userName eq \"a\0b\"",
        r#"emails[type eq "work""#,
        r#"emails[emails[type pr]]"#,
        r#"userName[value pr]"#,
        &deep,
        &deepest,
        &wide,
        &long,
    ] {
        assert_eq!(
            user(text).err().as_deref(),
            Some("invalidFilter"),
            "{text:.60}"
        );
    }
}

#[test]
fn common_filters_are_narrowed_to_an_index() {
    let key = |text: &str| user(text).unwrap().user_key();
    assert_eq!(
        key(r#"active eq true and userName eq "ANN""#),
        Some(UserKey::UserName("ann".to_owned()))
    );
    assert_eq!(
        key(r#"externalId eq "A b""#),
        Some(UserKey::ExternalId("A b".to_owned()))
    );
    assert_eq!(key(r#"id eq "7""#), Some(UserKey::Id("7".to_owned())));
    for text in [
        r#"emails.value eq "Ann@X.example""#,
        r#"emails eq "ann@x.example""#,
        r#"emails[type eq "work"].value eq "ann@x.example""#,
    ] {
        let found = Some(UserKey::Email("ann@x.example".to_owned()));
        assert_eq!(key(text), found, "{text}");
    }
    for text in [
        r#"emails[type eq "work"]"#,
        r#"emails.display eq "ann@x.example""#,
        r#"userName eq "a" or title pr"#,
        r#"not (userName eq "a")"#,
        r#"userName ne "a""#,
        r#"userName sw "a""#,
    ] {
        assert_eq!(key(text), None, "{text}");
    }
    let since = |text: &str| user(text).unwrap().changed_since();
    let time = "2026-11-22T10:00:00Z";
    for operator in ["gt", "ge", "eq"] {
        let text = format!("title pr and meta.lastModified {operator} \"{time}\"");
        assert_eq!(since(&text), Some(time.parse().unwrap()), "{text}");
    }
    for text in [
        r#"meta.lastModified lt "2026-11-22T10:00:00Z""#,
        r#"meta.created gt "2026-11-22T10:00:00Z""#,
        r#"not (meta.lastModified gt "2026-11-22T10:00:00Z")"#,
        r#"meta.lastModified gt "2026-11-22T10:00:00Z" or title pr"#,
    ] {
        assert_eq!(since(text), None, "{text}");
    }
    let group = |text: &str| Filter::read(ResourceKind::Group, text).unwrap().group_key();
    for text in [
        r#"members.value eq "7""#,
        r#"members eq "7""#,
        r#"members[value eq "7"] and displayName pr"#,
    ] {
        assert_eq!(
            group(text),
            Some(GroupKey::Member("7".to_owned())),
            "{text}"
        );
    }
    assert_eq!(group(r#"members[type eq "User"]"#), None);
}
