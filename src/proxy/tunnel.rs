//! WebSocket tunnels: bytes both ways until one side, the session or time ends them.

use std::future::pending;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::header::UPGRADE;
use http::{Response, StatusCode};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, split};
use tokio::time::{Instant, sleep_until};

use super::cache::Cached;
use super::exchange::Exchange;
use super::http1::Wire;
use super::request_id::RequestId;
use crate::refusal::{Reason, Refusal};
use crate::session::Since;

/// Bytes read at once in each direction.
const BUFFER: usize = 16 * 1024;

/// A tunnel between a client and an app.
pub(crate) struct Tunnel {
    session: Option<(Arc<Cached>, Since)>,
    exchange: Box<Exchange>,
    idle: Duration,
}

impl Tunnel {
    /// Begins a tunnel once the app has answered 101: it runs in a task of its own. `client` is none where the client
    /// did not ask for a WebSocket; then the app's answer makes no sense.
    ///
    /// # Errors
    /// `AppDown` for a 101 that nobody asked for, or to another protocol.
    pub(crate) fn begin(
        client: Option<OnUpgrade>,
        response: &Response<()>,
        app: Wire,
        session: Option<(Arc<Cached>, Since)>,
        mut exchange: Box<Exchange>,
    ) -> Result<RequestId, (Refusal, Box<Exchange>)> {
        let websocket = response
            .headers()
            .get(UPGRADE)
            .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"));
        let Some(client) = client.filter(|_| websocket) else {
            let refusal = Refusal::new(Reason::AppDown, "the app changed the protocol unasked");
            return Err((refusal, exchange));
        };
        exchange.status = StatusCode::SWITCHING_PROTOCOLS;
        let id = exchange.id.clone();
        let tunnel = Self {
            session,
            idle: exchange.view.usher.config.timeouts.idle,
            exchange,
        };
        let ticket = tunnel.exchange.worker.open.enter();
        tokio::spawn(async move {
            tunnel.run(client, app).await;
            drop(ticket);
        });
        Ok(id)
    }

    async fn run(mut self, client: OnUpgrade, app: Wire) {
        let stats = Arc::clone(&self.exchange.worker.stats);
        stats.stream(1);
        let carried = Carried::default();
        let ended = match client.await {
            Ok(client) => self.until_end(client, app, &carried).await,
            Err(_) => Some("the protocol did not change"),
        };
        self.exchange.cause = ended.map(ToOwned::to_owned);
        self.exchange.bytes = carried.lock().to_client;
        stats.stream(-1);
    }

    /// Carries bytes until the tunnel ends; why, where that is worth a word.
    async fn until_end(
        &self,
        client: Upgraded,
        app: Wire,
        carried: &Carried,
    ) -> Option<&'static str> {
        let touch = || self.touch();
        let (app, ahead) = app.into_parts();
        // What the app sent right behind its answer comes first.
        let (app_read, app_write) = split(app);
        let app = (ahead.as_ref().chain(app_read), app_write);
        let copy = carry(split(TokioIo::new(client)), app, carried, &touch);
        tokio::select! {
            result = copy => result.err().map(|_| "one side broke off"),
            () = self.over() => Some("the session ended or lost a role"),
            () = carried.silent_for(self.idle) => Some("silent for timeouts.idle"),
        }
    }

    /// Waits for the end of the session, or of what let the tunnel in.
    async fn over(&self) {
        let Some((session, since)) = &self.session else {
            return pending().await;
        };
        let session = &session.session;
        let left = session.expires_at.duration_since(Timestamp::now());
        let left = Duration::try_from(left).unwrap_or(Duration::ZERO);
        tokio::select! {
            () = session.ended.cancelled() => {}
            () = session.streams.cut(*since) => {}
            () = tokio::time::sleep(left) => {}
        }
    }

    /// What the client sends counts as use of the session.
    fn touch(&self) {
        let Some((session, _)) = &self.session else {
            return;
        };
        let sessions = &self.exchange.view.usher.sessions;
        if sessions.touch(&session.session, Timestamp::now()) {
            let (sessions, session) = (Arc::clone(sessions), Arc::clone(&session.session));
            tokio::spawn(async move {
                if let Err(error) = sessions.write_seen(&session).await {
                    tracing::warn!(%error, "the last use of a session was not written");
                }
            });
        }
    }
}

/// What a tunnel has carried so far.
struct Carried(Mutex<Count>);

struct Count {
    at: Instant,
    to_client: u64,
}

impl Default for Carried {
    fn default() -> Self {
        Self(Mutex::new(Count {
            at: Instant::now(),
            to_client: 0,
        }))
    }
}

impl Carried {
    fn lock(&self) -> std::sync::MutexGuard<'_, Count> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, to_client: usize) {
        let mut count = self.lock();
        count.at = Instant::now();
        count.to_client += to_client as u64;
    }

    /// Waits until nothing was carried for so long.
    async fn silent_for(&self, limit: Duration) {
        loop {
            let due = self.lock().at + limit;
            if due <= Instant::now() {
                return;
            }
            sleep_until(due).await;
        }
    }
}

/// Copies both ways until both have ended; the end of one is passed on.
async fn carry(
    client: (impl AsyncRead + Unpin, impl AsyncWrite + Unpin),
    app: (impl AsyncRead + Unpin, impl AsyncWrite + Unpin),
    carried: &Carried,
    used: &dyn Used,
) -> io::Result<()> {
    let (mut client_read, mut client_write) = client;
    let (mut app_read, mut app_write) = app;
    let up = async {
        let mut buffer = vec![0; BUFFER];
        loop {
            let count = client_read.read(&mut buffer).await?;
            if count == 0 {
                return app_write.shutdown().await;
            }
            carried.note(0);
            used.call();
            app_write
                .write_all(buffer.get(..count).unwrap_or_default())
                .await?;
            app_write.flush().await?;
        }
    };
    let down = async {
        let mut buffer = vec![0; BUFFER];
        loop {
            let count = app_read.read(&mut buffer).await?;
            if count == 0 {
                return client_write.shutdown().await;
            }
            carried.note(count);
            client_write
                .write_all(buffer.get(..count).unwrap_or_default())
                .await?;
            client_write.flush().await?;
        }
    };
    tokio::try_join!(up, down).map(|_| ())
}

/// Called for what the client sends; may be called from the task of the tunnel alone.
trait Used: Send + Sync {
    fn call(&self);
}

impl<F: Fn() + Send + Sync> Used for F {
    fn call(&self) {
        self();
    }
}
