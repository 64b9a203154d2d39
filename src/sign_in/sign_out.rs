//! Signing out: here first, then at the IdP (OIDC RP-Initiated Logout 1.0, SAML single logout).

use std::sync::Arc;

use jiff::Timestamp;
use url::Url;

use super::cookies::{self, BrowserCookies};
use super::{ReturnTo, SignIn, store_refusal};
use crate::audit::{Actor, By};
use crate::config::Site;
use crate::idp::Idp;
use crate::idp::oidc::OidcIdp;
use crate::idp::saml::Outgoing;
use crate::refusal::{Reason, Refusal};
use crate::revoke;
use crate::session::{Session, Tokens, Which};

const PURPOSE: &str = "sign-out state";

/// How a sign-out ends for the browser.
#[derive(Debug)]
pub struct SignedOut {
    /// The way to sign out at the IdP too, if it has one; else the page is shown at once.
    pub way: Option<Outgoing>,
    /// Whether the IdP could not be asked to sign out there, although it takes that.
    pub only_here: bool,
    /// `Set-Cookie` lines that delete everything of usher's own.
    pub cookies: Vec<String>,
}

impl SignIn {
    /// Ends the session of this browser at this site.
    ///
    /// # Errors
    /// `StoreDown` if it could not be written: then nobody was signed out.
    pub async fn sign_out(
        &self,
        site: &Site,
        browser: &BrowserCookies,
        return_to: &ReturnTo,
        by: &By,
        now: Timestamp,
    ) -> Result<SignedOut, Refusal> {
        let mut signed_out = SignedOut {
            way: None,
            only_here: false,
            cookies: forget_all(site, browser),
        };
        let Some((session, tokens)) = self.ended(site, browser, by, now).await? else {
            return Ok(signed_out);
        };
        let person = session.person.load_full();
        match self.idps.get(&person.subject.idp) {
            None => {}
            Some(Idp::Oidc(oidc)) => {
                signed_out.way = self.leave_oidc(oidc, site, &tokens, return_to).await?;
            }
            Some(Idp::Saml(saml)) => {
                let Some(name_id) = &tokens.name_id else {
                    return Ok(signed_out);
                };
                let who = (name_id, session.idp_session.as_deref());
                let left = self.leave_saml(saml, site, who, return_to.as_str(), now);
                match left.await {
                    Ok(left) => {
                        signed_out.way = left.way;
                        signed_out.cookies.extend(left.cookies);
                    }
                    Err(error) => {
                        tracing::warn!(idp = %person.subject.idp, cause = %error, "signed out here, but not at the identity provider");
                        signed_out.only_here = true;
                    }
                }
            }
        }
        Ok(signed_out)
    }

    /// Ends the session of this browser and gives what it was.
    async fn ended(
        &self,
        site: &Site,
        browser: &BrowserCookies,
        by: &By,
        now: Timestamp,
    ) -> Result<Option<(Arc<Session>, Tokens)>, Refusal> {
        let Some(key) = browser.session_key(site) else {
            return Ok(None);
        };
        let origin = &site.public_url.origin;
        let found = self.sessions.find(&key, origin, now).await;
        let Some(session) = found.map_err(|error| store_refusal(&error))? else {
            return Ok(None);
        };
        let tokens = self.sessions.tokens(&key).await;
        let tokens = tokens.map_err(|error| store_refusal(&error))?;
        let by = by.as_actor(Actor::User(session.person.load().user.clone()));
        self.revoke(Which::One(&key), revoke::Why::SignedOut, &by, now)
            .await?;
        Ok(Some((session, tokens)))
    }

    async fn leave_oidc(
        &self,
        oidc: &OidcIdp,
        site: &Site,
        tokens: &Tokens,
        return_to: &ReturnTo,
    ) -> Result<Option<Outgoing>, Refusal> {
        let internal = |error: String| Refusal::new(Reason::Internal, error);
        let back = format!("{}{}/sign-out", site.public_url.origin, self.config.prefix);
        let back = Url::parse(&back).map_err(|error| internal(error.to_string()))?;
        let state = self
            .seal
            .seal(PURPOSE, return_to.as_str().as_bytes())
            .map_err(|error| internal(error.to_string()))?;
        let location = oidc
            .sign_out_url(tokens.id_token.as_ref(), &back, &state)
            .await;
        Ok(location.map(Outgoing::Redirect))
    }

    /// Where to offer to go after the IdP sent the browser back with the state of [`SignIn::sign_out`].
    pub fn return_to_after(&self, state: &str, site: &Site) -> ReturnTo {
        let given = self
            .seal
            .open(PURPOSE, state)
            .ok()
            .and_then(|plain| String::from_utf8(plain).ok());
        ReturnTo::judge(given.as_deref(), site, &self.config)
    }
}

/// Deletes every cookie of usher's own that the browser showed, and the session cookie in any case.
fn forget_all(site: &Site, browser: &BrowserCookies) -> Vec<String> {
    let own = format!("{}-", site.cookie_name);
    let mut names: Vec<&str> = browser.starting_with(&own).map(|(name, _)| name).collect();
    names.push(&site.cookie_name);
    names.sort_unstable();
    names.dedup();
    names
        .into_iter()
        .map(|name| cookies::delete(site, name))
        .collect()
}
