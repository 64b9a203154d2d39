//! What one door asks of people on top of the access rules of an app.

use super::standing::Standing;
use crate::config::App;
use crate::identity::{Person, Role};
use crate::refusal::{Reason, Refusal};

/// Roles and groups, one of which somebody must have; where both are given, one of each. It can only narrow what the rules allow.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Only {
    /// Empty: any role will do, or none.
    pub roles: Vec<Role>,
    /// Groups as the IdP names them. Empty: any group will do, or none.
    pub groups: Vec<String>,
}

impl Only {
    /// Whether it asks for anything.
    pub fn is_anybody(&self) -> bool {
        self.roles.is_empty() && self.groups.is_empty()
    }

    /// A role that the app does not have, so that nobody could have it there.
    pub fn unknown_role(&self, app: &App) -> Option<&Role> {
        let known = app.provisioning.as_ref();
        let is_known = |role: &Role| known.is_some_and(|known| known.roles.contains(role));
        self.roles.iter().find(|role| !is_known(role))
    }

    /// Whether somebody who stands so is one of those it asks for.
    ///
    /// # Errors
    /// `Forbidden`.
    pub fn check(&self, standing: &Standing, person: &Person) -> Result<(), Refusal> {
        let roles: &[Role] = match standing {
            Standing::Open { roles, .. } => roles,
            Standing::NeedsAccount | Standing::Refused(_) => &[],
        };
        let groups = &person.attributes.groups;
        if !self.roles.is_empty() && !self.roles.iter().any(|role| roles.contains(role)) {
            return Err(forbidden("none of the roles that the proxy asks for"));
        }
        if !self.groups.is_empty() && !self.groups.iter().any(|group| groups.contains(group)) {
            return Err(forbidden("none of the groups that the proxy asks for"));
        }
        Ok(())
    }
}

fn forbidden(cause: &str) -> Refusal {
    Refusal::new(Reason::Forbidden, cause)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::access::fixtures::{ann, app};

    fn only(roles: &[&str], groups: &[&str]) -> Only {
        Only {
            roles: roles.iter().map(|role| Role::new(*role)).collect(),
            groups: groups.iter().map(|group| (*group).to_owned()).collect(),
        }
    }

    fn editor() -> Standing {
        Standing::Open {
            roles: vec![Role::new("editor")],
            account: None,
        }
    }

    #[test]
    fn one_role_and_one_group_of_those_named_suffice() {
        for (roles, groups, fits) in [
            (&[][..], &[][..], true),
            (&["editor"], &[], true),
            (&["admin", "editor"], &[], true),
            (&["admin"], &[], false),
            (&["Editor"], &[], false),
            (&[], &["staff"], true),
            (&[], &["ops", "staff"], true),
            (&[], &["ops"], false),
            (&["editor"], &["staff"], true),
            (&["admin"], &["staff"], false),
            (&["editor"], &["ops"], false),
        ] {
            let checked = only(roles, groups).check(&editor(), &ann());
            assert_eq!(checked.is_ok(), fits, "{roles:?} {groups:?}");
        }
    }

    #[test]
    fn who_has_no_standing_has_no_role() {
        let refused = Standing::Refused(forbidden("no"));
        for standing in [Standing::NeedsAccount, refused] {
            assert!(only(&["editor"], &[]).check(&standing, &ann()).is_err());
        }
    }

    #[test]
    fn an_app_without_roles_has_none_of_those_named() {
        assert_eq!(
            only(&["editor"], &[]).unknown_role(&app()),
            Some(&Role::new("editor"))
        );
        assert_eq!(only(&[], &["staff"]).unknown_role(&app()), None);
    }
}
