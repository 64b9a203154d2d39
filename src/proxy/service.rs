//! One request, from its head to its answer: find its site and app, decide, then answer or forward.

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{CONNECTION, EXPECT, UPGRADE};
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, StatusCode, Version};
use http_body::Body;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use jiff::Timestamp;

use super::admit::{Admission, Asking, Denial};
use super::answer;
use super::body::AnswerBody;
use super::exchange::Exchange;
use super::forward::{self, Route};
use super::guard::{Fault, REFUSED_METHOD};
use super::request_id::RequestId;
use super::route::{
    Host, Origin, X_FORWARDED_FOR, X_FORWARDED_HOST, X_FORWARDED_PROTO, X_REQUEST_ID, is_trusted,
};
use super::state::{ConnectionState, UpgradeAnswer};
use super::stats::Outcome;
use super::worker::{View, Worker};
use crate::access::target::Target;
use crate::config::{self, Site};
use crate::endpoints::{self, Asked};
use crate::pages::{self, PageContext};
use crate::refusal::{Reason, Refusal};
use crate::trace::Served;

/// The other end of a connection.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) worker: Arc<Worker>,
    pub(crate) state: Arc<ConnectionState>,
    pub(crate) address: IpAddr,
    /// The address as a field value.
    pub(crate) value: HeaderValue,
    pub(crate) tls: bool,
    /// The host that the TLS handshake was for (SNI), in lower case.
    pub(crate) server_name: Option<String>,
}

type Answer = Response<AnswerBody>;

/// Answers one request. It never fails: a fault is an answer too.
pub(crate) async fn serve(
    peer: Arc<Peer>,
    request: Request<Incoming>,
) -> Result<Answer, Infallible> {
    peer.state.begin();
    let (parts, body) = request.into_parts();
    let http2 = parts.version == Version::HTTP_2;
    if http2 {
        // On HTTP/1, the guard notes the heads.
        peer.state.head_done();
    }
    let upgrade = !http2 && parts.headers.contains_key(UPGRADE);
    let view = peer.worker.view();
    let response = match view.usher.tracer.serve(&parts.headers) {
        None => answer(&peer, view, parts, body, None).await,
        Some(trace) => Box::pin(traced(&peer, view, parts, body, trace)).await,
    };
    if upgrade {
        peer.state.answer_upgrade(match response.status() {
            StatusCode::SWITCHING_PROTOCOLS => UpgradeAnswer::Granted,
            _ => UpgradeAnswer::Denied,
        });
    }
    Ok(response)
}

/// Answers below the request's span.
async fn traced(
    peer: &Peer,
    view: Arc<View>,
    parts: Parts,
    body: Incoming,
    mut trace: Box<Served>,
) -> Answer {
    // The answer of an IdP goes on in the trace of its sign-in, which is known once the cookie was read.
    if endpoints::may_end_sign_in(&view.usher, parts.uri.path()) {
        return answer(peer, view, parts, body, Some(trace)).await;
    }
    let current = trace.begin(None);
    let answered = answer(peer, view, parts, body, Some(trace));
    current.within(answered).await
}

async fn answer(
    peer: &Peer,
    view: Arc<View>,
    mut parts: Parts,
    body: Incoming,
    trace: Option<Box<Served>>,
) -> Answer {
    let trusted = is_trusted(&view.usher.config.trusted_proxies, peer.address);
    let mut exchange = record(peer, &view, &parts, trusted);
    exchange.trace = trace;
    let located = match locate(peer, &view, &parts, trusted) {
        Ok(located) => located,
        Err((refusal, site)) => return refuse(&view, site, &refusal, &parts, exchange),
    };
    exchange.client = located.origin.client;
    exchange.host = Some(located.host.value.clone());
    let site = located.site;
    let place = match located.at {
        At::Own => {
            if !trusted {
                for name in [X_FORWARDED_FOR, X_FORWARDED_HOST, X_FORWARDED_PROTO] {
                    parts.headers.remove(name);
                }
            }
            // Boxed, as all that is rare: the future of a request to the app stays small, and is moved often.
            return Box::pin(endpoint(&view, site, parts, body, exchange)).await;
        }
        At::App(place) => place,
    };
    exchange.app = Some(place);
    let Some((app, _, _)) = view.app(place) else {
        let refusal = Refusal::new(Reason::NotFound, "no such app");
        return refuse(&view, Some(site), &refusal, &parts, exchange);
    };
    let asking = Asking {
        worker: &peer.worker,
        view: &view,
        site,
        canonical: located.host.is_of(&site.public_url),
        app,
        place,
        target: &located.target,
        parts: &parts,
        now: exchange.at,
    };
    let admission = match asking.admit().await {
        Ok(admission) => admission,
        Err(Denial::Refused(refusal)) => {
            return refuse(&view, Some(site), &refusal, &parts, exchange);
        }
        Err(Denial::NeedsSignIn) => {
            exchange.outcome = Outcome::Refused(Reason::SignInRequired);
            let asked = asked(site, &exchange);
            let response = endpoints::needs_sign_in(&view.usher, app, &parts, &asked);
            return answer::own(response, exchange);
        }
    };
    exchange.outcome = match &admission {
        Admission::Public => Outcome::Public,
        Admission::Known { known, .. } => {
            exchange.who = Some(Arc::clone(known));
            Outcome::Admitted
        }
    };
    let route = Route {
        site,
        place,
        host: located.host,
        origin: located.origin,
        peer: &peer.value,
        scheme: located.scheme,
    };
    let sketch = forward::sketch(&parts);
    match forward::forward(parts, body, &view, route, admission, exchange).await {
        Ok(response) => response,
        Err((refusal, exchange)) => refuse(&view, Some(site), &refusal, &sketch, exchange),
    }
}

fn record(peer: &Peer, view: &Arc<View>, parts: &Parts, trusted: bool) -> Box<Exchange> {
    let given = trusted.then(|| parts.headers.get(X_REQUEST_ID)).flatten();
    let id = given.and_then(RequestId::trusted);
    Box::new(Exchange {
        worker: Arc::clone(&peer.worker),
        view: Arc::clone(view),
        connection: Arc::clone(&peer.state),
        id: id.unwrap_or_else(|| peer.worker.ids.next()),
        at: Timestamp::now(),
        started: Instant::now(),
        client: peer.address,
        method: parts.method.clone(),
        host: None,
        target: parts.uri.path_and_query().cloned(),
        app: None,
        who: None,
        outcome: Outcome::ClientGone,
        // What nginx writes for a client that closed the connection.
        status: StatusCode::from_u16(499).unwrap_or(StatusCode::BAD_REQUEST),
        bytes: 0,
        broken: false,
        cause: None,
        trace: None,
    })
}

fn asked<'a>(site: &'a Arc<Site>, exchange: &'a Exchange) -> Asked<'a> {
    Asked {
        site,
        request_id: exchange.id.as_str(),
        client: exchange.client,
        now: exchange.at,
    }
}

/// Where a request belongs.
struct Located<'a> {
    host: Host,
    origin: Origin,
    site: &'a Arc<Site>,
    target: Target,
    at: At,
    scheme: &'static str,
}

enum At {
    /// Under usher's prefix.
    Own,
    /// In the app at that place in the config.
    App(usize),
}

type Misplaced<'a> = (Refusal, Option<&'a Arc<Site>>);

fn locate<'a>(
    peer: &Peer,
    view: &'a View,
    parts: &Parts,
    trusted: bool,
) -> Result<Located<'a>, Misplaced<'a>> {
    let nowhere = |refusal| (refusal, None);
    check_method(parts).map_err(nowhere)?;
    check_padding(parts).map_err(nowhere)?;
    let config = &view.usher.config;
    // On HTTP/1 the guard has counted already.
    if parts.headers.len() > config.limits.headers {
        let refusal = Refusal::new(Reason::HeadersTooLarge, "too many header fields");
        return Err(nowhere(refusal));
    }
    let mut host = Host::of(parts).map_err(nowhere)?;
    if trusted && let Some(forwarded) = Host::forwarded(&parts.headers).map_err(nowhere)? {
        host = forwarded;
    }
    let site = config
        .site(&host.name)
        .ok_or_else(|| nowhere(Refusal::new(Reason::UnknownHost, "no app has that host")))?;
    // A connection made for one site must not reach another (RFC 9110 7.4): what stands in front may have let it
    // pass for the name of the handshake. A name that no app has says nothing.
    let elsewhere = |other: &Arc<Site>| !Arc::ptr_eq(other, site);
    let name = peer.server_name.as_deref();
    if name
        .and_then(|name| config.site(name))
        .is_some_and(elsewhere)
    {
        let cause = "the TLS handshake was for the host of another app";
        return Err(nowhere(Refusal::new(Reason::UnknownHost, cause)));
    }
    let here = |refusal| (refusal, Some(site));
    let target = Target::parse(parts.uri.path()).map_err(here)?;
    let at = place(view, site, &target).map_err(here)?;
    let forwarded = trusted
        .then(|| parts.headers.get(X_FORWARDED_PROTO))
        .flatten();
    let scheme = match forwarded.map(HeaderValue::as_bytes) {
        Some(b"https") => "https",
        Some(b"http") => "http",
        _ if peer.tls || site.public_url.https => "https",
        _ => "http",
    };
    Ok(Located {
        origin: Origin::of(&parts.headers, peer.address, &config.trusted_proxies),
        host,
        site,
        target,
        at,
        scheme,
    })
}

/// Refuses what is no plain request: stand-ins of the guard, tunnels by CONNECT, and TRACE, which would show the client
/// what only the app may see.
fn check_method(parts: &Parts) -> Result<(), Refusal> {
    if parts.method.as_str() == REFUSED_METHOD {
        let reason = match Fault::of_stand_in(parts.uri.path()) {
            Fault::Malformed => Reason::BadRequest,
            Fault::TooLarge => Reason::HeadersTooLarge,
            Fault::Method => Reason::MethodNotAllowed,
        };
        return Err(Refusal::new(reason, "the head was refused"));
    }
    if parts.method == Method::CONNECT
        || parts.method == Method::TRACE
        || parts.method.as_str() == "TRACK"
    {
        return Err(Refusal::new(
            Reason::MethodNotAllowed,
            "the method is not supported",
        ));
    }
    let unknown = |value: &HeaderValue| !value.as_bytes().eq_ignore_ascii_case(b"100-continue");
    if parts.headers.get_all(EXPECT).iter().any(unknown) {
        return Err(Refusal::new(Reason::BadRequest, "an unknown expectation"));
    }
    Ok(())
}

/// Refuses values of HTTP/2 that begin or end with white space (RFC 9113 8.2.1); HTTP/1.1 says that it is no part of them.
fn check_padding(parts: &Parts) -> Result<(), Refusal> {
    let blank = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    let padded = |value: &HeaderValue| {
        let value = value.as_bytes();
        blank(value.first()) || blank(value.last())
    };
    if parts.version == Version::HTTP_2 && parts.headers.values().any(padded) {
        return Err(Refusal::new(
            Reason::BadRequest,
            "a value begins or ends with white space",
        ));
    }
    Ok(())
}

/// Finds the owner of a target. All its readings must have the same one.
fn place(view: &View, site: &Site, target: &Target) -> Result<At, Refusal> {
    let prefix = &view.usher.config.prefix;
    let mut readings = target.readings().iter();
    let plain = readings.next().map_or(target.raw(), String::as_str);
    let ambiguous = || {
        Refusal::new(
            Reason::BadRequest,
            "the target has readings of several owners",
        )
    };
    if config::owns(prefix, plain) {
        return match readings.all(|reading| config::owns(prefix, reading)) {
            true => Ok(At::Own),
            false => Err(ambiguous()),
        };
    }
    let app = site.app(plain);
    for reading in readings {
        let same = match (site.app(reading), app) {
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        };
        if !same || config::owns(prefix, reading) {
            return Err(ambiguous());
        }
    }
    app.and_then(|app| view.place(app))
        .map(At::App)
        .ok_or_else(|| Refusal::new(Reason::NotFound, "no app has that path"))
}

/// Answers a request under usher's prefix.
async fn endpoint(
    view: &View,
    site: &Arc<Site>,
    parts: Parts,
    body: Incoming,
    mut exchange: Box<Exchange>,
) -> Answer {
    let limit = match endpoints::body_limit(&view.usher, &parts) {
        Ok(limit) => limit,
        Err(response) => {
            exchange.outcome = Outcome::Own;
            return answer::own(*response, exchange);
        }
    };
    let bytes = match collect(body, limit, view.usher.config.timeouts.response).await {
        Ok(bytes) => bytes,
        Err(refusal) => return refuse(view, Some(site), &refusal, &parts, exchange),
    };
    exchange.outcome = Outcome::Own;
    let current = exchange.trace.as_mut().map(|trace| {
        let now = exchange.at;
        let earlier = endpoints::trace_of_sign_in(&view.usher, (&parts, &bytes), site, now);
        trace.begin(earlier.as_ref())
    });
    let request = Request::from_parts(parts, bytes);
    let asked = asked(site, &exchange);
    let answered = endpoints::answer(&view.usher, request, &asked);
    let response = match current {
        None => answered.await,
        Some(current) => current.within(answered).await,
    };
    answer::own(response, exchange)
}

/// Reads a body of at most `limit` bytes.
///
/// # Errors
/// `BodyTooLarge`; `BadRequest` where it breaks off, or does not come `within` that time.
pub(crate) async fn collect(
    body: Incoming,
    limit: usize,
    within: Duration,
) -> Result<Bytes, Refusal> {
    if body.is_end_stream() {
        return Ok(Bytes::new());
    }
    let too_large = || {
        Refusal::new(
            Reason::BodyTooLarge,
            "the body exceeds what an endpoint reads",
        )
    };
    if body.size_hint().lower() > limit as u64 {
        return Err(too_large());
    }
    match tokio::time::timeout(within, Limited::new(body, limit).collect()).await {
        Ok(Ok(whole)) => Ok(whole.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
        Ok(Err(error)) => Err(Refusal::new(Reason::BadRequest, error.to_string())),
        Err(_) => Err(Refusal::new(Reason::BadRequest, "the body stopped coming")),
    }
}

/// Answers with a refusal; in the form of its site where that is known.
fn refuse(
    view: &View,
    site: Option<&Arc<Site>>,
    refusal: &Refusal,
    parts: &Parts,
    mut exchange: Box<Exchange>,
) -> Answer {
    exchange.outcome = Outcome::Refused(refusal.reason);
    exchange.cause = Some(refusal.cause.clone()).filter(|cause| !cause.is_empty());
    let mut response = match site {
        Some(site) => endpoints::refused(&view.usher, refusal, parts, &asked(site, &exchange)),
        None => {
            let form = pages::form_of(&parts.method, &parts.headers);
            let context = PageContext {
                prefix: &view.usher.config.prefix,
                request_id: exchange.id.as_str(),
                site: "",
                form_origins: &[],
            };
            pages::refusal(refusal, form, &context, None)
        }
    };
    let stand_in = parts.method.as_str() == REFUSED_METHOD;
    if parts.version != Version::HTTP_2 && (stand_in || refusal.reason == Reason::BadRequest) {
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(CONNECTION, close);
    }
    answer::own(response, exchange)
}
