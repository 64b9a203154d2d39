//! `xs:dateTime` as SAML has it: always UTC (SAML Core 1.3.3).

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::Offset;

/// `2026-11-22T10:00:00Z`, with a fraction of up to nine digits or without; nothing else: no offset, no second 60, no year
/// beyond four digits. The last day of the year 9999, which some write for "never ends", is [`Timestamp::MAX`].
pub fn read(text: &str) -> Option<Timestamp> {
    let text = text.strip_suffix('Z')?;
    let (whole, fraction) = match text.split_once('.') {
        Some((whole, fraction)) => (whole, nanoseconds(fraction)?),
        None => (text, 0),
    };
    let (date, time) = whole.split_once('T')?;
    let (year, month, day) = three(date, '-')?;
    let (hour, minute, second) = three(time, ':')?;
    let at = DateTime::new(
        i16::try_from(number(year, 4)?)
            .ok()
            .filter(|year| *year > 0)?,
        i8::try_from(number(month, 2)?).ok()?,
        i8::try_from(number(day, 2)?).ok()?,
        i8::try_from(number(hour, 2)?).ok()?,
        i8::try_from(number(minute, 2)?).ok()?,
        i8::try_from(number(second, 2)?).ok()?,
        fraction,
    )
    .ok()?;
    Some(Offset::UTC.to_timestamp(at).unwrap_or(Timestamp::MAX))
}

/// As usher writes it: whole seconds.
pub fn write(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn three(text: &str, between: char) -> Option<(&str, &str, &str)> {
    let (first, rest) = text.split_once(between)?;
    let (second, third) = rest.split_once(between)?;
    Some((first, second, third))
}

fn number(digits: &str, length: usize) -> Option<u32> {
    let plain = digits.len() == length && digits.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| digits.parse().ok()).flatten()
}

fn nanoseconds(fraction: &str) -> Option<i32> {
    let value = number(fraction, fraction.len().clamp(1, 9))?;
    let missing = 9_u32.checked_sub(u32::try_from(fraction.len()).ok()?)?;
    i32::try_from(value.checked_mul(10_u32.checked_pow(missing)?)?).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn reads_utc_with_and_without_a_fraction() {
        for (text, same) in [
            ("2026-11-22T10:00:00Z", "2026-11-22T10:00:00Z"),
            ("2026-11-22T10:00:00.5Z", "2026-11-22T10:00:00.5Z"),
            (
                "2026-11-22T10:00:00.123456789Z",
                "2026-11-22T10:00:00.123456789Z",
            ),
            ("2024-02-29T23:59:59.000Z", "2024-02-29T23:59:59Z"),
            ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z"),
        ] {
            assert_eq!(read(text), Some(same.parse().unwrap()), "{text}");
        }
        assert_eq!(read("9999-12-31T23:59:59.9999999Z"), Some(Timestamp::MAX));
    }

    #[test]
    fn refuses_any_other_spelling() {
        for text in [
            "",
            "Z",
            "2026-11-22T10:00:00",
            "2026-11-22T10:00:00z",
            "2026-11-22t10:00:00Z",
            "2026-11-22 10:00:00Z",
            "2026-11-22T10:00:00+00:00",
            "2026-11-22T10:00:00-00:00Z",
            "2026-11-22T10:00Z",
            "2026-11-22T10:00:00.Z",
            "2026-11-22T10:00:00.1234567890Z",
            "2026-11-22T10:00:00,5Z",
            "2026-11-22T10:00:00.+5Z",
            "2026-11-22T10:00:60Z",
            "2026-11-22T24:00:00Z",
            "2026-11-22T10:60:00Z",
            "2026-02-29T10:00:00Z",
            "2026-13-01T10:00:00Z",
            "2026-00-01T10:00:00Z",
            "0000-01-01T10:00:00Z",
            "12026-11-22T10:00:00Z",
            "-2026-11-22T10:00:00Z",
            "+026-11-22T10:00:00Z",
            "26-11-22T10:00:00Z",
            "2026-1-22T10:00:00Z",
            " 2026-11-22T10:00:00Z",
            "2026-11-22T10:00:00Z ",
            "2026-11-22T10:00:00Z\n",
            "2026-11-22T10:00:00ZZ",
            "2026-11-22T10:00:0\u{0660}Z",
            "2026-11-22T10:00:00\0Z",
        ] {
            assert_eq!(read(text), None, "{text:?}");
        }
    }

    #[test]
    fn writes_whole_seconds() {
        let at: Timestamp = "2026-11-22T10:00:00.987Z".parse().unwrap();
        assert_eq!(write(at), "2026-11-22T10:00:00Z");
        assert_eq!(read(&write(at)).unwrap().as_second(), at.as_second());
    }
}
