//! Forms of pages without a session: a token in the form that fits a cookie of the same browser, so that no other site can
//! post it.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use subtle::ConstantTimeEq;

use super::SignIn;
use super::cookies::{self, BrowserCookies};
use crate::config::Site;
use crate::refusal::{Reason, Refusal};

/// What tokens are sealed for.
const PURPOSE: &str = "form";
/// Seconds that a form may stay open.
const VALID_FOR: i64 = 60 * 60;
/// Characters of the cookie: 128 bits as base64url.
const COOKIE_LEN: usize = 22;

/// For one form.
#[derive(Debug)]
pub struct FormToken {
    /// For a hidden field.
    pub value: String,
    /// `Set-Cookie` line, where the browser has no cookie yet.
    pub cookie: Option<String>,
}

impl SignIn {
    /// A token for a form on a page of this site.
    ///
    /// # Errors
    /// `Internal`.
    pub fn form_token(
        &self,
        site: &Site,
        browser: &BrowserCookies,
        now: Timestamp,
    ) -> Result<FormToken, Refusal> {
        let internal = |cause: &str| Refusal::new(Reason::Internal, cause);
        let name = cookies::form_name(site);
        let (cookie, line) = match known(site, browser) {
            Some(known) => (known.to_owned(), None),
            None => {
                let mut bytes = [0; 16];
                aws_lc_rs::rand::fill(&mut bytes).map_err(|_| internal("no random numbers"))?;
                let made = URL_SAFE_NO_PAD.encode(bytes);
                let line = cookies::set(site, &name, &made, None, false);
                (made, Some(line))
            }
        };
        let plain = format!("{} {cookie}", now.as_second());
        let sealed = self.seal.seal(PURPOSE, plain.as_bytes());
        Ok(FormToken {
            value: sealed.map_err(|error| internal(&error.to_string()))?,
            cookie: line,
        })
    }

    /// Whether a form was made for this browser, at most an hour ago.
    ///
    /// # Errors
    /// `ForeignForm`.
    pub fn check_form(
        &self,
        site: &Site,
        browser: &BrowserCookies,
        token: Option<&str>,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        let foreign = |cause: &str| Refusal::new(Reason::ForeignForm, cause);
        let cookie = known(site, browser).ok_or_else(|| foreign("no form cookie"))?;
        let token = token.ok_or_else(|| foreign("no form token"))?;
        let plain = self.seal.open(PURPOSE, token).unwrap_or_default();
        let plain = String::from_utf8(plain).unwrap_or_default();
        let Some((made_at, bound)) = plain.split_once(' ') else {
            return Err(foreign("the form token was not made here"));
        };
        if !bool::from(bound.as_bytes().ct_eq(cookie.as_bytes())) {
            return Err(foreign("the form token is another browser's"));
        }
        let age = made_at
            .parse::<i64>()
            .map(|made_at| now.as_second() - made_at);
        match age {
            Ok(age) if age <= VALID_FOR => Ok(()),
            Ok(_) | Err(_) => Err(foreign("the form token has expired")),
        }
    }
}

fn known<'a>(site: &Site, browser: &'a BrowserCookies) -> Option<&'a str> {
    browser
        .one(&cookies::form_name(site))
        .filter(|value| value.len() == COOKIE_LEN)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use http::HeaderMap;
    use http::header::COOKIE;

    use super::*;
    use crate::sign_in::fixtures::story;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    /// The browser that took this cookie.
    fn with(line: &str) -> BrowserCookies {
        let mut headers = HeaderMap::new();
        let pair = line.split(';').next().unwrap_or_default();
        headers.insert(COOKIE, pair.parse().unwrap());
        BrowserCookies::read(&headers)
    }

    #[tokio::test]
    async fn a_token_is_for_its_browser_and_for_an_hour() {
        let story = story().await;
        let site = &story.config.sites[0];
        let nobody = BrowserCookies::default();
        let made = story.form_token(site, &nobody, at(0)).unwrap();
        let other = story.form_token(site, &nobody, at(0)).unwrap();
        let browser = with(&made.cookie.unwrap());
        let stranger = with(&other.cookie.unwrap());
        let check = |browser: &BrowserCookies, token: Option<&str>, second: i64| {
            story.check_form(site, browser, token, at(second)).is_ok()
        };
        let token = Some(made.value.as_str());
        assert!(check(&browser, token, 0));
        assert!(check(&browser, token, 3600));
        assert!(!check(&browser, token, 3601), "after an hour");
        assert!(!check(&stranger, token, 0), "in another browser");
        assert!(!check(&nobody, token, 0), "without a cookie");
        assert!(!check(&browser, None, 0), "without a token");
        let plain = format!("{} {}", at(0).as_second(), "A".repeat(COOKIE_LEN));
        assert!(!check(&browser, Some(&plain), 0), "made by somebody else");
        // Sealed for another purpose it is none.
        let other = story.seal.seal("another", plain.as_bytes()).unwrap();
        assert!(!check(&browser, Some(&other), 0));
        let again = story.form_token(site, &browser, at(5)).unwrap();
        assert!(again.cookie.is_none() && check(&browser, Some(&again.value), 5));
    }
}
