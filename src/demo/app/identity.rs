//! What usher says about the person behind a request: its headers, and the signed token that proves them.

use std::sync::{Arc, Mutex, PoisonError};

use axum::http::HeaderMap;
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use percent_encoding::percent_decode_str;
use serde::Deserialize;

/// The identity headers of preset `usher`, as they came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) user: String,
    pub(super) name: String,
    pub(super) email: String,
    pub(super) roles: Vec<String>,
    pub(super) groups: Vec<String>,
    pub(super) account: Option<String>,
}

impl Identity {
    /// `None` for a request of nobody, as on a public route.
    pub(super) fn read(headers: &HeaderMap) -> Option<Self> {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let list = |name: &str| -> Vec<String> {
            let items = text(name).unwrap_or_default().split(',').map(str::trim);
            items.filter(|item| !item.is_empty()).map(decoded).collect()
        };
        Some(Identity {
            user: text("x-forwarded-user")?.to_owned(),
            name: decoded(text("x-forwarded-name").unwrap_or_default()),
            email: text("x-forwarded-email").unwrap_or_default().to_owned(),
            roles: list("x-forwarded-roles"),
            groups: list("x-forwarded-groups"),
            account: text("x-forwarded-account").map(str::to_owned),
        })
    }

    pub(super) fn is(&self, role: &str) -> bool {
        self.roles.iter().any(|known| known == role)
    }
}

/// A separator or a letter beyond ASCII stands percent-encoded in a header.
fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

/// The claims that the app compares with the headers.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Claims {
    pub(super) sub: String,
    #[serde(default)]
    pub(super) roles: Vec<String>,
}

/// Why `X-Usher-Jwt` proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum SignatureError {
    #[error("there is no X-Usher-Jwt")]
    Missing,
    #[error("the token is no ES256 token with a kid")]
    Malformed,
    #[error("usher's keys could not be fetched")]
    NoKeys,
    #[error("the token is signed by no key of usher's")]
    UnknownKey,
    #[error("signature, issuer, audience or time is wrong")]
    Invalid,
    #[error("the headers say something else than the token")]
    Differs,
}

/// Verifies `X-Usher-Jwt` by the keys that usher publishes.
pub(super) struct Verifier {
    http: reqwest::Client,
    jwks_url: String,
    issuer: String,
    audience: String,
    keys: Mutex<Option<Arc<JwkSet>>>,
}

impl Verifier {
    pub(super) fn new(http: reqwest::Client, jwks_url: &str, issuer: &str, audience: &str) -> Self {
        Verifier {
            http,
            jwks_url: jwks_url.to_owned(),
            issuer: issuer.to_owned(),
            audience: audience.to_owned(),
            keys: Mutex::new(None),
        }
    }

    /// The `kid` of the key that signed what the headers say.
    pub(super) async fn verify(
        &self,
        headers: &HeaderMap,
        identity: &Identity,
    ) -> Result<String, SignatureError> {
        let token = headers
            .get("x-usher-jwt")
            .and_then(|value| value.to_str().ok());
        let token = token.ok_or(SignatureError::Missing)?;
        let header = jsonwebtoken::decode_header(token).map_err(|_| SignatureError::Malformed)?;
        let kid = header.kid.ok_or(SignatureError::Malformed)?;
        if header.alg != Algorithm::ES256 {
            return Err(SignatureError::Malformed);
        }
        let key = self.key(&kid).await?;
        let mut rules = Validation::new(Algorithm::ES256);
        rules.set_issuer(&[&self.issuer]);
        rules.set_audience(&[&self.audience]);
        rules.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        let claims = jsonwebtoken::decode::<Claims>(token, &key, &rules)
            .map_err(|_| SignatureError::Invalid)?
            .claims;
        if claims.sub != identity.user || claims.roles != identity.roles {
            return Err(SignatureError::Differs);
        }
        Ok(kid)
    }

    /// Kept keys first; an unknown `kid` fetches them once.
    async fn key(&self, kid: &str) -> Result<DecodingKey, SignatureError> {
        let kept = self
            .keys
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let found = kept.as_deref().and_then(|keys| decoding_key(keys, kid));
        if let Some(key) = found {
            return Ok(key);
        }
        let fetched = Arc::new(self.fetch().await.ok_or(SignatureError::NoKeys)?);
        let key = decoding_key(&fetched, kid).ok_or(SignatureError::UnknownKey)?;
        *self.keys.lock().unwrap_or_else(PoisonError::into_inner) = Some(fetched);
        Ok(key)
    }

    async fn fetch(&self) -> Option<JwkSet> {
        let answer = self.http.get(&self.jwks_url).send().await.ok()?;
        answer.error_for_status().ok()?.json().await.ok()
    }
}

fn decoding_key(keys: &JwkSet, kid: &str) -> Option<DecodingKey> {
    DecodingKey::from_jwk(keys.find(kid)?).ok()
}
