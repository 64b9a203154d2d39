//! Which headers each preset sends, what they carry, and how values are written for its apps.

use http::HeaderName;

use crate::config::{HeaderSource, Preset};

/// `X-Forwarded-*` and the signed JWT.
const USHER: &[(&str, HeaderSource)] = &[
    ("x-forwarded-user", HeaderSource::User),
    ("x-forwarded-email", HeaderSource::Email),
    ("x-forwarded-preferred-username", HeaderSource::Username),
    ("x-forwarded-name", HeaderSource::Name),
    ("x-forwarded-groups", HeaderSource::Groups),
    ("x-forwarded-roles", HeaderSource::Roles),
    ("x-forwarded-account", HeaderSource::Account),
    ("x-usher-jwt", HeaderSource::Jwt),
];

/// What oauth2-proxy passes to an upstream, and what it answers to a forward-auth request: apps read either.
const OAUTH2_PROXY: &[(&str, HeaderSource)] = &[
    ("x-forwarded-user", HeaderSource::User),
    ("x-forwarded-email", HeaderSource::Email),
    ("x-forwarded-preferred-username", HeaderSource::Username),
    ("x-forwarded-groups", HeaderSource::Groups),
    ("x-auth-request-user", HeaderSource::User),
    ("x-auth-request-email", HeaderSource::Email),
    ("x-auth-request-preferred-username", HeaderSource::Username),
    ("x-auth-request-groups", HeaderSource::Groups),
];

/// As Authelia and many apps know them.
const REMOTE_USER: &[(&str, HeaderSource)] = &[
    ("remote-user", HeaderSource::User),
    ("remote-groups", HeaderSource::Groups),
    ("remote-name", HeaderSource::Name),
    ("remote-email", HeaderSource::Email),
];

/// `[auth.proxy]` with `headers = Name:X-WEBAUTH-NAME Email:X-WEBAUTH-EMAIL Role:X-WEBAUTH-ROLE Groups:X-WEBAUTH-GROUPS`.
const GRAFANA: &[(&str, HeaderSource)] = &[
    ("x-webauth-user", HeaderSource::User),
    ("x-webauth-email", HeaderSource::Email),
    ("x-webauth-name", HeaderSource::Name),
    ("x-webauth-role", HeaderSource::Role),
    ("x-webauth-groups", HeaderSource::Groups),
];

/// `[auth.jwt]` with `header_name = X-JWT-Assertion`.
const GRAFANA_JWT: &[(&str, HeaderSource)] = &[("x-jwt-assertion", HeaderSource::Jwt)];

/// Gitea and Forgejo, by their own names (`[security] REVERSE_PROXY_AUTHENTICATION_*`).
const GITEA: &[(&str, HeaderSource)] = &[
    ("x-webauth-user", HeaderSource::User),
    ("x-webauth-email", HeaderSource::Email),
    ("x-webauth-fullname", HeaderSource::Name),
];

/// The reverse-proxy-auth plugin of Jenkins.
const JENKINS: &[(&str, HeaderSource)] = &[
    ("x-forwarded-user", HeaderSource::User),
    ("x-forwarded-mail", HeaderSource::Email),
    ("x-forwarded-displayname", HeaderSource::Name),
    ("x-forwarded-groups", HeaderSource::Groups),
];

/// `sonar.web.sso.*`, by its own names.
const SONARQUBE: &[(&str, HeaderSource)] = &[
    ("x-forwarded-login", HeaderSource::User),
    ("x-forwarded-name", HeaderSource::Name),
    ("x-forwarded-email", HeaderSource::Email),
    ("x-forwarded-groups", HeaderSource::Groups),
];

/// The security plugin's authenticator `proxy`; its backend roles are the roles that one has in this app.
const OPENSEARCH: &[(&str, HeaderSource)] = &[
    ("x-proxy-user", HeaderSource::User),
    ("x-proxy-roles", HeaderSource::Roles),
];

/// `REMOTE_AUTH_*`, by NetBox's own names.
const NETBOX: &[(&str, HeaderSource)] = &[
    ("remote-user", HeaderSource::User),
    ("remote-user-email", HeaderSource::Email),
    ("remote-user-group", HeaderSource::Groups),
];

/// Superset, Airflow and whatever else is built on Flask-AppBuilder, with `AUTH_REMOTE_USER_ENV_VAR = "HTTP_X_REMOTE_USER"`.
const SUPERSET: &[(&str, HeaderSource)] = &[("x-remote-user", HeaderSource::User)];

/// Paperless-ngx, by Django's own name; Miniflux with `AUTH_PROXY_HEADER=Remote-User`.
const REMOTE_USER_ALONE: &[(&str, HeaderSource)] = &[("remote-user", HeaderSource::User)];

/// `WEBUI_AUTH_TRUSTED_*_HEADER`, of which Open WebUI has no names of its own.
const OPEN_WEBUI: &[(&str, HeaderSource)] = &[
    ("x-forwarded-user", HeaderSource::User),
    ("x-forwarded-email", HeaderSource::Email),
    ("x-forwarded-name", HeaderSource::Name),
    ("x-forwarded-groups", HeaderSource::Groups),
    ("x-forwarded-role", HeaderSource::Role),
];

/// Every fixed preset, for the names that a client may never send.
const ALL: &[Preset] = &[
    Preset::Usher,
    Preset::Oauth2Proxy,
    Preset::RemoteUser,
    Preset::Grafana,
    Preset::GrafanaJwt,
    Preset::Gitea,
    Preset::Jenkins,
    Preset::Sonarqube,
    Preset::Opensearch,
    Preset::Netbox,
    Preset::Superset,
    Preset::Paperless,
    Preset::Miniflux,
    Preset::OpenWebui,
];

/// Every name that a fixed preset uses.
pub(super) fn all_names() -> impl Iterator<Item = &'static str> {
    ALL.iter().flat_map(fields).map(|(name, _)| *name)
}

/// Every name by which an app of this preset is told who somebody is.
pub(super) fn names(preset: &Preset) -> Vec<HeaderName> {
    if let Preset::Custom(map) = preset {
        return map.iter().map(|(name, _)| name.clone()).collect();
    }
    let names = fields(preset).iter().map(|(name, _)| *name);
    names.map(HeaderName::from_static).collect()
}

/// The fixed fields of a preset; none for a custom map, which has its own.
pub(super) fn fields(preset: &Preset) -> &'static [(&'static str, HeaderSource)] {
    match preset {
        Preset::Usher => USHER,
        Preset::Oauth2Proxy => OAUTH2_PROXY,
        Preset::RemoteUser => REMOTE_USER,
        Preset::Grafana => GRAFANA,
        Preset::GrafanaJwt => GRAFANA_JWT,
        Preset::Gitea => GITEA,
        Preset::Jenkins => JENKINS,
        Preset::Sonarqube => SONARQUBE,
        Preset::Opensearch => OPENSEARCH,
        Preset::Netbox => NETBOX,
        Preset::Superset => SUPERSET,
        Preset::Paperless | Preset::Miniflux => REMOTE_USER_ALONE,
        Preset::OpenWebui => OPEN_WEBUI,
        Preset::Custom(_) => &[],
    }
}

/// What stands between the values of a list; a value never has one.
pub(super) fn separator(preset: &Preset) -> u8 {
    match preset {
        Preset::Jenkins | Preset::Netbox => b'|',
        Preset::Usher
        | Preset::Oauth2Proxy
        | Preset::RemoteUser
        | Preset::Grafana
        | Preset::GrafanaJwt
        | Preset::Gitea
        | Preset::Sonarqube
        | Preset::Opensearch
        | Preset::Superset
        | Preset::Paperless
        | Preset::Miniflux
        | Preset::OpenWebui
        | Preset::Custom(_) => b',',
    }
}

/// Whether the app keeps the groups of yesterday when the field is missing: it then gets an empty one.
pub(super) fn needs_empty_groups(preset: &Preset) -> bool {
    match preset {
        Preset::Sonarqube => true,
        Preset::Usher
        | Preset::Oauth2Proxy
        | Preset::RemoteUser
        | Preset::Grafana
        | Preset::GrafanaJwt
        | Preset::Gitea
        | Preset::Jenkins
        | Preset::Opensearch
        | Preset::Netbox
        | Preset::Superset
        | Preset::Paperless
        | Preset::Miniflux
        | Preset::OpenWebui
        | Preset::Custom(_) => false,
    }
}

/// How a value is written in visible ASCII. Either way no two values have the same writing, so that nobody can take a name
/// that looks like somebody else's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    /// UTF-8, percent-encoded where it is not visible ASCII: read it with any URL decoder.
    Percent,
    /// Quoted-printable (RFC 2045 6.7), which Grafana decodes with `headers_encoded = true`.
    QuotedPrintable,
}

impl Encoding {
    /// The encoding that the apps of a preset expect.
    pub(super) fn of(preset: &Preset) -> Self {
        match preset {
            Preset::Grafana => Self::QuotedPrintable,
            Preset::Usher
            | Preset::Oauth2Proxy
            | Preset::RemoteUser
            | Preset::GrafanaJwt
            | Preset::Gitea
            | Preset::Jenkins
            | Preset::Sonarqube
            | Preset::Opensearch
            | Preset::Netbox
            | Preset::Superset
            | Preset::Paperless
            | Preset::Miniflux
            | Preset::OpenWebui
            | Preset::Custom(_) => Self::Percent,
        }
    }

    /// A value for a field of its own. Spaces at its ends are encoded, since a parser trims them.
    pub(super) fn write(self, value: &str) -> String {
        self.write_but(value, None)
    }

    /// Values with `separator` (visible ASCII) between them; one inside a value is encoded, and empty values are left out.
    pub(super) fn write_list<'a>(
        self,
        separator: u8,
        values: impl Iterator<Item = &'a str>,
    ) -> String {
        let mut out = String::new();
        for value in values.filter(|value| !value.is_empty()) {
            if !out.is_empty() {
                out.push(char::from(separator));
            }
            out.push_str(&self.write_but(value, Some(separator)));
        }
        out
    }

    fn write_but(self, value: &str, separator: Option<u8>) -> String {
        let mark = match self {
            Self::Percent => b'%',
            Self::QuotedPrintable => b'=',
        };
        let last = value.len().saturating_sub(1);
        let mut out = String::with_capacity(value.len());
        for (at, byte) in value.bytes().enumerate() {
            let plain = match byte {
                b' ' => at != 0 && at != last,
                _ => byte.is_ascii_graphic() && byte != mark && Some(byte) != separator,
            };
            if plain {
                out.push(char::from(byte));
            } else {
                out.push(char::from(mark));
                for digit in [byte >> 4, byte & 15] {
                    out.push(char::from(b"0123456789ABCDEF"[usize::from(digit)]));
                }
            }
        }
        out
    }
}

/// A role as the preset's app spells it: Grafana knows `Viewer`, `Editor`, `Admin` and `None`, and only so.
pub(super) fn role<'a>(preset: &Preset, role: &'a str) -> &'a str {
    let known: &[&str] = match preset {
        Preset::Grafana => &["Viewer", "Editor", "Admin", "None"],
        Preset::Usher
        | Preset::Oauth2Proxy
        | Preset::RemoteUser
        | Preset::GrafanaJwt
        | Preset::Gitea
        | Preset::Jenkins
        | Preset::Sonarqube
        | Preset::Opensearch
        | Preset::Netbox
        | Preset::Superset
        | Preset::Paperless
        | Preset::Miniflux
        | Preset::OpenWebui
        | Preset::Custom(_) => &[],
    };
    known
        .iter()
        .find(|name| name.eq_ignore_ascii_case(role))
        .copied()
        .unwrap_or(role)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn separators_marks_and_everything_invisible_are_encoded() {
        let percent = Encoding::Percent;
        assert_eq!(percent.write("Ann, Example"), "Ann, Example");
        assert_eq!(percent.write("Élise 100%"), "%C3%89lise 100%25");
        assert_eq!(percent.write(" a\0b\u{7f}\r\n "), "%20a%00b%7F%0D%0A%20");
        assert_eq!(
            percent.write_list(b',', ["a,b", "", "50%", "ü"].into_iter()),
            "a%2Cb,50%25,%C3%BC"
        );
        assert_eq!(
            percent.write_list(b'|', ["a,b", "c|admins", " d "].into_iter()),
            "a,b|c%7Cadmins|%20d%20"
        );
        assert_eq!(Encoding::QuotedPrintable.write("Élise=1"), "=C3=89lise=3D1");
        assert_eq!(
            Encoding::QuotedPrintable.write_list(b',', ["a,b", "50%"].into_iter()),
            "a=2Cb,50%"
        );
    }

    #[test]
    fn a_role_is_spelt_as_grafana_knows_it() {
        assert_eq!(role(&Preset::Grafana, "editor"), "Editor");
        assert_eq!(role(&Preset::Grafana, "other"), "other");
        assert_eq!(role(&Preset::RemoteUser, "editor"), "editor");
    }

    proptest! {
        #[test]
        fn a_value_is_visible_ascii_and_can_be_read_back(value in any::<String>()) {
            let written = Encoding::Percent.write(&value);
            prop_assert!(written.bytes().all(|byte| (0x20..=0x7e).contains(&byte)));
            prop_assert_eq!(written.trim(), &written);
            let read = percent_encoding::percent_decode_str(&written).decode_utf8_lossy();
            prop_assert_eq!(read, value);
        }

        #[test]
        fn a_list_can_be_read_back(values in prop::collection::vec("[^\0]{1,8}", 0..5)) {
            let written = Encoding::Percent.write_list(b',', values.iter().map(String::as_str));
            let read: Vec<String> = written
                .split(',')
                .filter(|item| !item.is_empty())
                .map(|item| percent_encoding::percent_decode_str(item).decode_utf8_lossy().into_owned())
                .collect();
            prop_assert_eq!(read, values);
        }
    }
}
