//! The discovery document (OpenID Connect Discovery 1.0) and the published keys.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use serde_json::{Value, json};

use super::IdpError;
use super::faults::{DiscoveryFault, Fault, JwksFault};
use super::keys::{SigningKey, WEAK_MODULUS};
use super::state::Shared;

pub(super) async fn document(State(shared): State<Arc<Shared>>) -> Json<Value> {
    let mut document = right_document(&shared);
    let faults = shared.take(|fault| {
        let Fault::Discovery(fault) = fault else {
            return None;
        };
        Some(fault.clone())
    });
    if let Value::Object(members) = &mut document {
        for fault in faults {
            match fault {
                DiscoveryFault::Field(name, value) => members.insert(name, value),
                DiscoveryFault::Remove(name) => members.remove(&name),
            };
        }
    }
    Json(document)
}

fn right_document(shared: &Shared) -> Value {
    let issuer = &shared.issuer;
    let response_iss = shared.lock().settings.response_iss;
    json!({
        "issuer": issuer,
        "authorization_endpoint": format!("{issuer}/authorize"),
        "token_endpoint": format!("{issuer}/token"),
        "userinfo_endpoint": format!("{issuer}/userinfo"),
        "jwks_uri": format!("{issuer}/jwks"),
        "end_session_endpoint": format!("{issuer}/end-session"),
        "response_types_supported": ["code"],
        "response_modes_supported": ["query", "form_post"],
        "grant_types_supported": ["authorization_code", "refresh_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256", "PS256", "ES256", "EdDSA"],
        "token_endpoint_auth_methods_supported":
            ["client_secret_basic", "client_secret_post", "private_key_jwt", "none"],
        "token_endpoint_auth_signing_alg_values_supported": ["RS256", "PS256", "ES256", "EdDSA"],
        "code_challenge_methods_supported": ["S256"],
        "scopes_supported": ["openid", "email", "profile", "groups", "offline_access"],
        "claims_supported": ["sub", "name", "given_name", "family_name", "preferred_username",
            "email", "email_verified", "groups", "auth_time", "sid"],
        "prompt_values_supported": ["none", "login"],
        "authorization_response_iss_parameter_supported": response_iss,
    })
}

pub(super) async fn jwks(State(shared): State<Arc<Shared>>) -> Result<impl IntoResponse, IdpError> {
    let faults = shared.take(|fault| {
        let Fault::Jwks(fault) = fault else {
            return None;
        };
        Some(fault.clone())
    });
    let mut keys = shared.lock().keys.published();
    for fault in faults {
        spoil(&mut keys, fault)?;
    }
    let body = json!({ "keys": keys }).to_string();
    Ok(([(CONTENT_TYPE, "application/jwk-set+json")], body))
}

fn spoil(keys: &mut Vec<Value>, fault: JwksFault) -> Result<(), IdpError> {
    match fault {
        JwksFault::Empty => keys.clear(),
        JwksFault::OctKey => keys.insert(
            0,
            json!({"kty": "oct", "kid": "oct-1", "alg": "HS256", "use": "sig", "k": "c2VjcmV0"}),
        ),
        JwksFault::DuplicateKid { first } => {
            let kid = keys.first().and_then(|key| key.get("kid")?.as_str());
            let foreign = SigningKey::attacker(kid.unwrap_or_default())?.jwk();
            keys.insert(if first { 0 } else { keys.len() }, foreign);
        }
        JwksFault::Many(count) => {
            let foreign = (0..count).map(|at| SigningKey::attacker(&format!("many-{at}")));
            let foreign: Result<Vec<_>, _> = foreign.map(|key| key.map(|key| key.jwk())).collect();
            keys.splice(0..0, foreign?);
        }
        JwksFault::WeakRsa => each(keys, |key| {
            if key.contains_key("n") {
                key.insert("n".to_owned(), json!(WEAK_MODULUS));
            }
        }),
        JwksFault::NoKid => each(keys, |key| {
            key.remove("kid");
        }),
        JwksFault::Field(name, value) => each(keys, |key| {
            key.insert(name.clone(), value.clone());
        }),
        JwksFault::Remove(name) => each(keys, |key| {
            key.remove(&name);
        }),
    }
    Ok(())
}

fn each(keys: &mut [Value], mut change: impl FnMut(&mut serde_json::Map<String, Value>)) {
    keys.iter_mut()
        .filter_map(Value::as_object_mut)
        .for_each(&mut change);
}
