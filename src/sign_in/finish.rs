//! The second half: the answer is verified, the user found or made, the session begun.

use jiff::{SignedDuration, Timestamp};

use super::cookies::{self, BrowserCookies};
use super::pending::{Before, Flow, PendingLogin, VALID_FOR};
use super::record::Turned;
use super::{SignIn, looping, oidc_refusal, store_refusal};
use crate::audit::{Actor, By};
use crate::config::{self, IdpProtocol, Site};
use crate::directory::{AdmitError, JoinRule};
use crate::identity::{Attributes, IdpId, Person};
use crate::idp::oidc::{AuthorizationResponse, OidcIdp};
use crate::idp::{Idp, VerifiedLogin};
use crate::metrics::Metrics;
use crate::provision::Occasion;
use crate::refusal::{FailedCheck, Reason, Refusal};
use crate::revoke;
use crate::session::{CreateError, NewSession, Session, SessionKey, Which};
use crate::trace;

/// Seconds that clocks may be apart.
const SKEW: i64 = 60;

/// An answer that arrived at the redirect URI of an IdP.
#[derive(Debug)]
pub struct Callback<'a> {
    /// The site that it arrived at.
    pub site: &'a Site,
    /// Id of the IdP as it stands in the URL.
    pub idp: &'a str,
    /// The parameters.
    pub response: AuthorizationResponse,
    /// The browser's cookies.
    pub browser: &'a BrowserCookies,
    /// The request; who it is by turns out here.
    pub by: &'a By,
}

/// How a callback ends for the browser.
#[derive(Debug)]
pub struct Finished {
    /// `Set-Cookie` lines: the new session, and what is over.
    pub cookies: Vec<String>,
    /// Where to go; or why the app does not let this person in although the session stands.
    pub outcome: Result<String, Refusal>,
}

impl Finished {
    /// Off to `location`, with nothing new to keep.
    pub(super) fn going_on_to(location: &str) -> Self {
        Self {
            cookies: Vec::new(),
            outcome: Ok(location.to_owned()),
        }
    }
}

/// Where somebody arrives who was verified.
pub(super) struct Arrival<'a> {
    pub(super) idp: &'a Idp,
    pub(super) site: &'a Site,
    pub(super) browser: &'a BrowserCookies,
    pub(super) return_to: &'a str,
    /// What the browser had when it began, where its cookies do not tell now.
    pub(super) before: Option<&'a Before>,
    /// The request, for the log.
    pub(super) by: &'a By,
    /// Since when the person must have signed in there, where that was asked for.
    pub(super) since: Option<i64>,
}

impl Arrival<'_> {
    /// The sessions that this browser has, by its cookies of now and of then.
    fn sessions_before(&self) -> Vec<SessionKey> {
        let now = self
            .browser
            .starting_with(&self.site.cookie_name)
            .filter(|(name, _)| *name == self.site.cookie_name)
            .filter_map(|(_, value)| SessionKey::of_cookie(value.as_bytes()));
        let then = self
            .before
            .and_then(|before| before.session.as_deref())
            .and_then(SessionKey::from_text);
        now.chain(then).collect()
    }
}

impl SignIn {
    /// Finishes a sign-in by OIDC.
    ///
    /// # Errors
    /// Every refusal that leaves no new session; those of one app come in [`Finished::outcome`].
    pub async fn finish(
        &self,
        callback: Callback<'_>,
        now: Timestamp,
    ) -> Result<Finished, Refusal> {
        if let Some(finished) = self.finish_test(&callback, now).await {
            return finished;
        }
        let work = self.finish_by_oidc(&callback, now);
        trace::step("sign_in.callback", work).await
    }

    async fn finish_by_oidc(
        &self,
        callback: &Callback<'_>,
        now: Timestamp,
    ) -> Result<Finished, Refusal> {
        let idp = self.idp(callback.idp)?;
        let Idp::Oidc(oidc) = idp else {
            let cause = "that identity provider does not speak OIDC";
            return Err(Refusal::new(Reason::UnknownIdp, cause));
        };
        let outcome = self.finish_at(idp, oidc, callback, now).await;
        self.count(&idp.config().id, &outcome);
        outcome
    }

    pub(super) fn count(&self, idp: &IdpId, outcome: &Result<Finished, Refusal>) {
        let code = match outcome {
            Ok(Finished { outcome: Ok(_), .. }) => "ok",
            Ok(Finished {
                outcome: Err(refusal),
                ..
            })
            | Err(refusal) => refusal.reason.code(),
        };
        trace::note("usher.idp", idp.as_str());
        trace::note("usher.outcome", code);
        Metrics::count(&self.metrics.sign_ins, idp.as_str(), code);
    }

    async fn finish_at(
        &self,
        idp: &Idp,
        oidc: &OidcIdp,
        callback: &Callback<'_>,
        now: Timestamp,
    ) -> Result<Finished, Refusal> {
        let Callback {
            site,
            response,
            browser,
            ..
        } = callback;
        let state = response.state.as_deref().unwrap_or_default();
        let found =
            PendingLogin::of_answer(state, &idp.config().id, site, &self.seal, browser, now);
        let Some((pending, state_cookie)) = found else {
            let cause = "no sign-in of this browser has that state";
            return self.go_on_or_refuse(site, browser, None, cause, now).await;
        };
        let Flow::Oidc(secrets) = &pending.flow else {
            let cause = "the sign-in began with another protocol";
            return Err(Refusal::new(Reason::StateInvalid, cause));
        };
        let redirect_uri = self.redirect_uri(site, &idp.config().id)?;
        // A refusal by the IdP has no code to spend: a second try with the same state may still follow.
        if response.error.is_none() && !self.claim(&pending, now).await? {
            let (to, cause) = (Some(&pending), "that state was used before");
            return self.go_on_or_refuse(site, browser, to, cause, now).await;
        }
        let redeemed = oidc.redeem(response, secrets, &redirect_uri, now);
        let token = match trace::step("sign_in.redeem", redeemed).await {
            Ok(token) => token,
            Err(error) => {
                let (refusal, from) = (oidc_refusal(&error), (&idp.config().id, callback.by));
                self.record_failed(&pending, from, &refusal, now).await;
                return Err(refusal);
            }
        };
        let arrival = Arrival {
            idp,
            site,
            browser,
            return_to: &pending.return_to,
            before: None,
            by: callback.by,
            since: pending.anew.then_some(pending.started_at),
        };
        let mut finished = self
            .let_in(&arrival, VerifiedLogin::from(token), now)
            .await?;
        finished.cookies.push(cookies::delete(site, &state_cookie));
        Ok(finished)
    }

    /// Uses a sign-in up: true for exactly one caller.
    pub(super) async fn claim(
        &self,
        pending: &PendingLogin,
        now: Timestamp,
    ) -> Result<bool, Refusal> {
        let until = now + SignedDuration::from_secs(2 * VALID_FOR);
        self.claims
            .claim("sign-in", &pending.claim_id(), until)
            .await
            .map_err(|error| store_refusal(&error))
    }

    /// From a verified login to a session, and to the account in the app that it returns to: the same for all protocols.
    pub(super) async fn let_in(
        &self,
        arrival: &Arrival<'_>,
        login: VerifiedLogin,
        now: Timestamp,
    ) -> Result<Finished, Refusal> {
        let idp = arrival.idp.config();
        let admitted = self.admitted(arrival, &login, now);
        let (person, cookies) = match trace::step("sign_in.admit", admitted).await {
            Ok(admitted) => admitted,
            Err(turned) => {
                self.record_turned(arrival, &login, &turned, now).await;
                return Err(turned.refusal);
            }
        };
        tracing::info!(event = "signed_in", idp = %idp.id, user = %person.user, "signed in");
        let outcome = self
            .account_for(arrival.site, arrival.return_to, &person, now)
            .await
            .map(|()| arrival.return_to.to_owned());
        Ok(Finished { cookies, outcome })
    }

    /// The person with a new session, which is in the log.
    async fn admitted(
        &self,
        arrival: &Arrival<'_>,
        login: &VerifiedLogin,
        now: Timestamp,
    ) -> Result<(Person, Vec<String>), Turned> {
        let idp = arrival.idp.config();
        check_email(idp, login.attributes())?;
        check_since(arrival.since, login)?;
        let join = join_rule(&self.config, idp);
        let person = self
            .directory
            .admit(login.subject(), login.attributes(), join.as_ref(), now)
            .await?;
        // What the IdP says now holds for the other sessions too.
        self.follow(&person.user, now).await?;
        let begun = self.begin_session(arrival, login, person.clone(), now);
        let cookies = begun.await.map_err(|turned| turned.who_is(&person.user))?;
        Ok((person, cookies))
    }

    /// An answer that cannot be used goes on where the browser has a live session (another tab was first).
    pub(super) async fn go_on_or_refuse(
        &self,
        site: &Site,
        browser: &BrowserCookies,
        pending: Option<&PendingLogin>,
        cause: &str,
        now: Timestamp,
    ) -> Result<Finished, Refusal> {
        let refusal = Refusal::new(Reason::StateInvalid, cause);
        let Some(key) = browser.session_key(site) else {
            return Err(refusal);
        };
        let found = self.sessions.find(&key, &site.public_url.origin, now).await;
        match found {
            Ok(Some(_)) => {
                let location = pending.map_or("/", |pending| pending.return_to.as_str());
                Ok(Finished::going_on_to(location))
            }
            Ok(None) => Err(refusal),
            Err(error) => Err(store_refusal(&error)),
        }
    }

    /// A new id at each sign-in; the session that this browser had before is over.
    async fn begin_session(
        &self,
        arrival: &Arrival<'_>,
        login: &VerifiedLogin,
        person: Person,
        now: Timestamp,
    ) -> Result<Vec<String>, Turned> {
        let Arrival {
            idp, site, browser, ..
        } = arrival;
        let user = person.user.clone();
        let by = arrival.by.as_actor(Actor::User(user.clone()));
        for key in arrival.sessions_before() {
            self.revoke(Which::One(&key), revoke::Why::Replaced, &by, now)
                .await?;
        }
        let new = NewSession {
            person,
            origin: site.public_url.origin.clone(),
            authenticated_at: login.authenticated_at(),
            acr: login.acr().map(str::to_owned),
            idp_session: login.idp_session().map(str::to_owned),
            tokens: login.tokens().clone(),
            renew_at: renew_at(idp.config(), now),
            ends_at: login.ends_at(),
        };
        let (cookie, session) = match self.sessions.create(new, now).await {
            Ok(made) => made,
            Err(CreateError::Store(error)) => return Err(store_refusal(&error).into()),
            Err(error @ CreateError::Ended) => {
                let known = self.directory.refusal_of(&user).await;
                let known = known.map_err(|error| store_refusal(&error))?;
                let ended = || Refusal::new(Reason::Deactivated, error.to_string()).into();
                return Err(known.map_or_else(ended, Turned::from));
            }
        };
        self.still_there(arrival, &session, now).await?;
        if let Err(refusal) = self.record_signed_in(arrival, login, &user, now).await {
            let why = revoke::Why::NotRecorded;
            self.revoke(Which::One(&session.key), why, &by, now).await?;
            return Err(refusal.into());
        }
        self.sessions
            .reload_person(&user)
            .await
            .map_err(|error| store_refusal(&error))?;
        let mut lines = vec![cookies::set(
            site,
            &site.cookie_name,
            cookie.expose(),
            None,
            false,
        )];
        let before = arrival.before.map_or_else(
            || looping::read(site, &self.seal, browser, now),
            |before| before.finished,
        );
        lines.extend(looping::count(site, &self.seal, before, now));
        Ok(lines)
    }

    /// The IdP may have ended its session between the answer that it gave and the session that came of it.
    async fn still_there(
        &self,
        arrival: &Arrival<'_>,
        session: &Session,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        let idp = &arrival.idp.config().id;
        let Some(sid) = &session.idp_session else {
            return Ok(());
        };
        if !self.was_ended_there(idp, sid).await? {
            return Ok(());
        }
        let why = revoke::Why::IdpEnded;
        let by = arrival.by.as_actor(Actor::Idp(idp.clone()));
        self.revoke(Which::One(&session.key), why, &by, now).await?;
        let cause = "the identity provider ended that session during the sign-in";
        Err(Refusal::new(Reason::IdpRefused, cause))
    }

    /// The account in the app that the sign-in returns to; other apps are asked at the first visit.
    pub(super) async fn account_for(
        &self,
        site: &Site,
        return_to: &str,
        person: &Person,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        let return_to = super::ReturnTo::judge(Some(return_to), site, &self.config);
        let Some(path) = return_to.path_in(site) else {
            return Ok(());
        };
        let Some(app) = site.app(&path) else {
            return Ok(());
        };
        let ensured = self
            .provisioner
            .ensure(app, person, Occasion::SignIn, now)
            .await;
        self.sessions
            .reload_person(&person.user)
            .await
            .map_err(|error| store_refusal(&error))?;
        ensured
    }
}

/// When the attributes of a session are due to be renewed.
pub(super) fn renew_at(idp: &config::Idp, now: Timestamp) -> Option<Timestamp> {
    let every = match &idp.protocol {
        IdpProtocol::Oidc(oidc) => oidc.refresh_every?,
        IdpProtocol::Saml(_) => return None,
    };
    now.checked_add(every).ok()
}

/// Where the person had to sign in there anew, the IdP must say that they did.
fn check_since(since: Option<i64>, login: &VerifiedLogin) -> Result<(), Refusal> {
    let Some(since) = since else { return Ok(()) };
    let (code, sentence, cause) = if !login.says_when() {
        (
            "auth_time",
            "Your identity provider did not say when you signed in there, so it cannot confirm that it was just now. Its administrator must let it send the claim auth_time.",
            "a new sign-in was asked for (max_age=0), and auth_time is missing".to_owned(),
        )
    } else if login.authenticated_at().as_second() < since - SKEW {
        (
            "auth_time",
            "Your identity provider did not ask you to sign in anew. Sign out there, then try again.",
            format!(
                "a new sign-in was asked for at {since}, and the IdP says that the person signed in at {}",
                login.authenticated_at().as_second()
            ),
        )
    } else {
        return Ok(());
    };
    Err(Refusal::new(Reason::InvalidLogin, cause).at_check(FailedCheck { code, sentence }))
}

/// An address that the IdP calls unverified, or of a domain that is not its own, lets nobody in.
pub(super) fn check_email(idp: &config::Idp, attributes: &Attributes) -> Result<(), Refusal> {
    let allow_unverified = match &idp.protocol {
        IdpProtocol::Oidc(oidc) => oidc.allow_unverified_email,
        IdpProtocol::Saml(_) => false,
    };
    if attributes.email_verified == Some(false) && !allow_unverified {
        return Err(Refusal::new(
            Reason::EmailNotVerified,
            "the IdP says email_verified: false",
        ));
    }
    let Some(email) = &attributes.email else {
        return Ok(());
    };
    if idp.email_domains.is_empty()
        || domain_of(email).is_some_and(|domain| idp.email_domains.contains(&domain))
    {
        return Ok(());
    }
    let cause = format!(
        "the IdP {} may assert only the domains {:?}",
        idp.id, idp.email_domains
    );
    Err(Refusal::new(Reason::EmailDomain, cause))
}

/// The lower-case domain of an e-mail address.
pub(crate) fn domain_of(email: &str) -> Option<String> {
    let (_, domain) = email.rsplit_once('@')?;
    (!domain.is_empty()).then(|| domain.to_lowercase())
}

/// `same_users_as` in both directions: the IdPs that count as one population, within the domains that both may assert;
/// and the domains for which the IdP's word counts without `email_verified`, for invitations.
pub(super) fn join_rule(config: &config::Config, idp: &config::Idp) -> Option<JoinRule> {
    let linked = |other: &&std::sync::Arc<config::Idp>| {
        other.id != idp.id
            && (idp.same_users_as.as_ref() == Some(&other.id)
                || other.same_users_as.as_ref() == Some(&idp.id))
    };
    let with: Vec<_> = config.idps.iter().filter(linked).collect();
    let domains = with
        .iter()
        .flat_map(|other| &other.email_domains)
        .filter(|domain| idp.email_domains.contains(domain))
        .cloned()
        .collect();
    (!with.is_empty() || !idp.email_domains.is_empty()).then(|| JoinRule {
        with: with.iter().map(|other| other.id.clone()).collect(),
        domains,
        own_domains: idp.email_domains.clone(),
    })
}

pub(super) fn admit_refusal(error: AdmitError) -> Refusal {
    let reason = match &error {
        AdmitError::Store(_) => Reason::StoreDown,
        AdmitError::EmailTaken(_) | AdmitError::UsernameTaken(_) => Reason::IdentityConflict,
        AdmitError::Deactivated { .. } => Reason::Deactivated,
    };
    Refusal::new(reason, error.to_string())
}
