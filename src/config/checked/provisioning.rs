//! `provisioning` of an app.

use super::secrets::{self, Context};
use super::{drivers, idps, urls};
use crate::config::raw::{
    At, List, RawCallback, RawIdp, RawMode, RawProvisioning, Report, Table, Text, suggestion,
};
use crate::config::{Callback, Provisioning, ProvisioningMode, Target};
use crate::identity::{IdpId, Role};

/// The roles that an app lists.
pub(super) fn role_names(raw: Option<&At<RawProvisioning>>) -> Vec<&str> {
    raw.and_then(|raw| raw.roles.as_ref())
        .map(|roles| roles.value.0.iter().map(|role| role.0.as_str()).collect())
        .unwrap_or_default()
}

/// Checks `provisioning`.
pub(super) fn provisioning(
    path: &str,
    raw: &At<RawProvisioning>,
    idps: Option<&At<List<RawIdp>>>,
    context: &mut Context<'_>,
    report: &mut Report,
) -> Option<Provisioning> {
    let known = role_names(Some(raw));
    let roles = roles(path, raw, report);
    if let Some(role) = &raw.default_role {
        known_role(&format!("{path}.default_role"), role, &known, report);
    }
    let group_roles = group_roles(path, raw.group_roles.as_ref(), idps, &known, report);
    if let Some(roles) = &raw.roles
        && !known.is_empty()
        && raw.default_role.is_none()
        && raw
            .group_roles
            .as_ref()
            .is_none_or(|table| table.value.0.is_empty())
    {
        report.add(
            roles.place,
            format!("`{path}` gives nobody a role, so everybody is refused"),
            "add `default_role`, or `group_roles`",
        );
    }
    let mode = raw.mode.as_ref().map(|mode| match mode.value {
        RawMode::Jit => ProvisioningMode::Jit,
        RawMode::Invited => ProvisioningMode::Invited,
        RawMode::Off => ProvisioningMode::Off,
    });
    let target = target(path, raw, (mode, &known), context, report);
    Some(Provisioning {
        mode: mode?,
        roles: roles?,
        default_role: raw
            .default_role
            .as_ref()
            .map(|role| Role::new(role.0.as_str())),
        group_roles,
        target: target?,
    })
}

fn roles(path: &str, raw: &RawProvisioning, report: &mut Report) -> Option<Vec<Role>> {
    let mut roles: Vec<Role> = Vec::new();
    for text in &raw.roles.as_ref()?.value.0 {
        let role = Role::new(text.0.as_str());
        if text.0.chars().any(char::is_control) || text.0.trim() != text.0 {
            report.add(
                text.place,
                format!("`{path}.roles` has a role with spaces at its end or control characters"),
                "write a plain name",
            );
        }
        if roles.contains(&role) {
            report.add(
                text.place,
                format!("`{path}.roles` has `{role}` twice"),
                "keep one of them",
            );
        }
        roles.push(role);
    }
    Some(roles)
}

fn known_role(path: &str, role: &At<Text>, known: &[&str], report: &mut Report) {
    if !known.contains(&role.0.as_str()) {
        report.add(
            role.place,
            format!(
                "`{path}`: the role `{}` is not in `provisioning.roles`",
                role.0
            ),
            if known.is_empty() {
                "list it there: `roles: [...]`".to_owned()
            } else {
                suggestion(&role.0, known)
            },
        );
    }
}

fn group_roles(
    path: &str,
    raw: Option<&At<Table<Table<Text>>>>,
    idps: Option<&At<List<RawIdp>>>,
    known: &[&str],
    report: &mut Report,
) -> Vec<(IdpId, String, Role)> {
    let mut found = Vec::new();
    for (idp, groups) in raw.iter().flat_map(|table| &table.value.0) {
        let is_known = idps.is_none_or(|idps| {
            idps.value
                .0
                .iter()
                .any(|known| known.id.as_ref().is_some_and(|id| id.0 == idp.value))
        });
        if !is_known {
            report.add(
                idp.place,
                format!("`{path}.group_roles`: there is no IdP `{}`", idp.value),
                format!(
                    "write IdP, then group, then role; the IdPs are: {}",
                    idps.map(|idps| idps::all_ids(&idps.value.0))
                        .unwrap_or_default()
                ),
            );
        }
        for (group, role) in &groups.value.0 {
            let path = format!("{path}.group_roles.{}.{}", idp.value, group.value);
            known_role(&path, role, known, report);
            found.push((
                IdpId::new(idp.value.as_str()),
                group.value.clone(),
                Role::new(role.0.as_str()),
            ));
        }
    }
    found
}

/// Checks how the app is told: in one way at most.
fn target(
    path: &str,
    raw: &RawProvisioning,
    (mode, known): (Option<ProvisioningMode>, &[&str]),
    context: &mut Context<'_>,
    report: &mut Report,
) -> Option<Option<Target>> {
    let written = [
        ("callback", raw.callback.as_ref().map(|at| at.place)),
        ("scim", raw.scim.as_ref().map(|at| at.place)),
        ("rest", raw.rest.as_ref().map(|at| at.place)),
    ];
    let mut written = written
        .into_iter()
        .filter_map(|(name, place)| Some((name, place?)));
    let Some((first, place)) = written.next() else {
        return Some(None);
    };
    if mode == Some(ProvisioningMode::Off) {
        report.add(
            place,
            format!("`{path}.{first}` is never called with `mode: off`"),
            "remove it, or write `mode: jit`",
        );
    }
    for (name, place) in written {
        report.add(
            place,
            format!("`{path}` has both `{first}` and `{name}`"),
            "keep the one by which the app is told",
        );
    }
    if let Some(at) = &raw.callback {
        let callback = callback(&format!("{path}.callback"), at, known, context, report);
        return callback.map(|callback| Some(Target::Callback(callback)));
    }
    if let Some(at) = &raw.scim {
        let scim = drivers::scim(&format!("{path}.scim"), at, context, report);
        return scim.map(|scim| Some(Target::Scim(scim)));
    }
    let rest = raw.rest.as_ref()?;
    let rest = drivers::rest(&format!("{path}.rest"), rest, context, report);
    rest.map(|rest| Some(Target::Rest(Box::new(rest))))
}

fn callback(
    path: &str,
    raw: &RawCallback,
    known: &[&str],
    context: &mut Context<'_>,
    report: &mut Report,
) -> Option<Callback> {
    let url = raw
        .url
        .as_ref()
        .and_then(|text| urls::callback(&format!("{path}.url"), text, report));
    if let Some(list) = &raw.secret
        && list.value.0.is_empty()
    {
        report.add(
            list.place,
            format!("`{path}.secret` is an empty list"),
            "write at least one secret, newest first",
        );
    }
    let secrets: Vec<_> = raw
        .secret
        .iter()
        .flat_map(|list| &list.value.0)
        .map(|source| secrets::webhook_key(&format!("{path}.secret"), source, context, report))
        .collect();
    if let Some(at) = &raw.roles
        && at.value
        && known.is_empty()
    {
        report.add(
            at.place,
            format!("`{path}.roles: true` has no effect: `provisioning.roles` lists none"),
            "list the roles that the app may give, or remove it",
        );
    }
    Some(Callback {
        url: url?,
        secrets: secrets.into_iter().collect::<Option<_>>()?,
        roles: raw.roles.as_ref()?.value,
    })
}
