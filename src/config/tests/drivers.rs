//! `provisioning.scim` and `provisioning.rest`.

use super::*;
use crate::config::Target;

fn app(block: &str) -> String {
    with("", &format!("    provisioning: {{ mode: jit, {block} }}"))
}

const REQUESTS: &str = "create: { method: POST, path: '/u', id: /id }, deactivate: { method: DELETE, path: '/u/{account}' }";

fn rest(more: &str) -> String {
    app(&format!("rest: {{ url: 'http://127.0.0.1:1', {more} }}"))
}

#[test]
fn every_preset_is_complete() {
    for preset in ["gitlab", "gitea", "mattermost", "metabase"] {
        let config = good(&rest(&format!("preset: {preset}, token: a-token")));
        let provisioning = config.apps[0].provisioning.as_ref().unwrap();
        let Some(Target::Rest(rest)) = &provisioning.target else {
            panic!("{preset}")
        };
        assert!(rest.update.is_some() && rest.reactivate.is_some());
        assert!(rest.delete.is_some() && rest.find.is_some(), "{preset}");
        assert_eq!(rest.headers.len(), 1);
        assert!(!format!("{config:?}").contains("a-token"));
    }
}

#[test]
fn what_is_written_takes_the_place_of_the_preset_s() {
    let more = "preset: gitea, token: t, headers: { Authorization: 'Bearer {token}' }, delete: { method: PUT, path: '/gone/{account}' }";
    let config = good(&rest(more));
    let provisioning = config.apps[0].provisioning.as_ref().unwrap();
    let Some(Target::Rest(rest)) = &provisioning.target else {
        panic!()
    };
    assert_eq!(rest.headers.len(), 1);
    assert_eq!(
        rest.headers[0].1,
        Template::parse("Bearer {token}").unwrap()
    );
    let delete = rest.delete.as_ref().unwrap();
    assert_eq!(delete.path, Template::parse("/gone/{account}").unwrap());
    assert_eq!(delete.method, http::Method::PUT);
}

#[test]
fn refuses_drivers_that_cannot_work() {
    good(&rest(REQUESTS));
    let scim = "scim: { url: 'https://crm.example/scim', token: t }";
    good(&app(scim));
    refuses(
        &app("scim: { url: 'https://crm.example/scim' }"),
        "scim.token` is missing",
    );
    refuses(
        &app("scim: { url: 'https://crm.example/scim?x=1', token: t }"),
        "has a query",
    );
    refuses(
        &app(&format!(
            "{scim}, callback: {{ url: 'http://127.0.0.1:1/x', secret: {{ env: HOOK_SECRET }} }}"
        )),
        "has both `callback` and `scim`",
    );
    refuses(
        &app(scim).replace("jit", "off"),
        "never called with `mode: off`",
    );
    refuses(&rest("preset: gitea"), "rest.token` is missing");
    refuses(
        &rest("create: { method: POST, path: /u }"),
        "rest.deactivate` is missing",
    );
    for (from, to, what) in [
        ("/u'", "/u/{nobody}'", "`{nobody}`, which is no variable"),
        ("/u'", "/u/{token}'", "stands in `headers` alone"),
        ("'/u'", "'u'", "does not begin with a slash"),
        ("id: /id", "id: id", "JSON pointer that does not begin"),
        ("id: /id", "body: '{'", "is not JSON"),
        (
            "id: /id",
            "body: '{\"a\": [\"{nope}\"]}'",
            "`{nope}`, which is no variable",
        ),
        ("id: /id", "done: [99]", "99, which is no status"),
    ] {
        refuses(&rest(&REQUESTS.replacen(from, to, 1)), what);
    }
    refuses(
        &rest(&format!("{REQUESTS}, headers: {{ 'x y': z }}")),
        "is no header field",
    );
}
