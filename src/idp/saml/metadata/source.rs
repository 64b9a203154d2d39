//! Where an IdP's metadata comes from: given in the config, a file, or a URL that is fetched again in time.

use std::sync::Arc;

use jiff::Timestamp;

use super::IdpMetadata;
use crate::config::SamlConfig;
use crate::idp::saml::SamlError;
use crate::outbound::Outbound;

/// The metadata of one IdP. A failed refresh keeps the last good one until its `validUntil`.
#[derive(Debug)]
pub struct Source {}

impl Source {
    /// Reads what is given or in a file; a URL is fetched when it is needed.
    ///
    /// # Errors
    /// A sentence: why the file or what is given cannot be used.
    pub fn new(_config: &SamlConfig, _outbound: Outbound, _now: Timestamp) -> Result<Self, String> {
        todo!()
    }

    /// What counts now.
    ///
    /// # Errors
    /// [`SamlError::Unavailable`] if there is none, and none can be fetched.
    pub async fn current(&self, _now: Timestamp) -> Result<Arc<IdpMetadata>, SamlError> {
        todo!()
    }

    /// What is known without waiting.
    pub fn known(&self) -> Option<Arc<IdpMetadata>> {
        todo!()
    }
}
