//! From the answer at the redirect URI to a verified sign-in.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{Request, StatusCode};
use jiff::Timestamp;
use serde::Deserialize;
use url::{Url, form_urlencoded};

use super::id_token::{Expected, Verified};
use super::metadata::Metadata;
use super::{
    AuthorizationResponse, Facts, FlowSecrets, OidcError, OidcIdp, VerifiedIdToken, authorize,
    client_auth, printable, unreachable_idp,
};
use crate::identity::{Protocol, Subject};
use crate::secret::Secret;
use crate::session::Tokens;
use crate::trace::Call;

/// For one call of the token endpoint.
const TOKEN_WITHIN: Duration = Duration::from_secs(7);
/// Bytes of its answer.
const TOKEN_LIMIT: usize = 1024 * 1024;

/// RFC 6749 section 5.1; members of another type make the whole invalid.
#[derive(Deserialize)]
struct RawTokenResponse {
    access_token: String,
    token_type: String,
    id_token: Option<String>,
    refresh_token: Option<String>,
}

/// Tokens as they came, none of them verified.
pub(super) struct TokenResponse {
    pub(super) access_token: Secret,
    pub(super) id_token: Option<Secret>,
    pub(super) refresh_token: Option<Secret>,
}

/// RFC 6749 section 5.2.
#[derive(Deserialize)]
struct ErrorResponse {
    error: String,
}

/// Why the token endpoint gave no tokens.
pub(super) enum TokenError {
    /// An OAuth error code.
    Refused(String),
    /// Anything else.
    Failed(OidcError),
}

impl OidcIdp {
    pub(super) async fn redeem_answer(
        &self,
        response: &AuthorizationResponse,
        secrets: &FlowSecrets,
        redirect_uri: &Url,
        now: Timestamp,
    ) -> Result<VerifiedIdToken, OidcError> {
        authorize::check_state(response, secrets)?;
        let began = Instant::now();
        let entry = self.metadata().await?;
        let metadata = &entry.value;
        let code = authorize::code(response, &self.oidc.issuer, metadata.always_sends_iss)?;
        let params = [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", redirect_uri.as_str()),
            ("code_verifier", &secrets.code_verifier),
        ];
        let answer = match self.ask_for_tokens(metadata, &params, now).await {
            Ok(answer) => answer,
            Err(TokenError::Refused(error)) => {
                return Err(OidcError::Refused(format!(
                    "the token endpoint says {error}"
                )));
            }
            Err(TokenError::Failed(error)) => return Err(error),
        };
        let id_token = answer
            .id_token
            .as_ref()
            .ok_or_else(|| OidcError::Invalid("the token endpoint gave no id_token".to_owned()))?;
        let expected = Expected {
            nonce: Some(&secrets.nonce),
            sub: None,
            code: Some(code),
            access_token: answer.access_token.expose(),
        };
        // The token was made while the IdP was asked, which may take seconds.
        let now = now.saturating_add(began.elapsed()).unwrap_or(now);
        let verified = self
            .verify_id_token(id_token.expose(), metadata, &expected, now)
            .await?;
        self.gather(metadata, verified, answer).await
    }

    /// Adds userinfo and groups to what the token says.
    async fn gather(
        &self,
        metadata: &Metadata,
        verified: Verified,
        answer: TokenResponse,
    ) -> Result<VerifiedIdToken, OidcError> {
        let userinfo = self
            .userinfo_where_needed(metadata, &verified, &answer.access_token)
            .await?;
        let mut sources = vec![&verified.claims];
        sources.extend(userinfo.as_ref());
        let attributes = self.attributes(&sources, &answer.access_token).await?;
        Ok(VerifiedIdToken {
            facts: Facts {
                subject: Subject {
                    idp: self.config.id.clone(),
                    protocol: Protocol::Oidc,
                    issuer: self.oidc.issuer.clone(),
                    format: String::new(),
                    value: verified.sub,
                },
                attributes,
                authenticated_at: verified.authenticated_at,
                says_when: verified.says_when,
                acr: verified.acr,
                idp_session: verified.idp_session,
                tokens: Tokens {
                    id_token: answer.id_token,
                    refresh_token: answer.refresh_token,
                    access_token: Some(answer.access_token),
                    name_id: None,
                },
            },
            sources: std::iter::once(("ID token", verified.claims))
                .chain(userinfo.map(|claims| ("userinfo", claims)))
                .collect(),
        })
    }

    /// One call of the token endpoint.
    pub(super) async fn ask_for_tokens(
        &self,
        metadata: &Metadata,
        params: &[(&str, &str)],
        now: Timestamp,
    ) -> Result<TokenResponse, TokenError> {
        let oidc = &self.oidc;
        let proof = client_auth::prove(&oidc.client_auth, &oidc.client_id, &oidc.issuer, now)
            .map_err(TokenError::Failed)?;
        let body = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(params)
            .extend_pairs(&proof.params)
            .finish();
        let mut request = Request::post(metadata.token_endpoint.as_str())
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(ACCEPT, "application/json")
            .extension(Call::to_idp("token"));
        if let Some(authorization) = proof.authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        let request = request
            .body(Bytes::from(body))
            .map_err(|error| TokenError::Failed(OidcError::Internal(error.to_string())))?;
        let answer = self
            .outbound
            .send(request, TOKEN_LIMIT, TOKEN_WITHIN)
            .await
            .map_err(|error| TokenError::Failed(unreachable_idp("token endpoint", &error)))?;
        read_tokens(answer.status, &answer.body)
    }
}

fn read_tokens(status: StatusCode, body: &[u8]) -> Result<TokenResponse, TokenError> {
    if status.is_client_error()
        && status != StatusCode::TOO_MANY_REQUESTS
        && let Ok(refused) = serde_json::from_slice::<ErrorResponse>(body)
    {
        return Err(TokenError::Refused(printable(&refused.error)));
    }
    if status != StatusCode::OK {
        return Err(TokenError::Failed(OidcError::Unavailable(format!(
            "the token endpoint answers {status}"
        ))));
    }
    let invalid = |text: String| TokenError::Failed(OidcError::Invalid(text));
    // The error's own text could quote a token.
    let answer: RawTokenResponse = serde_json::from_slice(body).map_err(|error| {
        let kind = error.classify();
        match kind {
            serde_json::error::Category::Data => {
                invalid("a member of the token response is missing or of another type".to_owned())
            }
            serde_json::error::Category::Io
            | serde_json::error::Category::Syntax
            | serde_json::error::Category::Eof => TokenError::Failed(OidcError::Unavailable(
                "the token endpoint's answer is no JSON".to_owned(),
            )),
        }
    })?;
    if !answer.token_type.eq_ignore_ascii_case("Bearer") {
        return Err(invalid(format!(
            "token_type is {:?}, not Bearer",
            printable(&answer.token_type)
        )));
    }
    if answer.access_token.is_empty() {
        return Err(invalid("access_token is empty".to_owned()));
    }
    Ok(TokenResponse {
        access_token: Secret::new(answer.access_token),
        id_token: answer.id_token.map(Secret::new),
        refresh_token: answer.refresh_token.map(Secret::new),
    })
}
