//! The head of a request to an app: usher's own fields first, then what may pass of the client's.

use http::header::{CONNECTION, HOST, TE, UPGRADE};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Uri};
use jiff::Timestamp;

use super::body::ClientBody;
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
/// Room for so many fields is made at once.
const ROOM: usize = 40;

/// The fields that every request of one person to one app begins with: made once, and copied for each, which costs far
/// less than to insert them one by one.
#[derive(Debug)]
pub(crate) struct IdentityHead {
    identity: Option<ForwardedIdentity>,
    /// [`OURS`] in their order, then the identity's fields.
    all: HeaderMap,
    /// Which of [`OURS`] stay as the app's own map of headers says.
    fixed: [bool; COUNT],
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
        let mut all = HeaderMap::with_capacity(ROOM);
        for name in OURS {
            all.insert(name, HeaderValue::from_static("-"));
        }
        let mut head = Self {
            identity,
            all: HeaderMap::new(),
            fixed: [false; COUNT],
        };
        let mut fixed = head.fixed;
        for (name, value) in head.fields() {
            for (fixed, ours) in fixed.iter_mut().zip(&OURS) {
                *fixed |= name == ours;
            }
            all.insert(name.clone(), value.clone());
        }
        head.fixed = fixed;
        head.all = all;
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

    fn copy(&self, values: [HeaderValue; COUNT]) -> HeaderMap {
        let mut fields = self.all.clone();
        // A map without removals keeps the order in which it was filled.
        for ((place, value), fixed) in fields.values_mut().zip(values).zip(self.fixed) {
            if !fixed {
                *place = value;
            }
        }
        fields
    }
}

/// All that the head of a request to an app is made of; it can be made again for a second try.
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
    pub(crate) id: RequestId,
    /// Whether it asks for a WebSocket.
    pub(crate) websocket: bool,
    /// The span of the question to the app, where there is a trace.
    pub(crate) trace: Option<&'a Asking>,
}

impl Head<'_> {
    /// The request as the app gets it.
    pub(crate) fn request(&self, body: ClientBody) -> Request<ClientBody> {
        let mut request = Request::new(body);
        *request.method_mut() = self.parts.method.clone();
        *request.uri_mut() = self
            .parts
            .uri
            .path_and_query()
            .map(|target| Uri::from(target.clone()))
            .unwrap_or_default();
        *request.headers_mut() = self.fields();
        request
    }

    fn fields(&self) -> HeaderMap {
        let (chain, client) = self.forwarded_for();
        let mut fields = self.identity.copy([
            self.host.value.clone(),
            self.host.value.clone(),
            HeaderValue::from_static(self.scheme),
            chain,
            client,
            self.id.value(),
        ]);
        self.firewall
            .pass(&self.parts.headers, self.cookie_name, &mut fields);
        if self.websocket {
            fields.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
            fields.insert(UPGRADE, HeaderValue::from_static("websocket"));
        } else if fields.keys().any(|name| name == TE) {
            fields.insert(CONNECTION, HeaderValue::from_static("te"));
        }
        if let Some(trace) = self.trace {
            trace.pass_on(&mut fields);
        }
        fields
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

    fn values() -> [HeaderValue; COUNT] {
        ["h", "fh", "https", "1.2.3.4", "5.6.7.8", "id"].map(HeaderValue::from_static)
    }

    #[test]
    fn each_value_goes_to_the_field_of_its_name() {
        let fields = IdentityHead::anonymous().copy(values());
        let written: Vec<_> = OURS.iter().map(|name| fields[name].clone()).collect();
        assert_eq!(written, values());
        assert_eq!(fields.len(), COUNT);
    }

    #[test]
    fn what_the_map_of_an_app_sets_is_not_set_again() {
        let mut head = IdentityHead::anonymous();
        let mine = HeaderValue::from_static("mine");
        head.all.insert(X_REAL_IP, mine.clone());
        head.fixed[4] = true;
        let fields = head.copy(values());
        assert_eq!(fields[X_REAL_IP], mine);
        assert_eq!(fields[X_REQUEST_ID], "id");
    }
}
