//! The IdP's public keys (RFC 7517): cached, fetched again for an unknown `kid`, but not more than once in ten seconds.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::DecodingKey;
use serde::Deserialize;
use serde_json::Value;

use super::algorithm::{KeyKind, SignatureAlgorithm};
use super::metadata::{Metadata, fresh_for};
use super::{OidcError, OidcIdp, printable};
use crate::idp::cached::{Cached, Entry, FetchError};
use crate::metrics::Metrics;

/// Bytes of a key set.
const LIMIT: usize = 512 * 1024;
/// Keys of a set; more are not looked at.
const KEYS: usize = 100;
/// Between two fetches for unknown `kid`s.
const COOLDOWN: Duration = Duration::from_secs(10);

/// The key set of an IdP and the last time that an unknown `kid` led to a fetch.
#[derive(Debug, Default)]
pub(super) struct Jwks {
    cached: Cached<KeySet>,
    asked_for_unknown: Mutex<Option<Instant>>,
}

/// The usable keys of a set.
#[derive(Debug)]
pub(super) struct KeySet(Vec<Key>);

/// One key that may sign ID tokens.
pub(super) struct Key {
    kid: Option<String>,
    alg: Option<String>,
    kind: KeyKind,
    /// For jsonwebtoken.
    pub(super) decoding: DecodingKey,
}

impl std::fmt::Debug for Key {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{:?} {:?}", self.kind, self.kid)
    }
}

impl KeySet {
    /// The keys that a token with this header may be signed by. Without a `kid` there must be no choice.
    pub(super) fn candidates(&self, kid: Option<&str>, algorithm: SignatureAlgorithm) -> Vec<&Key> {
        let fitting = self.0.iter().filter(|key| {
            let named = key.alg.as_deref().is_none_or(|alg| alg == algorithm.name());
            named && key.kind == algorithm.key_kind()
        });
        match kid {
            Some(kid) => fitting
                .filter(|key| key.kid.as_deref() == Some(kid))
                .collect(),
            None => {
                let fitting: Vec<_> = fitting.collect();
                if fitting.len() == 1 {
                    fitting
                } else {
                    Vec::new()
                }
            }
        }
    }

    /// Keys that cannot be used, of another use, symmetric or too weak are left out.
    fn parse(body: &[u8]) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Document {
            keys: Vec<Value>,
        }
        let document: Document = serde_json::from_slice(body).map_err(|error| {
            format!(
                "the key set cannot be read: {}",
                printable(&error.to_string())
            )
        })?;
        let keys: Vec<_> = document
            .keys
            .into_iter()
            .take(KEYS)
            .filter_map(Key::read)
            .collect();
        if keys.is_empty() {
            return Err("the key set has no usable key".to_owned());
        }
        Ok(Self(keys))
    }
}

/// A JWK as published.
#[derive(Deserialize)]
struct RawKey {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    #[serde(rename = "use")]
    usage: Option<String>,
    key_ops: Option<Vec<String>>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

impl Key {
    fn read(value: Value) -> Option<Self> {
        let raw: RawKey = serde_json::from_value(value).ok()?;
        if raw.usage.as_deref().is_some_and(|usage| usage != "sig") {
            return None;
        }
        if raw
            .key_ops
            .as_ref()
            .is_some_and(|ops| !ops.iter().any(|op| op == "verify"))
        {
            return None;
        }
        let (kind, decoding) = match (raw.kty.as_str(), raw.crv.as_deref()) {
            ("RSA", _) => (KeyKind::Rsa, rsa(raw.n.as_deref()?, raw.e.as_deref()?)?),
            ("EC", Some("P-256")) => (KeyKind::P256, ec(&raw, 32)?),
            ("EC", Some("P-384")) => (KeyKind::P384, ec(&raw, 48)?),
            ("OKP", Some("Ed25519")) => {
                let x = raw.x.as_deref()?;
                (KeyKind::Ed25519, DecodingKey::from_ed_components(x).ok()?)
            }
            _ => return None,
        };
        Some(Self {
            kid: raw.kid,
            alg: raw.alg,
            kind,
            decoding,
        })
    }
}

/// 2048 to 8192 bits (RFC 7518 section 3.3).
fn rsa(n: &str, e: &str) -> Option<DecodingKey> {
    let modulus = URL_SAFE_NO_PAD.decode(n).ok()?;
    let first = modulus.iter().position(|byte| *byte != 0)?;
    let bits = (modulus.len() - first) * 8 - modulus.get(first)?.leading_zeros() as usize;
    if !(2048..=8192).contains(&bits) {
        return None;
    }
    DecodingKey::from_rsa_components(n, e).ok()
}

fn ec(raw: &RawKey, coordinate: usize) -> Option<DecodingKey> {
    let (x, y) = (raw.x.as_deref()?, raw.y.as_deref()?);
    let has_length = |text: &str| {
        URL_SAFE_NO_PAD
            .decode(text)
            .is_ok_and(|bytes| bytes.len() == coordinate)
    };
    if !has_length(x) || !has_length(y) {
        return None;
    }
    DecodingKey::from_ec_components(x, y).ok()
}

impl OidcIdp {
    /// Key sets to try in turn for a token with this header: the one at hand, and a newer one where that has no such key.
    pub(super) async fn keys_for(
        &self,
        metadata: &Metadata,
        kid: Option<&str>,
        algorithm: SignatureAlgorithm,
    ) -> Result<Arc<Entry<KeySet>>, OidcError> {
        let cached = &self.jwks.cached;
        let keys = match cached.get(Entry::is_fresh, self.fetch_keys(metadata)).await {
            Ok(keys) => keys,
            Err(error) => {
                let last_good = cached.last_good().ok_or_else(|| unavailable(&error))?;
                tracing::warn!(idp = %self.config.id, %error, "the last good keys are used");
                last_good
            }
        };
        if !keys.value.candidates(kid, algorithm).is_empty() {
            return Ok(keys);
        }
        self.newer_keys(metadata, keys).await
    }

    /// A set fetched after `known`; `known` itself while the last such fetch is too recent.
    async fn newer_keys(
        &self,
        metadata: &Metadata,
        known: Arc<Entry<KeySet>>,
    ) -> Result<Arc<Entry<KeySet>>, OidcError> {
        let fetch = async {
            if !self.jwks.may_ask_for_unknown() {
                return Err(FetchError::NotNow);
            }
            self.fetch_keys(metadata).await
        };
        match self
            .jwks
            .cached
            .get(|entry| entry.is_newer_than(&known), fetch)
            .await
        {
            Ok(keys) => Ok(keys),
            Err(FetchError::NotNow) => Ok(known),
            Err(error @ (FetchError::NoContact(_) | FetchError::Useless(_))) => {
                Err(unavailable(&error))
            }
        }
    }

    async fn fetch_keys(&self, metadata: &Metadata) -> Result<(KeySet, Duration), FetchError> {
        let result = self
            .fetch_document("key set", &metadata.jwks_uri, LIMIT)
            .await
            .and_then(|answer| {
                let keys = KeySet::parse(&answer.body).map_err(FetchError::Useless)?;
                Ok((keys, fresh_for(&answer.headers)))
            });
        let outcome = match &result {
            Ok(_) => "ok",
            Err(FetchError::NoContact(_)) => "no_contact",
            Err(FetchError::Useless(_) | FetchError::NotNow) => "useless",
        };
        Metrics::count(&self.metrics.jwks_fetches, self.config.id.as_str(), outcome);
        result
    }
}

impl Jwks {
    /// True at most once within the cool-down.
    fn may_ask_for_unknown(&self) -> bool {
        let mut last = self
            .asked_for_unknown
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if last.is_some_and(|at| at.elapsed() < COOLDOWN) {
            return false;
        }
        *last = Some(Instant::now());
        true
    }
}

fn unavailable(error: &FetchError) -> OidcError {
    OidcError::Unavailable(error.to_string())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::json;

    use super::*;

    /// How many keys of such a set may be used.
    fn usable(keys: &Value) -> usize {
        let body = json!({ "keys": keys }).to_string();
        KeySet::parse(body.as_bytes()).map_or(0, |keys| keys.0.len())
    }

    fn rsa_of(bytes: usize, first: u8) -> Value {
        let mut modulus = vec![0xff; bytes];
        modulus[0] = first;
        json!({"kty": "RSA", "n": URL_SAFE_NO_PAD.encode(modulus), "e": "AQAB"})
    }

    #[test]
    fn an_rsa_key_has_2048_bits_at_least_and_leading_zeros_do_not_count() {
        assert_eq!(usable(&json!([rsa_of(256, 0x80)])), 1);
        assert_eq!(usable(&json!([rsa_of(256, 0x7f)])), 0);
        assert_eq!(usable(&json!([rsa_of(257, 0)])), 1);
        assert_eq!(usable(&json!([rsa_of(256, 0)])), 0);
        assert_eq!(usable(&json!([rsa_of(128, 0xff)])), 0);
        assert_eq!(usable(&json!([rsa_of(1025, 0xff)])), 0);
    }

    #[test]
    fn symmetric_keys_and_unknown_curves_are_left_out() {
        let x = URL_SAFE_NO_PAD.encode([1; 32]);
        assert_eq!(usable(&json!([{"kty": "oct", "k": "c2VjcmV0"}])), 0);
        assert_eq!(
            usable(&json!([{"kty": "EC", "crv": "secp256k1", "x": x, "y": x}])),
            0
        );
        assert_eq!(
            usable(&json!([{"kty": "EC", "crv": "P-384", "x": x, "y": x}])),
            0
        );
        assert_eq!(usable(&json!([{"kty": "OKP", "crv": "X25519", "x": x}])), 0);
        assert_eq!(usable(&json!(["no key", 7, rsa_of(256, 0xff)])), 1);
    }

    #[test]
    fn only_the_first_hundred_keys_are_looked_at() {
        assert_eq!(usable(&json!(vec![rsa_of(256, 0xff); 150])), KEYS);
    }
}
