//! What to do about an account: a pure decision.

use super::{Kind, Occasion};
use crate::config::{Provisioning, ProvisioningMode};
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
    Tell(Kind),
}

/// Decides by what is known. `invited`: the user has a grant in the app. `asked_just_now`: the refusal on record is the answer to somebody who had the turn before.
pub(super) fn next_step(
    provisioning: &Provisioning,
    (account, invited): (Option<&Account>, bool),
    occasion: Occasion,
    fingerprint: &str,
    asked_just_now: bool,
) -> Step {
    let Some(account) = account else {
        return match (provisioning.mode, &provisioning.callback) {
            (ProvisioningMode::Off, _) => Step::Done,
            (ProvisioningMode::Invited, _) if !invited => Step::NotInvited,
            (ProvisioningMode::Jit | ProvisioningMode::Invited, None) => Step::OpenAlone,
            (ProvisioningMode::Jit | ProvisioningMode::Invited, Some(_)) => {
                Step::Tell(Kind::Created)
            }
        };
    };
    let ask_again = occasion == Occasion::SignIn && !asked_just_now;
    match (&account.state, &provisioning.callback) {
        (AccountState::Open, None) => Step::Done,
        (AccountState::Open, Some(_)) => match occasion {
            Occasion::SignIn if account.told != fingerprint => Step::Tell(Kind::Updated),
            Occasion::SignIn | Occasion::Visit => Step::Done,
        },
        (AccountState::Refused { .. }, None) if ask_again => Step::OpenAlone,
        // With an id the account was open once: the app knows it.
        (AccountState::Refused { .. }, Some(_)) if ask_again => {
            Step::Tell(if account.id.is_some() {
                Kind::Updated
            } else {
                Kind::Created
            })
        }
        (AccountState::Refused { message, reason }, _) => Step::RefusalStands {
            message: message.clone(),
            reason: reason.clone(),
        },
    }
}
