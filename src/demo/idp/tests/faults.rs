use super::*;

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
async fn an_idp_with_own_keys_shares_key_ids_but_no_key() {
    let rp = rp().await;
    let other = TestIdp::start_with_own_keys(([127, 0, 0, 1], 0).into(), Vec::new())
        .await
        .unwrap();
    assert_eq!(other.kid(), rp.idp.kid());
    let pem = other.private_key_pem().unwrap();
    let kid = other.kid().unwrap();
    rp.idp.next(id_token(TokenFault::ForeignKey { pem, kid }));
    let forged = rp.sign_in("alice").await;
    assert!(
        rp.verify(&forged)
            .await
            .unwrap_err()
            .contains("InvalidSignature")
    );
}

#[tokio::test]
async fn a_refused_refresh_can_be_tried_again_and_a_lost_one_cannot() {
    let rp = rp().await;
    let token = rp.sign_in("alice").await;
    let error = ResponseFault::Error(503, "temporarily_unavailable".into());
    rp.idp.next(Fault::RefreshResponse(error));
    assert_eq!(rp.refresh(&token).await.0, StatusCode::SERVICE_UNAVAILABLE);
    let (status, token) = rp.refresh(&token).await;
    assert_eq!(status, StatusCode::OK);
    rp.idp
        .next(Fault::Endpoint(Endpoint::Token, EndpointFault::ResetAfter));
    let form = format!(
        "grant_type=refresh_token&refresh_token={}",
        token["refresh_token"].as_str().unwrap()
    );
    let request = rp
        .http
        .post(format!("{}/token", rp.idp.issuer()))
        .body(form);
    assert!(
        request
            .basic_auth(CLIENT_ID, Some(CLIENT_SECRET))
            .send()
            .await
            .is_err()
    );
    assert_eq!(rp.refresh(&token).await.1["error"], "invalid_grant");
}
