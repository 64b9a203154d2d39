//! A verified sign-in accepts the invitation of its address.

use jiff::Timestamp;
use serde_json::json;
use sqlx::SqliteConnection;

use super::super::admit::{active_only, folded, has_subject_of, same_address};
use super::super::{AdmitError, JoinRule};
use crate::audit::{Action, Actor, Audit, By, Entry};
use crate::identity::{Attributes, Protocol, Subject, UserId};

/// The user whom a new subject is by its verified address: one who was invited and has not come yet, which accepts the
/// invitation, or one who came by setting a password and has no other subject. Accounts for emergencies stay apart: no IdP's word
/// leads into them. Nobody else is told that there is an
/// invitation: an address that is not verified is taken, like any that another user holds.
pub(in super::super) async fn accept(
    on: &mut SqliteConnection,
    audit: &Audit,
    subject: &Subject,
    attributes: &Attributes,
    rule: Option<&JoinRule>,
    now: Timestamp,
) -> Result<Option<UserId>, AdmitError> {
    // First, so that an invitation that is over gives nothing and takes no address away.
    super::over::forget_all(on, now).await?;
    let Some(email) = verified_email(attributes, rule) else {
        return Ok(None);
    };
    if let Some((id, user, active)) = open_invitation(on, &email, now).await? {
        let user = active_only(on, user, active).await?;
        mark_accepted(on, &id, &user, now).await?;
        let by = By {
            actor: Actor::Idp(subject.idp.clone()),
            client: None,
            request_id: None,
        };
        let entry = Entry::new(Action::Invitation, &by, "accepted by a sign-in")
            .about(&user)
            .at_idp(&subject.idp)
            .with(json!({ "invitation": id }));
        audit.append(on, &entry, now).await?;
        return Ok(Some(user));
    }
    by_password(on, subject, &email).await
}

/// The address, compared as others are, where the IdP vouches for it: it says so, or says nothing and the domain is its own.
fn verified_email(attributes: &Attributes, rule: Option<&JoinRule>) -> Option<String> {
    let email = folded(attributes.email.as_deref())?;
    if !same_address(Some(&email), attributes.email.as_deref()) {
        // Merely like the address of an invitation, it is not that address.
        return None;
    }
    let (_, domain) = email.rsplit_once('@')?;
    let vouched = match attributes.email_verified {
        Some(verified) => verified,
        None => rule.is_some_and(|rule| rule.own_domains.iter().any(|own| own == domain)),
    };
    vouched.then_some(email)
}

/// An invitation of somebody who has not come yet.
async fn open_invitation(
    on: &mut SqliteConnection,
    email: &str,
    now: Timestamp,
) -> Result<Option<(String, UserId, i64)>, AdmitError> {
    let row: Option<(String, String, i64)> = sqlx::query_as(
        "SELECT i.id, u.id, u.active FROM invitations i JOIN users u ON u.id = i.user_id \
         WHERE i.email_key = $1 AND u.invited = 1 AND i.break_glass = 0 AND i.accepted_at IS NULL \
         AND i.withdrawn_at IS NULL AND i.expires_at > $2 \
         AND NOT EXISTS (SELECT 1 FROM subjects s WHERE s.user_id = u.id AND s.protocol <> 'scim')",
    )
    .bind(email)
    .bind(now.as_second())
    .fetch_optional(on)
    .await?;
    Ok(row.map(|(id, user, active)| (id, UserId::new(user), active)))
}

/// Uses an invitation up; whoever came is invited no more.
pub(in super::super) async fn mark_accepted(
    on: &mut SqliteConnection,
    id: &str,
    user: &UserId,
    now: Timestamp,
) -> Result<(), AdmitError> {
    sqlx::query("UPDATE invitations SET accepted_at = $2 WHERE id = $1")
        .bind(id)
        .bind(now.as_second())
        .execute(&mut *on)
        .await?;
    sqlx::query("UPDATE users SET invited = 0 WHERE id = $1")
        .bind(user.as_str())
        .execute(&mut *on)
        .await?;
    Ok(super::super::changes::mark(on, user, now).await?)
}

/// Somebody who set a password by the link, and with that has shown to have the address, signs in through an IdP for the first time.
async fn by_password(
    on: &mut SqliteConnection,
    subject: &Subject,
    email: &str,
) -> Result<Option<UserId>, AdmitError> {
    let row: Option<(String, i64)> = sqlx::query_as(
        "SELECT u.id, u.active FROM subjects l JOIN users u ON u.id = l.user_id \
         JOIN local_credentials c ON c.user_id = u.id AND c.break_glass = 0 WHERE l.email_key = $1 AND l.protocol = $2 AND NOT EXISTS (SELECT 1 FROM subjects s \
         WHERE s.user_id = u.id AND s.protocol NOT IN ('local', 'scim'))",
    )
    .bind(email)
    .bind(Protocol::Local.as_str())
    .fetch_optional(&mut *on)
    .await?;
    let Some((user, active)) = row else {
        return Ok(None);
    };
    if has_subject_of(on, &user, &subject.idp).await? {
        return Ok(None);
    }
    active_only(on, UserId::new(user), active).await.map(Some)
}
