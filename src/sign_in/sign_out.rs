//! Signing out: here first, then at the IdP (OIDC RP-Initiated Logout 1.0).

use jiff::Timestamp;
use url::Url;

use super::cookies::{self, BrowserCookies};
use super::{ReturnTo, SignIn, store_refusal};
use crate::config::Site;
use crate::idp::Idp;
use crate::refusal::{Reason, Refusal};
use crate::revoke;
use crate::session::Which;

const PURPOSE: &str = "sign-out state";

/// How a sign-out ends for the browser.
#[derive(Debug)]
pub struct SignedOut {
    /// The IdP's logout URL, if the session had one to go to; else the page is shown at once.
    pub location: Option<Url>,
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
        now: Timestamp,
    ) -> Result<SignedOut, Refusal> {
        let cookies = forget_all(site, browser);
        let Some(key) = browser.session_key(site) else {
            return Ok(SignedOut {
                location: None,
                cookies,
            });
        };
        let session = self
            .sessions
            .find(&key, &site.public_url.origin, now)
            .await
            .map_err(|error| store_refusal(&error))?;
        let Some(session) = session else {
            return Ok(SignedOut {
                location: None,
                cookies,
            });
        };
        let tokens = self
            .sessions
            .tokens(&key)
            .await
            .map_err(|error| store_refusal(&error))?;
        revoke::revoke(
            &self.sessions,
            Which::One(&key),
            revoke::Why::SignedOut,
            now,
        )
        .await
        .map_err(|error| store_refusal(&error))?;
        let person = session.person.load_full();
        let Some(Idp::Oidc(oidc)) = self.idps.get(&person.subject.idp) else {
            return Ok(SignedOut {
                location: None,
                cookies,
            });
        };
        let back = format!("{}{}/sign-out", site.public_url.origin, self.config.prefix);
        let back =
            Url::parse(&back).map_err(|error| Refusal::new(Reason::Internal, error.to_string()))?;
        let state = self
            .seal
            .seal(PURPOSE, return_to.as_str().as_bytes())
            .map_err(|error| Refusal::new(Reason::Internal, error.to_string()))?;
        let location = oidc
            .sign_out_url(tokens.id_token.as_ref(), &back, &state)
            .await;
        Ok(SignedOut { location, cookies })
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
