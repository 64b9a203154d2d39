//! The second half with SAML: a response that was posted to the assertion consumer service (SAML Profiles 4.1.4).

use jiff::Timestamp;

use super::cookies::BrowserCookies;
use super::finish::{Arrival, Finished};
use super::pending::{Before, Flow, PendingLogin};
use super::{SignIn, saml_refusal, store_refusal};
use crate::audit::By;
use crate::claims;
use crate::config::Site;
use crate::identity::IdpId;
use crate::idp::saml::response::Origin;
use crate::idp::saml::{Check, Refused, SamlError, SamlIdp, VerifiedResponse};
use crate::idp::{Idp, VerifiedLogin};
use crate::refusal::{Reason, Refusal};
use crate::trace;

/// A form that arrived at the assertion consumer service of an IdP.
#[derive(Debug)]
pub struct AcsPost<'a> {
    /// The site that it arrived at.
    pub site: &'a Site,
    /// Id of the IdP as it stands in the URL.
    pub idp: &'a str,
    /// `SAMLResponse`, still base64.
    pub saml_response: &'a str,
    /// `RelayState`.
    pub relay_state: Option<&'a str>,
    /// The browser's cookies.
    pub browser: &'a BrowserCookies,
    /// Whether the browser says that another site posted it, so that it left its session cookie out.
    pub from_other_site: bool,
    /// The request; who it is by turns out here.
    pub by: &'a By,
}

/// A sign-in that a response answers.
struct Found {
    pending: PendingLogin,
    request_id: String,
}

impl SignIn {
    /// Finishes a sign-in by SAML. Nothing is used up by a response that does not verify.
    ///
    /// # Errors
    /// Every refusal that leaves no new session; those of one app come in [`Finished::outcome`].
    pub async fn finish_saml(
        &self,
        post: AcsPost<'_>,
        now: Timestamp,
    ) -> Result<Finished, Refusal> {
        if let Some(finished) = self.finish_saml_test(&post, now).await {
            return finished;
        }
        trace::step("sign_in.callback", self.finish_by_saml(&post, now)).await
    }

    async fn finish_by_saml(
        &self,
        post: &AcsPost<'_>,
        now: Timestamp,
    ) -> Result<Finished, Refusal> {
        let idp = self.idp(post.idp)?;
        let Idp::Saml(saml) = idp else {
            let cause = "that identity provider does not speak SAML";
            return Err(Refusal::new(Reason::UnknownIdp, cause));
        };
        let outcome = match self.begun(post, &idp.config().id, now) {
            Some(found) => self.finish_requested(idp, saml, post, &found, now).await,
            None if saml.takes_unsolicited() => self.finish_unsolicited(idp, saml, post, now).await,
            None => {
                let cause = "no sign-in of this browser has that RelayState";
                self.go_on_or_refuse(post.site, post.browser, None, cause, now)
                    .await
            }
        };
        self.count(&idp.config().id, &outcome);
        outcome
    }

    /// The sign-in of this browser that the `RelayState` names.
    fn begun(&self, post: &AcsPost<'_>, idp: &IdpId, now: Timestamp) -> Option<Found> {
        let token = post.relay_state?;
        let (pending, _) =
            PendingLogin::of_answer(token, idp, post.site, &self.seal, post.browser, now)?;
        match &pending.flow {
            Flow::Saml(secrets) => {
                let request_id = secrets.request_id.clone();
                Some(Found {
                    pending,
                    request_id,
                })
            }
            Flow::Oidc(_) => None,
        }
    }

    async fn finish_requested(
        &self,
        idp: &Idp,
        saml: &SamlIdp,
        post: &AcsPost<'_>,
        found: &Found,
        now: Timestamp,
    ) -> Result<Finished, Refusal> {
        let pending = &found.pending;
        let origin = Origin::Requested(&found.request_id);
        let response = match self.redeem(saml, post, origin, now).await {
            Ok(response) => response,
            Err(refusal) => {
                let from = (&idp.config().id, post.by);
                self.record_failed(pending, from, &refusal, now).await;
                return Err(refusal);
            }
        };
        if !self.claim(pending, now).await? {
            // The back button, or a form sent twice: the session that the first one made is not shown to a POST of another site.
            if post.from_other_site {
                return Ok(Finished::going_on_to(&pending.return_to));
            }
            let cause = "that sign-in was finished before";
            return self
                .go_on_or_refuse(post.site, post.browser, Some(pending), cause, now)
                .await;
        }
        let arrival = Arrival {
            idp,
            site: post.site,
            browser: post.browser,
            return_to: &pending.return_to,
            before: pending.before.as_ref(),
            by: post.by,
            since: pending.anew.then_some(pending.started_at),
        };
        // The state cookie stays until its time is over, so that the back button can be told from a lost sign-in.
        self.let_in_once(&arrival, response, now).await
    }

    /// A sign-in that began at the IdP's portal (SAML Profiles 4.1.5).
    async fn finish_unsolicited(
        &self,
        idp: &Idp,
        saml: &SamlIdp,
        post: &AcsPost<'_>,
        now: Timestamp,
    ) -> Result<Finished, Refusal> {
        let response = match saml
            .redeem(
                post.saml_response,
                &self.acs(post.site, &idp.config().id),
                Origin::Unsolicited,
                now,
            )
            .await
        {
            Ok(response) => response,
            // It answers a request after all, of which this browser knows nothing (any more).
            Err(
                error @ SamlError::Invalid(Refused {
                    check: Check::InResponseTo,
                    ..
                }),
            ) => {
                let cause = error.to_string();
                return self
                    .go_on_or_refuse(post.site, post.browser, None, &cause, now)
                    .await;
            }
            Err(error) => return Err(saml_refusal(&error)),
        };
        let before = Before::default();
        let arrival = Arrival {
            idp,
            site: post.site,
            browser: post.browser,
            return_to: landing(post.site, post.relay_state),
            before: Some(&before),
            by: post.by,
            since: None,
        };
        self.let_in_once(&arrival, response, now).await
    }

    pub(super) async fn redeem(
        &self,
        saml: &SamlIdp,
        post: &AcsPost<'_>,
        origin: Origin<'_>,
        now: Timestamp,
    ) -> Result<VerifiedResponse, Refusal> {
        let acs = self.acs(post.site, &saml.config().id);
        let redeemed = saml.redeem(post.saml_response, &acs, origin, now);
        trace::step("sign_in.redeem", redeemed)
            .await
            .map_err(|error| saml_refusal(&error))
    }

    /// One assertion lets in once (SAML Profiles 4.1.4.5), whichever sign-in it is posted to.
    async fn let_in_once(
        &self,
        arrival: &Arrival<'_>,
        response: VerifiedResponse,
        now: Timestamp,
    ) -> Result<Finished, Refusal> {
        let claimed = self.claim_assertion(&arrival.idp.config().id, &response);
        let claimed = claimed.await;
        let login = VerifiedLogin::from(response);
        if let Err(refusal) = claimed {
            let turned = refusal.into();
            self.record_turned(arrival, &login, &turned, now).await;
            return Err(turned.refusal);
        }
        self.let_in(arrival, login, now).await
    }

    /// Uses an assertion up.
    pub(super) async fn claim_assertion(
        &self,
        idp: &IdpId,
        response: &VerifiedResponse,
    ) -> Result<(), Refusal> {
        let facts = response.facts();
        let id = claims::id_of(idp, &facts.assertion_id);
        let is_new = self
            .claims
            .claim("assertion", &id, facts.valid_until)
            .await
            .map_err(|error| store_refusal(&error))?;
        if !is_new {
            let refused = Refused::at(Check::Replay, "the assertion was used before");
            return Err(saml_refusal(&SamlError::Invalid(refused)));
        }
        Ok(())
    }
}

/// Where a sign-in that nobody asked for leads to: exactly the path of an app of this site, else the root (or, where no app has
/// that, the app with the shortest path).
fn landing<'a>(site: &'a Site, relay_state: Option<&str>) -> &'a str {
    let named = relay_state.and_then(|path| site.apps.iter().find(|app| app.path == path));
    let root = || {
        if site.app("/").is_some() {
            "/"
        } else {
            site.apps.last().map_or("/", |app| app.path.as_str())
        }
    };
    named.map_or_else(root, |app| app.path.as_str())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::config::{self, Config};

    fn config(apps: &str) -> Config {
        let text = format!(
            "listen: 127.0.0.1:0\npublic_url: https://app.test\nidentity_providers:\n  - id: globex\n    \
             saml: {{ metadata_url: 'https://idp.test' }}\napps:\n{apps}"
        );
        config::parse("test.yaml", &text, &|_| None).unwrap()
    }

    #[test]
    fn a_portal_leads_to_the_path_of_an_app_and_nowhere_else() {
        let two = config(
            "  - { id: wiki, upstream: 'http://127.0.0.1:1', path: /wiki }\n  - { id: all, upstream: 'http://127.0.0.1:2' }\n",
        );
        let site = &two.sites[0];
        assert_eq!(landing(site, Some("/wiki")), "/wiki");
        for other in [
            "/wiki/",
            "/wiki/page",
            "wiki",
            "//evil.test",
            "https://evil.test/wiki",
            "https://app.test/wiki",
            "",
        ] {
            assert_eq!(landing(site, Some(other)), "/", "{other}");
        }
        assert_eq!(landing(site, None), "/");
        let one = config("  - { id: wiki, upstream: 'http://127.0.0.1:1', path: /wiki }\n");
        assert_eq!(landing(&one.sites[0], None), "/wiki");
    }
}
