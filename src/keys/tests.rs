#![allow(clippy::unwrap_used)]
use super::*;
use crate::config::StoreConfig;
use crate::secret::Secret;

const DAY: i64 = 24 * 3600;
const START: i64 = 1_800_000_000;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn kids(keys: &SigningKeys) -> Vec<String> {
    let listed = keys.jwks["keys"].as_array().unwrap();
    listed
        .iter()
        .map(|key| key["kid"].as_str().unwrap().to_owned())
        .collect()
}

async fn memory() -> (Store, SealRing) {
    let store = Store::open(&StoreConfig::Memory).await.unwrap();
    let ring = seal_ring(&store, &[]).await.unwrap();
    (store, ring)
}

#[tokio::test]
async fn the_seal_key_made_at_first_start_is_kept() {
    let (store, ring) = memory().await;
    let sealed = ring.seal("x", b"hello").unwrap();
    let again = seal_ring(&store, &[]).await.unwrap();
    assert_eq!(again.open("x", &sealed).unwrap(), b"hello");
    let configured = seal_ring(&store, &[Secret::new("k".repeat(32))])
        .await
        .unwrap();
    assert!(configured.open("x", &sealed).is_err());
    assert!(seal_ring(&store, &[Secret::new("short")]).await.is_err());
}

#[tokio::test]
async fn processes_that_start_at_once_end_with_the_same_keys() {
    let folder = tempfile::tempdir().unwrap();
    let config = StoreConfig::Sqlite(folder.path().join("usher.db"));
    let start = async || {
        let store = Store::open(&config).await.unwrap();
        let ring = seal_ring(&store, &[]).await.unwrap();
        signing_keys(&store, &ring, at(START)).await.unwrap()
    };
    let all = futures_util::future::join_all((0..6).map(|_| start())).await;
    for keys in &all {
        assert_eq!(keys.current.kid, all[0].current.kid);
        assert_eq!(kids(keys), kids(&all[0]));
        assert_eq!(kids(keys).len(), 2);
    }
}

#[tokio::test]
async fn the_next_key_is_published_long_before_it_signs_and_the_old_one_a_day_after() {
    let (store, ring) = memory().await;
    let first = signing_keys(&store, &ring, at(START)).await.unwrap();
    assert_eq!(first.renew_at, at(START + 30 * DAY));
    let next = kids(&first)[1].clone();

    let second = signing_keys(&store, &ring, first.renew_at).await.unwrap();
    assert_eq!(second.current.kid, next);
    assert_eq!(kids(&second).len(), 3);
    assert!(kids(&second).contains(&first.current.kid));
    assert_eq!(second.renew_at, at(START + 31 * DAY + 300));

    let third = signing_keys(&store, &ring, second.renew_at).await.unwrap();
    assert_eq!(third.current.kid, next);
    assert!(!kids(&third).contains(&first.current.kid));
}

#[tokio::test]
async fn after_a_long_pause_a_new_key_is_still_published_a_day_before_it_signs() {
    let (store, ring) = memory().await;
    signing_keys(&store, &ring, at(START)).await.unwrap();
    let late = signing_keys(&store, &ring, at(START + 200 * DAY))
        .await
        .unwrap();
    assert_eq!(late.renew_at, at(START + 201 * DAY));
}

#[tokio::test]
async fn a_key_that_the_ring_no_longer_opens_verifies_but_does_not_sign() {
    let (store, ring) = memory().await;
    let first = signing_keys(&store, &ring, at(START)).await.unwrap();
    let other = SealRing::new(&[[9u8; 32]]).unwrap();
    let second = signing_keys(&store, &other, at(START + DAY)).await.unwrap();
    assert_ne!(second.current.kid, first.current.kid);
    assert!(kids(&second).contains(&first.current.kid));
}

#[tokio::test]
async fn private_keys_are_sealed_at_rest() {
    let (store, ring) = memory().await;
    signing_keys(&store, &ring, at(START)).await.unwrap();
    let sealed: Vec<String> = sqlx::query_scalar("SELECT sealed FROM signing_keys")
        .fetch_all(&store.pool)
        .await
        .unwrap();
    for one in sealed {
        assert!(
            SealRing::new(&[[9u8; 32]])
                .unwrap()
                .open(PURPOSE, &one)
                .is_err()
        );
        assert!(ring.open(PURPOSE, &one).is_ok());
    }
}

#[tokio::test]
async fn what_the_current_key_signs_verifies_by_the_jwks() {
    let (store, ring) = memory().await;
    let keys = signing_keys(&store, &ring, at(START)).await.unwrap();
    let mut header = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::ES256);
    header.kid = Some(keys.current.kid.clone());
    let claims = json!({ "sub": "usr_1", "exp": 4_000_000_000_i64 });
    let token = jsonwebtoken::encode(&header, &claims, &keys.current.encoding).unwrap();
    let set: jsonwebtoken::jwk::JwkSet = serde_json::from_value(keys.jwks.clone()).unwrap();
    let key = jsonwebtoken::DecodingKey::from_jwk(set.find(&keys.current.kid).unwrap()).unwrap();
    let mut rules = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::ES256);
    rules.validate_aud = false;
    jsonwebtoken::decode::<serde_json::Value>(&token, &key, &rules).unwrap();
}
