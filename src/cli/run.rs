//! `usher run`: load the config, open the store, serve, reload, drain.

use std::num::NonZeroUsize;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use jiff::Timestamp;
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};

use super::{fail, logs, reload, say_error};
use crate::admin::reload::Reloads;
use crate::audit::{Action, By, Entry};
use crate::config;
use crate::server::{Server, Stop};
use crate::usher::Usher;

/// How often what is over is forgotten.
const TEND_EVERY: Duration = Duration::from_secs(60);

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
    server.serve(stop).await;
    tending.abort();
    reloading.abort();
    note(&usher, "usher stopped").await;
    tracing::info!("stopped");
    ExitCode::SUCCESS
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
