//! An admin's word on an identity provider: it holds until that provider's part of the file changes.

use jiff::Timestamp;

use super::Directory;
use crate::audit::By;
use crate::config::Idp;
use crate::identity::IdpId;
use crate::store::StoreError;

/// A switch as an admin set it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Switch {
    /// The IdP.
    pub idp: IdpId,
    /// Whether people may sign in through it.
    pub enabled: bool,
    /// [`Idp::fingerprint`] when it was set.
    pub config: String,
    /// Who set it, as the log writes it.
    pub set_by: String,
    /// When.
    pub set_at: Timestamp,
}

impl Directory {
    /// All switches that were set.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn switches(&self) -> Result<Vec<Switch>, StoreError> {
        Ok(Vec::new())
    }

    /// Sets one.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn set_switch(
        &self,
        idp: &Idp,
        enabled: bool,
        by: &By,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let _ = (idp, enabled, by, now);
        todo!()
    }
}
