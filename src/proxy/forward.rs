//! An admitted request on its way to the app, and the app's answer back.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use http::header::{CONNECTION, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE};
use http::request::Parts;
use http::{HeaderName, Method, Response, Version};
use hyper::body::{Body, Incoming};
use hyper::upgrade::OnUpgrade;
use tokio::time::Instant;

use super::admit::Admission;
use super::answer;
use super::body::{AnswerBody, BodyFault, Progress, Upload};
use super::cache::Cached;
use super::exchange::Exchange;
use super::head::Head;
use super::http1::{AnswerHead, AppFault, Failed, Framing, Question};
use super::live::LiveStreams;
use super::locate::Located;
use super::pool::{Lease, Link, Pool};
use super::service::Peer;
use super::tunnel::Tunnel;
use super::worker::View;
use crate::config::{Site, Timeouts};
use crate::refusal::{Reason, Refusal};
use crate::session::Since;
use crate::trace::Asking;

/// A wait for an answer that lasts so long is looked after until its session ends; few do.
const LONG_WAIT: Duration = Duration::from_millis(100);

/// Why a request has no answer from its app, with its record.
pub(super) type Unanswered = (Refusal, Box<Exchange>);

/// The head of an app's answer and the connection that its body comes over; or why there is none.
pub(super) type Answered = Result<(AnswerHead, Lease), Failure>;

/// Where a request comes from and goes to, besides its own fields.
pub(super) struct Route<'a, 'r> {
    pub(super) located: &'r Located<'a>,
    /// The app's place in the config.
    pub(super) place: usize,
    /// Connections to the app.
    pub(super) pool: &'a Arc<Pool>,
    pub(super) peer: &'a Peer,
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

/// Writes what an admitted request is for its app, to be sent over a kept connection where there is one.
///
/// # Errors
/// The refusal with the record of the request: the body is too large.
pub(super) fn forward<'a>(
    parts: &mut Parts,
    body: Incoming,
    view: &'a Arc<View>,
    route: &Route<'a, '_>,
    admission: Admission,
    mut exchange: Box<Exchange>,
) -> Result<Sending<'a>, Unanswered> {
    let Some((app, _, firewall)) = view.app(route.place) else {
        return Err((Refusal::new(Reason::NotFound, "no such app"), exchange));
    };
    if let Err(refusal) = check_length(&body, view) {
        return Err((refusal, exchange));
    }
    let client = parts.extensions.remove::<OnUpgrade>();
    let client = client.filter(|_| asks_for_websocket(parts, &body));
    let (upload, progress) = match body.is_end_stream() {
        true => (None, None),
        false => {
            let (upload, progress) = Upload::new(body, view, route.place);
            (Some(upload), Some(progress))
        }
    };
    let trace = exchange.trace.as_ref();
    let asking = trace.and_then(|trace| trace.to_app(app.id.as_str(), &parts.method));
    let grant = exchange.admitted(admission);
    let begun = std::time::Instant::now();
    let mut kept = route.pool.take(begun);
    let located = route.located;
    let mut written = kept
        .as_mut()
        .map_or_else(Vec::new, |lease| lease.link.wire.take_spare());
    Head {
        parts,
        firewall,
        cookie_name: &located.site.cookie_name,
        identity: grant.identity.as_deref().unwrap_or(&view.nobody),
        host: &located.host,
        origin: &located.origin,
        peer: &route.peer.value,
        scheme: located.scheme,
        id: &exchange.id,
        websocket: client.is_some(),
        trace: asking.as_ref(),
    }
    .write(&mut written, upload.as_ref().map(|upload| upload.length()));
    Ok(Sending {
        site: located.site,
        pool: route.pool,
        timeouts: &view.usher.config.timeouts,
        live: &route.peer.worker.live,
        again: upload.is_none() && parts.method.is_idempotent(),
        question: Question::new(written, parts.method == Method::HEAD, upload),
        kept,
        late: begun.into(),
        waiting: None,
        client,
        progress,
        asking,
        session: grant.session,
        begun,
        exchange,
    })
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
pub(super) enum Failure {
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

/// A request on its way to an app.
pub(super) struct Sending<'a> {
    pub(super) site: &'a Arc<Site>,
    pool: &'a Arc<Pool>,
    timeouts: &'a Timeouts,
    live: &'a LiveStreams,
    question: Question,
    /// Whether it may be sent again although it was written: it is idempotent and has no body.
    again: bool,
    /// A kept connection, for the first attempt.
    kept: Option<Lease>,
    /// When the answer must have begun, unless the client's body takes its time.
    late: Instant,
    waiting: Option<Waiting<'a>>,
    /// The client's side of the WebSocket that it asks for.
    client: Option<OnUpgrade>,
    progress: Option<Arc<Progress>>,
    asking: Option<Asking>,
    /// The session that the wait for an answer ends with.
    session: Option<(Arc<Cached>, Since)>,
    /// When the first attempt began.
    begun: std::time::Instant,
    exchange: Box<Exchange>,
}

impl<'a> Sending<'a> {
    /// The answer of the app, once its head is there. The request is sent again, once and over a new connection, only if
    /// none of it was written, or if it is idempotent, has no body, and the kept connection ended without a byte.
    ///
    /// # Errors
    /// Why there is none.
    pub(super) async fn wait(&mut self) -> Answered {
        let mut lease = match self.kept.take() {
            Some(lease) => lease,
            None => self.connect().await?,
        };
        loop {
            self.set_out(&mut lease);
            let attempt = poll_fn(|context| self.poll_attempt(&mut lease, context)).await;
            match attempt {
                Ok(head) => return Ok((head, lease)),
                Err(Attempt::Failed(Failed::Unsent(_))) if lease.reused => {}
                Err(Attempt::Failed(Failed::Silent(_))) if lease.reused && self.again => {}
                Err(Attempt::Failed(Failed::Unsent(error))) => {
                    return Err(Failure::Broken(error.into()));
                }
                Err(Attempt::Failed(Failed::Silent(fault) | Failed::Fault(fault))) => {
                    return Err(Failure::Broken(fault));
                }
                Err(Attempt::Late) => return Err(Failure::Late),
                Err(Attempt::SessionEnded) => return Err(Failure::SessionEnded),
            }
            self.question.rewind();
            lease = self.connect().await?;
        }
    }

    async fn connect(&self) -> Result<Lease, Failure> {
        Box::pin(self.pool.connect(self.timeouts.connect))
            .await
            .map_err(Failure::Connect)
    }

    /// An attempt begins: the answer must begin within `timeouts.response` after the last part of the request's body, and
    /// before the session ends (a long poll is cut like a stream).
    fn set_out(&mut self, lease: &mut Lease) {
        let since = match lease.reused {
            true => self.begun.into(),
            false => Instant::now(),
        };
        self.waiting = None;
        self.late = since + self.timeouts.response;
        lease.link.timer.set(match self.session {
            Some(_) => self.late.min(since + LONG_WAIT),
            None => self.late,
        });
    }

    fn poll_attempt(
        &mut self,
        lease: &mut Lease,
        context: &mut Context<'_>,
    ) -> Poll<Result<AnswerHead, Attempt>> {
        let Link { wire, timer, .. } = &mut *lease.link;
        if let Poll::Ready(answered) = self.question.poll(wire, context) {
            return Poll::Ready(answered.map_err(Attempt::Failed));
        }
        while timer.poll_due(context).is_ready() {
            if self.waiting.is_none() {
                self.waiting = self.look_after(context);
            }
            let due = match &self.progress {
                Some(progress) => self.late.max(progress.at() + self.timeouts.response),
                None => self.late,
            };
            if due <= Instant::now() {
                return Poll::Ready(Err(Attempt::Late));
            }
            timer.set(due);
        }
        match &self.waiting {
            Some(waiting) if waiting.is_over(context.waker()) => {
                Poll::Ready(Err(Attempt::SessionEnded))
            }
            Some(_) | None => Poll::Pending,
        }
    }

    /// Has the thread look after this wait, as it takes its time.
    fn look_after(&self, context: &Context<'_>) -> Option<Waiting<'a>> {
        let session = self.session.clone()?;
        let place = self.live.add(session, context.waker().clone());
        Some(Waiting {
            live: self.live,
            place,
        })
    }

    /// Makes the app's answer ours.
    ///
    /// # Errors
    /// The refusal with the record of the request: there is no answer, or it makes no sense.
    pub(super) fn answered(self, answered: Answered) -> Result<Response<AnswerBody>, Unanswered> {
        let mut exchange = self.exchange;
        exchange.worker.stats.added(self.begun - exchange.started);
        let (head, lease) = match answered {
            Ok(answered) => answered,
            Err(failure) => {
                let refusal = failure.refusal(self.progress.as_deref());
                if let Some(asking) = self.asking {
                    asking.failed(refusal.reason.code());
                }
                return Err((refusal, exchange));
            }
        };
        if let Some(asking) = self.asking {
            asking.answered(head.response.status());
        }
        if head.framing == Framing::Switched {
            let app = lease.into_wire();
            return Tunnel::begin(self.client, &head.response, app, self.session, exchange)
                .map(|id| answer::switching(head.response, &id));
        }
        let mut response = self.question.answered(head, lease);
        answer::clean(
            response.headers_mut(),
            &self.site.cookie_name,
            self.session.is_some(),
            &exchange.id,
        );
        exchange.status = response.status();
        Ok(response.map(|body| AnswerBody::app(body, self.session, exchange)))
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
