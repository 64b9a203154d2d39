//! The decision. Only [`decide`] can build an [`Admitted`].

use http::Method;

use super::standing::Standing;
use super::target::Target;
use crate::config::App;
use crate::identity::Role;
use crate::refusal::Refusal;

/// Proof that a request may go to the app: anonymous, or with a standing.
#[derive(Debug)]
pub struct Admitted<'a> {
    visitor: Visitor<'a>,
}

/// As whom a request goes to the app.
#[derive(Clone, Copy, Debug)]
pub enum Visitor<'a> {
    /// Nobody signed in (a public path).
    Anonymous,
    /// Signed in, with these roles and this account.
    Known {
        /// Roles in config order.
        roles: &'a [Role],
        /// The app's own id of the account.
        account: Option<&'a str>,
    },
}

impl<'a> Admitted<'a> {
    /// As whom.
    pub fn visitor(&self) -> Visitor<'a> {
        self.visitor
    }
}

/// What becomes of a request.
#[derive(Debug)]
pub enum Decision<'a> {
    /// It goes to the app.
    Admitted(Admitted<'a>),
    /// Nobody is signed in, and somebody must be.
    NeedsSignIn,
    /// The app must be asked for the account first.
    NeedsAccount,
    /// No.
    Refused(Refusal),
}

/// Decides by the first matching rule for every reading of the target; all readings must allow, and the strictest answer counts.
/// `who` is none when nobody is signed in. On a path for anyone, a signed-in person without standing goes in as anonymous.
pub fn decide<'a>(
    app: &App,
    target: &Target,
    method: &Method,
    who: Option<&'a Standing>,
) -> Decision<'a> {
    let _ = (app, target, method, who);
    todo!()
}
