//! The sign-in story: begin, finish, renew, sign out. Nothing after `finish` knows the protocol.

mod begin;
pub mod cookies;
mod enrol;
mod finish;
mod finish_saml;
#[cfg(test)]
mod fixtures;
mod form_token;
mod idp_logout;
pub mod invite;
mod local;
mod looping;
mod pending;
mod record;
mod renew;
mod return_to;
mod sign_out;
mod single_logout;
pub mod test_run;

pub use begin::{Begin, Begun};
pub use enrol::{EnrolForm, Enrolled, Mistake, Offer, Opened};
pub(crate) use finish::domain_of;
pub use finish::{Callback, Finished};
pub use finish_saml::AcsPost;
pub use form_token::FormToken;
pub use invite::Invited;
pub use local::{LocalForm, LocalVisit};
pub use return_to::ReturnTo;
pub use sign_out::SignedOut;
pub use single_logout::{LoggedOut, LogoutMessage};

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use jiff::Timestamp;
use url::Url;

use crate::audit::By;
use crate::claims::Claims;
use crate::config::{self, Config, MailConfig, Site};
use crate::directory::{Directory, Switch};
use crate::identity::{IdpId, UserId};
use crate::idp::Idp;
use crate::idp::oidc::OidcError;
use crate::idp::saml::{SamlError, SamlIdp};
use crate::local::password::Hasher;
use crate::mail::Mailer;
use crate::metrics::Metrics;
use crate::provision::Provisioner;
use crate::refusal::{FailedCheck, Reason, Refusal};
use crate::revoke::{self, Why};
use crate::seal::SealRing;
use crate::session::{Sessions, Which};
use crate::trace::Carried;
use cookies::BrowserCookies;
use pending::PendingLogin;

/// What the story needs of the rest.
#[derive(Debug)]
pub struct SignIn {
    config: Arc<Config>,
    idps: HashMap<IdpId, Idp>,
    sessions: Arc<Sessions>,
    directory: Directory,
    claims: Claims,
    provisioner: Arc<Provisioner>,
    seal: Arc<SealRing>,
    metrics: Arc<Metrics>,
    renewing: renew::Renewing,
    mailer: Option<Arc<Mailer>>,
    passwords: Hasher,
    test_runs: Arc<test_run::TestRuns>,
    /// What an admin said instead of the file.
    switches: ArcSwap<HashMap<IdpId, Switch>>,
}

/// The parts that a [`SignIn`] is built over; they outlive a reload.
#[derive(Clone, Debug)]
pub struct Parts {
    /// All sessions.
    pub sessions: Arc<Sessions>,
    /// Users, subjects, accounts.
    pub directory: Directory,
    /// What is used once.
    pub claims: Claims,
    /// Accounts in the apps.
    pub provisioner: Arc<Provisioner>,
    /// Seals state cookies.
    pub seal: Arc<SealRing>,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Sign-ins for trial.
    pub test_runs: Arc<test_run::TestRuns>,
}

impl SignIn {
    /// Where the sign-in began that an answer with `token` ends, in its trace. Nothing is used up by asking.
    pub fn trace_of(
        &self,
        idp: &str,
        token: &str,
        site: &Site,
        browser: &BrowserCookies,
        now: Timestamp,
    ) -> Option<Carried> {
        let idp = IdpId::new(idp);
        let found = PendingLogin::of_answer(token, &idp, site, &self.seal, browser, now);
        found.and_then(|(pending, _)| pending.trace)
    }

    /// For one config and its IdPs.
    pub fn new(config: Arc<Config>, idps: HashMap<IdpId, Idp>, parts: Parts) -> Self {
        let Parts {
            sessions,
            directory,
            claims,
            provisioner,
            seal,
            metrics,
            test_runs,
        } = parts;
        let mailer = config.mail.as_ref().and_then(mailer);
        Self {
            mailer,
            passwords: Hasher::default(),
            config,
            idps,
            sessions,
            directory,
            claims,
            provisioner,
            seal,
            metrics,
            renewing: renew::Renewing::default(),
            test_runs,
            switches: ArcSwap::default(),
        }
    }

    /// Takes over what admins said of IdPs; a switch that was set before its part of the file changed no longer counts.
    pub fn take_switches(&self, switches: Vec<Switch>) {
        let counts = |switch: &Switch| {
            let idp = self.config.idp(switch.idp.as_str());
            idp.is_some_and(|idp| idp.fingerprint == switch.config)
        };
        let counting = switches.into_iter().filter(counts);
        let counting = counting
            .map(|switch| (switch.idp.clone(), switch))
            .collect();
        self.switches.store(Arc::new(counting));
    }

    /// What an admin said of an IdP, where that counts.
    pub fn switch(&self, idp: &config::Idp) -> Option<Switch> {
        self.switches.load().get(&idp.id).cloned()
    }

    /// Whether people may sign in through an IdP: by an admin's word, else by the file.
    pub fn is_enabled(&self, idp: &config::Idp) -> bool {
        let switches = self.switches.load();
        switches
            .get(&idp.id)
            .map_or(idp.enabled, |switch| switch.enabled)
    }

    /// The IdP with that id, switched off or not: for test sign-ins, and for what admins are shown.
    ///
    /// # Errors
    /// `UnknownIdp`.
    pub fn any_idp(&self, id: &str) -> Result<&Idp, Refusal> {
        self.idps
            .get(&IdpId::new(id))
            .ok_or_else(|| Refusal::new(Reason::UnknownIdp, "no identity provider has that id"))
    }

    /// The enabled IdP with that id.
    fn idp(&self, id: &str) -> Result<&Idp, Refusal> {
        self.any_idp(id)
            .ok()
            .filter(|idp| self.is_enabled(idp.config()))
            .ok_or_else(|| {
                Refusal::new(
                    Reason::UnknownIdp,
                    "no enabled identity provider has that id",
                )
            })
    }

    /// The SAML IdP with that id, switched off or not: its admin needs the metadata before anybody signs in.
    fn saml_idp(&self, id: &str) -> Result<&SamlIdp, Refusal> {
        match self.idps.get(&IdpId::new(id)) {
            Some(Idp::Saml(idp)) => Ok(idp),
            Some(Idp::Oidc(_)) | None => Err(Refusal::new(
                Reason::UnknownIdp,
                "no SAML identity provider has that id",
            )),
        }
    }

    /// usher's metadata for a SAML IdP, the same at every site.
    ///
    /// # Errors
    /// `UnknownIdp`, `Internal`.
    pub fn saml_metadata(&self, id: &str) -> Result<String, Refusal> {
        let idp = self.saml_idp(id)?;
        let (mut acs, mut slo) = (Vec::new(), Vec::new());
        let is_top = |site: &&Arc<Site>| site.public_url == self.config.public_url;
        let sites = || self.config.sign_in_sites();
        let first = sites().filter(is_top);
        for site in first.chain(sites().filter(|site| !is_top(site))) {
            acs.push(self.acs(site, &idp.config().id));
            slo.push(self.saml_url(site, &idp.config().id, "slo"));
        }
        idp.sp_metadata(&acs, &slo)
            .map_err(|error| saml_refusal(&error))
    }

    /// After a reload: metadata that is known already need not be fetched again.
    pub fn keep_metadata_of(&self, former: &Self) {
        for (id, idp) in &self.idps {
            if let (Idp::Saml(new), Some(Idp::Saml(old))) = (idp, former.idps.get(id)) {
                new.metadata().take_over(old.metadata());
            }
        }
    }

    /// What is done at the start and every minute: metadata that is due is fetched, without waiting for it.
    pub fn tend(&self, now: Timestamp) {
        for idp in self.idps.values() {
            match idp {
                Idp::Oidc(_) => {}
                Idp::Saml(idp) => idp.metadata().tend(now),
            }
        }
    }

    /// Origins that a form of the sign-in page may lead to.
    pub fn form_origins(&self) -> Vec<String> {
        let mut origins: Vec<String> = self
            .idps
            .values()
            .flat_map(|idp| match idp {
                Idp::Oidc(idp) => idp.origins(),
                Idp::Saml(idp) => idp.origins(),
            })
            .collect();
        origins.sort_unstable();
        origins.dedup();
        origins
    }

    /// Lets what a sign-in or a renewal changed take effect everywhere.
    async fn follow(&self, user: &UserId, now: Timestamp) -> Result<(), Refusal> {
        let scene = revoke::Scene {
            config: &self.config,
            directory: &self.directory,
            sessions: &self.sessions,
        };
        let followed = revoke::follow(scene, user, Why::AccessLost, now).await;
        self.provisioner.wake();
        followed.map_err(|error| store_refusal(&error))
    }

    /// Ends sessions, with their line in the log.
    async fn revoke(
        &self,
        which: Which<'_>,
        why: Why,
        by: &By,
        now: Timestamp,
    ) -> Result<usize, Refusal> {
        revoke::revoke(&self.sessions, self.directory.audit(), which, why, by, now)
            .await
            .map_err(|error| store_refusal(&error))
    }

    /// The redirect URI to register at an IdP for a site: one for each IdP, against mix-up (RFC 9700 4.4).
    pub(crate) fn redirect_uri(&self, site: &Site, idp: &IdpId) -> Result<Url, Refusal> {
        let text = format!(
            "{}{}/oidc/{idp}/callback",
            site.public_url.origin, self.config.prefix
        );
        Url::parse(&text)
            .map_err(|error| Refusal::new(Reason::Internal, format!("redirect URI: {error}")))
    }

    /// The assertion consumer service of a site for an IdP.
    pub(crate) fn acs(&self, site: &Site, idp: &IdpId) -> String {
        self.saml_url(site, idp, "acs")
    }

    pub(crate) fn saml_url(&self, site: &Site, idp: &IdpId, endpoint: &str) -> String {
        format!(
            "{}{}/saml/{idp}/{endpoint}",
            site.public_url.origin, self.config.prefix
        )
    }
}

/// The config was checked; what can still be wrong is the list of certificate authorities.
fn mailer(config: &MailConfig) -> Option<Arc<Mailer>> {
    match Mailer::new(config) {
        Ok(mailer) => Some(Arc::new(mailer)),
        Err(error) => {
            tracing::error!(cause = %error, "no mail can be sent");
            None
        }
    }
}

/// What people are told when the IdP's part failed.
fn oidc_refusal(error: &OidcError) -> Refusal {
    let reason = match error {
        OidcError::Unavailable(_) => Reason::IdpDown,
        OidcError::Refused(_) => Reason::IdpRefused,
        OidcError::Invalid(_) => Reason::InvalidLogin,
        OidcError::Internal(_) => Reason::Internal,
    };
    Refusal::new(reason, error.to_string())
}

/// What people are told when a message of SAML did not do.
fn saml_refusal(error: &SamlError) -> Refusal {
    let reason = match error {
        SamlError::Unavailable(_) => Reason::IdpDown,
        SamlError::Denied(_) => Reason::IdpRefused,
        SamlError::Invalid(refused) => {
            return Refusal::new(Reason::InvalidLogin, error.to_string()).at_check(FailedCheck {
                code: refused.check.code(),
                sentence: refused.sentence(),
            });
        }
        SamlError::Malformed(_) => Reason::BadRequest,
        SamlError::Busy => {
            let refusal = Refusal::new(Reason::TooManyRequests, error.to_string());
            return refusal.with_retry_after(Duration::from_secs(1));
        }
        SamlError::Internal(_) => Reason::Internal,
    };
    Refusal::new(reason, error.to_string())
}

fn store_refusal(error: &crate::store::StoreError) -> Refusal {
    Refusal::new(Reason::StoreDown, error.to_string())
}
