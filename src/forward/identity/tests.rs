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

/// Somebody whose values have whatever an app may take for more than one.
fn tricky() -> Person {
    let mut person = ann();
    person.attributes.username = Some("ann".into());
    person.attributes.name = Some("Ann Förster".into());
    person.attributes.groups = vec!["dev".into(), "a,admins".into(), "b|admins".into()];
    person
}

#[test]
fn gitea_is_told_by_its_own_names_and_nothing_of_groups() {
    assert_eq!(
        fields(&with(Preset::Gitea, UserSource::Username), tricky()),
        [
            "x-webauth-user: ann",
            "x-webauth-email: ann@acme.example",
            "x-webauth-fullname: Ann F%C3%B6rster",
        ]
    );
}

#[test]
fn jenkins_reads_groups_between_bars() {
    assert_eq!(
        fields(&with(Preset::Jenkins, UserSource::Username), tricky()),
        [
            "x-forwarded-user: ann",
            "x-forwarded-mail: ann@acme.example",
            "x-forwarded-displayname: Ann F%C3%B6rster",
            "x-forwarded-groups: dev|a,admins|b%7Cadmins",
        ]
    );
}

#[test]
fn sonarqube_reads_groups_between_commas() {
    assert_eq!(
        fields(&with(Preset::Sonarqube, UserSource::Email), tricky()),
        [
            "x-forwarded-login: ann@acme.example",
            "x-forwarded-name: Ann F%C3%B6rster",
            "x-forwarded-email: ann@acme.example",
            "x-forwarded-groups: dev,a%2Cadmins,b|admins",
        ]
    );
}

#[test]
fn sonarqube_learns_that_there_are_no_groups_any_more() {
    let app = with(Preset::Sonarqube, UserSource::Email);
    let mut person = ann();
    person.attributes.groups.clear();
    assert!(fields(&app, person.clone()).contains(&"x-forwarded-groups: ".to_owned()));
    person.attributes.groups = (0..5000).map(|n| format!("group-{n}")).collect();
    let fields = fields(&app, person);
    assert!(fields.contains(&"x-forwarded-groups: ".to_owned()));
    assert!(fields.contains(&"x-usher-groups-overage: 5000".to_owned()));
}

#[test]
fn opensearch_gets_the_roles_of_the_app_as_backend_roles() {
    assert_eq!(
        fields(&with(Preset::Opensearch, UserSource::Email), tricky()),
        [
            "x-proxy-user: ann@acme.example",
            "x-proxy-roles: viewer,editor",
        ]
    );
}

#[test]
fn netbox_reads_groups_between_bars() {
    assert_eq!(
        fields(&with(Preset::Netbox, UserSource::Username), tricky()),
        [
            "remote-user: ann",
            "remote-user-email: ann@acme.example",
            "remote-user-group: dev|a,admins|b%7Cadmins",
        ]
    );
}

#[test]
fn apps_that_know_a_user_and_no_more_get_no_more() {
    for (preset, line) in [
        (Preset::Superset, "x-remote-user: ann"),
        (Preset::Paperless, "remote-user: ann"),
        (Preset::Miniflux, "remote-user: ann"),
    ] {
        assert_eq!(
            fields(&with(preset, UserSource::Username), tricky()),
            [line]
        );
    }
}

#[test]
fn open_webui_gets_one_role() {
    assert_eq!(
        fields(&with(Preset::OpenWebui, UserSource::Email), tricky()),
        [
            "x-forwarded-user: ann@acme.example",
            "x-forwarded-email: ann@acme.example",
            "x-forwarded-name: Ann F%C3%B6rster",
            "x-forwarded-groups: dev,a%2Cadmins,b|admins",
            "x-forwarded-role: editor",
        ]
    );
}

#[test]
fn grafana_gets_the_token_alone_where_it_reads_tokens() {
    let app = with(Preset::GrafanaJwt, UserSource::Email);
    let (keys, decoding) = keys();
    let identity = build(&app, ann(), &open(), &keys).unwrap();
    let [(name, value)] = identity.fields() else {
        panic!("{:?}", identity.fields());
    };
    assert_eq!(name, "x-jwt-assertion");
    assert!(value.is_sensitive());
    let mut validation = Validation::new(Algorithm::ES256);
    validation.set_audience(&["wiki"]);
    validation.validate_exp = false;
    let claims = jsonwebtoken::decode::<Value>(value.to_str().unwrap(), &decoding, &validation)
        .unwrap()
        .claims;
    assert_eq!(claims["sub"], "usr_1");
    assert_eq!(claims["email"], "ann@acme.example");
    assert_eq!(claims["name"], "Ann Example");
    assert_eq!(claims["roles"], serde_json::json!(["viewer", "editor"]));
}

#[test]
fn no_value_can_add_a_field_or_pass_for_another() {
    let mut person = ann();
    person.attributes.name = Some("A\r\nX-Forwarded-Roles: admin\u{202e}".into());
    person.attributes.username = Some("é%C3".into());
    person.attributes.groups = vec!["a,admins".into(), "50%".into()];
    let fields = fields(&app(), person);
    assert!(fields.contains(&"x-forwarded-name: A%0D%0AX-Forwarded-Roles: admin%E2%80%AE".into()));
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
    let token = jsonwebtoken::decode::<Value>(token.to_str().unwrap(), key, &validation).unwrap();
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
    let Decision::Admitted(admitted) = decide(&app, &target, &http::Method::GET, Some(&standing))
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
