//! Certificates of a company's own authority.

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::PrivateKeyDer;

use crate::support::callback::Callback;
use crate::support::company::{Changes, Company, is_page};

/// A callback over TLS, and the PEM of the authority that vouches for it.
async fn callback_with_own_authority() -> (Callback, String) {
    let authority_key = KeyPair::generate().unwrap();
    let mut authority = CertificateParams::new(Vec::<String>::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let pem = authority.self_signed(&authority_key).unwrap().pem();
    let issuer = Issuer::new(authority, authority_key);
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(vec!["localhost".to_owned()])
        .unwrap()
        .signed_by(&key, &issuer)
        .unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![leaf.der().clone()],
            PrivateKeyDer::Pkcs8(key.serialize_der().into()),
        )
        .unwrap();
    (Callback::start_tls(config).await, pem)
}

async fn company(callback: &Callback, environment: Vec<(String, String)>) -> Company {
    let url = format!(
        "https://localhost:{}/internal/users",
        callback.address().port()
    );
    Company::open_with(Changes {
        callback_url: Some(url),
        environment,
        ..Changes::default()
    })
    .await
}

#[tokio::test]
async fn a_certificate_of_an_unknown_authority_is_not_trusted() {
    let (callback, _) = callback_with_own_authority().await;
    let company = company(&callback, Vec::new()).await;
    let (_, end) = company.signed_in("alice", "/").await;
    assert!(
        is_page(&end.answer, 503, "could not be set up yet"),
        "{} {}",
        end.answer.status,
        end.answer.text()
    );
    assert_eq!(callback.created_in_all(), 0);
}

#[tokio::test]
async fn an_authority_in_ssl_cert_file_is_trusted() {
    let (callback, pem) = callback_with_own_authority().await;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("authority.pem");
    std::fs::write(&file, pem).unwrap();
    let environment = vec![(
        "SSL_CERT_FILE".to_owned(),
        file.to_str().unwrap().to_owned(),
    )];
    let company = company(&callback, environment).await;
    let (_, end) = company.signed_in("alice", "/").await;
    assert_eq!(end.answer.status, 200, "{}", end.answer.text());
    assert_eq!(callback.created_in_all(), 1);
}
