//! OpenID Connect as a relying party: discovery, code flow with PKCE, every ID-token check, userinfo, renewal, sign-out.

use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use url::Url;

use crate::config;
use crate::identity::{Attributes, Subject};
use crate::metrics::Metrics;
use crate::outbound::Outbound;
use crate::secret::Secret;
use crate::session::Tokens;

/// One OpenID provider.
#[derive(Debug)]
pub struct OidcIdp {
    config: Arc<config::Idp>,
    #[allow(dead_code)]
    outbound: Outbound,
    #[allow(dead_code)]
    metrics: Arc<Metrics>,
}

/// What a sign-in must remember between leaving and coming back; it travels in a sealed cookie.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FlowSecrets {
    /// `state` (RFC 6749 10.12), 256 random bits.
    pub state: String,
    /// `nonce` (OIDC Core 3.1.2.1).
    pub nonce: String,
    /// PKCE code verifier (RFC 7636).
    pub code_verifier: String,
}

impl FlowSecrets {
    /// Fresh random values.
    pub fn generate() -> Result<Self, OidcError> {
        todo!()
    }
}

/// What came back at the redirect URI, by query or form. Duplicate parameters are refused before this is made.
#[derive(Clone, Debug, Default)]
pub struct AuthorizationResponse {
    /// `code`.
    pub code: Option<String>,
    /// `state`.
    pub state: Option<String>,
    /// `iss` (RFC 9207).
    pub iss: Option<String>,
    /// `error`.
    pub error: Option<String>,
    /// `error_description`: for the log only.
    pub error_description: Option<String>,
}

/// Why a sign-in, renewal or discovery failed.
#[derive(Debug, thiserror::Error)]
pub enum OidcError {
    /// The IdP cannot be reached, is too slow, or answers with an error of its own: try later (503).
    #[error("the IdP is not available: {0}")]
    Unavailable(String),
    /// The IdP said no (`access_denied`, `login_required`, `invalid_grant`…).
    #[error("the IdP refused: {0}")]
    Refused(String),
    /// The answer did not pass a check; names the check.
    #[error("the IdP's answer is not valid: {0}")]
    Invalid(String),
    /// Our own fault, such as a key that does not parse.
    #[error("internal: {0}")]
    Internal(String),
}

/// An ID token whose every check passed, with the attributes gathered under it.
#[derive(Debug)]
pub struct VerifiedIdToken {
    facts: Facts,
}

/// The parts of a [`VerifiedIdToken`].
#[derive(Debug)]
pub struct Facts {
    /// Issuer and `sub`.
    pub subject: Subject,
    /// From the token, userinfo and group look-ups.
    pub attributes: Attributes,
    /// `auth_time`, or `iat` without it.
    pub authenticated_at: Timestamp,
    /// `acr`.
    pub acr: Option<String>,
    /// `sid`.
    pub idp_session: Option<String>,
    /// Tokens to keep.
    pub tokens: Tokens,
}

impl VerifiedIdToken {
    /// Gives the parts away.
    pub fn into_facts(self) -> Facts {
        self.facts
    }
}

/// What a renewal brought.
#[derive(Debug)]
pub struct Renewed {
    /// Attributes as they are now.
    pub attributes: Attributes,
    /// Tokens to keep instead of the former (rotation).
    pub tokens: Tokens,
}

impl OidcIdp {
    /// Reaches out only when it is used.
    pub fn new(config: Arc<config::Idp>, outbound: Outbound, metrics: Arc<Metrics>) -> Self {
        Self {
            config,
            outbound,
            metrics,
        }
    }

    /// Its config.
    pub fn config(&self) -> &Arc<config::Idp> {
        &self.config
    }

    /// The URL to send the browser to. `prompt` is `login` where the person asked for another account.
    pub async fn authorization_url(
        &self,
        redirect_uri: &Url,
        secrets: &FlowSecrets,
        login_hint: Option<&str>,
        prompt: Option<&str>,
    ) -> Result<Url, OidcError> {
        let _ = (redirect_uri, secrets, login_hint, prompt);
        todo!()
    }

    /// Redeems the answer at the redirect URI: RFC 9207 `iss`, `state`, code for tokens, every ID-token check, userinfo and groups.
    pub async fn redeem(
        &self,
        response: &AuthorizationResponse,
        secrets: &FlowSecrets,
        redirect_uri: &Url,
        now: Timestamp,
    ) -> Result<VerifiedIdToken, OidcError> {
        let _ = (response, secrets, redirect_uri, now);
        todo!()
    }

    /// Renews attributes by refresh token, or by userinfo without one. `Refused` means that the IdP ended it (`invalid_grant`, 401).
    pub async fn renew(
        &self,
        tokens: &Tokens,
        subject: &Subject,
        now: Timestamp,
    ) -> Result<Renewed, OidcError> {
        let _ = (tokens, subject, now);
        todo!()
    }

    /// The RP-initiated logout URL, if the IdP has one (from metadata at hand: never waits longer than 2 s for it).
    pub async fn sign_out_url(
        &self,
        id_token: Option<&Secret>,
        post_logout_redirect_uri: &Url,
        state: &str,
    ) -> Option<Url> {
        let _ = (id_token, post_logout_redirect_uri, state);
        todo!()
    }

    /// Origins that forms may lead to (CSP `form-action`): of the authorization endpoint where known, and of the issuer.
    pub fn origins(&self) -> Vec<String> {
        todo!()
    }
}
