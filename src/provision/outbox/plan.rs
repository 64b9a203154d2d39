//! What an app has to be told of a user next: a pure decision.

use crate::config::{Provisioning, ProvisioningMode};
use crate::directory::{Event, EventKind};
use crate::identity::{Account, AccountState};
use crate::provision::event::{DEACTIVATED, DELETED};

/// What is known of a user in an app.
#[derive(Clone, Copy, Debug)]
pub(super) struct Facts<'a> {
    pub(super) provisioning: &'a Provisioning,
    /// What the app was told last, and said.
    pub(super) account: Option<&'a Account>,
    /// What holds now.
    pub(super) now: Holds<'a>,
    /// Whether SCIM or an admin put the user into the app, so that nobody waits for a visit.
    pub(super) driven: bool,
    /// Whether the user has a grant in the app.
    pub(super) invited: bool,
    /// An event that was given up.
    pub(super) dead: Option<&'a Event>,
}

/// What holds now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holds<'a> {
    /// The user may use the app; with the fingerprint of what there is to tell.
    Access(&'a str),
    /// The same, but without an e-mail address there is nothing that could be told.
    Untold,
    /// Deactivated, or no role is left.
    Nothing,
    /// Deleted.
    Deleted,
}

/// The next event, if there is something to tell. Nothing that is dead is made again.
pub(super) fn next_event(facts: &Facts<'_>) -> Option<EventKind> {
    let kind = match facts.account {
        None => without_account(facts)?,
        Some(account) => with_account(facts, account)?,
    };
    let told = match (kind, facts.now) {
        (EventKind::Deactivated, _) => DEACTIVATED,
        (EventKind::Deleted, _) => DELETED,
        (_, Holds::Access(told)) => told,
        (_, Holds::Untold | Holds::Nothing | Holds::Deleted) => "",
    };
    let given_up = facts
        .dead
        .is_some_and(|dead| dead.kind == kind && dead.told == told);
    (!given_up).then_some(kind)
}

fn without_account(facts: &Facts<'_>) -> Option<EventKind> {
    let may_have_one = match facts.provisioning.mode {
        ProvisioningMode::Jit => true,
        ProvisioningMode::Invited => facts.invited,
        ProvisioningMode::Off => false,
    };
    match facts.now {
        Holds::Access(_) => (facts.driven && may_have_one).then_some(EventKind::Created),
        Holds::Untold => None,
        // What was given up may have arrived all the same.
        Holds::Nothing | Holds::Deleted => facts
            .dead
            .filter(|dead| dead.tries > 0)
            .map(|_| farewell(facts.now)),
    }
}

fn with_account(facts: &Facts<'_>, account: &Account) -> Option<EventKind> {
    let told = match facts.now {
        Holds::Access(told) => told,
        Holds::Untold => return None,
        Holds::Nothing | Holds::Deleted => return taken_away(facts.now, account),
    };
    if !account.active {
        return match account.told == DELETED {
            true => facts.driven.then_some(EventKind::Created),
            false => Some(EventKind::Reactivated),
        };
    }
    if account.told == told {
        return None;
    }
    match &account.state {
        AccountState::Open => Some(EventKind::Updated),
        // Whoever is not driven asks again by signing in. With an id the account was open once: the app knows it.
        AccountState::Refused { .. } => facts.driven.then_some(match account.id {
            Some(_) => EventKind::Updated,
            None => EventKind::Created,
        }),
    }
}

fn taken_away(now: Holds<'_>, account: &Account) -> Option<EventKind> {
    let unknown = match &account.state {
        AccountState::Open => false,
        AccountState::Refused { .. } => account.id.is_none(),
    };
    let to_tell = match account.active {
        true => !unknown,
        false => now == Holds::Deleted && account.told != DELETED,
    };
    to_tell.then(|| farewell(now))
}

fn farewell(now: Holds<'_>) -> EventKind {
    match now {
        Holds::Deleted => EventKind::Deleted,
        Holds::Access(_) | Holds::Untold | Holds::Nothing => EventKind::Deactivated,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::identity::{AppId, UserId};
    use EventKind::{Created, Deactivated, Deleted, Reactivated, Updated};

    fn provisioning(mode: ProvisioningMode) -> Provisioning {
        Provisioning {
            mode,
            roles: Vec::new(),
            default_role: None,
            group_roles: Vec::new(),
            target: None,
        }
    }

    fn account(told: &str, active: bool) -> Account {
        Account {
            app: AppId::new("wiki"),
            id: Some("42".to_owned()),
            roles: Vec::new(),
            state: AccountState::Open,
            active,
            told: told.to_owned(),
        }
    }

    fn refused(id: Option<&str>, told: &str) -> Account {
        Account {
            id: id.map(ToOwned::to_owned),
            state: AccountState::Refused {
                message: None,
                reason: None,
            },
            ..account(told, true)
        }
    }

    fn next(account: Option<&Account>, now: Holds<'_>, driven: bool) -> Option<EventKind> {
        next_event(&Facts {
            provisioning: &provisioning(ProvisioningMode::Jit),
            account,
            now,
            driven,
            invited: false,
            dead: None,
        })
    }

    #[test]
    fn compares_what_was_told_with_what_holds_now() {
        let open = account("x", true);
        let gone = account(DEACTIVATED, false);
        let deleted = account(DELETED, false);
        let (new, same) = (Holds::Access("y"), Holds::Access("x"));
        // account, what holds now, what comes of it for a driven user, and for one who comes by sign-in
        let table = [
            (None, new, Some(Created), None),
            (None, Holds::Untold, None, None),
            (None, Holds::Nothing, None, None),
            (None, Holds::Deleted, None, None),
            (Some(&open), same, None, None),
            (Some(&open), new, Some(Updated), Some(Updated)),
            (Some(&open), Holds::Untold, None, None),
            (
                Some(&open),
                Holds::Nothing,
                Some(Deactivated),
                Some(Deactivated),
            ),
            (Some(&open), Holds::Deleted, Some(Deleted), Some(Deleted)),
            (Some(&gone), new, Some(Reactivated), Some(Reactivated)),
            (Some(&gone), Holds::Nothing, None, None),
            (Some(&gone), Holds::Deleted, Some(Deleted), Some(Deleted)),
            (Some(&deleted), Holds::Deleted, None, None),
            (Some(&deleted), Holds::Nothing, None, None),
            (Some(&deleted), new, Some(Created), None),
        ];
        for (account, now, driven, by_sign_in) in table {
            assert_eq!(next(account, now, true), driven, "{account:?} {now:?}");
            assert_eq!(next(account, now, false), by_sign_in, "{account:?} {now:?}");
        }
    }

    #[test]
    fn a_refusal_is_asked_again_after_a_change_and_only_who_was_open_is_taken_away() {
        let (never, once) = (refused(None, "x"), refused(Some("42"), "x"));
        assert_eq!(next(Some(&never), Holds::Access("x"), true), None);
        assert_eq!(next(Some(&never), Holds::Access("y"), true), Some(Created));
        assert_eq!(next(Some(&once), Holds::Access("y"), true), Some(Updated));
        assert_eq!(next(Some(&once), Holds::Access("y"), false), None);
        assert_eq!(next(Some(&never), Holds::Nothing, true), None);
        assert_eq!(next(Some(&once), Holds::Nothing, true), Some(Deactivated));
    }

    #[test]
    fn an_app_for_the_invited_gets_nobody_else() {
        let next = |mode, invited| {
            next_event(&Facts {
                provisioning: &provisioning(mode),
                account: None,
                now: Holds::Access("x"),
                driven: true,
                invited,
                dead: None,
            })
        };
        assert_eq!(next(ProvisioningMode::Invited, false), None);
        assert_eq!(next(ProvisioningMode::Invited, true), Some(Created));
        assert_eq!(next(ProvisioningMode::Off, true), None);
    }

    #[test]
    fn what_is_dead_is_not_made_again_but_followed_by_what_is_new() {
        let dead = Event {
            id: "evt_1".to_owned(),
            user: UserId::new("usr_1"),
            app: AppId::new("wiki"),
            kind: Created,
            body: String::new(),
            told: "x".to_owned(),
            tries: 3,
            dead: true,
            begun_at: jiff::Timestamp::UNIX_EPOCH,
            next_at: jiff::Timestamp::UNIX_EPOCH,
        };
        let next = |dead: &Event, now| {
            next_event(&Facts {
                provisioning: &provisioning(ProvisioningMode::Jit),
                account: None,
                now,
                driven: true,
                invited: false,
                dead: Some(dead),
            })
        };
        assert_eq!(next(&dead, Holds::Access("x")), None);
        assert_eq!(next(&dead, Holds::Access("y")), Some(Created));
        assert_eq!(next(&dead, Holds::Nothing), Some(Deactivated));
        let unsent = Event { tries: 0, ..dead };
        assert_eq!(next(&unsent, Holds::Nothing), None);
    }
}
