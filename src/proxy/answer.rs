//! The head of an app's answer, made ours.

use http::header::{CACHE_CONTROL, CONNECTION, Entry, SET_COOKIE, TE, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, HeaderName, HeaderValue, Response};

use super::body::AnswerBody;
use super::exchange::Exchange;
use super::request_id::RequestId;
use super::route::X_REQUEST_ID;

/// Whether a comma-separated field lists `word`, in any case.
pub(crate) fn lists(headers: &HeaderMap, name: &HeaderName, word: &str) -> bool {
    headers.get_all(name).iter().any(|value| {
        value
            .as_bytes()
            .split(|byte| *byte == b',')
            .any(|listed| listed.trim_ascii().eq_ignore_ascii_case(word.as_bytes()))
    })
}

/// Whether there is such a field. To compare names costs less than to look one up.
pub(crate) fn has(headers: &HeaderMap, wanted: &HeaderName) -> bool {
    headers.keys().any(|name| name == wanted)
}

/// The values of all such fields, found by comparing names too.
pub(crate) fn values<'a>(
    headers: &'a HeaderMap,
    wanted: &HeaderName,
) -> impl Iterator<Item = &'a HeaderValue> {
    let fields = headers.iter();
    fields.filter_map(move |(name, value)| (name == wanted).then_some(value))
}

/// Removes what is not for the client: hop-by-hop fields (RFC 9110 7.6.1) and cookies by usher's own names. An answer
/// made for somebody in particular (`personal`) is kept out of shared caches, which would hand it on past the gate.
pub(crate) fn clean(headers: &mut HeaderMap, cookie_name: &str, personal: bool, id: &RequestId) {
    remove_hop_by_hop(headers);
    if has(headers, &SET_COOKIE) {
        remove_own_cookies(headers, cookie_name);
    }
    if personal {
        keep_private(headers);
    }
    headers.insert(X_REQUEST_ID, id.value());
}

/// Whether a field is about one connection only.
fn is_hop_by_hop(name: &HeaderName) -> bool {
    name == CONNECTION
        || name == TRANSFER_ENCODING
        || name == UPGRADE
        || name == TE
        || matches!(name.as_str(), "keep-alive" | "proxy-connection")
}

/// Removes only what is there: to compare names costs less than to look them up.
fn remove_hop_by_hop(headers: &mut HeaderMap) {
    let mut dropped: Vec<HeaderName> = headers
        .keys()
        .filter(|name| is_hop_by_hop(name))
        .cloned()
        .collect();
    if dropped.contains(&CONNECTION) {
        dropped.extend(nominated(headers));
    }
    for name in dropped {
        headers.remove(name);
    }
}

/// Fields that `Connection` nominates.
fn nominated(headers: &HeaderMap) -> Vec<HeaderName> {
    headers
        .get_all(CONNECTION)
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
        // The usual word, and removed where it is a field.
        .filter(|name| !name.eq_ignore_ascii_case(b"keep-alive"))
        .filter_map(|name| HeaderName::from_bytes(name).ok())
        .collect()
}

/// Whether a `Set-Cookie` value sets one of usher's cookies: the session's, or the state of a sign-in.
fn is_own_cookie(value: &HeaderValue, cookie_name: &str) -> bool {
    let pair = value
        .as_bytes()
        .split(|byte| *byte == b';')
        .next()
        .unwrap_or_default();
    // A nameless cookie `=a=b` is sent back as `a=b`.
    let pair = pair.trim_ascii_start();
    let pair = pair.strip_prefix(b"=").unwrap_or(pair).trim_ascii_start();
    let Some(rest) = pair
        .get(..cookie_name.len())
        .filter(|name| name.eq_ignore_ascii_case(cookie_name.as_bytes()))
        .and_then(|name| pair.get(name.len()..))
    else {
        return false;
    };
    let rest = rest.trim_ascii_start();
    rest.is_empty() || rest.starts_with(b"=") || rest.starts_with(b"-")
}

fn remove_own_cookies(headers: &mut HeaderMap, cookie_name: &str) {
    let Entry::Occupied(entry) = headers.entry(SET_COOKIE) else {
        return;
    };
    if !entry.iter().any(|value| is_own_cookie(value, cookie_name)) {
        return;
    }
    let (_, values) = entry.remove_entry_mult();
    let kept: Vec<_> = values
        .filter(|value| !is_own_cookie(value, cookie_name))
        .collect();
    for value in kept {
        headers.append(SET_COOKIE, value);
    }
}

/// Sets `private` unless the app says so, or `no-store`, itself; takes back what allows shared caches (RFC 9111 5.2.2).
fn keep_private(headers: &mut HeaderMap) {
    if !has(headers, &CACHE_CONTROL) {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("private"));
        return;
    }
    let mut words = Vec::new();
    for value in headers.get_all(CACHE_CONTROL) {
        for word in value.as_bytes().split(|byte| *byte == b',') {
            let word = word.trim_ascii();
            let name = word.split(|byte| *byte == b'=').next().unwrap_or_default();
            if [&b"private"[..], b"no-store"]
                .iter()
                .any(|wanted| word.eq_ignore_ascii_case(wanted))
            {
                return;
            }
            let shared = [&b"public"[..], b"s-maxage"];
            if !word.is_empty()
                && !shared
                    .iter()
                    .any(|shared| name.eq_ignore_ascii_case(shared))
            {
                words.extend_from_slice(b", ");
                words.extend_from_slice(word);
            }
        }
    }
    let value = match words.is_empty() {
        true => HeaderValue::from_static("private"),
        false => HeaderValue::from_bytes(&[b"private", words.as_slice()].concat())
            .unwrap_or(HeaderValue::from_static("private")),
    };
    headers.insert(CACHE_CONTROL, value);
}

/// The answer that opens a tunnel. It has no body; the tunnel keeps the record.
pub(crate) fn switching(response: Response<()>, id: &RequestId) -> Response<AnswerBody> {
    let mut response = response.map(|()| AnswerBody::none());
    let headers = response.headers_mut();
    remove_hop_by_hop(headers);
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(X_REQUEST_ID, id.value());
    response
}

/// usher's own answer.
pub(crate) fn own(response: Response<String>, mut exchange: Box<Exchange>) -> Response<AnswerBody> {
    exchange.status = response.status();
    let id = exchange.id.value();
    let mut response = response.map(|text| AnswerBody::own(text, exchange));
    response.headers_mut().insert(X_REQUEST_ID, id);
    response
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::proxy::request_id::RequestIds;

    fn cleaned(fields: &[(&str, &str)], personal: bool) -> Vec<String> {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            headers.append(name, HeaderValue::from_str(value).unwrap());
        }
        clean(
            &mut headers,
            "__Host-usher",
            personal,
            &RequestIds::new().next(),
        );
        headers.remove(X_REQUEST_ID).unwrap();
        let mut lines: Vec<_> = headers
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
            .collect();
        lines.sort();
        lines
    }

    #[test]
    fn hop_by_hop_fields_and_what_connection_names_are_removed() {
        let fields = [
            ("connection", "close, X-Secret"),
            ("x-secret", "1"),
            ("keep-alive", "timeout=5"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("server", "app"),
        ];
        assert_eq!(cleaned(&fields, false), ["server: app"]);
    }

    #[test]
    fn an_app_cannot_set_our_cookies() {
        let fields = [
            ("set-cookie", "a=1"),
            ("set-cookie", "__Host-usher=evil; Path=/; Secure"),
            ("set-cookie", " __host-USHER =evil"),
            ("set-cookie", "=__Host-usher=evil"),
            ("set-cookie", "__Host-usher-state-x=evil"),
            ("set-cookie", "__Host-ushers=fine"),
            ("set-cookie", "b=2"),
        ];
        assert_eq!(
            cleaned(&fields, false),
            [
                "set-cookie: __Host-ushers=fine",
                "set-cookie: a=1",
                "set-cookie: b=2"
            ]
        );
    }

    #[test]
    fn a_personal_answer_stays_out_of_shared_caches() {
        let cases = [
            (None, "private"),
            (Some("public, max-age=600"), "private, max-age=600"),
            (
                Some("max-age=5, s-maxage=60, immutable"),
                "private, max-age=5, immutable",
            ),
            (Some("no-store"), "no-store"),
            (
                Some("private=\"x\", max-age=1"),
                "private, private=\"x\", max-age=1",
            ),
        ];
        for (sent, expected) in cases {
            let fields: Vec<_> = sent.iter().map(|sent| ("cache-control", *sent)).collect();
            assert_eq!(
                cleaned(&fields, true),
                [format!("cache-control: {expected}")]
            );
        }
        assert_eq!(
            cleaned(&[("cache-control", "public, max-age=600")], false),
            ["cache-control: public, max-age=600"]
        );
    }
}
