//! SAML single logout (Profiles 4.4): what an IdP sends through the browser, and its answer to ours.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;

use super::cookies::{self, BrowserCookies};
use super::{SignIn, saml_refusal, store_refusal};
use crate::audit::{Actor, By};
use crate::claims;
use crate::config::Site;
use crate::identity::{IdpId, NameId};
use crate::idp::saml::binding::Message;
use crate::idp::saml::logout::{Arrived, Leaving, LogoutStatus, VerifiedLogoutRequest};
use crate::idp::saml::{Check, FlowSecrets, Outgoing, Refused, SamlError, SamlIdp};
use crate::refusal::{FailedCheck, Reason, Refusal};
use crate::revoke;
use crate::session::{Named, Which};

/// Seconds that a logout may take at the IdP.
const VALID_FOR: i64 = 600;

/// Binds the sealed cookie to its use.
const PURPOSE: &str = "single logout";

/// A logout on its way at the IdP: in a sealed cookie, as the answer may come by a cross-site POST.
#[derive(Serialize, Deserialize)]
struct PendingLogout {
    idp: IdpId,
    origin: String,
    flow: FlowSecrets,
    return_to: String,
    started_at: i64,
}

/// A message that arrived at the single logout service.
#[derive(Debug)]
pub struct LogoutMessage<'a> {
    /// The site that it arrived at.
    pub site: &'a Site,
    /// Id of the IdP as it stands in the URL.
    pub idp: &'a str,
    /// Request or response, as its parameter says.
    pub message: Message,
    /// The message with its signature.
    pub arrived: Arrived,
    /// `RelayState`.
    pub relay_state: Option<&'a str>,
    /// The browser's cookies.
    pub browser: &'a BrowserCookies,
    /// The request; it is the IdP's where it verifies.
    pub by: &'a By,
}

/// How a message at the single logout service ends for the browser.
#[derive(Debug)]
pub enum LoggedOut {
    /// Back to the IdP with our answer.
    Back(Outgoing),
    /// Here, with a page that says how it went.
    Here {
        /// How it went everywhere else.
        status: LogoutStatus,
        /// Where to offer to go, already judged.
        return_to: String,
        /// `Set-Cookie` lines.
        cookies: Vec<String>,
    },
}

/// A sign-out on its way to a SAML IdP.
pub(super) struct Left {
    /// None: the IdP has no single logout.
    pub(super) way: Option<Outgoing>,
    /// `Set-Cookie` lines.
    pub(super) cookies: Vec<String>,
}

impl SignIn {
    /// Off to the IdP, to sign out there too.
    pub(super) async fn leave_saml(
        &self,
        saml: &SamlIdp,
        site: &Site,
        (name_id, session_index): (&NameId, Option<&str>),
        return_to: &str,
        now: Timestamp,
    ) -> Result<Left, SamlError> {
        let flow = FlowSecrets::generate()?;
        let leaving = Leaving {
            flow: &flow,
            name_id,
            session_index,
        };
        let Some(way) = saml.leave(leaving, now).await? else {
            return Ok(Left {
                way: None,
                cookies: Vec::new(),
            });
        };
        let pending = PendingLogout {
            idp: saml.config().id.clone(),
            origin: site.public_url.origin.clone(),
            flow,
            return_to: return_to.to_owned(),
            started_at: now.as_second(),
        };
        let internal = |error: String| SamlError::Internal(error);
        let plain = serde_json::to_vec(&pending).map_err(|error| internal(error.to_string()))?;
        let sealed = self
            .seal
            .seal(PURPOSE, &plain)
            .map_err(|error| internal(error.to_string()))?;
        let name = cookies::logout_name(site);
        let line = cookies::set(site, &name, &sealed, Some(VALID_FOR), true);
        Ok(Left {
            way: Some(way),
            cookies: vec![line],
        })
    }

    /// Takes a message of an IdP, switched off or not: access ends in any case.
    ///
    /// # Errors
    /// Every check that fails; `StoreDown` where the end of the sessions could not be written: then nobody was signed out.
    pub async fn single_logout(
        &self,
        message: LogoutMessage<'_>,
        now: Timestamp,
    ) -> Result<LoggedOut, Refusal> {
        let saml = self.saml_idp(message.idp)?;
        match message.message {
            Message::Request => self.logout_asked(saml, message, now).await,
            Message::Response => self.logout_answered(saml, message, now).await,
        }
    }

    /// The IdP signs somebody out everywhere.
    async fn logout_asked(
        &self,
        saml: &SamlIdp,
        message: LogoutMessage<'_>,
        now: Timestamp,
    ) -> Result<LoggedOut, Refusal> {
        let idp = &saml.config().id;
        let slo = self.saml_url(message.site, idp, "slo");
        let request = saml
            .logout_request(message.arrived, &slo, now)
            .await
            .map_err(|error| logout_refusal(&error))?;
        self.claim_logout(idp, &request).await?;
        let named = Named {
            idp,
            name_id: request.name_id(),
            idp_sessions: request.session_indexes(),
        };
        let by = message.by.as_actor(Actor::Idp(idp.clone()));
        self.revoke(Which::Named(named), revoke::Why::IdpEnded, &by, now)
            .await?;
        let answer = saml
            .answer_logout(&request, LogoutStatus::Success, message.relay_state, now)
            .await
            .map_err(|error| logout_refusal(&error))?;
        Ok(match answer {
            Some(way) => LoggedOut::Back(way),
            None => LoggedOut::Here {
                status: LogoutStatus::Success,
                return_to: "/".to_owned(),
                cookies: Vec::new(),
            },
        })
    }

    /// A request counts once.
    async fn claim_logout(
        &self,
        idp: &IdpId,
        request: &VerifiedLogoutRequest,
    ) -> Result<(), Refusal> {
        let id = claims::id_of(idp, request.id());
        let is_new = self
            .claims
            .claim("logout", &id, request.valid_until())
            .await
            .map_err(|error| store_refusal(&error))?;
        if is_new {
            return Ok(());
        }
        let refused = Refused::at(Check::Replay, "the LogoutRequest was used before");
        Err(logout_refusal(&SamlError::Invalid(refused)))
    }

    /// The IdP says how our own request went. The session here ended before that was sent.
    async fn logout_answered(
        &self,
        saml: &SamlIdp,
        message: LogoutMessage<'_>,
        now: Timestamp,
    ) -> Result<LoggedOut, Refusal> {
        let Some(pending) = self.pending_logout(saml, &message, now) else {
            let cause = "no sign-out of this browser has that RelayState";
            return Err(Refusal::new(Reason::StateInvalid, cause));
        };
        let slo = self.saml_url(message.site, &saml.config().id, "slo");
        let status = saml
            .logout_response(message.arrived, &slo, &pending.flow.request_id, now)
            .await
            .map_err(|error| logout_refusal(&error))?;
        let name = cookies::logout_name(message.site);
        Ok(LoggedOut::Here {
            status,
            return_to: pending.return_to,
            cookies: vec![cookies::delete(message.site, &name)],
        })
    }

    fn pending_logout(
        &self,
        saml: &SamlIdp,
        message: &LogoutMessage<'_>,
        now: Timestamp,
    ) -> Option<PendingLogout> {
        let sealed = message.browser.one(&cookies::logout_name(message.site))?;
        let plain = self.seal.open(PURPOSE, sealed).ok()?;
        let pending: PendingLogout = serde_json::from_slice(&plain).ok()?;
        let given = message.relay_state?.as_bytes();
        let same: bool = pending.flow.relay_state.as_bytes().ct_eq(given).into();
        let fits = same
            && (0..=VALID_FOR).contains(&(now.as_second() - pending.started_at))
            && pending.idp == saml.config().id
            && pending.origin == message.site.public_url.origin;
        fits.then_some(pending)
    }
}

/// What people are told when a message about signing out did not do. The sentences of the checks speak of signing in.
fn logout_refusal(error: &SamlError) -> Refusal {
    match error {
        SamlError::Invalid(refused) => {
            let reason = Reason::InvalidLogout;
            Refusal::new(reason, error.to_string()).at_check(FailedCheck {
                code: refused.check.code(),
                sentence: reason.message(),
            })
        }
        SamlError::Unavailable(_)
        | SamlError::Denied(_)
        | SamlError::Malformed(_)
        | SamlError::Busy
        | SamlError::Internal(_) => saml_refusal(error),
    }
}
