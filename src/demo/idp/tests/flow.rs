use super::*;

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
