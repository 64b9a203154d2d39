//! What a sign-in remembers between leaving for the IdP and coming back: sealed in one cookie for
//! each attempt, so that anonymous requests cost the server no memory and several tabs all succeed.

use aws_lc_rs::digest::{SHA256, digest};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;

use super::cookies::{self, BrowserCookies};
use crate::config::Site;
use crate::identity::IdpId;
use crate::idp::oidc::FlowSecrets;
use crate::seal::{SealError, SealRing};

/// Seconds that a sign-in may take.
pub(super) const VALID_FOR: i64 = 600;

/// Bytes that the state cookies of one browser may take together; beyond, the oldest go.
const COOKIES_LIMIT: usize = 5 * 1024;

/// Binds sealed states to their use.
const PURPOSE: &str = "sign-in state";

/// A sign-in on its way. Only [`PendingLogin::of_answer`] gives one back, and only to the browser that began it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct PendingLogin {
    /// The IdP it was sent to.
    pub(super) idp: IdpId,
    /// The origin it began at.
    pub(super) origin: String,
    /// Where to go afterwards, already judged.
    pub(super) return_to: String,
    /// `state`, `nonce` and PKCE verifier.
    pub(super) secrets: FlowSecrets,
    /// Unix seconds.
    pub(super) started_at: i64,
}

impl PendingLogin {
    /// The `Set-Cookie` lines that keep it in the browser: its own, and deletions of the oldest others beyond the limit.
    ///
    /// # Errors
    /// If it cannot be sealed.
    pub(super) fn keep(
        &self,
        site: &Site,
        ring: &SealRing,
        browser: &BrowserCookies,
        cross_site: bool,
    ) -> Result<Vec<String>, SealError> {
        let plain = serde_json::to_vec(self).map_err(|_| SealError::NotSealed)?;
        let sealed = ring.seal(PURPOSE, &plain)?;
        let name = cookie_name(site, self.started_at, &self.secrets.state);
        let mut lines = vec![cookies::set(
            site,
            &name,
            &sealed,
            Some(VALID_FOR),
            cross_site,
        )];
        let prefix = cookies::state_prefix(site);
        let mut others: Vec<(&str, &str)> = browser.starting_with(&prefix).collect();
        // Names begin with the time in hexadecimal: the newest first.
        others.sort_unstable_by(|one, other| other.0.cmp(one.0));
        let mut total = name.len() + sealed.len();
        for (other, value) in others {
            total += other.len() + value.len();
            if total > COOKIES_LIMIT {
                lines.push(cookies::delete(site, other));
            }
        }
        Ok(lines)
    }

    /// The pending sign-in that an answer with `state` belongs to, with the name of its cookie.
    /// None if this browser has none, or it is too old, was changed, or is of another IdP or origin.
    pub(super) fn of_answer(
        state: &str,
        idp: &IdpId,
        site: &Site,
        ring: &SealRing,
        browser: &BrowserCookies,
        now: Timestamp,
    ) -> Option<(Self, String)> {
        let prefix = cookies::state_prefix(site);
        let ending = state_mark(state);
        let (name, sealed) = browser
            .starting_with(&prefix)
            .find(|(name, _)| name.ends_with(&ending))?;
        let pending: Self = serde_json::from_slice(&ring.open(PURPOSE, sealed).ok()?).ok()?;
        let age = now.as_second() - pending.started_at;
        let same_state: bool = pending
            .secrets
            .state
            .as_bytes()
            .ct_eq(state.as_bytes())
            .into();
        let fits = same_state
            && (0..=VALID_FOR).contains(&age)
            && &pending.idp == idp
            && pending.origin == site.public_url.origin;
        fits.then(|| (pending, name.to_owned()))
    }

    /// What is claimed in the store when it is used: tells nothing of the state itself.
    pub(super) fn claim_id(&self) -> String {
        hex(digest(&SHA256, self.secrets.state.as_bytes()).as_ref())
    }
}

fn cookie_name(site: &Site, started_at: i64, state: &str) -> String {
    format!(
        "{}{started_at:08x}{}",
        cookies::state_prefix(site),
        state_mark(state)
    )
}

/// Names the attempt in its cookie's name without telling its state.
fn state_mark(state: &str) -> String {
    let hash = digest(&SHA256, state.as_bytes());
    hex(hash.as_ref().get(..8).unwrap_or_default())
}

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            use std::fmt::Write;
            let _ = write!(text, "{byte:02x}");
            text
        })
}
