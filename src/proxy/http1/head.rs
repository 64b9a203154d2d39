//! The head of an app's answer, and how its body is framed (RFC 9112 6.3).

use std::mem::MaybeUninit;

use bytes::{Bytes, BytesMut};
use http::header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use httparse::{ParserConfig, Status};
use hyper::ext::ReasonPhrase;

use super::super::answer::{has, lists, values};
use super::AppFault;

/// Bytes of an answer's head; beyond, the app is taken to be broken.
const HEAD_LIMIT: usize = 64 * 1024;
/// Fields of an answer's head.
const FIELDS: usize = 100;
/// Room in the map for fields that usher adds.
const OWN: usize = 4;

/// How the body of an answer is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// So many bytes; none at all for what has no body.
    Exact(u64),
    /// In chunks.
    Chunked,
    /// Until the app closes the connection.
    UntilClose,
    /// No more HTTP: the protocol has changed.
    Switched,
}

/// The head of an answer.
#[derive(Debug)]
pub(crate) struct AnswerHead {
    /// As the app sent it, without what [`Framing`] says.
    pub(crate) response: Response<()>,
    /// Where the body ends.
    pub(crate) framing: Framing,
    /// Whether the connection may be used again after the body.
    pub(crate) reusable: bool,
}

impl AnswerHead {
    /// Takes the head of the final answer off `ahead`, and interim ones (RFC 9110 15.2) before it; none where it is not there in full yet.
    /// `to_head`: the request's method was HEAD.
    ///
    /// # Errors
    /// Where it is malformed or too large, or does not say clearly where its body ends.
    pub(super) fn take(ahead: &mut BytesMut, to_head: bool) -> Result<Option<Self>, AppFault> {
        while !ahead.is_empty() {
            let Some(read) = read(ahead)? else {
                return match ahead.len() > HEAD_LIMIT {
                    true => Err(AppFault::HeadTooLarge),
                    false => Ok(None),
                };
            };
            let status = read.response.status();
            if status.is_informational() && status != StatusCode::SWITCHING_PROTOCOLS {
                continue;
            }
            return Self::of(read, to_head).map(Some);
        }
        Ok(None)
    }

    fn of(read: Read, to_head: bool) -> Result<Self, AppFault> {
        let mut response = read.response;
        let status = response.status();
        let bodiless =
            to_head || status == StatusCode::NO_CONTENT || status == StatusCode::NOT_MODIFIED;
        let (framing, in_step) = if status == StatusCode::SWITCHING_PROTOCOLS {
            (Framing::Switched, false)
        } else if bodiless {
            (Framing::Exact(0), true)
        } else {
            framing(response.headers_mut())?
        };
        Ok(Self {
            response,
            framing,
            reusable: read.persistent && in_step,
        })
    }
}

/// What stands in a head.
struct Read {
    response: Response<()>,
    /// Whether the connection stays (RFC 9112 9.3).
    persistent: bool,
}

/// Takes one head off `ahead`, if it is there in full.
fn read(ahead: &mut BytesMut) -> Result<Option<Read>, AppFault> {
    let mut fields = [const { MaybeUninit::uninit() }; FIELDS];
    let mut parsed = httparse::Response::new(&mut []);
    let config = ParserConfig::default();
    let result = config.parse_response_with_uninit_headers(&mut parsed, ahead, &mut fields);
    let Status::Complete(length) = result? else {
        return Ok(None);
    };
    if length > HEAD_LIMIT {
        return Err(AppFault::HeadTooLarge);
    }
    let (Some(code), Some(minor)) = (parsed.code, parsed.version) else {
        return Err(httparse::Error::Status.into());
    };
    let status = StatusCode::from_u16(code).map_err(|_| httparse::Error::Status)?;
    let reason = parsed
        .reason
        .filter(|reason| Some(*reason) != status.canonical_reason())
        .and_then(|reason| ReasonPhrase::try_from(reason.as_bytes()).ok());
    let mut places = [Place::default(); FIELDS];
    let count = parsed.headers.len();
    for (place, field) in places.iter_mut().zip(parsed.headers.iter()) {
        place.name = span(ahead, field.name.as_bytes());
        place.value = span(ahead, field.value);
    }
    let modern = minor == 1;
    let head = ahead.split_to(length).freeze();
    let (headers, said) = fields_of(&head, places.get(..count).unwrap_or_default())?;
    if !modern && has(&headers, &TRANSFER_ENCODING) {
        return Err(AppFault::Framing("HTTP/1.0 knows no Transfer-Encoding"));
    }
    let mut response = Response::new(());
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    if let Some(reason) = reason {
        response.extensions_mut().insert(reason);
    }
    Ok(Some(Read {
        persistent: !said.close && (modern || said.keep_alive),
        response,
    }))
}

/// What `Connection` says of the connection itself.
#[derive(Default)]
struct Said {
    close: bool,
    keep_alive: bool,
}

/// Where a field stands in a head: beginning and end of its name and of its value.
#[derive(Clone, Copy, Default)]
struct Place {
    name: (u32, u32),
    value: (u32, u32),
}

/// Where `part` stands in `whole`, of which it is a part.
fn span(whole: &[u8], part: &[u8]) -> (u32, u32) {
    let start = (part.as_ptr() as usize).saturating_sub(whole.as_ptr() as usize);
    // Far below 4 GiB: the buffer is bounded.
    (start as u32, (start + part.len()) as u32)
}

/// The fields at those places; their values share the memory of the head. `Connection` is left out where it says no more than what it is read for.
fn fields_of(head: &Bytes, places: &[Place]) -> Result<(HeaderMap, Said), AppFault> {
    let range = |(start, end): (u32, u32)| start as usize..end as usize;
    let mut headers = HeaderMap::with_capacity(places.len() + OWN);
    let mut said = Said::default();
    for place in places {
        let name = HeaderName::from_bytes(head.get(range(place.name)).unwrap_or_default())
            .map_err(|_| httparse::Error::HeaderName)?;
        if name == CONNECTION {
            let word = head.get(range(place.value)).unwrap_or_default();
            let close = word.eq_ignore_ascii_case(b"close");
            let keep_alive = word.eq_ignore_ascii_case(b"keep-alive");
            said.close |= close;
            said.keep_alive |= keep_alive;
            if close || keep_alive {
                continue;
            }
        }
        let value = HeaderValue::from_maybe_shared(head.slice(range(place.value)))
            .map_err(|_| httparse::Error::HeaderValue)?;
        headers.append(name, value);
    }
    if has(&headers, &CONNECTION) {
        said.close |= lists(&headers, &CONNECTION, "close");
        said.keep_alive |= lists(&headers, &CONNECTION, "keep-alive");
    }
    Ok((headers, said))
}

/// The framing that the fields say, and whether the connection stays in step after it. Where both fields are there, the coding counts
/// (RFC 9112 6.3), the length is dropped, and the connection is not used again.
fn framing(headers: &mut HeaderMap) -> Result<(Framing, bool), AppFault> {
    if has(headers, &TRANSFER_ENCODING) {
        let codings: Vec<_> = values(headers, &TRANSFER_ENCODING).collect();
        let chunked = matches!(*codings, [one] if one.as_bytes().eq_ignore_ascii_case(b"chunked"));
        if !chunked {
            return Err(AppFault::Framing(
                "the answer has a Transfer-Encoding other than chunked",
            ));
        }
        let alone = headers.remove(CONTENT_LENGTH).is_none();
        return Ok((Framing::Chunked, alone));
    }
    let mut lengths = values(headers, &CONTENT_LENGTH);
    let (first, second) = (lengths.next(), lengths.next());
    let agreed = match (first, second) {
        (None, _) => return Ok((Framing::UntilClose, false)),
        (Some(one), None) => length(one.as_bytes()),
        (Some(_), Some(_)) => one_length(headers),
    };
    let plain = second.is_none() && first.is_some_and(|one| !one.as_bytes().contains(&b','));
    drop(lengths);
    let agreed = agreed.ok_or(AppFault::Framing(
        "the Content-Length of the answer is malformed",
    ))?;
    if !plain {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(agreed));
    }
    Ok((Framing::Exact(agreed), true))
}

/// A length, or a list of the same one (RFC 9110 8.6).
fn length(value: &[u8]) -> Option<u64> {
    let mut agreed = None;
    for member in value.split(|byte| *byte == b',') {
        let digits = member.trim_ascii();
        if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
            return None;
        }
        let length: u64 = std::str::from_utf8(digits).ok()?.parse().ok()?;
        if *agreed.get_or_insert(length) != length {
            return None;
        }
    }
    agreed
}

/// The one length that all such fields agree on.
fn one_length(headers: &HeaderMap) -> Option<u64> {
    let mut lengths = values(headers, &CONTENT_LENGTH).map(|value| length(value.as_bytes()));
    let first = lengths.next()??;
    lengths.all(|other| other == Some(first)).then_some(first)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn taken(head: &str) -> Result<Option<AnswerHead>, AppFault> {
        AnswerHead::take(&mut BytesMut::from(head), false)
    }

    fn framed(fields: &str) -> Result<(Framing, bool), String> {
        match taken(&format!("HTTP/1.1 200 OK\r\n{fields}\r\n")) {
            Ok(head) => {
                let head = head.unwrap();
                Ok((head.framing, head.reusable))
            }
            Err(fault) => Err(fault.to_string()),
        }
    }

    #[test]
    fn the_fields_say_where_the_body_ends() {
        for (fields, expected) in [
            ("Content-Length: 5\r\n", (Framing::Exact(5), true)),
            (
                "Content-Length: 5\r\nContent-Length: 5\r\n",
                (Framing::Exact(5), true),
            ),
            ("Content-Length: 5, 5\r\n", (Framing::Exact(5), true)),
            ("Transfer-Encoding: Chunked\r\n", (Framing::Chunked, true)),
            (
                "Connection: close\r\nContent-Length: 5\r\n",
                (Framing::Exact(5), false),
            ),
            (
                "Connection: x\r\nConnection: keep-alive, close\r\nContent-Length: 0\r\n",
                (Framing::Exact(0), false),
            ),
            (
                "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
                (Framing::Chunked, false),
            ),
            ("", (Framing::UntilClose, false)),
        ] {
            assert_eq!(framed(fields), Ok(expected), "{fields}");
        }
    }

    #[test]
    fn one_length_is_passed_on() {
        for fields in [
            "Content-Length: 5\r\nContent-Length: 5\r\n",
            "Content-Length: 5, 5\r\n",
        ] {
            let head = taken(&format!("HTTP/1.1 200 OK\r\n{fields}\r\n"));
            let response = head.unwrap().unwrap().response;
            let lengths: Vec<_> = values(response.headers(), &CONTENT_LENGTH).collect();
            assert_eq!(lengths, ["5"]);
        }
    }

    #[test]
    fn refuses_what_does_not_say_where_the_body_ends() {
        for fields in [
            "Content-Length: 5\r\nContent-Length: 6\r\n",
            "Content-Length: 5, 6\r\n",
            "Content-Length: +5\r\n",
            "Content-Length: -5\r\n",
            "Content-Length: 0x5\r\n",
            "Content-Length:\r\n",
            "Content-Length: 18446744073709551616\r\n",
            "Transfer-Encoding: gzip\r\n",
            "Transfer-Encoding: gzip, chunked\r\n",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
            "Transfer-Encoding: identity\r\nContent-Length: 5\r\n",
        ] {
            assert!(framed(fields).is_err(), "{fields}");
        }
        for head in [
            "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            "HTTP/2.0 200 OK\r\n\r\n",
            "HTTP/1.1 99 Low\r\n\r\n",
            "<html>",
            "HTTP/1.1 200 OK\r\nX : y\r\n\r\n",
            "HTTP/1.1 200 OK\r\n folded\r\n\r\n",
            "HTTP/1.1 200 OK\r\nX: a\0b\r\n\r\n",
        ] {
            assert!(taken(head).is_err(), "{head}");
        }
    }

    #[test]
    fn what_has_no_body_has_none_whatever_the_fields_say() {
        for head in [
            "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n",
            "HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n",
        ] {
            let head = taken(head).unwrap().unwrap();
            assert_eq!((head.framing, head.reusable), (Framing::Exact(0), true));
        }
        let mut ahead = BytesMut::from("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n");
        let head = AnswerHead::take(&mut ahead, true).unwrap().unwrap();
        assert_eq!(head.framing, Framing::Exact(0));
        assert_eq!(head.response.headers()[CONTENT_LENGTH], "5");
    }

    #[test]
    fn an_old_app_keeps_its_connection_only_if_it_says_so() {
        let reusable = |fields: &str| {
            let head = format!("HTTP/1.0 200 OK\r\nContent-Length: 0\r\n{fields}\r\n");
            taken(&head).unwrap().unwrap().reusable
        };
        assert!(!reusable(""));
        assert!(reusable("Connection: Keep-Alive\r\n"));
    }

    #[test]
    fn interim_answers_are_passed_over_and_the_rest_stays() {
        let mut ahead = BytesMut::from(
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 299 Fine enough\r\nContent-Length: 3\r\nX: caf\u{e9}\r\n\r\nabc",
        );
        let head = AnswerHead::take(&mut ahead, false).unwrap().unwrap();
        assert_eq!(head.response.status(), 299);
        let reason = head.response.extensions().get::<ReasonPhrase>().unwrap();
        assert_eq!(reason.as_bytes(), b"Fine enough");
        assert_eq!(
            head.response.headers()["x"].as_bytes(),
            "caf\u{e9}".as_bytes()
        );
        assert_eq!(&ahead[..], b"abc");
        let switched = taken("HTTP/1.1 101 Switching Protocols\r\n\r\n").unwrap();
        assert_eq!(switched.unwrap().framing, Framing::Switched);
    }

    #[test]
    fn a_head_is_awaited_up_to_its_limit() {
        let head = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n";
        for end in 0..head.len() {
            assert!(taken(&head[..end]).unwrap().is_none(), "{end}");
        }
        for end in ["", "\r\n\r\n"] {
            let long = format!("HTTP/1.1 200 OK\r\nX: {}{end}", "a".repeat(HEAD_LIMIT));
            assert!(matches!(taken(&long), Err(AppFault::HeadTooLarge)));
        }
        let many = "a: b\r\n".repeat(FIELDS + 1);
        assert!(framed(&many).is_err());
    }
}
