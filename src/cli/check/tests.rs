#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::HashMap;
use std::path::PathBuf;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::config::{Idp, parse};

const NOW: &str = "2026-11-22T08:00:00Z";

/// Answers by path, one answer for each connection, with a `Date` of its own.
async fn server(
    date: &'static str,
    pages: impl FnOnce(&str) -> Vec<(&'static str, Value)>,
) -> String {
    let text = |(path, page): (&'static str, Value)| (path, page.to_string());
    text_server(date, |origin| pages(origin).into_iter().map(text).collect()).await
}

async fn text_server(
    date: &'static str,
    pages: impl FnOnce(&str) -> Vec<(&'static str, String)>,
) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    let pages: HashMap<_, _> = pages(&origin).into_iter().collect();
    tokio::spawn(async move {
        'connections: loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                match stream.read_u8().await {
                    Ok(byte) => head.push(byte),
                    Err(_) => continue 'connections,
                }
            }
            let head = String::from_utf8(head).unwrap();
            let path = head.split(' ').nth(1).unwrap().to_owned();
            let (status, body) = match pages.get(path.as_str()) {
                Some(page) => ("200 OK", page.clone()),
                None => ("404 Not Found", String::new()),
            };
            let answer = format!(
                "HTTP/1.1 {status}\r\nDate: {date}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                body.len()
            );
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    origin
}

fn metadata(origin: &str) -> Value {
    json!({
        "issuer": origin,
        "authorization_endpoint": format!("{origin}/authorize"),
        "token_endpoint": format!("{origin}/token"),
        "jwks_uri": format!("{origin}/jwks"),
        "end_session_endpoint": format!("{origin}/logout"),
        "code_challenge_methods_supported": ["S256"],
        "response_types_supported": ["code"],
        "id_token_signing_alg_values_supported": ["RS256"],
    })
}

fn jwks() -> Value {
    json!({ "keys": [{ "kty": "RSA", "use": "sig" }, { "kty": "RSA", "use": "enc" }, { "kty": "oct" }] })
}

fn config(issuer: &str) -> Config {
    let text = format!(
        "listen: 127.0.0.1:4180\npublic_url: http://localhost:4180\nidentity_providers:\n  - id: acme\n    oidc: {{ issuer: '{issuer}', client_id: usher, client_secret: x }}\napps:\n  - id: wiki\n    upstream: http://127.0.0.1:9\n"
    );
    parse("usher.yaml", &text, &|_| None).unwrap_or_else(|problems| panic!("{problems}"))
}

async fn look(idp: &Idp) -> Lines {
    // Another test may have installed it: one is as good as the other.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let outbound = Outbound::new(&[]).unwrap();
    idp::check(idp, &outbound, NOW.parse().unwrap()).await
}

const IN_TIME: &str = "Sun, 22 Nov 2026 08:00:01 GMT";

/// Looks at an IdP whose metadata was changed.
async fn with(date: &'static str, change: impl FnOnce(&mut Value)) -> Lines {
    let origin = server(date, |origin| {
        let mut metadata = metadata(origin);
        change(&mut metadata);
        vec![
            ("/.well-known/openid-configuration", metadata),
            ("/jwks", jwks()),
            ("/no-keys", json!({ "keys": [{ "kty": "oct" }] })),
        ]
    })
    .await;
    look(config(&origin).idp("acme").unwrap()).await
}

fn says(lines: &Lines, state: State, what: &str) -> bool {
    lines
        .0
        .iter()
        .any(|line| line.state == state && line.what.contains(what))
}

#[tokio::test]
async fn an_idp_that_is_right_passes() {
    let lines = with(IN_TIME, |_| {}).await;
    assert!(!lines.failed(), "{lines:#?}");
    assert!(says(&lines, State::Fine, "JWKS: 1 of 3 keys usable"));
    assert!(says(&lines, State::Fine, "PKCE with S256"));
    assert!(says(&lines, State::Fine, "the clocks agree"));
}

#[tokio::test]
async fn an_idp_that_is_wrong_fails_with_the_reason() {
    let cases: [(&str, Value, &str); 6] = [
        ("issuer", json!("https://other.example"), "is of the issuer"),
        (
            "code_challenge_methods_supported",
            json!(["plain"]),
            "does not support PKCE",
        ),
        (
            "token_endpoint",
            json!("http://login.example/token"),
            "token_endpoint is not https",
        ),
        (
            "authorization_endpoint",
            json!(7),
            "authorization_endpoint is missing",
        ),
        (
            "id_token_signing_alg_values_supported",
            json!(["HS256"]),
            "signs ID tokens with none",
        ),
        ("response_types_supported", json!(["id_token"]), "code flow"),
    ];
    for (key, value, what) in cases {
        let lines = with(IN_TIME, |metadata| metadata[key] = value).await;
        assert!(says(&lines, State::Failed, what), "{key}: {lines:#?}");
    }
    let lines = with(IN_TIME, |metadata| {
        let keys = metadata["jwks_uri"]
            .as_str()
            .unwrap()
            .replace("/jwks", "/no-keys");
        metadata["jwks_uri"] = keys.into();
    })
    .await;
    assert!(
        says(&lines, State::Failed, "no key that verifies"),
        "{lines:#?}"
    );
}

#[tokio::test]
async fn clocks_that_are_apart_are_told() {
    let lines = with("Sun, 22 Nov 2026 08:00:20 GMT", |_| {}).await;
    assert!(says(&lines, State::Warning, "s apart"), "{lines:#?}");
    let lines = with("Sun, 22 Nov 2026 07:58:00 GMT", |_| {}).await;
    assert!(says(&lines, State::Failed, "s apart"), "{lines:#?}");
}

#[tokio::test]
async fn an_idp_that_is_not_there_fails() {
    let lines = look(config("http://127.0.0.1:9").idp("acme").unwrap()).await;
    assert!(lines.failed());
}

#[tokio::test]
async fn an_upstream_is_reached_or_not() {
    let outbound = Outbound::new(&[]).unwrap();
    let within = std::time::Duration::from_secs(2);
    let origin = server(IN_TIME, |_| vec![("/hook", json!({}))]).await;
    let text = |upstream: &str, hook: &str| {
        format!(
            "listen: 127.0.0.1:4180\npublic_url: http://localhost:4180\nidentity_providers:\n  - id: acme\n    oidc: {{ issuer: 'https://a.example', client_id: usher, client_auth: none }}\napps:\n  - id: wiki\n    upstream: {upstream}\n    provisioning: {{ callback: {{ url: '{origin}{hook}', secret: whsec_QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWY= }} }}\n"
        )
    };
    let parsed = |text: &str| parse("u", text, &|_| None).unwrap_or_else(|p| panic!("{p}"));
    let good = parsed(&text(&origin, "/hook"));
    let lines = reach::app(good.app("wiki").unwrap(), &outbound, within).await;
    assert_eq!(lines.0.len(), 2);
    assert!(
        lines.0.iter().all(|line| line.state == State::Fine),
        "{lines:#?}"
    );
    let bad = parsed(&text("unix:/nowhere/app.sock", "/missing"));
    let lines = reach::app(bad.app("wiki").unwrap(), &outbound, within).await;
    assert!(
        says(&lines, State::Failed, "/nowhere/app.sock"),
        "{lines:#?}"
    );
    assert!(says(&lines, State::Warning, "404 to OPTIONS"), "{lines:#?}");
    let none = text("x", "/hook")
        .replace("    upstream: x\n", "")
        .replace("apps:", "trusted_proxies: [10.0.0.0/8]\napps:");
    let none = parsed(&none);
    let lines = reach::app(none.app("wiki").unwrap(), &outbound, within).await;
    assert!(
        says(&lines, State::Fine, "a proxy in front forwards"),
        "{lines:#?}"
    );
    assert!(!lines.failed());
}

#[test]
fn every_uri_to_register_is_named() {
    let mut lines = Lines::default();
    to_register(&config("https://login.acme.example"), &mut lines);
    let uris: Vec<_> = lines.0.iter().map(|line| line.what.as_str()).collect();
    assert_eq!(
        uris,
        [
            "redirect URI http://localhost:4180/_usher/oidc/acme/callback",
            "post-logout redirect URI http://localhost:4180/_usher/sign-out",
            "back-channel logout URI http://localhost:4180/_usher/oidc/acme/backchannel-logout",
        ]
    );
}

#[test]
fn what_the_admin_pages_need_is_to_be_registered_too() {
    let text = "listen: 127.0.0.1:4180\npublic_url: http://localhost:4180\nadmin: { listen: '127.0.0.1:4181', public_url: 'https://usher.corp.example', allow: { groups: { acme: [admins] } } }\nidentity_providers:\n  - id: acme\n    oidc: { issuer: 'https://a.example', client_id: usher, client_auth: none }\napps:\n  - id: wiki\n    upstream: http://127.0.0.1:1\n";
    let config = parse("u", text, &|_| None).unwrap_or_else(|problems| panic!("{problems}"));
    let mut lines = Lines::default();
    to_register(&config, &mut lines);
    let uri = "redirect URI https://usher.corp.example/_usher/oidc/acme/callback";
    assert!(lines.0.iter().any(|line| line.what == uri), "{lines:#?}");
}

/// A certificate for `name` with its key in a folder, in a config that listens with them.
fn tls(name: &str, until: (i32, u8, u8), own_key: bool) -> (tempfile::TempDir, Config) {
    let folder = tempfile::tempdir().unwrap();
    let mut params = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap();
    params.not_before = rcgen::date_time_ymd(2025, 1, 1);
    params.not_after = rcgen::date_time_ymd(until.0, until.1, until.2);
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    let shown = if own_key {
        key
    } else {
        rcgen::KeyPair::generate().unwrap()
    };
    let at = |name: &str| -> PathBuf { folder.path().join(name) };
    std::fs::write(at("tls.crt"), certificate.pem()).unwrap();
    std::fs::write(at("tls.key"), shown.serialize_pem()).unwrap();
    let mut config = config("https://login.acme.example");
    config.listen.tls = Some(crate::config::TlsFiles {
        certificate: at("tls.crt"),
        key: at("tls.key"),
    });
    (folder, config)
}

#[test]
fn a_certificate_is_looked_at() {
    let look = |name, until, own_key| {
        let (_folder, config) = tls(name, until, own_key);
        let mut lines = Lines::default();
        local::tls(&config, NOW.parse().unwrap(), &mut lines);
        lines
    };
    let lines = look("localhost", (2027, 6, 1), true);
    assert!(
        says(&lines, State::Fine, "belongs to its key") && lines.0.len() == 1,
        "{lines:#?}"
    );
    let lines = look("localhost", (2026, 11, 1), true);
    assert!(says(&lines, State::Failed, "has expired"), "{lines:#?}");
    let lines = look("localhost", (2026, 11, 30), true);
    assert!(says(&lines, State::Warning, "expires soon"), "{lines:#?}");
    let lines = look("localhost", (2027, 6, 1), false);
    assert!(
        says(&lines, State::Failed, "do not go together"),
        "{lines:#?}"
    );
    let lines = look("wiki.example", (2027, 6, 1), true);
    assert!(
        says(&lines, State::Warning, "is not for localhost"),
        "{lines:#?}"
    );
}

#[test]
fn a_store_needs_its_folder() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config("https://login.acme.example");
    let mut lines = Lines::default();
    config.store = crate::config::StoreConfig::Sqlite(folder.path().join("usher.db"));
    local::store(&config, &mut lines);
    assert!(says(&lines, State::Fine, "will be made"), "{lines:#?}");
    config.store = crate::config::StoreConfig::Sqlite(folder.path().join("no/usher.db"));
    local::store(&config, &mut lines);
    assert!(says(&lines, State::Failed, "is not there"), "{lines:#?}");
}

mod saml;
