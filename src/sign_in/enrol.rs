//! The link of an invitation: what it shows, and a password with its second factor set by it.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::invite::first_app;
use super::local::{LocalVisit, PURPOSE, VerifiedCredential, busy};
use super::{Finished, ReturnTo, SignIn, store_refusal};
use crate::audit::Actor;
use crate::config::App;
use crate::directory::{Invitation, LOCAL, Link, NewCredential, SetError, Status};
use crate::identity::IdpId;
use crate::local::fold;
use crate::local::password::{Password, Unfit};
use crate::local::totp::{Enrolment, TotpSecret};
use crate::refusal::{Reason, Refusal};
use crate::revoke::Why;
use crate::session::{OfSubject, Which};

/// What a secret is sealed for on its way through the form.
const ENROLMENT: &str = "totp enrolment";

/// An invitation that is open, as its page shows it.
#[derive(Debug)]
pub struct Opened {
    /// What was said.
    pub invitation: Invitation,
    /// Who invited, where it was a person.
    pub inviter: Option<String>,
    /// The app that it leads to, where it names one.
    pub app: Option<Arc<App>>,
    /// Whether the password form stands on the page.
    pub password: bool,
    /// Whether the person is here already, and the link is for a password only.
    pub here: bool,
}

/// A second factor that is not confirmed yet: nothing of it is stored here.
#[derive(Debug)]
pub struct Offer {
    /// What the person adds to the authenticator app.
    pub enrolment: Enrolment,
    /// The secret, sealed for this invitation: comes back with the form.
    pub sealed: String,
}

/// What somebody filled in.
#[derive(Debug)]
pub struct EnrolForm<'a> {
    /// The password.
    pub password: &'a str,
    /// The password again.
    pub again: &'a str,
    /// The first code of the authenticator app.
    pub totp: &'a str,
    /// [`Offer::sealed`].
    pub sealed: &'a str,
}

/// How it went.
#[derive(Debug)]
pub enum Enrolled {
    /// Something has to be changed; the same secret is offered again.
    Again(Mistake, Box<Offer>),
    /// The account is there and signed in.
    SignedIn(Finished),
    /// The break-glass account is there; nobody signs in to it by the way.
    Ready,
}

/// What has to be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Mistake {
    /// The password will not do.
    #[error(transparent)]
    Password(#[from] Unfit),
    /// The two differ.
    #[error("The two passwords are not the same.")]
    Differ,
    /// The code is not of the secret that was shown.
    #[error(
        "That code is not right. Is the clock of your device correct? Type the code that your app shows now."
    )]
    Code,
}

#[derive(Serialize, Deserialize)]
struct Sealed {
    invitation: String,
    secret: String,
}

impl SignIn {
    /// The open invitation behind a link. Nothing changes.
    ///
    /// # Errors
    /// `InvitationUnknown`, `InvitationExpired`, `InvitationUsed`, `InvitationWithdrawn`, `StoreDown`.
    pub async fn open_invitation(&self, token: &str, now: Timestamp) -> Result<Opened, Refusal> {
        let link = self.directory.invitation_of_link(token, now).await;
        let invitation = match link.map_err(|error| store_refusal(&error))? {
            Link::Open(invitation) => *invitation,
            link @ (Link::Unknown | Link::Expired | Link::Used | Link::Withdrawn) => {
                return Err(closed(&link));
            }
        };
        let inviter = self.directory.inviter(&invitation).await;
        let user = self.directory.profile(&invitation.user).await;
        let user = user.map_err(|error| store_refusal(&error))?;
        let here = user.is_some_and(|user| user.summary.status != Status::Invited);
        let accounts = self.config.local_accounts;
        let allowed = !accounts.require_sso || invitation.new.break_glass;
        Ok(Opened {
            inviter: inviter.map_err(|error| store_refusal(&error))?,
            app: first_app(&self.config, &invitation).cloned(),
            password: accounts.enabled && allowed && invitation.new.lets_set_password(),
            here,
            invitation,
        })
    }

    /// A second factor to add to an authenticator app: that of the form that came back, or a new one.
    ///
    /// # Errors
    /// `Internal`.
    pub fn offer(
        &self,
        opened: &Opened,
        site: &str,
        sealed: Option<&str>,
    ) -> Result<Offer, Refusal> {
        let internal = || Refusal::new(Reason::Internal, "no second factor could be made");
        let known = sealed.and_then(|sealed| self.offered(&opened.invitation, sealed));
        let secret = match known {
            Some(known) => known,
            None => TotpSecret::generate().ok_or_else(internal)?,
        };
        let plain = Sealed {
            invitation: opened.invitation.id.clone(),
            secret: STANDARD.encode(secret.as_bytes()),
        };
        let plain = serde_json::to_vec(&plain).map_err(|_| internal())?;
        let sealed = self.seal.seal(ENROLMENT, &plain).map_err(|_| internal())?;
        let account = &opened.invitation.new.email;
        let enrolment = secret.enrolment(site, account).ok_or_else(internal)?;
        Ok(Offer { enrolment, sealed })
    }

    fn offered(&self, invitation: &Invitation, sealed: &str) -> Option<TotpSecret> {
        let plain = self.seal.open(ENROLMENT, sealed).ok()?;
        let plain: Sealed = serde_json::from_slice(&plain).ok()?;
        let bytes = STANDARD.decode(&plain.secret).ok()?;
        (plain.invitation == invitation.id)
            .then(|| TotpSecret::from_bytes(&bytes))
            .flatten()
    }

    /// Sets password and second factor by the link, which is used up with it, and signs in.
    ///
    /// # Errors
    /// As [`SignIn::open_invitation`]; `NotFound`, `TooManyRequests`, `Deactivated`.
    pub async fn enrol(
        &self,
        token: &str,
        form: &EnrolForm<'_>,
        visit: &LocalVisit<'_>,
        now: Timestamp,
    ) -> Result<Enrolled, Refusal> {
        let opened = self.open_invitation(token, now).await?;
        if !opened.password {
            let cause = "that invitation lets nobody set a password";
            return Err(Refusal::new(Reason::NotFound, cause));
        }
        let site = &visit.site.public_url.host;
        let new = &opened.invitation.new;
        let secret = self.offered(&opened.invitation, form.sealed);
        let step = secret
            .as_ref()
            .and_then(|secret| secret.step_of(form.totp, now));
        let own = [
            Some(new.email.as_str()),
            new.name.as_deref(),
            Some(site.as_str()),
        ];
        let own: Vec<&str> = own.into_iter().flatten().collect();
        let chosen = Password::chosen(form.password, &own);
        let checked = match (chosen, secret, step) {
            (Err(unfit), _, _) => Err(Mistake::Password(unfit)),
            (Ok(_), _, _) if form.password != form.again => Err(Mistake::Differ),
            (Ok(password), Some(secret), Some(step)) => Ok((password, secret, step)),
            (Ok(_), _, _) => Err(Mistake::Code),
        };
        let (password, secret, step) = match checked {
            Ok(checked) => checked,
            Err(mistake) => {
                let offer = self.offer(&opened, site, Some(form.sealed))?;
                return Ok(Enrolled::Again(mistake, Box::new(offer)));
            }
        };
        let sealed = self.seal.seal(PURPOSE, secret.as_bytes());
        let credential = NewCredential {
            login_key: fold(&new.email),
            password_hash: self.passwords.hash(&password).await.map_err(busy)?,
            totp_sealed: sealed
                .map_err(|error| Refusal::new(Reason::Internal, error.to_string()))?,
            totp_step: step,
        };
        self.keep(token, &credential, visit, now).await
    }

    async fn keep(
        &self,
        token: &str,
        new: &NewCredential,
        visit: &LocalVisit<'_>,
        now: Timestamp,
    ) -> Result<Enrolled, Refusal> {
        let set = self
            .directory
            .set_credential(token, new, visit.by, now)
            .await;
        let credential = set.map_err(|error| match &error {
            SetError::Store(error) => store_refusal(error),
            SetError::Link(link) => closed(link),
            SetError::NoPassword => Refusal::new(Reason::NotFound, error.to_string()),
            SetError::Deactivated(_) => Refusal::new(Reason::Deactivated, error.to_string()),
        })?;
        // Whoever knew the former password is out.
        let idp = IdpId::new(LOCAL);
        let of = OfSubject {
            idp: &idp,
            sub: Some(credential.user.as_str()),
            idp_session: None,
        };
        let by = visit.by.as_actor(Actor::User(credential.user.clone()));
        self.revoke(Which::Subject(of), Why::Replaced, &by, now)
            .await?;
        if credential.break_glass {
            return Ok(Enrolled::Ready);
        }
        let verified = VerifiedCredential::enrolled(credential);
        let finished = self.let_in_local(&verified, visit, now).await?;
        Ok(Enrolled::SignedIn(finished))
    }
}

impl Opened {
    /// Where somebody who accepts comes to.
    pub fn return_to(&self) -> &str {
        self.app.as_ref().map_or("/", |app| app.path.as_str())
    }

    /// The same, judged like any other.
    pub fn judged_return_to(&self, sign_in: &SignIn, visit_site: &crate::config::Site) -> ReturnTo {
        ReturnTo::judge(Some(self.return_to()), visit_site, &sign_in.config)
    }
}

/// What people are told who come by a link that is no use.
fn closed(link: &Link) -> Refusal {
    let reason = match link {
        Link::Unknown | Link::Open(_) => Reason::InvitationUnknown,
        Link::Expired => Reason::InvitationExpired,
        Link::Used => Reason::InvitationUsed,
        Link::Withdrawn => Reason::InvitationWithdrawn,
    };
    Refusal::new(reason, "the link leads to no open invitation")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use jiff::SignedDuration;

    use super::*;
    use crate::audit::By;
    use crate::directory::NewInvitation;
    use crate::secret::Secret;
    use crate::sign_in::cookies::BrowserCookies;
    use crate::sign_in::fixtures::{self, story};

    const PASSWORD: &str = "coffee at half past five";

    fn now() -> Timestamp {
        Timestamp::from_second(1_800_000_000).unwrap()
    }

    /// The secret of a link for that address.
    async fn link(story: &SignIn, email: &str, password: bool, break_glass: bool) -> Secret {
        let new = NewInvitation {
            email: email.to_owned(),
            name: None,
            grants: Vec::new(),
            password,
            break_glass,
            expires_at: now() + SignedDuration::from_hours(1),
        };
        let made = story.directory.invite(&new, &By::system(), now()).await;
        made.unwrap().1
    }

    async fn offer(story: &SignIn, token: &Secret) -> (TotpSecret, String) {
        let opened = story.open_invitation(token.expose(), now()).await.unwrap();
        let offer = story.offer(&opened, "app.test", None).unwrap();
        let secret = story.offered(&opened.invitation, &offer.sealed).unwrap();
        (secret, offer.sealed)
    }

    async fn enrol(
        story: &SignIn,
        token: &Secret,
        code: &str,
        sealed: &str,
    ) -> Result<Enrolled, Refusal> {
        let form = EnrolForm {
            password: PASSWORD,
            again: PASSWORD,
            totp: code,
            sealed,
        };
        let by = By::system();
        let site = &story.config.sites[0];
        let visit = LocalVisit {
            site,
            return_to: &ReturnTo::judge(Some("/"), site, &story.config),
            browser: &BrowserCookies::default(),
            by: &by,
            client: std::net::Ipv4Addr::LOCALHOST.into(),
        };
        story.enrol(token.expose(), &form, &visit, now()).await
    }

    #[tokio::test]
    async fn the_second_factor_of_one_invitation_is_none_of_another() {
        let story = story().await;
        let mine = link(&story, "ann@acme.test", true, false).await;
        let yours = link(&story, "bob@acme.test", true, false).await;
        let (secret, sealed) = offer(&story, &mine).await;
        let code = secret.code(now());
        let refused = enrol(&story, &yours, &code, &sealed).await.unwrap();
        assert!(
            matches!(refused, Enrolled::Again(Mistake::Code, _)),
            "{refused:?}"
        );
        let done = enrol(&story, &mine, &code, &sealed).await.unwrap();
        assert!(matches!(done, Enrolled::SignedIn(_)), "{done:?}");
    }

    #[tokio::test]
    async fn an_account_for_emergencies_is_ready_and_nobody_is_signed_in() {
        let story = story().await;
        let link = link(&story, "root@acme.test", true, true).await;
        let (secret, sealed) = offer(&story, &link).await;
        let done = enrol(&story, &link, &secret.code(now()), &sealed).await;
        assert!(matches!(done, Ok(Enrolled::Ready)), "{done:?}");
    }

    #[tokio::test]
    async fn a_link_that_is_not_for_a_password_sets_none() {
        let mut story = story().await;
        let plain = link(&story, "ann@acme.test", false, false).await;
        let password = link(&story, "bob@acme.test", true, false).await;
        let (secret, sealed) = offer(&story, &password).await;
        let code = secret.code(now());
        let refused = enrol(&story, &plain, &code, &sealed).await;
        assert_eq!(refused.unwrap_err().reason, Reason::NotFound);
        for (enabled, require_sso) in [(false, false), (true, true)] {
            let mut config = fixtures::config();
            config.local_accounts.enabled = enabled;
            config.local_accounts.require_sso = require_sso;
            story.config = Arc::new(config);
            let refused = enrol(&story, &password, &code, &sealed).await;
            assert_eq!(refused.unwrap_err().reason, Reason::NotFound);
        }
    }
}
