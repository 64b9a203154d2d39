//! What is open ends with its session.

use std::time::{Duration, Instant};

use crate::support::browser::Browser;
use crate::support::company::{Changes, Company, eventually, page};
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
