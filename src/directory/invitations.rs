//! Invitations: for one person, with roles, used once, and only for a while.

use jiff::Timestamp;
use sqlx::SqliteConnection;

use super::{AdmitError, Directory, Page};
use crate::audit::By;
use crate::identity::{AppId, Attributes, Role, Subject, UserId};
use crate::secret::Secret;
use crate::store::StoreError;

/// Somebody to invite.
#[derive(Clone, Debug)]
pub struct NewInvitation {
    /// The address; whoever accepts must have it, verified.
    pub email: String,
    /// Full name, where the admin says it.
    pub name: Option<String>,
    /// Apps with the roles in them; no roles: the app's default.
    pub grants: Vec<(AppId, Vec<Role>)>,
    /// Whether a password may be set.
    pub password: bool,
    /// Whether the account is for emergencies (implies `password`).
    pub break_glass: bool,
    /// Until when it can be accepted.
    pub expires_at: Timestamp,
}

/// An invitation as admins see it.
#[derive(Clone, Debug)]
pub struct Invitation {
    /// `inv_…`.
    pub id: String,
    /// The user that it made.
    pub user: UserId,
    /// What was said.
    pub new: NewInvitation,
    /// Who invited, as the log writes it.
    pub created_by: String,
    /// When.
    pub created_at: Timestamp,
    /// When it was accepted.
    pub accepted_at: Option<Timestamp>,
    /// When it was withdrawn.
    pub withdrawn_at: Option<Timestamp>,
}

/// Why somebody is not invited.
#[derive(Debug, thiserror::Error)]
pub enum InviteError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A user has that address already.
    #[error("{0} has that e-mail address already")]
    Known(UserId),
    /// It is no e-mail address.
    #[error("`{0}` is no e-mail address")]
    Email(String),
}

/// Which invitations to list, newest first.
#[derive(Clone, Copy, Debug, Default)]
pub struct FindInvitations<'a> {
    /// Only those that can still be accepted.
    pub open_only: bool,
    /// What [`Page::next`] said.
    pub after: Option<&'a str>,
    /// How many at most; 1 to 200.
    pub limit: u32,
}

impl Directory {
    /// Invites somebody: makes the user (status invited), and gives the secret of the link, which is kept nowhere.
    ///
    /// # Errors
    /// See [`InviteError`].
    pub async fn invite(
        &self,
        new: &NewInvitation,
        by: &By,
        now: Timestamp,
    ) -> Result<(Invitation, Secret), InviteError> {
        let _ = (new, by, now);
        todo!()
    }

    /// A page of invitations.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn invitations(
        &self,
        find: &FindInvitations<'_>,
        now: Timestamp,
    ) -> Result<Page<Invitation>, StoreError> {
        let _ = (find, now);
        todo!()
    }

    /// Withdraws an invitation; false: there is no open one with that id.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn withdraw_invitation(
        &self,
        id: &str,
        by: &By,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let _ = (id, by, now);
        todo!()
    }
}

/// The invited user whom a new subject is, by an open invitation to its verified address; accepts it.
pub(super) async fn accept(
    on: &mut SqliteConnection,
    subject: &Subject,
    attributes: &Attributes,
    now: Timestamp,
) -> Result<Option<UserId>, AdmitError> {
    let _ = (on, subject, attributes, now);
    Ok(None)
}
