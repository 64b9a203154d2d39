//! Binding, serving, reloading of certificates, and draining: one thread with a runtime of its own for each core, and
//! the metrics and admin listeners beside them.

mod admin;
mod admin_request;
mod outbox;
mod status;
mod stop;
mod tls;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::sync::oneshot;
use tokio_rustls::TlsAcceptor;

use self::status::StatusPage;
pub use self::stop::Stop;
use self::tls::Certificate;
use crate::admin::reload::Reloads;
use crate::proxy::{Connector, LogWriter, Totals, Worker, WorkerStats, serve_connection};
use crate::usher::Usher;

/// Connections that wait to be accepted, for each thread.
const BACKLOG: i32 = 4096;
/// After a failed accept (no descriptors left), the next try comes after so long.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Stack of a thread, in bytes: the deepest story, a SAML sign-in with its callback, needs most of the usual 2 MiB in a debug build.
const STACK: usize = 8 << 20;
/// How often the certificate files are looked at.
const CERTIFICATE_EVERY: Duration = Duration::from_secs(2);

/// Why usher cannot serve.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// An address cannot be listened on.
    #[error("cannot listen on {address}: {error}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        error: io::Error,
    },
    /// The certificate or its key cannot be used.
    #[error("cannot use the certificate: {0}")]
    Certificate(String),
    /// The roots that apps are verified against cannot be read.
    #[error(transparent)]
    Roots(crate::outbound::OutboundError),
    /// A thread or its runtime cannot be started.
    #[error("cannot start a thread: {0}")]
    Thread(io::Error),
}

/// All listeners, bound and not served yet.
#[derive(Debug)]
pub struct Server {
    state: Arc<ArcSwap<Usher>>,
    listeners: Vec<TcpListener>,
    address: SocketAddr,
    status: Option<(TcpListener, SocketAddr)>,
    admin: Option<(TcpListener, SocketAddr)>,
    reloads: Option<Reloads>,
    tls: Option<Certificate>,
}

impl Server {
    /// Binds the public listener, once for each of `threads` (absent: one for each core), and the metrics and admin listeners.
    /// Port 0 picks a free port, the same for all threads.
    ///
    /// # Errors
    /// Where an address cannot be listened on, or the certificate cannot be used.
    pub async fn bind(
        state: Arc<ArcSwap<Usher>>,
        threads: Option<NonZeroUsize>,
    ) -> Result<Self, ServeError> {
        let threads = threads
            .or_else(|| std::thread::available_parallelism().ok())
            .map_or(1, NonZeroUsize::get);
        let usher = state.load_full();
        let wanted = usher.config.listen.address;
        let bind = |address, shared| {
            listen(address, shared).map_err(|error| ServeError::Bind { address, error })
        };
        let first = bind(wanted, true)?;
        let address = local(&first, wanted)?;
        let mut listeners = vec![first];
        for _ in 1..threads {
            listeners.push(bind(address, true)?);
        }
        let aside = |wanted: Option<SocketAddr>| {
            let one = |wanted| {
                let listener = bind(wanted, false)?;
                let address = local(&listener, wanted)?;
                Ok::<_, ServeError>((listener, address))
            };
            wanted.map(one).transpose()
        };
        let status = aside(usher.config.metrics)?;
        let admin = aside(usher.config.admin.as_ref().map(|admin| admin.listen))?;
        let files = usher.config.listen.tls.clone();
        let tls = files.map(Certificate::load).transpose()?;
        tracing::info!(listener = "public", %address, tls = tls.is_some(), "listening");
        if let Some((_, address)) = &status {
            tracing::info!(listener = "metrics", %address, "listening");
        }
        if let Some((_, address)) = &admin {
            tracing::info!(listener = "admin", %address, "listening");
        }
        Ok(Self {
            state,
            listeners,
            address,
            status,
            admin,
            reloads: None,
            tls,
        })
    }

    /// The same, where admins can have the config loaded anew.
    #[must_use]
    pub fn with_reloads(mut self, reloads: Reloads) -> Self {
        self.reloads = Some(reloads);
        self
    }

    /// The address of the public listener.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The address of the metrics listener.
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.status.as_ref().map(|(_, address)| *address)
    }

    /// The address of the admin listener.
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.admin.as_ref().map(|(_, address)| *address)
    }

    /// Serves until it is told to stop, and `timeouts.linger` longer; then accepts nothing more, finishes what is in flight and
    /// returns: when all is done, or after `timeouts.drain`. The access log goes to the standard output where events of level `info` are logged.
    pub async fn serve(self, stop: Stop) {
        let log = tracing::enabled!(tracing::Level::INFO)
            .then(|| Box::new(io::stdout()) as Box<dyn io::Write + Send>);
        if let Err(error) = self.serve_with_log(stop, log).await {
            tracing::error!(%error, "usher cannot serve");
        }
    }

    /// The same, with the access log written to `log`; none is written without it.
    ///
    /// # Errors
    /// Where a thread cannot be started.
    pub async fn serve_with_log(
        self,
        stop: Stop,
        log: Option<Box<dyn io::Write + Send>>,
    ) -> Result<(), ServeError> {
        let log = LogWriter::start(log).map_err(ServeError::Thread)?;
        let connector = Connector::new().map_err(ServeError::Roots)?;
        let acceptor = self.tls.as_ref().map(Certificate::acceptor).transpose()?;
        let (mut ends, mut stats) = (Vec::new(), Vec::new());
        for (place, listener) in self.listeners.into_iter().enumerate() {
            let counted = Arc::new(WorkerStats::default());
            stats.push(Arc::clone(&counted));
            let worker = Worker::new(
                Arc::clone(&self.state),
                log.log(),
                counted,
                connector.clone(),
                // Of its own, so that asking for it touches no other thread.
                stop.drain().child_token(),
            );
            ends.push(start_thread(place, listener, worker, acceptor.clone())?);
        }
        // Only these end together with the threads: the status page tells to the last that usher is stopping.
        let (state, sessions) = (Arc::clone(&self.state), Arc::clone(&self.state));
        let totals = Totals {
            workers: stats,
            dropped_lines: log.dropped(),
            sessions: Box::new(move || sessions.load().sessions.cached()),
        };
        let page = StatusPage::new(state, totals, stop.clone());
        let outbox = outbox::work(Arc::clone(&self.state), stop.drain().clone());
        let linger = {
            // Who is not asked whether usher is ready has nobody to wait for.
            let (state, asked) = (Arc::clone(&self.state), self.status.is_some());
            let told = stop.clone();
            async move {
                let linger = || state.load().config.timeouts.linger;
                told.drain_after(|| if asked { linger() } else { Duration::ZERO })
                    .await;
            }
        };
        let aside = async {
            tokio::join!(
                linger,
                status::serve(self.status.map(|(listener, _)| listener), page),
                watch(self.tls),
                outbox,
            )
        };
        let admin = admin::Parts {
            state: self.state,
            reloads: self.reloads,
            log: log.log(),
        };
        let listener = self.admin.map(|(listener, _)| listener);
        let admin = admin::serve(listener, admin, stop.drain().clone());
        tokio::select! {
            _ = async { tokio::join!(all(ends), admin) } => {}
            _ = aside => {}
        }
        log.finish();
        Ok(())
    }
}

/// Waits for all threads.
async fn all(ends: Vec<oneshot::Receiver<()>>) {
    for end in ends {
        // A thread that died has ended too.
        let _ = end.await;
    }
}

/// Looks after the certificate for ever.
async fn watch(tls: Option<Certificate>) {
    let Some(mut tls) = tls else {
        return std::future::pending().await;
    };
    loop {
        tokio::time::sleep(CERTIFICATE_EVERY).await;
        tls.reload_if_changed();
    }
}

fn local(listener: &TcpListener, address: SocketAddr) -> Result<SocketAddr, ServeError> {
    listener
        .local_addr()
        .map_err(|error| ServeError::Bind { address, error })
}

/// Listens; `shared` lets several sockets have the same address, and the system deals out connections among them.
fn listen(address: SocketAddr, shared: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    if shared {
        socket.set_reuse_port(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Starts one thread with its runtime; the receiver tells its end.
fn start_thread(
    place: usize,
    listener: TcpListener,
    worker: Worker,
    tls: Option<TlsAcceptor>,
) -> Result<oneshot::Receiver<()>, ServeError> {
    let (ended, end) = oneshot::channel();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(ServeError::Thread)?;
    std::thread::Builder::new()
        .name(format!("worker-{place}"))
        .stack_size(STACK)
        .spawn(move || {
            runtime.block_on(work(listener, Arc::new(worker), tls));
            // What did not finish in time ends here.
            runtime.shutdown_background();
            let _ = ended.send(());
        })
        .map_err(ServeError::Thread)?;
    Ok(end)
}

/// One thread: accepts until usher stops, then waits for what is in flight.
async fn work(listener: TcpListener, worker: Arc<Worker>, tls: Option<TlsAcceptor>) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::error!(%error, "a listener cannot be served");
            return;
        }
    };
    let house = tokio::spawn(Arc::clone(&worker).keep_house());
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = worker.stop.cancelled() => break,
        };
        match accepted {
            Ok((stream, address)) => {
                let served = serve_connection(Arc::clone(&worker), stream, address, tls.clone());
                tokio::spawn(served);
            }
            Err(error) => {
                tracing::warn!(%error, "a connection was not accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    let drain = worker.view().usher.config.timeouts.drain;
    if tokio::time::timeout(drain, worker.open.none())
        .await
        .is_err()
    {
        tracing::warn!("timeouts.drain is over; what is in flight is cut");
    }
    house.abort();
    worker.log.flush();
}

#[cfg(test)]
mod tests;
