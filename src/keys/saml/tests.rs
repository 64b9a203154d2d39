#![allow(clippy::unwrap_used)]
use aws_lc_rs::rsa::{
    OAEP_SHA1_MGF1SHA1, OAEP_SHA256_MGF1SHA256, OaepAlgorithm, OaepPublicEncryptingKey,
    PublicEncryptingKey,
};
use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use x509_parser::prelude::FromDer;

use super::*;
use crate::certificate::PublicKey;
use crate::config::StoreConfig;
use crate::demo::saml::TestKey;
use crate::keys::seal_ring;
use crate::secret::Secret;

const START: i64 = 1_800_000_000;

fn now() -> Timestamp {
    Timestamp::from_second(START).unwrap()
}

fn given() -> SamlKeyPair {
    SamlKeyPair {
        certificate: Certificate::from_text(TestKey::SP.certificate_pem()).unwrap(),
        key: Secret::new(TestKey::SP.key_pem()),
    }
}

async fn memory() -> (Store, SealRing) {
    let store = Store::open(&StoreConfig::Memory).await.unwrap();
    let ring = seal_ring(&store, &[]).await.unwrap();
    (store, ring)
}

fn fingerprints(keys: &SpKeys) -> Vec<String> {
    keys.all()
        .map(|key| key.certificate().fingerprint())
        .collect()
}

async fn load(store: &Store, ring: &SealRing) -> Result<SpKeys, StoreError> {
    SpKeys::load(store, ring, &[], "wiki.example", now()).await
}

fn wrap(certificate: &Certificate, by: &'static OaepAlgorithm, content: &[u8]) -> Vec<u8> {
    let (_, parsed) =
        x509_parser::certificate::X509Certificate::from_der(certificate.der()).unwrap();
    let key = PublicEncryptingKey::from_der(parsed.public_key().raw).unwrap();
    let key = OaepPublicEncryptingKey::new(key).unwrap();
    let mut room = vec![0; key.ciphertext_size()];
    key.encrypt(by, content, &mut room, None).unwrap().to_vec()
}

#[tokio::test]
async fn the_key_made_at_first_start_is_kept_and_sealed() {
    let (store, ring) = memory().await;
    let first = load(&store, &ring).await.unwrap();
    let certificate = first.signer().certificate();
    assert!(certificate.not_before() < now());
    let ten_years = jiff::SignedDuration::from_hours(24 * 3652);
    assert!(certificate.not_after() > now() + ten_years - jiff::SignedDuration::from_hours(48));
    let (_, parsed) =
        x509_parser::certificate::X509Certificate::from_der(certificate.der()).unwrap();
    assert_eq!(parsed.subject().to_string(), "CN=wiki.example");
    assert_eq!(first.signer().signing.public_modulus_len() * 8, 3072);

    let again = load(&store, &ring).await.unwrap();
    assert_eq!(fingerprints(&again), fingerprints(&first));
    let sealed: String = sqlx::query_scalar("SELECT sealed FROM saml_keys")
        .fetch_one(&store.pool)
        .await
        .unwrap();
    assert!(ring.open("SAML key", &sealed).is_ok());
    assert!(ring.open("signing key", &sealed).is_err());
}

#[tokio::test]
async fn processes_that_start_at_once_end_with_the_same_key() {
    let folder = tempfile::tempdir().unwrap();
    let config = StoreConfig::Sqlite(folder.path().join("usher.db"));
    let start = async || {
        let store = Store::open(&config).await.unwrap();
        let ring = seal_ring(&store, &[]).await.unwrap();
        load(&store, &ring).await.unwrap()
    };
    let all = futures_util::future::join_all((0..3).map(|_| start())).await;
    for keys in &all {
        assert_eq!(fingerprints(keys), fingerprints(&all[0]));
        assert_eq!(fingerprints(keys).len(), 1);
    }
}

#[tokio::test]
async fn a_new_key_is_published_then_signs_then_the_old_one_goes() {
    let (store, ring) = memory().await;
    let old = fingerprints(&load(&store, &ring).await.unwrap())[0].clone();
    let new = make(&store, &ring, "wiki.example", now()).await.unwrap();
    let new = new.fingerprint();
    let keys = load(&store, &ring).await.unwrap();
    assert_eq!(fingerprints(&keys), [old.clone(), new.clone()]);
    assert!(matches!(
        remove(&store, &old).await,
        Err(RotationError::Signs(_))
    ));

    let typed = new.replace(':', "").to_lowercase();
    sign_with(&store, &typed).await.unwrap();
    let keys = load(&store, &ring).await.unwrap();
    assert_eq!(fingerprints(&keys), [new.clone(), old.clone()]);
    let listed = list(&store).await.unwrap();
    assert_eq!(listed.iter().filter(|key| key.signs).count(), 1);

    remove(&store, &old).await.unwrap();
    assert_eq!(fingerprints(&load(&store, &ring).await.unwrap()), [new]);
    for done in [sign_with(&store, &old).await, remove(&store, &old).await] {
        assert!(matches!(done, Err(RotationError::Unknown(_))));
    }
}

#[tokio::test]
async fn a_key_that_no_longer_opens_is_an_error_that_says_what_to_do() {
    let (store, ring) = memory().await;
    let fingerprint = fingerprints(&load(&store, &ring).await.unwrap())[0].clone();
    let other = SealRing::new(&[[9u8; 32]]).unwrap();
    let why = load(&store, &other).await.unwrap_err().to_string();
    assert!(why.contains(&fingerprint), "{why}");
    assert!(why.contains("usher saml keys new"), "{why}");

    let new = make(&store, &other, "wiki.example", now()).await.unwrap();
    sign_with(&store, &new.fingerprint()).await.unwrap();
    let why = load(&store, &other).await.unwrap_err().to_string();
    assert!(why.contains("usher saml keys drop"), "{why}");
    remove(&store, &fingerprint).await.unwrap();
    load(&store, &other).await.unwrap();
}

#[tokio::test]
async fn a_key_is_sealed_anew_so_that_an_old_seal_key_can_go() {
    let store = Store::open(&StoreConfig::Memory).await.unwrap();
    let old = SealRing::new(&[[1u8; 32]]).unwrap();
    let both = SealRing::new(&[[2u8; 32], [1u8; 32]]).unwrap();
    let new = SealRing::new(&[[2u8; 32]]).unwrap();
    let first = load(&store, &old).await.unwrap();
    load(&store, &both).await.unwrap();
    let last = load(&store, &new).await.unwrap();
    assert_eq!(fingerprints(&first), fingerprints(&last));
}

#[tokio::test]
async fn configured_keys_count_alone_and_the_store_keeps_none() {
    let (store, ring) = memory().await;
    let keys = SpKeys::load(&store, &ring, &[given()], "wiki.example", now()).await;
    let keys = keys.unwrap();
    assert_eq!(keys.signer().certificate(), &given().certificate);
    assert!(list(&store).await.unwrap().is_empty());
    let mut wrong = given();
    wrong.key = Secret::new(TestKey::IDP.key_pem());
    let refused = SpKeys::load(&store, &ring, &[wrong], "wiki.example", now()).await;
    let why = refused.unwrap_err().to_string();
    assert!(why.contains("not that of the certificate"), "{why}");
}

#[test]
fn what_it_signs_verifies_with_its_certificate() {
    let key = configured_key(&given()).unwrap();
    let signature = key.sign(b"hello").unwrap();
    let PublicKey::Rsa(public) = key.certificate().key() else {
        unreachable!("the fixture is RSA")
    };
    let public = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, public);
    assert!(public.verify(b"hello", &signature).is_ok());
    assert!(public.verify(b"hallo", &signature).is_err());
}

#[test]
fn it_unwraps_what_was_wrapped_for_it_in_the_same_way() {
    let key = configured_key(&given()).unwrap();
    let sha1 = wrap(key.certificate(), &OAEP_SHA1_MGF1SHA1, &[7; 32]);
    let sha256 = wrap(key.certificate(), &OAEP_SHA256_MGF1SHA256, &[8; 16]);
    assert_eq!(key.unwrap_key(Oaep::Sha1, &sha1), Ok(vec![7; 32]));
    assert_eq!(key.unwrap_key(Oaep::Sha256, &sha256), Ok(vec![8; 16]));
    let mut changed = sha1.clone();
    changed[9] ^= 1;
    let mut longer = sha1.clone();
    longer.push(0);
    for (by, wrapped) in [
        (Oaep::Sha256, &sha1[..]),
        (Oaep::Sha1, &sha256),
        (Oaep::Sha1, &changed),
        (Oaep::Sha1, &longer),
        (Oaep::Sha1, &sha1[..255]),
        (Oaep::Sha1, b""),
    ] {
        assert_eq!(key.unwrap_key(by, wrapped), Err(KeyError));
    }
}

#[test]
fn nothing_of_a_key_is_shown() {
    let key = configured_key(&given()).unwrap();
    let shown = format!("{key:?}");
    assert_eq!(shown, format!("SpKey({})", key.certificate().fingerprint()));
}
