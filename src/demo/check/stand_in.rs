//! A stand-in for usher, as small as it can be: it lets the check of the demo be checked. It verifies nothing.
#![allow(clippy::unwrap_used)]

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use aws_lc_rs::{digest, hmac};
use axum::Json;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Redirect, Response};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::demo::idp::{CLIENT_ID, CLIENT_SECRET};
use crate::demo::{Demo, serve};

const VERIFIER: &str = "a-verifier-that-has-at-least-forty-three-characters";

/// What the stand-in does wrong.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Wrong {
    Nothing,
    LetsEverybodyAdminister,
    CreatesTwice,
    ForgetsToSignOut,
}

struct StandIn {
    demo: Demo,
    secret: String,
    wrong: Wrong,
    key: EncodingKey,
    http: reqwest::Client,
    /// The ID token and its claims.
    session: Mutex<Option<(String, Value)>>,
}

pub(super) async fn start(wrong: Wrong) -> (url::Url, tokio::task::AbortHandle) {
    rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .ok();
    let demo = Demo::start(0).await.unwrap();
    let config: Value = serde_saphyr::from_str(&demo.config_yaml).unwrap();
    let secret = &config["apps"][0]["provisioning"]["callback"]["secret"];
    let pair = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new());
    let listener = TcpListener::bind(demo.listen).await.unwrap();
    let url = url::Url::parse(&demo.public_url).unwrap();
    let stand_in = StandIn {
        secret: secret.as_str().unwrap().to_owned(),
        demo,
        wrong,
        key: EncodingKey::from_ec_der(pair.unwrap().as_ref()),
        http: reqwest::Client::new(),
        session: Mutex::new(None),
    };
    let router = axum::Router::new()
        .fallback(answer)
        .with_state(Arc::new(stand_in));
    (url, serve::spawn(listener, router))
}

async fn answer(State(usher): State<Arc<StandIn>>, request: Request) -> Response {
    let path = request.uri().path().to_owned();
    let query = request.uri().query().unwrap_or_default().as_bytes();
    let params: HashMap<String, String> = url::form_urlencoded::parse(query).into_owned().collect();
    let session = usher.session.lock().unwrap().clone();
    match path.as_str() {
        "/_usher/jwks.json" => {
            let mut jwk =
                jsonwebtoken::jwk::Jwk::from_encoding_key(&usher.key, Algorithm::ES256).unwrap();
            jwk.common.key_id = Some("k1".to_owned());
            Json(json!({"keys": [jwk]})).into_response()
        }
        "/_usher/oidc/demo/callback" => usher.finish(&params["code"]).await,
        "/_usher/signed-out" => "Signed out".into_response(),
        "/public/" => usher.forward(&path, HeaderMap::new()).await,
        _ => match session {
            None => usher.ask(request.headers()),
            Some((token, claims)) => usher.signed_in(&path, token, &claims).await,
        },
    }
}

impl StandIn {
    fn redirect_uri(&self) -> String {
        format!("{}/_usher/oidc/demo/callback", self.demo.public_url)
    }

    fn ask(&self, headers: &HeaderMap) -> Response {
        if headers["sec-fetch-mode"] != "navigate" {
            return axum::http::StatusCode::UNAUTHORIZED.into_response();
        }
        let challenge = digest::digest(&digest::SHA256, VERIFIER.as_bytes());
        let mut url = url::Url::parse(self.demo.idp.issuer())
            .unwrap()
            .join("/authorize")
            .unwrap();
        url.query_pairs_mut()
            .append_pair("client_id", CLIENT_ID)
            .append_pair("redirect_uri", &self.redirect_uri())
            .append_pair("response_type", "code")
            .append_pair("scope", "openid email profile")
            .append_pair("code_challenge", &URL_SAFE_NO_PAD.encode(challenge))
            .append_pair("code_challenge_method", "S256");
        Redirect::to(url.as_str()).into_response()
    }

    async fn finish(&self, code: &str) -> Response {
        let form = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("grant_type", "authorization_code")
            .append_pair("code", code)
            .append_pair("redirect_uri", &self.redirect_uri())
            .append_pair("code_verifier", VERIFIER)
            .finish();
        let request = self
            .http
            .post(format!("{}/token", self.demo.idp.issuer()))
            .body(form);
        let answer = request
            .basic_auth(CLIENT_ID, Some(CLIENT_SECRET))
            .send()
            .await
            .unwrap();
        let answer: Value = answer.json().await.unwrap();
        let token = answer["id_token"].as_str().unwrap();
        let claims: Value = jsonwebtoken::dangerous::insecure_decode_claims(token).unwrap();
        self.create(&claims, "evt_1").await;
        if self.wrong == Wrong::CreatesTwice {
            self.create(&claims, "evt_2").await;
        }
        *self.session.lock().unwrap() = Some((token.to_owned(), claims));
        Redirect::to("/").into_response()
    }

    async fn create(&self, claims: &Value, id: &str) {
        let user = json!({"id": claims["sub"], "email": claims["email"], "name": claims["name"],
            "roles": [role(claims)]});
        let body = json!({"type": "user.created", "data": {"user": user}}).to_string();
        let secret = STANDARD
            .decode(self.secret.strip_prefix("whsec_").unwrap())
            .unwrap();
        let now = jiff::Timestamp::now().as_second();
        let key = hmac::Key::new(hmac::HMAC_SHA256, &secret);
        let tag = hmac::sign(&key, format!("{id}.{now}.{body}").as_bytes());
        let request = self.http.post(self.demo.app.callback_url());
        request
            .header("webhook-id", id)
            .header("webhook-timestamp", now.to_string())
            .header("webhook-signature", format!("v1,{}", STANDARD.encode(tag)))
            .body(body)
            .send()
            .await
            .unwrap();
    }

    async fn signed_in(&self, path: &str, token: String, claims: &Value) -> Response {
        match path {
            "/_usher/me" => {
                let user = json!({"name": claims["name"]});
                Json(json!({"user": user, "roles": [role(claims)]})).into_response()
            }
            "/_usher/sign-out" => {
                if self.wrong != Wrong::ForgetsToSignOut {
                    *self.session.lock().unwrap() = None;
                }
                let mut url = url::Url::parse(self.demo.idp.issuer()).unwrap();
                url.set_path("/end-session");
                let to = format!("{}/_usher/signed-out", self.demo.public_url);
                url.query_pairs_mut()
                    .append_pair("id_token_hint", &token)
                    .append_pair("post_logout_redirect_uri", &to);
                Redirect::to(url.as_str()).into_response()
            }
            "/admin" if role(claims) != "admin" && self.wrong != Wrong::LetsEverybodyAdminister => {
                axum::http::StatusCode::FORBIDDEN.into_response()
            }
            _ => self.forward(path, self.identity(claims)).await,
        }
    }

    fn identity(&self, claims: &Value) -> HeaderMap {
        let admits = self.wrong == Wrong::LetsEverybodyAdminister;
        let roles = if admits { "admin" } else { role(claims) };
        let mut header = Header::new(Algorithm::ES256);
        header.kid = Some("k1".to_owned());
        let now = jiff::Timestamp::now().as_second();
        let token = json!({"iss": self.demo.public_url, "aud": "demo", "sub": claims["sub"],
            "roles": [roles], "exp": now + 60});
        let token = jsonwebtoken::encode(&header, &token, &self.key).unwrap();
        let mut headers = HeaderMap::new();
        let mut put = |name, value: &str| headers.insert(name, value.parse().unwrap());
        put("x-forwarded-user", claims["sub"].as_str().unwrap());
        put("x-forwarded-name", claims["name"].as_str().unwrap());
        put("x-forwarded-email", claims["email"].as_str().unwrap());
        put("x-forwarded-roles", roles);
        put("x-forwarded-groups", claims["groups"][0].as_str().unwrap());
        put("x-forwarded-account", "1001");
        put("x-usher-jwt", &token);
        headers
    }

    async fn forward(&self, path: &str, headers: HeaderMap) -> Response {
        let url = format!("http://{}{path}", self.demo.app.address());
        let answer = self.http.get(url).headers(headers).send().await.unwrap();
        let mut response = Response::new(Body::empty());
        *response.status_mut() = answer.status();
        let kind = answer.headers().get("content-type").cloned();
        response
            .headers_mut()
            .extend(kind.map(|kind| (axum::http::header::CONTENT_TYPE, kind)));
        *response.body_mut() = Body::from(answer.bytes().await.unwrap());
        response
    }
}

fn role(claims: &Value) -> &'static str {
    if claims["groups"][0] == "admins" {
        "admin"
    } else {
        "editor"
    }
}
