//! How usher proves to the token endpoint that it is the client (OIDC Core 9).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use jiff::Timestamp;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::json;
use url::form_urlencoded::byte_serialize;

use super::OidcError;
use crate::config::ClientAuth;

/// Seconds that an assertion counts for.
const ASSERTION_LIFE: i64 = 60;
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// What goes into the request: a header, form parameters, or both.
pub(super) struct Proof {
    pub(super) authorization: Option<HeaderValue>,
    pub(super) params: Vec<(&'static str, String)>,
}

/// Proof for one request.
///
/// # Errors
/// [`OidcError::Internal`] if the key of `private_key_jwt` cannot be used.
pub(super) fn prove(
    auth: &ClientAuth,
    client_id: &str,
    issuer: &str,
    now: Timestamp,
) -> Result<Proof, OidcError> {
    let id = ("client_id", client_id.to_owned());
    let mut authorization = None;
    let params = match auth {
        ClientAuth::Basic(secret) => {
            authorization = Some(basic(client_id, secret.expose())?);
            Vec::new()
        }
        ClientAuth::Post(secret) => vec![id, ("client_secret", secret.expose().to_owned())],
        ClientAuth::PrivateKeyJwt(key) => vec![
            id,
            ("client_assertion_type", ASSERTION_TYPE.to_owned()),
            (
                "client_assertion",
                assertion(key.expose(), client_id, issuer, now)?,
            ),
        ],
        ClientAuth::None => vec![id],
    };
    Ok(Proof {
        authorization,
        params,
    })
}

/// Both parts are form-encoded before they are joined (RFC 6749 section 2.3.1).
fn basic(id: &str, secret: &str) -> Result<HeaderValue, OidcError> {
    let encode = |text: &str| byte_serialize(text.as_bytes()).collect::<String>();
    let pair = STANDARD.encode(format!("{}:{}", encode(id), encode(secret)));
    let mut value = HeaderValue::try_from(format!("Basic {pair}"))
        .map_err(|_| OidcError::Internal("the client secret fits no header".to_owned()))?;
    value.set_sensitive(true);
    Ok(value)
}

/// RFC 7523. The audience is the issuer alone, so that no token endpoint that another IdP's metadata points to can use it.
fn assertion(
    pem: &str,
    client_id: &str,
    issuer: &str,
    now: Timestamp,
) -> Result<String, OidcError> {
    let (key, algorithm) = signing_key(pem)?;
    let now = now.as_second();
    let claims = json!({
        "iss": client_id,
        "sub": client_id,
        "aud": issuer,
        "iat": now,
        "exp": now + ASSERTION_LIFE,
        "jti": uuid::Uuid::now_v7().simple().to_string(),
    });
    jsonwebtoken::encode(&Header::new(algorithm), &claims, &key)
        .map_err(|_| OidcError::Internal("the client's private key cannot sign".to_owned()))
}

fn signing_key(pem: &str) -> Result<(EncodingKey, Algorithm), OidcError> {
    if let Ok(key) = EncodingKey::from_ec_pem(pem.as_bytes()) {
        return Ok((key, Algorithm::ES256));
    }
    if let Ok(key) = EncodingKey::from_rsa_pem(pem.as_bytes()) {
        return Ok((key, Algorithm::RS256));
    }
    Err(OidcError::Internal(
        "the client's private key is neither RSA nor P-256 in PEM".to_owned(),
    ))
}
