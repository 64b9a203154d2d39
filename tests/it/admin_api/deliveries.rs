//! What the apps were told, over the API.

use std::time::Duration;

use serde_json::{Value, json};

use super::client::{Ask, code, company, get};
use super::people::user;
use crate::support::company::{Company, eventually};

async fn of_kind(company: &Company, kind: &str) -> Vec<Value> {
    let page = get(company, "/api/v1/deliveries?app=wiki&state=done").await;
    let items = page["items"].as_array().unwrap().clone();
    items
        .into_iter()
        .filter(|item| item["kind"] == kind)
        .collect()
}

#[tokio::test]
async fn deliveries_are_listed_and_told_anew() {
    let company = company().await;
    company.signed_in("alice", "/").await;
    let alice = user(&company, "alice").await;
    let path = format!("/api/v1/users/{alice}/deactivate");
    let done = Ask::new("POST", &path)
        .json(&json!({ "why": "left" }))
        .send(&company)
        .await;
    assert_eq!(done.status, 200, "{}", done.text());
    let told = |kind: &str| {
        company
            .callback
            .calls()
            .iter()
            .filter(|call| call.kind() == kind)
            .count()
    };
    eventually(Duration::from_secs(20), "the app is told", || {
        told("user.deactivated") == 1
    })
    .await;
    let mut found = Vec::new();
    for _ in 0..200 {
        found = of_kind(&company, "user.deactivated").await;
        if !found.is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let delivery = found.first().expect("the delivery is listed");
    assert_eq!(delivery["user"], alice.as_str());
    assert_eq!(delivery["tries"], 1);
    let id = delivery["id"].as_str().unwrap();
    let replay = Ask::new("POST", &format!("/api/v1/deliveries/{id}/replay"))
        .send(&company)
        .await;
    assert_eq!(replay.status, 202, "{}", replay.text());
    eventually(Duration::from_secs(20), "the app is told again", || {
        told("user.deactivated") == 2
    })
    .await;
    let of_nobody = get(&company, "/api/v1/deliveries?user=usr_no").await;
    assert_eq!(of_nobody["total"], 0);
    let missing = Ask::new("POST", "/api/v1/deliveries/evt_no/replay")
        .send(&company)
        .await;
    assert_eq!(
        (missing.status, code(&missing).as_str()),
        (404, "not_found")
    );
    let bad = Ask::new("GET", "/api/v1/deliveries?state=lost")
        .send(&company)
        .await;
    assert_eq!(bad.status, 400);
}
