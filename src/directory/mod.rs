//! Who is known: users, their subjects, their accounts in the apps, and the events that the apps
//! still have to answer.

mod accounts;
mod admit;
mod api_tokens;
mod attempts;
mod blocks;
mod changes;
mod credentials;
mod deliveries;
mod events;
mod grants;
mod invitations;
mod people;
mod pulse;
pub mod scim;
mod switches;

pub use api_tokens::{ApiToken, Scope, is_token_name};
pub use attempts::Trying;
pub use blocks::{Block, BlockSource};
pub use changes::{Changed, Outlook};
pub use credentials::{Credential, LOCAL, NewCredential, SetError};
pub use deliveries::{DeliveryRow, DeliveryState, FindDeliveries, OutboxCounts};
pub use events::{Answered, Event, EventKind, Failed};
pub use invitations::{
    CsvLine, FindInvitations, Invitation, InviteError, Link, NewInvitation, parse_csv,
};
pub use people::{Counts, Find, KnownSubject, Page, Profile, Status, Summary};
pub use pulse::Pulse;
pub use switches::Switch;

use crate::audit::Audit;
use crate::identity::{IdpId, UserId};
use crate::store::{Store, StoreError};

/// Users, subjects, accounts and events in the store; cheap to clone.
#[derive(Clone, Debug)]
pub struct Directory {
    store: Store,
    audit: Audit,
}

/// Which other IdP's users a new subject may join (`same_users_as`), and by which e-mail domains.
#[derive(Clone, Debug, Default)]
pub struct JoinRule {
    /// The other IdPs whose users count as the same.
    pub with: Vec<IdpId>,
    /// Domains that both IdPs may assert, lower case; an e-mail outside never joins.
    pub domains: Vec<String>,
    /// Domains of the subject's own IdP, lower case: an address there counts as verified for an invitation where the IdP does not say.
    pub own_domains: Vec<String>,
}

/// Why a verified login is not let into the directory.
#[derive(Debug, thiserror::Error)]
pub enum AdmitError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Another user holds the e-mail address (compared without case).
    #[error("another user ({0}) holds that e-mail address")]
    EmailTaken(UserId),
    /// Another user holds the username (compared without case).
    #[error("another user ({0}) holds that username")]
    UsernameTaken(UserId),
    /// The user was deactivated.
    #[error("the user ({user}) was deactivated")]
    Deactivated {
        /// Who.
        user: UserId,
        /// Who said so, where that is known; SCIM before an admin.
        by: Option<BlockSource>,
    },
}

impl From<sqlx::Error> for AdmitError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

impl Directory {
    /// Over an open store; what changes is written to its log.
    pub fn new(store: Store, audit: Audit) -> Self {
        Self { store, audit }
    }

    /// Over an open store, with the log in the table alone.
    #[cfg(test)]
    pub(crate) fn over(store: Store) -> Self {
        let audit = Audit::new(store.clone());
        Self::new(store, audit)
    }

    /// The log that changes are written to.
    pub fn audit(&self) -> &Audit {
        &self.audit
    }
}

#[cfg(test)]
mod tests;
