//! Identity headers by preset, and the ES256 JWT; made once, and reused until the token has less than half its life left.

use http::{HeaderName, HeaderValue};
use jiff::Timestamp;

use super::presets::{self, Encoding};
use super::token::{self, Statement};
use crate::access::gate::{Admitted, Visitor};
use crate::config::{App, HeaderSource, Preset, PublicUrl, UserSource};
use crate::keys::SigningKeys;
use crate::refusal::{Reason, Refusal};
use crate::session::Session;

/// Longest single value, in bytes as written. A longer name is left out; a longer user is refused.
pub(super) const MOST_BYTES: usize = 1024;
/// Longest list, in bytes as written: what apps that read header fields of 8 KiB accept, the name included.
const MOST_LIST_BYTES: usize = 8000;
/// Tells the app that the person has groups which do not fit into a header, and how many.
const GROUPS_OVERAGE: HeaderName = HeaderName::from_static("x-usher-groups-overage");

/// Header fields that say who somebody is; built only from an [`Admitted`] with a session.
#[derive(Clone, Debug)]
pub struct ForwardedIdentity {
    fields: Vec<(HeaderName, HeaderValue)>,
    renew_at: Timestamp,
}

impl ForwardedIdentity {
    /// Builds the fields for one session and app; none for an anonymous visitor. `issuer` is the top-level `public_url` of the config.
    /// They hold for that person, these roles and this config; when one of them changes, they must be made again.
    ///
    /// A field whose value is empty is left out, but for an app that would then go on with the groups of last time. Values are visible ASCII (see `presets`): percent-encoded, or quoted-printable for
    /// Grafana. A list of groups over 8000 bytes is never cut: the field is left out and
    /// `X-Usher-Groups-Overage` tells their number; the JWT then has `groups_overage` for `groups` (from 4 KiB on).
    ///
    /// # Errors
    /// `EmailMissing` or `Forbidden` where the app's user header would be empty or over 1 KiB; `Internal` if signing fails.
    pub fn new(
        admitted: &Admitted<'_>,
        session: &Session,
        app: &App,
        issuer: &PublicUrl,
        keys: &SigningKeys,
        now: Timestamp,
    ) -> Result<Self, Refusal> {
        let Visitor::Known { roles, account } = admitted.visitor() else {
            return Ok(Self {
                fields: Vec::new(),
                renew_at: session.expires_at,
            });
        };
        let person = session.person.load();
        let writer = Writer {
            statement: Statement {
                session,
                person: &person,
                roles,
                account,
                app,
                issuer,
            },
            keys,
            now,
            encoding: Encoding::of(&app.headers.preset),
            fields: Vec::with_capacity(8),
        };
        Ok(Self {
            fields: writer.write()?,
            renew_at: half_way(now, token::end(session, now)),
        })
    }

    /// The fields to insert; every other name of the preset was removed by the firewall.
    pub fn fields(&self) -> &[(HeaderName, HeaderValue)] {
        &self.fields
    }

    /// Every name that [`ForwardedIdentity::fields`] can have for this app.
    pub fn names(app: &App) -> Vec<HeaderName> {
        let mut names = presets::names(&app.headers.preset);
        names.push(GROUPS_OVERAGE);
        names
    }

    /// When it must be made again: half the token's life after it was signed, and never after the session's end.
    pub fn renew_at(&self) -> Timestamp {
        self.renew_at
    }
}

fn half_way(from: Timestamp, to: Timestamp) -> Timestamp {
    from + from.duration_until(to) / 2
}

struct Writer<'a> {
    statement: Statement<'a>,
    keys: &'a SigningKeys,
    now: Timestamp,
    encoding: Encoding,
    fields: Vec<(HeaderName, HeaderValue)>,
}

impl Writer<'_> {
    fn write(mut self) -> Result<Vec<(HeaderName, HeaderValue)>, Refusal> {
        let preset = &self.statement.app.headers.preset;
        if let Preset::Custom(map) = preset {
            for (name, source) in map {
                self.field(name.clone(), *source)?;
            }
        } else {
            for (name, source) in presets::fields(preset) {
                self.field(HeaderName::from_static(name), *source)?;
            }
        }
        Ok(self.fields)
    }

    fn field(&mut self, name: HeaderName, source: HeaderSource) -> Result<(), Refusal> {
        let statement = &self.statement;
        let attributes = &statement.person.attributes;
        let preset = &statement.app.headers.preset;
        let value = match source {
            HeaderSource::User => Some(self.user()?),
            HeaderSource::Id => self.single(Some(statement.person.user.as_str())),
            HeaderSource::Email => self.single(attributes.email.as_deref()),
            HeaderSource::Username => self.single(attributes.username.as_deref()),
            HeaderSource::Name => self.single(attributes.name.as_deref()),
            HeaderSource::Account => self.single(statement.account),
            HeaderSource::Groups => return self.groups(name),
            HeaderSource::Roles => {
                let roles = statement.roles.iter().map(|role| role.as_str());
                Some(self.encoding.write_list(presets::separator(preset), roles))
            }
            HeaderSource::Role => {
                let last = statement.roles.last().map(|role| role.as_str());
                self.single(last.map(|role| presets::role(preset, role)))
            }
            HeaderSource::Jwt => Some(token::sign(statement, self.keys, self.now)?),
        };
        if let Some(value) = value {
            self.push(name, &value, source)?;
        }
        Ok(())
    }

    fn push(&mut self, name: HeaderName, value: &str, source: HeaderSource) -> Result<(), Refusal> {
        if value.is_empty() {
            return Ok(());
        }
        let mut value = HeaderValue::from_str(value).map_err(|error| {
            Refusal::new(Reason::Internal, format!("no value for {name}: {error}"))
        })?;
        // Keeps the token out of every debug output.
        value.set_sensitive(source == HeaderSource::Jwt);
        self.fields.push((name, value));
        Ok(())
    }

    fn single(&self, value: Option<&str>) -> Option<String> {
        let written = self.encoding.write(value?);
        (written.len() <= MOST_BYTES).then_some(written)
    }

    fn groups(&mut self, name: HeaderName) -> Result<(), Refusal> {
        let groups = &self.statement.person.attributes.groups;
        let preset = &self.statement.app.headers.preset;
        let written = self.encoding.write_list(
            presets::separator(preset),
            groups.iter().map(String::as_str),
        );
        let fits = written.len() <= MOST_LIST_BYTES;
        if presets::needs_empty_groups(preset) && (written.is_empty() || !fits) {
            self.fields
                .push((name.clone(), HeaderValue::from_static("")));
        }
        if fits {
            return self.push(name, &written, HeaderSource::Groups);
        }
        if !self.fields.iter().any(|(known, _)| known == GROUPS_OVERAGE) {
            let count = HeaderValue::from(groups.len());
            self.fields.push((GROUPS_OVERAGE, count));
        }
        Ok(())
    }

    /// The value of the user header: an app that gets none could take the person for somebody else, or for nobody.
    fn user(&self) -> Result<String, Refusal> {
        let statement = &self.statement;
        let attributes = &statement.person.attributes;
        let (value, reason, what) = match statement.app.headers.user {
            UserSource::Id => (
                Some(statement.person.user.as_str()),
                Reason::Forbidden,
                "user id",
            ),
            UserSource::Email => (
                attributes.email.as_deref(),
                Reason::EmailMissing,
                "e-mail address",
            ),
            UserSource::Username => (
                attributes.username.as_deref(),
                Reason::Forbidden,
                "username",
            ),
            UserSource::Account => (statement.account, Reason::Forbidden, "account id"),
        };
        let missing =
            |cause: &str| Refusal::new(reason, format!("{cause} for headers.user: {what}"));
        let Some(value) = value.filter(|value| !value.is_empty()) else {
            return Err(missing("no value"));
        };
        self.single(Some(value)).ok_or_else(|| {
            Refusal::new(
                Reason::Forbidden,
                format!("too long for headers.user: {what}"),
            )
        })
    }
}

#[cfg(test)]
mod tests;
