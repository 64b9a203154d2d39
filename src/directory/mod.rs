//! Who is known: users, their subjects, their accounts in the apps, and the events that the apps
//! still have to answer.

use jiff::Timestamp;

use crate::identity::{Account, AppId, Attributes, IdpId, Person, Subject, UserId};
use crate::store::{Store, StoreError};

/// Users, subjects, accounts and events in the store; cheap to clone.
#[derive(Clone, Debug)]
pub struct Directory {
    store: Store,
}

/// Which other IdP's users a new subject may join (`same_users_as`), and by which e-mail domains.
#[derive(Clone, Debug)]
pub struct JoinRule {
    /// The other IdPs whose users count as the same.
    pub with: Vec<IdpId>,
    /// Domains that both IdPs may assert, lower case; an e-mail outside never joins.
    pub domains: Vec<String>,
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
    #[error("the user ({0}) was deactivated")]
    Deactivated(UserId),
}

/// An event for an app's callback, stored before its first try and kept until it is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// `evt_…`: the webhook-id, the same on every try.
    pub id: String,
    /// The user it is about.
    pub user: UserId,
    /// The app that is told.
    pub app: AppId,
    /// The exact body that is signed and sent.
    pub body: String,
    /// Fingerprint of what the body tells; becomes [`Account::told`].
    pub told: String,
}

impl Directory {
    /// Over an open store.
    pub fn new(store: Store) -> Self {
        Self { store }
    }

    /// Finds or makes the user of a verified subject, and keeps its attributes and the time.
    ///
    /// One transaction: concurrent first sign-ins of one subject end with one user. A known subject keeps its user; a
    /// new one joins an existing user only by `join` and an e-mail that is not stated as unverified; else it is a new user.
    pub async fn admit(
        &self,
        subject: &Subject,
        attributes: &Attributes,
        join: Option<&JoinRule>,
        now: Timestamp,
    ) -> Result<Person, AdmitError> {
        let _ = (&self.store, subject, attributes, join, now);
        todo!()
    }

    /// The person behind a subject, with the accounts in all apps.
    pub async fn person(&self, subject: &Subject) -> Result<Option<Person>, StoreError> {
        let _ = subject;
        todo!()
    }

    /// The event for (user, app) that still waits for its answer.
    pub async fn waiting_event(
        &self,
        user: &UserId,
        app: &AppId,
    ) -> Result<Option<Event>, StoreError> {
        let _ = (user, app);
        todo!()
    }

    /// Stores an event before its first try.
    pub async fn put_event(&self, event: &Event, now: Timestamp) -> Result<(), StoreError> {
        let _ = (event, now);
        todo!()
    }

    /// Writes the app's answer: the account as it is now, and the event as answered, in one transaction.
    /// `event` is none where an account changes without one (no callback).
    pub async fn put_account(
        &self,
        user: &UserId,
        account: &Account,
        event: Option<&Event>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let _ = (user, account, event, now);
        todo!()
    }

    /// Drops an event that the app answered with a final error, so that the next visit makes a new one.
    pub async fn drop_event(&self, event: &Event) -> Result<(), StoreError> {
        let _ = event;
        todo!()
    }
}
