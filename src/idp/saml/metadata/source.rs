//! Where an IdP's metadata comes from: given in the config, a file, or a URL that is fetched again in time.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::runtime::Handle;

use super::load::{Loaded, Origin, Plan, WITHIN};
use super::{IdpMetadata, expiry};
use crate::config::SamlConfig;
use crate::identity::IdpId;
use crate::idp::Health;
use crate::idp::cached::{Cached, Entry, FetchError};
use crate::idp::saml::SamlError;
use crate::metrics::Metrics;
use crate::outbound::Outbound;

/// Between two tries to read anew behind the back of those who sign in.
const TRY_AGAIN: SignedDuration = SignedDuration::from_mins(1);
/// Between two fetches for unknown keys: anybody who began a sign-in can send such a message.
const COOLDOWN: SignedDuration = SignedDuration::from_secs(30);
/// Between two warnings of the same kind.
const WARN_AGAIN: SignedDuration = SignedDuration::from_hours(24);

/// The metadata of one IdP. A failed refresh keeps the last good one until its `validUntil`.
#[derive(Debug)]
pub struct Source(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    idp: IdpId,
    plan: Plan,
    outbound: Outbound,
    metrics: Arc<Metrics>,
    kept: Cached<Loaded>,
    /// When something of a kind was done for the last time.
    tried: Last,
    asked_for_unknown: Last,
    warned: Last,
}

/// Lets something be done once in a while.
#[derive(Debug, Default)]
struct Last(Mutex<Option<Timestamp>>);

impl Last {
    /// Whether it is its time again; if so, that is noted.
    fn is_over(&self, pause: SignedDuration, now: Timestamp) -> bool {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // A clock that was set back must not make it wait for years.
        let waits = last.is_some_and(|last| now.duration_since(last).abs() < pause);
        if !waits {
            *last = Some(now);
        }
        !waits
    }
}

impl Source {
    /// Reads what is given or in a file; a URL is fetched when it is needed.
    ///
    /// # Errors
    /// A sentence: why the file or what is given cannot be used.
    pub fn new(
        idp: &IdpId,
        config: &SamlConfig,
        outbound: Outbound,
        metrics: Arc<Metrics>,
        now: Timestamp,
    ) -> Result<Self, String> {
        let (plan, given) = Plan::new(config)?;
        let loaded = match (&plan.origin, given) {
            (_, Some(given)) => Some(Loaded::given(given, now)),
            (Origin::File(path), None) => Some(plan.load_file(path, now)?),
            (Origin::Url(_) | Origin::Given, None) => None,
        };
        let inner = Inner {
            idp: idp.clone(),
            plan,
            outbound,
            metrics,
            kept: Cached::default(),
            tried: Last::default(),
            asked_for_unknown: Last::default(),
            warned: Last::default(),
        };
        let inner = match loaded {
            Some(loaded) => {
                inner.note(&loaded, None, now);
                let kept = Cached::holding(loaded, Duration::ZERO);
                Inner { kept, ..inner }
            }
            None => inner,
        };
        Ok(Self(Arc::new(inner)))
    }

    /// What counts now. Waits only where there is none that counts; one that should be read again is read behind the scenes.
    ///
    /// # Errors
    /// [`SamlError::Unavailable`] if there is none, and none can be fetched.
    pub async fn current(&self, now: Timestamp) -> Result<Arc<IdpMetadata>, SamlError> {
        self.0.warn(now);
        if let Some(entry) = self.0.kept.last_good()
            && entry.value.counts(now)
        {
            self.refresh_behind(now);
            return Ok(Arc::clone(&entry.value.metadata));
        }
        match self.0.read(|entry| entry.value.counts(now), now).await {
            Ok(entry) => Ok(Arc::clone(&entry.value.metadata)),
            Err(error) => Err(SamlError::Unavailable(error.to_string())),
        }
    }

    /// What counts now, after a signature that none of the known keys verifies: fetched again, unless that was just done.
    /// Callers who come meanwhile wait for that fetch. `None`: there are no newer keys, and the signature does not count.
    pub async fn refresh_for_unknown_key(&self, now: Timestamp) -> Option<Arc<IdpMetadata>> {
        let inner = &self.0;
        let before = inner.kept.last_good()?;
        let fetch = async {
            if !inner.asked_for_unknown.is_over(COOLDOWN, now) {
                return Err(FetchError::NotNow);
            }
            inner.load(now).await
        };
        let newer = |entry: &Entry<Loaded>| entry.is_newer_than(&before);
        match inner.get(newer, fetch).await {
            Ok(_) | Err(FetchError::NotNow) => {}
            Err(error) => {
                tracing::warn!(idp = %inner.idp, %error, "the keys of the IdP could not be fetched again");
            }
        }
        // Somebody else's fetch may have brought the keys since the caller looked.
        let entry = inner.kept.last_good()?;
        let Loaded {
            metadata,
            changed_at,
            ..
        } = &entry.value;
        let new = now.duration_since(*changed_at).abs() <= COOLDOWN;
        (new && entry.value.counts(now)).then(|| Arc::clone(metadata))
    }

    /// To be called every minute: reads what is due, without waiting for it, and warns of certificates that end soon.
    pub fn tend(&self, now: Timestamp) {
        self.0.warn(now);
        self.refresh_behind(now);
    }

    /// How it does, without waiting.
    pub fn health(&self) -> Health {
        let (answered, failure) = self.0.kept.state();
        let known = self.known();
        let certificates = known.iter().flat_map(|metadata| &metadata.certificates);
        Health {
            answered,
            failure,
            certificates: certificates
                .map(|certificate| (certificate.fingerprint(), certificate.not_after()))
                .collect(),
            valid_until: known.as_ref().and_then(|metadata| metadata.valid_until),
        }
    }

    /// What is known without waiting, be it too old.
    pub fn known(&self) -> Option<Arc<IdpMetadata>> {
        let entry = self.0.kept.last_good()?;
        Some(Arc::clone(&entry.value.metadata))
    }

    /// After a reload: what `former` knows counts here too, if it is the metadata of the same place under the same rules.
    pub fn take_over(&self, former: &Self) {
        if self.0.plan == former.0.plan {
            self.0.kept.take_over(&former.0.kept);
        }
    }

    /// Reads it anew in a task of its own, if it is due and nobody tried within the last minute.
    fn refresh_behind(&self, now: Timestamp) {
        let due = match self.0.kept.last_good() {
            Some(entry) => entry.value.is_due(now),
            None => true,
        };
        if !due || !self.0.tried.is_over(TRY_AGAIN, now) {
            return;
        }
        let Ok(runtime) = Handle::try_current() else {
            return;
        };
        let inner = Arc::clone(&self.0);
        runtime.spawn(async move {
            let fresh = |entry: &Entry<Loaded>| !entry.value.is_due(now);
            if let Err(error) = inner.read(fresh, now).await {
                let kept = inner.kept.last_good().is_some();
                tracing::warn!(idp = %inner.idp, %error, kept, "the metadata of the IdP was not refreshed");
            }
        });
    }
}

impl Inner {
    async fn read(
        &self,
        is_good_enough: impl Fn(&Entry<Loaded>) -> bool,
        now: Timestamp,
    ) -> Result<Arc<Entry<Loaded>>, FetchError> {
        self.get(is_good_enough, self.load(now)).await
    }

    async fn get(
        &self,
        is_good_enough: impl Fn(&Entry<Loaded>) -> bool,
        fetch: impl Future<Output = Result<Loaded, FetchError>>,
    ) -> Result<Arc<Entry<Loaded>>, FetchError> {
        let fetch = async { Ok((fetch.await?, Duration::ZERO)) };
        // Those who wait for somebody else's fetch wait no longer than for their own.
        match tokio::time::timeout(WITHIN, self.kept.get(is_good_enough, fetch)).await {
            Ok(result) => result,
            Err(_) => Err(FetchError::NoContact(format!(
                "{}: nothing within {WITHIN:?}",
                self.plan.place()
            ))),
        }
    }

    async fn load(&self, now: Timestamp) -> Result<Loaded, FetchError> {
        let former = self.kept.last_good();
        let before = former.as_ref().map(|entry| &entry.value);
        let result = self
            .plan
            .load(&self.outbound, before.map(Into::into), now)
            .await;
        let outcome = match &result {
            Ok(loaded) => {
                self.note(loaded, before, now);
                "ok"
            }
            Err(FetchError::NoContact(_)) => "unreachable",
            Err(FetchError::Useless(_)) => "invalid",
            Err(FetchError::NotNow) => return result,
        };
        if matches!(self.plan.origin, Origin::Url(_)) {
            Metrics::count(
                &self.metrics.saml_metadata_fetches,
                self.idp.as_str(),
                outcome,
            );
        }
        result
    }

    /// What became known goes to the log and the metrics.
    fn note(&self, loaded: &Loaded, former: Option<&Loaded>, now: Timestamp) {
        let metadata = &loaded.metadata;
        let certificates = metadata
            .certificates
            .iter()
            .map(|certificate| (certificate.fingerprint(), certificate.not_after()));
        self.metrics
            .saml_certificates
            .set(self.idp.as_str(), certificates);
        if former.is_some_and(|former| !loaded.differs_from(former)) {
            return;
        }
        for why in &metadata.skipped {
            tracing::warn!(idp = %self.idp, %why, "a part of the IdP's metadata is not used");
        }
        if former.is_some() && loaded.changed_at == now {
            let certificates = metadata.certificates.len();
            tracing::info!(idp = %self.idp, certificates, "the signing certificates of the IdP changed");
        }
    }

    fn warn(&self, now: Timestamp) {
        let Some(entry) = self.kept.last_good() else {
            return;
        };
        let ends = expiry::certificates(&entry.value.metadata, now);
        if ends.is_empty() || !self.warned.is_over(WARN_AGAIN, now) {
            return;
        }
        for what in ends {
            tracing::warn!(idp = %self.idp, "{what}");
        }
    }
}

#[cfg(test)]
mod tests;
