//! What a sign-in remembers between leaving for the IdP and coming back: sealed in one cookie for
//! each attempt, so that anonymous requests cost the server no memory and several tabs all succeed.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;

use super::cookies::{self, BrowserCookies};
use super::looping;
use crate::config::Site;
use crate::identity::{IdpId, hash};
use crate::idp::{oidc, saml};
use crate::seal::{SealError, SealRing};
use crate::trace::Carried;

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
    /// What the protocol needs again.
    pub(super) flow: Flow,
    /// The session that the browser had, as [`crate::session::SessionKey::to_text`] writes it, and the sign-ins that it finished
    /// lately: a cross-site POST does not bring the cookies that tell. None where the answer brings them.
    pub(super) before: Option<Before>,
    /// Unix seconds.
    pub(super) started_at: i64,
    /// Whether the person had to sign in there anew: then the answer must say that they did since `started_at`.
    #[serde(default)]
    pub(super) anew: bool,
    /// A test sign-in: the public id of the admin's session. Nobody is ever signed in by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) test: Option<String>,
    /// Where it began, in its trace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) trace: Option<Carried>,
}

/// See [`PendingLogin::before`].
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Before {
    pub(super) session: Option<String>,
    pub(super) finished: looping::Count,
}

/// The secrets of a sign-in, by protocol.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Flow {
    /// `state`, `nonce` and PKCE verifier.
    Oidc(oidc::FlowSecrets),
    /// `ID` of the request and `RelayState`.
    Saml(saml::FlowSecrets),
}

impl Flow {
    /// The token by which the answer finds its sign-in: OIDC `state`, SAML `RelayState`.
    pub(super) fn token(&self) -> &str {
        match self {
            Self::Oidc(secrets) => &secrets.state,
            Self::Saml(secrets) => &secrets.relay_state,
        }
    }
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
        let name = cookie_name(site, self.started_at, self.flow.token());
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

    /// The pending sign-in that an answer with `token` belongs to, with the name of its cookie.
    /// None if this browser has none, or it is too old, was changed, or is of another IdP or origin.
    pub(super) fn of_answer(
        token: &str,
        idp: &IdpId,
        site: &Site,
        ring: &SealRing,
        browser: &BrowserCookies,
        now: Timestamp,
    ) -> Option<(Self, String)> {
        let prefix = cookies::state_prefix(site);
        let ending = state_mark(token);
        let (name, sealed) = browser
            .starting_with(&prefix)
            .find(|(name, _)| name.ends_with(&ending))?;
        let pending: Self = serde_json::from_slice(&ring.open(PURPOSE, sealed).ok()?).ok()?;
        let age = now.as_second() - pending.started_at;
        let same_token: bool = pending
            .flow
            .token()
            .as_bytes()
            .ct_eq(token.as_bytes())
            .into();
        let fits = same_token
            && (0..=VALID_FOR).contains(&age)
            && &pending.idp == idp
            && pending.origin == site.public_url.origin;
        fits.then(|| (pending, name.to_owned()))
    }

    /// What is claimed in the store when it is used: tells nothing of the state itself.
    pub(super) fn claim_id(&self) -> String {
        hash(self.flow.token())
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
    let mut mark = hash(state);
    mark.truncate(16);
    mark
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use http::HeaderMap;
    use http::header::COOKIE;
    use jiff::SignedDuration;

    use super::*;
    use crate::sign_in::fixtures::config;

    fn now() -> Timestamp {
        Timestamp::from_second(1_800_000_000).unwrap()
    }

    fn ring() -> SealRing {
        SealRing::new(&[[3u8; 32]]).unwrap()
    }

    fn pending(state: &str, at: Timestamp) -> PendingLogin {
        PendingLogin {
            idp: IdpId::new("acme"),
            origin: "https://app.test".to_owned(),
            return_to: "/deep".to_owned(),
            flow: Flow::Oidc(oidc::FlowSecrets {
                state: state.to_owned(),
                nonce: "n".repeat(43),
                code_verifier: "v".repeat(43),
            }),
            before: None,
            started_at: at.as_second(),
            anew: false,
            test: None,
            trace: None,
        }
    }

    /// The browser after a `Set-Cookie` line of each given pending sign-in.
    fn browser(lines: &[String]) -> BrowserCookies {
        let mut headers = HeaderMap::new();
        for line in lines {
            let pair = line.split(';').next().unwrap();
            headers.append(COOKIE, pair.parse().unwrap());
        }
        BrowserCookies::read(&headers)
    }

    fn found(state: &str, idp: &str, lines: &[String], at: Timestamp) -> Option<PendingLogin> {
        let config = config();
        let found = PendingLogin::of_answer(
            state,
            &IdpId::new(idp),
            &config.sites[0],
            &ring(),
            &browser(lines),
            at,
        );
        found.map(|(pending, _)| pending)
    }

    fn kept(state: &str) -> Vec<String> {
        let config = config();
        pending(state, now())
            .keep(&config.sites[0], &ring(), &BrowserCookies::default(), false)
            .unwrap()
    }

    #[test]
    fn comes_back_to_the_browser_that_began_it() {
        let lines = kept("one");
        assert!(lines[0].starts_with("__Host-usher-state-"), "{}", lines[0]);
        assert!(
            lines[0].contains("HttpOnly")
                && lines[0].contains("Secure")
                && lines[0].contains("SameSite=Lax")
        );
        assert_eq!(
            found("one", "acme", &lines, now()).unwrap().return_to,
            "/deep"
        );
    }

    #[test]
    fn one_of_saml_is_found_by_its_relay_state_and_comes_back_over_a_cross_site_post() {
        let config = config();
        let flow = saml::FlowSecrets {
            request_id: "_1".to_owned(),
            relay_state: "relay".to_owned(),
        };
        let saml = PendingLogin {
            flow: Flow::Saml(flow),
            before: Some(Before {
                session: Some("key".to_owned()),
                ..Before::default()
            }),
            ..pending("unused", now())
        };
        let lines = saml
            .keep(&config.sites[0], &ring(), &BrowserCookies::default(), true)
            .unwrap();
        assert!(lines[0].contains("SameSite=None") && lines[0].contains("Secure"));
        assert!(found("_1", "acme", &lines, now()).is_none());
        assert!(found("unused", "acme", &lines, now()).is_none());
        let found = found("relay", "acme", &lines, now()).unwrap();
        assert_eq!(found.before.unwrap().session.as_deref(), Some("key"));
        let Flow::Saml(flow) = found.flow else {
            panic!()
        };
        assert_eq!(flow.request_id, "_1");
    }

    #[test]
    fn refuses_another_browser_state_or_idp() {
        let lines = kept("one");
        assert!(found("one", "acme", &[], now()).is_none());
        assert!(found("two", "acme", &lines, now()).is_none());
        assert!(found("one", "globex", &lines, now()).is_none());
        assert!(found("", "acme", &lines, now()).is_none());
    }

    #[test]
    fn refuses_what_took_too_long_or_comes_from_the_future() {
        let lines = kept("one");
        assert!(
            found(
                "one",
                "acme",
                &lines,
                now() + SignedDuration::from_secs(VALID_FOR)
            )
            .is_some()
        );
        assert!(
            found(
                "one",
                "acme",
                &lines,
                now() + SignedDuration::from_secs(VALID_FOR + 1)
            )
            .is_none()
        );
        assert!(found("one", "acme", &lines, now() - SignedDuration::from_secs(1)).is_none());
    }

    #[test]
    fn refuses_a_cookie_that_was_changed() {
        let lines = kept("one");
        let (name, value) = lines[0].split(';').next().unwrap().split_once('=').unwrap();
        for at in 0..value.len() {
            let mut changed = value.to_owned().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let line = format!("{name}={}", String::from_utf8(changed).unwrap());
            assert!(found("one", "acme", &[line], now()).is_none(), "byte {at}");
        }
    }

    #[test]
    fn a_hundred_tabs_stay_within_the_limit_and_the_newest_is_kept() {
        let config = config();
        let mut lines: Vec<String> = Vec::new();
        for tab in 0..100 {
            let at = now() + SignedDuration::from_secs(tab);
            let set = pending(&format!("state-{tab}"), at)
                .keep(&config.sites[0], &ring(), &browser(&lines), false)
                .unwrap();
            let deleted: Vec<String> = set[1..]
                .iter()
                .map(|line| line.split('=').next().unwrap().to_owned())
                .collect();
            lines.retain(|line| !deleted.iter().any(|name| line.starts_with(name.as_str())));
            lines.push(set[0].clone());
        }
        let bytes: usize = lines
            .iter()
            .map(|line| line.split(';').next().unwrap().len())
            .sum();
        assert!(bytes <= COOKIES_LIMIT, "{bytes}");
        assert!(lines.len() > 3);
        assert!(
            found(
                "state-99",
                "acme",
                &lines,
                now() + SignedDuration::from_secs(100)
            )
            .is_some()
        );
    }
}
