//! How usher proves who it is.

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::KeyPair as _;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use usher::config::ClientAuth;
use usher::demo::idp::{self, AssertionKey, CLIENT_ID, Client};
use usher::secret::Secret;

use super::{kind, rp_with};

fn pem(label: &str, der: &[u8]) -> String {
    let body = STANDARD.encode(der);
    let lines: Vec<&str> = body
        .as_bytes()
        .chunks(64)
        .map(|line| std::str::from_utf8(line).unwrap())
        .collect();
    format!(
        "-----BEGIN {label}-----\n{}\n-----END {label}-----\n",
        lines.join("\n")
    )
}

#[tokio::test]
async fn a_secret_goes_into_the_header_form_encoded() {
    let secret = "a secret:with +, % and é";
    let rp = rp_with(|oidc, _| oidc.client_auth = ClientAuth::Basic(Secret::new(secret))).await;
    rp.idp.register(Client::confidential(CLIENT_ID, secret));
    assert_eq!(kind(rp.sign_in().await).0, "ok");
    let seen = rp.idp.last_token_request().unwrap();
    assert_eq!(seen.authorization_scheme.as_deref(), Some("Basic"));
    assert_eq!(seen.param("client_secret"), None);
}

#[tokio::test]
async fn a_secret_goes_into_the_body() {
    let rp = rp_with(|oidc, _| oidc.client_auth = ClientAuth::Post(Secret::new("s"))).await;
    rp.idp.register(Client {
        auth: idp::ClientAuth::Post,
        ..Client::confidential(CLIENT_ID, "s")
    });
    assert_eq!(kind(rp.sign_in().await).0, "ok");
    assert_eq!(
        rp.idp.last_token_request().unwrap().authorization_scheme,
        None
    );
}

#[tokio::test]
async fn a_public_client_has_pkce_alone() {
    let rp = rp_with(|oidc, _| oidc.client_auth = ClientAuth::None).await;
    rp.idp.register(Client {
        auth: idp::ClientAuth::None,
        secret: None,
        ..Client::confidential(CLIENT_ID, "s")
    });
    assert_eq!(kind(rp.sign_in().await).0, "ok");
    let seen = rp.idp.last_token_request().unwrap();
    assert_eq!(seen.param("client_id"), Some(CLIENT_ID));
    assert_eq!(seen.param("client_secret"), None);
}

#[tokio::test]
async fn an_assertion_is_for_the_issuer_alone_and_short_lived() {
    let rsa = KeyPair::generate(KeySize::Rsa2048).unwrap();
    let rsa_private: aws_lc_rs::encoding::Pkcs8V1Der<'_> = rsa.as_der().unwrap();
    let rsa_public: aws_lc_rs::encoding::PublicKeyX509Der<'_> = rsa.public_key().as_der().unwrap();
    let ec = rcgen::KeyPair::generate().unwrap();
    for (private, public, alg) in [
        (
            pem("PRIVATE KEY", rsa_private.as_ref()),
            pem("PUBLIC KEY", rsa_public.as_ref()),
            "RS256",
        ),
        (ec.serialize_pem(), ec.public_key_pem(), "ES256"),
    ] {
        let rp =
            rp_with(|oidc, _| oidc.client_auth = ClientAuth::PrivateKeyJwt(Secret::new(private)))
                .await;
        rp.idp.register(Client {
            auth: idp::ClientAuth::PrivateKeyJwt(AssertionKey::Pem(public)),
            secret: None,
            ..Client::confidential(CLIENT_ID, "s")
        });
        for _ in 0..2 {
            let (kind, text) = kind(rp.sign_in().await);
            assert_eq!(kind, "ok", "{text}");
        }
        let seen = rp.idp.last_token_request().unwrap();
        assert_eq!(seen.assertion_header.unwrap()["alg"], alg);
        let claims = seen.assertion_claims.unwrap();
        assert_eq!(claims["aud"], rp.idp.issuer());
        assert_eq!(
            (&claims["iss"], &claims["sub"]),
            (&CLIENT_ID.into(), &CLIENT_ID.into())
        );
        let life = claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap();
        assert!((1..=60).contains(&life), "{life}");
    }
}

#[tokio::test]
async fn a_key_that_is_none_is_our_own_fault() {
    let rp = rp_with(|oidc, _| oidc.client_auth = ClientAuth::PrivateKeyJwt(Secret::new("no key")))
        .await;
    let (kind, text) = kind(rp.sign_in().await);
    assert_eq!(kind, "internal");
    assert!(!text.contains("no key"), "{text}");
}

#[tokio::test]
async fn a_wrong_secret_is_refused_by_the_idp() {
    let rp = rp_with(|oidc, _| oidc.client_auth = ClientAuth::Basic(Secret::new("wrong"))).await;
    let (kind, text) = kind(rp.sign_in().await);
    assert_eq!(kind, "refused");
    assert!(
        text.contains("invalid_client") && !text.contains("wrong"),
        "{text}"
    );
}
