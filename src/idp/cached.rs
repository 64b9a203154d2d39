//! A document of the IdP that is kept, fetched by one caller at a time, and never lost to a failure.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use tokio::sync::Mutex;

/// So long after a failed fetch, callers get that failure at once instead of each waiting for their own.
const FAILURE_COUNTS_FOR: Duration = Duration::from_secs(2);

/// Why a document could not be fetched.
#[derive(Clone, Debug)]
pub(in crate::idp) enum FetchError {
    /// No answer at all: no connection, or too slow.
    NoContact(String),
    /// An answer that is of no use.
    Useless(String),
    /// Not tried, since the last try was a moment ago.
    NotNow,
}

impl fmt::Display for FetchError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoContact(text) | Self::Useless(text) => out.write_str(text),
            Self::NotNow => out.write_str("asked a moment ago"),
        }
    }
}

/// A fetched document.
#[derive(Debug)]
pub(in crate::idp) struct Entry<T> {
    /// The document.
    pub(in crate::idp) value: T,
    fetched: Instant,
    fresh_for: Duration,
}

impl<T> Entry<T> {
    /// Time since it was fetched.
    pub(in crate::idp) fn age(&self) -> Duration {
        self.fetched.elapsed()
    }

    /// Whether it need not be fetched again yet.
    pub(in crate::idp) fn is_fresh(&self) -> bool {
        self.age() < self.fresh_for
    }

    /// Whether it was fetched after `other`.
    pub(in crate::idp) fn is_newer_than(&self, other: &Self) -> bool {
        self.fetched > other.fetched
    }
}

/// The last good document, and the last failure.
#[derive(Debug)]
pub(in crate::idp) struct Cached<T> {
    last_good: ArcSwapOption<Entry<T>>,
    last_failure: Mutex<Option<(Instant, FetchError)>>,
}

impl<T> Default for Cached<T> {
    fn default() -> Self {
        Self {
            last_good: ArcSwapOption::empty(),
            last_failure: Mutex::new(None),
        }
    }
}

impl<T> Cached<T> {
    /// A document that is there from the beginning, and is fresh for so long.
    pub(in crate::idp) fn holding(value: T, fresh_for: Duration) -> Self {
        let entry = Entry {
            value,
            fetched: Instant::now(),
            fresh_for,
        };
        Self {
            last_good: ArcSwapOption::from_pointee(entry),
            last_failure: Mutex::new(None),
        }
    }

    /// Takes the document of `former` over, if there is none yet.
    pub(in crate::idp) fn take_over(&self, former: &Self) {
        if self.last_good.load().is_none() {
            self.last_good.store(former.last_good());
        }
    }

    /// The last document that was fetched, however old.
    pub(in crate::idp) fn last_good(&self) -> Option<Arc<Entry<T>>> {
        self.last_good.load_full()
    }

    /// How old the last document is, and what the last failure was, if it is still not made good; without waiting.
    pub(in crate::idp) fn state(&self) -> (Option<Duration>, Option<String>) {
        let age = self.last_good.load().as_ref().map(|entry| entry.age());
        let failure = self.last_failure.try_lock().ok();
        let failure = failure.and_then(|failure| Some(failure.as_ref()?.1.to_string()));
        (age, failure)
    }

    /// The document, if it is good enough; else what `fetch` brings (with the time that it stays fresh for).
    /// Callers who come meanwhile wait for that one fetch.
    pub(in crate::idp) async fn get(
        &self,
        is_good_enough: impl Fn(&Entry<T>) -> bool,
        fetch: impl Future<Output = Result<(T, Duration), FetchError>>,
    ) -> Result<Arc<Entry<T>>, FetchError> {
        if let Some(entry) = self.last_good().filter(|entry| is_good_enough(entry)) {
            return Ok(entry);
        }
        let mut last_failure = self.last_failure.lock().await;
        if let Some(entry) = self.last_good().filter(|entry| is_good_enough(entry)) {
            return Ok(entry);
        }
        if let Some((at, error)) = last_failure.as_ref()
            && at.elapsed() < FAILURE_COUNTS_FOR
        {
            return Err(error.clone());
        }
        match fetch.await {
            Ok((value, fresh_for)) => {
                let entry = Arc::new(Entry {
                    value,
                    fetched: Instant::now(),
                    fresh_for,
                });
                self.last_good.store(Some(Arc::clone(&entry)));
                *last_failure = None;
                Ok(entry)
            }
            Err(FetchError::NotNow) => Err(FetchError::NotNow),
            Err(error) => {
                *last_failure = Some((Instant::now(), error.clone()));
                Err(error)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    #[tokio::test]
    async fn many_callers_share_one_fetch() {
        let cached = Cached::default();
        let fetches = AtomicUsize::new(0);
        let fetch = || async {
            fetches.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(Duration::from_millis(50)).await;
            Ok((1, HOUR))
        };
        let callers = (0..20).map(|_| cached.get(Entry::is_fresh, fetch()));
        for result in futures_util::future::join_all(callers).await {
            assert_eq!(result.unwrap().value, 1);
        }
        assert_eq!(fetches.load(Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn a_failure_is_told_to_all_who_wait_and_the_last_good_one_stays() {
        let cached = Cached::default();
        cached
            .get(Entry::is_fresh, async { Ok((1, Duration::ZERO)) })
            .await
            .unwrap();
        let failing = || async { Err(FetchError::NoContact("down".to_owned())) };
        cached.get(Entry::is_fresh, failing()).await.unwrap_err();
        let again = cached.get(Entry::is_fresh, async { Ok((2, HOUR)) }).await;
        assert_eq!(again.unwrap_err().to_string(), "down");
        assert_eq!(cached.last_good().unwrap().value, 1);
    }
}
