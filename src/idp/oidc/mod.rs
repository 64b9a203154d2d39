//! OpenID Connect as a relying party: discovery, code flow with PKCE, every ID-token check, userinfo, renewal, sign-out.

mod algorithm;
mod authorize;
mod claims;
mod client_auth;
mod groups;
mod id_token;
mod jwks;
mod logout_token;
mod metadata;
mod redeem;
mod renew;
mod sign_out;
mod signed_jwt;
mod userinfo;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::ACCEPT;
use http::{Request, StatusCode};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use url::Url;

use self::jwks::Jwks;
pub use self::logout_token::VerifiedLogoutToken;
use self::metadata::Metadata;
use crate::config::{self, OidcConfig};
use crate::identity::{Attributes, Subject};
use crate::idp::cached::{Cached, FetchError};
use crate::idp::{Health, Received};
use crate::metrics::Metrics;
use crate::outbound::{Answer, Outbound, OutboundError};
use crate::secret::Secret;
use crate::session::Tokens;
use crate::trace::Call;

/// One OpenID provider.
#[derive(Debug)]
pub struct OidcIdp {
    config: Arc<config::Idp>,
    oidc: Arc<OidcConfig>,
    outbound: Outbound,
    metrics: Arc<Metrics>,
    metadata: Cached<Metadata>,
    jwks: Jwks,
}

/// For a whole sign-in's work at the IdP, after the browser came back.
const SIGN_IN_WITHIN: Duration = Duration::from_secs(10);

/// What a sign-in must remember between leaving and coming back; it travels in a sealed cookie.
#[derive(Clone, Serialize, Deserialize)]
pub struct FlowSecrets {
    /// `state` (RFC 6749 10.12), 256 random bits.
    pub state: String,
    /// `nonce` (OIDC Core 3.1.2.1).
    pub nonce: String,
    /// PKCE code verifier (RFC 7636).
    pub code_verifier: String,
}

/// What a sign-in asks of the IdP besides.
#[derive(Clone, Copy, Debug, Default)]
pub struct Asked<'a> {
    /// The e-mail address that was typed.
    pub login_hint: Option<&'a str>,
    /// `prompt=login`: the person wants to choose another account.
    pub other_account: bool,
    /// `prompt=login` and `max_age=0`: the person must sign in there anew, and the IdP must say when (OIDC Core 3.1.2.1).
    pub anew: bool,
}

/// What came back at the redirect URI, by query or form. Duplicate parameters are refused before this is made.
#[derive(Clone, Default)]
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

impl fmt::Debug for FlowSecrets {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("[secret]")
    }
}

impl fmt::Debug for AuthorizationResponse {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("AuthorizationResponse")
            .field("code", &self.code.as_ref().map(|_| "[secret]"))
            .field("state", &self.state.as_ref().map(|_| "[secret]"))
            .field("iss", &self.iss)
            .field("error", &self.error)
            .finish_non_exhaustive()
    }
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
    /// The claims of the token and of userinfo, with the name of where they stood.
    sources: Vec<(&'static str, claims::Claims)>,
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
    /// Whether there was an `auth_time`.
    pub says_when: bool,
    /// `acr`.
    pub acr: Option<String>,
    /// `sid`.
    pub idp_session: Option<String>,
    /// Tokens to keep.
    pub tokens: Tokens,
}

impl VerifiedIdToken {
    /// The parts.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// What the IdP sent, in the order of the token; what belongs to the protocol's own checks, and whatever a token could be in,
    /// is left out.
    pub fn received(&self) -> Vec<Received> {
        let all = self.sources.iter();
        all.flat_map(|(source, claims)| claims.received(source))
            .collect()
    }

    /// Gives the parts away.
    pub fn into_facts(self) -> Facts {
        self.facts
    }
}

/// What a renewal brought.
#[derive(Debug)]
pub struct Renewed {
    /// Attributes as they are now; none where the IdP gave new tokens and then failed to say: the former ones stay,
    /// and the tokens must be kept all the same.
    pub attributes: Option<Attributes>,
    /// Tokens to keep instead of the former (rotation).
    pub tokens: Tokens,
}

impl OidcIdp {
    /// Reaches out only when it is used.
    pub fn new(
        config: Arc<config::Idp>,
        oidc: Arc<OidcConfig>,
        outbound: Outbound,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            config,
            oidc,
            outbound,
            metrics,
            metadata: Cached::default(),
            jwks: Jwks::default(),
        }
    }

    /// Its config.
    pub fn config(&self) -> &Arc<config::Idp> {
        &self.config
    }

    /// The URL to send the browser to.
    pub async fn authorization_url(
        &self,
        redirect_uri: &Url,
        secrets: &FlowSecrets,
        asked: Asked<'_>,
    ) -> Result<Url, OidcError> {
        self.build_authorization_url(redirect_uri, secrets, asked)
            .await
    }

    /// Redeems the answer at the redirect URI: RFC 9207 `iss`, `state`, code for tokens, every ID-token check, userinfo and groups.
    pub async fn redeem(
        &self,
        response: &AuthorizationResponse,
        secrets: &FlowSecrets,
        redirect_uri: &Url,
        now: Timestamp,
    ) -> Result<VerifiedIdToken, OidcError> {
        within(self.redeem_answer(response, secrets, redirect_uri, now)).await
    }

    /// Renews attributes by refresh token, or by userinfo without one. `Refused` means that the IdP ended it (`invalid_grant`, 401).
    /// Takes 14 s at most. Once begun it should be let finish: a refresh token may be used up when the answer is dropped.
    pub async fn renew(
        &self,
        tokens: &Tokens,
        subject: &Subject,
        now: Timestamp,
    ) -> Result<Renewed, OidcError> {
        self.renew_tokens(tokens, subject, now).await
    }

    /// The RP-initiated logout URL, if the IdP has one (from metadata at hand: never waits longer than 2 s for it).
    pub async fn sign_out_url(
        &self,
        id_token: Option<&Secret>,
        post_logout_redirect_uri: &Url,
        state: &str,
    ) -> Option<Url> {
        self.build_sign_out_url(id_token, post_logout_redirect_uri, state)
            .await
    }

    /// Origins that forms may lead to (CSP `form-action`): of the authorization endpoint where known, and of the issuer.
    pub fn origins(&self) -> Vec<String> {
        self.form_origins()
    }

    /// What is known of it without asking.
    pub fn health(&self) -> Health {
        let (answered, failure) = self.metadata.state();
        Health {
            answered,
            failure,
            ..Health::default()
        }
    }

    /// A public document of the IdP: 200 or nothing.
    async fn fetch_document(
        &self,
        what: &'static str,
        url: &Url,
        limit: usize,
    ) -> Result<Answer, FetchError> {
        let useless = |text: String| FetchError::Useless(format!("the {what} at {url}: {text}"));
        let request = Request::get(url.as_str())
            .header(ACCEPT, "application/json")
            .extension(Call::to_idp(what))
            .body(Bytes::new())
            .map_err(|error| useless(error.to_string()))?;
        match self
            .outbound
            .send(request, limit, metadata::FETCH_WITHIN)
            .await
        {
            Ok(answer) if answer.status == StatusCode::OK => Ok(answer),
            Ok(answer) => Err(useless(format!("status {}", answer.status))),
            Err(error @ (OutboundError::Connect(_) | OutboundError::Timeout(_))) => Err(
                FetchError::NoContact(format!("the {what} at {url}: {error}")),
            ),
            Err(error @ (OutboundError::TooLarge(_) | OutboundError::Invalid(_))) => {
                Err(useless(error.to_string()))
            }
        }
    }
}

async fn within<T>(work: impl Future<Output = Result<T, OidcError>>) -> Result<T, OidcError> {
    match tokio::time::timeout(SIGN_IN_WITHIN, work).await {
        Ok(result) => result,
        Err(_) => Err(OidcError::Unavailable(format!(
            "no result within {SIGN_IN_WITHIN:?}"
        ))),
    }
}

/// An IdP that cannot be reached may be there in a minute; one that answers too much will do so again.
fn unreachable_idp(what: &str, error: &OutboundError) -> OidcError {
    let text = format!("the {what}: {error}");
    match error {
        OutboundError::TooLarge(_) => OidcError::Invalid(text),
        OutboundError::Connect(_) | OutboundError::Timeout(_) | OutboundError::Invalid(_) => {
            OidcError::Unavailable(text)
        }
    }
}

/// What a log may show of a text that somebody else wrote: short, and without control characters.
fn printable(text: &str) -> String {
    text.chars()
        .take(200)
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}
