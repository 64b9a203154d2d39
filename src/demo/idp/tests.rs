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

#[tokio::test]
async fn signs_in_by_code_and_pkce_with_every_algorithm() {
    let rp = rp().await;
    for algorithm in [
        SigningAlgorithm::Rs256,
        SigningAlgorithm::Ps256,
        SigningAlgorithm::Es256,
        SigningAlgorithm::EdDsa,
    ] {
        rp.idp.settings(|settings| settings.algorithm = algorithm);
        let claims = rp.verify(&rp.sign_in("alice").await).await.unwrap();
        assert_eq!(claims["sub"], "sub-alice");
        assert_eq!(claims["nonce"], "n1");
        assert_eq!(claims["name"], "Alice Example");
        assert_eq!(claims["email_verified"], true);
        assert_eq!(claims["groups"], json!(["engineering"]));
    }
    let back = rp.authorize(&[("login_hint", "bob")]).await;
    assert_eq!(back["state"], "s1");
    assert_eq!(back["iss"], rp.idp.issuer());
    assert_eq!(rp.idp.counts().token_calls, 4);
    assert_eq!(rp.idp.last_authorize_param("nonce").unwrap(), "n1");
    let request = rp.idp.last_token_request().unwrap();
    assert_eq!(request.authorization_scheme.as_deref(), Some("Basic"));
    assert_eq!(request.param("code_verifier"), Some(VERIFIER));
}

#[tokio::test]
async fn a_code_is_good_once_and_only_with_its_verifier_redirect_uri_and_client() {
    let rp = rp().await;
    let code = rp.authorize(&[("login_hint", "alice")]).await["code"].clone();
    assert_eq!(rp.redeem(&code).await.0, StatusCode::OK);
    assert_eq!(rp.redeem(&code).await.1["error"], "invalid_grant");
    for (name, value) in [
        (
            "code_verifier",
            "another-verifier-with-at-least-forty-three-chars",
        ),
        ("redirect_uri", "http://127.0.0.1:9/other"),
    ] {
        let code = rp.authorize(&[("login_hint", "alice")]).await["code"].clone();
        let mut params = vec![
            ("grant_type", "authorization_code"),
            ("code", code.as_str()),
            ("redirect_uri", CALLBACK),
            ("code_verifier", VERIFIER),
        ];
        params.retain(|(known, _)| *known != name);
        params.push((name, value));
        assert_eq!(
            rp.token(&params).await.1["error"],
            "invalid_grant",
            "{name}"
        );
    }
}

#[tokio::test]
async fn refuses_a_redirect_uri_off_loopback_and_a_challenge_that_is_missing() {
    let rp = rp().await;
    let url = rp.authorize_url(&[]);
    let evil = url.replace("127.0.0.1%3A9", "evil.test");
    assert_ne!(url, evil);
    let answer = rp.http.get(evil).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
    let plain = url.replace("code_challenge=", "ignored=");
    let answer = rp.http.get(plain).send().await.unwrap();
    assert_eq!(back(&answer)["error"], "invalid_request");
}

#[tokio::test]
async fn the_login_page_lists_people_and_its_form_signs_in() {
    let rp = rp().await;
    let page = rp.http.get(rp.authorize_url(&[])).send().await.unwrap();
    assert_eq!(page.status(), StatusCode::OK);
    let page = page.text().await.unwrap();
    assert!(
        page.contains("value=\"alice\"") && page.contains("group engineering"),
        "{page}"
    );
    assert!(!page.contains("<script"));
    let query = rp.authorize_url(&[("demo_user", "alice")]);
    let form = url::Url::parse(&query).unwrap().query().unwrap().to_owned();
    let post = |form: String| {
        let request = rp
            .http
            .post(format!("{}/authorize", rp.idp.issuer()))
            .body(form);
        request.send()
    };
    let answer = post(form.clone()).await.unwrap();
    assert!(back(&answer).contains_key("code"));
    let cookie = answer.headers()["set-cookie"].to_str().unwrap();
    let cookie = cookie.split(';').next().unwrap().to_owned();
    let disabled = post(form.replace("demo_user=alice", "demo_user=carl"))
        .await
        .unwrap();
    assert!(
        disabled
            .text()
            .await
            .unwrap()
            .contains("This account is disabled.")
    );

    let again = |more: &[(&str, &str)]| {
        rp.http
            .get(rp.authorize_url(more))
            .header("cookie", &cookie)
            .send()
    };
    assert!(
        back(&again(&[]).await.unwrap()).contains_key("code"),
        "single sign-on"
    );
    assert_eq!(
        again(&[("prompt", "login")]).await.unwrap().status(),
        StatusCode::OK
    );
    assert_eq!(
        again(&[("max_age", "0")]).await.unwrap().status(),
        StatusCode::OK
    );
    rp.idp.end_sessions();
    let silent = again(&[("prompt", "none")]).await.unwrap();
    assert_eq!(back(&silent)["error"], "login_required");
}

#[tokio::test]
async fn a_cookie_or_the_setting_signs_in_without_the_page() {
    let rp = rp().await;
    let request = rp
        .http
        .get(rp.authorize_url(&[]))
        .header("cookie", "demo_idp_user=bob");
    let code = back(&request.send().await.unwrap())["code"].clone();
    let claims = rp.verify(&rp.redeem(&code).await.1).await.unwrap();
    assert_eq!(claims["sub"], "sub-bob");
    rp.idp.sign_in_as(Some("alice"));
    let code = rp.authorize(&[]).await["code"].clone();
    let claims = rp.verify(&rp.redeem(&code).await.1).await.unwrap();
    assert_eq!(claims["sub"], "sub-alice");
}

#[tokio::test]
async fn form_post_answers_with_a_form() {
    let rp = rp().await;
    let url = rp.authorize_url(&[("login_hint", "alice"), ("response_mode", "form_post")]);
    let page = rp.http.get(url).send().await.unwrap().text().await.unwrap();
    assert!(page.contains(&format!("action=\"{CALLBACK}\"")), "{page}");
    assert!(page.contains("name=\"code\"") && page.contains("name=\"iss\""));
}

#[tokio::test]
async fn refresh_tokens_rotate_and_a_used_one_ends_them_all() {
    let rp = rp().await;
    let first = rp.sign_in("alice").await;
    rp.idp
        .change_user("alice", |alice| alice.groups = vec!["admins".to_owned()]);
    let (status, second) = rp.refresh(&first).await;
    assert_eq!(status, StatusCode::OK);
    let claims = rp.verify(&second).await.unwrap();
    assert_eq!(claims["groups"], json!(["admins"]));
    assert!(claims.get("nonce").is_none());
    assert_eq!(rp.refresh(&first).await.1["error"], "invalid_grant");
    assert_eq!(rp.refresh(&second).await.1["error"], "invalid_grant");
    assert_eq!(rp.idp.counts().refresh_calls, 3);
}

#[tokio::test]
async fn a_disabled_person_cannot_refresh() {
    let rp = rp().await;
    let token = rp.sign_in("alice").await;
    rp.idp.change_user("alice", |alice| alice.enabled = false);
    assert_eq!(rp.refresh(&token).await.1["error"], "invalid_grant");
}

#[tokio::test]
async fn userinfo_and_graph_ask_for_the_access_token() {
    let rp = rp().await;
    rp.idp.settings(|settings| {
        settings.claims_in = ClaimsIn::Userinfo;
        settings.graph_page = 1;
    });
    rp.idp.change_user("alice", |alice| {
        alice.groups = vec!["g1".into(), "g2".into()]
    });
    rp.idp.next(Fault::Overage(Overage::ClaimNames));
    let token = rp.sign_in("alice").await;
    let claims = rp.verify(&token).await.unwrap();
    assert!(claims.get("email").is_none() && claims.get("groups").is_none());
    assert_eq!(claims["_claim_names"]["groups"], "src1");
    let access = token["access_token"].as_str().unwrap();
    let get = |path: &str, token: &str| {
        rp.http
            .get(format!("{}{path}", rp.idp.issuer()))
            .bearer_auth(token)
            .send()
    };
    let userinfo: Value = get("/userinfo", access)
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(userinfo["sub"], "sub-alice");
    assert_eq!(userinfo["email"], "alice@example.com");
    assert_eq!(
        get("/userinfo", "x").await.unwrap().status(),
        StatusCode::UNAUTHORIZED
    );
    let path = "/graph/v1.0/me/transitiveMemberOf";
    let page: Value = get(path, access).await.unwrap().json().await.unwrap();
    assert_eq!(page["value"][0]["id"], "g1");
    let next = page["@odata.nextLink"].as_str().unwrap();
    let page = rp.http.get(next).bearer_auth(access).send().await.unwrap();
    let page: Value = page.json().await.unwrap();
    assert_eq!(page["value"][0]["id"], "g2");
    let objects = format!("{}/graph/v1.0/me/getMemberObjects", rp.idp.issuer());
    let objects = rp.http.post(objects).bearer_auth(access);
    let objects = objects
        .json(&json!({"securityEnabledOnly": false}))
        .send()
        .await
        .unwrap();
    assert_eq!(
        objects.json::<Value>().await.unwrap()["value"],
        json!(["g1", "g2"])
    );
}

#[tokio::test]
async fn sign_out_returns_to_a_registered_uri_with_its_state() {
    let rp = rp().await;
    let token = rp.sign_in("alice").await;
    let hint = token["id_token"].as_str().unwrap();
    let get = |params: Vec<(&str, &str)>| {
        let mut url = url::Url::parse(&format!("{}/end-session", rp.idp.issuer())).unwrap();
        url.query_pairs_mut().extend_pairs(params);
        rp.http.get(url).send()
    };
    let to = ("post_logout_redirect_uri", CALLBACK);
    let good = get(vec![("id_token_hint", hint), to, ("state", "x")])
        .await
        .unwrap();
    assert_eq!(back(&good)["state"], "x");
    let evil = ("post_logout_redirect_uri", "https://evil.test/");
    let evil = get(vec![("id_token_hint", hint), evil]).await.unwrap();
    assert_eq!(evil.status(), StatusCode::BAD_REQUEST);
    let forged = format!("{}x", &hint[..hint.len() - 8]);
    let forged = get(vec![("id_token_hint", forged.as_str()), to])
        .await
        .unwrap();
    assert_eq!(forged.status(), StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn every_token_fault_does_what_it_says() {
    let rp = rp().await;
    let with = async |fault: TokenFault| {
        rp.idp.next(id_token(fault));
        rp.sign_in("alice").await
    };
    let (_, claims) = header_and_claims(&with(TokenFault::Claim("sub".into(), json!(42))).await);
    assert!(claims.contains("\"sub\":42"));
    let (_, claims) = header_and_claims(&with(TokenFault::RemoveClaim("nonce".into())).await);
    assert!(!claims.contains("nonce"));
    let raw = TokenFault::RawClaim("exp".into(), "1e400".into());
    assert!(
        header_and_claims(&with(raw).await)
            .1
            .ends_with(",\"exp\":1e400}")
    );
    let twice = TokenFault::DuplicateClaim("sub".into(), json!("root"));
    assert_eq!(
        header_and_claims(&with(twice).await)
            .1
            .matches("\"sub\":")
            .count(),
        2
    );
    let expired = with(TokenFault::Time("exp".into(), -3600)).await;
    assert!(
        rp.verify(&expired)
            .await
            .unwrap_err()
            .contains("ExpiredSignature")
    );

    let none = with(TokenFault::Unsigned(Some(json!("nOnE")))).await;
    assert_eq!(header_and_claims(&none).0["alg"], "nOnE");
    assert!(none["id_token"].as_str().unwrap().ends_with('.'));
    let hmac = with(TokenFault::Hmac(Hmac::Sha256, HmacKey::ClientSecret)).await;
    let mut rules = Validation::new(jsonwebtoken::Algorithm::HS256);
    rules.set_audience(&[CLIENT_ID]);
    let key = DecodingKey::from_secret(CLIENT_SECRET.as_bytes());
    let token = hmac["id_token"].as_str().unwrap();
    assert!(jsonwebtoken::decode::<Value>(token, &key, &rules).is_ok());
    for key in [
        HmacKey::PublicPem,
        HmacKey::PublicDer,
        HmacKey::Jwks,
        HmacKey::Empty,
    ] {
        let token = with(TokenFault::Hmac(Hmac::Sha512, key)).await;
        assert_eq!(header_and_claims(&token).0["alg"], "HS512");
    }

    for hint in [
        KeyHint::Nothing,
        KeyHint::Jwk,
        KeyHint::X5c,
        KeyHint::Jku("https://e.test/".into()),
    ] {
        let forged = with(TokenFault::AttackerKey(hint)).await;
        assert!(
            rp.verify(&forged)
                .await
                .unwrap_err()
                .contains("InvalidSignature")
        );
    }
    for damage in [TokenFault::CorruptSignature, TokenFault::StripSignature] {
        assert!(rp.verify(&with(damage).await).await.is_err());
    }
    assert!(rp.verify(&with(TokenFault::Truncated).await).await.is_err());
    let encrypted = with(TokenFault::Encrypted).await;
    assert_eq!(
        encrypted["id_token"].as_str().unwrap().split('.').count(),
        5
    );
    assert_eq!(with(TokenFault::Garbage("x".into())).await["id_token"], "x");

    let extended = with(TokenFault::Header("crit".into(), json!(["exp"]))).await;
    assert_eq!(header_and_claims(&extended).0["crit"], json!(["exp"]));
    assert!(
        rp.verify(&rp.sign_in("alice").await).await.is_ok(),
        "all of them were used up"
    );
}

#[tokio::test]
async fn rotated_keys_verify_under_their_new_kid() {
    let rp = rp().await;
    let old = rp.sign_in("alice").await;
    rp.idp.rotate_keys(true).unwrap();
    assert!(rp.verify(&old).await.is_ok());
    let new = rp.sign_in("alice").await;
    assert_ne!(
        header_and_claims(&old).0["kid"],
        header_and_claims(&new).0["kid"]
    );
    assert!(rp.verify(&new).await.is_ok());
    rp.idp.rotate_keys(false).unwrap();
    assert_eq!(rp.verify(&old).await.unwrap_err(), "unknown kid");
}

#[tokio::test]
async fn keys_discovery_and_answers_can_be_wrong() {
    let rp = rp().await;
    rp.idp.next(Fault::Jwks(JwksFault::Empty));
    assert_eq!(rp.json("/jwks").await["keys"], json!([]));
    rp.idp
        .next(Fault::Jwks(JwksFault::DuplicateKid { first: true }));
    let keys = rp.json("/jwks").await["keys"].clone();
    assert_eq!(keys[0]["kid"], keys[1]["kid"]);
    assert_ne!(keys[0]["n"], keys[1]["n"]);
    rp.idp.next(Fault::Jwks(JwksFault::Many(200)));
    assert_eq!(
        rp.json("/jwks").await["keys"].as_array().unwrap().len(),
        204
    );

    let path = "/.well-known/openid-configuration";
    rp.idp.next(Fault::Discovery(DiscoveryFault::Field(
        "issuer".into(),
        json!("https://e.test"),
    )));
    assert_eq!(rp.json(path).await["issuer"], "https://e.test");
    assert_eq!(rp.json(path).await["issuer"], rp.idp.issuer());

    rp.idp.next(Fault::TokenResponse(ResponseFault::Remove(
        "id_token".into(),
    )));
    assert!(rp.sign_in("alice").await.get("id_token").is_none());
    rp.idp.next(Fault::RefreshResponse(ResponseFault::Error(
        400,
        "invalid_grant".into(),
    )));
    let token = rp.sign_in("alice").await;
    assert_eq!(rp.refresh(&token).await.0, StatusCode::BAD_REQUEST);

    rp.idp.next(Fault::Authorize(AuthorizeFault::Param(
        "iss".into(),
        "https://e.test".into(),
    )));
    assert_eq!(
        rp.authorize(&[("login_hint", "bob")]).await["iss"],
        "https://e.test"
    );
    let first = rp.authorize(&[("login_hint", "alice")]).await["code"].clone();
    rp.idp.next(Fault::Authorize(AuthorizeFault::SwapCode));
    assert_eq!(rp.authorize(&[("login_hint", "bob")]).await["code"], first);
    rp.idp.next(Fault::Authorize(AuthorizeFault::Error(
        "access_denied".into(),
        "no".into(),
    )));
    let refused = rp.authorize(&[("login_hint", "bob")]).await;
    assert_eq!(refused["error"], "access_denied");
    assert!(!refused.contains_key("code"));
}

#[tokio::test]
async fn an_endpoint_can_be_slow_down_garbage_huge_cut_short_or_reset() {
    let rp = rp().await;
    let url = format!("{}/jwks", rp.idp.issuer());
    let next = |fault| {
        rp.idp.next(Fault::Endpoint(Endpoint::Jwks, fault));
        rp.http.get(&url).send()
    };
    let start = Instant::now();
    next(EndpointFault::Delay(Duration::from_millis(80)))
        .await
        .unwrap();
    assert!(start.elapsed() >= Duration::from_millis(80));
    let down = next(EndpointFault::Status(503, "{}".into())).await.unwrap();
    assert_eq!(down.status(), StatusCode::SERVICE_UNAVAILABLE);
    let garbage = next(EndpointFault::Garbage).await.unwrap();
    assert!(garbage.json::<Value>().await.is_err());
    let huge = next(EndpointFault::Huge(1 << 20)).await.unwrap();
    assert_eq!(huge.bytes().await.unwrap().len(), (1 << 20) + 2);
    let moved = next(EndpointFault::Redirect("http://127.0.0.1:1/".into()))
        .await
        .unwrap();
    assert_eq!(moved.headers()["location"], "http://127.0.0.1:1/");
    let dated = EndpointFault::Header("date".into(), "Thu, 01 Jan 1970 00:00:00 GMT".into());
    assert!(
        next(dated).await.unwrap().headers()["date"]
            .to_str()
            .unwrap()
            .contains("1970")
    );
    assert!(
        next(EndpointFault::CutShort)
            .await
            .unwrap()
            .bytes()
            .await
            .is_err()
    );
    assert!(next(EndpointFault::Reset).await.is_err());
    let hang = tokio::time::timeout(Duration::from_millis(80), next(EndpointFault::Hang)).await;
    assert!(hang.is_err());
    assert_eq!(
        rp.http.get(&url).send().await.unwrap().status(),
        StatusCode::OK
    );
}

#[tokio::test]
async fn stops_and_comes_back_on_the_same_port_with_its_people_and_keys() {
    let rp = rp().await;
    let token = rp.sign_in("alice").await;
    rp.idp.stop();
    let url = format!("{}/jwks", rp.idp.issuer());
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(rp.http.get(&url).send().await.is_err());
    rp.idp.restart().await.unwrap();
    assert!(rp.verify(&token).await.is_ok());
    assert_eq!(rp.refresh(&token).await.0, StatusCode::OK);
}

#[tokio::test]
async fn each_client_authenticates_by_its_registered_method_only() {
    let rp = rp().await;
    rp.idp.register(Client {
        auth: ClientAuth::Post,
        ..Client::confidential(CLIENT_ID, CLIENT_SECRET)
    });
    let code = rp.authorize(&[("login_hint", "alice")]).await["code"].clone();
    assert_eq!(rp.redeem(&code).await.1["error"], "invalid_client");

    let pair = aws_lc_rs::signature::EcdsaKeyPair::generate_pkcs8(
        &aws_lc_rs::signature::ECDSA_P256_SHA256_FIXED_SIGNING,
        &aws_lc_rs::rand::SystemRandom::new(),
    )
    .unwrap();
    let key = jsonwebtoken::EncodingKey::from_ec_der(pair.as_ref());
    let algorithm = jsonwebtoken::Algorithm::ES256;
    let jwk = jsonwebtoken::jwk::Jwk::from_encoding_key(&key, algorithm).unwrap();
    let jwk = AssertionKey::Jwk(serde_json::to_string(&jwk).unwrap());
    rp.idp.register(Client {
        auth: ClientAuth::PrivateKeyJwt(jwk),
        ..Client::confidential(CLIENT_ID, CLIENT_SECRET)
    });
    let exp = jiff::Timestamp::now().as_second() + 60;
    let claims = json!({"iss": CLIENT_ID, "sub": CLIENT_ID, "aud": rp.idp.issuer(), "exp": exp, "jti": "j1"});
    let header = jsonwebtoken::Header::new(algorithm);
    let assertion = jsonwebtoken::encode(&header, &claims, &key).unwrap();
    let redeem = async |code: &str| {
        let form = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("grant_type", "authorization_code")
            .append_pair("code", code)
            .append_pair("redirect_uri", CALLBACK)
            .append_pair("code_verifier", VERIFIER)
            .append_pair(
                "client_assertion_type",
                "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            )
            .append_pair("client_assertion", &assertion)
            .finish();
        let request = rp
            .http
            .post(format!("{}/token", rp.idp.issuer()))
            .body(form);
        request.send().await.unwrap().json::<Value>().await.unwrap()
    };
    let code = rp.authorize(&[("login_hint", "alice")]).await["code"].clone();
    assert!(rp.verify(&redeem(&code).await).await.is_ok());
    let seen = rp
        .idp
        .last_token_request()
        .unwrap()
        .assertion_claims
        .unwrap();
    assert_eq!(seen["aud"], rp.idp.issuer());
    let code = rp.authorize(&[("login_hint", "alice")]).await["code"].clone();
    assert_eq!(
        redeem(&code).await["error"],
        "invalid_client",
        "the same jti again"
    );
}
