//! Breaks sign-ins that go round in circles: finished again and again, and the session never comes back.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::cookies::{self, BrowserCookies};
use crate::config::Site;
use crate::seal::SealRing;

/// Seconds within which sign-ins count as one loop.
const WINDOW: i64 = 60;

/// Sign-ins within the window after which the next one is refused with a page that says why.
const LIMIT: u32 = 4;

const PURPOSE: &str = "sign-in loop";

/// Sign-ins that a browser finished.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, Default)]
pub(super) struct Count {
    since: i64,
    finished: u32,
}

impl Count {
    fn within_window(self, now: Timestamp) -> Self {
        if (0..=WINDOW).contains(&(now.as_second() - self.since)) {
            self
        } else {
            Self::default()
        }
    }
}

/// What the browser's cookie says.
pub(super) fn read(
    site: &Site,
    ring: &SealRing,
    browser: &BrowserCookies,
    now: Timestamp,
) -> Count {
    browser
        .one(&cookies::loop_name(site))
        .and_then(|sealed| ring.open(PURPOSE, sealed).ok())
        .and_then(|plain| serde_json::from_slice::<Count>(&plain).ok())
        .unwrap_or_default()
        .within_window(now)
}

/// Whether this browser finished too many sign-ins within a minute.
pub(super) fn is_looping(
    site: &Site,
    ring: &SealRing,
    browser: &BrowserCookies,
    now: Timestamp,
) -> bool {
    read(site, ring, browser, now).finished >= LIMIT
}

/// The `Set-Cookie` line that counts one more finished sign-in, after those of `before`.
pub(super) fn count(site: &Site, ring: &SealRing, before: Count, now: Timestamp) -> Option<String> {
    let mut count = before.within_window(now);
    if count.finished == 0 {
        count.since = now.as_second();
    }
    count.finished = count.finished.saturating_add(1);
    let sealed = ring.seal(PURPOSE, &serde_json::to_vec(&count).ok()?).ok()?;
    Some(cookies::set(
        site,
        &cookies::loop_name(site),
        &sealed,
        Some(WINDOW),
        false,
    ))
}

/// The `Set-Cookie` line that forgets the count, after the page was shown or somebody signed out.
pub(super) fn forget(site: &Site) -> String {
    cookies::delete(site, &cookies::loop_name(site))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use http::HeaderMap;
    use http::header::COOKIE;
    use jiff::SignedDuration;

    use super::*;
    use crate::sign_in::fixtures::config;

    #[test]
    fn four_sign_ins_within_a_minute_are_a_loop_and_later_ones_are_not() {
        let config = config();
        let site = &config.sites[0];
        let ring = SealRing::new(&[[3u8; 32]]).unwrap();
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        let mut browser = BrowserCookies::default();
        for _ in 0..LIMIT {
            assert!(!is_looping(site, &ring, &browser, now));
            let before = read(site, &ring, &browser, now);
            let line = count(site, &ring, before, now).unwrap();
            let mut headers = HeaderMap::new();
            headers.append(COOKIE, line.split(';').next().unwrap().parse().unwrap());
            browser = BrowserCookies::read(&headers);
        }
        assert!(is_looping(site, &ring, &browser, now));
        assert!(!is_looping(
            site,
            &ring,
            &browser,
            now + SignedDuration::from_secs(WINDOW + 1)
        ));
    }
}
