//! Attributes and roles follow the IdP within a session: by refresh token or userinfo, one renewal at a time for each session.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};

use super::finish::{admit_refusal, check_email, join_rule, renew_at};
use super::{SignIn, store_refusal};
use crate::idp::Idp;
use crate::idp::oidc::{OidcError, Renewed};
use crate::metrics::Metrics;
use crate::provision::Occasion;
use crate::refusal::{Reason, Refusal};
use crate::revoke;
use crate::session::{Session, SessionKey, Which};

/// Seconds until the next try after the IdP could not be reached: the session goes on meanwhile.
const AGAIN_AFTER: i64 = 30;

/// Sessions that are being renewed; whoever comes second waits, and finds it done.
#[derive(Debug, Default)]
pub(super) struct Renewing(Mutex<HashMap<SessionKey, Arc<tokio::sync::Mutex<()>>>>);

impl Renewing {
    fn lock_of(&self, key: &SessionKey) -> Arc<tokio::sync::Mutex<()>> {
        let mut locks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        locks.retain(|known, lock| known == key || Arc::strong_count(lock) > 1);
        Arc::clone(locks.entry(*key).or_default())
    }
}

impl SignIn {
    /// Renews a session whose time has come. False: it ended, because the IdP said so.
    ///
    /// # Errors
    /// `StoreDown`.
    pub async fn renew_if_due(&self, session: &Session, now: Timestamp) -> Result<bool, Refusal> {
        if session.renew_at.load(Ordering::Relaxed) > now.as_second() {
            return Ok(true);
        }
        let lock = self.renewing.lock_of(&session.key);
        let _alone = lock.lock().await;
        if session.renew_at.load(Ordering::Relaxed) > now.as_second()
            || session.ended.is_cancelled()
        {
            return Ok(!session.ended.is_cancelled());
        }
        let person = session.person.load_full();
        let Some(idp) = self.idps.get(&person.subject.idp) else {
            return Ok(true);
        };
        let Idp::Oidc(oidc) = idp;
        let tokens = self
            .sessions
            .tokens(&session.key)
            .await
            .map_err(|error| store_refusal(&error))?;
        let renewed = oidc.renew(&tokens, &person.subject, now).await;
        let code = match &renewed {
            Ok(_) => "ok",
            Err(OidcError::Unavailable(_)) => "idp_unavailable",
            Err(OidcError::Refused(_)) => "idp_refused",
            Err(OidcError::Invalid(_)) => "invalid",
            Err(OidcError::Internal(_)) => "internal",
        };
        Metrics::count(&self.metrics.renewals, person.subject.idp.as_str(), code);
        match renewed {
            Ok(renewed) => self.take_over(idp, session, renewed, now).await,
            Err(error @ OidcError::Refused(_)) => self.end(session, &error.to_string(), now).await,
            Err(error) => {
                tracing::warn!(event = "renewal_postponed", user = %person.user, idp = %person.subject.idp, cause = %error, "renewal failed");
                let again = now + SignedDuration::from_secs(AGAIN_AFTER);
                self.sessions
                    .put_tokens(session, &tokens, Some(again))
                    .await
                    .map_err(|error| store_refusal(&error))?;
                Ok(true)
            }
        }
    }

    async fn take_over(
        &self,
        idp: &Idp,
        session: &Session,
        renewed: Renewed,
        now: Timestamp,
    ) -> Result<bool, Refusal> {
        let person = session.person.load_full();
        // The rotated token is kept first: whatever comes next, the old one is spent.
        let next = renew_at(idp.config(), now);
        self.sessions
            .put_tokens(session, &renewed.tokens, next)
            .await
            .map_err(|error| store_refusal(&error))?;
        let Some(attributes) = &renewed.attributes else {
            return Ok(true);
        };
        if let Err(refusal) = check_email(idp.config(), attributes) {
            return self.end(session, &refusal.cause, now).await;
        }
        let join = join_rule(&self.config, idp.config());
        let person = match self
            .directory
            .admit(&person.subject, attributes, join.as_ref(), now)
            .await
        {
            Ok(person) => person,
            Err(error) => {
                let refusal = admit_refusal(error);
                if refusal.reason == Reason::StoreDown {
                    return Err(refusal);
                }
                return self.end(session, &refusal.cause, now).await;
            }
        };
        for app in self
            .config
            .apps
            .iter()
            .filter(|app| person.account(&app.id).is_some())
        {
            if let Err(refusal) = self
                .provisioner
                .ensure(app, &person, Occasion::SignIn, now)
                .await
            {
                tracing::warn!(event = "account_not_updated", app = %app.id, user = %person.user, cause = %refusal.cause, "app was not updated");
            }
        }
        self.sessions
            .reload_person(&person.user)
            .await
            .map_err(|error| store_refusal(&error))?;
        Ok(true)
    }

    async fn end(&self, session: &Session, cause: &str, now: Timestamp) -> Result<bool, Refusal> {
        tracing::info!(event = "session_ended", user = %session.person.load().user, cause, "the IdP ended the session");
        revoke::revoke(
            &self.sessions,
            Which::One(&session.key),
            revoke::Why::IdpEnded,
            now,
        )
        .await
        .map_err(|error| store_refusal(&error))?;
        Ok(false)
    }
}
