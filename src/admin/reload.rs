//! How an admin asks for a reload of the config: the door only carries the question to whoever watches the file.

use tokio::sync::{mpsc, oneshot};

/// Where the outcome goes: the number of the loaded config, or why it is refused.
pub type Ask = oneshot::Sender<Result<u64, ReloadRefused>>;

/// Why a config is not taken over; the former one goes on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ReloadRefused(pub String);

/// Asks for reloads; cheap to clone.
#[derive(Clone, Debug)]
pub struct Reloads(mpsc::Sender<Ask>);

impl Reloads {
    /// The asker, and what the watcher hears it by.
    pub fn channel() -> (Self, mpsc::Receiver<Ask>) {
        let (asks, heard) = mpsc::channel(1);
        (Self(asks), heard)
    }

    /// Loads the config anew and waits for the outcome: the number of the config that is in force now.
    ///
    /// # Errors
    /// Why it is refused, or that nobody watches a file here.
    pub async fn reload(&self) -> Result<u64, ReloadRefused> {
        let gone = || ReloadRefused("usher is stopping".to_owned());
        let (told, outcome) = oneshot::channel();
        self.0.send(told).await.map_err(|_| gone())?;
        outcome.await.map_err(|_| gone())?
    }
}
