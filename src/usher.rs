//! What exists while usher runs: one [`Usher`] for each loaded config, swapped whole on reload.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use jiff::Timestamp;

use crate::audit::{Audit, By, Entry};
use crate::claims::Claims;
use crate::config::{self, App, Config, IdpProtocol, Site};
use crate::directory::{Changed, Directory};
use crate::forward::firewall::Firewall;
use crate::identity::{IdpId, UserId};
use crate::idp::{Idp, Ours};
use crate::keys::{self, SigningKeys, saml::SpKeys};
use crate::metrics::Metrics;
use crate::otlp;
use crate::outbound::{self, Outbound};
use crate::provision::{Occasion, Provisioner};
use crate::refusal::{Reason, Refusal};
use crate::revoke::{self, Why};
use crate::seal::SealRing;
use crate::session::{Session, SessionKey, Sessions};
use crate::sign_in::{Parts, SignIn};
use crate::store::{Store, StoreError};
use crate::trace::Tracer;

/// Everything that a request may need.
#[derive(Debug)]
pub struct Usher {
    /// The config that this was built from.
    pub config: Arc<Config>,
    /// Grows by one with each reload, so that threads drop what they cached under the former config.
    pub generation: u64,
    /// All sessions.
    pub sessions: Arc<Sessions>,
    /// Users, subjects, accounts, roles, invitations, deliveries; and the log of what happened.
    pub directory: Directory,
    /// Accounts in the apps.
    pub provisioner: Arc<Provisioner>,
    /// The sign-in story.
    pub sign_in: Arc<SignIn>,
    /// Keys of the signed header.
    pub keys: Arc<ArcSwap<SigningKeys>>,
    /// One for each app, in the order of `config.apps`.
    pub firewalls: Vec<Firewall>,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Makes the spans of requests, where traces are on.
    pub tracer: Tracer,
    lasting: Lasting,
}

/// What outlives a reload: the store, and everything that remembers.
#[derive(Clone, Debug)]
struct Lasting {
    store: Store,
    outbound: Outbound,
    parts: Parts,
    keys: Arc<ArcSwap<SigningKeys>>,
    tracer: Tracer,
}

/// Why usher does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The store cannot be opened or read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The client for usher's own requests cannot be built.
    #[error(transparent)]
    Outbound(#[from] crate::outbound::OutboundError),
    /// The file of the audit log is required and cannot be opened.
    #[error(transparent)]
    Audit(#[from] crate::audit::FileError),
    /// What an identity provider needs, such as a metadata file, cannot be used.
    #[error("identity provider `{0}`: {1}")]
    Idp(IdpId, String),
}

impl Usher {
    /// Opens the store and builds everything over it; waits for nobody else.
    ///
    /// # Errors
    /// If the store or the client cannot be made.
    pub async fn start(config: Config, now: Timestamp) -> Result<Self, StartError> {
        let config = Arc::new(config);
        let store = Store::open(&config.store).await?;
        let outbound = Outbound::new(&outbound::extra_roots()?)?;
        let metrics = Arc::new(Metrics::default());
        let tracer = match &config.traces {
            Some(traces) => otlp::start(traces, outbound.clone(), &metrics),
            None => Tracer::default(),
        };
        let outbound = outbound.traced(tracer.clone());
        let seal = Arc::new(keys::seal_ring(&store, &config.seal_keys).await?);
        let audit = Audit::counting(store.clone(), metrics.audit_file_failures.clone());
        audit.configure(&config.audit)?;
        let directory = Directory::new(store.clone(), audit);
        let sessions = Arc::new(Sessions::new(
            store.clone(),
            directory.clone(),
            Arc::clone(&seal),
            config.sessions.clone(),
        ));
        let provisioner = Arc::new(Provisioner::new(
            directory.clone(),
            outbound.clone(),
            Arc::clone(&metrics),
        ));
        let claims = Claims::new(store.clone());
        let keys = Arc::new(ArcSwap::from(keys::signing_keys(&store, &seal, now).await?));
        let parts = Parts {
            sessions,
            directory,
            claims,
            provisioner,
            seal,
            metrics,
            test_runs: Arc::default(),
        };
        let lasting = Lasting {
            store,
            outbound,
            parts,
            keys,
            tracer,
        };
        Self::build(config, 0, lasting, None, now).await
    }

    /// The same under another config: sessions, accounts and keys go on. The store stays the one that was opened.
    ///
    /// # Errors
    /// If the new keys cannot be read, what an IdP names cannot be used, or a required audit file cannot be opened.
    pub async fn reloaded(&self, config: Config, now: Timestamp) -> Result<Self, StartError> {
        let mut lasting = self.lasting.clone();
        lasting.parts.seal = Arc::new(keys::seal_ring(&lasting.store, &config.seal_keys).await?);
        let parts = &lasting.parts;
        parts
            .sessions
            .reload(Arc::clone(&parts.seal), &config.sessions);
        let (config, former) = (Arc::new(config), Some(&*self.sign_in));
        let new = Self::build(config, self.generation + 1, lasting, former, now).await?;
        new.directory.audit().configure(&new.config.audit)?;
        Ok(new)
    }

    async fn build(
        config: Arc<Config>,
        generation: u64,
        lasting: Lasting,
        former: Option<&SignIn>,
        now: Timestamp,
    ) -> Result<Self, StartError> {
        let parts = lasting.parts.clone();
        let ours = Ours {
            outbound: lasting.outbound.clone(),
            metrics: Arc::clone(&parts.metrics),
            saml_keys: saml_keys(&config, &lasting, now).await?,
        };
        let mut idps = HashMap::new();
        for idp in &config.idps {
            let made = Idp::new(
                Arc::clone(idp),
                config.saml_entity_id(&idp.id),
                ours.clone(),
                now,
            )
            .map_err(|why| StartError::Idp(idp.id.clone(), why))?;
            idps.insert(idp.id.clone(), made);
        }
        let sign_in = SignIn::new(Arc::clone(&config), idps, parts.clone());
        if let Some(former) = former {
            sign_in.keep_metadata_of(former);
        }
        sign_in.take_switches(parts.directory.switches().await?);
        sign_in.tend(now);
        let is_there = |id: &str| config.idp(id).is_some();
        parts.metrics.saml_certificates.keep_only(is_there);
        Ok(Self {
            generation,
            sessions: parts.sessions,
            directory: parts.directory,
            provisioner: parts.provisioner,
            keys: Arc::clone(&lasting.keys),
            firewalls: config.apps.iter().map(|app| Firewall::new(app)).collect(),
            metrics: parts.metrics,
            tracer: lasting.tracer.clone(),
            sign_in: Arc::new(sign_in),
            config,
            lasting,
        })
    }

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
        let found = self.sessions.find(key, &site.public_url.origin, now).await;
        let Some(session) =
            found.map_err(|error| Refusal::new(Reason::StoreDown, error.to_string()))?
        else {
            return Ok(None);
        };
        let goes_on = self.sign_in.renew_if_due(&session, now).await;
        Ok(goes_on.then_some(session))
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
        let person = session.person.load_full();
        let ensured = self
            .provisioner
            .ensure(app, &person, Occasion::Visit, now)
            .await;
        let reloaded = self.sessions.reload_person(&person.user).await;
        reloaded.map_err(|error| Refusal::new(Reason::StoreDown, error.to_string()))?;
        ensured
    }

    /// Lets a change of a user in the directory take effect, at once and everywhere. Whoever changed something calls it after the commit.
    ///
    /// # Errors
    /// As [`revoke::follow`].
    pub async fn follow(&self, user: &UserId, why: Why, now: Timestamp) -> Result<(), StoreError> {
        let scene = revoke::Scene {
            config: &self.config,
            directory: &self.directory,
            sessions: &self.sessions,
        };
        let followed = revoke::follow(scene, user, why, now).await;
        self.provisioner.wake();
        followed
    }

    /// What the outbox does with a user who changed: lets the change take effect, in case whoever made it never came to it, and queues what
    /// the apps must be told.
    ///
    /// # Errors
    /// If the store fails; the user stays marked.
    pub async fn look_again(&self, changed: &Changed, now: Timestamp) -> Result<(), StoreError> {
        let scene = revoke::Scene {
            config: &self.config,
            directory: &self.directory,
            sessions: &self.sessions,
        };
        revoke::follow(scene, &changed.user, Why::Deactivated, now).await?;
        self.provisioner.look(&self.config.apps, changed, now).await
    }

    /// Switches an identity provider on or off for those who sign in from now on; it holds until its part of the file changes.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn switch_idp(
        &self,
        idp: &config::Idp,
        enabled: bool,
        by: &By,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.directory.set_switch(idp, enabled, by, now).await?;
        self.sign_in.take_switches(self.directory.switches().await?);
        Ok(())
    }

    /// The keys that seal what only usher itself reads again.
    pub fn seal(&self) -> &SealRing {
        &self.lasting.parts.seal
    }

    /// What is done every minute: what is over is forgotten, and keys that are due are rotated.
    ///
    /// # Errors
    /// If the store fails; the next minute tries again.
    pub async fn tend(&self, now: Timestamp) -> Result<(), StoreError> {
        self.sessions.sweep(now).await?;
        self.lasting.parts.claims.sweep(now).await?;
        self.directory.sweep_attempts(now).await?;
        self.directory.sweep_invitations(now).await?;
        self.sign_in.take_switches(self.directory.switches().await?);
        self.sign_in.tend(now);
        if self.keys.load().renew_at <= now {
            self.keys.store(
                keys::signing_keys(&self.lasting.store, &self.lasting.parts.seal, now).await?,
            );
        }
        self.directory.audit().tend(now).await
    }

    /// Writes a line about usher itself; that it could not be written is in its own log.
    pub async fn note(&self, entry: &Entry, now: Timestamp) {
        if let Err(error) = self.directory.audit().record(entry, now).await {
            tracing::error!(event = "audit_failed", cause = %error, "a line is not in the audit log");
        }
    }

    /// The open store, for readiness.
    pub fn store(&self) -> &Store {
        &self.lasting.store
    }
}

/// The keys of the SAML service provider, made only where an IdP needs them.
async fn saml_keys(
    config: &Config,
    lasting: &Lasting,
    now: Timestamp,
) -> Result<Option<Arc<SpKeys>>, StoreError> {
    let wanted = config
        .idps
        .iter()
        .any(|idp| matches!(idp.protocol, IdpProtocol::Saml(_)));
    if !wanted {
        return Ok(None);
    }
    let Lasting { store, parts, .. } = lasting;
    let name = &config.public_url.host;
    let keys = SpKeys::load(store, &parts.seal, &config.saml_keys, name, now).await?;
    Ok(Some(Arc::new(keys)))
}
