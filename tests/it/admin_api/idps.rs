//! Identity providers over the API.

use serde_json::{Value, json};

use super::client::{Ask, code, company, get};
use crate::support::company::page;

#[tokio::test]
async fn an_identity_provider_says_what_to_register_and_how_it_does() {
    let company = company().await;
    let before = get(&company, "/api/v1/identity-providers/acme").await;
    assert_eq!(before["health"]["read_at"], Value::Null);
    company.signed_in("alice", "/").await;
    let all = get(&company, "/api/v1/identity-providers").await;
    let acme = &all["items"][0];
    assert_eq!(
        (&acme["id"], &acme["protocol"]),
        (&json!("acme"), &json!("oidc"))
    );
    assert_eq!(
        (&acme["enabled"], &acme["switch"]),
        (&json!(true), &Value::Null)
    );
    assert!(acme["health"]["read_at"].is_string(), "{acme}");
    let uris = json!([
        "https://wiki.test/_usher/oidc/acme/callback",
        "https://usher.test/_usher/oidc/acme/callback"
    ]);
    assert_eq!(acme["register"]["redirect_uris"], uris);
    assert!(!all.to_string().contains("test-only-client-secret"));
}

#[tokio::test]
async fn who_is_switched_off_signs_nobody_in_until_switched_on() {
    let company = company().await;
    let path = "/api/v1/identity-providers/acme";
    let off = Ask::new("PATCH", path)
        .json(&json!({ "enabled": false }))
        .send(&company)
        .await;
    assert_eq!((off.status, &off.json()["enabled"]), (200, &json!(false)));
    assert_eq!(off.json()["switch"]["set_by"], "token:config");
    assert_eq!(off.json()["enabled_in_file"], true);
    let refused = company
        .browser()
        .open(&page("/_usher/sign-in/acme"))
        .await
        .unwrap();
    assert_eq!(refused.status, 404, "{}", refused.text());
    let lines = get(&company, "/api/v1/audit?action=idp").await;
    assert_eq!(lines["items"][0]["identity_provider"], "acme");
    let on = Ask::new("PATCH", path)
        .json(&json!({ "enabled": true }))
        .send(&company)
        .await;
    assert_eq!(on.json()["enabled"], true);
    let (_, end) = company.signed_in("alice", "/").await;
    assert_eq!(end.answer.status, 200, "{}", end.answer.text());
    for (path, body, expected) in [
        (
            "/api/v1/identity-providers/no",
            json!({ "enabled": true }),
            (404, "not_found"),
        ),
        (path, json!({ "enabled": "yes" }), (400, "bad_request")),
        (path, json!({ "label": "x" }), (400, "bad_request")),
    ] {
        let answer = Ask::new("PATCH", path).json(&body).send(&company).await;
        assert_eq!(
            (answer.status, code(&answer).as_str()),
            expected,
            "{path} {body}"
        );
    }
}
