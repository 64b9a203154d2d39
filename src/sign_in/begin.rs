//! The first half: off to the IdP, with the state sealed in a cookie.

use jiff::Timestamp;

use super::cookies::BrowserCookies;
use super::pending::{Before, Flow, PendingLogin};
use super::{ReturnTo, SignIn, looping, oidc_refusal, saml_refusal};
use crate::config::{IdpProtocol, ResponseMode, Site};
use crate::idp::oidc::OidcIdp;
use crate::idp::saml::{Outgoing, SamlIdp};
use crate::idp::{Idp, oidc, saml};
use crate::refusal::{Reason, Refusal};
use crate::trace;

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
    /// Whether the person must sign in there anew, so that the session says of now.
    pub anew: bool,
    /// For a test sign-in, also at an IdP that is switched off: the public id of the admin's session.
    pub test: Option<&'a str>,
    /// Whether the browser shows a live session: then nothing is going round in circles.
    pub signed_in: bool,
    /// The browser's cookies.
    pub browser: &'a BrowserCookies,
}

/// Where to send the browser, and what it has to keep.
#[derive(Debug)]
pub struct Begun {
    /// The way to the IdP: a redirect, or a form that the browser posts.
    pub way: Outgoing,
    /// `Set-Cookie` lines.
    pub cookies: Vec<String>,
}

impl SignIn {
    /// Begins a sign-in.
    ///
    /// # Errors
    /// `UnknownIdp`, `SignInLoop`, `IdpDown`, `Internal`.
    pub async fn begin(&self, begin: Begin<'_>, now: Timestamp) -> Result<Begun, Refusal> {
        trace::step("sign_in.begin", self.begin_here(begin, now)).await
    }

    async fn begin_here(&self, begin: Begin<'_>, now: Timestamp) -> Result<Begun, Refusal> {
        let idp = match begin.test {
            Some(_) => self.any_idp(begin.idp)?,
            None => self.idp(begin.idp)?,
        };
        trace::note("usher.idp", idp.config().id.as_str());
        if !begin.signed_in && looping::is_looping(begin.site, &self.seal, begin.browser, now) {
            let cause = "several sign-ins finished within a minute without a session coming back";
            return Err(Refusal::new(Reason::SignInLoop, cause));
        }
        let (way, flow) = match idp {
            Idp::Oidc(oidc) => self.towards_oidc(oidc, &begin).await?,
            Idp::Saml(saml) => self.towards_saml(saml, &begin, now).await?,
        };
        let cross_site = answers_by_post(idp);
        let before = matches!(flow, Flow::Saml(_)).then(|| Before {
            session: begin
                .browser
                .session_key(begin.site)
                .map(|key| key.to_text()),
            finished: looping::read(begin.site, &self.seal, begin.browser, now),
        });
        let pending = PendingLogin {
            idp: idp.config().id.clone(),
            origin: begin.site.public_url.origin.clone(),
            return_to: begin.return_to.as_str().to_owned(),
            flow,
            before,
            started_at: now.as_second(),
            anew: begin.anew,
            test: begin.test.map(str::to_owned),
            trace: trace::carry(),
        };
        let cookies = pending
            .keep(begin.site, &self.seal, begin.browser, cross_site)
            .map_err(|error| Refusal::new(Reason::Internal, error.to_string()))?;
        Ok(Begun { way, cookies })
    }

    async fn towards_oidc(
        &self,
        oidc: &OidcIdp,
        begin: &Begin<'_>,
    ) -> Result<(Outgoing, Flow), Refusal> {
        let secrets = oidc::FlowSecrets::generate().map_err(|error| oidc_refusal(&error))?;
        let redirect_uri = self.redirect_uri(begin.site, &oidc.config().id)?;
        let asked = oidc::Asked {
            login_hint: begin.login_hint,
            other_account: begin.other_account,
            anew: begin.anew,
        };
        let location = oidc
            .authorization_url(&redirect_uri, &secrets, asked)
            .await
            .map_err(|error| oidc_refusal(&error))?;
        Ok((Outgoing::Redirect(location), Flow::Oidc(secrets)))
    }

    async fn towards_saml(
        &self,
        saml: &SamlIdp,
        begin: &Begin<'_>,
        now: Timestamp,
    ) -> Result<(Outgoing, Flow), Refusal> {
        let secrets = saml::FlowSecrets::generate().map_err(|error| saml_refusal(&error))?;
        let acs = self.acs(begin.site, &saml.config().id);
        let asked = saml::Asked {
            flow: &secrets,
            acs: &acs,
            login_hint: begin.login_hint,
            // `ForceAuthn` in both cases.
            other_account: begin.other_account || begin.anew,
        };
        let way = saml
            .begin(asked, now)
            .await
            .map_err(|error| saml_refusal(&error))?;
        Ok((way, Flow::Saml(secrets)))
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
