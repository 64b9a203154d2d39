//! Sign-in by password and code: for people who were invited to it, and for emergencies.

use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::cookies::{self, BrowserCookies};
use super::finish::admit_refusal;
use super::{Finished, ReturnTo, SignIn, store_refusal};
use crate::audit::{Action, Actor, By, Entry};
use crate::config::Site;
use crate::directory::{Credential, Trying};
use crate::identity::Person;
use crate::local::password::{Busy, Password};
use crate::local::totp::TotpSecret;
use crate::local::{INPUT_LIMIT, fold};
use crate::metrics::Metrics;
use crate::refusal::{Reason, Refusal};
use crate::revoke;
use crate::session::{CreateError, NewSession, SessionKey, Tokens, Which};

/// A session of a break-glass account ends after so long at the latest.
const BREAK_GLASS_FOR: SignedDuration = SignedDuration::from_hours(1);
/// What TOTP secrets are sealed for in the store.
pub(super) const PURPOSE: &str = "totp secret";

/// What somebody filled in.
#[derive(Debug)]
pub struct LocalForm<'a> {
    /// E-mail address, in any spelling.
    pub user: &'a str,
    /// Password.
    pub password: &'a str,
    /// Code of the authenticator app.
    pub totp: &'a str,
}

/// Where a form came from and leads to.
#[derive(Debug)]
pub struct LocalVisit<'a> {
    /// The site.
    pub site: &'a Site,
    /// Where to go afterwards.
    pub return_to: &'a ReturnTo,
    /// The browser's cookies.
    pub browser: &'a BrowserCookies,
    /// The request; who it is by turns out here.
    pub by: &'a By,
    /// The address of the client, by which tries are counted.
    pub client: std::net::IpAddr,
}

/// A user who gave the right password and a code that was not used before. Built only where both were checked.
pub(super) struct VerifiedCredential(Credential);

impl VerifiedCredential {
    /// By an enrolment: password and code were just set and confirmed.
    pub(super) fn enrolled(credential: Credential) -> Self {
        Self(credential)
    }
}

impl SignIn {
    /// Signs in by password and code. None: something of the three is wrong, and nobody is told what.
    ///
    /// # Errors
    /// `NotFound`, `BadRequest`, `TooManyRequests`, `SsoRequired`, `Deactivated`, `StoreDown`.
    pub async fn local(
        &self,
        form: &LocalForm<'_>,
        visit: &LocalVisit<'_>,
        now: Timestamp,
    ) -> Result<Option<Finished>, Refusal> {
        if !self.config.local_accounts.enabled {
            let cause = "`local_accounts.enabled` is false";
            return Err(Refusal::new(Reason::NotFound, cause));
        }
        let too_long = |text: &str| text.len() > INPUT_LIMIT;
        if [form.user, form.password, form.totp]
            .into_iter()
            .any(too_long)
        {
            let cause = "a field is longer than 1 KiB";
            return Err(Refusal::new(Reason::BadRequest, cause));
        }
        let login_key = fold(form.user);
        let trying = Trying::new(&login_key, visit.client);
        let wait = self.directory.begin_attempt(&trying, now).await;
        if let Some(wait) = wait.map_err(|error| store_refusal(&error))? {
            Metrics::count(&self.metrics.sign_ins, "local", "throttled");
            let cause = "too many failures of that account or address";
            return Err(Refusal::new(Reason::TooManyRequests, cause).with_retry_after(wait));
        }
        let known = self.directory.credential(&login_key).await;
        let known = known.map_err(|error| store_refusal(&error))?;
        let break_glass = known.as_ref().is_some_and(|known| known.break_glass);
        let verified = match self.verify(known.as_ref(), form, now).await {
            Ok(verified) => verified,
            Err(refusal) => {
                // It was not judged: no failure.
                let _ = self.directory.attempt_succeeded(&trying).await;
                return Err(refusal);
            }
        };
        let outcome = match (verified, known) {
            (true, Some(credential)) => {
                let done = self.directory.attempt_succeeded(&trying).await;
                done.map_err(|error| store_refusal(&error))?;
                let verified = VerifiedCredential(credential);
                self.let_in_local(&verified, visit, now).await.map(Some)
            }
            (false, Some(credential)) => {
                self.note_failure(credential, visit.by, now);
                Ok(None)
            }
            (_, None) => Ok(None),
        };
        let code = match &outcome {
            Ok(Some(_)) => "ok",
            Ok(None) => "wrong",
            Err(refusal) => refusal.reason.code(),
        };
        let of = if break_glass { "break-glass" } else { "local" };
        Metrics::count(&self.metrics.sign_ins, of, code);
        outcome
    }

    /// Password and code, both looked at in any case, and with the same work for a name that nobody has.
    async fn verify(
        &self,
        known: Option<&Credential>,
        form: &LocalForm<'_>,
        now: Timestamp,
    ) -> Result<bool, Refusal> {
        // What cannot be a password is compared with nobody's.
        let (password, hash) = match Password::typed(form.password) {
            Ok(password) => (password, known.map(|known| known.password_hash.as_str())),
            Err(_) => (Password::nobodys(), None),
        };
        let right = self.passwords.verify(&password, hash).await;
        let right = right.map_err(busy)?;
        let secret = known.and_then(|known| self.totp_secret(known));
        let nobodys = TotpSecret::from_bytes(&[0; 20]);
        let step = secret
            .as_ref()
            .or(nobodys.as_ref())
            .and_then(|secret| secret.step_of(form.totp, now));
        match (right, known, secret, step) {
            (true, Some(known), Some(_), Some(step)) => self
                .directory
                .use_code(&known.user, step, now)
                .await
                .map_err(|error| store_refusal(&error)),
            (_, _, _, _) => Ok(false),
        }
    }

    fn totp_secret(&self, known: &Credential) -> Option<TotpSecret> {
        match self.seal.open(PURPOSE, &known.totp_sealed) {
            Ok(bytes) => TotpSecret::from_bytes(&bytes),
            Err(_) => {
                tracing::error!(user = %known.user, "a second factor was sealed by a key that is gone; send that user a new link");
                None
            }
        }
    }

    /// A failure is in the log; the answer does not wait for it, so that it tells nothing about the name.
    fn note_failure(&self, credential: Credential, by: &By, now: Timestamp) {
        if credential.break_glass {
            tracing::warn!(event = "break_glass", outcome = "wrong", user = %credential.user, "a break-glass account was tried");
        }
        let entry = Entry::new(action(&credential), by, "wrong password or code")
            .about(&credential.user)
            .came_to("wrong");
        let audit = self.directory.audit().clone();
        tokio::spawn(async move {
            if let Err(error) = audit.record(&entry, now).await {
                tracing::error!(event = "audit_failed", cause = %error, "a failed sign-in is not in the audit log");
            }
        });
    }

    /// From a verified credential to a session, and to the account in the app that it returns to.
    pub(super) async fn let_in_local(
        &self,
        VerifiedCredential(credential): &VerifiedCredential,
        visit: &LocalVisit<'_>,
        now: Timestamp,
    ) -> Result<Finished, Refusal> {
        let by = visit.by.as_actor(Actor::User(credential.user.clone()));
        let admitted = self.admit_local(credential, now).await;
        let entry = Entry::new(action(credential), &by, "signed in by password and code")
            .about(&credential.user)
            .with(json!({ "origin": visit.site.public_url.origin }));
        let entry = match &admitted {
            Ok(_) => entry,
            Err(refusal) => Entry {
                why: refusal.cause.clone(),
                ..entry.came_to(refusal.reason.code())
            },
        };
        if credential.break_glass {
            tracing::warn!(event = "break_glass", outcome = entry.outcome, user = %credential.user, "a break-glass account was used");
        }
        // No emergency goes unseen: what cannot be written down does not happen.
        let recorded = self.directory.audit().record(&entry, now).await;
        recorded.map_err(|error| store_refusal(&error))?;
        let person = admitted?;
        let cookies = self
            .begin_local_session(credential, person.clone(), visit, now)
            .await?;
        let outcome = self
            .account_for(visit.site, visit.return_to.as_str(), &person, now)
            .await
            .map(|()| visit.return_to.as_str().to_owned());
        Ok(Finished { cookies, outcome })
    }

    async fn admit_local(
        &self,
        credential: &Credential,
        now: Timestamp,
    ) -> Result<Person, Refusal> {
        if self.config.local_accounts.require_sso && !credential.break_glass {
            let cause = "`local_accounts.require_sso`, and the account is not marked break-glass";
            return Err(Refusal::new(Reason::SsoRequired, cause));
        }
        self.directory
            .admit(&credential.subject(), &credential.attributes(), None, now)
            .await
            .map_err(admit_refusal)
    }

    async fn begin_local_session(
        &self,
        credential: &Credential,
        person: Person,
        visit: &LocalVisit<'_>,
        now: Timestamp,
    ) -> Result<Vec<String>, Refusal> {
        let LocalVisit { site, browser, .. } = visit;
        let user = person.user.clone();
        let by = visit.by.as_actor(Actor::User(user.clone()));
        let before: Vec<SessionKey> = browser
            .starting_with(&site.cookie_name)
            .filter(|(name, _)| *name == site.cookie_name)
            .filter_map(|(_, value)| SessionKey::of_cookie(value.as_bytes()))
            .collect();
        for key in before {
            self.revoke(Which::One(&key), revoke::Why::Replaced, &by, now)
                .await?;
        }
        let new = NewSession {
            person,
            origin: site.public_url.origin.clone(),
            authenticated_at: now,
            acr: None,
            idp_session: None,
            tokens: Tokens::default(),
            renew_at: None,
            ends_at: credential.break_glass.then(|| now + BREAK_GLASS_FOR),
        };
        let (cookie, _) = self
            .sessions
            .create(new, now)
            .await
            .map_err(|error| match error {
                CreateError::Store(error) => store_refusal(&error),
                CreateError::Ended => Refusal::new(Reason::Deactivated, error.to_string()),
            })?;
        self.sessions
            .reload_person(&user)
            .await
            .map_err(|error| store_refusal(&error))?;
        let name = &site.cookie_name;
        Ok(vec![cookies::set(site, name, cookie.expose(), None, false)])
    }
}

fn action(credential: &Credential) -> Action {
    if credential.break_glass {
        Action::BreakGlass
    } else {
        Action::LocalSignIn
    }
}

pub(super) fn busy(Busy: Busy) -> Refusal {
    Refusal::new(Reason::TooManyRequests, Busy.to_string())
        .with_retry_after(std::time::Duration::from_secs(1))
}
