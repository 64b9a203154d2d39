//! From a request's cookie to the decision: who it is, and whether the app may see it.

use std::sync::Arc;

use http::request::Parts;
use jiff::Timestamp;

use super::cache::{Cached, Known, session_cookie};
use super::head::IdentityHead;
use super::worker::{View, Worker};
use crate::access::gate::{Admitted, Decision, Visitor, decide, decide_for_people};
use crate::access::only::Only;
use crate::access::standing::Standing;
use crate::access::target::Target;
use crate::config::{App, Site};
use crate::forward::identity::ForwardedIdentity;
use crate::refusal::{Reason, Refusal};
use crate::session::{SessionKey, Since};

/// What an admitted request carries to the app.
#[derive(Debug)]
pub(crate) enum Admission {
    /// Nothing: anyone may.
    Public,
    /// Who it is.
    Known {
        /// The session that live streams end with.
        session: Arc<Cached>,
        /// When the streams that may come of it were let in.
        since: Since,
        /// For the log.
        known: Arc<Known>,
        /// The fields to insert.
        identity: Arc<IdentityHead>,
    },
}

/// What goes with an admitted request: nothing where anyone may.
#[derive(Debug, Default)]
pub(crate) struct Grant {
    /// The fields to insert.
    pub(crate) identity: Option<Arc<IdentityHead>>,
    /// The session that what comes of it ends with.
    pub(crate) session: Option<(Arc<Cached>, Since)>,
}

/// Why a request is not admitted.
#[derive(Debug)]
pub(crate) enum Denial {
    /// Somebody must sign in first.
    NeedsSignIn,
    /// No.
    Refused(Refusal),
}

impl From<Refusal> for Denial {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// One request as the gate sees it.
#[derive(Debug)]
pub(crate) struct Asking<'a> {
    pub(crate) worker: &'a Worker,
    pub(crate) view: &'a View,
    pub(crate) site: &'a Site,
    /// Whether the Host is the very origin of the site.
    pub(crate) canonical: bool,
    pub(crate) app: &'a Arc<App>,
    /// The app's place in the config.
    pub(crate) place: usize,
    pub(crate) target: &'a Target,
    pub(crate) parts: &'a Parts,
    /// What is asked of people on top of the rules.
    pub(crate) only: Option<&'a Only>,
    pub(crate) now: Timestamp,
}

impl Asking<'_> {
    /// Decides with what this thread has at hand; none where the store or the app must be asked, as [`Asking::admit`] does.
    ///
    /// # Errors
    /// The denial.
    pub(crate) fn at_hand(&self) -> Option<Result<Admission, Denial>> {
        let Some(key) = self.key() else {
            return Some(self.anonymous());
        };
        let session = self.kept(&key)?;
        self.touch(&session);
        self.admission(session).transpose()
    }

    /// Decides. A missing account is asked for once.
    ///
    /// # Errors
    /// The denial; where the store fails, only what anyone may see is admitted.
    pub(crate) async fn admit(&self) -> Result<Admission, Denial> {
        let session = match self.session().await {
            Ok(Some(session)) => session,
            Ok(None) => return self.anonymous(),
            Err(refusal) => return self.anonymous().map_err(|_| Denial::Refused(refusal)),
        };
        if let Some(admission) = self.admission(Arc::clone(&session))? {
            return Ok(admission);
        }
        let usher = &self.view.usher;
        Box::pin(usher.ensure_account(self.app, &session.session, self.now)).await?;
        self.admission(session)?.ok_or_else(|| {
            let cause = "the account is missing although the app was asked";
            Refusal::new(Reason::Internal, cause).into()
        })
    }

    fn decide<'s>(&self, who: Option<&'s Standing>) -> Decision<'s> {
        let decide = match self.only {
            Some(_) => decide_for_people,
            None => decide,
        };
        decide(self.app, self.target, &self.parts.method, who)
    }

    /// What the gate says of a session; none where the account is missing.
    fn admission(&self, session: Arc<Cached>) -> Result<Option<Admission>, Denial> {
        // Before the person is read: see `Streams`.
        let since = session.session.streams.since();
        let known = session.known(self.place, self.app);
        let identity = match self.decide(Some(&known.standing)) {
            Decision::Admitted(admitted) => self.grant(&admitted, &session, &known)?,
            Decision::NeedsSignIn => return Err(Denial::NeedsSignIn),
            Decision::Refused(refusal) => return Err(refusal.into()),
            Decision::NeedsAccount => return Ok(None),
        };
        Ok(Some(match identity {
            None => Admission::Public,
            Some(identity) => Admission::Known {
                session,
                since,
                known,
                identity,
            },
        }))
    }

    /// The key that the request shows, where a session counts.
    fn key(&self) -> Option<SessionKey> {
        if !self.canonical {
            return None;
        }
        session_cookie(&self.parts.headers, &self.site.cookie_name)
    }

    /// The session of that key, where this thread has it and it is fresh.
    fn kept(&self, key: &SessionKey) -> Option<Arc<Cached>> {
        self.worker.sessions().get(key).filter(|cached| {
            cached.session.origin == self.site.public_url.origin
                && self.view.usher.sessions.is_fresh(&cached.session, self.now)
        })
    }

    /// The session of the request: from this thread's cache, or by the slow path.
    async fn session(&self) -> Result<Option<Arc<Cached>>, Refusal> {
        let Some(key) = self.key() else {
            return Ok(None);
        };
        let usher = &self.view.usher;
        let cached = match self.kept(&key) {
            Some(cached) => cached,
            None => match Box::pin(usher.session(&key, self.site, self.now)).await? {
                Some(session) => self.worker.sessions().put(session),
                None => {
                    self.worker.sessions().remove(&key);
                    return Ok(None);
                }
            },
        };
        self.touch(&cached);
        Ok(Some(cached))
    }

    /// Notes the use; writing it does not hold up the request.
    fn touch(&self, cached: &Cached) {
        let sessions = &self.view.usher.sessions;
        if sessions.touch(&cached.session, self.now) {
            let (sessions, session) = (Arc::clone(sessions), Arc::clone(&cached.session));
            tokio::spawn(async move {
                if let Err(error) = sessions.write_seen(&session).await {
                    tracing::warn!(%error, "the last use of a session was not written");
                }
            });
        }
    }

    fn anonymous(&self) -> Result<Admission, Denial> {
        match self.decide(None) {
            Decision::Admitted(_) => Ok(Admission::Public),
            Decision::NeedsSignIn | Decision::NeedsAccount => Err(Denial::NeedsSignIn),
            Decision::Refused(refusal) => Err(refusal.into()),
        }
    }

    /// The fields to insert; none where anyone is admitted.
    fn grant(
        &self,
        admitted: &Admitted<'_>,
        session: &Cached,
        known: &Known,
    ) -> Result<Option<Arc<IdentityHead>>, Refusal> {
        match admitted.visitor() {
            Visitor::Anonymous => return Ok(None),
            Visitor::Known { .. } => {}
        }
        if let Some(only) = self.only {
            only.check(&known.standing, &known.person)?;
        }
        if let Some(identity) = known.identity(self.now) {
            return Ok(Some(identity));
        }
        let usher = &self.view.usher;
        let fields = ForwardedIdentity::new(
            admitted,
            &session.session,
            self.app,
            &usher.config.public_url,
            &usher.keys.load(),
            self.now,
        )?;
        let fresh = Arc::new(IdentityHead::new(fields));
        known.keep(&fresh);
        Ok(Some(fresh))
    }
}
