//! Apps are told of everybody, once, whatever fails on the way; and access that is taken away is gone at once.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::streams::web_socket;
use crate::support::browser::Browser;
use crate::support::company::{ADMIN_TOKEN, Changes, Company, admin, page};
use crate::support::scim::{ScimClient, TOKEN, user};
use crate::support::wire::{UNTRUSTED, Wire};

/// A company whose IdP writes people, and whose app takes everybody.
async fn company(top: Vec<String>) -> (Company, ScimClient) {
    let changes = Changes {
        top,
        idp: vec![format!("scim: {{ token: {TOKEN} }}")],
        provisioning: vec!["default_role: viewer".to_owned()],
        ..Changes::default()
    };
    let company = Company::open_with(changes).await;
    let client = ScimClient::new(company.usher.public(), "wiki.test", "acme");
    (company, client)
}

/// Creates a user by SCIM as an IdP does: again until there is an answer. 409: it was heard before.
async fn push(at: &Mutex<SocketAddr>, number: usize) {
    let name = format!("person{number}");
    let body = user(
        &name,
        &format!("{name}@scim.test"),
        &format!("ext-{number}"),
    )
    .to_string();
    loop {
        let to = *at.lock().unwrap();
        let request = format!(
            "POST /_usher/scim/acme/v2/Users HTTP/1.1\r\nHost: wiki.test\r\nAuthorization: Bearer {TOKEN}\r\n\
             Content-Type: application/scim+json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        );
        if let Ok(mut wire) = Wire::connect(to, UNTRUSTED).await {
            wire.send(request.as_bytes()).await;
            if let Some(answer) = wire.answer(false, Duration::from_secs(10)).await
                && matches!(answer.status, 201 | 409)
            {
                return;
            }
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Pushes so many people while the app stumbles and usher is killed; then every one is there exactly once.
async fn nobody_is_lost_and_nobody_twice(people: usize, kills: u32) {
    let (mut company, _) = company(Vec::new()).await;
    company.callback.stumble();
    let began = Instant::now();
    let at = Arc::new(Mutex::new(company.usher.public()));
    let pushing = {
        let at = Arc::clone(&at);
        tokio::spawn(async move {
            use futures_util::StreamExt;
            futures_util::stream::iter(0..people)
                .for_each_concurrent(8, |number| {
                    let at = Arc::clone(&at);
                    async move { push(&at, number).await }
                })
                .await;
        })
    };
    for _ in 0..kills {
        tokio::time::sleep(Duration::from_millis(1500)).await;
        company.usher.kill_and_restart().await.unwrap();
        *at.lock().unwrap() = company.usher.public();
    }
    pushing.await.unwrap();
    let pushed = began.elapsed();
    let until = Instant::now() + Duration::from_secs(120);
    let mut quiet = Instant::now();
    let mut before = 0;
    // Until all are there and nothing more comes.
    while company.callback.created_in_all() < u32::try_from(people).unwrap()
        || quiet.elapsed() < Duration::from_secs(8)
    {
        assert!(
            Instant::now() < until,
            "{} of {people} are there",
            company.callback.created_in_all()
        );
        let calls = company.callback.calls().len();
        if calls != before {
            (before, quiet) = (calls, Instant::now());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let calls = company.callback.calls();
    let mut ids: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for call in &calls {
        assert!(call.signed && call.kind() == "user.created", "{call:?}");
        ids.entry(call.user_id()).or_default().insert(call.id());
    }
    let twice: Vec<_> = ids.values().filter(|ids| ids.len() != 1).collect();
    assert_eq!(ids.len(), people, "one user each");
    assert!(twice.is_empty(), "more than one event: {twice:?}");
    assert_eq!(company.callback.created_in_all() as usize, people);
    let retries = calls.len() - people;
    assert!(
        retries >= people / 4,
        "the app stumbled {retries} times only"
    );
    write_line(&format!(
        "{people} people, {kills} kills: 0 lost, 0 twice; {} calls of which {retries} again; pushed after {pushed:.1?}, all told after {:.1?}",
        calls.len(),
        began.elapsed() - quiet.elapsed(),
    ));
}

/// Straight to the stream: the test harness keeps what `println!` prints to itself.
fn write_line(line: &str) {
    use std::io::Write;
    let _written = writeln!(std::io::stdout(), "{line}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everybody_whom_scim_pushes_is_told_once_over_failures_and_crashes() {
    nobody_is_lost_and_nobody_twice(100, 3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes a minute or two: `bench/run outbox`"]
async fn a_thousand_people_ten_crashes() {
    nobody_is_lost_and_nobody_twice(1000, 10).await;
}

#[tokio::test]
async fn who_is_deactivated_by_scim_is_told_to_the_app_and_comes_back() {
    let (company, client) = company(Vec::new()).await;
    let alice = company.idp.user("alice").unwrap();
    let id = client.make_user("alice", &alice.email, &alice.sub).await;
    let path = format!("/Users/{id}");
    let active = |value: bool| json!({ "op": "replace", "path": "active", "value": value });
    let told = |number: usize| {
        let callback = &company.callback;
        async move {
            let until = Instant::now() + Duration::from_secs(10);
            while callback.calls().len() < number {
                assert!(Instant::now() < until, "not told");
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            callback.calls()[number - 1].kind()
        }
    };
    assert_eq!(told(1).await, "user.created");
    client.patch(&path, active(false)).await;
    assert_eq!(told(2).await, "user.deactivated");
    client.patch(&path, active(true)).await;
    assert_eq!(told(3).await, "user.reactivated");
    client.delete(&path).await;
    assert_eq!(told(4).await, "user.deleted");
    let calls = company.callback.calls();
    let account = company.callback.account(&calls[0].user_id()).unwrap();
    assert!(
        calls[1..]
            .iter()
            .all(|call| call.json["data"]["account"] == account.as_str())
    );
}

/// A request to the admin listener.
async fn ask(company: &Company, method: &str, path: &str, body: &str) -> (u16, Value) {
    let mut wire = Wire::connect(company.usher.admin().unwrap(), UNTRUSTED)
        .await
        .unwrap();
    let head = format!(
        "{method} /api/v1{path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {ADMIN_TOKEN}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    wire.send(head.as_bytes()).await;
    let answer = wire.answer(false, Duration::from_secs(10)).await.unwrap();
    (
        answer.status,
        serde_json::from_slice(answer.text().as_bytes()).unwrap_or_default(),
    )
}

/// From now to the last byte of a WebSocket.
async fn until_closed(mut socket: Wire, began: Instant) -> Duration {
    assert!(
        socket.closes_within(Duration::from_secs(10)).await,
        "still open"
    );
    began.elapsed()
}

async fn user_id(browser: &mut Browser) -> String {
    let me = browser.open(&page("/_usher/me")).await.unwrap();
    me.json()["user"]["id"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes a minute: `bench/run revoke`"]
async fn revocation_is_over_within_a_second_three_hundred_times() {
    const RUNS: usize = 100;
    let (company, client) = company(admin()).await;
    let alice = company.idp.user("alice").unwrap();
    let id = client.make_user("alice", &alice.email, &alice.sub).await;
    let path = format!("/Users/{id}");
    let active = |value: bool| json!({ "op": "replace", "path": "active", "value": value });
    for way in ["admin revoke", "SCIM active:false", "back-channel logout"] {
        let mut times = Vec::new();
        for _ in 0..RUNS {
            let (mut browser, _) = company.signed_in("alice", "/").await;
            let socket = web_socket(&company, &browser).await;
            let user = user_id(&mut browser).await;
            let began = Instant::now();
            let closing = tokio::spawn(until_closed(socket, began));
            match way {
                "admin revoke" => {
                    let sessions = format!("/users/{user}/sessions");
                    assert_eq!(ask(&company, "DELETE", &sessions, "").await.0, 200);
                }
                "SCIM active:false" => {
                    assert_eq!(client.patch(&path, active(false)).await.status, 200);
                }
                _ => {
                    let token = logout_token(&company, &alice.sub);
                    let url = page("/_usher/oidc/acme/backchannel-logout");
                    let form = format!("logout_token={token}");
                    let mut idp = company.browser();
                    let answer = idp.send(&url, "POST", &[], Some(&form)).await.unwrap();
                    assert_eq!(answer.status, 200);
                }
            }
            times.push(closing.await.unwrap());
            if way == "SCIM active:false" {
                assert_eq!(client.patch(&path, active(true)).await.status, 200);
            }
        }
        times.sort_unstable();
        let (median, max) = (times[RUNS / 2], times[RUNS - 1]);
        write_line(&format!(
            "{way}: median {median:.1?}, max {max:.1?} of {RUNS}"
        ));
        assert!(max < Duration::from_secs(1), "{way}: {max:?}");
    }
}

fn logout_token(company: &Company, sub: &str) -> String {
    let now = Timestamp::now().as_second();
    let claims = json!({
        "iss": company.idp.issuer(), "aud": "usher", "iat": now, "exp": now + 120, "sub": sub,
        "jti": uuid::Uuid::now_v7().to_string(),
        "events": { "http://schemas.openid.net/event/backchannel-logout": {} },
    });
    let header = json!({ "alg": "RS256", "typ": "logout+jwt", "kid": company.idp.kid().unwrap() });
    company.idp.sign(&header, &claims.to_string()).unwrap()
}
