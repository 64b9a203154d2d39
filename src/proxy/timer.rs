//! A timer that is made once and used for many deadlines.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

/// Far enough that it never fires by itself.
const NEVER: Duration = Duration::from_secs(365 * 24 * 3600);

/// One tokio timer whose deadline may move: a later deadline costs nothing until the earlier one has passed, so that
/// a request which is answered in time never touches the timer wheel.
#[derive(Debug)]
pub(crate) struct LazyTimer {
    sleep: Pin<Box<Sleep>>,
    due: Option<Instant>,
}

impl LazyTimer {
    /// A timer without a deadline.
    pub(crate) fn new() -> Self {
        Self {
            sleep: Box::pin(sleep_until(Instant::now() + NEVER)),
            due: None,
        }
    }

    /// Sets the deadline.
    pub(crate) fn set(&mut self, due: Instant) {
        self.due = Some(due);
    }

    /// Whether a poll now would tell nothing new: the timer runs, fires no later than the deadline, and has not fired.
    /// Only for who polls with the same waker as before.
    pub(crate) fn is_running(&self) -> bool {
        self.due.is_some_and(|due| self.sleep.deadline() <= due) && !self.sleep.is_elapsed()
    }

    /// Ready once the deadline has passed; pending for ever without one.
    pub(crate) fn poll_due(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let Some(due) = self.due else {
            return Poll::Pending;
        };
        if self.sleep.deadline() > due {
            self.sleep.as_mut().reset(due);
        }
        while self.sleep.as_mut().poll(context).is_ready() {
            if Instant::now() >= due {
                return Poll::Ready(());
            }
            self.sleep.as_mut().reset(due);
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::future::poll_fn;

    #[tokio::test]
    async fn fires_at_the_last_deadline_that_was_set() {
        let mut timer = LazyTimer::new();
        let start = Instant::now();
        timer.set(start + Duration::from_millis(10));
        assert!(futures_util::poll!(poll_fn(|context| timer.poll_due(context))).is_pending());
        timer.set(start + Duration::from_millis(60));
        poll_fn(|context| timer.poll_due(context)).await;
        assert!(start.elapsed() >= Duration::from_millis(60));
        timer.set(Instant::now() + Duration::from_millis(5));
        poll_fn(|context| timer.poll_due(context)).await;
        assert!(start.elapsed() < Duration::from_secs(5));
    }
}
