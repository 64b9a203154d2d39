//! One client connection: TLS or plain, HTTP/1 or HTTP/2, until it ends, is idle for too long, or usher stops.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use http::HeaderValue;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::{CancellationToken, WaitForCancellationFuture};

use super::guard::Guard;
use super::service::{Peer, serve};
use super::sniff::{Protocol, sniff};
use super::state::ConnectionState;
use super::timer::LazyTimer;
use super::worker::{View, Worker};
use crate::config::{Limits, Timeouts};

/// Streams that a client may have open at once on one HTTP/2 connection.
const STREAMS: u32 = 128;
/// Streams that a client may reset before they were accepted (CVE-2023-44487), and that it may make us reset.
const RESETS: usize = 32;
/// Bytes of answers that are buffered for one HTTP/2 stream.
const SEND_BUFFER: usize = 64 * 1024;

/// Serves one accepted connection to its end.
pub(crate) async fn serve_connection(
    worker: Arc<Worker>,
    stream: TcpStream,
    address: SocketAddr,
    tls: Option<TlsAcceptor>,
) {
    let ticket = worker.open.enter();
    worker.stats.connection(1);
    let served = Arc::clone(&worker);
    let result = serve_stream(served, stream, address, tls).await;
    if let Err(error) = result {
        tracing::debug!(%error, client = %address, "a connection ended");
    }
    worker.stats.connection(-1);
    drop(ticket);
}

async fn serve_stream(
    worker: Arc<Worker>,
    mut stream: TcpStream,
    address: SocketAddr,
    tls: Option<TlsAcceptor>,
) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let view = worker.view();
    let deadline = Instant::now() + view.usher.config.timeouts.header;
    let ip = address.ip().to_canonical();
    let mut peer = Peer {
        state: Arc::new(ConnectionState::new()),
        address: ip,
        value: HeaderValue::try_from(ip.to_string()).unwrap_or(HeaderValue::from_static("unknown")),
        tls: tls.is_some(),
        server_name: None,
        worker: Arc::clone(&worker),
    };
    let Some(tls) = tls else {
        let (protocol, first) = tokio::select! {
            sniffed = sniff(&mut stream, deadline) => sniffed?,
            () = worker.stop.cancelled() => return Ok(()),
        };
        serve_protocol(stream, protocol, first, peer, &view).await;
        return Ok(());
    };
    let stream = tokio::select! {
        handshake = timeout_at(deadline, tls.accept(stream)) => handshake??,
        () = worker.stop.cancelled() => return Ok(()),
    };
    let session = stream.get_ref().1;
    peer.server_name = session.server_name().map(str::to_ascii_lowercase);
    let protocol = match session.alpn_protocol() {
        Some(b"h2") => Protocol::Http2,
        _ => Protocol::Http1,
    };
    serve_protocol(stream, protocol, Vec::new(), peer, &view).await;
    Ok(())
}

async fn serve_protocol<S>(stream: S, protocol: Protocol, first: Vec<u8>, peer: Peer, view: &View)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let config = &view.usher.config;
    let (state, stop) = (Arc::clone(&peer.state), peer.worker.stop.clone());
    let timeouts = config.timeouts.clone();
    let peer = Arc::new(peer);
    let guarded = Arc::clone(&state);
    let service = service_fn(move |request| serve(Arc::clone(&peer), request));
    match protocol {
        Protocol::Http1 => {
            let io = TokioIo::new(Guard::http1(stream, first, &config.limits, guarded));
            let connection = http1_builder(&config.limits)
                .serve_connection(io, service)
                .with_upgrades();
            Serving::new(connection, state, timeouts, &stop).await;
        }
        Protocol::Http2 => {
            let io = TokioIo::new(Guard::through(stream, first, guarded));
            let connection = http2_builder(&config.limits).serve_connection(io, service);
            Serving::new(connection, state, timeouts, &stop).await;
        }
    }
}

fn http1_builder(limits: &Limits) -> http1::Builder {
    let mut builder = http1::Builder::new();
    // The guard keeps time and counts; hyper gets room for what passed it.
    builder
        .header_read_timeout(None)
        // Not that a client may close one side: the guard looks whether it did, for less.
        .half_close(true)
        .max_buf_size((limits.header_bytes * 2).max(64 * 1024));
    if limits.headers > 100 {
        builder.max_headers(limits.headers);
    }
    builder
}

fn http2_builder(limits: &Limits) -> http2::Builder<TokioExecutor> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .max_pending_accept_reset_streams(RESETS)
        .max_local_error_reset_streams(RESETS)
        .max_header_list_size(u32::try_from(limits.header_bytes).unwrap_or(u32::MAX))
        .max_send_buf_size(SEND_BUFFER)
        .keep_alive_interval(std::time::Duration::from_secs(30))
        .keep_alive_timeout(std::time::Duration::from_secs(20));
    builder
}

/// A hyper connection that can be told to finish.
trait Drain: Future {
    fn drain(self: Pin<&mut Self>);
}

impl<I, S> Drain for http1::UpgradeableConnection<I, S>
where
    Self: Future,
    I: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
    S: hyper::service::HttpService<hyper::body::Incoming>,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    S::ResBody: 'static,
    <S::ResBody as http_body::Body>::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    fn drain(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

impl<I, S, E> Drain for http2::Connection<I, S, E>
where
    Self: Future,
    I: hyper::rt::Read + hyper::rt::Write + Unpin,
    S: hyper::service::HttpService<hyper::body::Incoming>,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    S::ResBody: http_body::Body + 'static,
    <S::ResBody as http_body::Body>::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    E: hyper::rt::bounds::Http2ServerConnExec<S::Future, S::ResBody>,
{
    fn drain(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

/// Drives a connection with one timer for all its deadlines.
struct Serving<'a, C> {
    connection: Pin<Box<C>>,
    state: Arc<ConnectionState>,
    timeouts: Timeouts,
    timer: LazyTimer,
    token: &'a CancellationToken,
    stop: Pin<Box<WaitForCancellationFuture<'a>>>,
    stopping: Option<Instant>,
    /// Whom `stop` and `timer` wake; while it is who polls, they are not polled again.
    waker: Option<Waker>,
}

impl<'a, C: Drain> Serving<'a, C> {
    fn new(
        connection: C,
        state: Arc<ConnectionState>,
        timeouts: Timeouts,
        token: &'a CancellationToken,
    ) -> Self {
        Self {
            connection: Box::pin(connection),
            state,
            timeouts,
            timer: LazyTimer::new(),
            stop: Box::pin(token.cancelled()),
            token,
            stopping: None,
            waker: None,
        }
    }

    /// Whether usher stops. `known`: the waker is the one of the last poll.
    fn must_stop(&mut self, context: &mut Context<'_>, known: bool) -> bool {
        if known {
            return self.token.is_cancelled();
        }
        self.stop.as_mut().poll(context).is_ready()
    }
}

impl<C: Drain> Future for Serving<'_, C> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let serving = &mut *self;
        let known = serving
            .waker
            .as_ref()
            .is_some_and(|waker| waker.will_wake(context.waker()));
        if !known && serving.waker.replace(context.waker().clone()).is_some() {
            // Whoever polls now is woken by nothing yet.
            serving.timer = LazyTimer::new();
        }
        if serving.stopping.is_none() && serving.must_stop(context, known) {
            serving.stopping = Some(Instant::now());
            serving.connection.as_mut().drain();
        }
        if serving.connection.as_mut().poll(context).is_ready() {
            return Poll::Ready(());
        }
        while let Some(due) = serving.state.due(&serving.timeouts, serving.stopping) {
            serving.timer.set(due);
            if known && serving.timer.is_running() {
                break;
            }
            if serving.timer.poll_due(context).is_pending() {
                break;
            }
            let due = serving.state.due(&serving.timeouts, serving.stopping);
            if due.is_some_and(|due| due <= Instant::now()) {
                return Poll::Ready(());
            }
        }
        Poll::Pending
    }
}
