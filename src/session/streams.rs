//! The live streams of a session: they are cut when a role is lost, while the session goes on.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Notify;

/// How often the streams of a session were cut, and who waits for the next time. Reading it writes nothing.
#[derive(Debug, Default)]
pub struct Streams {
    cuts: AtomicU64,
    cut: Notify,
}

/// When a stream was let in, counted in cuts. It is taken *before* the person is read: a cut that comes after a
/// change of the person then ends every stream that was let in by what held before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Since(u64);

impl Streams {
    /// Now, for a stream that may begin.
    pub fn since(&self) -> Since {
        Since(self.cuts.load(Ordering::SeqCst))
    }

    /// Whether a stream must end.
    pub fn is_cut(&self, since: Since) -> bool {
        self.since() != since
    }

    /// Waits until a stream must end.
    pub async fn cut(&self, since: Since) {
        loop {
            let woken = self.cut.notified();
            tokio::pin!(woken);
            // Listening from here on: a cut after the look is not missed.
            woken.as_mut().enable();
            if self.is_cut(since) {
                return;
            }
            woken.await;
        }
    }

    /// Ends the streams that there are; call it after the person was changed.
    pub fn cut_all(&self) {
        self.cuts.fetch_add(1, Ordering::SeqCst);
        self.cut.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_cut_ends_what_was_there_and_nothing_that_comes_later() {
        let streams = std::sync::Arc::new(Streams::default());
        let before = streams.since();
        let watched = std::sync::Arc::clone(&streams);
        let waiting = tokio::spawn(async move { watched.cut(before).await });
        tokio::task::yield_now().await;
        assert!(!streams.is_cut(before) && !waiting.is_finished());
        streams.cut_all();
        let ended = tokio::time::timeout(std::time::Duration::from_secs(5), waiting).await;
        assert!(ended.is_ok_and(|joined| joined.is_ok()));
        assert!(streams.is_cut(before));
        assert!(!streams.is_cut(streams.since()));
    }

    #[tokio::test]
    async fn a_cut_before_the_wait_is_not_missed() {
        let streams = Streams::default();
        let before = streams.since();
        streams.cut_all();
        let waited = tokio::time::timeout(std::time::Duration::from_secs(5), streams.cut(before));
        assert!(waited.await.is_ok());
    }
}
