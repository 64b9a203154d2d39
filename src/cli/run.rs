//! `usher run`: load the config, open the store, serve, reload, drain.

use std::num::NonZeroUsize;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use jiff::Timestamp;
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinHandle;

use super::{fail, logs, reload, say_error};
use crate::admin::reload::Reloads;
use crate::audit::{Action, By, Entry};
use crate::config;
use crate::server::{Server, Stop};
use crate::usher::Usher;

/// How often what is over is forgotten.
const TEND_EVERY: Duration = Duration::from_secs(60);
/// For the spans that were not sent yet, of what is left of the drain: at least and at most.
const LAST_SPANS: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(5));

pub(super) async fn run(file: &Path, workers: Option<NonZeroUsize>) -> ExitCode {
    let config = match config::load(file) {
        Ok(config) => config,
        Err(problems) => {
            say_error(&problems.to_string());
            return ExitCode::from(2);
        }
    };
    logs::install("info");
    let usher = match Usher::start(config, Timestamp::now()).await {
        Ok(usher) => Arc::new(ArcSwap::from_pointee(usher)),
        Err(error) => return fail(&error.to_string()),
    };
    let hangup = match signal(SignalKind::hangup()) {
        Ok(hangup) => hangup,
        Err(error) => return fail(&format!("signals cannot be heard: {error}")),
    };
    let (reloads, asks) = Reloads::channel();
    let server = match Server::bind(Arc::clone(&usher), workers).await {
        Ok(server) => server.with_reloads(reloads),
        Err(error) => return fail(&error.to_string()),
    };
    let stop = Stop::default();
    if let Err(error) = stop_on_signal(stop.clone()) {
        return fail(&format!("signals cannot be heard: {error}"));
    }
    let tending = tokio::spawn(tend(Arc::clone(&usher)));
    let reloading = tokio::spawn(reload::watch(
        file.to_owned(),
        hangup,
        asks,
        Arc::clone(&usher),
    ));
    note(&usher, "usher started").await;
    let draining = tokio::spawn({
        let stop = stop.clone();
        async move {
            stop.draining().await;
            Instant::now()
        }
    });
    server.serve(stop).await;
    tending.abort();
    reloading.abort();
    note(&usher, "usher stopped").await;
    send_last_spans(&usher, draining).await;
    tracing::info!("stopped");
    ExitCode::SUCCESS
}

/// Sends the spans of what was in flight, as long as `timeouts.drain` allows. `draining` tells since when.
async fn send_last_spans(usher: &ArcSwap<Usher>, draining: JoinHandle<Instant>) {
    let usher = usher.load_full();
    let gone = match draining.is_finished() {
        true => draining
            .await
            .map_or(Duration::ZERO, |since| since.elapsed()),
        false => Duration::ZERO,
    };
    let left = usher.config.timeouts.drain.saturating_sub(gone);
    let left = left.clamp(LAST_SPANS.0, LAST_SPANS.1);
    if tokio::time::timeout(left, usher.tracer.flush())
        .await
        .is_err()
    {
        tracing::warn!(
            event = "traces_lost",
            "the last spans could not be sent in time"
        );
    }
}

/// A line in the audit log.
async fn note(usher: &ArcSwap<Usher>, what: &str) {
    let version = json!({ "version": env!("CARGO_PKG_VERSION") });
    let entry = Entry::new(Action::System, &By::system(), what).with(version);
    usher.load_full().note(&entry, Timestamp::now()).await;
}

/// SIGTERM lets usher leave; SIGINT, or a second signal, begins the drain at once.
pub(super) fn stop_on_signal(stop: Stop) -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {
                stop.leave();
                tracing::info!("leaving: not ready any more; after timeouts.linger, what is in flight is finished");
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = interrupt.recv() => {}
                }
            }
            _ = interrupt.recv() => {}
        }
        stop.now();
        tracing::info!("draining: no new connections, what is in flight is finished");
    });
    Ok(())
}

/// Once a minute: see [`Usher::tend`].
pub(super) async fn tend(usher: Arc<ArcSwap<Usher>>) {
    loop {
        tokio::time::sleep(TEND_EVERY).await;
        let usher = usher.load_full();
        if let Err(error) = usher.tend(Timestamp::now()).await {
            tracing::warn!(cause = %error, "tending failed");
        }
    }
}
