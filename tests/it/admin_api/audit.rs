//! The log over the API: what an admin does is there before the answer is.

use serde_json::{Value, json};

use super::client::{Ask, code, company, get};
use super::people::user;
use crate::support::company::Company;
use crate::support::wire::Answer;

/// The lines that one request left.
async fn lines_of(company: &Company, answer: &Answer) -> Vec<Value> {
    let id = answer.header("x-request-id").unwrap();
    let page = get(company, "/api/v1/audit?limit=200").await;
    let lines = page["items"].as_array().unwrap().clone();
    lines
        .into_iter()
        .filter(|line| line["request_id"] == id.as_str())
        .collect()
}

#[tokio::test]
async fn each_change_has_its_line_before_the_answer() {
    let company = company().await;
    company.signed_in("alice", "/").await;
    company.signed_in("nora", "/").await;
    let (alice, nora) = (user(&company, "alice").await, user(&company, "nora").await);
    let sessions = get(&company, &format!("/api/v1/users/{alice}/sessions")).await;
    let sid = sessions["items"][0]["id"].as_str().unwrap();
    let token = json!({ "name": "ci", "scope": "read" });
    let roles = json!({ "roles": ["viewer"] });
    for (method, path, body, action) in [
        ("POST", "/api/v1/tokens".to_owned(), token, "api_token"),
        (
            "DELETE",
            format!("/api/v1/sessions/{sid}"),
            Value::Null,
            "sessions_ended",
        ),
        (
            "PUT",
            format!("/api/v1/users/{nora}/apps/wiki/roles"),
            roles,
            "roles",
        ),
        (
            "POST",
            format!("/api/v1/users/{alice}/deactivate"),
            json!({ "why": "left" }),
            "user",
        ),
        (
            "POST",
            format!("/api/v1/users/{alice}/reactivate"),
            Value::Null,
            "user",
        ),
        ("POST", "/api/v1/reload".to_owned(), Value::Null, "admin"),
    ] {
        let ask = Ask::new(method, &path);
        let ask = if body.is_null() { ask } else { ask.json(&body) };
        let answer = ask.send(&company).await;
        assert!(
            (200..300).contains(&answer.status),
            "{path}: {}",
            answer.text()
        );
        let lines = lines_of(&company, &answer).await;
        let actions: Vec<_> = lines
            .iter()
            .map(|line| line["action"].as_str().unwrap())
            .collect();
        assert_eq!(actions, [action], "{path}");
        assert_eq!(lines[0]["actor"], "token:config", "{path}");
        assert_eq!(lines[0]["outcome"], "ok", "{path}");
        assert_eq!(lines[0]["client"], "127.0.0.1", "{path}");
    }
    let text = get(&company, "/api/v1/audit?limit=200").await.to_string();
    assert!(!text.contains("usht_"), "a secret stands in the log");
}

#[tokio::test]
async fn the_log_is_filtered_and_paged() {
    let company = company().await;
    company.signed_in("alice", "/").await;
    let alice = user(&company, "alice").await;
    for _ in 0..5 {
        let made =
            Ask::new("POST", "/api/v1/tokens").json(&json!({ "name": "ci", "scope": "read" }));
        assert_eq!(made.send(&company).await.status, 201);
    }
    let mut path = "/api/v1/audit?action=api_token&limit=2".to_owned();
    let mut numbers = Vec::new();
    loop {
        let page = get(&company, &path).await;
        let items = page["items"].as_array().unwrap();
        assert!(items.iter().all(|line| line["action"] == "api_token"));
        numbers.extend(items.iter().map(|line| line["number"].as_i64().unwrap()));
        let Some(next) = page["next"].as_str() else {
            break;
        };
        path = format!("/api/v1/audit?action=api_token&limit=2&after={next}");
    }
    assert_eq!(numbers.len(), 5);
    assert!(numbers.is_sorted_by(|one, next| one > next), "{numbers:?}");
    let of_alice = get(&company, &format!("/api/v1/audit?user={alice}")).await;
    assert!(
        of_alice["items"]
            .as_array()
            .unwrap()
            .iter()
            .all(|line| line["user"] == alice.as_str())
    );
    assert_ne!(of_alice["items"], json!([]));
    let before = get(&company, "/api/v1/audit?until=2001-01-01T00:00:00Z").await;
    assert_eq!(before["items"], json!([]));
    for bad in ["until=yesterday", "who=alice", "limit=1000"] {
        let answer = Ask::new("GET", &format!("/api/v1/audit?{bad}"))
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
async fn the_log_is_csv_by_name_and_by_accept() {
    let company = company().await;
    company.signed_in("alice", "/").await;
    let by_name = Ask::new("GET", "/api/v1/audit.csv").send(&company).await;
    let by_accept = Ask::new("GET", "/api/v1/audit").with("Accept", "text/csv");
    for answer in [by_name, by_accept.send(&company).await] {
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert!(answer.complete);
        assert!(
            answer
                .header("content-type")
                .unwrap()
                .starts_with("text/csv")
        );
        let text = answer.text();
        let header = text.lines().next().unwrap();
        assert!(header.starts_with("number,time,action"), "{header}");
        assert!(
            text.lines().count() > 1 && text.contains("provisioning"),
            "{text}"
        );
    }
    let both = Ask::new("GET", "/api/v1/audit").with("Accept", "application/json, text/csv");
    assert!(both.send(&company).await.json()["items"].is_array());
    let paged = Ask::new("GET", "/api/v1/audit.csv?after=1.1")
        .send(&company)
        .await;
    assert_eq!(paged.status, 400);
}
