//! An admitted request on its way to the app, and the app's answer back.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use http::header::{CONNECTION, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE};
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, Response, StatusCode, Version};
use hyper::body::{Body, Incoming};
use hyper::upgrade::OnUpgrade;
use tokio::time::Instant;

use super::admit::Admission;
use super::answer;
use super::body::{AnswerBody, BodyFault, Progress, Upload};
use super::cache::Cached;
use super::exchange::Exchange;
use super::head::Head;
use super::http1::{AnswerHead, AppBody, AppFault, Failed, Framing, Question, Wire};
use super::live::LiveStreams;
use super::pool::{Lease, Link, Pool};
use super::route::{Host, Origin};
use super::tunnel::Tunnel;
use super::worker::{View, Worker};
use crate::config::{Site, Timeouts};
use crate::refusal::{Reason, Refusal};
use crate::session::Since;

/// A wait for an answer that lasts so long is looked after until its session ends; few do.
const LONG_WAIT: Duration = Duration::from_millis(100);

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

/// Sends an admitted request to its app and begins the answer.
///
/// # Errors
/// The refusal with the record of the request: the app is down or too slow, or the client's body is at fault.
pub(crate) async fn forward(
    parts: &Parts,
    client: Option<OnUpgrade>,
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
    let websocket = client.is_some() && asks_for_websocket(parts, &body);
    let (upload, progress) = match body.is_end_stream() {
        true => (None, None),
        false => {
            let (upload, progress) = Upload::new(body, view, route.place);
            (Some(upload), Some(progress))
        }
    };
    let asking = match (&exchange.trace, view.usher.config.apps.get(route.place)) {
        (Some(trace), Some(app)) => trace.to_app(app.id.as_str(), &parts.method),
        (None, _) | (Some(_), None) => None,
    };
    let head = Head {
        parts,
        firewall,
        cookie_name: &route.site.cookie_name,
        identity: match &admission {
            Admission::Public => &view.nobody,
            Admission::Known { identity, .. } => identity,
        },
        host: &route.host,
        origin: &route.origin,
        peer: route.peer,
        scheme: route.scheme,
        id: exchange.id.clone(),
        websocket,
        trace: asking.as_ref(),
    };
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
    let sent = sending.send(&head, upload).await;
    exchange.worker.stats.added(before - exchange.started);
    let answered = match sent {
        Ok(answered) => answered,
        Err(failure) => {
            let refusal = failure.refusal(progress.as_deref());
            if let Some(asking) = asking {
                asking.failed(refusal.reason.code());
            }
            return Err((refusal, exchange));
        }
    };
    if let Some(asking) = asking {
        asking.answered(answered.status());
    }
    let session = match admission {
        Admission::Public => None,
        Admission::Known { session, since, .. } => Some((session, since)),
    };
    let mut response = match answered {
        Answered::Http(response) => response,
        Answered::Switched(response, wire) => {
            let client = client.filter(|_| websocket);
            return Tunnel::begin(client, &response, *wire, session, exchange)
                .map(|id| answer::switching(response, &id));
        }
    };
    answer::clean(
        response.headers_mut(),
        &route.site.cookie_name,
        session.is_some(),
        &exchange.id,
    );
    exchange.status = response.status();
    Ok(response.map(|body| AnswerBody::app(body, session, exchange)))
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
    Connect(std::io::Error),
    Broken(AppFault),
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
            Self::Connect(error) => Refusal::new(
                Reason::AppDown,
                format!("no connection to the app: {error}"),
            ),
            Self::Broken(fault) => {
                Refusal::new(Reason::AppDown, format!("no answer from the app: {fault}"))
            }
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
        head: &Head<'_>,
        upload: Option<Box<Upload>>,
    ) -> Result<Answered, Failure> {
        let mut lease = match self.pool.take(self.begun.into_std()) {
            Some(lease) => lease,
            None => self.connect().await?,
        };
        let mut since = match lease.reused {
            true => self.begun,
            false => Instant::now(),
        };
        let method = &head.parts.method;
        let again = upload.is_none() && method.is_idempotent();
        let mut written = lease.link.wire.take_spare();
        head.write(&mut written, upload.as_ref().map(|upload| upload.length()));
        let mut question = Question::new(written, *method == Method::HEAD, upload);
        loop {
            let attempt = self.begin(&mut question, &mut lease.link, since).await;
            match attempt {
                Ok(head) if head.framing == Framing::Switched => {
                    let wire = Box::new(lease.into_wire());
                    return Ok(Answered::Switched(head.response, wire));
                }
                Ok(head) => return Ok(Answered::Http(question.answered(head, lease))),
                Err(Attempt::Failed(Failed::Unsent(_))) if lease.reused => {}
                Err(Attempt::Failed(Failed::Silent(_))) if lease.reused && again => {}
                Err(Attempt::Failed(Failed::Unsent(error))) => {
                    return Err(Failure::Broken(error.into()));
                }
                Err(Attempt::Failed(Failed::Silent(fault) | Failed::Fault(fault))) => {
                    return Err(Failure::Broken(fault));
                }
                Err(Attempt::Late) => return Err(Failure::Late),
                Err(Attempt::SessionEnded) => return Err(Failure::SessionEnded),
            }
            question.rewind();
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
        question: &mut Question,
        link: &mut Link,
        since: Instant,
    ) -> Result<AnswerHead, Attempt> {
        let Link { wire, timer, .. } = link;
        let late = since + self.timeouts.response;
        timer.set(match self.session {
            Some(_) => late.min(since + LONG_WAIT),
            None => late,
        });
        let mut waiting: Option<Waiting<'_>> = None;
        poll_fn(|context| {
            if let Poll::Ready(answered) = question.poll(wire, context) {
                return Poll::Ready(answered.map_err(Attempt::Failed));
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

/// How one attempt failed.
enum Attempt {
    /// There is no answer.
    Failed(Failed),
    /// No answer in time.
    Late,
    /// The session ended first.
    SessionEnded,
}

/// The answer to a request has begun.
enum Answered {
    Http(Response<AppBody>),
    /// The connection is no longer HTTP.
    Switched(Response<()>, Box<Wire>),
}

impl Answered {
    fn status(&self) -> StatusCode {
        match self {
            Self::Http(response) => response.status(),
            Self::Switched(response, _) => response.status(),
        }
    }
}
