//! How the relying party proves who it is at the token endpoint.

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde_json::Value;

use super::model::{AssertionKey, Client, ClientAuth};
use super::params::Params;
use super::state::Inner;

const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/// The longest life of an assertion, in seconds.
const ASSERTION_LIFE: i64 = 300;

/// The client that the request proves to come from; by its registered method only.
pub(super) fn authenticate(
    inner: &mut Inner,
    issuer: &str,
    headers: &HeaderMap,
    params: &Params,
) -> Result<Client, &'static str> {
    let basic = basic(headers)?;
    let assertion = params.get("client_assertion");
    let id = match (&basic, assertion) {
        (Some((id, _)), _) => id.clone(),
        (None, Some(token)) => subject(token)?,
        (None, None) => params.get("client_id").unwrap_or_default().to_owned(),
    };
    let client = inner.client(&id).ok_or("unknown client")?.clone();
    if params
        .get("client_id")
        .is_some_and(|named| named != client.id)
    {
        return Err("client_id names another client");
    }
    let secret = client.secret.as_deref();
    match (&client.auth, basic, params.get("client_secret"), assertion) {
        (ClientAuth::Basic, Some((_, given)), None, None) if Some(given.as_str()) == secret => {}
        (ClientAuth::Post, None, Some(given), None) if Some(given) == secret => {}
        (ClientAuth::None, None, None, None) => {}
        (ClientAuth::PrivateKeyJwt(key), None, None, Some(token)) => {
            if params.get("client_assertion_type") != Some(ASSERTION_TYPE) {
                return Err("client_assertion_type is wrong");
            }
            verify_assertion(inner, issuer, &client, key, token)?;
        }
        _ => return Err("not by the registered method, or with a wrong secret"),
    }
    Ok(client)
}

/// User name and password, each form-encoded before Base64 (RFC 6749 section 2.3.1).
fn basic(headers: &HeaderMap) -> Result<Option<(String, String)>, &'static str> {
    let Some(line) = headers.get(AUTHORIZATION) else {
        return Ok(None);
    };
    let line = line.to_str().map_err(|_| "Authorization is no text")?;
    let encoded = line
        .strip_prefix("Basic ")
        .ok_or("Authorization is not Basic")?;
    let bytes = STANDARD
        .decode(encoded)
        .map_err(|_| "Basic is not Base64")?;
    let text = String::from_utf8(bytes).map_err(|_| "Basic is not UTF-8")?;
    let (id, secret) = text.split_once(':').ok_or("Basic has no colon")?;
    Ok(Some((form_decoded(id), form_decoded(secret))))
}

fn form_decoded(text: &str) -> String {
    let spaced = text.replace('+', " ");
    percent_encoding::percent_decode_str(&spaced)
        .decode_utf8_lossy()
        .into_owned()
}

fn subject(token: &str) -> Result<String, &'static str> {
    let claims: Value = jsonwebtoken::dangerous::insecure_decode_claims(token)
        .map_err(|_| "client_assertion is no token")?;
    let sub = claims.get("sub").and_then(Value::as_str);
    Ok(sub.ok_or("client_assertion has no sub")?.to_owned())
}

/// RFC 7523 section 3: signature, `iss` = `sub` = client, `aud`, `exp`, and `jti` used once.
fn verify_assertion(
    inner: &mut Inner,
    issuer: &str,
    client: &Client,
    key: &AssertionKey,
    token: &str,
) -> Result<(), &'static str> {
    let header =
        jsonwebtoken::decode_header(token).map_err(|_| "client_assertion has no header")?;
    let key = decoding_key(key, header.alg).ok_or("the key does not fit the algorithm")?;
    let mut rules = Validation::new(header.alg);
    // The IdP's clock may be set off, so times are judged below.
    rules.validate_exp = false;
    rules.set_issuer(&[&client.id]);
    rules.set_audience(&[issuer.to_owned(), format!("{issuer}/token")]);
    rules.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
    let claims = jsonwebtoken::decode::<Value>(token, &key, &rules)
        .map_err(|_| "client_assertion does not verify")?
        .claims;
    if claims.get("sub").and_then(Value::as_str) != Some(client.id.as_str()) {
        return Err("client_assertion has another sub");
    }
    let exp = claims
        .get("exp")
        .and_then(Value::as_i64)
        .ok_or("client_assertion has no exp")?;
    let left = exp - inner.now();
    if !(0..=ASSERTION_LIFE).contains(&left) {
        return Err("client_assertion is expired or lives too long");
    }
    let jti = claims
        .get("jti")
        .and_then(Value::as_str)
        .ok_or("client_assertion has no jti")?;
    if !inner.assertion_ids.insert(jti.to_owned()) {
        return Err("client_assertion was used before");
    }
    Ok(())
}

fn decoding_key(key: &AssertionKey, algorithm: Algorithm) -> Option<DecodingKey> {
    match key {
        AssertionKey::Jwk(text) => {
            let jwk: Jwk = serde_json::from_str(text).ok()?;
            DecodingKey::from_jwk(&jwk).ok()
        }
        AssertionKey::Pem(pem) => {
            let pem = pem.as_bytes();
            let key = DecodingKey::from_rsa_pem(pem)
                .or_else(|_| DecodingKey::from_ec_pem(pem))
                .or_else(|_| DecodingKey::from_ed_pem(pem))
                .ok()?;
            // A symmetric algorithm never fits a public key.
            (key.family() == algorithm.family()).then_some(key)
        }
    }
}
