#![allow(clippy::unwrap_used)]
use super::*;
use crate::config::SamlKeyPair;
use crate::demo::saml::TestKey;
use crate::secret::Secret;

const YAML: &str = "listen: 127.0.0.1:0\n\
    public_url: http://localhost:4180\n\
    store: memory\n\
    identity_providers:\n\
    - id: acme\n\
    \x20 oidc: { issuer: 'https://login.acme.example', client_id: usher, client_auth: none }\n\
    apps:\n\
    - { id: wiki, upstream: 'http://127.0.0.1:1' }\n";

fn config(store: StoreConfig) -> Config {
    let mut config = config::parse("usher.yaml", YAML, &|_| None).unwrap();
    config.store = store;
    config
}

fn now() -> Timestamp {
    "2026-11-22T10:00:00Z".parse().unwrap()
}

async fn run(config: &Config, action: Action) -> Result<String, String> {
    act(config, &action, now()).await
}

fn drop(fingerprint: &str) -> Action {
    let fingerprint = fingerprint.to_owned();
    Action::Drop { fingerprint }
}

#[tokio::test]
async fn a_key_is_made_listed_used_and_the_old_one_removed() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(StoreConfig::Sqlite(folder.path().join("usher.db")));
    let list = || run(&config, Action::List { pem: false });
    assert!(list().await.unwrap().contains("none yet"));
    let first = run(&config, Action::New).await.unwrap();
    let second = run(&config, Action::New).await.unwrap();
    let fingerprint = |made: &str| made.split_whitespace().nth(1).unwrap().to_owned();
    let [first, second] = [fingerprint(&first), fingerprint(&second)];
    let listed = list().await.unwrap();
    let lines: Vec<_> = listed.lines().collect();
    assert!(
        lines[0].starts_with(&first) && lines[0].contains("signs"),
        "{listed}"
    );
    assert!(
        lines[1].starts_with(&second) && !lines[1].contains("signs"),
        "{listed}"
    );
    assert!(
        run(&config, drop(&first))
            .await
            .unwrap_err()
            .contains("signs now")
    );
    let promoted = Action::Use {
        fingerprint: second.clone(),
    };
    run(&config, promoted).await.unwrap();
    run(&config, drop(&first)).await.unwrap();
    let listed = run(&config, Action::List { pem: true }).await.unwrap();
    assert!(
        listed.starts_with(&second) && !listed.contains(&first),
        "{listed}"
    );
    let shown = Certificate::from_text(&listed).unwrap();
    assert_eq!(shown.fingerprint(), second);
}

#[tokio::test]
async fn keys_of_the_config_are_shown_and_changed_nowhere_else() {
    let mut config = config(StoreConfig::Memory);
    let certificate = Certificate::from_text(TestKey::SP.certificate_pem()).unwrap();
    let key = Secret::new(TestKey::SP.key_pem());
    let fingerprint = certificate.fingerprint();
    config.saml_keys = vec![SamlKeyPair { certificate, key }];
    let listed = run(&config, Action::List { pem: false }).await.unwrap();
    assert!(listed.starts_with(&fingerprint) && listed.contains("signs"));
    for action in [
        Action::New,
        drop(&fingerprint),
        Action::Use {
            fingerprint: fingerprint.clone(),
        },
    ] {
        let why = run(&config, action).await.unwrap_err();
        assert!(why.contains("keys.saml"), "{why}");
    }
}

#[tokio::test]
async fn a_store_in_memory_has_no_keys_to_look_at() {
    let why = run(&config(StoreConfig::Memory), Action::New).await;
    assert!(why.unwrap_err().contains("memory"));
}
