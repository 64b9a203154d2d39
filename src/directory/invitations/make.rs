//! Making an invitation, and with it the user.

use jiff::Timestamp;
use serde_json::json;
use sqlx::SqliteConnection;

use super::super::admit::folded;
use super::{Directory, Invitation, InviteError, NewInvitation, hash};
use crate::audit::{Action, By, Entry};
use crate::identity::UserId;
use crate::secret::Secret;
use crate::store::StoreError;

/// Characters of an e-mail address at most (RFC 5321 4.5.3.1.3).
const EMAIL_LEN: usize = 254;
/// Characters of a name at most; what is longer is cut.
const NAME_LEN: usize = 200;

/// The user that an invitation is for.
enum Invited {
    /// Nobody had the address.
    New(UserId),
    /// Invited before, and not here yet.
    Again(UserId),
    /// Here already: the link is for a password.
    Here(UserId),
}

impl Directory {
    /// Invites somebody: makes the user (status invited) who holds the address from now on, and gives the secret of the link
    /// (43 base64url characters of 256 random bits), which is kept nowhere.
    ///
    /// An address that was invited before gets a new link, and the former stops working. The address of somebody who is here
    /// gets a link only where that lets set a password: a new password, or the first one. What the apps and roles mean
    /// is for the caller to check: `SignIn::invite` does, makes the link and sends the mail.
    ///
    /// # Errors
    /// See [`InviteError`]; nothing is written then.
    pub async fn invite(
        &self,
        new: &NewInvitation,
        by: &By,
        now: Timestamp,
    ) -> Result<(Invitation, Secret), InviteError> {
        let new = tidy(new, now)?;
        let work = async {
            let mut transaction = self.store.begin().await?;
            let on = &mut *transaction;
            super::over::forget_all(on, now).await?;
            let invited = user_for(on, &new, now).await?;
            let (user, what) = match &invited {
                Invited::New(user) => (user, "invited"),
                Invited::Again(user) => (user, "invited again"),
                Invited::Here(user) => (user, "given a link to set a password"),
            };
            withdraw_former(on, user, now).await?;
            if let Invited::Again(user) = &invited {
                set_profile(on, user, &new).await?;
                sqlx::query("DELETE FROM grants WHERE user_id = $1 AND source = 'invitation'")
                    .bind(user.as_str())
                    .execute(&mut *on)
                    .await?;
            }
            give(on, user, &new, by, now).await?;
            let (invitation, token) = keep(on, user, &new, by, now).await?;
            let details = json!({
                "invitation": invitation.id,
                "email": new.email,
                "grants": new.grants,
                "password": new.password,
                "break_glass": new.break_glass,
                "expires_at": new.expires_at.to_string(),
            });
            let entry = Entry::new(Action::Invitation, by, what)
                .about(user)
                .with(details);
            self.audit.append(on, &entry, now).await?;
            super::super::changes::mark(on, user, now).await?;
            transaction.commit().await.map_err(StoreError::from)?;
            Ok((invitation, token))
        };
        self.store.within(work).await
    }
}

/// The same as it is stored; refuses what is no address and what is over already.
fn tidy(new: &NewInvitation, now: Timestamp) -> Result<NewInvitation, InviteError> {
    let email = new.email.trim();
    let address = email.parse::<lettre::Address>();
    // Quoted local parts and addresses of hosts are valid, and nobody has one.
    let plain = !email.contains(['"', '[', ' ']) && !email.contains(char::is_control);
    if address.is_err() || !plain || email.chars().count() > EMAIL_LEN {
        return Err(InviteError::Email(email.chars().take(EMAIL_LEN).collect()));
    }
    if new.expires_at <= now {
        let why = "the invitation would have expired already".to_owned();
        return Err(InviteError::Invalid(why));
    }
    let name = new.name.as_deref().map(|name| {
        let printable = name.chars().filter(|letter| !letter.is_control());
        let name: String = printable.take(NAME_LEN).collect();
        name.trim().to_owned()
    });
    Ok(NewInvitation {
        email: email.to_owned(),
        name: name.filter(|name| !name.is_empty()),
        password: new.lets_set_password(),
        ..new.clone()
    })
}

/// Finds or makes the user, who then holds the address.
async fn user_for(
    on: &mut SqliteConnection,
    new: &NewInvitation,
    now: Timestamp,
) -> Result<Invited, InviteError> {
    let key = folded(Some(&new.email)).unwrap_or_default();
    let holder: Option<(String, i64, i64)> = sqlx::query_as(
        "SELECT u.id, u.active, u.invited FROM held_names h JOIN users u ON u.id = h.user_id WHERE h.name = $1",
    )
    .bind(&key)
    .fetch_optional(&mut *on)
    .await?;
    let Some((holder, active, invited)) = holder else {
        return Ok(Invited::New(new_user(on, new, &key, now).await?));
    };
    let holder = UserId::new(holder);
    if active == 1 && invited == 1 {
        return Ok(Invited::Again(holder));
    }
    // As an address, and not as somebody's username.
    let by_email: i64 =
        sqlx::query_scalar("SELECT COUNT(*) FROM subjects WHERE user_id = $1 AND email_key = $2")
            .bind(holder.as_str())
            .bind(&key)
            .fetch_one(on)
            .await?;
    if active == 1 && new.lets_set_password() && by_email > 0 {
        return Ok(Invited::Here(holder));
    }
    Err(InviteError::Known(holder))
}

async fn new_user(
    on: &mut SqliteConnection,
    new: &NewInvitation,
    key: &str,
    now: Timestamp,
) -> Result<UserId, StoreError> {
    let user = UserId::generate();
    sqlx::query(
        "INSERT INTO users (id, active, created_at, signed_in_at, invited) VALUES ($1, 1, $2, 0, 1)",
    )
    .bind(user.as_str())
    .bind(now.as_second())
    .execute(&mut *on)
    .await?;
    set_profile(on, &user, new).await?;
    sqlx::query("INSERT INTO held_names (name, user_id) VALUES ($1, $2)")
        .bind(key)
        .bind(user.as_str())
        .execute(on)
        .await?;
    Ok(user)
}

async fn set_profile(
    on: &mut SqliteConnection,
    user: &UserId,
    new: &NewInvitation,
) -> Result<(), StoreError> {
    let words = [new.name.as_deref(), Some(new.email.as_str())];
    let search: Vec<String> = words.into_iter().flatten().map(str::to_lowercase).collect();
    sqlx::query("UPDATE users SET email = $2, name = $3, search = $4 WHERE id = $1")
        .bind(user.as_str())
        .bind(&new.email)
        .bind(&new.name)
        .bind(search.join(" "))
        .execute(on)
        .await?;
    Ok(())
}

/// One link at a time.
async fn withdraw_former(
    on: &mut SqliteConnection,
    user: &UserId,
    now: Timestamp,
) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE invitations SET withdrawn_at = $2 \
         WHERE user_id = $1 AND accepted_at IS NULL AND withdrawn_at IS NULL",
    )
    .bind(user.as_str())
    .bind(now.as_second())
    .execute(on)
    .await?;
    Ok(())
}

async fn give(
    on: &mut SqliteConnection,
    user: &UserId,
    new: &NewInvitation,
    by: &By,
    now: Timestamp,
) -> Result<(), StoreError> {
    for (app, roles) in &new.grants {
        let names = roles.iter().map(|role| role.as_str());
        let default = roles.is_empty().then_some("");
        for role in names.chain(default) {
            sqlx::query(
                "INSERT INTO grants (user_id, app, role, source, given_by, given_at) \
                 VALUES ($1, $2, $3, 'invitation', $4, $5) \
                 ON CONFLICT (user_id, app, role, source) DO NOTHING",
            )
            .bind(user.as_str())
            .bind(app.as_str())
            .bind(role)
            .bind(by.actor.to_text())
            .bind(now.as_second())
            .execute(&mut *on)
            .await?;
        }
    }
    Ok(())
}

async fn keep(
    on: &mut SqliteConnection,
    user: &UserId,
    new: &NewInvitation,
    by: &By,
    now: Timestamp,
) -> Result<(Invitation, Secret), StoreError> {
    let token = Secret::new(random_token()?);
    let invitation = Invitation {
        id: format!("inv_{}", uuid::Uuid::now_v7().simple()),
        user: user.clone(),
        new: new.clone(),
        created_by: by.actor.to_text(),
        created_at: now,
        accepted_at: None,
        withdrawn_at: None,
    };
    sqlx::query(
        "INSERT INTO invitations (id, token_hash, user_id, email, email_key, name, grants, password, break_glass, \
         created_by, created_at, expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
    )
    .bind(&invitation.id)
    .bind(hash(token.expose()))
    .bind(user.as_str())
    .bind(&new.email)
    .bind(folded(Some(&new.email)))
    .bind(&new.name)
    .bind(serde_json::to_string(&new.grants)?)
    .bind(i64::from(new.password))
    .bind(i64::from(new.break_glass))
    .bind(&invitation.created_by)
    .bind(now.as_second())
    .bind(new.expires_at.as_second())
    .execute(on)
    .await?;
    Ok((invitation, token))
}

fn random_token() -> Result<String, StoreError> {
    use base64::Engine;
    let mut bytes = [0; 32];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| StoreError("no random numbers".to_owned()))?;
    Ok(base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes))
}
