//! The first half: off to the IdP, with the state sealed in a cookie.

use jiff::Timestamp;
use url::Url;

use super::cookies::BrowserCookies;
use super::pending::PendingLogin;
use super::{ReturnTo, SignIn, looping, oidc_refusal};
use crate::config::{IdpProtocol, ResponseMode, Site};
use crate::idp::Idp;
use crate::idp::oidc::FlowSecrets;
use crate::refusal::{Reason, Refusal};

/// What somebody asked for who wants to sign in.
#[derive(Debug)]
pub struct Begin<'a> {
    /// The site that it begins at.
    pub site: &'a Site,
    /// Id of the IdP as it stands in the URL.
    pub idp: &'a str,
    /// Where to go afterwards.
    pub return_to: ReturnTo,
    /// The e-mail address that was typed, for the IdP's form.
    pub login_hint: Option<&'a str>,
    /// Whether the person wants to choose another account.
    pub other_account: bool,
    /// Whether the browser shows a live session: then nothing is going round in circles.
    pub signed_in: bool,
    /// The browser's cookies.
    pub browser: &'a BrowserCookies,
}

/// Where to send the browser, and what it has to keep.
#[derive(Debug)]
pub struct Begun {
    /// The IdP's authorization URL.
    pub location: Url,
    /// `Set-Cookie` lines.
    pub cookies: Vec<String>,
}

impl SignIn {
    /// Begins a sign-in.
    ///
    /// # Errors
    /// `UnknownIdp`, `SignInLoop`, `IdpDown`, `Internal`.
    pub async fn begin(&self, begin: Begin<'_>, now: Timestamp) -> Result<Begun, Refusal> {
        let idp = self.idp(begin.idp)?;
        if !begin.signed_in && looping::is_looping(begin.site, &self.seal, begin.browser, now) {
            let cause = "several sign-ins finished within a minute without a session coming back";
            return Err(Refusal::new(Reason::SignInLoop, cause));
        }
        let Idp::Oidc(oidc) = idp else { todo!() };
        let secrets = FlowSecrets::generate().map_err(|error| oidc_refusal(&error))?;
        let redirect_uri = self.redirect_uri(begin.site, &idp.config().id)?;
        let prompt = begin.other_account.then_some("login");
        let location = oidc
            .authorization_url(&redirect_uri, &secrets, begin.login_hint, prompt)
            .await
            .map_err(|error| oidc_refusal(&error))?;
        let pending = PendingLogin {
            idp: idp.config().id.clone(),
            origin: begin.site.public_url.origin.clone(),
            return_to: begin.return_to.as_str().to_owned(),
            secrets,
            started_at: now.as_second(),
        };
        let cookies = pending
            .keep(begin.site, &self.seal, begin.browser, answers_by_post(idp))
            .map_err(|error| Refusal::new(Reason::Internal, error.to_string()))?;
        Ok(Begun { location, cookies })
    }

    /// Clears the loop counter, once the page has said why.
    pub fn forget_loop(site: &Site) -> String {
        looping::forget(site)
    }
}

/// Whether the IdP's answer is a cross-site POST, which carries only `SameSite=None` cookies.
fn answers_by_post(idp: &Idp) -> bool {
    match &idp.config().protocol {
        IdpProtocol::Oidc(oidc) => oidc.response_mode == ResponseMode::FormPost,
        IdpProtocol::Saml(_) => true,
    }
}
