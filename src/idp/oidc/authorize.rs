//! The authorization request (OIDC Core 3.1.2.1) with PKCE S256 (RFC 7636), and the answer to it.

use std::borrow::Cow;
use std::time::Duration;

use openidconnect::core::{CoreAuthPrompt, CoreClient, CoreJsonWebKeySet, CoreResponseType};
use openidconnect::{
    AuthUrl, AuthenticationFlow, ClientId, CsrfToken, IssuerUrl, LoginHint, Nonce,
    PkceCodeChallenge, PkceCodeVerifier, RedirectUrl, Scope,
};
use url::Url;

use super::id_token::same;
use super::{Asked, AuthorizationResponse, FlowSecrets, OidcError, OidcIdp, printable};
use crate::config::ResponseMode;

/// Random bytes of `state` and `nonce`.
const RANDOM: u32 = 32;
/// Bytes of a code; Entra's have 1 to 2 KiB.
const CODE: usize = 8 * 1024;
/// Bytes of a login hint.
const HINT: usize = 254;

impl FlowSecrets {
    /// Fresh random values: 256 bits each.
    ///
    /// # Errors
    /// None today; a source of randomness that can fail would be [`OidcError::Internal`].
    pub fn generate() -> Result<Self, OidcError> {
        let (_, verifier) = PkceCodeChallenge::new_random_sha256();
        Ok(Self {
            state: CsrfToken::new_random_len(RANDOM).into_secret(),
            nonce: Nonce::new_random_len(RANDOM).secret().clone(),
            code_verifier: verifier.into_secret(),
        })
    }
}

impl OidcIdp {
    pub(super) async fn build_authorization_url(
        &self,
        redirect_uri: &Url,
        secrets: &FlowSecrets,
        asked: Asked<'_>,
    ) -> Result<Url, OidcError> {
        let metadata = self.metadata_of_live_idp().await?;
        let oidc = &self.oidc;
        let issuer = IssuerUrl::new(oidc.issuer.clone()).map_err(internal)?;
        // Keys are verified with by `id_token`, so this client has none.
        let client = CoreClient::new(
            ClientId::new(oidc.client_id.clone()),
            issuer,
            CoreJsonWebKeySet::default(),
        )
        .disable_openid_scope()
        .set_auth_uri(AuthUrl::from_url(
            metadata.value.authorization_endpoint.clone(),
        ));
        let (state, nonce) = (secrets.state.clone(), secrets.nonce.clone());
        let verifier = PkceCodeVerifier::new(secrets.code_verifier.clone());
        let mut request = client
            .authorize_url(
                AuthenticationFlow::<CoreResponseType>::AuthorizationCode,
                || CsrfToken::new(state),
                || Nonce::new(nonce),
            )
            .set_redirect_uri(Cow::Owned(RedirectUrl::from_url(redirect_uri.clone())))
            .set_pkce_challenge(PkceCodeChallenge::from_code_verifier_sha256(&verifier))
            .add_scopes(oidc.scopes.iter().cloned().map(Scope::new));
        match oidc.response_mode {
            ResponseMode::Query => {}
            ResponseMode::FormPost => {
                request = request.add_extra_param("response_mode", "form_post")
            }
        }
        if asked.other_account || asked.anew {
            request = request.add_prompt(CoreAuthPrompt::Login);
        }
        if asked.anew {
            // It also makes `auth_time` a claim that the token must have.
            request = request.set_max_age(Duration::ZERO);
        }
        if let Some(hint) = asked.login_hint.filter(|hint| hint.len() <= HINT) {
            request = request.set_login_hint(LoginHint::new(hint.to_owned()));
        }
        let (url, _, _) = request.url();
        Ok(url)
    }
}

/// Whether the answer is one to this very request (RFC 6749 section 10.12). Nothing is asked or believed before.
pub(super) fn check_state(
    response: &AuthorizationResponse,
    secrets: &FlowSecrets,
) -> Result<(), OidcError> {
    let state = response
        .state
        .as_deref()
        .ok_or_else(|| invalid("state is missing"))?;
    if !same(state, &secrets.state) {
        return Err(invalid("state is not the one of this sign-in"));
    }
    Ok(())
}

/// The code: `iss` is checked first, and only then does it count what the IdP says.
pub(super) fn code<'a>(
    response: &'a AuthorizationResponse,
    issuer: &str,
    always_sends_iss: bool,
) -> Result<&'a str, OidcError> {
    // RFC 9207 section 2.4: compared as a string; missing only where the IdP never sends it.
    match response.iss.as_deref() {
        Some(iss) if iss != issuer => {
            return Err(OidcError::Invalid(format!(
                "iss of the answer is {:?}, the config says {issuer:?}",
                printable(iss)
            )));
        }
        None if always_sends_iss => return Err(invalid("iss of the answer is missing")),
        Some(_) | None => {}
    }
    if let Some(error) = response.error.as_deref() {
        return Err(refusal(error, response.error_description.as_deref()));
    }
    match response.code.as_deref() {
        Some(code) if !code.is_empty() && code.len() <= CODE => Ok(code),
        Some(_) => Err(invalid("the code is empty or too long")),
        None => Err(invalid("the answer has neither a code nor an error")),
    }
}

/// RFC 6749 section 4.1.2.1: two errors mean that the IdP has a trouble of its own.
fn refusal(error: &str, description: Option<&str>) -> OidcError {
    let text = match description {
        Some(description) => format!("{} ({})", printable(error), printable(description)),
        None => printable(error),
    };
    match error {
        "server_error" | "temporarily_unavailable" => OidcError::Unavailable(text),
        _ => OidcError::Refused(text),
    }
}

fn internal(error: impl std::fmt::Display) -> OidcError {
    OidcError::Internal(error.to_string())
}

fn invalid(text: &str) -> OidcError {
    OidcError::Invalid(text.to_owned())
}
