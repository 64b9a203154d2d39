//! Every check of an ID token.

use serde_json::{Value, json};
use usher::demo::idp::{
    DiscoveryFault, Fault, Hmac, HmacKey, JwksFault, KeyHint, SigningAlgorithm, TokenFault,
};

use super::{client_of, kind, rp};

/// Signs in once for each fault; every one must be refused by the check that is named.
async fn all_invalid(cases: Vec<(TokenFault, &str)>) {
    let rp = rp().await;
    for (fault, word) in cases {
        rp.idp.next(Fault::IdToken(fault.clone()));
        let (kind, text) = kind(rp.sign_in().await);
        assert_eq!(kind, "invalid", "{fault:?}: {text}");
        assert!(text.contains(word), "{fault:?}: {text}");
        assert!(!text.contains("eyJ"), "{text}");
    }
    assert_eq!(kind(rp.sign_in().await).0, "ok");
}

fn claim(name: &str, value: Value) -> TokenFault {
    TokenFault::Claim(name.to_owned(), value)
}

fn gone(name: &str) -> TokenFault {
    TokenFault::RemoveClaim(name.to_owned())
}

fn time(name: &str, offset: i64) -> TokenFault {
    TokenFault::Time(name.to_owned(), offset)
}

fn raw(name: &str, text: &str) -> TokenFault {
    TokenFault::RawClaim(name.to_owned(), text.to_owned())
}

fn header(name: &str, value: Value) -> TokenFault {
    TokenFault::Header(name.to_owned(), value)
}

#[tokio::test]
async fn accepts_every_asymmetric_algorithm() {
    for algorithm in [
        SigningAlgorithm::Rs256,
        SigningAlgorithm::Ps256,
        SigningAlgorithm::Es256,
        SigningAlgorithm::EdDsa,
    ] {
        let rp = rp().await;
        rp.idp.settings(|settings| settings.algorithm = algorithm);
        let facts = rp.sign_in().await.unwrap();
        assert_eq!(facts.subject.value, "sub-alice");
        assert_eq!(facts.subject.issuer, rp.idp.issuer());
        assert_eq!(facts.attributes.groups, ["engineering", "wiki"]);
        assert_eq!(facts.attributes.email.as_deref(), Some("alice@example.com"));
        assert_eq!(facts.attributes.email_verified, Some(true));
        assert!(facts.idp_session.is_some() && facts.tokens.refresh_token.is_some());
    }
}

#[tokio::test]
async fn refuses_a_token_that_nobody_signed() {
    let algs =
        ["none", "None", "NONE", "nOnE", ""].map(|alg| TokenFault::Unsigned(Some(json!(alg))));
    let mut cases: Vec<_> = algs.into_iter().map(|fault| (fault, "alg")).collect();
    cases.push((TokenFault::Unsigned(None), "alg"));
    cases.push((TokenFault::Unsigned(Some(Value::Null)), "alg"));
    cases.push((header("alg", json!("none")), "alg"));
    cases.push((TokenFault::StripSignature, "signature"));
    cases.push((TokenFault::CorruptSignature, "signature"));
    cases.push((TokenFault::Truncated, "part"));
    cases.push((TokenFault::Garbage("x.y".to_owned()), "part"));
    all_invalid(cases).await;
}

#[tokio::test]
async fn refuses_an_hmac_whatever_its_secret() {
    let secrets = [
        HmacKey::PublicPem,
        HmacKey::PublicDer,
        HmacKey::Jwks,
        HmacKey::ClientSecret,
        HmacKey::Empty,
    ];
    let mut cases = Vec::new();
    for secret in secrets {
        for hash in [Hmac::Sha256, Hmac::Sha384, Hmac::Sha512] {
            cases.push((TokenFault::Hmac(hash, secret.clone()), "alg"));
        }
    }
    all_invalid(cases).await;
}

#[tokio::test]
async fn refuses_a_key_that_the_token_brings_along() {
    let sink = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/keys", sink.local_addr().unwrap());
    all_invalid(vec![
        (TokenFault::AttackerKey(KeyHint::Nothing), "signature"),
        (TokenFault::AttackerKey(KeyHint::Jwk), "signature"),
        (
            TokenFault::AttackerKey(KeyHint::Jku(url.clone())),
            "signature",
        ),
        (TokenFault::AttackerKey(KeyHint::X5u(url)), "signature"),
        (TokenFault::AttackerKey(KeyHint::X5c), "signature"),
        (header("kid", json!("unknown")), "kid"),
        (header("kid", json!(7)), "kid"),
    ])
    .await;
    let nobody_came = tokio::time::timeout(std::time::Duration::from_millis(50), sink.accept());
    assert!(nobody_came.await.is_err());
}

#[tokio::test]
async fn refuses_header_members_that_change_the_meaning() {
    all_invalid(vec![
        (header("crit", json!(["exp"])), "crit"),
        (header("crit", json!(["x-unknown"])), "crit"),
        (header("b64", json!(false)), "b64"),
        (header("zip", json!("DEF")), "zip"),
        (header("cty", json!("JWT")), "cty"),
        (header("enc", json!("A256GCM")), "enc"),
        (header("typ", json!("at+jwt")), "typ"),
        (header("typ", json!("logout+jwt")), "typ"),
        (header("typ", json!(1)), "typ"),
        (TokenFault::Encrypted, "encrypted"),
    ])
    .await;
}

#[tokio::test]
async fn refuses_a_token_of_another_issuer() {
    let rp = rp().await;
    let issuer = rp.idp.issuer().to_owned();
    let slash = format!("{issuer}/");
    let upper = issuer.replace("http", "HTTP");
    let user = issuer.replace("//", "//user@");
    all_invalid(vec![
        (gone("iss"), "iss"),
        (claim("iss", json!("https://other.test")), "iss"),
        (claim("iss", json!(slash)), "iss"),
        (claim("iss", json!(upper)), "iss"),
        (claim("iss", json!(user)), "iss"),
        (claim("iss", json!([issuer])), "iss"),
        (claim("iss", Value::Null), "iss"),
    ])
    .await;
}

#[tokio::test]
async fn refuses_a_token_for_another_audience() {
    all_invalid(vec![
        (gone("aud"), "aud"),
        (claim("aud", json!("other")), "aud"),
        (claim("aud", json!([])), "aud"),
        (claim("aud", json!(["other"])), "aud"),
        (claim("aud", json!("Usher")), "aud"),
        (claim("aud", json!(["usher", 1])), "aud"),
        (claim("aud", json!({"usher": true})), "aud"),
        (claim("aud", json!(["usher", "other"])), "azp"),
        (claim("azp", json!("other")), "azp"),
        (claim("azp", json!(["usher"])), "azp"),
    ])
    .await;
}

#[tokio::test]
async fn accepts_other_audiences_where_azp_names_us() {
    let rp = rp().await;
    rp.idp
        .next(Fault::IdToken(claim("aud", json!(["other", "usher"]))));
    rp.idp.next(Fault::IdToken(claim("azp", json!("usher"))));
    assert_eq!(kind(rp.sign_in().await).0, "ok");
    rp.idp.next(Fault::IdToken(claim("aud", json!(["usher"]))));
    assert_eq!(kind(rp.sign_in().await).0, "ok");
}

#[tokio::test]
async fn refuses_a_token_out_of_its_time() {
    all_invalid(vec![
        (time("exp", -62), "exp"),
        (gone("exp"), "exp"),
        (claim("exp", json!("9999999999")), "exp"),
        (claim("exp", Value::Null), "exp"),
        (claim("exp", json!(-1)), "exp"),
        (claim("exp", json!(0)), "exp"),
        (raw("exp", "1e400"), "claims"),
        (raw("exp", "NaN"), "claims"),
        (claim("exp", json!([9_999_999_999_i64])), "exp"),
        (claim("exp", json!(true)), "exp"),
        (time("exp", 10 * 365 * 24 * 3600), "exp"),
        (gone("iat"), "iat"),
        (time("iat", 62), "iat"),
        (time("iat", -620), "iat"),
        (claim("iat", json!("now")), "iat"),
        (time("nbf", 62), "nbf"),
        (claim("nbf", json!("now")), "nbf"),
        (time("auth_time", 62), "auth_time"),
        (claim("auth_time", json!("now")), "auth_time"),
    ])
    .await;
}

#[tokio::test]
async fn accepts_clocks_that_are_less_than_a_minute_apart() {
    let rp = rp().await;
    for faults in [
        vec![time("iat", 58), time("nbf", 58)],
        vec![time("iat", -300), time("nbf", -300)],
        vec![time("exp", -58)],
    ] {
        for fault in faults {
            rp.idp.next(Fault::IdToken(fault));
        }
        assert_eq!(kind(rp.sign_in().await).0, "ok");
    }
}

#[tokio::test]
async fn refuses_a_subject_that_is_no_plain_string() {
    let cases = [
        Value::Null,
        json!(""),
        json!(42),
        json!(["alice"]),
        json!("a".repeat(256)),
        json!("al\u{0}ice"),
        json!(" alice"),
        json!("alice\r\nX-Forwarded-User: root"),
        json!("älice"),
    ];
    let mut cases: Vec<_> = cases
        .into_iter()
        .map(|sub| (claim("sub", sub), "sub"))
        .collect();
    cases.push((gone("sub"), "sub"));
    cases.push((
        TokenFault::DuplicateClaim("sub".to_owned(), json!("root")),
        "claims",
    ));
    all_invalid(cases).await;
}

#[tokio::test]
async fn refuses_a_nonce_or_a_hash_that_does_not_fit() {
    all_invalid(vec![
        (gone("nonce"), "nonce"),
        (claim("nonce", json!("other")), "nonce"),
        (claim("nonce", Value::Null), "nonce"),
        (claim("at_hash", json!("wrong")), "at_hash"),
        (claim("at_hash", json!(1)), "at_hash"),
        (claim("c_hash", json!("wrong")), "c_hash"),
    ])
    .await;
}

#[tokio::test]
async fn refuses_claims_of_another_type() {
    all_invalid(vec![
        (claim("email_verified", json!("true")), "email_verified"),
        (claim("email_verified", json!("false")), "email_verified"),
        (claim("email_verified", json!(0)), "email_verified"),
        (claim("email_verified", Value::Null), "email_verified"),
        (claim("email", json!(["a@example.com"])), "email"),
        (
            claim("email", json!("a@example.com,b@example.com")),
            "email",
        ),
        (claim("email", json!("a@example.com\r\nX: y")), "email"),
        (
            claim("email", json!(format!("{}@example.com", "a".repeat(250)))),
            "email",
        ),
        (claim("name", json!(1)), "name"),
        (claim("name", json!("Alice\nAdmin")), "name"),
        (claim("groups", json!({"admins": true})), "groups"),
        (claim("groups", json!(["a", 1])), "groups"),
        (claim("groups", json!(["a\r\nb"])), "groups"),
        (claim("groups", json!(vec!["g"; 10_001])), "groups"),
        (claim("acr", json!(1)), "acr"),
        (claim("sid", json!([])), "sid"),
    ])
    .await;
}

#[tokio::test]
async fn a_token_without_kid_is_accepted_only_where_one_key_fits() {
    let rp = rp().await;
    let no_kid = || Fault::IdToken(TokenFault::RemoveHeader("kid".to_owned()));
    rp.idp.next(no_kid());
    assert_eq!(kind(rp.sign_in().await).0, "ok");
    rp.idp.rotate_keys(true).unwrap();
    rp.idp.next(no_kid());
    // A second client has not seen the keys of before.
    let other = super::Rp {
        oidc: client_of(rp.idp.issuer(), |_, _| {}),
        ..rp
    };
    let (kind, text) = kind(other.sign_in().await);
    assert_eq!(kind, "invalid", "{text}");
    assert!(text.contains("kid"), "{text}");
}

#[tokio::test]
async fn keys_that_may_not_sign_are_not_used() {
    for (fault, expected) in [
        (JwksFault::Empty, "unavailable"),
        (JwksFault::WeakRsa, "invalid"),
        (
            JwksFault::Field("use".to_owned(), json!("enc")),
            "unavailable",
        ),
        (
            JwksFault::Field("key_ops".to_owned(), json!(["encrypt"])),
            "unavailable",
        ),
        (
            JwksFault::Field("alg".to_owned(), json!("PS512")),
            "invalid",
        ),
        (JwksFault::OctKey, "ok"),
        (JwksFault::DuplicateKid { first: true }, "ok"),
        (JwksFault::DuplicateKid { first: false }, "ok"),
        (JwksFault::Many(20), "ok"),
    ] {
        let rp = rp().await;
        rp.idp.always(Fault::Jwks(fault.clone()));
        let (kind, text) = kind(rp.sign_in().await);
        assert_eq!(kind, expected, "{fault:?}: {text}");
    }
}

#[tokio::test]
async fn an_algorithm_that_the_metadata_does_not_name_is_refused() {
    let rp = rp().await;
    let algorithms = json!(["ES256", "HS256", "none"]);
    rp.idp.always(Fault::Discovery(DiscoveryFault::Field(
        "id_token_signing_alg_values_supported".to_owned(),
        algorithms,
    )));
    let (kind, text) = kind(rp.sign_in().await);
    assert_eq!(kind, "invalid");
    assert!(text.contains("RS256") && text.contains("ES256"), "{text}");
}
