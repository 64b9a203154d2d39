//! People as admins see them.

use jiff::Timestamp;
use serde::Serialize;

use super::Directory;
use crate::audit::By;
use crate::identity::{Account, AppId, Attributes, Grant, IdpId, Person, Role, Subject, UserId};
use crate::store::StoreError;

/// Where somebody is between invitation and farewell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Invited, and not here yet.
    Invited,
    /// May sign in.
    Active,
    /// May not.
    Deactivated,
}

/// Which people to list, in the order of their names.
#[derive(Clone, Copy, Debug, Default)]
pub struct Find<'a> {
    /// Part of name, e-mail or username, in any case.
    pub text: Option<&'a str>,
    /// Only those.
    pub status: Option<Status>,
    /// What [`Page::next`] of the page before said.
    pub after: Option<&'a str>,
    /// How many at most; 1 to 200.
    pub limit: u32,
}

/// One page of a list.
#[derive(Clone, Debug)]
pub struct Page<T> {
    /// What is on it.
    pub items: Vec<T>,
    /// How many there are on all pages.
    pub total: u64,
    /// For the next page; none: this is the last.
    pub next: Option<String>,
}

/// One line of the list of people.
#[derive(Clone, Debug)]
pub struct Summary {
    /// Who.
    pub user: UserId,
    /// As said last, by a sign-in, SCIM or an invitation.
    pub email: Option<String>,
    /// Full name.
    pub name: Option<String>,
    /// Username.
    pub username: Option<String>,
    /// Where they are.
    pub status: Status,
    /// When they were first known.
    pub created_at: Timestamp,
    /// The last sign-in; none: never.
    pub signed_in_at: Option<Timestamp>,
}

/// Everything that the directory knows of one person.
#[derive(Clone, Debug)]
pub struct Profile {
    /// The line of the list.
    pub summary: Summary,
    /// How they sign in.
    pub subjects: Vec<KnownSubject>,
    /// What the apps answered.
    pub accounts: Vec<Account>,
    /// Roles that do not come from groups.
    pub grants: Vec<Grant>,
    /// Why they are deactivated; empty: they are not.
    pub blocks: Vec<Block>,
}

/// A subject with what was said of it last.
#[derive(Clone, Debug)]
pub struct KnownSubject {
    /// The subject.
    pub subject: Subject,
    /// What the IdP (or SCIM) said last.
    pub attributes: Attributes,
    /// When it was first seen.
    pub created_at: Timestamp,
    /// The last sign-in, or the last change by SCIM.
    pub signed_in_at: Timestamp,
}

/// Why a user is deactivated: each source lifts its own word alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// Who said so.
    pub source: BlockSource,
    /// Whether the person was deleted there, and not only switched off.
    pub deleted: bool,
    /// Why, for the log and the admin.
    pub why: String,
    /// Since when.
    pub at: Timestamp,
}

/// Who deactivates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BlockSource {
    /// An admin.
    Admin,
    /// The SCIM client of an IdP.
    Scim(IdpId),
}

impl BlockSource {
    /// As the store writes it: `admin`, `scim:acme`.
    pub fn to_text(&self) -> String {
        match self {
            Self::Admin => "admin".to_owned(),
            Self::Scim(idp) => format!("scim:{idp}"),
        }
    }
}

/// How many there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Users of any status.
    pub users: u64,
    /// Invited and not here yet.
    pub invited: u64,
    /// Deactivated.
    pub deactivated: u64,
}

impl Directory {
    /// A page of people.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn people(&self, find: &Find<'_>) -> Result<Page<Summary>, StoreError> {
        let _ = find;
        todo!()
    }

    /// How many people there are.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn counts(&self) -> Result<Counts, StoreError> {
        todo!()
    }

    /// Everything about one person, deactivated or not.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn profile(&self, user: &UserId) -> Result<Option<Profile>, StoreError> {
        let _ = user;
        todo!()
    }

    /// A user seen through the subject that was used (or changed by SCIM) last, deactivated or not, with whether the user is active.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn latest_person(&self, user: &UserId) -> Result<Option<(Person, bool)>, StoreError> {
        let _ = user;
        todo!()
    }

    /// Deactivates a user, with the line in the log and the mark for the apps, in one transaction. False: that source had said so already.
    /// The caller goes on with [`crate::revoke`].
    ///
    /// # Errors
    /// If the store fails.
    pub async fn block(&self, user: &UserId, block: &Block, by: &By) -> Result<bool, StoreError> {
        let _ = (user, block, by);
        todo!()
    }

    /// Takes the word of one source back. False: it had not said so.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn unblock(
        &self,
        user: &UserId,
        source: &BlockSource,
        by: &By,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let _ = (user, source, by, now);
        todo!()
    }

    /// Sets the roles that an admin gives in one app; none: takes them all back.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn set_roles(
        &self,
        user: &UserId,
        app: &AppId,
        roles: &[Role],
        by: &By,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let _ = (user, app, roles, by, now);
        todo!()
    }
}
