#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::{SinkExt as _, StreamExt as _};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use reqwest::RequestBuilder;

use super::*;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

struct Installed {
    app: DemoApp,
    http: reqwest::Client,
    key: EncodingKey,
    issuer: String,
    _usher: AbortHandle,
}

/// The app, and a server that publishes keys as usher does.
async fn installed() -> Installed {
    rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .ok();
    let pair = aws_lc_rs::signature::EcdsaKeyPair::generate_pkcs8(
        &aws_lc_rs::signature::ECDSA_P256_SHA256_FIXED_SIGNING,
        &aws_lc_rs::rand::SystemRandom::new(),
    )
    .unwrap();
    let key = EncodingKey::from_ec_der(pair.as_ref());
    let mut jwk = jsonwebtoken::jwk::Jwk::from_encoding_key(&key, Algorithm::ES256).unwrap();
    jwk.common.key_id = Some("k1".to_owned());
    let keys = json!({ "keys": [jwk] });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let issuer = format!("http://{}", listener.local_addr().unwrap());
    let jwks = get(move || std::future::ready(Json(keys.clone())));
    let usher = serve::spawn(listener, Router::new().route("/_usher/jwks.json", jwks));
    let settings = AppSettings {
        usher_url: issuer.clone(),
        app_id: "demo".to_owned(),
        webhook_secret: SECRET.to_owned(),
    };
    let app = DemoApp::start(([127, 0, 0, 1], 0).into(), &settings)
        .await
        .unwrap();
    Installed {
        app,
        http: reqwest::Client::new(),
        key,
        issuer,
        _usher: usher,
    }
}

impl Installed {
    fn get(&self, path: &str) -> RequestBuilder {
        self.http
            .get(format!("http://{}{path}", self.app.address()))
    }

    fn token(&self, audience: &str, roles: &[&str]) -> String {
        let mut header = Header::new(Algorithm::ES256);
        header.kid = Some("k1".to_owned());
        let exp = Timestamp::now().as_second() + 60;
        let claims = json!({
            "iss": self.issuer, "aud": audience, "sub": "usr_1", "roles": roles, "exp": exp
        });
        jsonwebtoken::encode(&header, &claims, &self.key).unwrap()
    }

    fn as_alice(&self, path: &str, token: &str) -> RequestBuilder {
        self.get(path)
            .header("x-forwarded-user", "usr_1")
            .header("x-forwarded-name", "Alice %C3%89lan")
            .header("x-forwarded-email", "alice@example.com")
            .header("x-forwarded-roles", "editor")
            .header("x-forwarded-account", "1001")
            .header("x-usher-jwt", token)
    }

    async fn event(&self, id: &str, kind: &str) -> (StatusCode, Value) {
        let body = json!({
            "type": kind, "timestamp": "2026-01-01T00:00:00Z",
            "data": {"app": "demo", "user": {"id": "usr_1", "email": "alice@example.com",
                "email_verified": true, "name": "Alice", "roles": ["editor"], "active": true},
                "identity": {}, "previous": {}, "account": null}
        });
        let answer = self
            .signed(id, &body.to_string(), SECRET)
            .send()
            .await
            .unwrap();
        let status = answer.status();
        (status, answer.json().await.unwrap_or_default())
    }

    fn signed(&self, id: &str, body: &str, secret: &str) -> RequestBuilder {
        let secret = STANDARD
            .decode(secret.strip_prefix("whsec_").unwrap())
            .unwrap();
        let now = Timestamp::now().as_second();
        let key = hmac::Key::new(hmac::HMAC_SHA256, &secret);
        let tag = hmac::sign(&key, format!("{id}.{now}.{body}").as_bytes());
        self.http
            .post(self.app.callback_url())
            .header("content-type", "application/json")
            .header("webhook-id", id)
            .header("webhook-timestamp", now.to_string())
            .header("webhook-signature", format!("v1,{}", STANDARD.encode(tag)))
            .body(body.to_owned())
    }
}

#[tokio::test]
async fn makes_one_account_for_a_user_however_often_the_event_comes() {
    let installed = installed().await;
    let first = installed.event("evt_1", "user.created").await;
    assert_eq!(first, (StatusCode::OK, json!({"account": "1001"})));
    assert_eq!(installed.event("evt_1", "user.created").await, first);
    let other = installed.event("evt_2", "user.created").await;
    assert_eq!(other, (StatusCode::CONFLICT, json!({"account": "1001"})));
    let accounts = installed.app.accounts();
    assert_eq!(accounts.len(), 1);
    assert_eq!(accounts[0].created_by, "evt_1");
    assert_eq!(accounts[0].created_events, 2);
    assert_eq!(installed.app.events(), 3);
    installed.event("evt_3", "user.deactivated").await;
    assert!(!installed.app.accounts()[0].active);
    assert_eq!(
        installed.event("evt_4", "user.deleted").await.0,
        StatusCode::NO_CONTENT
    );
    assert!(installed.app.accounts().is_empty());
}

#[tokio::test]
async fn refuses_an_event_by_another_secret() {
    let installed = installed().await;
    let other = format!("whsec_{}", STANDARD.encode([1_u8; 32]));
    let answer = installed
        .signed("evt_1", "{}", &other)
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
    let right = installed
        .signed("evt_1", "{}", SECRET)
        .send()
        .await
        .unwrap();
    assert_eq!(right.status(), StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn greets_by_name_and_says_that_the_signature_is_verified() {
    let installed = installed().await;
    installed.event("evt_1", "user.created").await;
    let token = installed.token("demo", &["editor"]);
    let page = installed
        .as_alice("/", &token)
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    assert!(page.contains("Hello, Alice Élan"), "{page}");
    assert!(page.contains("✓ Signature verified") && page.contains("No. 1001"));
    let whoami = installed.as_alice("/whoami", &token).send().await.unwrap();
    let whoami: Value = whoami.json().await.unwrap();
    assert_eq!(whoami["signature_verified"], true);
    assert_eq!(whoami["account"]["number"], "1001");
}

#[tokio::test]
async fn a_token_for_another_app_or_with_other_roles_proves_nothing() {
    let installed = installed().await;
    for (token, why) in [
        (installed.token("wiki", &["editor"]), "audience"),
        (installed.token("demo", &["admin"]), "something else"),
        ("a.b.c".to_owned(), "no ES256 token"),
    ] {
        let answer = installed.as_alice("/whoami", &token).send().await.unwrap();
        let answer: Value = answer.json().await.unwrap();
        assert_eq!(answer["signature_verified"], false);
        assert!(
            answer["signature_problem"].as_str().unwrap().contains(why),
            "{answer}"
        );
    }
}

#[tokio::test]
async fn the_public_page_is_open_and_the_others_ask_who_it_is() {
    let installed = installed().await;
    let status = async |path: &str| installed.get(path).send().await.unwrap().status();
    assert_eq!(status("/public/").await, StatusCode::OK);
    assert_eq!(status("/").await, StatusCode::UNAUTHORIZED);
    assert_eq!(status("/admin").await, StatusCode::UNAUTHORIZED);
    let token = installed.token("demo", &["editor"]);
    let admin = installed.as_alice("/admin", &token).send().await.unwrap();
    assert_eq!(admin.status(), StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn streams_a_clock_echoes_over_a_websocket_and_lists_headers() {
    let installed = installed().await;
    let mut events = installed.get("/events").send().await.unwrap();
    let tick = events.chunk().await.unwrap().unwrap();
    assert!(tick.starts_with(b"data: ") && tick.ends_with(b" UTC\n\n"));
    let stream = tokio::net::TcpStream::connect(installed.app.address())
        .await
        .unwrap();
    let (mut socket, _) = tokio_tungstenite::client_async("ws://app.test/ws", stream)
        .await
        .unwrap();
    socket.send("hello".into()).await.unwrap();
    assert_eq!(
        socket.next().await.unwrap().unwrap().into_text().unwrap(),
        "hello"
    );
    let list = installed
        .get("/headers")
        .header("x-one", "1")
        .header("x-one", "2");
    let list: Value = list.send().await.unwrap().json().await.unwrap();
    let ours: Vec<&Value> = list
        .as_array()
        .unwrap()
        .iter()
        .filter(|pair| pair[0] == "x-one")
        .collect();
    assert_eq!(ours.len(), 2);
}
