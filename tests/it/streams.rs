//! What is open ends with its session.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::browser::Browser;
use crate::support::company::{Changes, Company, eventually, page};
use crate::support::scim::{ScimClient, TOKEN};
use crate::support::wire::{UNTRUSTED, Wire};

/// How long a stream may outlive its session on a machine that is busy with other tests.
const PROMPT: Duration = Duration::from_secs(5);

async fn open(company: &Company, browser: &Browser, request: &str) -> Wire {
    let cookies = browser.cookie_header(&page("/")).unwrap();
    let mut wire = Wire::connect(company.usher.public(), UNTRUSTED)
        .await
        .unwrap();
    wire.send(format!("{request}Host: wiki.test\r\nCookie: {cookies}\r\n\r\n").as_bytes())
        .await;
    wire
}

async fn sign_out(browser: &mut Browser) {
    let own = [("Sec-Fetch-Site", "same-origin")];
    let answer = browser
        .send(&page("/_usher/sign-out"), "GET", &own, None)
        .await
        .unwrap();
    assert_eq!(answer.status, 302);
}

#[tokio::test]
async fn a_web_socket_ends_with_the_sign_out() {
    let company = Company::open().await;
    let (mut browser, _) = company.signed_in("alice", "/").await;
    let request = "GET /ws HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let mut wire = open(&company, &browser, request).await;
    let answer = wire.answer(false, Duration::from_secs(5)).await.unwrap();
    assert_eq!(answer.status, 101);
    // A masked text frame "hi" comes back unmasked.
    wire.send(&[0x81, 0x82, 0, 0, 0, 0, b'h', b'i']).await;
    assert_eq!(
        wire.some(Duration::from_secs(5)).await,
        [0x81, 2, b'h', b'i']
    );
    let began = Instant::now();
    sign_out(&mut browser).await;
    assert!(wire.closes_within(PROMPT).await);
    assert!(began.elapsed() < PROMPT, "{:?}", began.elapsed());
    eventually(PROMPT, "the app's side ends too", || {
        company.app.live_streams() == 0
    })
    .await;
}

#[tokio::test]
async fn an_event_stream_ends_with_the_sign_out() {
    let company = Company::open().await;
    let (mut browser, _) = company.signed_in("alice", "/").await;
    let mut wire = open(
        &company,
        &browser,
        "GET /sse HTTP/1.1\r\nAccept: text/event-stream\r\n",
    )
    .await;
    let first = wire.some(Duration::from_secs(5)).await;
    assert!(
        first.starts_with(b"HTTP/1.1 200"),
        "{}",
        String::from_utf8_lossy(&first)
    );
    let began = Instant::now();
    sign_out(&mut browser).await;
    let until = began + PROMPT;
    while !wire.closes_within(Duration::from_millis(20)).await {
        assert!(Instant::now() < until, "the stream goes on");
        let _more = wire.some(Duration::from_millis(20)).await;
    }
    eventually(PROMPT, "the app's side ends too", || {
        company.app.live_streams() == 0
    })
    .await;
}

/// A WebSocket that works.
pub(crate) async fn web_socket(company: &Company, browser: &Browser) -> Wire {
    let request = "GET /ws HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let mut wire = open(company, browser, request).await;
    let answer = wire.answer(false, Duration::from_secs(5)).await.unwrap();
    assert_eq!(answer.status, 101);
    wire.send(&[0x81, 0x82, 0, 0, 0, 0, b'h', b'i']).await;
    assert_eq!(
        wire.some(Duration::from_secs(5)).await,
        [0x81, 2, b'h', b'i']
    );
    wire
}

#[tokio::test]
async fn a_role_that_is_lost_cuts_the_streams_and_the_session_goes_on() {
    let changes = Changes {
        idp: vec![format!("scim: {{ token: {TOKEN} }}")],
        ..Changes::default()
    };
    let company = Company::open_with(changes).await;
    let client = ScimClient::new(company.usher.public(), "wiki.test", "acme");
    let bob = company.idp.user("bob").unwrap();
    let id = client.make_user("bob", &bob.email, &bob.sub).await;
    client.make_group("engineering", &[&id]).await;
    let admins = client.make_group("admins", &[&id]).await;
    let (mut browser, _) = company.signed_in("bob", "/").await;
    let mut socket = web_socket(&company, &browser).await;
    let mut events = open(
        &company,
        &browser,
        "GET /sse HTTP/1.1\r\nAccept: text/event-stream\r\n",
    )
    .await;
    assert!(!events.some(Duration::from_secs(5)).await.is_empty());

    // What changes nothing about the roles cuts nothing.
    let named = json!({ "op": "replace", "path": "displayName", "value": "Bob Other" });
    let path = format!("/Users/{id}");
    assert_eq!(client.patch(&path, named).await.status, 200);
    assert!(!socket.closes_within(Duration::from_millis(500)).await);

    let out = json!({ "op": "remove", "path": format!("members[value eq \"{id}\"]") });
    let answer = client.patch(&format!("/Groups/{admins}"), out).await;
    assert!(matches!(answer.status, 200 | 204), "{}", answer.text());
    assert!(socket.closes_within(PROMPT).await);
    let until = Instant::now() + PROMPT;
    while !events.closes_within(Duration::from_millis(20)).await {
        assert!(Instant::now() < until, "the event stream goes on");
        let _more = events.some(Duration::from_millis(20)).await;
    }
    let me = browser.open(&page("/_usher/me")).await.unwrap();
    assert_eq!(
        (me.status, &me.json()["roles"]),
        (200, &json!(["editor"])),
        "the session goes on"
    );
    let mut again = web_socket(&company, &browser).await;
    assert!(!again.closes_within(Duration::from_millis(300)).await);
}

#[tokio::test]
async fn a_web_socket_without_any_request_ends_when_the_idp_takes_the_role_away() {
    let changes = Changes {
        oidc: vec!["refresh_every: 1s".to_owned()],
        ..Changes::default()
    };
    let company = Company::open_with(changes).await;
    let (browser, _) = company.signed_in("alice", "/").await;
    let request = "GET /ws HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let mut wire = open(&company, &browser, request).await;
    let answer = wire.answer(false, Duration::from_secs(5)).await.unwrap();
    assert_eq!(answer.status, 101);
    // Several renewals later it is still there.
    assert!(!wire.closes_within(Duration::from_secs(3)).await);
    let mut alice = company.idp.user("alice").unwrap();
    alice.groups.clear();
    company.idp.put_user(alice);
    assert!(wire.closes_within(2 * PROMPT).await);
}

#[tokio::test]
async fn a_web_socket_without_a_session_is_refused() {
    let company = Company::open().await;
    let request = "GET /ws HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let mut wire = Wire::connect(company.usher.public(), UNTRUSTED)
        .await
        .unwrap();
    wire.send(format!("{request}Host: wiki.test\r\n\r\n").as_bytes())
        .await;
    assert_eq!(
        wire.answer(false, Duration::from_secs(5))
            .await
            .unwrap()
            .status,
        401
    );
    assert!(company.app.seen().is_empty());
}
