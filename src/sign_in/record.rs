//! What the audit log gets of sign-ins: those that were let in, and those that were refused after somebody was verified, or once
//! for each sign-in that began here. What nobody can be held to (unknown state, junk) is counted only.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::finish::Arrival;
use super::pending::{PendingLogin, VALID_FOR};
use super::{SignIn, store_refusal};
use crate::audit::{Action, Actor, By, Entry};
use crate::directory::{AdmitError, BlockSource};
use crate::identity::{IdpId, UserId};
use crate::idp::VerifiedLogin;
use crate::refusal::{Reason, Refusal};

/// Outcome where SCIM deactivated or deleted the person.
const DEPROVISIONED: &str = "login_denied_deprovisioned";
/// Characters of a cause at most; the IdP chose a part of it.
const CAUSE_LEN: usize = 300;
/// What is claimed of a sign-in whose refusal was recorded.
const REFUSED: &str = "refused sign-in";

/// Somebody who was verified and is not let in.
pub(super) struct Turned {
    pub(super) refusal: Refusal,
    /// The code for the log, which may know more than the refusal.
    outcome: &'static str,
    user: Option<UserId>,
}

impl From<Refusal> for Turned {
    fn from(refusal: Refusal) -> Self {
        Self {
            outcome: refusal.reason.code(),
            refusal,
            user: None,
        }
    }
}

impl From<AdmitError> for Turned {
    fn from(error: AdmitError) -> Self {
        let (user, by) = match &error {
            AdmitError::Deactivated { user, by } => (Some(user.clone()), by.clone()),
            AdmitError::Store(_) | AdmitError::EmailTaken(_) | AdmitError::UsernameTaken(_) => {
                (None, None)
            }
        };
        let refusal = super::finish::admit_refusal(error);
        let outcome = match by {
            Some(BlockSource::Scim(_)) => DEPROVISIONED,
            Some(BlockSource::Admin) | None => refusal.reason.code(),
        };
        Self {
            refusal,
            outcome,
            user,
        }
    }
}

impl Turned {
    /// The same, where it is known by now who it is.
    pub(super) fn who_is(mut self, user: &UserId) -> Self {
        self.user = Some(user.clone());
        self
    }
}

impl SignIn {
    /// Records that somebody signed in. Where that cannot be, the sign-in must not stand.
    pub(super) async fn record_signed_in(
        &self,
        arrival: &Arrival<'_>,
        login: &VerifiedLogin,
        user: &UserId,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        let idp = &arrival.idp.config().id;
        let by = arrival.by.as_actor(Actor::Idp(idp.clone()));
        let entry = Entry::new(Action::SignIn, &by, "signed in")
            .about(user)
            .at_idp(idp)
            .with(details(arrival, login));
        self.directory
            .audit()
            .record(&entry, now)
            .await
            .map_err(|error| store_refusal(&error))
    }

    /// Records that somebody who was verified is not let in.
    pub(super) async fn record_turned(
        &self,
        arrival: &Arrival<'_>,
        login: &VerifiedLogin,
        turned: &Turned,
        now: Timestamp,
    ) {
        let idp = &arrival.idp.config().id;
        let by = arrival.by.as_actor(Actor::Idp(idp.clone()));
        let entry = Entry::new(Action::SignIn, &by, shortened(&turned.refusal.cause))
            .at_idp(idp)
            .came_to(turned.outcome)
            .with(details(arrival, login));
        let entry = match &turned.user {
            Some(user) => entry.about(user),
            None => entry,
        };
        self.record_refusal(&turned.refusal, &entry, now).await;
    }

    /// Records that the answer to a sign-in that began here did not do; once for each, whatever is sent for it.
    pub(super) async fn record_failed(
        &self,
        pending: &PendingLogin,
        (idp, by): (&IdpId, &By),
        refusal: &Refusal,
        now: Timestamp,
    ) {
        let until = now + SignedDuration::from_secs(2 * VALID_FOR);
        let id = pending.claim_id();
        let is_first = self.claims.claim(REFUSED, &id, until).await;
        if !is_first.is_ok_and(|first| first) {
            return;
        }
        let mut details = json!({});
        if let Some(check) = refusal.check {
            details = json!({ "check": check.code });
        }
        let entry = Entry::new(Action::SignIn, by, shortened(&refusal.cause))
            .at_idp(idp)
            .came_to(refusal.reason.code())
            .with(details);
        self.record_refusal(refusal, &entry, now).await;
    }

    /// A refusal stands in any case. Without a store there is nothing to write to, and the refusal says so.
    async fn record_refusal(&self, refusal: &Refusal, entry: &Entry, now: Timestamp) {
        if refusal.reason == Reason::StoreDown {
            return;
        }
        if let Err(error) = self.directory.audit().record(entry, now).await {
            tracing::error!(event = "audit_failed", cause = %error, "a refused sign-in is not in the audit log");
        }
    }
}

/// Who the IdP said it is, also where that is nobody here.
fn details(arrival: &Arrival<'_>, login: &VerifiedLogin) -> Value {
    json!({
        "site": arrival.site.public_url.origin,
        "protocol": login.subject().protocol.as_str(),
        "subject": login.subject().value,
        "email": login.attributes().email,
        "acr": login.acr(),
    })
}

fn shortened(cause: &str) -> String {
    let printable = cause.chars().filter(|letter| !letter.is_control());
    printable.take(CAUSE_LEN).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn outcome(error: AdmitError) -> (&'static str, Option<String>) {
        let turned = Turned::from(error);
        (turned.outcome, turned.user.map(|user| user.to_string()))
    }

    #[test]
    fn who_was_deprovisioned_by_scim_is_told_apart_in_the_log() {
        let gone = |by| AdmitError::Deactivated {
            user: UserId::new("usr_1"),
            by,
        };
        let user = Some("usr_1".to_owned());
        let scim = BlockSource::Scim(IdpId::new("acme"));
        assert_eq!(outcome(gone(Some(scim))), (DEPROVISIONED, user.clone()));
        for by in [Some(BlockSource::Admin), None] {
            assert_eq!(outcome(gone(by)), ("deactivated", user.clone()));
        }
        let taken = AdmitError::EmailTaken(UserId::new("usr_2"));
        assert_eq!(outcome(taken), ("identity_conflict", None));
    }

    #[test]
    fn a_cause_is_one_short_line() {
        assert_eq!(shortened("a\nb\u{7}c"), "abc");
        assert_eq!(shortened(&"ä".repeat(1000)).chars().count(), CAUSE_LEN);
    }
}
