//! usher's own keys: the ES256 keys of the signed header (current, next and retired ones) and the
//! seal key where the config gives none.

mod pair;
pub mod saml;

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use crate::seal::{SealError, SealRing};
use crate::store::{Store, StoreError};
use pair::{Pair, random};

/// How long a key signs before the next (already published) takes over: 30 days.
pub const SIGNS_FOR: Duration = Duration::from_secs(30 * 24 * 3600);
/// How long a retired key stays in the JWKS: the life of a token (5 minutes) and a day for caches and clocks.
const OVERLAP: SignedDuration = SignedDuration::from_secs(5 * 60 + 24 * 3600);
/// How long a new key is published, at least, before it signs: verifiers cache the JWKS.
const AHEAD: SignedDuration = SignedDuration::from_hours(24);
/// What private keys are sealed for.
const PURPOSE: &str = "signing key";

/// The seal ring: of the configured keys, or else of one made at first start and kept in the store.
pub async fn seal_ring(
    store: &Store,
    configured: &[crate::secret::Secret],
) -> Result<SealRing, StoreError> {
    if !configured.is_empty() {
        let keys: Vec<_> = configured.iter().map(|key| key.expose()).collect();
        return SealRing::new(&keys).map_err(cannot_seal);
    }
    let made = URL_SAFE_NO_PAD.encode(random::<32>()?);
    let kept: String = store
        .within(async {
            // Whoever comes first wins; all others use what is there.
            sqlx::query(
                "INSERT INTO own_secrets (name, value) VALUES ('seal', $1) \
                 ON CONFLICT (name) DO NOTHING",
            )
            .bind(made)
            .execute(store.writer())
            .await?;
            let kept = sqlx::query_scalar("SELECT value FROM own_secrets WHERE name = 'seal'")
                .fetch_one(store.writer())
                .await?;
            Ok::<_, StoreError>(kept)
        })
        .await?;
    let key = URL_SAFE_NO_PAD
        .decode(kept)
        .map_err(|_| StoreError("the kept seal key cannot be read".to_owned()))?;
    SealRing::new(&[key]).map_err(cannot_seal)
}

fn cannot_seal(error: SealError) -> StoreError {
    StoreError(error.to_string())
}

/// The key that signs now, with what verifiers must know.
#[derive(Debug)]
pub struct SigningKeys {
    /// Private part for `jsonwebtoken`, of the current key.
    pub current: SigningKey,
    /// The JWKS document: the next, the current and the still valid older keys (RFC 7517).
    pub jwks: serde_json::Value,
    /// When these keys must be loaded or rotated again.
    pub renew_at: Timestamp,
}

/// One ES256 key pair.
pub struct SigningKey {
    /// RFC 7638 thumbprint.
    pub kid: String,
    /// Private part.
    pub encoding: jsonwebtoken::EncodingKey,
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "SigningKey({})", self.kid)
    }
}

/// A key as the store has it.
struct Kept {
    number: i64,
    kid: String,
    x: String,
    y: String,
    signs_from: Timestamp,
    /// The private part; none where the ring no longer opens it: then it only verifies.
    private: Option<Vec<u8>>,
}

/// Loads the keys, makes what is missing, rotates what is due. Which key signs follows from `now` alone, and a new one is
/// kept under a number that only one process can take: several that start at once end with the same keys.
pub async fn signing_keys(
    store: &Store,
    ring: &SealRing,
    now: Timestamp,
) -> Result<Arc<SigningKeys>, StoreError> {
    store
        .within(async {
            // Two new keys at most: the current one and the next. One turn more for each that another process made first.
            for _ in 0..8 {
                let kept = read(store, ring).await?;
                let Some(signs_from) = missing(&kept, now)? else {
                    return assemble(kept, now);
                };
                let number = kept.iter().map(|key| key.number).max().unwrap_or(0) + 1;
                add(store, ring, number, signs_from).await?;
            }
            Err(StoreError("the signing keys do not settle".to_owned()))
        })
        .await
}

/// From when a key that is missing has to sign; none where all are there.
fn missing(kept: &[Kept], now: Timestamp) -> Result<Option<Timestamp>, StoreError> {
    let usable = |key: &&Kept| key.private.is_some();
    let Some(current) = kept
        .iter()
        .filter(usable)
        .rfind(|key| key.signs_from <= now)
    else {
        return Ok(Some(now));
    };
    if kept.iter().filter(usable).any(|key| key.signs_from > now) {
        return Ok(None);
    }
    let due = later(current.signs_from, signs_for())?;
    Ok(Some(due.max(later(now, AHEAD)?)))
}

/// The keys in the order in which they sign.
async fn read(store: &Store, ring: &SealRing) -> Result<Vec<Kept>, StoreError> {
    let rows: Vec<(i64, String, String, String, String, i64)> = sqlx::query_as(
        "SELECT number, kid, x, y, sealed, signs_from FROM signing_keys ORDER BY signs_from, number",
    )
    .fetch_all(store.writer())
    .await?;
    rows.into_iter()
        .map(|(number, kid, x, y, sealed, signs_from)| {
            Ok(Kept {
                number,
                kid,
                x,
                y,
                signs_from: Timestamp::from_second(signs_from).map_err(out_of_range)?,
                private: ring.open(PURPOSE, &sealed).ok(),
            })
        })
        .collect()
}

async fn add(
    store: &Store,
    ring: &SealRing,
    number: i64,
    signs_from: Timestamp,
) -> Result<(), StoreError> {
    let pair = Pair::generate()?;
    sqlx::query(
        "INSERT INTO signing_keys (number, kid, x, y, sealed, signs_from) \
         VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (number) DO NOTHING",
    )
    .bind(number)
    .bind(pair.kid())
    .bind(&pair.x)
    .bind(&pair.y)
    .bind(ring.seal(PURPOSE, &pair.pkcs8).map_err(cannot_seal)?)
    .bind(signs_from.as_second())
    .execute(store.writer())
    .await?;
    Ok(())
}

/// What verifiers must know at `now`, and the key that signs.
fn assemble(kept: Vec<Kept>, now: Timestamp) -> Result<Arc<SigningKeys>, StoreError> {
    let mut published = Vec::new();
    let mut renew_at = later(now, signs_for())?;
    let mut current = None;
    for (at, key) in kept.iter().enumerate() {
        let successor = kept
            .iter()
            .skip(at + 1)
            .find(|other| other.private.is_some());
        let ends = match successor {
            Some(other) => Some(later(other.signs_from, OVERLAP)?),
            None => None,
        };
        if ends.is_some_and(|ends| ends <= now) {
            continue;
        }
        published.push(json!({
            "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256",
            "kid": key.kid, "x": key.x, "y": key.y,
        }));
        if key.signs_from > now {
            renew_at = renew_at.min(key.signs_from);
        }
        if let Some(ends) = ends {
            renew_at = renew_at.min(ends);
        }
        if let (Some(private), true) = (&key.private, key.signs_from <= now) {
            current = Some((key, private));
        }
    }
    let (key, private) = current.ok_or_else(|| StoreError("there is no signing key".to_owned()))?;
    Ok(Arc::new(SigningKeys {
        current: SigningKey {
            kid: key.kid.clone(),
            encoding: jsonwebtoken::EncodingKey::from_ec_der(private),
        },
        jwks: json!({ "keys": published }),
        renew_at,
    }))
}

fn signs_for() -> SignedDuration {
    SignedDuration::try_from(SIGNS_FOR).unwrap_or(SignedDuration::MAX)
}

fn later(from: Timestamp, by: SignedDuration) -> Result<Timestamp, StoreError> {
    from.checked_add(by).map_err(out_of_range)
}

fn out_of_range(_: jiff::Error) -> StoreError {
    StoreError("a stored time is out of range".to_owned())
}

#[cfg(test)]
mod tests;
