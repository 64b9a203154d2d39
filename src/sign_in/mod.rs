//! The sign-in story: begin, finish, renew, sign out. Nothing after `finish` knows the protocol.

mod begin;
pub mod cookies;
mod finish;
#[cfg(test)]
mod fixtures;
mod looping;
mod pending;
mod renew;
mod return_to;
mod sign_out;

pub use begin::{Begin, Begun};
pub(crate) use finish::domain_of;
pub use finish::{Callback, Finished};
pub use return_to::ReturnTo;
pub use sign_out::SignedOut;

use std::collections::HashMap;
use std::sync::Arc;

use url::Url;

use crate::claims::Claims;
use crate::config::{Config, Site};
use crate::directory::Directory;
use crate::identity::IdpId;
use crate::idp::Idp;
use crate::idp::oidc::OidcError;
use crate::metrics::Metrics;
use crate::provision::Provisioner;
use crate::refusal::{Reason, Refusal};
use crate::seal::SealRing;
use crate::session::Sessions;

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
}

impl SignIn {
    /// For one config and its IdPs.
    pub fn new(config: Arc<Config>, idps: HashMap<IdpId, Idp>, parts: Parts) -> Self {
        let Parts {
            sessions,
            directory,
            claims,
            provisioner,
            seal,
            metrics,
        } = parts;
        Self {
            config,
            idps,
            sessions,
            directory,
            claims,
            provisioner,
            seal,
            metrics,
            renewing: renew::Renewing::default(),
        }
    }

    /// The enabled IdP with that id.
    fn idp(&self, id: &str) -> Result<&Idp, Refusal> {
        self.idps
            .get(&IdpId::new(id))
            .filter(|idp| idp.config().enabled)
            .ok_or_else(|| {
                Refusal::new(
                    Reason::UnknownIdp,
                    "no enabled identity provider has that id",
                )
            })
    }

    /// Origins that a form of the sign-in page may lead to.
    pub fn form_origins(&self) -> Vec<String> {
        let mut origins: Vec<String> = self
            .idps
            .values()
            .flat_map(|idp| match idp {
                Idp::Oidc(idp) => idp.origins(),
                Idp::Saml(_) => todo!(),
            })
            .collect();
        origins.sort_unstable();
        origins.dedup();
        origins
    }

    /// The redirect URI to register at an IdP for a site: one for each IdP, against mix-up (RFC 9700 4.4).
    fn redirect_uri(&self, site: &Site, idp: &IdpId) -> Result<Url, Refusal> {
        let text = format!(
            "{}{}/oidc/{idp}/callback",
            site.public_url.origin, self.config.prefix
        );
        Url::parse(&text)
            .map_err(|error| Refusal::new(Reason::Internal, format!("redirect URI: {error}")))
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

fn store_refusal(error: &crate::store::StoreError) -> Refusal {
    Refusal::new(Reason::StoreDown, error.to_string())
}
