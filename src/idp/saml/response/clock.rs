//! Instants of a message, compared with now (SAML Core 1.3.3, 2.5.1.2).

use jiff::{SignedDuration, Timestamp};

use super::super::check::{Check, Refused, shown};
use super::super::xml::{Node, optional_attribute, time};
use super::SKEW;

const SKEW_DURATION: SignedDuration = SignedDuration::from_secs(SKEW);

/// Now, with the skew that is granted.
#[derive(Clone, Copy)]
pub(in crate::idp::saml) struct Clock(pub(in crate::idp::saml) Timestamp);

fn refused(detail: String) -> Refused {
    Refused::at(Check::Time, detail)
}

/// The instant of an attribute, if it is there.
pub(in crate::idp::saml) fn instant(
    node: Node<'_, '_>,
    name: &str,
) -> Result<Option<Timestamp>, Refused> {
    let Some(text) = optional_attribute(node, name) else {
        return Ok(None);
    };
    let element = node.tag_name().name();
    time::read(text).map(Some).ok_or_else(|| {
        refused(format!(
            "{name} of {element} is {}: it must be a time in UTC such as 2026-01-31T10:00:00Z",
            shown(text)
        ))
    })
}

/// The instant of an attribute that must be there.
pub(in crate::idp::saml) fn required(node: Node<'_, '_>, name: &str) -> Result<Timestamp, Refused> {
    let element = node.tag_name().name();
    instant(node, name)?.ok_or_else(|| refused(format!("{element} has no {name}")))
}

impl Clock {
    /// `at` has come, give or take the skew.
    pub(in crate::idp::saml) fn has_come(self, what: &str, at: Timestamp) -> Result<(), Refused> {
        let ahead = at.duration_since(self.0);
        if ahead <= SKEW_DURATION {
            return Ok(());
        }
        Err(refused(format!(
            "{what} is {at}, {} s in the future: it is {} here",
            ahead.as_secs(),
            self.0
        )))
    }

    /// `at` has not come yet, give or take the skew.
    pub(in crate::idp::saml) fn is_before(self, what: &str, at: Timestamp) -> Result<(), Refused> {
        let late = self.0.duration_since(at);
        if late < SKEW_DURATION {
            return Ok(());
        }
        Err(refused(format!(
            "{what} is {at}, {} s ago: it is {} here",
            late.as_secs(),
            self.0
        )))
    }

    /// `at` has come, and not longer ago than `age`, give or take the skew.
    pub(in crate::idp::saml) fn is_recent(
        self,
        what: &str,
        at: Timestamp,
        age: SignedDuration,
    ) -> Result<(), Refused> {
        self.has_come(what, at)?;
        let old = self.0.duration_since(at);
        if old < age + SKEW_DURATION {
            return Ok(());
        }
        Err(refused(format!(
            "{what} is {at}, {} s ago, which is more than {} s: it is {} here",
            old.as_secs(),
            age.as_secs(),
            self.0
        )))
    }
}

/// So much later; the end of time where that is beyond it.
pub(in crate::idp::saml) fn later(at: Timestamp, by: SignedDuration) -> Timestamp {
    at.checked_add(by).unwrap_or(Timestamp::MAX)
}

/// With the skew that is granted.
pub(in crate::idp::saml) fn with_skew(at: Timestamp) -> Timestamp {
    later(at, SKEW_DURATION)
}
