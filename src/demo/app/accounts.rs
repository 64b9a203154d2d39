//! The app's accounts, as its provisioning callback makes and changes them.

use std::collections::{BTreeMap, HashMap};

use serde::Deserialize;

/// Somebody's account in the app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// The app's own id, which usher hands back in `X-Forwarded-Account`.
    pub number: u64,
    /// usher's id of the user.
    pub user_id: String,
    /// The full name.
    pub name: String,
    /// The e-mail address.
    pub email: String,
    /// The roles that came with the last event.
    pub roles: Vec<String>,
    /// Whether the account may be used.
    pub active: bool,
    /// The `webhook-id` of the event that made the account.
    pub created_by: String,
    /// How many different `user.created` events came for this user; 1 where all is well.
    pub created_events: u32,
    /// How many events in all were applied to it.
    pub events: u32,
}

/// An event of the callback, with the members that the app uses.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Event {
    #[serde(rename = "type")]
    kind: EventKind,
    data: EventData,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
enum EventKind {
    #[serde(rename = "user.created")]
    Created,
    #[serde(rename = "user.updated")]
    Updated,
    #[serde(rename = "user.deactivated")]
    Deactivated,
    #[serde(rename = "user.reactivated")]
    Reactivated,
    #[serde(rename = "user.deleted")]
    Deleted,
}

#[derive(Clone, Debug, Deserialize)]
struct EventData {
    user: EventUser,
}

#[derive(Clone, Debug, Deserialize)]
struct EventUser {
    id: String,
    #[serde(default)]
    email: String,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    roles: Vec<String>,
}

/// What the callback answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Made now, or changed.
    Done(u64),
    /// It was there already, made by another event.
    Existed(u64),
    /// The account is gone.
    Gone,
}

#[derive(Debug, Default)]
pub(super) struct Accounts {
    by_user: BTreeMap<String, Account>,
    answered: HashMap<String, Outcome>,
    last_number: u64,
    events: u64,
}

impl Accounts {
    /// Applies an event once: the same id again gets the same answer.
    pub(super) fn apply(&mut self, id: &str, event: Event) -> Outcome {
        self.events += 1;
        if let Some(outcome) = self.answered.get(id) {
            return outcome.clone();
        }
        let outcome = self.apply_new(id, event);
        self.answered.insert(id.to_owned(), outcome.clone());
        outcome
    }

    fn apply_new(&mut self, id: &str, event: Event) -> Outcome {
        let Event {
            kind,
            data: EventData { user },
        } = event;
        if kind == EventKind::Deleted {
            self.by_user.remove(&user.id);
            return Outcome::Gone;
        }
        let existed = self.by_user.contains_key(&user.id);
        let last_number = &mut self.last_number;
        let account = self.by_user.entry(user.id.clone()).or_insert_with(|| {
            *last_number += 1;
            new_account(1000 + *last_number, id, &user)
        });
        account.events += 1;
        match kind {
            EventKind::Created => {
                account.created_events += 1;
                if existed {
                    return Outcome::Existed(account.number);
                }
            }
            EventKind::Updated => {
                account.name = user.name.unwrap_or_default();
                account.email = user.email;
                account.roles = user.roles;
            }
            EventKind::Deactivated => account.active = false,
            EventKind::Reactivated => account.active = true,
            EventKind::Deleted => {}
        }
        Outcome::Done(account.number)
    }

    pub(super) fn of(&self, user_id: &str) -> Option<&Account> {
        self.by_user.get(user_id)
    }

    pub(super) fn all(&self) -> Vec<Account> {
        self.by_user.values().cloned().collect()
    }

    /// How many authentic events came, repeated ones included.
    pub(super) fn events(&self) -> u64 {
        self.events
    }
}

fn new_account(number: u64, event_id: &str, user: &EventUser) -> Account {
    Account {
        number,
        user_id: user.id.clone(),
        name: user.name.clone().unwrap_or_default(),
        email: user.email.clone(),
        roles: user.roles.clone(),
        active: true,
        created_by: event_id.to_owned(),
        created_events: 0,
        events: 0,
    }
}
