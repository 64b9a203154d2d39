//! Where a person stands in an app: roles, account, or what is missing.

use crate::config::App;
use crate::identity::{Person, Role};
use crate::refusal::Refusal;

/// A person's standing in one app: a pure function of config and [`Person`], kept until one of them changes.
#[derive(Clone, Debug)]
pub enum Standing {
    /// May use the app, as far as its rules allow.
    Open {
        /// All mapped roles, in config order.
        roles: Vec<Role>,
        /// The app's own id of the account.
        account: Option<String>,
    },
    /// The app was not asked yet: `provision::ensure`, then decide again.
    NeedsAccount,
    /// May not use the app at all.
    Refused(Refusal),
}

/// Roles by the groups of the person's own IdP, in config order; the default (or the callback's, where they count) without any; `None`: refused.
pub fn roles(app: &App, person: &Person) -> Option<Vec<Role>> {
    let _ = (app, person);
    todo!()
}

/// Works out the standing.
pub fn standing(app: &App, person: &Person) -> Standing {
    let _ = (app, person);
    todo!()
}
