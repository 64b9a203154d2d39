//! Key pairs that usher made itself and keeps in the store, their private parts sealed; and their rotation, in three steps:
//! a new one is published, then it signs, then the old one goes.

use aws_lc_rs::rsa::KeyPair;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};
use rcgen::{
    CertificateParams, DistinguishedName, DnType, KeyUsagePurpose, PKCS_RSA_SHA256, RsaKeySize,
};
use sqlx::Connection;

use super::SpKey;
use crate::certificate::Certificate;
use crate::keys::cannot_seal;
use crate::seal::SealRing;
use crate::store::{Store, StoreError};

/// What private keys are sealed for.
const PURPOSE: &str = "SAML key";
/// Years that a certificate is valid for: IdPs keep it by hand, and some refuse one that has expired.
const YEARS: i32 = 10;
/// Letters of a common name, at most (`ub-common-name`, RFC 5280 A.1).
const NAME: usize = 64;

/// A kept key pair, without its private part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Its certificate.
    pub certificate: Certificate,
    /// Whether it signs; exactly one does.
    pub signs: bool,
}

/// Why kept keys were not changed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum RotationError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No kept key has that fingerprint.
    #[error("no kept key has the fingerprint {0}")]
    Unknown(String),
    /// The key that signs cannot be removed.
    #[error("{0} signs now: let another one sign first (`use`)")]
    Signs(String),
}

struct Row {
    number: i64,
    kept: Kept,
    sealed: String,
}

/// A pair that was just made.
struct Made {
    certificate: Vec<u8>,
    pkcs8: Vec<u8>,
}

/// Under which condition a new pair is kept.
#[derive(Clone, Copy, PartialEq, Eq)]
enum When {
    /// In any case.
    Always,
    /// Only if there is none: several processes may start at once.
    First,
}

/// All kept pairs: the one that signs, then the newest first.
///
/// # Errors
/// If the store fails.
pub async fn list(store: &Store) -> Result<Vec<Kept>, StoreError> {
    let rows = rows(store).await?;
    Ok(rows.into_iter().map(|row| row.kept).collect())
}

/// Makes a pair and keeps it: it is published and decrypts, and it signs only if it is the first.
///
/// # Errors
/// [`RotationError::Store`].
pub async fn make(
    store: &Store,
    ring: &SealRing,
    name: &str,
    now: Timestamp,
) -> Result<Certificate, RotationError> {
    Ok(add(store, ring, name, now, When::Always).await?)
}

/// Lets the pair with that fingerprint sign from now on.
///
/// # Errors
/// [`RotationError::Unknown`], [`RotationError::Store`].
pub async fn sign_with(store: &Store, fingerprint: &str) -> Result<(), RotationError> {
    let row = find(store, fingerprint).await?;
    let signs = store.within(swap(store, row.number)).await?;
    if signs {
        return Ok(());
    }
    Err(RotationError::Unknown(fingerprint.to_owned()))
}

/// Whether `number` is still there, and signs now.
async fn swap(store: &Store, number: i64) -> Result<bool, StoreError> {
    let mut connection = store.durable().await?;
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    sqlx::query("UPDATE saml_keys SET signs = 0 WHERE signs = 1")
        .execute(&mut *transaction)
        .await?;
    let done = sqlx::query("UPDATE saml_keys SET signs = 1 WHERE number = $1")
        .bind(number)
        .execute(&mut *transaction)
        .await?;
    if done.rows_affected() == 0 {
        return Ok(false);
    }
    transaction.commit().await?;
    Ok(true)
}

/// Removes the pair with that fingerprint: what is encrypted to it cannot be read any more.
///
/// # Errors
/// [`RotationError`]: the one that signs stays.
pub async fn remove(store: &Store, fingerprint: &str) -> Result<(), RotationError> {
    let row = find(store, fingerprint).await?;
    let removed = store
        .within(async {
            let done = sqlx::query("DELETE FROM saml_keys WHERE number = $1 AND signs = 0")
                .bind(row.number)
                .execute(store.writer())
                .await?;
            Ok::<_, StoreError>(done.rows_affected())
        })
        .await?;
    if removed == 0 {
        return Err(RotationError::Signs(row.kept.certificate.fingerprint()));
    }
    Ok(())
}

/// The kept pairs, opened, the one that signs first; one is made where there is none.
pub(super) async fn load(
    store: &Store,
    ring: &SealRing,
    name: &str,
    now: Timestamp,
) -> Result<Vec<SpKey>, StoreError> {
    let mut kept = rows(store).await?;
    if kept.is_empty() {
        add(store, ring, name, now, When::First).await?;
        kept = rows(store).await?;
    }
    let mut keys = Vec::new();
    for row in kept {
        let pkcs8 = ring.open(PURPOSE, &row.sealed);
        let pkcs8 = pkcs8.map_err(|_| does_not_open(&row.kept))?;
        if !ring.is_newest(&row.sealed) {
            seal_anew(store, ring, &row, &pkcs8).await?;
        }
        let key = KeyPair::from_pkcs8(&pkcs8).map_err(|_| cannot_be_read())?;
        keys.push(SpKey::new(row.kept.certificate, key).map_err(|_| cannot_be_read())?);
    }
    Ok(keys)
}

fn does_not_open(kept: &Kept) -> StoreError {
    let fingerprint = kept.certificate.fingerprint();
    let instead = if kept.signs {
        "replace it (`usher saml keys new`, `use`, `drop`) and give the identity providers the new metadata"
    } else {
        "remove it (`usher saml keys drop`)"
    };
    StoreError(format!(
        "the SAML key {fingerprint} was sealed by a key that is not in `keys.seal`: put that one back, last in the list, or {instead}"
    ))
}

fn cannot_be_read() -> StoreError {
    StoreError("a kept SAML key cannot be read".to_owned())
}

/// A seal key may leave the ring once nothing is sealed by it, so what an older one sealed does not stay so.
async fn seal_anew(
    store: &Store,
    ring: &SealRing,
    row: &Row,
    pkcs8: &[u8],
) -> Result<(), StoreError> {
    let sealed = ring.seal(PURPOSE, pkcs8).map_err(cannot_seal)?;
    store
        .within(async {
            sqlx::query("UPDATE saml_keys SET sealed = $1 WHERE number = $2 AND sealed = $3")
                .bind(sealed)
                .bind(row.number)
                .bind(&row.sealed)
                .execute(store.writer())
                .await?;
            Ok(())
        })
        .await
}

async fn rows(store: &Store) -> Result<Vec<Row>, StoreError> {
    let rows: Vec<(i64, String, String, i64)> = store
        .within(async {
            let found = sqlx::query_as(
                "SELECT number, certificate, sealed, signs FROM saml_keys \
                 ORDER BY signs DESC, number DESC",
            )
            .fetch_all(store.writer())
            .await?;
            Ok::<_, StoreError>(found)
        })
        .await?;
    rows.into_iter()
        .map(|(number, certificate, sealed, signs)| {
            let certificate = Certificate::from_text(&certificate).map_err(|_| cannot_be_read())?;
            let signs = signs == 1;
            Ok(Row {
                number,
                kept: Kept { certificate, signs },
                sealed,
            })
        })
        .collect()
}

/// A fingerprint counts in any case, with colons or without.
async fn find(store: &Store, fingerprint: &str) -> Result<Row, RotationError> {
    let compact = |text: &str| text.replace(':', "").to_ascii_uppercase();
    let wanted = compact(fingerprint);
    rows(store)
        .await?
        .into_iter()
        .find(|row| compact(&row.kept.certificate.fingerprint()) == wanted)
        .ok_or_else(|| RotationError::Unknown(fingerprint.to_owned()))
}

async fn add(
    store: &Store,
    ring: &SealRing,
    name: &str,
    now: Timestamp,
    when: When,
) -> Result<Certificate, StoreError> {
    let name = name.to_owned();
    // An RSA key takes up to seconds: too long for a thread that serves, and for the store's deadline.
    let made = tokio::task::spawn_blocking(move || Made::generate(&name, now))
        .await
        .map_err(|_| cannot_be_made())??;
    let certificate = Certificate::from_der(&made.certificate).map_err(|_| cannot_be_made())?;
    let sealed = ring.seal(PURPOSE, &made.pkcs8).map_err(cannot_seal)?;
    store
        .within(keep(store, &certificate, sealed, when))
        .await?;
    Ok(certificate)
}

/// On the disk before it is shown to anybody: people give the certificate to their IdP.
async fn keep(
    store: &Store,
    certificate: &Certificate,
    sealed: String,
    when: When,
) -> Result<(), StoreError> {
    let mut connection = store.durable().await?;
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    let last: Option<i64> = sqlx::query_scalar("SELECT MAX(number) FROM saml_keys")
        .fetch_one(&mut *transaction)
        .await?;
    if last.is_some() && when == When::First {
        return Ok(());
    }
    sqlx::query(
        "INSERT INTO saml_keys (number, certificate, sealed, signs) VALUES ($1, $2, $3, $4)",
    )
    .bind(last.unwrap_or(0) + 1)
    .bind(certificate.pem())
    .bind(sealed)
    .bind(i64::from(last.is_none()))
    .execute(&mut *transaction)
    .await?;
    Ok(transaction.commit().await?)
}

fn cannot_be_made() -> StoreError {
    StoreError("no SAML key could be made".to_owned())
}

impl Made {
    /// RSA-3072 with a self-signed certificate, valid from the day before.
    fn generate(name: &str, now: Timestamp) -> Result<Self, StoreError> {
        let today = now.to_zoned(TimeZone::UTC).date();
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        let name: String = name.chars().take(NAME).collect();
        params.distinguished_name.push(DnType::CommonName, name);
        params.key_usages = vec![
            KeyUsagePurpose::DigitalSignature,
            KeyUsagePurpose::KeyEncipherment,
        ];
        let midnight = |date: Date| {
            let [month, day] = [date.month(), date.day()].map(i8::unsigned_abs);
            rcgen::date_time_ymd(i32::from(date.year()), month, day)
        };
        let from = today.yesterday().map_err(|_| cannot_be_made())?;
        let until = today
            .checked_add(Span::new().years(YEARS))
            .map_err(|_| cannot_be_made())?;
        params.not_before = midnight(from);
        params.not_after = midnight(until);
        let pair = rcgen::KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_3072)
            .map_err(|_| cannot_be_made())?;
        let certificate = params.self_signed(&pair).map_err(|_| cannot_be_made())?;
        Ok(Self {
            certificate: certificate.der().to_vec(),
            pkcs8: pair.serialize_der(),
        })
    }
}
