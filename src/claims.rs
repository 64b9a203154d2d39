//! Things that may be used once: sign-in states, assertion ids.

use jiff::Timestamp;

use crate::store::{Store, StoreError};

/// Claims in the store.
#[derive(Clone, Debug)]
pub struct Claims {
    store: Store,
}

impl Claims {
    /// Over an open store.
    pub fn new(store: Store) -> Self {
        Self { store }
    }

    /// Claims `id` for `kind`, to be remembered until `until`: true for exactly one caller.
    pub async fn claim(&self, kind: &str, id: &str, until: Timestamp) -> Result<bool, StoreError> {
        let _ = (&self.store, kind, id, until);
        todo!()
    }

    /// Forgets claims whose time is over; called now and then.
    pub async fn sweep(&self, now: Timestamp) -> Result<(), StoreError> {
        let _ = now;
        todo!()
    }
}
