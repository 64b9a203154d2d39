//! People and their sessions over the API.

use std::time::Duration;

use serde_json::{Value, json};

use super::client::{Ask, code, company, get};
use crate::support::company::{Company, eventually, page};
use crate::support::wire::Answer;

/// The id of the one person whose e-mail address has `part` in it.
pub(super) async fn user(company: &Company, part: &str) -> String {
    let found = get(company, &format!("/api/v1/users?q={part}")).await;
    assert_eq!(found["total"], 1, "{found}");
    found["items"][0]["id"].as_str().unwrap().to_owned()
}

async fn send(company: &Company, method: &str, path: &str, body: Value) -> Answer {
    Ask::new(method, path).json(&body).send(company).await
}

#[tokio::test]
async fn people_are_listed_in_pages_and_found_by_part_of_a_name() {
    let company = company().await;
    for name in ["alice", "bob", "nora"] {
        company.signed_in(name, "/").await;
    }
    let mut seen = Vec::new();
    let mut path = "/api/v1/users?limit=2".to_owned();
    loop {
        let page = get(&company, &path).await;
        assert_eq!(page["total"], 3);
        for item in page["items"].as_array().unwrap() {
            seen.push(item["name"].as_str().unwrap().to_owned());
        }
        let Some(next) = page["next"].as_str() else {
            break;
        };
        path = format!("/api/v1/users?limit=2&after={next}");
    }
    assert_eq!(seen, ["Alice Adams", "Bob Brown", "Nora Nogroup"]);
    let found = get(&company, "/api/v1/users?q=BOB%40&status=active").await;
    assert_eq!(found["items"][0]["email"], "bob@example.com");
    assert_eq!(found["next"], Value::Null);
    let none = get(&company, "/api/v1/users?status=invited").await;
    assert_eq!(none["total"], 0);
    for bad in [
        "limit=0",
        "limit=201",
        "limit=x",
        "status=gone",
        "quest=1",
        "q=a&q=b",
    ] {
        let answer = Ask::new("GET", &format!("/api/v1/users?{bad}"))
            .send(&company)
            .await;
        assert_eq!(
            (answer.status, code(&answer).as_str()),
            (400, "bad_request"),
            "{bad}"
        );
    }
}

#[tokio::test]
async fn one_person_is_shown_with_identities_roles_and_accounts() {
    let company = company().await;
    company.signed_in("bob", "/").await;
    let id = user(&company, "bob").await;
    let bob = get(&company, &format!("/api/v1/users/{id}")).await;
    assert_eq!(bob["user"]["status"], "active");
    assert_eq!(bob["identities"][0]["identity_provider"], "acme");
    assert_eq!(
        bob["identities"][0]["groups"],
        json!(["engineering", "admins"])
    );
    let wiki = &bob["apps"][0];
    assert_eq!(
        (wiki["app"].as_str(), &wiki["editable"]),
        (Some("wiki"), &json!(false))
    );
    let roles: Vec<_> = wiki["roles"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["role"])
        .collect();
    assert_eq!(roles, ["editor", "admin"]);
    assert_eq!(
        wiki["roles"][1]["sources"],
        json!([{ "kind": "group", "group": "admins" }])
    );
    assert_eq!(
        wiki["account"]["id"].as_str(),
        company.callback.account(&id).as_deref()
    );
    let missing = Ask::new("GET", "/api/v1/users/usr_nobody")
        .send(&company)
        .await;
    assert_eq!(
        (missing.status, code(&missing).as_str()),
        (404, "not_found")
    );
}

#[tokio::test]
async fn who_is_deactivated_is_out_at_once_and_back_when_reactivated() {
    let company = company().await;
    let (mut browser, _) = company.signed_in("alice", "/").await;
    let id = user(&company, "alice").await;
    let path = format!("/api/v1/users/{id}/deactivate");
    let done = send(&company, "POST", &path, json!({ "why": "left" })).await;
    assert_eq!(done.status, 200, "{}", done.text());
    assert_eq!(done.json()["user"]["status"], "deactivated");
    assert_eq!(done.json()["blocks"][0]["source"], "admin");
    assert_eq!(done.json()["blocks"][0]["why"], "left");
    let out = browser.open(&page("/")).await.unwrap();
    assert_eq!(out.status, 302, "{}", out.text());
    let refused = company.sign_in(&mut browser, "alice", "/").await;
    assert_eq!(refused.answer.status, 403, "{}", refused.answer.text());
    let again = send(&company, "POST", &path, json!({ "why": "left" })).await;
    assert_eq!(again.json()["blocks"].as_array().unwrap().len(), 1);
    let back = Ask::new("POST", &format!("/api/v1/users/{id}/reactivate"))
        .send(&company)
        .await;
    assert_eq!(
        (back.status, &back.json()["user"]["status"]),
        (200, &json!("active"))
    );
    let (_, end) = company.signed_in("alice", "/").await;
    assert_eq!(end.answer.status, 200, "{}", end.answer.text());
    let missing = send(
        &company,
        "POST",
        "/api/v1/users/usr_no/deactivate",
        json!({ "why": "" }),
    );
    assert_eq!(missing.await.status, 404);
}

#[tokio::test]
async fn roles_are_given_where_no_group_decides() {
    let company = company().await;
    let (mut nora, end) = company.signed_in("nora", "/").await;
    assert_eq!(end.answer.status, 403);
    company.signed_in("alice", "/").await;
    let (id, alice) = (user(&company, "nora").await, user(&company, "alice").await);
    let path = format!("/api/v1/users/{id}/apps/wiki/roles");
    let given = send(&company, "PUT", &path, json!({ "roles": ["viewer"] })).await;
    assert_eq!(given.status, 200, "{}", given.text());
    let roles = &given.json()["apps"][0]["roles"];
    assert_eq!(
        *roles,
        json!([{ "role": "viewer", "sources": [{ "kind": "admin", "group": null }] }])
    );
    let inside = nora.open(&page("/")).await.unwrap();
    assert_eq!(inside.status, 200, "{}", inside.text());
    assert_eq!(
        company.last_seen().header("x-forwarded-roles").as_deref(),
        Some("viewer")
    );
    let taken = send(&company, "PUT", &path, json!({ "roles": [] })).await;
    assert_eq!(
        taken.json()["apps"][0]["roles"],
        Value::Null,
        "{}",
        taken.text()
    );
    let outside = nora.open(&page("/")).await.unwrap();
    assert_ne!(outside.status, 200, "{}", outside.text());
    let of_alice = format!("/api/v1/users/{alice}/apps/wiki/roles");
    for (path, body, expected) in [
        (
            of_alice.as_str(),
            json!({ "roles": ["admin"] }),
            (409, "managed_by_idp"),
        ),
        (
            path.as_str(),
            json!({ "roles": ["root"] }),
            (422, "unknown_role"),
        ),
        (
            path.as_str(),
            json!({ "role": "admin" }),
            (400, "bad_request"),
        ),
        (
            "/api/v1/users/usr_no/apps/wiki/roles",
            json!({ "roles": [] }),
            (404, "not_found"),
        ),
        (
            &format!("/api/v1/users/{id}/apps/no/roles"),
            json!({ "roles": [] }),
            (404, "not_found"),
        ),
    ] {
        let answer = send(&company, "PUT", path, body).await;
        assert_eq!((answer.status, code(&answer).as_str()), expected, "{path}");
    }
}

#[tokio::test]
async fn a_session_ends_by_its_public_id_and_its_streams_with_it() {
    let company = company().await;
    let (mut one, _) = company.signed_in("alice", "/").await;
    let (mut two, _) = company.signed_in("alice", "/").await;
    company.signed_in("bob", "/").await;
    let id = user(&company, "alice").await;
    let all = get(&company, "/api/v1/sessions").await;
    assert_eq!(all["total"], 3);
    let page_of_one = get(&company, "/api/v1/sessions?limit=1").await;
    let next = page_of_one["next"].as_str().unwrap();
    let second = get(&company, &format!("/api/v1/sessions?limit=1&after={next}")).await;
    assert_ne!(page_of_one["items"][0]["id"], second["items"][0]["id"]);
    let own = get(&company, &format!("/api/v1/users/{id}/sessions")).await;
    let sid = own["items"][1]["id"].as_str().unwrap();
    assert_eq!(own["items"][1]["user"], json!(id));
    let end = Ask::new("DELETE", &format!("/api/v1/sessions/{sid}"))
        .send(&company)
        .await;
    assert_eq!(end.status, 204, "{}", end.text());
    let again = Ask::new("DELETE", &format!("/api/v1/sessions/{sid}"))
        .send(&company)
        .await;
    assert_eq!(again.status, 404);
    // Those of one second have no order.
    let statuses = [
        one.open(&page("/")).await.unwrap().status,
        two.open(&page("/")).await.unwrap().status,
    ];
    assert!(
        statuses == [302, 200] || statuses == [200, 302],
        "{statuses:?}"
    );
    let rest = Ask::new("DELETE", &format!("/api/v1/users/{id}/sessions"))
        .send(&company)
        .await;
    assert_eq!((rest.status, rest.json()), (200, json!({ "ended": 1 })));
    assert_eq!(two.open(&page("/")).await.unwrap().status, 302);
    assert_eq!(get(&company, "/api/v1/sessions").await["total"], 1);
    let none = Ask::new("DELETE", "/api/v1/users/usr_no/sessions")
        .send(&company)
        .await;
    assert_eq!(none.status, 404);
}

#[tokio::test]
async fn status_counts_and_apps_show_their_roles() {
    let company = company().await;
    company.signed_in("alice", "/").await;
    let status = get(&company, "/api/v1/status").await;
    assert_eq!(
        (&status["users"], &status["sessions"]),
        (&json!(1), &json!(1))
    );
    assert_eq!(status["version"], env!("CARGO_PKG_VERSION"));
    let apps = get(&company, "/api/v1/apps").await;
    let wiki = &apps["items"][0];
    assert_eq!(wiki["provisioning"], "jit");
    assert_eq!(wiki["roles"], json!(["viewer", "editor", "admin"]));
    let admins = json!({ "identity_provider": "acme", "group": "admins", "role": "admin" });
    assert!(
        wiki["group_roles"].as_array().unwrap().contains(&admins),
        "{wiki}"
    );
}

#[tokio::test]
async fn a_change_goes_on_to_its_end_though_nobody_waits_for_the_answer() {
    let company = company().await;
    let (mut browser, _) = company.signed_in("alice", "/").await;
    let id = user(&company, "alice").await;
    let body = r#"{"why":"gone"}"#;
    let text = format!(
        "POST /api/v1/users/{id}/deactivate HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        crate::support::company::ADMIN_TOKEN,
        body.len()
    );
    let to = company.usher.admin().unwrap();
    let mut wire = crate::support::wire::Wire::connect(to, crate::support::wire::UNTRUSTED)
        .await
        .unwrap();
    wire.send(text.as_bytes()).await;
    drop(wire);
    let ended = || company.usher.log().contains("sessions ended");
    eventually(Duration::from_secs(10), "the sessions end", ended).await;
    assert_eq!(browser.open(&page("/")).await.unwrap().status, 302);
}
