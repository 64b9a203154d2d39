//! Times, numbers and states in words.

use jiff::Timestamp;

use crate::directory::Status;

/// The colour of a tag and its text.
pub(super) type TagText = (&'static str, String);

/// A time as a page shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct When {
    /// For machines.
    pub(super) iso: String,
    /// To the second.
    pub(super) full: String,
    /// Short.
    pub(super) text: String,
}

impl When {
    pub(super) fn of(at: Timestamp, now: Timestamp) -> Self {
        Self {
            iso: at.to_string(),
            full: at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string(),
            text: short(at, now),
        }
    }

    /// To the second: for a log.
    pub(super) fn exact(at: Timestamp) -> Self {
        let full = at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string();
        Self {
            iso: at.to_string(),
            text: at.strftime("%-d %b %Y, %H:%M:%S").to_string(),
            full,
        }
    }
}

fn short(at: Timestamp, now: Timestamp) -> String {
    let seconds = now.as_second() - at.as_second();
    // What lies ahead is rounded up: a link that holds for a week ends in 7 days.
    let unit = |apart: u64, unit: u64| {
        if seconds < 0 {
            apart.div_ceil(unit)
        } else {
            apart / unit
        }
    };
    let span = match seconds.unsigned_abs() {
        0..60 => {
            return if seconds < 0 {
                "in a moment"
            } else {
                "just now"
            }
            .to_owned();
        }
        apart @ 60..3600 => format!("{} min", unit(apart, 60)),
        apart @ 3600..86_400 => format!("{} h", unit(apart, 3600)),
        apart @ 86_400..2_592_001 => match unit(apart, 86_400) {
            1 => "1 day".to_owned(),
            days => format!("{days} days"),
        },
        _ => return at.strftime("%-d %b %Y").to_string(),
    };
    if seconds < 0 {
        format!("in {span}")
    } else {
        format!("{span} ago")
    }
}

/// A number with commas between thousands.
pub(super) fn number(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 person`, `2 people`.
pub(super) fn count(count: u64, one: &str, several: &str) -> String {
    format!(
        "{} {}",
        number(count),
        if count == 1 { one } else { several }
    )
}

/// Where somebody is.
pub(super) fn status(status: Status) -> TagText {
    match status {
        Status::Active => ("good", "active".to_owned()),
        Status::Invited => ("", "invited".to_owned()),
        Status::Deactivated => ("bad", "deactivated".to_owned()),
    }
}

/// Who did something, from how the log writes it.
pub(super) fn actor(text: &str) -> String {
    match text.split_once(':') {
        Some(("user", id)) => {
            let end = id.get(id.len().saturating_sub(6)..).unwrap_or(id);
            format!("person …{end}")
        }
        Some(("token", name)) => format!("API token {name}"),
        Some(("scim", idp)) => format!("SCIM of {idp}"),
        Some(("idp", idp)) => idp.to_owned(),
        Some(_) => text.to_owned(),
        None => match text {
            "system" => "usher".to_owned(),
            "nobody" => "nobody known".to_owned(),
            other => other.to_owned(),
        },
    }
}

/// What a page says after a change, by the code in its address: nothing else can be written there.
pub(super) fn done(code: &str) -> Option<&'static str> {
    Some(match code {
        "roles" => "The roles are saved. They count from the next click on.",
        "deactivated" => "Deactivated. All sessions have ended, and the apps are being told.",
        "reactivated" => "Reactivated. The apps are being told.",
        "session" => "The session has ended.",
        "sessions" => "All sessions have ended.",
        "replayed" => "The message is on its way to the app again.",
        "withdrawn" => "The invitation is withdrawn: its link leads nowhere now.",
        "on" => "Switched on: people can sign in through it from now on.",
        "off" => "Switched off: nobody new gets in through it. Sessions that are open go on.",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn times_are_short_and_their_full_form_stands_beside() {
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        let at = |ago: i64| When::of(Timestamp::from_second(1_800_000_000 - ago).unwrap(), now);
        for (ago, text) in [
            (0, "just now"),
            (59, "just now"),
            (60, "1 min ago"),
            (7200, "2 h ago"),
            (86_400, "1 day ago"),
            (5 * 86_400, "5 days ago"),
            (-30, "in a moment"),
            (-3 * 86_400, "in 3 days"),
            (-7 * 86_400 + 5, "in 7 days"),
            (-86_400 + 5, "in 24 h"),
            (40 * 86_400, "6 Dec 2026"),
        ] {
            assert_eq!(at(ago).text, text);
        }
        assert_eq!(at(0).full, "2027-01-15 08:00:00 UTC");
    }

    #[test]
    fn what_was_done_is_one_of_our_own_sentences() {
        assert!(done("on").is_some());
        for other in ["", "On", "anything", "<script>"] {
            assert_eq!(done(other), None, "{other}");
        }
    }

    #[test]
    fn numbers_are_easy_to_read() {
        assert_eq!(number(0), "0");
        assert_eq!(number(999), "999");
        assert_eq!(number(1000), "1,000");
        assert_eq!(number(1_234_567), "1,234,567");
        assert_eq!(count(1, "person", "people"), "1 person");
        assert_eq!(count(100_000, "person", "people"), "100,000 people");
    }
}
