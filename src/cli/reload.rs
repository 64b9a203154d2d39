//! Reload: SIGHUP or a changed file loads the whole config; a bad one is refused with its problems, and the old one goes on.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use notify::{RecursiveMode, Watcher};
use tokio::signal::unix::Signal;
use tokio::sync::mpsc;

use jiff::Timestamp;
use serde_json::json;

use crate::admin::reload::{Ask, ReloadRefused};
use crate::audit::{Action, By, Entry};
use crate::config::{self, Config};
use crate::usher::Usher;

/// How long a file must be quiet before it is read: editors and ConfigMaps write in several steps.
const QUIET_FOR: Duration = Duration::from_millis(300);

/// Watches until it is dropped. `hangup` is heard from before usher listens: until then SIGHUP ends a process.
/// Admins ask over `asks`, and are told what came of it.
pub(super) async fn watch(
    file: PathBuf,
    mut hangup: Signal,
    mut asks: mpsc::Receiver<Ask>,
    usher: Arc<ArcSwap<Usher>>,
) {
    let (changed, mut changes) = mpsc::channel(1);
    let watcher = watcher(&file, changed);
    if let Err(error) = &watcher {
        tracing::warn!(cause = %error, "the config file cannot be watched; SIGHUP still reloads it");
    }
    let mut text = std::fs::read(&file).unwrap_or_default();
    loop {
        let asked = tokio::select! {
            Some(()) = changes.recv() => false,
            _ = hangup.recv() => true,
            Some(ask) = asks.recv() => {
                text = std::fs::read(&file).unwrap_or_default();
                // Whoever asked may be gone.
                let _ = ask.send(reload(&file, &usher).await);
                continue;
            }
        };
        tokio::time::sleep(QUIET_FOR).await;
        while changes.try_recv().is_ok() {}
        let now = std::fs::read(&file).unwrap_or_default();
        if !asked && now == text {
            continue;
        }
        text = now;
        let outcome = reload(&file, &usher).await;
        note(&usher.load(), &outcome).await;
    }
}

/// A reload that nobody asked for over the API, in the audit log.
async fn note(usher: &Usher, outcome: &Result<u64, ReloadRefused>) {
    let entry = Entry::new(
        Action::System,
        &By::system(),
        "the config was loaded anew, by SIGHUP or for a change of the file",
    );
    let entry = match outcome {
        Ok(generation) => entry.with(json!({ "generation": generation })),
        Err(_) => entry.came_to("config_refused"),
    };
    usher.note(&entry, Timestamp::now()).await;
}

/// The directory is watched, not the file: a ConfigMap is changed by swapping a link beside it.
fn watcher(file: &Path, changed: mpsc::Sender<()>) -> notify::Result<notify::RecommendedWatcher> {
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        if event.is_ok_and(|event| !event.kind.is_access()) {
            // A full channel holds the news already.
            let _ = changed.try_send(());
        }
    })?;
    let directory = file
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    watcher.watch(directory, RecursiveMode::NonRecursive)?;
    Ok(watcher)
}

async fn reload(file: &Path, usher: &ArcSwap<Usher>) -> Result<u64, ReloadRefused> {
    let former = usher.load_full();
    let config = match config::load(file) {
        Ok(config) => config,
        Err(problems) => {
            tracing::error!(problems = %problems, "the new config is refused; the former one goes on");
            return Err(ReloadRefused(problems.to_string()));
        }
    };
    if let Some(key) = needs_restart(&former.config, &config) {
        tracing::error!(
            key,
            "the new config is refused: a change of this key needs a restart; the former one goes on"
        );
        let what = format!("a change of `{key}` needs a restart");
        return Err(ReloadRefused(what));
    }
    match former.reloaded(config, Timestamp::now()).await {
        Ok(new) => {
            let generation = new.generation;
            usher.store(Arc::new(new));
            tracing::info!(generation, "config reloaded");
            Ok(generation)
        }
        Err(error) => {
            tracing::error!(cause = %error, "the new config is refused; the former one goes on");
            Err(ReloadRefused(error.to_string()))
        }
    }
}

/// What is bound or opened once.
fn needs_restart(former: &Config, new: &Config) -> Option<&'static str> {
    let changed = [
        ("listen", former.listen != new.listen),
        ("metrics.listen", former.metrics != new.metrics),
        ("admin.listen", listens(former) != listens(new)),
        ("traces", former.traces != new.traces),
        ("store", former.store != new.store),
    ];
    changed
        .into_iter()
        .find(|(_, changed)| *changed)
        .map(|(key, _)| key)
}

fn listens(config: &Config) -> Option<std::net::SocketAddr> {
    config.admin.as_ref().map(|admin| admin.listen)
}
