//! One request, from its head to its answer: find its site and app, decide, then answer or forward.

use std::convert::Infallible;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::UPGRADE;
use http::request::Parts;
use http::{HeaderValue, Request, Response, StatusCode, Version};
use http_body::Body;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use jiff::Timestamp;

use super::admit::{Admission, Asking, Denial};
use super::answer;
use super::body::AnswerBody;
use super::denial::{asked, refuse, sign_in_first};
use super::exchange::Exchange;
use super::forward::{Answered, Route, Sending, forward};
use super::forward_auth::{self, Dialect};
use super::locate::{At, Located, locate};
use super::pool::Pool;
use super::request_id::RequestId;
use super::route::{
    X_FORWARDED_FOR, X_FORWARDED_HOST, X_FORWARDED_PROTO, X_REQUEST_ID, is_trusted,
};
use super::state::{ConnectionState, UpgradeAnswer};
use super::stats::Outcome;
use super::worker::{View, Worker};
use crate::config::{App, Site};
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
pub(crate) fn serve(
    peer: Arc<Peer>,
    request: Request<Incoming>,
) -> impl Future<Output = Result<Answer, Infallible>> {
    // Taken apart before the future begins, which is then the smaller.
    let (mut parts, body) = request.into_parts();
    async move {
        peer.state.begin();
        let http2 = parts.version == Version::HTTP_2;
        if http2 {
            // On HTTP/1, the guard notes the heads.
            peer.state.head_done();
        }
        let upgrade = !http2 && answer::has(&parts.headers, &UPGRADE);
        let view = peer.worker.view();
        let response = match view.usher.tracer.serve(&parts.headers) {
            None => answer(&peer, &view, &mut parts, body, None).await,
            Some(trace) => Box::pin(traced(&peer, &view, &mut parts, body, trace)).await,
        };
        if upgrade {
            peer.state.answer_upgrade(match response.status() {
                StatusCode::SWITCHING_PROTOCOLS => UpgradeAnswer::Granted,
                _ => UpgradeAnswer::Denied,
            });
        }
        Ok(response)
    }
}

/// Answers below the request's span.
async fn traced(
    peer: &Peer,
    view: &Arc<View>,
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

/// What becomes of a request once it is decided.
enum Decided<'a> {
    /// usher answers it.
    Answered(Answer),
    /// It is to be sent to its app.
    Sent(Sending<'a>),
}

/// How far a request comes without waiting.
#[expect(
    clippy::large_enum_variant,
    reason = "the large one is the usual one, and is moved once"
)]
enum Step<'a, 'p> {
    Decided(Decided<'a>),
    /// It waits, for the store, for an account or for its own body. Boxed, as that is rare: the future of a request that goes to
    /// the app at once stays small.
    Waits(Pin<Box<dyn Future<Output = Answer> + Send + 'p>>),
}

async fn answer(
    peer: &Peer,
    view: &Arc<View>,
    parts: &mut Parts,
    body: Incoming,
    trace: Option<Box<Served>>,
) -> Answer {
    let mut sending = match begin(peer, view, parts, body, trace) {
        Step::Decided(Decided::Answered(response)) => return response,
        Step::Decided(Decided::Sent(sending)) => sending,
        Step::Waits(answer) => return answer.await,
    };
    let answered = sending.wait().await;
    finish(view, parts, sending, answered)
}

/// Finds where a request belongs and decides, with what this thread has at hand.
fn begin<'a: 'p, 'p>(
    peer: &'a Peer,
    view: &'a Arc<View>,
    parts: &'p mut Parts,
    body: Incoming,
    trace: Option<Box<Served>>,
) -> Step<'a, 'p> {
    let trusted = is_trusted(&view.usher.config.trusted_proxies, peer.address);
    let mut exchange = record(peer, view, parts, trusted);
    exchange.trace = trace;
    if let Some(dialect) = Dialect::of(&view.usher.config.prefix, parts.uri.path()) {
        let parts = taken(parts);
        return Step::Waits(Box::pin(forward_auth::answer(
            peer, view, dialect, parts, exchange,
        )));
    }
    let located = match locate(peer, view, parts, trusted) {
        Ok(located) => located,
        Err((refusal, site)) => {
            let response = refuse(view, site, &refusal, parts, exchange);
            return Step::Decided(Decided::Answered(response));
        }
    };
    exchange.client = located.origin.client;
    exchange.host = Some(located.host.value.clone());
    let place = match located.at {
        At::Own => {
            if !trusted {
                for name in [X_FORWARDED_FOR, X_FORWARDED_HOST, X_FORWARDED_PROTO] {
                    parts.headers.remove(name);
                }
            }
            let (site, parts) = (located.site, taken(parts));
            return Step::Waits(Box::pin(endpoint(view, site, parts, body, exchange)));
        }
        At::App(place) => place,
    };
    exchange.app = Some(place);
    let Some((app, pool)) = view
        .app(place)
        .and_then(|(app, own, _)| Some((app, own.pool.as_ref()?)))
    else {
        let site = Some(located.site);
        let response = refuse(view, site, &not_forwarded(), parts, exchange);
        return Step::Decided(Decided::Answered(response));
    };
    let gate = Gate {
        peer,
        view,
        located,
        place,
        app,
        pool,
    };
    match gate.asking(parts, exchange.at).at_hand() {
        Some(admission) => Step::Decided(gate.pass(admission, parts, body, exchange)),
        None => Step::Waits(Box::pin(gate.wait(parts, body, exchange))),
    }
}

/// A request before its app, and what is known of both.
struct Gate<'a> {
    peer: &'a Peer,
    view: &'a Arc<View>,
    located: Located<'a>,
    place: usize,
    app: &'a Arc<App>,
    pool: &'a Arc<Pool>,
}

impl<'a> Gate<'a> {
    fn asking<'s>(&'s self, parts: &'s Parts, now: Timestamp) -> Asking<'s> {
        Asking {
            worker: &self.peer.worker,
            view: self.view,
            site: self.located.site,
            canonical: self.located.host.is_of(&self.located.site.public_url),
            app: self.app,
            place: self.place,
            target: &self.located.target,
            parts,
            only: None,
            now,
        }
    }

    /// Waits for the decision, then for the app.
    async fn wait(self, parts: &mut Parts, body: Incoming, exchange: Box<Exchange>) -> Answer {
        let admission = self.asking(parts, exchange.at).admit().await;
        let mut sending = match self.pass(admission, parts, body, exchange) {
            Decided::Sent(sending) => sending,
            Decided::Answered(response) => return response,
        };
        let answered = sending.wait().await;
        finish(self.view, parts, sending, answered)
    }

    /// Sends on what is admitted; else gives the answer.
    fn pass(
        &self,
        admission: Result<Admission, Denial>,
        parts: &mut Parts,
        body: Incoming,
        mut exchange: Box<Exchange>,
    ) -> Decided<'a> {
        let (view, site) = (self.view, self.located.site);
        let admission = match admission {
            Ok(admission) => admission,
            Err(Denial::Refused(refusal)) => {
                return Decided::Answered(refuse(view, Some(site), &refusal, parts, exchange));
            }
            Err(Denial::NeedsSignIn) => {
                let response = sign_in_first(view, (site, self.app), parts, &mut exchange);
                let response = endpoints::fitting(&parts.method, response);
                return Decided::Answered(answer::own(response, exchange));
            }
        };
        let route = Route {
            located: &self.located,
            place: self.place,
            pool: self.pool,
            peer: self.peer,
        };
        match forward(parts, body, view, &route, admission, exchange) {
            Ok(sending) => Decided::Sent(sending),
            Err((refusal, exchange)) => {
                Decided::Answered(refuse(view, Some(site), &refusal, parts, exchange))
            }
        }
    }
}

/// The answer of the app, or the refusal that comes of it.
fn finish(view: &View, parts: &Parts, sending: Sending<'_>, answered: Answered) -> Answer {
    let site = sending.site;
    match sending.answered(answered) {
        Ok(response) => response,
        Err((refusal, exchange)) => refuse(view, Some(site), &refusal, parts, exchange),
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
