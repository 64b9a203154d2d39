//! Attributes and roles follow the IdP within a session: by refresh token or userinfo, one renewal at a time for each session.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use super::finish::{admit_refusal, check_email, join_rule, renew_at};
use super::{SignIn, store_refusal};
use crate::audit::{Actor, By};
use crate::idp::Idp;
use crate::idp::oidc::{OidcError, Renewed};
use crate::metrics::Metrics;
use crate::refusal::{Reason, Refusal};
use crate::revoke;
use crate::session::{Session, SessionKey, Which};

/// Seconds until the next try after the IdP could not be reached: the session goes on meanwhile.
const AGAIN_AFTER: i64 = 30;

/// How long requests wait for a renewal, from its beginning; a slow IdP must not hold up people who are signed in.
const PATIENCE: Duration = Duration::from_secs(2);

/// Sessions that are being renewed; whoever comes second waits for the first.
#[derive(Debug, Default)]
pub(super) struct Renewing(Mutex<HashMap<SessionKey, Turn>>);

/// A renewal under way.
#[derive(Clone, Debug)]
struct Turn {
    began: Instant,
    /// Some once it is over: whether the session goes on.
    goes_on: watch::Receiver<Option<bool>>,
}

impl Renewing {
    fn turns(&self) -> MutexGuard<'_, HashMap<SessionKey, Turn>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SignIn {
    /// Renews a session whose time has come. False: it ended, because the IdP said so. A renewal that takes longer than
    /// two seconds, or that the store does not let through, goes on behind the requests.
    pub async fn renew_if_due(self: &Arc<Self>, session: &Arc<Session>, now: Timestamp) -> bool {
        if !is_due(session, now) {
            return true;
        }
        let Turn { began, mut goes_on } = self.join_renewal(session, now);
        let over = timeout_at(began + PATIENCE, goes_on.wait_for(Option::is_some)).await;
        match over {
            Ok(Ok(outcome)) => outcome.unwrap_or(true),
            Ok(Err(_)) | Err(_) => !session.ended.is_cancelled(),
        }
    }

    /// The renewal runs as a task of its own: a client that goes away must not lose a rotated refresh token.
    fn join_renewal(self: &Arc<Self>, session: &Arc<Session>, now: Timestamp) -> Turn {
        let mut turns = self.renewing.turns();
        if let Some(turn) = turns.get(&session.key) {
            return turn.clone();
        }
        let (over, goes_on) = watch::channel(None);
        let turn = Turn {
            began: Instant::now(),
            goes_on,
        };
        turns.insert(session.key, turn.clone());
        drop(turns);
        let (story, session) = (Arc::clone(self), Arc::clone(session));
        tokio::spawn(async move {
            let outcome = story.renew(&session, now).await.unwrap_or_else(|refusal| {
                tracing::warn!(
                    event = "renewal_failed",
                    cause = refusal.cause,
                    "renewal failed"
                );
                true
            });
            story.renewing.turns().remove(&session.key);
            over.send_replace(Some(outcome));
        });
        turn
    }

    async fn renew(&self, session: &Session, now: Timestamp) -> Result<bool, Refusal> {
        // Another renewal may have ended between the look at the time and this one's turn.
        if !is_due(session, now) || session.ended.is_cancelled() {
            return Ok(!session.ended.is_cancelled());
        }
        let person = session.person.load_full();
        let Some(idp) = self.idps.get(&person.subject.idp) else {
            return Ok(true);
        };
        let tokens = self
            .sessions
            .tokens(&session.key)
            .await
            .map_err(|error| store_refusal(&error))?;
        let oidc = match idp {
            Idp::Oidc(oidc) => oidc,
            // The config made another protocol of the IdP while the session lived: nothing is renewed any more.
            Idp::Saml(_) => {
                self.sessions
                    .put_tokens(session, &tokens, None)
                    .await
                    .map_err(|error| store_refusal(&error))?;
                return Ok(true);
            }
        };
        let renewed = oidc.renew(&tokens, &person.subject, now).await;
        let code = renewed.as_ref().map_or_else(code_of, |_| "ok");
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
        self.follow(&person.user, now).await?;
        Ok(!session.ended.is_cancelled())
    }

    async fn end(&self, session: &Session, cause: &str, now: Timestamp) -> Result<bool, Refusal> {
        tracing::info!(event = "session_ended", user = %session.person.load().user, cause, "the IdP ended the session");
        let by = By::system().as_actor(Actor::Idp(session.person.load().subject.idp.clone()));
        self.revoke(Which::One(&session.key), revoke::Why::IdpEnded, &by, now)
            .await?;
        Ok(false)
    }
}

fn is_due(session: &Session, now: Timestamp) -> bool {
    session.renew_at.load(Ordering::Relaxed) <= now.as_second()
}

fn code_of(error: &OidcError) -> &'static str {
    match error {
        OidcError::Unavailable(_) => "idp_unavailable",
        OidcError::Refused(_) => "idp_refused",
        OidcError::Invalid(_) => "invalid",
        OidcError::Internal(_) => "internal",
    }
}
