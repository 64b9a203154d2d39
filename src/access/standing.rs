//! Where a person stands in an app: roles, account, or what is missing.

use crate::config::{App, Provisioning, ProvisioningMode};
use crate::identity::{AccountState, Person, Role};
use crate::refusal::{Reason, Refusal};

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

/// Roles by the groups of the person's own IdP, in the order of `provisioning.roles`; where no group is mapped, the default,
/// or (with `callback.roles: true`) those of the callback's roles that `provisioning.roles` lists, if there are any.
/// `None`: refused. An app without `provisioning` has no roles, and nobody is refused for that.
pub fn roles(app: &App, person: &Person) -> Option<Vec<Role>> {
    let Some(provisioning) = &app.provisioning else {
        return Some(Vec::new());
    };
    let mapped = listed(provisioning, |role| is_mapped(provisioning, person, role));
    if !mapped.is_empty() {
        return Some(mapped);
    }
    let given = given_by_callback(app, provisioning, person);
    if !given.is_empty() {
        return Some(given);
    }
    provisioning.default_role.clone().map(|role| vec![role])
}

/// The app's roles that `counts` accepts, each once, in config order.
fn listed(provisioning: &Provisioning, counts: impl Fn(&Role) -> bool) -> Vec<Role> {
    let mut found: Vec<Role> = Vec::new();
    for role in &provisioning.roles {
        if counts(role) && !found.contains(role) {
            found.push(role.clone());
        }
    }
    found
}

/// A group counts only from the IdP that it stands under in the config.
fn is_mapped(provisioning: &Provisioning, person: &Person, role: &Role) -> bool {
    provisioning
        .group_roles
        .iter()
        .filter(|(idp, _, mapped)| *idp == person.subject.idp && mapped == role)
        .any(|(_, group, _)| person.attributes.groups.contains(group))
}

fn given_by_callback(app: &App, provisioning: &Provisioning, person: &Person) -> Vec<Role> {
    let counts = provisioning.mode != ProvisioningMode::Off
        && provisioning
            .callback
            .as_ref()
            .is_some_and(|callback| callback.roles);
    match person.account(&app.id) {
        Some(account) if counts => listed(provisioning, |role| account.roles.contains(role)),
        Some(_) | None => Vec::new(),
    }
}

/// Works out the standing. Without a role the account does not matter; without `provisioning`, or with `mode: off`, nobody needs one.
pub fn standing(app: &App, person: &Person) -> Standing {
    let Some(roles) = roles(app, person) else {
        let cause = format!(
            "no group that {} sent maps to a role of {}, and there is no default_role",
            person.subject.idp, app.id
        );
        return Standing::Refused(Refusal::new(Reason::NoRole, cause));
    };
    let mode = app
        .provisioning
        .as_ref()
        .map_or(ProvisioningMode::Off, |provisioning| provisioning.mode);
    let account = match mode {
        ProvisioningMode::Off => {
            return Standing::Open {
                roles,
                account: None,
            };
        }
        ProvisioningMode::Jit | ProvisioningMode::Invited => person.account(&app.id),
    };
    let Some(account) = account else {
        return Standing::NeedsAccount;
    };
    match &account.state {
        AccountState::Open => Standing::Open {
            roles,
            account: account.id.clone(),
        },
        AccountState::Refused { message, reason } => {
            let reason = reason.as_deref().unwrap_or("no reason given");
            let cause = format!("{} refused the account: {reason}", app.id);
            Standing::Refused(
                Refusal::new(Reason::AccountRefused, cause).with_message(message.clone()),
            )
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use super::*;
    use crate::access::fixtures::{ann, app};
    use crate::config::{Callback, WebhookKey};
    use crate::identity::{Account, IdpId};

    fn wiki() -> App {
        let mut app = app();
        let (acme, globex) = (IdpId::new("acme"), IdpId::new("globex"));
        app.provisioning = Some(Provisioning {
            mode: ProvisioningMode::Jit,
            roles: ["viewer", "editor", "admin"].map(Role::new).to_vec(),
            default_role: Some(Role::new("viewer")),
            group_roles: vec![
                (acme.clone(), "admins".into(), Role::new("admin")),
                (acme.clone(), "engineering".into(), Role::new("editor")),
                (acme, "staff".into(), Role::new("editor")),
                (globex, "engineering".into(), Role::new("admin")),
            ],
            callback: None,
        });
        app
    }

    fn provisioning(app: &mut App) -> &mut Provisioning {
        app.provisioning.as_mut().unwrap()
    }

    fn names(app: &App, person: &Person) -> Option<Vec<String>> {
        roles(app, person).map(|roles| roles.iter().map(ToString::to_string).collect())
    }

    fn with_groups(groups: &[&str]) -> Person {
        let mut person = ann();
        person.attributes.groups = groups.iter().map(|group| (*group).to_owned()).collect();
        person
    }

    fn with_account(mut person: Person, roles: &[&str], state: AccountState) -> Person {
        person.accounts.push(Account {
            app: crate::identity::AppId::new("wiki"),
            active: true,
            id: Some("42".into()),
            roles: roles.iter().map(|role| Role::new(*role)).collect(),
            state,
            told: String::new(),
        });
        person
    }

    #[test]
    fn maps_all_groups_once_in_config_order() {
        let person = with_groups(&["staff", "engineering", "admins", "other"]);
        assert_eq!(names(&wiki(), &person).unwrap(), ["editor", "admin"]);
    }

    #[test]
    fn a_group_counts_only_from_the_idp_it_stands_under() {
        let mut person = with_groups(&["engineering"]);
        person.subject.idp = IdpId::new("globex");
        assert_eq!(names(&wiki(), &person).unwrap(), ["admin"]);
        person.subject.idp = IdpId::new("other");
        assert_eq!(names(&wiki(), &person).unwrap(), ["viewer"]);
    }

    #[test]
    fn without_a_mapped_group_and_a_default_nobody_gets_in() {
        let mut app = wiki();
        provisioning(&mut app).default_role = None;
        let person = with_account(with_groups(&["Admins", "admins "]), &[], AccountState::Open);
        assert_eq!(names(&app, &person), None);
        let Standing::Refused(refusal) = standing(&app, &person) else {
            panic!("let in")
        };
        assert_eq!(refusal.reason, Reason::NoRole);
    }

    #[test]
    fn roles_of_the_callback_count_only_where_config_says_so_and_never_replace_mapped_ones() {
        let mut app = wiki();
        let plain = with_account(
            with_groups(&[]),
            &["admin", "root", "editor"],
            AccountState::Open,
        );
        let mapped = with_account(with_groups(&["staff"]), &["admin"], AccountState::Open);
        assert_eq!(names(&app, &plain).unwrap(), ["viewer"]);
        provisioning(&mut app).callback = Some(Callback {
            url: "http://127.0.0.1:1/".parse().unwrap(),
            secrets: vec![WebhookKey(vec![0; 24])],
            roles: true,
        });
        assert_eq!(names(&app, &plain).unwrap(), ["editor", "admin"]);
        assert_eq!(names(&app, &mapped).unwrap(), ["editor"]);
        let unlisted = with_account(with_groups(&[]), &["root"], AccountState::Open);
        assert_eq!(names(&app, &unlisted).unwrap(), ["viewer"]);
        provisioning(&mut app).mode = ProvisioningMode::Off;
        assert_eq!(names(&app, &plain).unwrap(), ["viewer"]);
    }

    #[test]
    fn an_app_without_provisioning_is_open_without_roles() {
        let Standing::Open { roles, account } = standing(&app(), &ann()) else {
            panic!("not open")
        };
        assert!(roles.is_empty() && account.is_none());
    }

    #[test]
    fn an_account_is_needed_unless_the_mode_is_off() {
        let mut app = wiki();
        for mode in [ProvisioningMode::Jit, ProvisioningMode::Invited] {
            provisioning(&mut app).mode = mode;
            assert!(matches!(standing(&app, &ann()), Standing::NeedsAccount));
            let person = with_account(ann(), &[], AccountState::Open);
            let Standing::Open { account, .. } = standing(&app, &person) else {
                panic!("not open")
            };
            assert_eq!(account.as_deref(), Some("42"));
        }
        provisioning(&mut app).mode = ProvisioningMode::Off;
        assert!(matches!(standing(&app, &ann()), Standing::Open { .. }));
    }

    #[test]
    fn a_refused_account_stays_out_with_the_app_s_sentence() {
        let state = AccountState::Refused {
            message: Some("Ask Ann for a seat.".into()),
            reason: Some("no_seat".into()),
        };
        let Standing::Refused(refusal) = standing(&wiki(), &with_account(ann(), &[], state)) else {
            panic!("let in")
        };
        assert_eq!(refusal.reason, Reason::AccountRefused);
        assert_eq!(refusal.user_message.as_deref(), Some("Ask Ann for a seat."));
        assert!(refusal.cause.contains("no_seat"));
    }
}
