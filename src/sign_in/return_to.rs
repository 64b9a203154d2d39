//! Where a browser may be sent after a sign-in or sign-out.

use url::Url;

use crate::config::{self, Config, Site};

/// Longest return URL that a sign-in remembers, in bytes; a longer one loses its query.
const LONGEST: usize = 1500;

/// A return URL that was judged: of this site, of another app's origin, or of a configured origin.
///
/// It is emitted byte for byte as it was given, so that a deep link survives; that is safe because
/// only text without bytes that parsers disagree about is taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReturnTo(String);

impl ReturnTo {
    /// Judges `given` as a browser at `site` would read it (WHATWG URL), never by prefix.
    /// What is not allowed becomes the root of the site.
    pub fn judge(given: Option<&str>, site: &Site, config: &Config) -> Self {
        given
            .and_then(|given| Self::allowed(given, site, config))
            .unwrap_or_else(|| Self("/".to_owned()))
    }

    fn allowed(given: &str, site: &Site, config: &Config) -> Option<Self> {
        if given.is_empty()
            || given
                .bytes()
                .any(|byte| byte <= b' ' || byte >= 0x7f || byte == b'\\')
        {
            return None;
        }
        let base = Url::parse(&site.public_url.origin).ok()?;
        let url = base.join(given).ok()?;
        let plain = matches!(url.scheme(), "http" | "https")
            && url.username().is_empty()
            && url.password().is_none();
        // A path that begins with two slashes is another host to whoever reads it without its origin.
        if !plain || url.path().starts_with("//") || !origin_allowed(&url, &base, config) {
            return None;
        }
        if leads_back_to_sign_in(&url, &base, config) {
            return None;
        }
        let relative = given.starts_with('/');
        let same_text = given.starts_with(&format!("{}/", url.origin().ascii_serialization()));
        if !relative && !same_text && given != url.origin().ascii_serialization() {
            return None;
        }
        Some(Self(shorten(given)))
    }

    /// As it goes into a `Location`: a path of the site, or an absolute URL.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The path within the site, for finding the app that is returned to; none for another origin.
    pub fn path_in(&self, site: &Site) -> Option<String> {
        let base = Url::parse(&site.public_url.origin).ok()?;
        let url = base.join(&self.0).ok()?;
        (url.origin() == base.origin()).then(|| url.path().to_owned())
    }
}

fn origin_allowed(url: &Url, base: &Url, config: &Config) -> bool {
    url.origin() == base.origin()
        || config
            .sites
            .iter()
            .any(|site| site.public_url.origin == url.origin().ascii_serialization())
        || config
            .return_to_origins
            .iter()
            .any(|allowed| allowed.matches(url))
}

/// Returning to usher's own endpoints would go round in circles or sign out at once.
fn leads_back_to_sign_in(url: &Url, base: &Url, config: &Config) -> bool {
    url.origin() == base.origin() && config::owns(&config.prefix, url.path())
}

fn shorten(given: &str) -> String {
    if given.len() <= LONGEST {
        return given.to_owned();
    }
    let path = given.split(['?', '#']).next().unwrap_or("/");
    if path.len() <= LONGEST {
        path.to_owned()
    } else {
        "/".to_owned()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::sign_in::fixtures::config;

    fn judged(given: &str) -> String {
        let config = config();
        ReturnTo::judge(Some(given), &config.sites[0], &config).0
    }

    #[test]
    fn keeps_what_is_of_this_site_byte_for_byte() {
        for given in [
            "/",
            "/ok?a=1&b=%2F%2Fx&c=https%3A%2F%2Fevil.test",
            "/a%20b/%C3%A9?q=%26#frag",
            "/x;y=1",
            "/?u=//evil.test",
            "https://app.test/deep",
            "https://sub.apps.test/ok",
            "https://port.test:8080/ok",
            "https://app.test",
        ] {
            assert_eq!(judged(given), given);
        }
    }

    #[test]
    fn anything_else_becomes_the_root() {
        for given in [
            "",
            "//evil.test",
            "///evil.test",
            "https:evil.test",
            "https:/evil.test",
            "https:\\evil.test",
            "/\\evil.test",
            "\\\\evil.test",
            "/\t/evil.test",
            "/ /evil.test",
            " //evil.test",
            "/..//evil.test",
            "/x/..//evil.test",
            "/%2e%2e//evil.test",
            "javascript:alert(1)",
            "data:text/html,x",
            "https://evil.test/",
            "https://app.test@evil.test/",
            "https://user@app.test/",
            "https://app.test.evil.test/",
            "https://app.test:8443/",
            "https://apps.test/",
            "https://evilapps.test/",
            "http://app.test/",
            "ok",
            "/ok\r\nSet-Cookie: a=b",
            "/_usher/sign-in",
            "/_usher/../_usher/sign-out",
        ] {
            assert_eq!(judged(given), "/", "{given:?}");
        }
    }

    #[test]
    fn a_very_long_one_loses_its_query() {
        assert_eq!(judged(&format!("/deep?{}", "a".repeat(2000))), "/deep");
        assert_eq!(judged(&format!("/{}", "a".repeat(2000))), "/");
    }
}
