//! The cookies of a sign-in: the session, one sealed state for each attempt, and the loop counter.

use cookie::{Cookie, SameSite};
use http::HeaderMap;
use http::header::COOKIE;

use crate::config::Site;
use crate::session::SessionKey;

/// The cookies that a browser sent, as name and value, in its order.
#[derive(Clone, Debug, Default)]
pub struct BrowserCookies(Vec<(String, String)>);

impl BrowserCookies {
    /// Reads all `Cookie` fields; what is not `name=value` is passed over (RFC 6265 5.4).
    pub fn read(headers: &HeaderMap) -> Self {
        let pairs = headers
            .get_all(COOKIE)
            .iter()
            .filter_map(|field| field.to_str().ok())
            .flat_map(|field| field.split(';'))
            .filter_map(|pair| pair.trim().split_once('='))
            .map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()))
            .collect();
        Self(pairs)
    }

    /// The value of the only cookie of that name; none if it is missing or there are several that differ.
    pub fn one(&self, name: &str) -> Option<&str> {
        let mut values = self
            .0
            .iter()
            .filter(|(known, _)| known == name)
            .map(|(_, value)| value.as_str());
        let first = values.next()?;
        values.all(|other| other == first).then_some(first)
    }

    /// The key of the one session cookie that the browser sent to a site.
    pub fn session_key(&self, site: &Site) -> Option<SessionKey> {
        SessionKey::of_cookie(self.one(&site.cookie_name)?.as_bytes())
    }

    /// All cookies whose name begins so.
    pub fn starting_with<'a>(
        &'a self,
        prefix: &'a str,
    ) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.0
            .iter()
            .filter(move |(name, _)| name.starts_with(prefix))
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

/// Name of the state cookie of one attempt begins so.
pub fn state_prefix(site: &Site) -> String {
    format!("{}-state-", site.cookie_name)
}

/// Name of the cookie of a sign-out that is on its way at a SAML IdP.
pub fn logout_name(site: &Site) -> String {
    format!("{}-slo", site.cookie_name)
}

/// Name of the cookie that counts sign-ins, to break loops.
pub fn loop_name(site: &Site) -> String {
    format!("{}-loop", site.cookie_name)
}

/// Name of the cookie that forms without a session are bound to.
pub fn form_name(site: &Site) -> String {
    format!("{}-form", site.cookie_name)
}

/// A `Set-Cookie` line for a cookie of usher's own: `HttpOnly`, `Path=/`, `Secure` on https.
/// `max_age` in seconds; none: until the browser closes. `cross_site` for answers that come by a cross-site POST.
pub fn set(site: &Site, name: &str, value: &str, max_age: Option<i64>, cross_site: bool) -> String {
    let mut cookie = Cookie::new(name, value);
    cookie.set_path("/");
    cookie.set_http_only(true);
    // Browsers take `Secure` cookies from http://localhost too, and refuse `SameSite=None` without it.
    cookie.set_secure(site.public_url.https || cross_site);
    cookie.set_same_site(if cross_site {
        SameSite::None
    } else {
        SameSite::Lax
    });
    if let Some(seconds) = max_age {
        cookie.set_max_age(cookie::time::Duration::seconds(seconds));
    }
    cookie.to_string()
}

/// A `Set-Cookie` line that deletes a cookie made by [`set`].
pub fn delete(site: &Site, name: &str) -> String {
    set(site, name, "", Some(0), false)
}
