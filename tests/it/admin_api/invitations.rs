//! Invitations over the API: one, many, listed, withdrawn, accepted.

use serde_json::{Value, json};

use super::client::{Ask, code, company, company_with, get};
use crate::support::company::{Changes, Company};
use crate::support::wire::Answer;

async fn invite(company: &Company, body: Value) -> Answer {
    Ask::new("POST", "/api/v1/invitations")
        .json(&body)
        .send(company)
        .await
}

#[tokio::test]
async fn who_is_invited_has_the_role_at_the_first_sign_in() {
    let company = company().await;
    let body = json!({ "email": "nora@example.com", "name": "Nora", "apps": [{ "app": "wiki", "roles": ["viewer"] }] });
    let made = invite(&company, body).await;
    assert_eq!(made.status, 201, "{}", made.text());
    let made = made.json();
    let link = made["link"].as_str().unwrap();
    assert!(
        link.starts_with("https://wiki.test/_usher/invitation/"),
        "{link}"
    );
    assert_eq!(made["invitation"]["state"], "open");
    let open = get(&company, "/api/v1/invitations?open=true").await;
    assert_eq!(
        (&open["total"], open.to_string().contains(link)),
        (&json!(1), false)
    );
    let (_, end) = company.signed_in("nora", "/").await;
    assert_eq!(end.answer.status, 200, "{}", end.answer.text());
    assert_eq!(
        company.last_seen().header("x-forwarded-roles").as_deref(),
        Some("viewer")
    );
    let all = get(&company, "/api/v1/invitations").await;
    assert_eq!(all["items"][0]["state"], "accepted");
    assert_eq!(all["items"][0]["user"], made["invitation"]["user"]);
    let path = format!(
        "/api/v1/users/{}",
        made["invitation"]["user"].as_str().unwrap()
    );
    let nora = get(&company, &path).await;
    let viewer =
        json!([{ "role": "viewer", "sources": [{ "kind": "invitation", "group": null }] }]);
    assert_eq!(nora["apps"][0]["roles"], viewer);
}

#[tokio::test]
async fn what_cannot_be_invited_is_said() {
    let company = company().await;
    company.signed_in("alice", "/").await;
    let to = |app: &str, role: &str| json!({ "email": "x@example.com", "apps": [{ "app": app, "roles": [role] }] });
    for (body, expected) in [
        (
            json!({ "email": "alice@example.com" }),
            (409, "known_address"),
        ),
        (json!({ "email": "nobody" }), (422, "invalid_address")),
        (to("no", "viewer"), (422, "invalid_invitation")),
        (to("wiki", "root"), (422, "invalid_invitation")),
        (
            json!({ "email": "x@example.com", "password": true }),
            (422, "invalid_invitation"),
        ),
        (
            json!({ "email": "x@example.com", "expires_at": "2001-01-01T00:00:00Z" }),
            (422, "invalid_invitation"),
        ),
        (json!({ "name": "x" }), (400, "bad_request")),
    ] {
        let answer = invite(&company, body.clone()).await;
        assert_eq!((answer.status, code(&answer).as_str()), expected, "{body}");
    }
    assert_eq!(get(&company, "/api/v1/invitations").await["total"], 0);
}

#[tokio::test]
async fn a_withdrawn_invitation_is_none() {
    let company = company().await;
    let made = invite(
        &company,
        json!({ "email": "nora@example.com", "apps": [{ "app": "wiki", "roles": ["viewer"] }] }),
    )
    .await;
    let id = made.json()["invitation"]["id"].as_str().unwrap().to_owned();
    let path = format!("/api/v1/invitations/{id}");
    assert_eq!(Ask::new("DELETE", &path).send(&company).await.status, 204);
    assert_eq!(Ask::new("DELETE", &path).send(&company).await.status, 404);
    let (_, end) = company.signed_in("nora", "/").await;
    assert_eq!(end.answer.status, 403, "{}", end.answer.text());
}

#[tokio::test]
async fn a_table_is_judged_line_by_line() {
    let company = company().await;
    company.signed_in("alice", "/").await;
    let table = "email,name,roles\nnew@example.com,New One,wiki:editor\nalice@example.com,Alice,wiki:editor\n\
                 broken\nother@example.com,Other,wiki:root\n";
    let ask = Ask::new("POST", "/api/v1/invitations/bulk").body("text/csv; charset=utf-8", table);
    let answer = ask.send(&company).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let result = answer.json();
    assert_eq!(
        (&result["invited"], &result["failed"]),
        (&json!(1), &json!(3)),
        "{result}"
    );
    let lines = result["lines"].as_array().unwrap();
    let numbers: Vec<_> = lines
        .iter()
        .map(|line| line["line"].as_u64().unwrap())
        .collect();
    assert_eq!(numbers, [2, 3, 4, 5]);
    assert!(lines[0]["made"]["link"].is_string() && lines[0]["error"].is_null());
    assert!(
        lines[3]["error"].as_str().unwrap().contains("root"),
        "{result}"
    );
    let json = Ask::new("POST", "/api/v1/invitations/bulk").json(&json!({}));
    assert_eq!(json.send(&company).await.status, 415);
    let latin = Ask::new("POST", "/api/v1/invitations/bulk").body("text/csv", "");
    assert_eq!(latin.send(&company).await.json()["lines"], json!([]));
}

#[tokio::test]
async fn a_link_that_goes_by_mail_is_shown_to_nobody() {
    let changes = Changes {
        top: vec!["mail: smtp://127.0.0.1:9".to_owned()],
        ..Changes::default()
    };
    let company = company_with(changes).await;
    let new =
        json!({ "email": "zoe@example.com", "apps": [{ "app": "wiki", "roles": ["viewer"] }] });
    let ask = Ask::new("POST", "/api/v1/invitations").json(&new);
    let made = ask.send(&company).await;
    assert_eq!(made.status, 201, "{}", made.text());
    assert!(made.json()["link"].is_null(), "{}", made.text());
    assert!(
        !made.text().contains("/_usher/invitation/"),
        "{}",
        made.text()
    );
}
