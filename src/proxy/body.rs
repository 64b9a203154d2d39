//! Bodies on their way: the client's to the app, bounded and timed; the app's to the client, ended with the session.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, header};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::Instant;

use super::cache::Cached;
use super::exchange::Exchange;
use super::guard::BadFraming;
use super::http1::{AppBody, AppFault};
use super::timer::LazyTimer;
use super::worker::{View, Worker};
use crate::session::Since;

/// Why a client's body could not be read to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BodyFault {
    /// Larger than `limits.body`.
    #[error("the body is larger than limits.body")]
    TooLarge,
    /// Not framed as it must be.
    #[error("the body is malformed")]
    Malformed,
    /// Nothing came for `timeouts.response`.
    #[error("the body stopped coming")]
    TooSlow,
    /// The client went away.
    #[error("the client went away")]
    Gone,
}

/// How far a client's body has come; told to whoever waits for the app's answer.
#[derive(Debug)]
pub(crate) struct Progress(Mutex<Reached>);

#[derive(Debug)]
struct Reached {
    fault: Option<BodyFault>,
    ended: bool,
    waiting: bool,
    at: Instant,
}

impl Progress {
    fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::new(Reached {
            fault: None,
            ended: false,
            waiting: false,
            at: Instant::now(),
        })))
    }

    fn lock(&self) -> MutexGuard<'_, Reached> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why the body failed, if it did.
    pub(crate) fn fault(&self) -> Option<BodyFault> {
        self.lock().fault
    }

    /// When the last part of it came.
    pub(crate) fn at(&self) -> Instant {
        self.lock().at
    }

    /// Whether it is the client that is waited for.
    pub(crate) fn waits_for_client(&self) -> bool {
        let reached = self.lock();
        reached.waiting && !reached.ended
    }
}

/// A client's body on its way to an app, checked as it passes.
pub(crate) struct Upload {
    inner: Incoming,
    left: Option<u64>,
    patience: Duration,
    timer: Option<LazyTimer>,
    progress: Arc<Progress>,
    view: Arc<View>,
    app: usize,
}

impl Upload {
    /// Passes `inner` on to the app at that place in the config.
    pub(crate) fn new(inner: Incoming, view: &Arc<View>, app: usize) -> (Box<Self>, Arc<Progress>) {
        let progress = Progress::new();
        let config = &view.usher.config;
        let upload = Self {
            inner,
            left: config.limits.body,
            patience: config.timeouts.response,
            timer: None,
            progress: Arc::clone(&progress),
            view: Arc::clone(view),
            app,
        };
        (Box::new(upload), progress)
    }

    /// Its length in bytes, where the client has said it.
    pub(crate) fn length(&self) -> Option<u64> {
        self.inner.size_hint().exact()
    }

    fn poll_inner(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyFault>>> {
        let polled = match Pin::new(&mut self.inner).poll_frame(context) {
            Poll::Pending => return self.wait(context),
            Poll::Ready(polled) => polled,
        };
        {
            let mut reached = self.progress.lock();
            reached.at = Instant::now();
            reached.waiting = false;
        }
        Poll::Ready(match polled {
            None => None,
            Some(Err(error)) => Some(Err(fault_of(&error))),
            Some(Ok(frame)) => Some(self.check(frame)),
        })
    }

    /// Waits for the client, but not for ever.
    fn wait(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyFault>>> {
        let mut reached = self.progress.lock();
        if !reached.waiting {
            reached.waiting = true;
            reached.at = Instant::now();
        }
        let timer = self.timer.get_or_insert_with(LazyTimer::new);
        timer.set(reached.at + self.patience);
        ready!(timer.poll_due(context));
        Poll::Ready(Some(Err(BodyFault::TooSlow)))
    }

    fn check(&mut self, frame: Frame<Bytes>) -> Result<Frame<Bytes>, BodyFault> {
        if let (Some(data), Some(left)) = (frame.data_ref(), self.left.as_mut()) {
            *left = left
                .checked_sub(data.len() as u64)
                .ok_or(BodyFault::TooLarge)?;
        }
        Ok(match frame.into_trailers() {
            Ok(trailers) => Frame::trailers(self.clean(trailers)),
            Err(frame) => frame,
        })
    }

    /// Trailers that the app could read as fields of ours, or as part of the framing, are dropped.
    fn clean(&self, trailers: HeaderMap) -> HeaderMap {
        let Some((_, _, firewall)) = self.view.app(self.app) else {
            return HeaderMap::new();
        };
        let mut kept = HeaderMap::new();
        for (name, value) in &trailers {
            if !NEVER_TRAILERS.contains(name) && !firewall.drops(name) {
                kept.append(name, value.clone());
            }
        }
        kept
    }
}

/// Fields that are of no meaning, or of a dangerous one, after a body (RFC 9110 6.5.1).
pub(super) const NEVER_TRAILERS: [HeaderName; 17] = [
    header::AUTHORIZATION,
    header::CACHE_CONTROL,
    header::CONNECTION,
    header::CONTENT_ENCODING,
    header::CONTENT_LENGTH,
    header::CONTENT_RANGE,
    header::CONTENT_TYPE,
    header::COOKIE,
    header::EXPECT,
    header::HOST,
    header::LOCATION,
    header::MAX_FORWARDS,
    header::SET_COOKIE,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// Tells a malformed body from a client that went away.
fn fault_of(error: &hyper::Error) -> BodyFault {
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        if cause.is::<BadFraming>() {
            return BodyFault::Malformed;
        }
        if let Some(io) = cause.downcast_ref::<std::io::Error>() {
            let kind = io.kind();
            if matches!(
                kind,
                std::io::ErrorKind::InvalidData | std::io::ErrorKind::InvalidInput
            ) {
                return BodyFault::Malformed;
            }
        }
        source = cause.source();
    }
    BodyFault::Gone
}

impl Body for Upload {
    type Data = Bytes;
    type Error = BodyFault;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyFault>>> {
        let polled = ready!(self.poll_inner(context));
        match &polled {
            None => self.progress.lock().ended = true,
            Some(Err(fault)) => self.progress.lock().fault = Some(*fault),
            Some(Ok(_)) if self.inner.is_end_stream() => self.progress.lock().ended = true,
            Some(Ok(_)) => {}
        }
        Poll::Ready(polled)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }
}

/// Why an answer ends before its time; the client sees it as broken, never as complete.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AnswerFault {
    /// The app broke off.
    #[error("the app broke off: {0}")]
    App(AppFault),
    /// The session ended.
    #[error("the session ended")]
    SessionEnded,
}

/// The body of an answer, usher's own or an app's, with the record of its request.
pub(crate) struct AnswerBody(Kind);

enum Kind {
    Own {
        bytes: Option<Bytes>,
        /// None where the record is kept elsewhere.
        exchange: Option<Box<Exchange>>,
    },
    /// Boxed: an answer is moved several times before its body is read.
    App(Box<Download>),
}

/// An app's body on its way to the client.
pub(crate) struct Download {
    inner: AppBody,
    session: Option<(Arc<Cached>, Since)>,
    live: Option<Place>,
    frames: u32,
    exchange: Box<Exchange>,
}

/// The place of a stream among those that its thread looks after; taken off when it is dropped.
struct Place {
    worker: Arc<Worker>,
    place: usize,
}

impl Place {
    fn new(worker: &Arc<Worker>, session: &(Arc<Cached>, Since), waker: &Waker) -> Self {
        worker.stats.stream(1);
        Self {
            place: worker.live.add(session.clone(), waker.clone()),
            worker: Arc::clone(worker),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.worker.live.remove(self.place);
        self.worker.stats.stream(-1);
    }
}

/// A body that goes on for so many frames counts as a stream.
const STREAM_FRAMES: u32 = 8;

impl AnswerBody {
    /// usher's own.
    pub(crate) fn own(text: impl Into<Bytes>, exchange: Box<Exchange>) -> Self {
        Self(Kind::Own {
            bytes: Some(text.into()).filter(|bytes: &Bytes| !bytes.is_empty()),
            exchange: Some(exchange),
        })
    }

    /// None, for an answer whose record is kept elsewhere.
    pub(crate) fn none() -> Self {
        Self(Kind::Own {
            bytes: None,
            exchange: None,
        })
    }

    /// An app's; with `session`, the answer ends when that does.
    pub(crate) fn app(
        inner: AppBody,
        session: Option<(Arc<Cached>, Since)>,
        exchange: Box<Exchange>,
    ) -> Self {
        Self(Kind::App(Box::new(Download {
            inner,
            session,
            live: None,
            frames: 0,
            exchange,
        })))
    }
}

impl Download {
    /// Whether the session is over. Asked only of answers that take their time.
    fn is_cut(&mut self, context: &Context<'_>) -> bool {
        if let Some(Place { worker, place }) = &self.live {
            return worker.live.is_cut(*place, context.waker());
        }
        if let Some(session) = &self.session {
            let worker = &self.exchange.worker;
            self.live = Some(Place::new(worker, session, context.waker()));
        }
        false
    }

    fn poll(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, AnswerFault>>> {
        if (self.live.is_some() || self.frames >= STREAM_FRAMES) && self.is_cut(context) {
            self.inner.cut();
            return Poll::Ready(Some(Err(AnswerFault::SessionEnded)));
        }
        let polled = Pin::new(&mut self.inner).poll_frame(context);
        match &polled {
            Poll::Pending if self.live.is_none() && self.is_cut(context) => {}
            Poll::Ready(Some(Ok(_))) => self.frames = self.frames.saturating_add(1),
            Poll::Pending | Poll::Ready(None | Some(Err(_))) => {}
        }
        polled.map_err(AnswerFault::App)
    }

    fn poll_noted(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, AnswerFault>>> {
        let polled = self.poll(context);
        match &polled {
            Poll::Ready(Some(Ok(frame))) => self.exchange.bytes += length(frame),
            Poll::Ready(Some(Err(_))) => self.exchange.broken = true,
            Poll::Ready(None) | Poll::Pending => {}
        }
        polled
    }
}

/// Bytes of a frame; none for trailers.
fn length(frame: &Frame<Bytes>) -> u64 {
    frame.data_ref().map_or(0, |data| data.len() as u64)
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = AnswerFault;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, AnswerFault>>> {
        let (bytes, exchange) = match &mut self.0 {
            Kind::App(download) => return download.poll_noted(context),
            Kind::Own { bytes, exchange } => (bytes, exchange),
        };
        let frame = bytes.take().map(Frame::data);
        if let (Some(frame), Some(exchange)) = (&frame, exchange) {
            exchange.bytes += length(frame);
        }
        Poll::Ready(frame.map(Ok))
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Own { bytes, .. } => bytes.is_none(),
            Kind::App(download) => download.inner.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Own { bytes, .. } => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
            }
            Kind::App(download) => download.inner.size_hint(),
        }
    }
}
