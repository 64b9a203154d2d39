//! The TLS listener from the outside.

use std::sync::Arc;
use std::time::Duration;

use crate::support::process::Usher;
use crate::support::recorder::Recorder;
use crate::support::wire::{UNTRUSTED, Wire};

async fn two_public_apps(app: &Recorder) -> Usher {
    let directory = Arc::new(tempfile::tempdir().unwrap());
    let names = ["one.test", "two.test"].map(str::to_owned);
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    std::fs::write(directory.path().join("tls.crt"), made.cert.pem()).unwrap();
    std::fs::write(
        directory.path().join("tls.key"),
        made.signing_key.serialize_pem(),
    )
    .unwrap();
    let config = format!(
        "listen: {{ address: \"127.0.0.1:0\", tls: {{ certificate: \"{{dir}}/tls.crt\", key: \"{{dir}}/tls.key\" }} }}
public_url: https://one.test
store: memory
identity_providers:
  - {{ id: acme, oidc: {{ issuer: \"http://127.0.0.1:9\", client_id: usher, client_secret: never-sent }} }}
apps:
  - {{ id: one, upstream: \"http://{app}\", access: [{{ allow: anyone }}] }}
  - {{ id: two, public_url: \"https://two.test\", upstream: \"http://{app}\", access: [{{ allow: anyone }}] }}
",
        app = app.address()
    );
    Usher::start_in(directory, &config, &[]).await.unwrap()
}

async fn status(usher: &Usher, server_name: &str, host: &str) -> u16 {
    let mut wire = Wire::connect_tls(usher.public(), UNTRUSTED, server_name, &["http/1.1"])
        .await
        .unwrap();
    wire.send(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes())
        .await;
    wire.answer(false, Duration::from_secs(5))
        .await
        .unwrap()
        .status
}

#[tokio::test]
async fn a_connection_made_for_one_app_does_not_reach_another() {
    let app = Recorder::start().await;
    let usher = two_public_apps(&app).await;
    assert_eq!(status(&usher, "one.test", "one.test").await, 200);
    assert_eq!(status(&usher, "two.test", "two.test").await, 200);
    let before = app.seen().len();
    assert_eq!(status(&usher, "one.test", "two.test").await, 421);
    assert_eq!(app.seen().len(), before);
    assert_eq!(
        status(&usher, "balancer.test", "two.test").await,
        200,
        "a name that no app has says nothing"
    );
}
