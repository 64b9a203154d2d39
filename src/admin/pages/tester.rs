//! Which roles groups give.

use askama::Template;
use http::Response;

use super::answer::{Frame, Tab, page};
use super::fields::Fields;
use super::guard::Admin;
use super::people::Choice;
use super::person::{RoleLine, sources};
use super::{Call, Stop};
use crate::access::standing;
use crate::config::{App, IdpProtocol, ProvisioningMode};
use crate::identity::{Attributes, IdpId, Person, Protocol, Subject, UserId};

#[derive(Template)]
#[template(path = "admin/roles.html")]
struct Tester<'a> {
    frame: Frame<'a>,
    idps: Vec<Choice>,
    groups: String,
    apps: Option<Vec<AppRoles>>,
    unused: Vec<String>,
}

struct AppRoles {
    id: String,
    roles: Vec<RoleLine>,
    words: Option<&'static str>,
}

pub(super) fn show(call: &Call<'_>, admin: &Admin) -> Result<Response<String>, Stop> {
    let asked = Fields::of_query(call.parts);
    let config = &call.usher.config;
    let named = asked.first("idp");
    let typed = asked.first("groups").unwrap_or_default();
    let groups: Vec<String> = typed
        .lines()
        .map(str::trim)
        .filter(|group| !group.is_empty())
        .map(str::to_owned)
        .collect();
    let idp = named.and_then(|named| config.idp(named));
    let apps = idp.map(|idp| {
        let protocol = match idp.protocol {
            IdpProtocol::Oidc(_) => Protocol::Oidc,
            IdpProtocol::Saml(_) => Protocol::Saml,
        };
        let person = somebody(&idp.id, protocol, groups.clone());
        config.apps.iter().map(|app| roles(app, &person)).collect()
    });
    let is_used = |idp: &IdpId, group: &str| {
        let mut maps = config
            .apps
            .iter()
            .filter_map(|app| app.provisioning.as_ref())
            .flat_map(|provisioning| &provisioning.group_roles);
        maps.any(|(at, known, _)| at == idp && known == group)
    };
    let unused = idp.map_or_else(Vec::new, |idp| {
        let unused = groups.iter().filter(|group| !is_used(&idp.id, group));
        unused.cloned().collect()
    });
    Ok(page(&Tester {
        frame: call.frame(admin, Tab::Roles)?,
        idps: config
            .idps
            .iter()
            .map(|idp| Choice {
                value: idp.id.to_string(),
                label: idp.label.clone(),
                here: named == Some(idp.id.as_str()),
            })
            .collect(),
        groups: typed.to_owned(),
        apps,
        unused,
    }))
}

/// Somebody of whom nothing is known but the groups.
fn somebody(idp: &IdpId, protocol: Protocol, groups: Vec<String>) -> Person {
    Person {
        user: UserId::new("usr_nobody"),
        subject: Subject {
            idp: idp.clone(),
            protocol,
            issuer: String::new(),
            format: String::new(),
            value: String::new(),
        },
        attributes: Attributes {
            groups,
            ..Attributes::default()
        },
        accounts: Vec::new(),
        grants: Vec::new(),
    }
}

fn roles(app: &App, person: &Person) -> AppRoles {
    let origins = standing::origins(app, person);
    let words = match (&app.provisioning, &origins) {
        (None, _) => Some("everybody who is signed in; this app has no roles"),
        (Some(_), None) => Some("refused: no group gives a role, and there is no default"),
        (Some(provisioning), Some(_)) if provisioning.mode == ProvisioningMode::Invited => {
            Some("for invited people only")
        }
        (Some(_), Some(_)) => None,
    };
    AppRoles {
        id: app.id.to_string(),
        roles: origins
            .unwrap_or_default()
            .into_iter()
            .map(|origin| RoleLine {
                name: origin.role.to_string(),
                source: sources(&origin.sources),
            })
            .collect(),
        words,
    }
}
