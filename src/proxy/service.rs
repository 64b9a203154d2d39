//! One request, from its head to its answer: find its site and app, decide, then answer or forward.

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::UPGRADE;
use http::request::Parts;
use http::{HeaderValue, Request, Response, StatusCode, Version};
use http_body::Body;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use jiff::Timestamp;

use super::admit::{Asking, Denial};
use super::answer;
use super::body::AnswerBody;
use super::denial::{asked, refuse, sign_in_first};
use super::exchange::Exchange;
use super::forward::{self, Route};
use super::forward_auth::{self, Dialect};
use super::locate::{At, locate};
use super::request_id::RequestId;
use super::route::{
    X_FORWARDED_FOR, X_FORWARDED_HOST, X_FORWARDED_PROTO, X_REQUEST_ID, is_trusted,
};
use super::state::{ConnectionState, UpgradeAnswer};
use super::stats::Outcome;
use super::worker::{View, Worker};
use crate::config::Site;
use crate::endpoints;
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
    let (mut parts, body) = request.into_parts();
    let http2 = parts.version == Version::HTTP_2;
    if http2 {
        // On HTTP/1, the guard notes the heads.
        peer.state.head_done();
    }
    let upgrade = !http2 && answer::has(&parts.headers, &UPGRADE);
    let view = peer.worker.view();
    let response = match view.usher.tracer.serve(&parts.headers) {
        None => answer(&peer, view, &mut parts, body, None).await,
        Some(trace) => Box::pin(traced(&peer, view, &mut parts, body, trace)).await,
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
    parts: &mut Parts,
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

/// By reference, as what a future is given is moved with it.
async fn answer(
    peer: &Peer,
    view: Arc<View>,
    parts: &mut Parts,
    body: Incoming,
    trace: Option<Box<Served>>,
) -> Answer {
    let trusted = is_trusted(&view.usher.config.trusted_proxies, peer.address);
    let mut exchange = record(peer, &view, parts, trusted);
    exchange.trace = trace;
    if let Some(dialect) = Dialect::of(&view.usher.config.prefix, parts.uri.path()) {
        let parts = taken(parts);
        return Box::pin(forward_auth::answer(peer, &view, dialect, parts, exchange)).await;
    }
    let located = match locate(peer, &view, parts, trusted) {
        Ok(located) => located,
        Err((refusal, site)) => return refuse(&view, site, &refusal, parts, exchange),
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
            return Box::pin(endpoint(&view, site, taken(parts), body, exchange)).await;
        }
        At::App(place) => place,
    };
    exchange.app = Some(place);
    let Some((app, pool)) = view
        .app(place)
        .and_then(|(app, own, _)| Some((app, own.pool.as_ref()?)))
    else {
        return refuse(&view, Some(site), &not_forwarded(), parts, exchange);
    };
    let asking = Asking {
        worker: &peer.worker,
        view: &view,
        site,
        canonical: located.host.is_of(&site.public_url),
        app,
        place,
        target: &located.target,
        parts,
        only: None,
        now: exchange.at,
    };
    let admission = match asking.admit().await {
        Ok(admission) => admission,
        Err(Denial::Refused(refusal)) => {
            return refuse(&view, Some(site), &refusal, parts, exchange);
        }
        Err(Denial::NeedsSignIn) => {
            let response = sign_in_first(&view, (site, app), parts, &mut exchange);
            return answer::own(endpoints::fitting(&parts.method, response), exchange);
        }
    };
    exchange.admitted(&admission);
    let route = Route {
        site,
        place,
        pool,
        host: located.host,
        origin: located.origin,
        peer: &peer.value,
        scheme: located.scheme,
    };
    let client = parts.extensions.remove::<OnUpgrade>();
    match forward::forward(parts, client, body, &view, route, admission, exchange).await {
        Ok(response) => response,
        Err((refusal, exchange)) => refuse(&view, Some(site), &refusal, parts, exchange),
    }
}

/// Takes the head for what is rare and keeps it.
fn taken(parts: &mut Parts) -> Parts {
    std::mem::replace(parts, Request::new(()).into_parts().0)
}

/// What an app without an upstream answers to a request that comes here itself.
fn not_forwarded() -> Refusal {
    let sentence = "This app has no upstream here: only the proxy in front of it forwards requests, and asks usher about each.";
    Refusal::new(Reason::NotFound, "the app has no upstream")
        .with_message(Some(sentence.to_owned()))
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
        asked_at: None,
        outcome: Outcome::ClientGone,
        // What nginx writes for a client that closed the connection.
        status: StatusCode::from_u16(499).unwrap_or(StatusCode::BAD_REQUEST),
        bytes: 0,
        broken: false,
        cause: None,
        trace: None,
    })
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
