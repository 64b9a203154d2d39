//! The head of a request to an app: usher's own fields first, then what may pass of the client's.

use http::header::{CONTENT_LENGTH, HOST, TE};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use jiff::Timestamp;

use super::answer;
use super::http1::write_field;
use super::request_id::RequestId;
use super::route::{
    Host, Origin, X_FORWARDED_FOR, X_FORWARDED_HOST, X_FORWARDED_PROTO, X_REAL_IP, X_REQUEST_ID,
};
use crate::forward::firewall::Firewall;
use crate::forward::identity::ForwardedIdentity;
use crate::trace::Asking;

/// How many fields usher sets on every request.
const COUNT: usize = 6;
/// Those fields.
const OURS: [HeaderName; COUNT] = [
    HOST,
    X_FORWARDED_HOST,
    X_FORWARDED_PROTO,
    X_FORWARDED_FOR,
    X_REAL_IP,
    X_REQUEST_ID,
];
/// Room for a head, in bytes; it grows where that is too little.
const ROOM: usize = 2048;

/// The fields of every request of one person to one app: written once, and copied for each.
#[derive(Debug)]
pub(crate) struct IdentityHead {
    identity: Option<ForwardedIdentity>,
    /// The identity's fields as they are sent. Never shown: the token is among them.
    written: Written,
    /// Which of [`OURS`] stay as the app's own map of headers says.
    fixed: [bool; COUNT],
}

struct Written(Vec<u8>);

impl std::fmt::Debug for Written {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} bytes", self.0.len())
    }
}

impl IdentityHead {
    /// For nobody in particular.
    pub(crate) fn anonymous() -> Self {
        Self::with(None)
    }

    /// For one person.
    pub(crate) fn new(identity: ForwardedIdentity) -> Self {
        Self::with(Some(identity))
    }

    fn with(identity: Option<ForwardedIdentity>) -> Self {
        let mut head = Self {
            identity,
            written: Written(Vec::new()),
            fixed: [false; COUNT],
        };
        let (mut written, mut fixed) = (Vec::new(), [false; COUNT]);
        for (name, value) in head.fields() {
            for (fixed, ours) in fixed.iter_mut().zip(&OURS) {
                *fixed |= name == ours;
            }
            write_field(&mut written, name.as_str(), value.as_bytes());
        }
        head.fixed = fixed;
        head.written = Written(written);
        head
    }

    /// The fields that say who it is.
    pub(crate) fn fields(&self) -> &[(HeaderName, HeaderValue)] {
        self.identity
            .as_ref()
            .map_or(&[], ForwardedIdentity::fields)
    }

    /// Whether it still holds.
    pub(crate) fn holds(&self, now: Timestamp) -> bool {
        let identity = self.identity.as_ref();
        identity.is_none_or(|identity| now < identity.renew_at())
    }

    /// Writes [`OURS`] with those values, then who it is.
    fn write(&self, out: &mut Vec<u8>, values: [&[u8]; COUNT]) {
        for ((name, value), fixed) in OURS.iter().zip(values).zip(self.fixed) {
            if !fixed {
                write_field(out, name.as_str(), value);
            }
        }
        out.extend_from_slice(&self.written.0);
    }
}

/// All that the head of a request to an app is made of.
#[derive(Debug)]
pub(crate) struct Head<'a> {
    /// The client's request.
    pub(crate) parts: &'a Parts,
    pub(crate) firewall: &'a Firewall,
    /// The name of the session cookie.
    pub(crate) cookie_name: &'a str,
    pub(crate) identity: &'a IdentityHead,
    pub(crate) host: &'a Host,
    pub(crate) origin: &'a Origin,
    /// The peer's address as a field value.
    pub(crate) peer: &'a HeaderValue,
    /// `https` or `http`, as the browser sees it.
    pub(crate) scheme: &'static str,
    pub(crate) id: &'a RequestId,
    /// Whether it asks for a WebSocket.
    pub(crate) websocket: bool,
    /// The span of the question to the app, where there is a trace.
    pub(crate) trace: Option<&'a Asking>,
}

impl Head<'_> {
    /// Writes the head as the app gets it (RFC 9112 3 to 5). `body`: whether the request has one, and its length, where that is known.
    pub(crate) fn write(&self, out: &mut Vec<u8>, body: Option<Option<u64>>) {
        out.reserve(ROOM);
        out.extend_from_slice(self.parts.method.as_str().as_bytes());
        out.push(b' ');
        let target = self.parts.uri.path_and_query();
        out.extend_from_slice(target.map_or("/", PathAndQuery::as_str).as_bytes());
        out.extend_from_slice(b" HTTP/1.1\r\n");
        let (chain, client) = self.forwarded_for();
        let host = self.host.value.as_bytes();
        self.identity.write(
            out,
            [
                host,
                host,
                self.scheme.as_bytes(),
                chain.as_bytes(),
                client.as_bytes(),
                self.id.as_bytes(),
            ],
        );
        let te = self.pass(out);
        if self.websocket {
            write_field(out, "connection", b"Upgrade");
            write_field(out, "upgrade", b"websocket");
        } else if te {
            write_field(out, "connection", b"te");
        }
        self.write_framing(out, body);
        out.extend_from_slice(b"\r\n");
    }

    /// Writes what may pass of the client's fields, and where the app's part of a trace belongs; whether `TE` is among them.
    fn pass(&self, out: &mut Vec<u8>) -> bool {
        let mut traced = HeaderMap::new();
        if let Some(trace) = self.trace {
            trace.pass_on(&mut traced);
        }
        let replaced = |name: &HeaderName| {
            !traced.is_empty() && matches!(name.as_str(), "traceparent" | "tracestate")
        };
        let mut te = false;
        let fields = &self.parts.headers;
        self.firewall.pass(fields, self.cookie_name, |name, value| {
            te |= name == TE;
            if !replaced(name) {
                write_field(out, name.as_str(), value);
            }
        });
        for (name, value) in &traced {
            write_field(out, name.as_str(), value.as_bytes());
        }
        te
    }

    /// Says where the body ends; that there is none, too, where an app may expect one (RFC 9110 8.6).
    fn write_framing(&self, out: &mut Vec<u8>, body: Option<Option<u64>>) {
        match body {
            Some(Some(length)) => {
                write_field(out, "content-length", length.to_string().as_bytes());
            }
            Some(None) => write_field(out, "transfer-encoding", b"chunked"),
            None if matches!(
                self.parts.method,
                Method::POST | Method::PUT | Method::PATCH
            ) || answer::has(&self.parts.headers, &CONTENT_LENGTH) =>
            {
                write_field(out, "content-length", b"0");
            }
            None => {}
        }
    }

    /// `X-Forwarded-For` and `X-Real-IP`.
    fn forwarded_for(&self) -> (HeaderValue, HeaderValue) {
        let alone = || (self.peer.clone(), self.peer.clone());
        let Some(chain) = &self.origin.chain else {
            return alone();
        };
        let Ok(peer) = self.peer.to_str() else {
            return alone();
        };
        let Ok(chain) = HeaderValue::try_from(format!("{chain}, {peer}")) else {
            return alone();
        };
        let client = HeaderValue::try_from(self.origin.client.to_string());
        (chain, client.unwrap_or_else(|_| self.peer.clone()))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const VALUES: [&[u8]; COUNT] = [b"h", b"fh", b"https", b"1.2.3.4", b"5.6.7.8", b"id"];

    fn written(head: &IdentityHead) -> String {
        let mut out = Vec::new();
        head.write(&mut out, VALUES);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn each_value_goes_to_the_field_of_its_name() {
        assert_eq!(
            written(&IdentityHead::anonymous()),
            "host: h\r\nx-forwarded-host: fh\r\nx-forwarded-proto: https\r\nx-forwarded-for: 1.2.3.4\r\n\
             x-real-ip: 5.6.7.8\r\nx-request-id: id\r\n"
        );
    }

    #[test]
    fn what_the_map_of_an_app_sets_is_not_set_again() {
        let mut head = IdentityHead::anonymous();
        head.written = Written(b"x-real-ip: mine\r\n".to_vec());
        head.fixed[4] = true;
        let written = written(&head);
        assert!(written.ends_with("x-request-id: id\r\nx-real-ip: mine\r\n"));
        assert_eq!(written.matches("x-real-ip").count(), 1);
    }

    #[test]
    fn a_client_adds_nothing_to_what_usher_writes() {
        let app = crate::access::fixtures::app();
        let firewall = Firewall::new(&app);
        let mut client = HeaderMap::new();
        for name in OURS.into_iter().chain(ForwardedIdentity::names(&app)) {
            client.append(name, HeaderValue::from_static("forged"));
        }
        client.append(CONTENT_LENGTH, HeaderValue::from_static("5"));
        let mut passed = Vec::new();
        firewall.pass(&client, "__Host-usher", |name, _| passed.push(name.clone()));
        assert!(passed.is_empty(), "{passed:?}");
    }

    #[test]
    fn nothing_that_is_sent_shows_in_debug_output() {
        let mut head = IdentityHead::anonymous();
        head.written = Written(b"x-usher-jwt: secret\r\n".to_vec());
        assert!(!format!("{head:?}").contains("secret"));
    }
}
