//! The sessions that one thread has seen lately, with what each app is told about them.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use http::HeaderMap;
use http::header::COOKIE;
use jiff::Timestamp;
use memchr::memchr;

use super::answer;
use super::head::IdentityHead;
use crate::access::standing::{Standing, standing};
use crate::config::App;
use crate::identity::Person;
use crate::session::{Session, SessionKey};

/// Sessions that a thread keeps; beyond, the least used go.
const CAPACITY: usize = 4096;

/// A session as one thread keeps it. The `Arc` around it is the thread's own, so that counting it touches no other core.
#[derive(Debug)]
pub(crate) struct Cached {
    /// The session that all threads share.
    pub(crate) session: Arc<Session>,
    /// What is known of the person in each app, by the app's place in the config.
    apps: Mutex<Vec<(usize, Arc<Known>)>>,
}

/// What is known of a person in one app; made anew when the person changes.
#[derive(Debug)]
pub(crate) struct Known {
    /// The person that this was worked out from.
    pub(crate) person: Arc<Person>,
    /// Where the person stands.
    pub(crate) standing: Standing,
    identity: Mutex<Option<Arc<IdentityHead>>>,
}

impl Known {
    /// The header fields made before, while they are good.
    pub(crate) fn identity(&self, now: Timestamp) -> Option<Arc<IdentityHead>> {
        let identity = self.identity.lock().unwrap_or_else(PoisonError::into_inner);
        identity
            .as_ref()
            .filter(|identity| identity.holds(now))
            .map(Arc::clone)
    }

    /// Keeps header fields.
    pub(crate) fn keep(&self, identity: &Arc<IdentityHead>) {
        let mut kept = self.identity.lock().unwrap_or_else(PoisonError::into_inner);
        *kept = Some(Arc::clone(identity));
    }
}

impl Cached {
    fn new(session: Arc<Session>) -> Self {
        Self {
            session,
            apps: Mutex::new(Vec::new()),
        }
    }

    /// What is known of the person in `app`, which stands at `index` in the config.
    pub(crate) fn known(&self, index: usize, app: &App) -> Arc<Known> {
        let mut apps = self.apps.lock().unwrap_or_else(PoisonError::into_inner);
        let person = self.session.person.load();
        let place = apps.iter().position(|(of, _)| *of == index);
        if let Some((_, known)) = place.and_then(|place| apps.get(place))
            && Arc::ptr_eq(&known.person, &person)
        {
            return Arc::clone(known);
        }
        let known = Arc::new(Known {
            standing: standing(app, &person),
            person: Arc::clone(&person),
            identity: Mutex::new(None),
        });
        match place.and_then(|place| apps.get_mut(place)) {
            Some(kept) => kept.1 = Arc::clone(&known),
            None => apps.push((index, Arc::clone(&known))),
        }
        known
    }
}

/// The key is a hash already.
#[derive(Default)]
struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            for (to, from) in word.iter_mut().zip(chunk) {
                *to = *from;
            }
            self.0 ^= u64::from_ne_bytes(word);
        }
    }
}

#[derive(Debug)]
struct Slot {
    key: SessionKey,
    cached: Arc<Cached>,
    used: bool,
}

impl Slot {
    /// Whether something is under way for it.
    fn is_held(&self) -> bool {
        Arc::strong_count(&self.cached) > 1
    }
}

/// A bounded cache; the clock algorithm chooses who goes.
#[derive(Debug, Default)]
pub(crate) struct SessionCache {
    places: HashMap<SessionKey, usize, BuildHasherDefault<KeyHasher>>,
    slots: Vec<Slot>,
    hand: usize,
}

impl SessionCache {
    /// The session of that key, if it is here. Whether it is still good is for the caller to ask.
    pub(crate) fn get(&mut self, key: &SessionKey) -> Option<Arc<Cached>> {
        let slot = self.slots.get_mut(*self.places.get(key)?)?;
        slot.used = true;
        Some(Arc::clone(&slot.cached))
    }

    /// Keeps a session; what is known of it stays if it is the same one.
    pub(crate) fn put(&mut self, session: Arc<Session>) -> Arc<Cached> {
        if let Some(cached) = self.get(&session.key) {
            if Arc::ptr_eq(&cached.session, &session) {
                return cached;
            }
            self.remove(&session.key);
        }
        let slot = Slot {
            key: session.key,
            cached: Arc::new(Cached::new(session)),
            used: true,
        };
        let cached = Arc::clone(&slot.cached);
        if self.slots.len() < CAPACITY {
            self.places.insert(slot.key, self.slots.len());
            self.slots.push(slot);
        } else {
            self.replace(slot);
        }
        cached
    }

    /// Forgets a session.
    pub(crate) fn remove(&mut self, key: &SessionKey) {
        if let Some(place) = self.places.remove(key) {
            self.slots.swap_remove(place);
            if let Some(moved) = self.slots.get(place) {
                self.places.insert(moved.key, place);
            }
        }
    }

    /// Forgets what is over, so that ended sessions do not keep their memory.
    pub(crate) fn sweep(&mut self, now: Timestamp) {
        let over: Vec<_> = self
            .slots
            .iter()
            .filter(|slot| {
                let session = &slot.cached.session;
                session.ended.is_cancelled() || session.expires_at <= now
            })
            .map(|slot| slot.key)
            .collect();
        for key in over {
            self.remove(&key);
        }
    }

    /// The sessions that something is under way for, such as a stream, and that are due to be renewed at the IdP: no further
    /// request may ever ask for it.
    pub(crate) fn due(&self, now: Timestamp) -> Vec<Arc<Session>> {
        let slots = self.slots.iter().filter(|slot| slot.is_held());
        let sessions = slots.map(|slot| &slot.cached.session);
        let due = sessions.filter(|session| {
            session.renew_at.load(Ordering::Relaxed) <= now.as_second()
                && !session.ended.is_cancelled()
        });
        due.cloned().collect()
    }

    /// Forgets all.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    fn replace(&mut self, new: Slot) {
        // Twice round at most: then whatever is there goes.
        let mut left = 2 * self.slots.len();
        loop {
            self.hand = (self.hand + 1) % self.slots.len().max(1);
            let Some(slot) = self.slots.get_mut(self.hand) else {
                return;
            };
            if (slot.used || slot.is_held()) && left > 0 {
                left -= 1;
                slot.used = false;
                continue;
            }
            self.places.remove(&slot.key);
            self.places.insert(new.key, self.hand);
            *slot = new;
            return;
        }
    }
}

/// The parts of a `Cookie` field.
fn pairs(field: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(field);
    std::iter::from_fn(move || {
        let pairs = rest?;
        let (pair, after) = match memchr(b';', pairs) {
            Some(end) => (pairs.get(..end), pairs.get(end + 1..)),
            None => (Some(pairs), None),
        };
        rest = after;
        pair
    })
}

/// The session cookie of a request: what every cookie of that name says, if they agree; else nobody is signed in.
pub(crate) fn session_cookie(headers: &HeaderMap, name: &str) -> Option<SessionKey> {
    let mut found: Option<&[u8]> = None;
    for field in answer::values(headers, &COOKIE) {
        for pair in pairs(field.as_bytes()) {
            let pair = pair.trim_ascii();
            let Some(value) = pair
                .strip_prefix(name.as_bytes())
                .and_then(|rest| rest.strip_prefix(b"="))
            else {
                continue;
            };
            if found.is_some_and(|other| other != value) {
                return None;
            }
            found = Some(value);
        }
    }
    SessionKey::of_cookie(found?)
}
