//! Inviting: what the apps and roles mean is checked, the link made, the letter sent.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::json;

use super::SignIn;
use crate::audit::{Action, By, Entry};
use crate::config::Config;
use crate::directory::{Directory, Invitation, InviteError, NewInvitation};
use crate::identity::{AppId, Role};
use crate::mail::{Letter, MailError, Mailer};
use crate::revoke::{self, Scene, Why};
use crate::secret::Secret;

/// An invitation that was just made.
#[derive(Debug)]
pub struct Invited {
    /// What is kept of it.
    pub invitation: Invitation,
    /// The link, shown to whoever invited: it is kept nowhere.
    pub link: Secret,
    /// Whether a letter with the link is on its way; how that went is in the log.
    pub mailed: bool,
}

impl SignIn {
    /// Invites somebody, and sends the link in the background where mail is set up.
    ///
    /// # Errors
    /// See [`InviteError`]; nothing is written then.
    pub async fn invite(
        &self,
        new: &NewInvitation,
        by: &By,
        now: Timestamp,
    ) -> Result<Invited, InviteError> {
        let (invitation, link) = invite(&self.config, &self.directory, new, by, now).await?;
        let scene = Scene {
            config: &self.config,
            directory: &self.directory,
            sessions: &self.sessions,
        };
        // Somebody who is here already may have got roles.
        revoke::follow(scene, &invitation.user, Why::Admin, now).await?;
        if let Some(mailer) = self.mailer.clone() {
            let (config, directory) = (Arc::clone(&self.config), self.directory.clone());
            let (invitation, link, by) = (invitation.clone(), link.clone(), by.clone());
            tokio::spawn(async move {
                // How it went is in the log already.
                let _ = send(&config, &directory, &mailer, (&invitation, &link), &by).await;
            });
        }
        Ok(Invited {
            mailed: self.mailer.is_some(),
            invitation,
            link,
        })
    }
}

/// Invites somebody, and gives the link, which is kept nowhere.
///
/// # Errors
/// See [`InviteError`]; nothing is written then.
pub async fn invite(
    config: &Config,
    directory: &Directory,
    new: &NewInvitation,
    by: &By,
    now: Timestamp,
) -> Result<(Invitation, Secret), InviteError> {
    check(config, new).map_err(InviteError::Invalid)?;
    let (invitation, token) = directory.invite(new, by, now).await?;
    let link = link(config, &invitation, &token);
    Ok((invitation, link))
}

/// Sends the letter once; how that went is logged and in the audit.
///
/// # Errors
/// As [`MailError`] tells.
pub async fn send(
    config: &Config,
    directory: &Directory,
    mailer: &Mailer,
    (invitation, link): (&Invitation, &Secret),
    by: &By,
) -> Result<(), MailError> {
    let inviter = directory.inviter(invitation).await.unwrap_or_default();
    let letter = letter(config, invitation, inviter.as_deref(), link);
    let sent = mailer.send(&letter).await;
    let entry = Entry::new(Action::Invitation, by, "the link was sent by mail");
    let entry = match &sent {
        Ok(()) => entry,
        Err(error) => Entry {
            why: format!("the link was not sent: {error}"),
            outcome: "mail_failed",
            ..entry
        },
    };
    match &sent {
        Ok(()) => tracing::info!(
            event = "mailed",
            invitation = invitation.id,
            "invitation sent"
        ),
        Err(error) => tracing::error!(
            event = "mail_failed", invitation = invitation.id, cause = %error, "an invitation could not be sent"
        ),
    }
    let entry = entry
        .about(&invitation.user)
        .with(json!({ "invitation": invitation.id }));
    if let Err(error) = directory.audit().record(&entry, Timestamp::now()).await {
        tracing::error!(event = "audit_failed", cause = %error, "the mail is not in the audit log");
    }
    sent
}

/// Whether the apps and roles are there, and passwords where one may be set.
fn check(config: &Config, new: &NewInvitation) -> Result<(), String> {
    if new.lets_set_password() && !config.local_accounts.enabled {
        return Err("passwords are switched off (`local_accounts.enabled`)".to_owned());
    }
    if new.password && !new.break_glass && config.local_accounts.require_sso {
        return Err(
            "only break-glass accounts may have a password here (`local_accounts.require_sso`)"
                .to_owned(),
        );
    }
    for (app, roles) in &new.grants {
        check_grant(config, app, roles)?;
    }
    Ok(())
}

fn check_grant(config: &Config, app: &AppId, roles: &[Role]) -> Result<(), String> {
    let known = config
        .apps
        .iter()
        .find(|known| known.id == *app)
        .ok_or_else(|| format!("there is no app `{app}`"))?;
    let listed = known
        .provisioning
        .as_ref()
        .map(|provisioning| provisioning.roles.as_slice());
    match (
        listed,
        roles
            .iter()
            .find(|role| !listed.unwrap_or_default().contains(role)),
    ) {
        (_, None) => Ok(()),
        (None, Some(_)) => Err(format!("the app `{app}` has no roles (no `provisioning`)")),
        (Some(_), Some(role)) => Err(format!("the app `{app}` has no role `{role}`")),
    }
}

/// Where the link leads: to the origin of the app that it opens.
fn link(config: &Config, invitation: &Invitation, token: &Secret) -> Secret {
    let app = first_app(config, invitation);
    let site = app.map_or(&config.public_url, |app| &app.public_url);
    let (origin, prefix) = (&site.origin, &config.prefix);
    Secret::new(format!("{origin}{prefix}/invitation/{}", token.expose()))
}

/// The app that somebody who accepts comes to: the first one that the invitation names, else one at the top-level origin, else the first.
pub(super) fn first_app<'a>(
    config: &'a Config,
    invitation: &Invitation,
) -> Option<&'a Arc<crate::config::App>> {
    let named = invitation.new.grants.first();
    let apps = || config.apps.iter();
    named
        .and_then(|(named, _)| apps().find(|app| app.id == *named))
        .or_else(|| apps().find(|app| app.public_url == config.public_url))
        .or_else(|| config.apps.first())
}

/// The letter. What people wrote (names) stands in it as text.
fn letter<'a>(
    config: &Config,
    invitation: &'a Invitation,
    inviter: Option<&str>,
    link: &Secret,
) -> Letter<'a> {
    let new = &invitation.new;
    let site = first_app(config, invitation).map_or(&config.public_url, |app| &app.public_url);
    let (host, link) = (&site.host, link.expose());
    let hello = match &new.name {
        Some(name) => format!("Hello {name},"),
        None => "Hello,".to_owned(),
    };
    let who = inviter.unwrap_or("An administrator");
    let until = new.expires_at.strftime("%-d %B %Y, %H:%M UTC").to_string();
    let what = format!("{who} invited you to {host}.");
    let how = if new.lets_set_password() {
        format!(
            "Open this link to set your password; you sign in as {}:",
            new.email
        )
    } else {
        format!("Open this link and sign in with {}:", new.email)
    };
    let note = format!(
        "The link works once, until {until}. Do not pass it on. If you did not expect this letter, you can ignore it."
    );
    let text = format!("{hello}\n\n{what}\n\n{how}\n{link}\n\n{note}\n");
    let escape = |text: &str| {
        text.replace('&', "&amp;")
            .replace('<', "&lt;")
            .replace('>', "&gt;")
            .replace('"', "&quot;")
    };
    let (hello, what, how) = (escape(&hello), escape(&what), escape(&how));
    let html = format!(
        "<!doctype html><html><body style=\"font:16px/1.5 sans-serif;max-width:32em\">\
         <p>{hello}</p><p>{what}</p><p>{how}</p>\
         <p><a href=\"{link}\" style=\"display:inline-block;padding:.6em 1.2em;border-radius:.5em;background:#3451c6;\
         color:#fff;text-decoration:none\">Accept the invitation</a></p>\
         <p style=\"font-size:13px;color:#555\">{link}</p><p style=\"font-size:13px;color:#555\">{}</p></body></html>\n",
        escape(&note)
    );
    Letter {
        to: &new.email,
        subject: format!("Your invitation to {host}"),
        text,
        html,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::identity::UserId;
    use crate::sign_in::fixtures;

    #[test]
    fn what_people_are_called_is_text_in_the_letter() {
        let config = fixtures::config();
        let hostile = "<img src=x onerror=alert(1)>\"&";
        let invitation = Invitation {
            id: "inv_1".to_owned(),
            user: UserId::new("usr_1"),
            new: NewInvitation {
                email: "ann@acme.test".to_owned(),
                name: Some(hostile.to_owned()),
                grants: Vec::new(),
                password: false,
                break_glass: false,
                expires_at: Timestamp::MAX,
            },
            created_by: "system".to_owned(),
            created_at: Timestamp::MIN,
            accepted_at: None,
            withdrawn_at: None,
        };
        let link = Secret::new("https://app.test/_usher/invitation/abc");
        let letter = letter(&config, &invitation, Some(hostile), &link);
        assert!(!letter.html.contains("<img"), "{}", letter.html);
        let shown = "&lt;img src=x onerror=alert(1)&gt;&quot;&amp;";
        assert_eq!(letter.html.matches(shown).count(), 2, "{}", letter.html);
    }

    #[test]
    fn roles_are_of_apps_that_there_are() {
        let config = fixtures::config();
        for (app, role) in [
            ("nothing", None),
            ("nothing", Some("x")),
            ("app", Some("x")),
        ] {
            let new = NewInvitation {
                email: "ann@acme.test".to_owned(),
                name: None,
                grants: vec![(AppId::new(app), role.map(Role::new).into_iter().collect())],
                password: false,
                break_glass: false,
                expires_at: Timestamp::MAX,
            };
            assert!(check(&config, &new).is_err(), "{app} {role:?}");
        }
    }
}
