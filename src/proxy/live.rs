//! Answers that are still streaming to somebody who is signed in: they end with their session, or when it loses a role.

use std::sync::{Arc, Mutex, PoisonError};
use std::task::Waker;

use jiff::Timestamp;

use super::cache::Cached;
use crate::session::Since;

#[derive(Debug)]
struct Live {
    session: Arc<Cached>,
    since: Since,
    waker: Waker,
    cut: bool,
}

/// The streams of one thread. They are looked at a few times in a second, which costs less than it would to
/// subscribe each answer to the end of its session.
#[derive(Debug, Default)]
pub(crate) struct LiveStreams(Mutex<Slots>);

#[derive(Debug, Default)]
struct Slots {
    slots: Vec<Option<Live>>,
    free: Vec<usize>,
}

impl LiveStreams {
    fn lock(&self) -> std::sync::MutexGuard<'_, Slots> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a stream that was let in at `since`; gives its place.
    pub(crate) fn add(&self, (session, since): (Arc<Cached>, Since), waker: Waker) -> usize {
        let mut live = self.lock();
        let entry = Some(Live {
            session,
            since,
            waker,
            cut: false,
        });
        if let Some(place) = live.free.pop()
            && let Some(slot) = live.slots.get_mut(place)
        {
            *slot = entry;
            return place;
        }
        live.slots.push(entry);
        live.slots.len() - 1
    }

    /// Whether the stream must end; else notes whom to wake.
    pub(crate) fn is_cut(&self, place: usize, waker: &Waker) -> bool {
        let mut live = self.lock();
        let Some(Some(entry)) = live.slots.get_mut(place) else {
            return true;
        };
        if !entry.waker.will_wake(waker) {
            entry.waker = waker.clone();
        }
        entry.cut
    }

    /// Takes a stream off.
    pub(crate) fn remove(&self, place: usize) {
        let mut live = self.lock();
        if let Some(slot) = live.slots.get_mut(place)
            && slot.take().is_some()
        {
            live.free.push(place);
        }
        if live.free.len() == live.slots.len() && live.slots.capacity() > 1024 {
            *live = Slots::default();
        }
    }

    /// Marks and wakes the streams whose session is over, or lost what let them in. Gives the number of streams.
    pub(crate) fn cut_ended(&self, now: Timestamp) -> usize {
        let mut live = self.lock();
        let mut count = 0;
        for entry in live.slots.iter_mut().flatten() {
            count += 1;
            let session = &entry.session.session;
            let over = session.ended.is_cancelled()
                || session.streams.is_cut(entry.since)
                || session.expires_at <= now;
            if !entry.cut && over {
                entry.cut = true;
                entry.waker.wake_by_ref();
            }
        }
        count
    }
}
