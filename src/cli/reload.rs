//! Reload: SIGHUP or a changed file loads the whole config; a bad one is refused with its problems, and the old one goes on.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use notify::{RecursiveMode, Watcher};
use tokio::signal::unix::Signal;
use tokio::sync::mpsc;

use jiff::Timestamp;

use crate::config::{self, Config};
use crate::usher::Usher;

/// How long a file must be quiet before it is read: editors and ConfigMaps write in several steps.
const QUIET_FOR: Duration = Duration::from_millis(300);

/// Watches until it is dropped. `hangup` is heard from before usher listens: until then SIGHUP ends a process.
pub(super) async fn watch(file: PathBuf, mut hangup: Signal, usher: Arc<ArcSwap<Usher>>) {
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
        };
        tokio::time::sleep(QUIET_FOR).await;
        while changes.try_recv().is_ok() {}
        let now = std::fs::read(&file).unwrap_or_default();
        if !asked && now == text {
            continue;
        }
        text = now;
        reload(&file, &usher).await;
    }
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

async fn reload(file: &Path, usher: &ArcSwap<Usher>) {
    let former = usher.load_full();
    let config = match config::load(file) {
        Ok(config) => config,
        Err(problems) => {
            tracing::error!(problems = %problems, "the new config is refused; the former one goes on");
            return;
        }
    };
    if let Some(key) = needs_restart(&former.config, &config) {
        tracing::error!(
            key,
            "the new config is refused: a change of this key needs a restart; the former one goes on"
        );
        return;
    }
    match former.reloaded(config, Timestamp::now()).await {
        Ok(new) => {
            let generation = new.generation;
            usher.store(Arc::new(new));
            tracing::info!(generation, "config reloaded");
        }
        Err(error) => {
            tracing::error!(cause = %error, "the new config is refused; the former one goes on")
        }
    }
}

/// What is bound or opened once.
fn needs_restart(former: &Config, new: &Config) -> Option<&'static str> {
    let changed = [
        ("listen", former.listen != new.listen),
        ("metrics.listen", former.metrics != new.metrics),
        ("store", former.store != new.store),
    ];
    changed
        .into_iter()
        .find(|(_, changed)| *changed)
        .map(|(key, _)| key)
}
