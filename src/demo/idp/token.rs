//! The token endpoint: codes with PKCE, refresh tokens with rotation.

use std::sync::Arc;

use aws_lc_rs::digest;
use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::header::{AUTHORIZATION, CACHE_CONTROL, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};

use super::IdpError;
use super::client_auth;
use super::faults::{Fault, Overage, ResponseFault, TokenFault};
use super::mint::{Surroundings, mint};
use super::model::{ClaimsIn, Client, SigningAlgorithm, TestUser};
use super::params::Params;
use super::state::{self, Grant, Inner, Shared, TokenRequest};

/// Why the endpoint gives nothing out (RFC 6749 section 5.2).
enum Refusal {
    Client(&'static str),
    Grant(&'static str),
    Request(&'static str),
    GrantType,
    Broken(IdpError),
    /// What a fault asked for.
    Fault(u16, String),
}

impl From<IdpError> for Refusal {
    fn from(problem: IdpError) -> Self {
        Refusal::Broken(problem)
    }
}

/// Which grant the ID token is for; each has faults of its own.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Code,
    Refresh,
}

pub(super) async fn exchange(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let params = Params::parse(&body);
    if params.get("grant_type") == Some("refresh_token") {
        shared.count_refresh();
    }
    let mut inner = shared.lock();
    let request = recorded(&headers, &params);
    inner.recorded.token.push(request);
    let answer = answer(&mut inner, &shared.issuer, &headers, &params);
    drop(inner);
    match answer {
        Ok(answer) => ([(CACHE_CONTROL, "no-store")], Json(answer)).into_response(),
        Err(refusal) => refusal.into_response(),
    }
}

fn recorded(headers: &HeaderMap, params: &Params) -> TokenRequest {
    let scheme = headers
        .get(AUTHORIZATION)
        .and_then(|line| line.to_str().ok());
    let part = |at: usize| {
        let text = params.get("client_assertion")?.split('.').nth(at)?;
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).ok()?).ok()
    };
    TokenRequest {
        params: state::pairs(params),
        authorization_scheme: scheme
            .and_then(|line| line.split(' ').next())
            .map(str::to_owned),
        assertion_header: part(0),
        assertion_claims: part(1),
    }
}

fn answer(
    inner: &mut Inner,
    issuer: &str,
    headers: &HeaderMap,
    params: &Params,
) -> Result<Value, Refusal> {
    if params.repeated().is_some() {
        return Err(Refusal::Request("a parameter was sent twice"));
    }
    let client =
        client_auth::authenticate(inner, issuer, headers, params).map_err(Refusal::Client)?;
    let kind = match params.get("grant_type") {
        Some("authorization_code") => Kind::Code,
        Some("refresh_token") => Kind::Refresh,
        _ => return Err(Refusal::GrantType),
    };
    // Before the code or token is used up: what fails here can be tried again.
    refused_by_fault(inner, kind)?;
    let grant = match kind {
        Kind::Code => by_code(inner, &client, params)?,
        Kind::Refresh => by_refresh(inner, &client, params)?,
    };
    let user = inner
        .user(&grant.session.username)
        .filter(|user| user.enabled)
        .cloned();
    let user = user.ok_or(Refusal::Grant("the account is disabled"))?;
    let mut answer = tokens(inner, issuer, kind, &client, &user, grant)?;
    spoil(inner, kind, &mut answer);
    Ok(Value::Object(answer))
}

fn by_code(inner: &mut Inner, client: &Client, params: &Params) -> Result<Grant, Refusal> {
    let code = params
        .get("code")
        .ok_or(Refusal::Request("code is missing"))?;
    // Removed first: a code is good for one try, also a failing one.
    let grant = inner
        .codes
        .remove(code)
        .ok_or(Refusal::Grant("unknown or used code"))?;
    if grant.client_id != client.id {
        return Err(Refusal::Grant("the code is another client's"));
    }
    if grant.expires_at < inner.now() {
        return Err(Refusal::Grant("the code is expired"));
    }
    if params.get("redirect_uri") != Some(grant.redirect_uri.as_str()) {
        return Err(Refusal::Grant("redirect_uri differs"));
    }
    match (&grant.code_challenge, params.get("code_verifier")) {
        (None, None) => Ok(grant),
        (Some(challenge), Some(verifier)) if proves(verifier, challenge) => Ok(grant),
        _ => Err(Refusal::Grant("code_verifier does not fit")),
    }
}

/// RFC 7636 section 4.6.
fn proves(verifier: &str, challenge: &str) -> bool {
    let hash = digest::digest(&digest::SHA256, verifier.as_bytes());
    (43..=128).contains(&verifier.len()) && URL_SAFE_NO_PAD.encode(hash) == challenge
}

fn by_refresh(inner: &mut Inner, client: &Client, params: &Params) -> Result<Grant, Refusal> {
    let token = params
        .get("refresh_token")
        .ok_or(Refusal::Request("refresh_token is missing"))?;
    if let Some(family) = inner.used_refresh_tokens.get(token).cloned() {
        inner
            .refresh_tokens
            .retain(|_, grant| grant.family != family);
        return Err(Refusal::Grant("the refresh token was used before"));
    }
    match inner.refresh_tokens.get(token) {
        Some(grant) if grant.client_id == client.id => {}
        Some(_) | None => return Err(Refusal::Grant("unknown refresh token")),
    }
    let grant = inner
        .refresh_tokens
        .remove(token)
        .ok_or(Refusal::Grant("unknown refresh token"))?;
    inner
        .used_refresh_tokens
        .insert(token.to_owned(), grant.family.clone());
    Ok(grant)
}

fn tokens(
    inner: &mut Inner,
    issuer: &str,
    kind: Kind,
    client: &Client,
    user: &TestUser,
    grant: Grant,
) -> Result<Map<String, Value>, Refusal> {
    let access_token = state::random()?;
    let seconds = inner.settings.access_token_seconds;
    let mut answer = Map::new();
    answer.insert("access_token".to_owned(), json!(access_token));
    answer.insert("token_type".to_owned(), json!("Bearer"));
    answer.insert("expires_in".to_owned(), json!(seconds));
    answer.insert("scope".to_owned(), json!(grant.scope));
    if kind == Kind::Code || inner.settings.id_token_on_refresh {
        let token = id_token(inner, issuer, kind, client, user, &grant, &access_token)?;
        answer.insert("id_token".to_owned(), json!(token));
    }
    if inner.settings.refresh_tokens {
        let refresh = state::random()?;
        inner.refresh_tokens.insert(refresh.clone(), grant.clone());
        answer.insert("refresh_token".to_owned(), json!(refresh));
    }
    let expires_at = inner.now() + seconds;
    inner.access_tokens.insert(
        access_token,
        Grant {
            expires_at,
            ..grant
        },
    );
    Ok(answer)
}

fn id_token(
    inner: &mut Inner,
    issuer: &str,
    kind: Kind,
    client: &Client,
    user: &TestUser,
    grant: &Grant,
    access_token: &str,
) -> Result<String, IdpError> {
    let now = inner.now();
    let mut claims = Map::new();
    let mut put = |name: &str, value: Value| claims.insert(name.to_owned(), value);
    put("iss", json!(issuer));
    put("sub", json!(user.sub));
    put("aud", json!(client.id));
    put("iat", json!(now));
    put("exp", json!(now + inner.settings.id_token_seconds));
    put("auth_time", json!(grant.session.auth_time));
    put("sid", json!(grant.session.sid));
    put(
        "at_hash",
        json!(at_hash(access_token, inner.settings.algorithm)),
    );
    // Not in a refreshed token (OIDC Core section 12.2).
    if let (Kind::Code, Some(nonce)) = (kind, &grant.nonce) {
        put("nonce", json!(nonce));
    }
    if inner.settings.claims_in == ClaimsIn::Both {
        claims.extend(state::claims_of(user, &grant.scope));
    }
    overage(inner, issuer, &mut claims);
    let faults = inner.faults.take(|fault| {
        let (Fault::IdToken(what) | Fault::RefreshIdToken(what)) = fault else {
            return None;
        };
        let for_refresh = matches!(fault, Fault::RefreshIdToken(_));
        (for_refresh == (kind == Kind::Refresh)).then(|| what.clone())
    });
    sign(inner, client, claims, faults)
}

fn sign(
    inner: &Inner,
    client: &Client,
    claims: Map<String, Value>,
    faults: Vec<TokenFault>,
) -> Result<String, IdpError> {
    let around = Surroundings {
        key: inner.keys.current(inner.settings.algorithm)?,
        jwks: &inner.jwks(),
        client_secret: client.secret.as_deref().unwrap_or_default(),
        now: inner.now(),
    };
    mint(claims, faults, &around)
}

/// Left half of the hash of the access token (OIDC Core section 3.1.3.6): SHA-256, and SHA-512 for Ed25519.
fn at_hash(access_token: &str, algorithm: SigningAlgorithm) -> String {
    let by = match algorithm {
        SigningAlgorithm::Rs256 | SigningAlgorithm::Ps256 | SigningAlgorithm::Es256 => {
            &digest::SHA256
        }
        SigningAlgorithm::EdDsa => &digest::SHA512,
    };
    let hash = digest::digest(by, access_token.as_bytes());
    let (left, _) = hash.as_ref().split_at(hash.as_ref().len() / 2);
    URL_SAFE_NO_PAD.encode(left)
}

fn overage(inner: &mut Inner, issuer: &str, claims: &mut Map<String, Value>) {
    let kinds = inner.faults.take(|fault| {
        let Fault::Overage(kind) = fault else {
            return None;
        };
        Some(*kind)
    });
    for kind in kinds {
        claims.remove("groups");
        match kind {
            Overage::HasGroups => {
                claims.insert("hasgroups".to_owned(), json!(true));
            }
            Overage::ClaimNames => {
                let endpoint = format!("{issuer}/graph/v1.0/me/getMemberObjects");
                claims.insert("_claim_names".to_owned(), json!({"groups": "src1"}));
                let source = json!({"src1": {"endpoint": endpoint}});
                claims.insert("_claim_sources".to_owned(), source);
            }
        }
    }
}

fn refused_by_fault(inner: &mut Inner, kind: Kind) -> Result<(), Refusal> {
    let errors = inner
        .faults
        .take(|fault| match kind.response_fault(fault)? {
            ResponseFault::Error(status, error) => Some(Refusal::Fault(*status, error.clone())),
            ResponseFault::Field(..) | ResponseFault::Remove(_) => None,
        });
    errors.into_iter().next().map_or(Ok(()), Err)
}

fn spoil(inner: &mut Inner, kind: Kind, answer: &mut Map<String, Value>) {
    let faults = inner
        .faults
        .take(|fault| kind.response_fault(fault).cloned());
    for fault in faults {
        match fault {
            ResponseFault::Field(name, value) => {
                answer.insert(name, value);
            }
            ResponseFault::Remove(name) => {
                answer.remove(&name);
            }
            ResponseFault::Error(..) => {}
        }
    }
}

impl Kind {
    fn response_fault(self, fault: &Fault) -> Option<&ResponseFault> {
        let (Fault::TokenResponse(what) | Fault::RefreshResponse(what)) = fault else {
            return None;
        };
        let for_refresh = matches!(fault, Fault::RefreshResponse(_));
        (for_refresh == (self == Kind::Refresh)).then_some(what)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let error = |status, error: &str, why: &str| {
            let body = json!({"error": error, "error_description": why});
            (status, [(CACHE_CONTROL, "no-store")], Json(body)).into_response()
        };
        match self {
            Refusal::Client(why) => {
                let answer = error(StatusCode::UNAUTHORIZED, "invalid_client", why);
                ([(WWW_AUTHENTICATE, "Basic realm=\"idp\"")], answer).into_response()
            }
            Refusal::Grant(why) => error(StatusCode::BAD_REQUEST, "invalid_grant", why),
            Refusal::Request(why) => error(StatusCode::BAD_REQUEST, "invalid_request", why),
            Refusal::GrantType => {
                let why = "only authorization_code and refresh_token are supported";
                error(StatusCode::BAD_REQUEST, "unsupported_grant_type", why)
            }
            Refusal::Broken(problem) => problem.into_response(),
            Refusal::Fault(status, name) => {
                let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST);
                error(status, &name, "a fault that was set")
            }
        }
    }
}
