//! One at a time for each user and app; what fails is shared by those who waited.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::OwnedMutexGuard;

use crate::identity::{AppId, UserId};
use crate::refusal::Refusal;

type Key = (UserId, AppId);
/// Holds what the one before came to, if that was a failure of the callback.
type Slot = Arc<tokio::sync::Mutex<Option<Refusal>>>;

/// Turns under way.
#[derive(Debug, Default)]
pub(super) struct Turns {
    slots: Mutex<HashMap<Key, Slot>>,
}

/// One's turn; the next one's comes when it is dropped.
#[derive(Debug)]
pub(super) struct Turn<'a> {
    guard: Option<OwnedMutexGuard<Option<Refusal>>>,
    /// Whether somebody else had the turn before.
    pub(super) waited: bool,
    place: Place<'a>,
}

/// A place in the queue.
#[derive(Debug)]
struct Place<'a> {
    turns: &'a Turns,
    key: Key,
    slot: Slot,
}

impl Turns {
    fn slots(&self) -> MutexGuard<'_, HashMap<Key, Slot>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for one's turn.
    pub(super) async fn take(&self, user: &UserId, app: &AppId) -> Turn<'_> {
        let key = (user.clone(), app.clone());
        let slot = Arc::clone(self.slots().entry(key.clone()).or_default());
        let place = Place {
            turns: self,
            key,
            slot,
        };
        let (guard, waited) = match Arc::clone(&place.slot).try_lock_owned() {
            Ok(guard) => (guard, false),
            Err(_) => (Arc::clone(&place.slot).lock_owned().await, true),
        };
        Turn {
            guard: Some(guard),
            waited,
            place,
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.slots().len()
    }
}

impl Turn<'_> {
    /// What the callback failed with for those who went before, while this one waited.
    pub(super) fn failure(&self) -> Option<Refusal> {
        self.guard.as_ref().and_then(|slot| (**slot).clone())
    }

    /// Leaves a failure to those who wait already; whoever comes from now on tries anew.
    pub(super) fn fail(&mut self, refusal: &Refusal) {
        if let Some(slot) = &mut self.guard {
            **slot = Some(refusal.clone());
        }
        self.place.remove(&mut self.place.turns.slots());
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        // Before the place goes: the guard holds a share of the slot, which the place counts.
        self.guard = None;
    }
}

impl Place<'_> {
    fn remove(&self, slots: &mut HashMap<Key, Slot>) {
        if slots
            .get(&self.key)
            .is_some_and(|slot| Arc::ptr_eq(slot, &self.slot))
        {
            slots.remove(&self.key);
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut slots = self.turns.slots();
        // The map's and this one: nobody else is here.
        if Arc::strong_count(&self.slot) <= 2 {
            self.remove(&mut slots);
        }
    }
}
