//! How usher is told to stop: what stands in front hears of it first, and then usher drains.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

/// Tells a server to stop; every clone tells the same one.
#[derive(Clone, Debug, Default)]
pub struct Stop {
    leaving: CancellationToken,
    drain: CancellationToken,
}

impl Stop {
    /// From here on `/readyz` answers 503; all else goes on for `timeouts.linger`, since a load balancer sends
    /// new connections until it has asked again. Then the drain begins.
    pub fn leave(&self) {
        self.leaving.cancel();
    }

    /// The drain begins at once.
    pub fn now(&self) {
        self.leaving.cancel();
        self.drain.cancel();
    }

    /// Whether usher is still to serve new connections for long.
    pub(super) fn is_leaving(&self) -> bool {
        self.leaving.is_cancelled()
    }

    /// Waits until the drain begins.
    pub async fn draining(&self) {
        self.drain.cancelled().await;
    }

    /// Fires when the drain begins.
    pub(super) fn drain(&self) -> &CancellationToken {
        &self.drain
    }

    /// Begins the drain that long after usher was told to leave.
    pub(super) async fn drain_after(&self, linger: impl FnOnce() -> Duration) {
        self.leaving.cancelled().await;
        tokio::select! {
            () = tokio::time::sleep(linger()) => self.drain.cancel(),
            () = self.drain.cancelled() => {}
        }
    }
}
