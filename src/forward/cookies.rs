//! usher's own cookies never reach the app; all others do, byte for byte.

use std::borrow::Cow;

use bytes::Bytes;
use http::header::COOKIE;
use http::{HeaderMap, HeaderValue};

/// The `Cookie` fields without the cookie `name` and all `name-*`, whatever their case, spacing or quotes, and also where
/// a lenient parser would find them (after a comma). What remains is one field; without any there is none.
pub(super) fn kept(headers: &HeaderMap, name: &str) -> Option<HeaderValue> {
    // To compare names costs less than to look one up.
    let fields = headers.iter().filter(|(name, _)| *name == COOKIE);
    let mut values = fields.map(|(_, value)| value);
    let (first, second) = (values.next()?, values.next());
    let first_kept = without(first.as_bytes(), name);
    if second.is_none() && matches!(first_kept, Cow::Borrowed(_)) {
        return Some(first.clone());
    }
    let mut kept = first_kept.into_owned();
    for value in second.into_iter().chain(values) {
        let more = without(value.as_bytes(), name);
        if !kept.is_empty() && !more.is_empty() {
            kept.extend_from_slice(b"; ");
        }
        kept.extend_from_slice(&more);
    }
    if kept.is_empty() {
        return None;
    }
    // What is left of header bytes is header bytes; if not, dropping all is the safe side.
    HeaderValue::from_maybe_shared(Bytes::from(kept)).ok()
}

/// One field's value without ours; borrowed where there is none of ours in it.
fn without<'a>(value: &'a [u8], name: &str) -> Cow<'a, [u8]> {
    let mut pieces = Pieces(value);
    let mut before = 0;
    loop {
        match pieces.next() {
            None => return Cow::Borrowed(value),
            Some(piece) if is_ours(piece, name) => break,
            Some(piece) => before += piece.len(),
        }
    }
    let mut kept = value.get(..before).unwrap_or_default().to_vec();
    let mut dropping = true;
    for piece in pieces {
        // `$Path` and the like (RFC 2965) belong to the cookie before them.
        dropping = is_ours(piece, name) || (dropping && key(piece).starts_with(b"$"));
        if !dropping {
            kept.extend_from_slice(piece);
        }
    }
    // The separator before what is now the first cookie.
    let start = kept
        .iter()
        .position(|byte| !matches!(byte, b';' | b',' | b' ' | b'\t'))
        .unwrap_or(kept.len());
    kept.drain(..start);
    Cow::Owned(kept)
}

/// Pieces of a value, each with the `;` or `,` before it.
struct Pieces<'a>(&'a [u8]);

impl<'a> Iterator for Pieces<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        if self.0.is_empty() {
            return None;
        }
        let end = memchr::memchr2(b';', b',', &self.0[1..]).map_or(self.0.len(), |at| at + 1);
        let (piece, rest) = self.0.split_at(end);
        self.0 = rest;
        Some(piece)
    }
}

/// The name of a piece without separator, spaces and quotes.
fn key(piece: &[u8]) -> &[u8] {
    let key = piece.split(|byte| *byte == b'=').next().unwrap_or(piece);
    let is_around = |byte: &u8| matches!(byte, b';' | b',' | b' ' | b'\t' | b'"');
    let Some(start) = key.iter().position(|byte| !is_around(byte)) else {
        return &[];
    };
    let end = key
        .iter()
        .rposition(|byte| !is_around(byte))
        .unwrap_or(start);
    &key[start..=end]
}

fn is_ours(piece: &[u8], name: &str) -> bool {
    let key = key(piece);
    let Some((start, rest)) = key.split_at_checked(name.len()) else {
        return false;
    };
    start.eq_ignore_ascii_case(name.as_bytes()) && (rest.is_empty() || rest.starts_with(b"-"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn cleaned(values: &[&str]) -> Vec<String> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(COOKIE, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        kept(&headers, "__Host-usher")
            .iter()
            .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
            .collect()
    }

    #[test]
    fn removes_our_cookies_in_any_place_and_spelling() {
        for ours in [
            "__Host-usher=s3cret",
            "__Host-usher-state-abc=s3cret",
            "__host-USHER=s3cret",
            "__Host-usher = s3cret",
            "\t__Host-usher=\"s3cret\"",
            "\"__Host-usher\"=s3cret",
            "__Host-usher=s3cret; $Path=/; $Domain=x",
            "__Host-usher",
            "__Host-usher=a=s3cret",
        ] {
            assert_eq!(cleaned(&[ours]), [""; 0], "{ours}");
            assert_eq!(cleaned(&[&format!("a=1; {ours}")]), ["a=1"], "{ours}");
            assert_eq!(
                cleaned(&[&format!("{ours}; a=1;b=2 ")]),
                ["a=1;b=2 "],
                "{ours}"
            );
            assert_eq!(
                cleaned(&[&format!("a=1;{ours};{ours}; b=2")]),
                ["a=1; b=2"],
                "{ours}"
            );
            assert_eq!(cleaned(&[&format!("a=1, {ours}")]), ["a=1"], "{ours}");
            assert_eq!(cleaned(&[&format!(";;{ours}")]), [""; 0], "{ours}");
        }
        assert_eq!(
            cleaned(&["$Version=1; __Host-usher=s; $Path=/; a=1; $Path=/b"]),
            ["$Version=1; a=1; $Path=/b"]
        );
    }

    #[test]
    fn leaves_the_others_byte_for_byte() {
        for theirs in [
            "a=1",
            "a=\"x, y\"; b = {\"k\":[1,2]};;c; ",
            "usher=1; __Host-usher2=2; x__Host-usher=3; Host-usher=4",
            "a=__Host-usher",
            "é=ü",
        ] {
            assert_eq!(cleaned(&[theirs]), [theirs]);
        }
        assert_eq!(
            cleaned(&["a=\"x, y\"; __Host-usher=s; b=\"1,2\""]),
            ["a=\"x, y\"; b=\"1,2\""]
        );
    }

    #[test]
    fn joins_several_fields_to_one() {
        let fields = ["a=1", "__Host-usher=s3cret", "b=2; __Host-usher-state-1=x"];
        assert_eq!(cleaned(&fields), ["a=1; b=2"]);
        assert_eq!(cleaned(&["__Host-usher=s", "a=1"]), ["a=1"]);
        assert_eq!(cleaned(&["__Host-usher=s", "__Host-usher=t"]), [""; 0]);
    }
}
