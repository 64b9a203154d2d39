//! An admitted request on its way to the app, and the app's answer back.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use http::header::{
    ACCEPT, CONNECTION, EXPECT, HOST, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, TE, UPGRADE,
};
use http::request::Parts;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, Version,
};
use hyper::body::{Body, Incoming};
use hyper::upgrade::OnUpgrade;
use tokio::time::Instant;

use super::admit::Admission;
use super::answer;
use super::body::{AnswerBody, BodyFault, ClientBody, Progress};
use super::cache::Cached;
use super::exchange::Exchange;
use super::live::LiveStreams;
use super::pool::{Lease, Pool, PoolError};
use super::route::{
    Host, Origin, X_FORWARDED_FOR, X_FORWARDED_HOST, X_FORWARDED_PROTO, X_REAL_IP, X_REQUEST_ID,
};
use super::tunnel::Tunnel;
use super::worker::{View, Worker};
use crate::config::{Site, Timeouts};
use crate::forward::firewall::Firewall;
use crate::refusal::{Reason, Refusal};
use crate::session::Since;

/// About as many fields as usher sets itself.
const OURS: usize = 16;
/// A wait for an answer that lasts so long is looked after until its session ends; few do.
const LONG_WAIT: Duration = Duration::from_millis(100);

const SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
const X_REQUESTED_WITH: HeaderName = HeaderName::from_static("x-requested-with");

/// Where a request comes from and goes to, besides its own fields.
#[derive(Debug)]
pub(crate) struct Route<'a> {
    pub(crate) site: &'a Site,
    /// The app's place in the config.
    pub(crate) place: usize,
    /// Connections to the app.
    pub(crate) pool: &'a Arc<Pool>,
    pub(crate) host: Host,
    pub(crate) origin: Origin,
    /// The peer's address as a field value.
    pub(crate) peer: &'a HeaderValue,
    /// `https` or `http`, as the browser sees it.
    pub(crate) scheme: &'static str,
}

/// What a page about a failure must know of a request that is gone already.
pub(crate) fn sketch(parts: &Parts) -> Parts {
    let (mut sketch, ()) = Request::new(()).into_parts();
    sketch.method = parts.method.clone();
    sketch.uri = parts.uri.clone();
    for name in [ACCEPT, SEC_FETCH_MODE, X_REQUESTED_WITH] {
        if let Some(value) = parts.headers.get(&name) {
            sketch.headers.insert(name, value.clone());
        }
    }
    sketch
}

/// Whether a request asks for a WebSocket (RFC 6455 4.1), and for nothing else.
fn asks_for_websocket(parts: &Parts, body: &Incoming) -> bool {
    let only = |name: HeaderName, wanted: &str| {
        let mut values = parts.headers.get_all(name).iter();
        let first = values.next();
        values.next().is_none()
            && first.is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(wanted.as_bytes()))
    };
    parts.version == Version::HTTP_11
        && parts.method == Method::GET
        && parts.headers.contains_key(UPGRADE)
        && only(UPGRADE, "websocket")
        && only(SEC_WEBSOCKET_VERSION, "13")
        && parts.headers.contains_key(SEC_WEBSOCKET_KEY)
        && answer::lists(&parts.headers, &CONNECTION, "upgrade")
        && body.is_end_stream()
}

/// Makes the fields of a client's request those of ours.
fn rewrite(
    headers: &mut HeaderMap,
    firewall: &Firewall,
    route: &Route<'_>,
    admission: &Admission,
    exchange: &Exchange,
) {
    firewall.clean(headers, &route.site.cookie_name);
    headers.remove(EXPECT);
    if headers.contains_key(TE) {
        headers.insert(CONNECTION, HeaderValue::from_static("te"));
    }
    // Room for all of ours at once, rather than growing on the way.
    headers.reserve(OURS);
    headers.insert(HOST, route.host.value.clone());
    headers.insert(X_FORWARDED_HOST, route.host.value.clone());
    headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static(route.scheme));
    let chain = route.origin.chain.as_ref().and_then(|chain| {
        let peer = route.peer.to_str().ok()?;
        HeaderValue::from_maybe_shared(Bytes::from(format!("{chain}, {peer}"))).ok()
    });
    let client = match chain {
        Some(_) => HeaderValue::from_str(&route.origin.client.to_string()).ok(),
        None => None,
    };
    headers.insert(X_FORWARDED_FOR, chain.unwrap_or_else(|| route.peer.clone()));
    headers.insert(X_REAL_IP, client.unwrap_or_else(|| route.peer.clone()));
    headers.insert(X_REQUEST_ID, exchange.id.value());
    match admission {
        Admission::Public => {}
        Admission::Known { identity, .. } => {
            for (name, value) in identity.fields() {
                headers.insert(name, value.clone());
            }
        }
    }
}

/// Sends an admitted request to its app and begins the answer.
///
/// # Errors
/// The refusal with the record of the request: the app is down or too slow, or the client's body is at fault.
pub(crate) async fn forward(
    mut parts: Parts,
    body: Incoming,
    view: &Arc<View>,
    route: Route<'_>,
    admission: Admission,
    mut exchange: Box<Exchange>,
) -> Result<Response<AnswerBody>, (Refusal, Box<Exchange>)> {
    let Some((_, _, firewall)) = view.app(route.place) else {
        return Err((Refusal::new(Reason::NotFound, "no such app"), exchange));
    };
    if let Err(refusal) = check_length(&body, view) {
        return Err((refusal, exchange));
    }
    let websocket = asks_for_websocket(&parts, &body);
    let client = parts.extensions.remove::<OnUpgrade>();
    rewrite(&mut parts.headers, firewall, &route, &admission, &exchange);
    if websocket {
        parts
            .headers
            .insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        parts
            .headers
            .insert(UPGRADE, HeaderValue::from_static("websocket"));
    }
    let (body, progress) = if body.is_end_stream() {
        (ClientBody::Empty, None)
    } else {
        let (body, progress) = ClientBody::new(body, view, route.place);
        (body, Some(progress))
    };
    let mut request = Request::new(body);
    *request.method_mut() = parts.method;
    *request.uri_mut() = parts
        .uri
        .into_parts()
        .path_and_query
        .map(Uri::from)
        .unwrap_or_default();
    *request.headers_mut() = parts.headers;

    let before = std::time::Instant::now();
    let sending = Sending {
        pool: route.pool,
        timeouts: &view.usher.config.timeouts,
        progress: progress.as_deref(),
        worker: &exchange.worker,
        begun: before.into(),
        session: match &admission {
            Admission::Public => None,
            Admission::Known { session, since, .. } => Some((session, *since)),
        },
    };
    let sent = sending.send(request).await;
    exchange.worker.stats.added(before - exchange.started);
    let (mut response, lease) = match sent {
        Ok(sent) => sent,
        Err(failure) => return Err((failure.refusal(progress.as_deref()), exchange)),
    };
    let session = match admission {
        Admission::Public => None,
        Admission::Known { session, since, .. } => Some((session, since)),
    };
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        let tunnel = Tunnel::begin(
            client.filter(|_| websocket),
            &mut response,
            session,
            exchange,
        );
        return tunnel.map(|id| answer::switching(response, &id));
    }
    answer::clean(
        response.headers_mut(),
        &route.site.cookie_name,
        session.is_some(),
        &exchange.id,
    );
    exchange.status = response.status();
    Ok(response.map(|body| AnswerBody::app(body, lease, session, exchange)))
}

/// Refuses a body that says itself that it is too large, before any of it is read.
fn check_length(body: &Incoming, view: &View) -> Result<(), Refusal> {
    match view.usher.config.limits.body {
        Some(limit) if body.size_hint().lower() > limit => Err(Refusal::new(
            Reason::BodyTooLarge,
            "Content-Length exceeds limits.body",
        )),
        Some(_) | None => Ok(()),
    }
}

/// Why there is no answer.
#[derive(Debug)]
enum Failure {
    Connect(PoolError),
    Broken(hyper::Error),
    Late,
    SessionEnded,
}

impl Failure {
    fn refusal(&self, progress: Option<&Progress>) -> Refusal {
        if let Some(fault) = progress.and_then(Progress::fault) {
            let reason = match fault {
                BodyFault::TooLarge => Reason::BodyTooLarge,
                BodyFault::Malformed | BodyFault::TooSlow | BodyFault::Gone => Reason::BadRequest,
            };
            return Refusal::new(reason, fault.to_string());
        }
        match self {
            Self::Connect(error) => Refusal::new(Reason::AppDown, error.to_string()),
            Self::Broken(error) => Refusal::new(
                Reason::AppDown,
                format!("no answer from the app: {}", whole(error)),
            ),
            Self::Late if progress.is_some_and(Progress::waits_for_client) => {
                Refusal::new(Reason::BadRequest, BodyFault::TooSlow.to_string())
            }
            Self::SessionEnded => Refusal::new(
                Reason::SignInRequired,
                "the session ended or lost a role while the app was asked",
            ),
            Self::Late => Refusal::new(Reason::AppTimeout, "no answer within timeouts.response"),
        }
    }
}

/// An error with its causes.
fn whole(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

/// What a request to an app needs on its way.
struct Sending<'a> {
    pool: &'a Arc<Pool>,
    timeouts: &'a Timeouts,
    progress: Option<&'a Progress>,
    worker: &'a Worker,
    /// When the first attempt begins.
    begun: Instant,
    /// The session that the wait for an answer ends with.
    session: Option<(&'a Arc<Cached>, Since)>,
}

impl Sending<'_> {
    /// Sends a request, over a kept connection where there is one. It is sent again, once and over a new connection,
    /// only if none of it was written, or if it is idempotent, has no body, and the kept connection ended without a byte.
    async fn send(
        &self,
        mut request: Request<ClientBody>,
    ) -> Result<(Response<Incoming>, Lease), Failure> {
        let mut lease = match self.pool.take(self.begun.into_std()) {
            Some(lease) => lease,
            None => self.connect().await?,
        };
        let mut since = match lease.reused {
            true => self.begun,
            false => Instant::now(),
        };
        loop {
            let copy = if lease.reused { copy(&request) } else { None };
            lease.link.listen();
            match self.begin(&mut lease, request, since).await {
                Ok(response) => return Ok((response, lease)),
                Err(Attempt::Unsent(unsent)) if lease.reused => request = *unsent,
                Err(Attempt::Unsent(_)) => {
                    let error = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
                    return Err(Failure::Connect(error.into()));
                }
                Err(Attempt::Broken(error)) => match copy.filter(|_| !lease.link.got_byte()) {
                    Some(copy) => request = copy,
                    None => return Err(Failure::Broken(error)),
                },
                Err(Attempt::Late) => return Err(Failure::Late),
                Err(Attempt::SessionEnded) => return Err(Failure::SessionEnded),
            }
            lease = self.connect().await?;
            since = Instant::now();
        }
    }

    async fn connect(&self) -> Result<Lease, Failure> {
        Box::pin(self.pool.connect(self.timeouts.connect))
            .await
            .map_err(Failure::Connect)
    }

    /// One attempt: the answer must begin within `timeouts.response` after the last part of the request's body, and
    /// before the session ends (a long poll is cut like a stream).
    async fn begin(
        &self,
        lease: &mut Lease,
        request: Request<ClientBody>,
        since: Instant,
    ) -> Result<Response<Incoming>, Attempt> {
        let link = &mut lease.link;
        let mut answer = pin!(link.sender.try_send_request(request));
        let timer = &mut link.timer;
        let late = since + self.timeouts.response;
        timer.set(match self.session {
            Some(_) => late.min(since + LONG_WAIT),
            None => late,
        });
        let mut waiting: Option<Waiting<'_>> = None;
        poll_fn(|context| {
            if let Poll::Ready(answered) = answer.as_mut().poll(context) {
                return Poll::Ready(answered.map_err(|mut error| match error.take_message() {
                    Some(request) => Attempt::Unsent(Box::new(request)),
                    None => Attempt::Broken(error.into_error()),
                }));
            }
            while timer.poll_due(context).is_ready() {
                if waiting.is_none() {
                    waiting = self.wait(context);
                }
                let due = match self.progress {
                    Some(progress) => late.max(progress.at() + self.timeouts.response),
                    None => late,
                };
                if due <= Instant::now() {
                    return Poll::Ready(Err(Attempt::Late));
                }
                timer.set(due);
            }
            match &waiting {
                Some(waiting) if waiting.is_over(context.waker()) => {
                    Poll::Ready(Err(Attempt::SessionEnded))
                }
                Some(_) | None => Poll::Pending,
            }
        })
        .await
    }

    /// Has the thread look after this wait, as it takes its time.
    fn wait(&self, context: &Context<'_>) -> Option<Waiting<'_>> {
        let (session, since) = self.session?;
        let live = &self.worker.live;
        let place = live.add((Arc::clone(session), since), context.waker().clone());
        Some(Waiting { live, place })
    }
}

/// A wait that ends with its session; taken off when it is dropped.
struct Waiting<'a> {
    live: &'a LiveStreams,
    place: usize,
}

impl Waiting<'_> {
    fn is_over(&self, waker: &Waker) -> bool {
        self.live.is_cut(self.place, waker)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.live.remove(self.place);
    }
}

/// A request that may be sent twice (RFC 9110 9.2.2), copied.
fn copy(request: &Request<ClientBody>) -> Option<Request<ClientBody>> {
    if !matches!(request.body(), ClientBody::Empty) || !request.method().is_idempotent() {
        return None;
    }
    let mut copy = Request::new(ClientBody::Empty);
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.headers_mut() = request.headers().clone();
    Some(copy)
}

/// How one attempt failed.
enum Attempt {
    /// Nothing was written.
    Unsent(Box<Request<ClientBody>>),
    /// The connection ended.
    Broken(hyper::Error),
    /// No answer in time.
    Late,
    /// The session ended first.
    SessionEnded,
}
