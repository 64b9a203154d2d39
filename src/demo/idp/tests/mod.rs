#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::HashMap;
use std::time::{Duration, Instant};

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{DecodingKey, Validation};
use reqwest::StatusCode;
use serde_json::{Value, json};

use super::*;

mod faults;
mod flow;

const CALLBACK: &str = "http://127.0.0.1:9/callback";
const VERIFIER: &str = "a-verifier-that-has-at-least-forty-three-characters";

/// A relying party that trusts what it should.
struct Rp {
    idp: TestIdp,
    http: reqwest::Client,
}

async fn rp() -> Rp {
    rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .ok();
    let alice = TestUser::new("alice", "Alice Example", &["engineering"]);
    let mut carl = TestUser::new("carl", "Carl Gone", &[]);
    carl.enabled = false;
    let users = vec![
        alice,
        TestUser::new("bob", "Bob Builder", &["admins"]),
        carl,
    ];
    let idp = TestIdp::start(([127, 0, 0, 1], 0).into(), users)
        .await
        .unwrap();
    let http = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .unwrap();
    Rp { idp, http }
}

impl Rp {
    fn authorize_url(&self, more: &[(&str, &str)]) -> String {
        let challenge = digest::digest(&digest::SHA256, VERIFIER.as_bytes());
        let challenge = URL_SAFE_NO_PAD.encode(challenge);
        let mut url = url::Url::parse(&format!("{}/authorize", self.idp.issuer())).unwrap();
        url.query_pairs_mut()
            .append_pair("client_id", CLIENT_ID)
            .append_pair("redirect_uri", CALLBACK)
            .append_pair("response_type", "code")
            .append_pair("scope", "openid email profile")
            .append_pair("state", "s1")
            .append_pair("nonce", "n1")
            .append_pair("code_challenge", &challenge)
            .append_pair("code_challenge_method", "S256")
            .extend_pairs(more);
        url.into()
    }

    async fn authorize(&self, more: &[(&str, &str)]) -> HashMap<String, String> {
        let answer = self
            .http
            .get(self.authorize_url(more))
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), StatusCode::SEE_OTHER);
        back(&answer)
    }

    async fn token(&self, params: &[(&str, &str)]) -> (StatusCode, Value) {
        let url = format!("{}/token", self.idp.issuer());
        let body = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(params)
            .finish();
        let answer = self
            .http
            .post(url)
            .basic_auth(CLIENT_ID, Some(CLIENT_SECRET))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(body)
            .send()
            .await
            .unwrap();
        (answer.status(), answer.json().await.unwrap())
    }

    async fn redeem(&self, code: &str) -> (StatusCode, Value) {
        self.token(&[
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", CALLBACK),
            ("code_verifier", VERIFIER),
        ])
        .await
    }

    async fn refresh(&self, token: &Value) -> (StatusCode, Value) {
        let token = token["refresh_token"].as_str().unwrap();
        self.token(&[("grant_type", "refresh_token"), ("refresh_token", token)])
            .await
    }

    async fn sign_in(&self, username: &str) -> Value {
        let back = self
            .authorize(&[("login_hint", username), ("prompt", "login")])
            .await;
        let (status, answer) = self.redeem(&back["code"]).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        answer
    }

    async fn json(&self, path: &str) -> Value {
        let url = format!("{}{path}", self.idp.issuer());
        self.http
            .get(url)
            .send()
            .await
            .unwrap()
            .json()
            .await
            .unwrap()
    }

    async fn verify(&self, token: &Value) -> Result<Value, String> {
        let token = token["id_token"].as_str().unwrap();
        let header = jsonwebtoken::decode_header(token).map_err(|why| why.to_string())?;
        let keys: JwkSet = serde_json::from_value(self.json("/jwks").await).unwrap();
        let key = keys
            .find(header.kid.as_deref().unwrap())
            .ok_or("unknown kid")?;
        let mut rules = Validation::new(header.alg);
        rules.set_audience(&[CLIENT_ID]);
        rules.set_issuer(&[self.idp.issuer()]);
        let key = DecodingKey::from_jwk(key).map_err(|why| why.to_string())?;
        let token = jsonwebtoken::decode::<Value>(token, &key, &rules);
        Ok(token.map_err(|why| why.to_string())?.claims)
    }
}

fn back(answer: &reqwest::Response) -> HashMap<String, String> {
    let to = answer.headers()["location"].to_str().unwrap();
    assert!(to.starts_with(CALLBACK), "{to}");
    url::Url::parse(to)
        .unwrap()
        .query_pairs()
        .into_owned()
        .collect()
}

fn header_and_claims(token: &Value) -> (Value, String) {
    let mut parts = token["id_token"].as_str().unwrap().split('.');
    let mut next = || URL_SAFE_NO_PAD.decode(parts.next().unwrap()).unwrap();
    let header = serde_json::from_slice(&next()).unwrap();
    (header, String::from_utf8(next()).unwrap())
}

fn id_token(fault: TokenFault) -> Fault {
    Fault::IdToken(fault)
}
