//! `allowed_roles` and `allowed_groups` in the query of an endpoint: what one proxy asks for on top of the access rules.

use super::Dialect;
use super::described::malformed;
use crate::access::only::Only;
use crate::config::App;
use crate::identity::Role;
use crate::refusal::Refusal;

/// Reads the query, comma-separated and repeatable. A query that asks for nothing is none; Envoy's is its client's.
///
/// # Errors
/// `BadRequest` for any other parameter and for an empty name: a restriction that is not understood must not be left out.
pub(super) fn read(dialect: Dialect, query: Option<&str>) -> Result<Option<Only>, Refusal> {
    let query = match dialect {
        Dialect::Nginx | Dialect::Traefik => query.unwrap_or_default(),
        Dialect::Envoy => "",
    };
    let mut only = Only::default();
    for (name, list) in url::form_urlencoded::parse(query.as_bytes()) {
        for word in list.split(',') {
            if word.is_empty() || word.contains(char::REPLACEMENT_CHARACTER) {
                let cause =
                    format!("{name} in the URL of the endpoint has an empty or unreadable name");
                return Err(malformed(cause));
            }
            match name.as_ref() {
                "allowed_roles" => only.roles.push(Role::new(word)),
                "allowed_groups" => only.groups.push(word.to_owned()),
                _ => return Err(unknown(&name)),
            }
        }
    }
    Ok((!only.is_anybody()).then_some(only))
}

fn unknown(name: &str) -> Refusal {
    malformed(format!(
        "{name} in the URL of the endpoint is unknown; there are allowed_roles and allowed_groups"
    ))
}

/// Refuses a role that nobody can have.
///
/// # Errors
/// `BadRequest`.
pub(super) fn check(only: &Only, app: &App) -> Result<(), Refusal> {
    match only.unknown_role(app) {
        None => Ok(()),
        Some(role) => Err(malformed(format!(
            "allowed_roles in the URL of the endpoint: {} has no role {role}",
            app.id
        ))),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn words(query: &str) -> Option<String> {
        let only = read(Dialect::Nginx, Some(query)).ok()?.unwrap_or_default();
        let roles: Vec<_> = only.roles.iter().map(Role::as_str).collect();
        Some(format!("{}|{}", roles.join(" "), only.groups.join(" ")))
    }

    #[test]
    fn lists_are_comma_separated_and_repeatable() {
        for (query, read) in [
            ("", "|"),
            ("allowed_roles=admin", "admin|"),
            ("allowed_roles=a,b&allowed_roles=c", "a b c|"),
            ("allowed_groups=g%201,h&allowed_roles=a", "a|g 1 h"),
            ("allowed%5Froles=%61", "a|"),
        ] {
            assert_eq!(words(query).as_deref(), Some(read), "{query}");
        }
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for query in [
            "allowed_emails=ann@acme.example",
            "allowed_role=admin",
            "Allowed_Roles=admin",
            "allowed_roles[]=admin",
            "allowed_roles",
            "allowed_roles=",
            "allowed_roles=,",
            "allowed_roles=a,",
            "allowed_roles=a,,b",
            "allowed_roles=%ff",
            "allowed_roles=a&allowed_groups=",
            "allowed_roles=a&x=y",
            "x",
        ] {
            assert_eq!(words(query), None, "{query}");
        }
    }

    #[test]
    fn the_query_of_ext_authz_is_the_clients() {
        let query = Some("allowed_roles=&x=y");
        assert_eq!(read(Dialect::Envoy, query).unwrap(), None);
    }
}
