//! A changed person reaches the sessions that are live.

use std::collections::HashMap;
use std::sync::Arc;

use super::{Session, Sessions};
use crate::identity::{Account, AccountState, Person, UserId};
use crate::store::StoreError;

impl Sessions {
    /// Loads the person anew into all live sessions of a user: after a change of attributes, roles or accounts. Where one has
    /// lost something that roles come from, its streams are cut.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn reload_person(&self, user: &UserId) -> Result<(), StoreError> {
        self.reload_and_judge(user, |_, before, after| lost_something(before, after))
            .await
    }

    /// The same where the caller can tell from the person before and after whether the streams of a session must be cut.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn reload_and_judge(
        &self,
        user: &UserId,
        mut is_cut: impl FnMut(&Session, &Person, &Person) -> bool,
    ) -> Result<(), StoreError> {
        self.registry.change_loads(user);
        let held = self.registry.of_user(user).into_iter();
        let held: Vec<_> = held.map(|one| (one.person.load_full(), one)).collect();
        // A person with a thousand sessions is read once for each way to sign in, not for each session.
        let mut read = HashMap::new();
        for (seen, session) in held {
            let ticket = self.registry.ticket(session.key);
            // The same turn as a load: what is older cannot be stored after what is newer.
            let _turn = ticket.load().failed.lock().await;
            let before = session.person.load_full();
            let unchanged = Arc::ptr_eq(&seen, &before);
            let after = match read.get(&before.subject).filter(|_| unchanged) {
                Some(after) => Option::clone(after),
                None => {
                    let after = self.directory.person(&before.subject).await?.map(Arc::new);
                    read.insert(before.subject.clone(), after.clone());
                    after
                }
            };
            let Some(after) = after else {
                // Deactivated: the row goes with the next end or sweep, and is worth nothing until then.
                self.registry.end(&session.key);
                continue;
            };
            let cut = is_cut(&session, &before, &after);
            // Also where nothing changed: whoever read before this turn, and comes to this session after it, must see that.
            session.person.store(after);
            if cut {
                session.streams.cut_all();
            }
        }
        Ok(())
    }
}

/// Gives a live session the person as the store has it.
pub(super) fn replace(session: &Session, person: Person) {
    let before = session.person.load_full();
    if *before == person {
        return;
    }
    let cut = lost_something(&before, &person);
    session.person.store(Arc::new(person));
    if cut {
        session.streams.cut_all();
    }
}

/// Whether something is gone that a role may have come from. Stricter than the roles themselves: asked only where nobody
/// looks at those.
fn lost_something(before: &Person, after: &Person) -> bool {
    let groups = &after.attributes.groups;
    let kept = |group: &String| groups.contains(group);
    let same_account = |account: &Account| {
        after.account(&account.app).is_some_and(|now| {
            (now.state == AccountState::Open || account.state != AccountState::Open)
                && (now.active || !account.active)
                && account.roles.iter().all(|role| now.roles.contains(role))
        })
    };
    !before.attributes.groups.iter().all(kept)
        || !before.grants.iter().all(|one| after.grants.contains(one))
        || !before.accounts.iter().all(same_account)
}
