//! Every way in which an app could read a request target: the closure of the decodings that the
//! catalogue names, each optional and in any order.

use std::collections::{BTreeSet, VecDeque};

use icu_normalizer::ComposingNormalizer;

/// How often percent signs are decoded at most.
const DECODES: u8 = 2;
/// A target with more readings than this counts as unreadable.
const MOST: usize = 60_000;

/// All readings of the path of `target`; `None` where there are too many to judge.
pub(super) fn readings(target: &str) -> Option<BTreeSet<Vec<u8>>> {
    let path = strip_origin(target);
    let path = path
        .split('?')
        .next()
        .unwrap_or_default()
        .as_bytes()
        .to_vec();
    let mut states = BTreeSet::from([(path.clone(), 0)]);
    let mut work = VecDeque::from([(path, 0)]);
    while let Some((path, decodes)) = work.pop_front() {
        for state in next(&path, decodes) {
            if states.insert(state.clone()) {
                work.push_back(state);
            }
        }
        if states.len() > MOST {
            return None;
        }
    }
    Some(states.into_iter().map(|(path, _)| path).collect())
}

fn strip_origin(target: &str) -> &str {
    let Some((_, rest)) = target.split_once("://") else {
        return target;
    };
    if target.starts_with('/') {
        return target;
    }
    rest.find('/').map_or("/", |slash| &rest[slash..])
}

fn next(path: &[u8], decodes: u8) -> Vec<(Vec<u8>, u8)> {
    let mut found = vec![
        (replace(path, b'\\', b'/'), decodes),
        (strip_params(path), decodes),
        (collapse(path), decodes),
        (remove_dots(path), decodes),
        (cut(path), decodes),
        (path.to_ascii_lowercase(), decodes),
        (overlong(path), decodes),
    ];
    if let Ok(text) = std::str::from_utf8(path) {
        found.push((text.to_lowercase().into_bytes(), decodes));
        let nfkc = ComposingNormalizer::new_nfkc();
        found.push((nfkc.normalize(text).into_owned().into_bytes(), decodes));
    }
    if decodes < DECODES {
        found.push((percent_decode(path), decodes + 1));
    }
    found
}

fn replace(path: &[u8], from: u8, to: u8) -> Vec<u8> {
    path.iter()
        .map(|b| if *b == from { to } else { *b })
        .collect()
}

fn strip_params(path: &[u8]) -> Vec<u8> {
    let segments = path.split(|b| *b == b'/');
    let bare = segments.map(|s| s.split(|b| *b == b';').next().unwrap_or_default());
    bare.collect::<Vec<_>>().join(&b'/')
}

fn collapse(path: &[u8]) -> Vec<u8> {
    let mut out: Vec<u8> = Vec::with_capacity(path.len());
    for byte in path {
        if *byte != b'/' || out.last() != Some(&b'/') {
            out.push(*byte);
        }
    }
    out
}

fn remove_dots(path: &[u8]) -> Vec<u8> {
    let mut out: Vec<&[u8]> = Vec::new();
    let segments: Vec<&[u8]> = path.split(|b| *b == b'/').collect();
    let last = segments.len().saturating_sub(1);
    for (n, segment) in segments.iter().enumerate() {
        match *segment {
            b"." | b".." => {
                if *segment == b".." && out.len() > 1 {
                    out.pop();
                }
                if n == last {
                    out.push(b"");
                }
            }
            other => out.push(other),
        }
    }
    out.join(&b'/')
}

fn cut(path: &[u8]) -> Vec<u8> {
    path.split(|b| *b == b'#' || *b == 0)
        .next()
        .unwrap_or_default()
        .to_vec()
}

fn percent_decode(path: &[u8]) -> Vec<u8> {
    percent_encoding::percent_decode(path).collect()
}

/// Two- and three-byte forms of ASCII characters, as sloppy UTF-8 decoders read them.
fn overlong(path: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(path.len());
    let mut rest = path;
    while let [first, tail @ ..] = rest {
        let (byte, used) = match rest {
            [0xC0..=0xC1, second @ 0x80..=0xBF, ..] => (((first & 1) << 6) | (second & 0x3F), 2),
            [0xE0, second @ 0x80..=0x81, third @ 0x80..=0xBF, ..] => {
                (((second & 1) << 6) | (third & 0x3F), 3)
            }
            _ => (*first, 1),
        };
        out.push(byte);
        rest = &tail[used - 1..];
    }
    out
}

/// True where this reading lies in the public set of the catalogue's config.
pub(super) fn is_public(path: &[u8]) -> bool {
    if path == b"/public" || path.starts_with(b"/public/") || path == b"/healthz" {
        return true;
    }
    let middle = path
        .strip_prefix(b"/api/")
        .and_then(|p| p.strip_suffix(b"/webhook"));
    middle.is_some_and(|segment| !segment.is_empty() && !segment.contains(&b'/'))
}

/// True where this reading lies under `prefix`, at a segment boundary.
pub(super) fn is_under(path: &[u8], prefix: &str) -> bool {
    let rest = path.strip_prefix(prefix.trim_end_matches('/').as_bytes());
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all_public(target: &str) -> bool {
        readings(target).unwrap().iter().all(|path| is_public(path))
    }

    #[test]
    fn an_ordinary_public_target_is_public_in_every_reading() {
        assert!(all_public("/public/x"));
        assert!(all_public("/public/a%20b?q=../secret"));
        assert!(all_public("/api/git/webhook"));
        assert!(all_public("/public/x/../y"));
    }

    #[test]
    fn every_trick_of_the_catalogue_has_a_reading_outside() {
        for target in [
            "/public/../secret",
            "/public/%2e%2e/secret",
            "/public/..%2fsecret",
            "/public/%252e%252e/secret",
            "/public/..\\secret",
            "/public/..%5csecret",
            "/public/..;/secret",
            "/public;/../secret",
            "/secret#/public/",
            "/api/secret%23/webhook",
            "/public/%c0%ae%c0%ae/secret",
            "/public/..%c0%afsecret",
            "/public/\u{ff0e}\u{ff0e}/secret",
            "/public/%ef%bc%8e%ef%bc%8e/secret",
            "/public/x%00/../../secret",
            "/secret",
            "/Public/x",
            "//public/../secret",
        ] {
            assert!(!all_public(target), "{target}");
        }
    }

    #[test]
    fn under_means_at_a_segment_boundary() {
        assert!(is_under(b"/admin", "/admin"));
        assert!(is_under(b"/admin/x", "/admin/"));
        assert!(!is_under(b"/administrator", "/admin"));
        let any = |target: &str| {
            readings(target)
                .unwrap()
                .iter()
                .any(|p| is_under(p, "/admin"))
        };
        assert!(any("/%61dmin/x"));
        assert!(any("/ADMIN"));
        assert!(any("/x/..;a/admin"));
        assert!(!any("/administrator"));
    }
}
