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
    /// A field whose value is empty is left out. Values are visible ASCII (see `presets`): percent-encoded, or quoted-printable for
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
        match &self.statement.app.headers.preset {
            Preset::Custom(map) => {
                for (name, source) in map {
                    self.field(name.clone(), *source)?;
                }
            }
            preset @ (Preset::Usher
            | Preset::Oauth2Proxy
            | Preset::RemoteUser
            | Preset::Grafana) => {
                for (name, source) in presets::fields(preset) {
                    self.field(HeaderName::from_static(name), *source)?;
                }
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
                Some(self.encoding.write_list(roles))
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
        let written = self.encoding.write_list(groups.iter().map(String::as_str));
        if written.len() <= MOST_LIST_BYTES {
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
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
    use jiff::SignedDuration;
    use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Validation};
    use serde_json::Value;

    use super::*;
    use crate::access::fixtures::{ann, app, public_url, session};
    use crate::access::gate::{Decision, decide};
    use crate::access::standing::Standing;
    use crate::access::target::Target;
    use crate::identity::{Person, Role};
    use crate::keys::SigningKey;

    fn keys() -> (SigningKeys, DecodingKey) {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        let pkcs8 = pair.to_pkcs8v1().unwrap();
        let public = pair.public_key().as_ref();
        let decoding = DecodingKey::from_ec_der(public);
        let keys = SigningKeys {
            current: SigningKey {
                kid: "kid-1".into(),
                encoding: EncodingKey::from_ec_der(pkcs8.as_ref()),
            },
            jwks: Value::Null,
            renew_at: now(),
        };
        (keys, decoding)
    }

    fn now() -> Timestamp {
        Timestamp::from_second(1_900_000_000).unwrap()
    }

    fn build(
        app: &App,
        person: Person,
        standing: &Standing,
        keys: &SigningKeys,
    ) -> Result<ForwardedIdentity, Refusal> {
        let session = session(person, now());
        let target = Target::parse("/").unwrap();
        let Decision::Admitted(admitted) = decide(app, &target, &http::Method::GET, Some(standing))
        else {
            panic!("not admitted")
        };
        ForwardedIdentity::new(&admitted, &session, app, &public_url(), keys, now())
    }

    fn open() -> Standing {
        Standing::Open {
            roles: vec![Role::new("viewer"), Role::new("editor")],
            account: Some("42".into()),
        }
    }

    fn fields(app: &App, person: Person) -> Vec<String> {
        build(app, person, &open(), &keys().0)
            .unwrap()
            .fields()
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
            .filter(|line| !line.starts_with("x-usher-jwt"))
            .collect()
    }

    fn with(preset: Preset, user: UserSource) -> App {
        let mut app = app();
        app.headers.preset = preset;
        app.headers.user = user;
        app
    }

    #[test]
    fn the_preset_of_usher_tells_all() {
        assert_eq!(
            fields(&app(), ann()),
            [
                "x-forwarded-user: usr_1",
                "x-forwarded-email: ann@acme.example",
                "x-forwarded-preferred-username: ann",
                "x-forwarded-name: Ann Example",
                "x-forwarded-groups: engineering,staff",
                "x-forwarded-roles: viewer,editor",
                "x-forwarded-account: 42",
            ]
        );
    }

    #[test]
    fn the_other_presets_tell_what_their_apps_read() {
        assert_eq!(
            fields(&with(Preset::Oauth2Proxy, UserSource::Email), ann()),
            [
                "x-forwarded-user: ann@acme.example",
                "x-forwarded-email: ann@acme.example",
                "x-forwarded-preferred-username: ann",
                "x-forwarded-groups: engineering,staff",
                "x-auth-request-user: ann@acme.example",
                "x-auth-request-email: ann@acme.example",
                "x-auth-request-preferred-username: ann",
                "x-auth-request-groups: engineering,staff",
            ]
        );
        assert_eq!(
            fields(&with(Preset::RemoteUser, UserSource::Username), ann()),
            [
                "remote-user: ann",
                "remote-groups: engineering,staff",
                "remote-name: Ann Example",
                "remote-email: ann@acme.example",
            ]
        );
        let mut elise = ann();
        elise.attributes.name = Some("Élise".into());
        elise.attributes.groups.clear();
        assert_eq!(
            fields(&with(Preset::Grafana, UserSource::Email), elise),
            [
                "x-webauth-user: ann@acme.example",
                "x-webauth-email: ann@acme.example",
                "x-webauth-name: =C3=89lise",
                "x-webauth-role: Editor",
            ]
        );
        let map = vec![
            (HeaderName::from_static("x-who"), HeaderSource::User),
            (HeaderName::from_static("x-id"), HeaderSource::Id),
            (HeaderName::from_static("x-role"), HeaderSource::Role),
        ];
        assert_eq!(
            fields(&with(Preset::Custom(map), UserSource::Account), ann()),
            ["x-who: 42", "x-id: usr_1", "x-role: editor"]
        );
    }

    #[test]
    fn no_value_can_add_a_field_or_pass_for_another() {
        let mut person = ann();
        person.attributes.name = Some("A\r\nX-Forwarded-Roles: admin\u{202e}".into());
        person.attributes.username = Some("é%C3".into());
        person.attributes.groups = vec!["a,admins".into(), "50%".into()];
        let fields = fields(&app(), person);
        assert!(
            fields.contains(&"x-forwarded-name: A%0D%0AX-Forwarded-Roles: admin%E2%80%AE".into())
        );
        assert!(fields.contains(&"x-forwarded-preferred-username: %C3%A9%25C3".into()));
        assert!(fields.contains(&"x-forwarded-groups: a%2Cadmins,50%25".into()));
    }

    #[test]
    fn without_a_value_for_the_user_header_nobody_gets_through() {
        let mut nobody = ann();
        nobody.attributes.email = None;
        nobody.attributes.username = Some(String::new());
        let no_account = Standing::Open {
            roles: vec![],
            account: None,
        };
        for (user, reason) in [
            (UserSource::Email, Reason::EmailMissing),
            (UserSource::Username, Reason::Forbidden),
            (UserSource::Account, Reason::Forbidden),
        ] {
            let app = with(Preset::Usher, user);
            let refusal = build(&app, nobody.clone(), &no_account, &keys().0).unwrap_err();
            assert_eq!(refusal.reason, reason);
        }
        nobody.attributes.email = Some("é".repeat(400));
        let app = with(Preset::RemoteUser, UserSource::Email);
        assert!(build(&app, nobody, &no_account, &keys().0).is_err());
    }

    #[test]
    fn too_many_groups_are_marked_and_never_cut() {
        let mut person = ann();
        person.attributes.groups = (0..5000).map(|n| format!("group-{n}")).collect();
        person.attributes.name = Some("n".repeat(5000));
        let (keys, decoding) = keys();
        let identity = build(&app(), person, &open(), &keys).unwrap();
        let names: Vec<_> = identity
            .fields()
            .iter()
            .map(|(name, _)| name.as_str())
            .collect();
        assert!(!names.contains(&"x-forwarded-groups") && !names.contains(&"x-forwarded-name"));
        assert!(
            identity
                .fields()
                .contains(&(GROUPS_OVERAGE, HeaderValue::from_static("5000")))
        );
        assert!(
            identity
                .fields()
                .iter()
                .all(|(_, value)| value.len() < 8190)
        );
        let (_, claims) = claims(&identity, &decoding);
        assert_eq!(claims.get("groups"), None);
        assert_eq!(claims["groups_overage"], true);
        assert_eq!(claims["roles"], serde_json::json!(["viewer", "editor"]));
    }

    fn claims(identity: &ForwardedIdentity, key: &DecodingKey) -> (jsonwebtoken::Header, Value) {
        let (_, token) = identity
            .fields()
            .iter()
            .find(|(name, _)| name == "x-usher-jwt")
            .unwrap();
        assert_eq!(format!("{token:?}"), "Sensitive");
        let mut validation = Validation::new(Algorithm::ES256);
        validation.set_audience(&["wiki"]);
        let token =
            jsonwebtoken::decode::<Value>(token.to_str().unwrap(), key, &validation).unwrap();
        (token.header, token.claims)
    }

    #[test]
    fn the_token_is_bound_to_app_session_and_five_minutes() {
        let (keys, decoding) = keys();
        let identity = build(&app(), ann(), &open(), &keys).unwrap();
        let (header, mut claims) = claims(&identity, &decoding);
        assert_eq!(header.alg, Algorithm::ES256);
        assert_eq!(header.kid.as_deref(), Some("kid-1"));
        assert_eq!(claims["jti"].take().as_str().unwrap().len(), 32);
        assert_eq!(
            claims,
            serde_json::json!({
                "iss": "https://wiki.example", "aud": "wiki", "sub": "usr_1", "email": "ann@acme.example", "email_verified": true,
                "name": "Ann Example", "groups": ["engineering", "staff"], "roles": ["viewer", "editor"], "account": "42",
                "idp": "acme", "acr": "urn:mfa", "auth_time": 1_900_000_000, "sid": "ses_public", "jti": null,
                "iat": 1_900_000_000, "exp": 1_900_000_300,
            })
        );
        assert_eq!(identity.renew_at(), now() + SignedDuration::from_secs(150));
    }

    #[test]
    fn the_token_never_outlives_its_session() {
        let (keys, decoding) = keys();
        let mut session = session(ann(), now());
        session.expires_at = now() + SignedDuration::from_secs(60);
        let (app, standing) = (app(), open());
        let target = Target::parse("/").unwrap();
        let Decision::Admitted(admitted) =
            decide(&app, &target, &http::Method::GET, Some(&standing))
        else {
            panic!("not admitted")
        };
        let identity =
            ForwardedIdentity::new(&admitted, &session, &app, &public_url(), &keys, now()).unwrap();
        assert_eq!(claims(&identity, &decoding).1["exp"], 1_900_000_060);
        assert_eq!(identity.renew_at(), now() + SignedDuration::from_secs(30));
    }

    #[test]
    fn an_anonymous_visitor_is_told_nothing_about() {
        let mut app = app();
        app.access = vec![crate::access::fixtures::rule(
            &[],
            &[],
            crate::config::Allow::Anyone,
        )];
        let identity = build(&app, ann(), &Standing::NeedsAccount, &keys().0).unwrap();
        assert!(identity.fields().is_empty());
    }
}
