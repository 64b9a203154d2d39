//! What exists while usher runs: one [`Usher`] for each loaded config, swapped whole on reload.

use std::sync::Arc;

use arc_swap::ArcSwap;
use jiff::Timestamp;

use crate::config::{App, Config, Site};
use crate::forward::firewall::Firewall;
use crate::keys::SigningKeys;
use crate::metrics::Metrics;
use crate::provision::Provisioner;
use crate::refusal::Refusal;
use crate::session::{Session, SessionKey, Sessions};
use crate::sign_in::SignIn;

/// Everything that a request may need.
#[derive(Debug)]
pub struct Usher {
    /// The config that this was built from.
    pub config: Arc<Config>,
    /// Grows by one with each reload, so that threads drop what they cached under the former config.
    pub generation: u64,
    /// All sessions.
    pub sessions: Arc<Sessions>,
    /// Accounts in the apps.
    pub provisioner: Arc<Provisioner>,
    /// The sign-in story.
    pub sign_in: SignIn,
    /// Keys of the signed header.
    pub keys: Arc<ArcSwap<SigningKeys>>,
    /// One for each app, in the order of `config.apps`.
    pub firewalls: Vec<Firewall>,
    /// Counters.
    pub metrics: Arc<Metrics>,
}

impl Usher {
    /// The session behind a cookie: found, and renewed at the IdP where that is due. This is the slow path of every
    /// thread's cache ([`Sessions::is_fresh`] is the fast one). `None`: not signed in.
    ///
    /// # Errors
    /// `StoreDown`.
    pub async fn session(
        &self,
        key: &SessionKey,
        site: &Site,
        now: Timestamp,
    ) -> Result<Option<Arc<Session>>, Refusal> {
        let _ = (key, site, now);
        todo!()
    }

    /// Asks the app for the missing account, and loads the person anew into the sessions.
    ///
    /// # Errors
    /// As [`Provisioner::ensure`].
    pub async fn ensure_account(
        &self,
        app: &Arc<App>,
        session: &Session,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        let _ = (app, session, now);
        todo!()
    }
}
