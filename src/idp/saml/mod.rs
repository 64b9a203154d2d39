//! SAML 2.0 as a service provider: metadata, requests, the verification of responses, single logout.
//!
//! The parts are small functions over bytes: `xml` (scan, tree, canonical form), `signature`, `encryption`, `response` (the
//! profile), `binding`. Only `response::verify` makes a [`VerifiedAssertion`], and only out of octets whose digest was signed.

pub mod assertion;
pub mod attributes;
pub mod authn_request;
pub mod binding;
pub mod check;
pub mod encryption;
mod flow;
pub mod logout;
pub mod metadata;
pub mod response;
pub mod signature;
pub mod xml;

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;

pub use assertion::{NameId, VerifiedAssertion};
pub use binding::Outgoing;
pub use check::{Check, Refused};
pub use flow::Asked;

use crate::config::{self, SamlConfig};
use crate::identity::{Attributes, Subject};
use crate::idp::Received;
use crate::keys::saml::SpKeys;
use crate::metrics::Metrics;
use crate::outbound::Outbound;

/// Messages that are verified at once, beyond those that wait: each takes one core for some milliseconds at most.
const AT_ONCE: usize = 4;

/// The top-level status of what went well (SAML Core 3.2.2.2).
const SUCCESS: &str = "urn:oasis:names:tc:SAML:2.0:status:Success";

/// One SAML identity provider.
#[derive(Debug)]
pub struct SamlIdp {
    config: Arc<config::Idp>,
    saml: Arc<SamlConfig>,
    metadata: metadata::Source,
    sp: Sp,
    permits: Arc<Semaphore>,
}

/// What usher is to one IdP.
#[derive(Clone, Debug)]
pub struct Sp {
    /// Our entity ID: the URL of our metadata at the top-level `public_url`.
    pub entity_id: String,
    /// Our keys.
    pub keys: Arc<SpKeys>,
}

/// What a sign-in must remember between leaving and coming back; it travels in a sealed cookie.
#[derive(Clone, Serialize, Deserialize)]
pub struct FlowSecrets {
    /// `ID` of the AuthnRequest: `_` and 128 random bits in hexadecimal.
    pub request_id: String,
    /// `RelayState`: an opaque key, 256 random bits.
    pub relay_state: String,
}

impl fmt::Debug for FlowSecrets {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("[secret]")
    }
}

/// Why a sign-in, a logout or a refresh of metadata failed.
#[derive(Debug, thiserror::Error)]
pub enum SamlError {
    /// The IdP's metadata cannot be had: try later (503).
    #[error("the IdP is not available: {0}")]
    Unavailable(String),
    /// The IdP said no (a `Status` other than `Success`).
    #[error("the IdP refused: {0}")]
    Denied(String),
    /// The message did not pass a check.
    #[error("the IdP's message is not valid: {0}")]
    Invalid(#[from] Refused),
    /// The message cannot be read at all (400).
    #[error("the message cannot be read: {0}")]
    Malformed(String),
    /// Too many messages are being verified (429).
    #[error("too many messages at once")]
    Busy,
    /// Our own fault, such as a key that does not sign.
    #[error("internal: {0}")]
    Internal(String),
}

/// A verified response, with the attributes gathered under it.
#[derive(Debug)]
pub struct VerifiedResponse {
    facts: Facts,
    /// As they stood in the assertion.
    attributes: Vec<assertion::Attribute>,
}

/// The parts of a [`VerifiedResponse`].
#[derive(Debug)]
pub struct Facts {
    /// Entity ID, NameID format and NameID value; or the attribute that the config names.
    pub subject: Subject,
    /// By preset and names.
    pub attributes: Attributes,
    /// `AuthnInstant`.
    pub authenticated_at: Timestamp,
    /// `AuthnContextClassRef`.
    pub acr: Option<String>,
    /// `SessionIndex`.
    pub idp_session: Option<String>,
    /// For single logout.
    pub name_id: NameId,
    /// `SessionNotOnOrAfter`.
    pub session_ends_at: Option<Timestamp>,
    /// `ID`, to be claimed before anything is built on this.
    pub assertion_id: String,
    /// Until when the claim must be kept.
    pub valid_until: Timestamp,
}

impl VerifiedResponse {
    /// The parts.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// What the IdP sent: the name of the subject, then the attributes in the order of the assertion.
    pub fn received(&self) -> Vec<Received> {
        let received = |name: &str, also: Option<String>, values: Vec<String>| Received {
            source: "assertion",
            name: name.to_owned(),
            also,
            values,
        };
        let NameId { format, value, .. } = &self.facts.name_id;
        let name_id = received("NameID", Some(format.clone()), vec![value.clone()]);
        let attributes = self.attributes.iter().map(|attribute| {
            let also = attribute.friendly_name.clone();
            received(&attribute.name, also, attribute.values.clone())
        });
        std::iter::once(name_id).chain(attributes).collect()
    }

    /// Gives the parts away.
    pub fn into_facts(self) -> Facts {
        self.facts
    }
}

impl SamlIdp {
    /// Reaches out only when it is used.
    ///
    /// # Errors
    /// A sentence: the metadata file, or what is given instead, cannot be used.
    pub fn new(
        config: Arc<config::Idp>,
        saml: Arc<SamlConfig>,
        sp: Sp,
        outbound: Outbound,
        metrics: Arc<Metrics>,
        now: Timestamp,
    ) -> Result<Self, String> {
        let metadata = metadata::Source::new(&config.id, &saml, outbound, metrics, now)?;
        Ok(Self {
            config,
            saml,
            metadata,
            sp,
            permits: Arc::new(Semaphore::new(AT_ONCE)),
        })
    }

    /// Its config.
    pub fn config(&self) -> &Arc<config::Idp> {
        &self.config
    }

    /// Its metadata.
    pub fn metadata(&self) -> &metadata::Source {
        &self.metadata
    }

    /// What usher is to it.
    pub fn sp(&self) -> &Sp {
        &self.sp
    }
}
