//! A request target with every path that an app could read in it.

use std::borrow::Cow;
use std::slice;

use icu_normalizer::ComposingNormalizerBorrowed;

use crate::refusal::{Reason, Refusal};

/// More readings than any honest path has; beyond, the request is refused.
const MOST_READINGS: usize = 64;
/// Bytes of all readings together: a very long path may have fewer of them, so that no request costs much.
const MOST_BYTES: usize = 128 * 1024;

/// A checked origin-form target. The app gets the very bytes that were decided on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    raw_path: String,
    /// Empty where the path as it was sent is its only reading.
    readings: Vec<String>,
}

impl Target {
    /// Checks the path of an origin-form target (RFC 9112 3.2.1), without its query, and works out its readings: percent-decoding up to twice,
    /// backslash as slash, `;params` cut from segments, `//` collapsed, dot segments removed, cut at `#` or `?`, NFKC; each
    /// optional and in any order. A plain path has one reading and takes a fast path. Characters that cannot stand in a
    /// target as they are (space, non-ASCII and the like) are decoded in every reading, so that `/caf%C3%A9` is `/café`
    /// alone. Case is not folded here: the gate matches every reading a second time without case.
    ///
    /// # Errors
    /// `BadRequest` for what is malformed: not starting with `/`, `#`, control or non-ASCII bytes, bad percent-encoding; encoded control
    /// characters and encoded bytes that are no UTF-8 (overlong forms among them), at the first or the second decoding;
    /// and for more than 64 readings.
    pub fn parse(path: &str) -> Result<Self, Refusal> {
        let shape = Shape::of(path.as_bytes()).map_err(malformed)?;
        let readings = match shape {
            Shape::Plain => Vec::new(),
            Shape::Ambiguous => all_readings(path).map_err(malformed)?,
        };
        Ok(Self {
            raw_path: path.to_owned(),
            readings,
        })
    }

    /// The path as it was sent.
    pub fn raw(&self) -> &str {
        &self.raw_path
    }

    /// All readings, the plain one first.
    pub fn readings(&self) -> &[String] {
        if self.readings.is_empty() {
            slice::from_ref(&self.raw_path)
        } else {
            &self.readings
        }
    }
}

fn malformed(cause: &'static str) -> Refusal {
    Refusal::new(Reason::BadRequest, cause)
}

/// Whether a path can be read in one way only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    Plain,
    Ambiguous,
}

impl Shape {
    fn of(path: &[u8]) -> Result<Self, &'static str> {
        if path.first() != Some(&b'/') {
            return Err("the target does not begin with a slash");
        }
        let mut shape = Self::Plain;
        let mut dots = 0_usize;
        let mut others = 0_usize;
        for byte in path.iter().copied().skip(1) {
            match byte {
                b'/' => {
                    if others == 0 && dots <= 2 {
                        shape = Self::Ambiguous;
                    }
                    (dots, others) = (0, 0);
                }
                b'.' => dots += 1,
                b'\\' | b';' | b'%' => {
                    shape = Self::Ambiguous;
                    others += 1;
                }
                b'#' | b'?' => return Err("the path has a fragment or query"),
                0x21..=0x7e => others += 1,
                _ => return Err("the target has control, space or non-ASCII bytes"),
            }
        }
        // At the end an empty segment is a trailing slash.
        if others == 0 && matches!(dots, 1 | 2) {
            shape = Self::Ambiguous;
        }
        Ok(shape)
    }
}

/// The closure of all steps over the path, by a work list, in the order of discovery.
fn all_readings(path: &str) -> Result<Vec<String>, &'static str> {
    let most = MOST_READINGS.min(MOST_BYTES / path.len()).max(4);
    // Each text with how many decodings may still follow.
    let mut found = vec![(decode_needful(path)?, 2_u8)];
    let mut next = 0;
    while let Some((text, decodings)) = found.get(next).cloned() {
        next += 1;
        for step in STEPS {
            let read = step(&text);
            if read.len() != text.len() || read != text {
                add(&mut found, read, decodings);
            }
        }
        if decodings > 0 && text.contains('%') {
            add(&mut found, Cow::Owned(decode(&text)?), decodings - 1);
        }
        // One text can be found with two, one and no decodings left.
        if found.len() > 3 * most {
            return Err("the target can be read in too many ways");
        }
    }
    let mut readings: Vec<String> = Vec::with_capacity(found.len());
    for (text, _) in found {
        if !readings.contains(&text) {
            readings.push(text);
        }
    }
    if readings.len() > most {
        return Err("the target can be read in too many ways");
    }
    Ok(readings)
}

fn add(found: &mut Vec<(String, u8)>, text: Cow<'_, str>, decodings: u8) {
    let known = found
        .iter()
        .any(|(known, left)| *left >= decodings && *known == text);
    if !known {
        found.push((text.into_owned(), decodings));
    }
}

const STEPS: [fn(&str) -> Cow<'_, str>; 7] = [
    slashes,
    without_parameters,
    collapsed,
    without_dot_segments,
    cut_at_hash,
    cut_at_question_mark,
    compatible,
];

fn slashes(path: &str) -> Cow<'_, str> {
    if path.contains('\\') {
        Cow::Owned(path.replace('\\', "/"))
    } else {
        Cow::Borrowed(path)
    }
}

fn without_parameters(path: &str) -> Cow<'_, str> {
    if !path.contains(';') {
        return Cow::Borrowed(path);
    }
    let segments: Vec<&str> = path
        .split('/')
        .map(|segment| segment.split(';').next().unwrap_or(segment))
        .collect();
    Cow::Owned(segments.join("/"))
}

fn collapsed(path: &str) -> Cow<'_, str> {
    if !path.contains("//") {
        return Cow::Borrowed(path);
    }
    let mut out = String::with_capacity(path.len());
    for character in path.chars() {
        if character != '/' || !out.ends_with('/') {
            out.push(character);
        }
    }
    Cow::Owned(out)
}

/// RFC 3986 5.2.4; empty segments stay, since collapsing is a step of its own.
fn without_dot_segments(path: &str) -> Cow<'_, str> {
    if !path.split('/').any(|segment| matches!(segment, "." | "..")) {
        return Cow::Borrowed(path);
    }
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        match segment {
            "." => {}
            ".." => {
                kept.pop();
            }
            _ => {
                kept.push(segment);
                continue;
            }
        }
        if last {
            kept.push("");
        }
    }
    let mut out = String::with_capacity(path.len());
    for segment in kept {
        out.push('/');
        out.push_str(segment);
    }
    if out.is_empty() {
        out.push('/');
    }
    Cow::Owned(out)
}

fn cut_at_hash(path: &str) -> Cow<'_, str> {
    Cow::Borrowed(path.split('#').next().unwrap_or(path))
}

fn cut_at_question_mark(path: &str) -> Cow<'_, str> {
    Cow::Borrowed(path.split('?').next().unwrap_or(path))
}

/// NFKC: full-width dots and slashes, ligatures and the like as their plain forms.
fn compatible(path: &str) -> Cow<'_, str> {
    if path.is_ascii() {
        return Cow::Borrowed(path);
    }
    const NFKC: ComposingNormalizerBorrowed<'static> = ComposingNormalizerBorrowed::new_nfkc();
    NFKC.normalize(path)
}

/// The first decoding, strict: every `%` begins an escape. Only what cannot stand in a target as it is gets decoded.
fn decode_needful(path: &str) -> Result<String, &'static str> {
    let mut out = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        if byte != b'%' {
            out.push(byte);
            rest = after;
            continue;
        }
        let value = escape(after).ok_or("the target has bad percent-encoding")?;
        refuse_control(value)?;
        if value >= 0x80 || b" \"<>^`{|}".contains(&value) {
            out.push(value);
        } else {
            out.extend_from_slice(&[b'%', after[0], after[1]]);
        }
        rest = &after[2..];
    }
    utf8(out)
}

/// A full decoding. A `%` that begins no escape is one that was encoded before, and stays.
fn decode(path: &str) -> Result<String, &'static str> {
    let mut out = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        match escape(after).filter(|_| byte == b'%') {
            Some(value) => {
                refuse_control(value)?;
                out.push(value);
                rest = &after[2..];
            }
            None => {
                out.push(byte);
                rest = after;
            }
        }
    }
    utf8(out)
}

/// The byte of two hexadecimal digits.
fn escape(digits: &[u8]) -> Option<u8> {
    let high = char::from(*digits.first()?).to_digit(16)?;
    let low = char::from(*digits.get(1)?).to_digit(16)?;
    u8::try_from(high * 16 + low).ok()
}

fn refuse_control(byte: u8) -> Result<(), &'static str> {
    if byte < 0x20 || byte == 0x7f {
        return Err("the target has an encoded control character");
    }
    Ok(())
}

/// Refuses overlong forms and whatever else is no UTF-8: apps read them in different ways.
fn utf8(bytes: Vec<u8>) -> Result<String, &'static str> {
    String::from_utf8(bytes).map_err(|_| "the target has encoded bytes that are no UTF-8")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn readings(path: &str) -> Vec<String> {
        Target::parse(path).unwrap().readings().to_vec()
    }

    #[test]
    fn a_plain_path_has_one_reading_and_keeps_its_bytes() {
        for path in [
            "/",
            "/a",
            "/a/",
            "/a/b.c",
            "/.../x",
            "/.git/..x",
            "/~u/!$&'()*,=:@",
            "/*",
        ] {
            assert_eq!(Shape::of(path.as_bytes()), Ok(Shape::Plain), "{path}");
            assert_eq!(readings(path), [path]);
            assert_eq!(Target::parse(path).unwrap().raw(), path);
        }
    }

    #[test]
    fn names_in_other_scripts_and_with_spaces_have_one_reading() {
        assert_eq!(readings("/caf%C3%A9%20menu/x"), ["/café menu/x"]);
        assert_eq!(readings("/%E2%9C%93"), ["/✓"]);
        assert_eq!(Target::parse("/%E2%9C%93").unwrap().raw(), "/%E2%9C%93");
    }

    #[test]
    fn ordinary_encoded_characters_have_few_readings() {
        assert_eq!(
            readings("/u/ann%40b.example"),
            ["/u/ann%40b.example", "/u/ann@b.example"]
        );
        assert_eq!(readings("/a%25"), ["/a%25", "/a%"]);
        assert_eq!(readings("/a%2Fb"), ["/a%2Fb", "/a/b"]);
        assert_eq!(readings("/a//b"), ["/a//b", "/a/b"]);
        assert_eq!(readings("/a;b=c/d"), ["/a;b=c/d", "/a/d"]);
        assert_eq!(readings("/why%3F"), ["/why%3F", "/why?", "/why"]);
    }

    #[test]
    fn every_disguise_of_a_path_is_one_of_its_readings() {
        let disguises = [
            "/public/../secret",
            "/public/./../secret",
            "/public/x/../../secret",
            "/./secret",
            "/../secret",
            "/public/..%2fsecret",
            "/public%2f..%2fsecret",
            "/public%2f%2e%2e%2fsecret",
            "/%2e%2e%2fsecret",
            "/public/%2f..%2f../secret",
            "/public/..\\secret",
            "/public/..%5csecret",
            "/public\\..\\secret",
            "/public/%5c../secret",
            "/public/..;/secret",
            "/public;/../secret",
            "/public/..;x=y/secret",
            "/;/public/../secret",
            "/public/..%3b/secret",
            "/secret%23/public/",
            "/secret%3f/public/",
            "/%73ecret",
            "/s%65cret",
            "/%2fsecret",
            "//secret",
            "/public/%252e%252e/secret",
            "/public/%252e%252e%252fsecret",
            "/public/..%255csecret",
            "/public/%EF%BC%8E%EF%BC%8E/secret",
            "/public/..%EF%BC%8Fsecret",
            "/public/%E2%80%A5/secret",
            "/%EF%BD%93ecret",
            "/public/%EF%BC%852e%EF%BC%852e/secret",
            "/public/x/..;a/..;b/secret",
        ];
        for path in disguises {
            assert!(
                readings(path).iter().any(|reading| reading == "/secret"),
                "{path}: {:?}",
                readings(path)
            );
        }
        assert!(readings("/public/..").iter().any(|reading| reading == "/"));
        assert!(
            readings("/public/%2e%2e/")
                .iter()
                .any(|reading| reading == "/")
        );
        assert!(
            readings("/secret/.")
                .iter()
                .any(|reading| reading == "/secret/")
        );
    }

    #[test]
    fn refuses_what_is_malformed() {
        let malformed = [
            "",
            "*",
            "public/x",
            "\\secret",
            "?/public/",
            "/a#b",
            "/a?b",
            "/a b",
            "/a\u{1}",
            "/a\u{7f}",
            "/a\u{0}b",
            "/é",
            "/public/%",
            "/public/%2",
            "/public/%zz/../secret",
            "/%u002e%u002e/secret",
            "/%+1",
            "/a%00b",
            "/a%0d%0ab",
            "/a%7f",
            "/a%2500b",
            "/public/%c0%ae%c0%ae/secret",
            "/public/%c0%afsecret",
            "/a%ff",
            "/a%25ff",
            "/%ed%a0%80",
            "/%25c0%25ae",
        ];
        for path in malformed {
            let refusal = Target::parse(path).unwrap_err();
            assert_eq!(refusal.reason, Reason::BadRequest, "{path}");
        }
    }

    #[test]
    fn refuses_a_path_with_too_many_readings_without_much_work() {
        let began = std::time::Instant::now();
        let bomb = "/%2e%2e;a%255c//%23x%253f%EF%BC%8F\\..;/".repeat(800);
        assert!(Target::parse(&bomb).is_err());
        assert!(Target::parse(&"/a%252fb;c//d".repeat(2000)).is_err());
        assert!(began.elapsed() < std::time::Duration::from_secs(5));
    }
}
