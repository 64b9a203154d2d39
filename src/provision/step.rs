//! What to do about an account at a visit or a sign-in: a pure decision.

use super::Occasion;
use super::event::DELETED;
use crate::config::{Provisioning, ProvisioningMode};
use crate::directory::EventKind;
use crate::identity::{Account, AccountState};

/// What to do about an account.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Nothing: there is one.
    Done,
    /// There is none, and nobody invited the user to the app.
    NotInvited,
    /// The app's refusal stands.
    RefusalStands {
        /// For the page.
        message: Option<String>,
        /// For the log.
        reason: Option<String>,
    },
    /// There is nobody to ask: usher's word is enough.
    OpenAlone,
    /// The app must be told.
    Tell(EventKind),
}

/// Decides by what is known. `invited`: the user has a grant in the app. `asked_just_now`: the refusal on record is the answer to
/// somebody who had the turn before.
pub(super) fn next_step(
    provisioning: &Provisioning,
    (account, invited): (Option<&Account>, bool),
    occasion: Occasion,
    fingerprint: &str,
    asked_just_now: bool,
) -> Step {
    let tell = |kind| match &provisioning.target {
        Some(_) => Step::Tell(kind),
        None => Step::OpenAlone,
    };
    let Some(account) = account else {
        return match provisioning.mode {
            ProvisioningMode::Off => Step::Done,
            ProvisioningMode::Invited if !invited => Step::NotInvited,
            ProvisioningMode::Jit | ProvisioningMode::Invited => tell(EventKind::Created),
        };
    };
    if !account.active {
        return tell(if account.told == DELETED {
            EventKind::Created
        } else {
            EventKind::Reactivated
        });
    }
    match &account.state {
        AccountState::Open => match (occasion, &provisioning.target) {
            (Occasion::SignIn, Some(_)) if account.told != fingerprint => tell(EventKind::Updated),
            (Occasion::SignIn | Occasion::Visit, _) => Step::Done,
        },
        // With an id the account was open once: the app knows it.
        AccountState::Refused { .. } if occasion == Occasion::SignIn && !asked_just_now => {
            tell(if account.id.is_some() {
                EventKind::Updated
            } else {
                EventKind::Created
            })
        }
        AccountState::Refused { message, reason } => Step::RefusalStands {
            message: message.clone(),
            reason: reason.clone(),
        },
    }
}
