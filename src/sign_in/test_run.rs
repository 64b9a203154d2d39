//! A sign-in for trial: an admin sees what an IdP sends and what it would come to. Nobody is signed in, and nothing is kept in the store.

use std::sync::{Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};

use super::finish::{Callback, Finished, check_email};
use super::finish_saml::AcsPost;
use super::pending::{Flow, PendingLogin};
use super::{SignIn, cookies, oidc_refusal, store_refusal};
use crate::access::standing;
use crate::config::{Config, ProvisioningMode, Site};
use crate::identity::{AppId, Attributes, IdpId, Person, Role, Subject, UserId};
use crate::idp::oidc::OidcIdp;
use crate::idp::saml::SamlIdp;
use crate::idp::saml::response::Origin;
use crate::idp::{Idp, Received};
use crate::refusal::{Reason, Refusal};
use crate::session::SessionKey;

/// How long a result can be looked at.
const KEPT_FOR: SignedDuration = SignedDuration::from_mins(30);
/// Results at once.
const KEPT: usize = 64;

/// The last results, for the admins who began them. In this process only.
#[derive(Debug, Default)]
pub struct TestRuns(Mutex<Vec<Kept>>);

#[derive(Debug)]
struct Kept {
    sid: String,
    run: TestRun,
}

/// How a test sign-in went.
#[derive(Clone, Debug)]
pub struct TestRun {
    /// The IdP.
    pub idp: IdpId,
    /// When it ended.
    pub at: Timestamp,
    /// What came; or the check that failed, with both sides' values as its cause.
    pub outcome: Result<Seen, Refusal>,
}

/// What an IdP sent whose answer passed every check.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Who it was.
    pub subject: Subject,
    /// In usher's names.
    pub attributes: Attributes,
    /// As it came.
    pub received: Vec<Received>,
    /// When the person signed in there; none: the IdP did not say.
    pub authenticated_at: Option<Timestamp>,
    /// How.
    pub acr: Option<String>,
    /// Why this person would not be let in all the same.
    pub refusal: Option<Refusal>,
    /// What it would come to in each app.
    pub apps: Vec<Outlook>,
}

/// What groups would come to in one app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outlook {
    /// The app.
    pub app: AppId,
    /// The roles; none: refused.
    pub roles: Option<Vec<Role>>,
    /// Whether only invited people get in.
    pub invited_only: bool,
}

/// The roles in each app that a subject with these attributes would have, without anything that was given by hand.
pub fn outlook(config: &Config, subject: &Subject, attributes: &Attributes) -> Vec<Outlook> {
    let person = Person {
        user: UserId::new("usr_nobody"),
        subject: subject.clone(),
        attributes: attributes.clone(),
        accounts: Vec::new(),
        grants: Vec::new(),
    };
    let apps = config.apps.iter();
    apps.map(|app| Outlook {
        app: app.id.clone(),
        roles: standing::roles(app, &person),
        invited_only: app
            .provisioning
            .as_ref()
            .is_some_and(|provisioning| provisioning.mode == ProvisioningMode::Invited),
    })
    .collect()
}

impl TestRuns {
    fn keep(&self, sid: &str, run: TestRun) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|old| {
            run.at.duration_since(old.run.at) < KEPT_FOR
                && !(old.sid == sid && old.run.idp == run.idp)
        });
        if kept.len() >= KEPT {
            kept.remove(0);
        }
        let sid = sid.to_owned();
        kept.push(Kept { sid, run });
    }

    /// The last one that this session began at an IdP.
    fn of(&self, sid: &str, idp: &IdpId, now: Timestamp) -> Option<TestRun> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = kept.iter().find(|kept| {
            kept.sid == sid && &kept.run.idp == idp && now.duration_since(kept.run.at) < KEPT_FOR
        });
        found.map(|kept| kept.run.clone())
    }
}

impl SignIn {
    /// How the last test sign-in went that the session with that public id began.
    pub fn test_run(&self, sid: &str, idp: &IdpId, now: Timestamp) -> Option<TestRun> {
        self.test_runs.of(sid, idp, now)
    }

    /// An answer that belongs to a test sign-in; none: it does not.
    pub(super) async fn finish_test(
        &self,
        callback: &Callback<'_>,
        now: Timestamp,
    ) -> Option<Result<Finished, Refusal>> {
        let Ok(Idp::Oidc(oidc)) = self.any_idp(callback.idp) else {
            return None;
        };
        let (site, browser) = (callback.site, callback.browser);
        let state = callback.response.state.as_deref()?;
        let id = &oidc.config().id;
        let (pending, cookie) = PendingLogin::of_answer(state, id, site, &self.seal, browser, now)?;
        let sid = pending.test.as_deref()?;
        let key = browser.session_key(site);
        if let Err(refusal) = self.began_it(site, key, sid, now).await {
            return Some(Err(refusal));
        }
        let outcome = self.try_oidc(oidc, callback, &pending, now).await;
        let mut finished = self.test_ended(&pending, sid, outcome, now);
        finished.cookies.push(cookies::delete(site, &cookie));
        Some(Ok(finished))
    }

    /// The same with SAML. The post of another site does not bring the session's cookie: the sealed state tells which it was.
    pub(super) async fn finish_saml_test(
        &self,
        post: &AcsPost<'_>,
        now: Timestamp,
    ) -> Option<Result<Finished, Refusal>> {
        let Ok(Idp::Saml(saml)) = self.any_idp(post.idp) else {
            return None;
        };
        let token = post.relay_state?;
        let id = &saml.config().id;
        let (pending, _) =
            PendingLogin::of_answer(token, id, post.site, &self.seal, post.browser, now)?;
        let sid = pending.test.as_deref()?;
        let before = pending.before.as_ref();
        let key = before
            .and_then(|before| before.session.as_deref())
            .and_then(SessionKey::from_text);
        if let Err(refusal) = self.began_it(post.site, key, sid, now).await {
            return Some(Err(refusal));
        }
        let outcome = self.try_saml(saml, post, &pending, now).await;
        Some(Ok(self.test_ended(&pending, sid, outcome, now)))
    }

    /// Only within the very session that began it.
    async fn began_it(
        &self,
        site: &Site,
        key: Option<SessionKey>,
        sid: &str,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        if let Some(key) = key {
            let found = self.sessions.find(&key, &site.public_url.origin, now).await;
            let found = found.map_err(|error| store_refusal(&error))?;
            if found.is_some_and(|session| session.sid == sid) {
                return Ok(());
            }
        }
        let cause = "the session that began the test sign-in is over";
        Err(Refusal::new(Reason::StateInvalid, cause))
    }

    fn test_ended(
        &self,
        pending: &PendingLogin,
        sid: &str,
        outcome: Result<Seen, Refusal>,
        now: Timestamp,
    ) -> Finished {
        let idp = pending.idp.clone();
        let code = match &outcome {
            Ok(_) => "ok",
            Err(refusal) => refusal.reason.code(),
        };
        tracing::info!(event = "test_sign_in", idp = %idp, outcome = code, "a test sign-in ended");
        let at = now;
        self.test_runs.keep(sid, TestRun { idp, at, outcome });
        Finished::going_on_to(&pending.return_to)
    }

    async fn try_oidc(
        &self,
        oidc: &OidcIdp,
        callback: &Callback<'_>,
        pending: &PendingLogin,
        now: Timestamp,
    ) -> Result<Seen, Refusal> {
        let Flow::Oidc(secrets) = &pending.flow else {
            let cause = "the sign-in began with another protocol";
            return Err(Refusal::new(Reason::StateInvalid, cause));
        };
        if callback.response.error.is_none() && !self.claim(pending, now).await? {
            return Err(used_before());
        }
        let redirect_uri = self.redirect_uri(callback.site, &oidc.config().id)?;
        let token = oidc
            .redeem(&callback.response, secrets, &redirect_uri, now)
            .await
            .map_err(|error| oidc_refusal(&error))?;
        let facts = token.facts();
        Ok(Seen {
            subject: facts.subject.clone(),
            received: token.received(),
            authenticated_at: facts.says_when.then_some(facts.authenticated_at),
            acr: facts.acr.clone(),
            refusal: check_email(oidc.config(), &facts.attributes).err(),
            apps: outlook(&self.config, &facts.subject, &facts.attributes),
            attributes: facts.attributes.clone(),
        })
    }

    async fn try_saml(
        &self,
        saml: &SamlIdp,
        post: &AcsPost<'_>,
        pending: &PendingLogin,
        now: Timestamp,
    ) -> Result<Seen, Refusal> {
        let Flow::Saml(secrets) = &pending.flow else {
            let cause = "the sign-in began with another protocol";
            return Err(Refusal::new(Reason::StateInvalid, cause));
        };
        let origin = Origin::Requested(&secrets.request_id);
        let response = self.redeem(saml, post, origin, now).await?;
        if !self.claim(pending, now).await? {
            return Err(used_before());
        }
        self.claim_assertion(&saml.config().id, &response).await?;
        let facts = response.facts();
        Ok(Seen {
            subject: facts.subject.clone(),
            received: response.received(),
            authenticated_at: Some(facts.authenticated_at),
            acr: facts.acr.clone(),
            refusal: check_email(saml.config(), &facts.attributes).err(),
            apps: outlook(&self.config, &facts.subject, &facts.attributes),
            attributes: facts.attributes.clone(),
        })
    }
}

fn used_before() -> Refusal {
    Refusal::new(Reason::StateInvalid, "that test sign-in was used before")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    fn run(idp: &str, second: i64) -> TestRun {
        TestRun {
            idp: IdpId::new(idp),
            at: at(second),
            outcome: Err(used_before()),
        }
    }

    #[test]
    fn a_result_is_for_its_session_and_for_half_an_hour() {
        let runs = TestRuns::default();
        runs.keep("ses_1", run("acme", 0));
        let acme = IdpId::new("acme");
        let is_there = |sid: &str, idp: &IdpId, second| runs.of(sid, idp, at(second)).is_some();
        assert!(is_there("ses_1", &acme, 1799));
        assert!(!is_there("ses_1", &acme, 1800));
        assert!(!is_there("ses_2", &acme, 1));
        assert!(!is_there("ses_1", &IdpId::new("globex"), 1));
    }

    #[test]
    fn no_more_than_so_many_results_are_kept() {
        let runs = TestRuns::default();
        for number in 0..=KEPT {
            runs.keep(&format!("ses_{number}"), run("acme", 0));
        }
        assert_eq!(runs.0.lock().unwrap().len(), KEPT);
        let acme = IdpId::new("acme");
        assert!(runs.of("ses_0", &acme, at(1)).is_none());
        assert!(runs.of(&format!("ses_{KEPT}"), &acme, at(1)).is_some());
    }
}
