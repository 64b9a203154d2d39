//! Where an IdP's metadata comes from: given in the config, a file, or a URL that is fetched again in time.

use std::sync::Arc;

use jiff::Timestamp;

use super::IdpMetadata;
use crate::config::SamlConfig;
use crate::identity::IdpId;
use crate::idp::saml::SamlError;
use crate::metrics::Metrics;
use crate::outbound::Outbound;

/// The metadata of one IdP. A failed refresh keeps the last good one until its `validUntil`.
#[derive(Debug)]
pub struct Source {}

impl Source {
    /// Reads what is given or in a file; a URL is fetched when it is needed.
    ///
    /// # Errors
    /// A sentence: why the file or what is given cannot be used.
    pub fn new(
        _idp: &IdpId,
        _config: &SamlConfig,
        _outbound: Outbound,
        _metrics: Arc<Metrics>,
        _now: Timestamp,
    ) -> Result<Self, String> {
        todo!()
    }

    /// What counts now.
    ///
    /// # Errors
    /// [`SamlError::Unavailable`] if there is none, and none can be fetched.
    pub async fn current(&self, _now: Timestamp) -> Result<Arc<IdpMetadata>, SamlError> {
        todo!()
    }

    /// What counts now, after a signature that none of the known keys verifies: fetched again, unless that was just done.
    /// `None`: there is nothing newer, and the signature does not count.
    pub async fn refresh_for_unknown_key(&self, _now: Timestamp) -> Option<Arc<IdpMetadata>> {
        todo!()
    }

    /// To be called now and then: fetches what is due, without waiting for it, and warns of certificates that end soon.
    pub fn tend(&self, _now: Timestamp) {
        todo!()
    }

    /// What is known without waiting.
    pub fn known(&self) -> Option<Arc<IdpMetadata>> {
        todo!()
    }
}
