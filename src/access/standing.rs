//! Where a person stands in an app: roles, account, or what is missing.

use crate::config::{App, Provisioning, ProvisioningMode};
use crate::identity::{AccountState, GrantSource, Person, Role};
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

/// Where a role of a person comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A group of the person's own IdP.
    Mapped {
        /// The group.
        group: String,
    },
    /// An admin gave it.
    Admin,
    /// The invitation gave it.
    Invitation,
    /// The app's callback gave it.
    App,
    /// Nothing else gave one: `default_role`.
    Default,
}

/// A role that counts, and all that gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The role.
    pub role: Role,
    /// Where it comes from; never empty.
    pub sources: Vec<Source>,
}

impl Origin {
    /// Whether the IdP decides: then an admin may not edit the roles of that person in that app.
    pub fn is_mapped(&self) -> bool {
        self.sources
            .iter()
            .any(|source| matches!(source, Source::Mapped { .. }))
    }
}

/// Roles by the groups of the person's own IdP, in the order of `provisioning.roles`; where no group is mapped, those that an admin
/// or the invitation gave; where nobody gave one, those of the callback (with `callback.roles: true`); else the default.
/// Only roles that `provisioning.roles` lists count. `None`: refused. An app without `provisioning` has no roles, and nobody is
/// refused for that.
pub fn roles(app: &App, person: &Person) -> Option<Vec<Role>> {
    let origins = origins(app, person)?;
    Some(origins.into_iter().map(|origin| origin.role).collect())
}

/// The same with where each role comes from.
pub fn origins(app: &App, person: &Person) -> Option<Vec<Origin>> {
    let Some(provisioning) = &app.provisioning else {
        return Some(Vec::new());
    };
    let mapped = listed(provisioning, |role| mapped_by(provisioning, person, role));
    if !mapped.is_empty() {
        return Some(mapped);
    }
    let granted = listed(provisioning, |role| granted_by(app, person, role));
    if !granted.is_empty() {
        return Some(granted);
    }
    let given = given_by_callback(app, provisioning, person);
    if !given.is_empty() {
        return Some(given);
    }
    let role = provisioning.default_role.clone()?;
    let sources = vec![Source::Default];
    Some(vec![Origin { role, sources }])
}

/// Whether an admin may edit the roles of a person in an app: it has roles, and no mapped group gives one, since the IdP decides then.
pub fn may_edit(app: &App, person: &Person) -> bool {
    let has_roles = app
        .provisioning
        .as_ref()
        .is_some_and(|provisioning| !provisioning.roles.is_empty());
    let by_groups =
        origins(app, person).is_some_and(|origins| origins.iter().any(Origin::is_mapped));
    has_roles && !by_groups
}

/// The app's roles that something gives, each once, in config order.
fn listed(provisioning: &Provisioning, sources_of: impl Fn(&Role) -> Vec<Source>) -> Vec<Origin> {
    let mut found: Vec<Origin> = Vec::new();
    for role in &provisioning.roles {
        let sources = sources_of(role);
        if !sources.is_empty() && !found.iter().any(|known| known.role == *role) {
            let role = role.clone();
            found.push(Origin { role, sources });
        }
    }
    found
}

/// A group counts only from the IdP that it stands under in the config.
fn mapped_by(provisioning: &Provisioning, person: &Person, role: &Role) -> Vec<Source> {
    provisioning
        .group_roles
        .iter()
        .filter(|(idp, _, mapped)| *idp == person.subject.idp && mapped == role)
        .filter(|(_, group, _)| person.attributes.groups.contains(group))
        .map(|(_, group, _)| Source::Mapped {
            group: group.clone(),
        })
        .collect()
}

fn granted_by(app: &App, person: &Person, role: &Role) -> Vec<Source> {
    let given = person
        .grants
        .iter()
        .filter(|grant| grant.app == app.id && grant.role.as_ref() == Some(role));
    given
        .map(|grant| match grant.source {
            GrantSource::Admin => Source::Admin,
            GrantSource::Invitation => Source::Invitation,
        })
        .collect()
}

fn given_by_callback(app: &App, provisioning: &Provisioning, person: &Person) -> Vec<Origin> {
    let counts = provisioning.mode != ProvisioningMode::Off
        && provisioning
            .callback()
            .is_some_and(|callback| callback.roles);
    match person.account(&app.id) {
        Some(account) if counts => listed(provisioning, |role| {
            let given = account.roles.contains(role);
            given.then_some(Source::App).into_iter().collect()
        }),
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
        // The app was told that the user is gone: it must hear first that this is over.
        AccountState::Open if !account.active => Standing::NeedsAccount,
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
    use crate::config::{Callback, Target, WebhookKey};
    use crate::identity::{Account, AppId, Grant, IdpId};

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
            target: None,
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
        provisioning(&mut app).target = Some(Target::Callback(Callback {
            url: "http://127.0.0.1:1/".parse().unwrap(),
            secrets: vec![WebhookKey(vec![0; 24])],
            roles: true,
        }));
        assert_eq!(names(&app, &plain).unwrap(), ["editor", "admin"]);
        assert_eq!(names(&app, &mapped).unwrap(), ["editor"]);
        let unlisted = with_account(with_groups(&[]), &["root"], AccountState::Open);
        assert_eq!(names(&app, &unlisted).unwrap(), ["viewer"]);
        provisioning(&mut app).mode = ProvisioningMode::Off;
        assert_eq!(names(&app, &plain).unwrap(), ["viewer"]);
    }

    fn granted(mut person: Person, app: &str, role: Option<&str>, source: GrantSource) -> Person {
        person.grants.push(Grant {
            app: AppId::new(app),
            role: role.map(Role::new),
            source,
        });
        person
    }

    #[test]
    fn what_an_admin_or_an_invitation_gave_counts_where_no_group_is_mapped() {
        let app = wiki();
        let given = |groups: &[&str]| {
            let person = granted(
                with_groups(groups),
                "wiki",
                Some("editor"),
                GrantSource::Admin,
            );
            granted(person, "wiki", Some("admin"), GrantSource::Invitation)
        };
        assert_eq!(names(&app, &given(&[])).unwrap(), ["editor", "admin"]);
        assert_eq!(names(&app, &given(&["staff"])).unwrap(), ["editor"]);
        let elsewhere = granted(with_groups(&[]), "crm", Some("admin"), GrantSource::Admin);
        assert_eq!(names(&app, &elsewhere).unwrap(), ["viewer"]);
    }

    #[test]
    fn a_granted_role_counts_only_among_those_of_the_config() {
        let mut app = wiki();
        let root = granted(with_groups(&[]), "wiki", Some("root"), GrantSource::Admin);
        assert_eq!(names(&app, &root).unwrap(), ["viewer"]);
        let invited = granted(with_groups(&[]), "wiki", None, GrantSource::Invitation);
        assert_eq!(names(&app, &invited).unwrap(), ["viewer"]);
        provisioning(&mut app).default_role = None;
        assert_eq!(names(&app, &root), None);
        assert_eq!(names(&app, &invited), None);
    }

    #[test]
    fn granted_roles_come_before_those_of_the_callback() {
        let mut app = wiki();
        provisioning(&mut app).target = Some(Target::Callback(Callback {
            url: "http://127.0.0.1:1/".parse().unwrap(),
            secrets: vec![WebhookKey(vec![0; 24])],
            roles: true,
        }));
        let plain = with_account(with_groups(&[]), &["admin"], AccountState::Open);
        assert_eq!(names(&app, &plain).unwrap(), ["admin"]);
        let person = granted(plain, "wiki", Some("editor"), GrantSource::Admin);
        assert_eq!(names(&app, &person).unwrap(), ["editor"]);
    }

    #[test]
    fn every_role_says_where_it_comes_from_and_groups_leave_nothing_to_edit() {
        let mut app = wiki();
        let group = |name: &str| Source::Mapped { group: name.into() };
        let of = |app: &App, person: &Person| -> Vec<(String, Vec<Source>)> {
            let origins = origins(app, person).unwrap().into_iter();
            origins
                .map(|one| (one.role.to_string(), one.sources))
                .collect()
        };
        let person = with_groups(&["engineering", "staff", "admins"]);
        let person = granted(person, "wiki", Some("viewer"), GrantSource::Admin);
        let expected = [
            (
                "editor".to_owned(),
                vec![group("engineering"), group("staff")],
            ),
            ("admin".to_owned(), vec![group("admins")]),
        ];
        assert_eq!(of(&app, &person), expected);
        assert!(!may_edit(&app, &person));
        let person = granted(
            with_groups(&[]),
            "wiki",
            Some("editor"),
            GrantSource::Invitation,
        );
        let person = granted(person, "wiki", Some("editor"), GrantSource::Admin);
        let both = vec![Source::Invitation, Source::Admin];
        assert_eq!(of(&app, &person), [("editor".to_owned(), both)]);
        assert!(may_edit(&app, &person));
        assert_eq!(
            of(&app, &with_groups(&[])),
            [("viewer".to_owned(), vec![Source::Default])]
        );
        provisioning(&mut app).default_role = None;
        assert!(origins(&app, &with_groups(&[])).is_none() && may_edit(&app, &with_groups(&[])));
        app.provisioning = None;
        assert!(of(&app, &person).is_empty() && !may_edit(&app, &person));
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
