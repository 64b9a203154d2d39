#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod directory;
mod drivers;
mod refusals;
mod saml;

use super::*;

const SMALL: &str = "\
listen: 127.0.0.1:4180
public_url: http://localhost:4180
identity_providers:
  - id: acme
    oidc: { issuer: 'https://login.acme.example', client_id: usher, client_secret: s3cret-of-acme }
apps:
  - id: wiki
    upstream: http://127.0.0.1:3000
";

const EXAMPLE: &str = include_str!("../../../config.example.yaml");

fn environment(name: &str) -> Option<String> {
    match name {
        "USHER_SEAL_KEY" => Some("Kq3ZLmWn0pR7sT9vXyB2dF5hJ8kM1oQ4".to_owned()),
        "GITEA_TOKEN" | "FILES_TOKEN" | "CRM_SCIM_TOKEN" => Some("token-of-an-app".to_owned()),
        "HOOK_SECRET" => Some("whsec_QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWY=".to_owned()),
        "ACME_SECRET" => Some("s3cret-of-acme".to_owned()),
        "USHER_ADMIN_TOKEN" => Some("c2VjcmV0LW9mLXRoZS1hZG1pbi1hcGkK".to_owned()),
        "ACME_SCIM" => Some("c2VjcmV0LW9mLWFjbWUtZm9yLXNjaW0K".to_owned()),
        "USHER_MAIL_URL" => Some("smtps://usher:pass@mail.corp.example".to_owned()),
        _ => None,
    }
}

fn good(text: &str) -> Config {
    parse("usher.yaml", text, &environment).unwrap_or_else(|problems| panic!("{problems}"))
}

fn problems(text: &str) -> Vec<Problem> {
    match parse("usher.yaml", text, &environment) {
        Ok(_) => Vec::new(),
        Err(problems) => problems.problems,
    }
}

/// The small config with `app` added to its app and `top` to its top.
fn with(top: &str, app: &str) -> String {
    format!("{SMALL}{app}\n{top}\n")
}

/// Exactly one problem, and it says so.
#[track_caller]
fn refuses(text: &str, what: &str) {
    let found = problems(text);
    assert_eq!(found.len(), 1, "{what}: {found:#?}\n{text}");
    assert!(found[0].what.contains(what), "{what}: {found:#?}");
}

#[test]
fn a_small_config_has_all_defaults() {
    let config = good(SMALL);
    assert_eq!(config.prefix, "/_usher");
    assert_eq!(config.store, StoreConfig::Memory);
    assert_eq!(config.sessions.idle_for, Duration::from_secs(8 * 3600));
    assert_eq!(config.limits.header_bytes, 32 * 1024);
    assert_eq!(config.limits.body, None);
    assert_eq!(config.timeouts.idle, Duration::from_secs(300));
    assert_eq!(config.sites[0].cookie_name, "usher");
    assert_eq!(config.sites[0].hosts, ["localhost"]);
    assert_eq!(config.sites[0].public_url.authority, "localhost:4180");
    assert_eq!(config.apps[0].access[0].allow, Allow::SignedIn);
    assert_eq!(config.apps[0].headers.user, UserSource::Id);
    assert!(config.apps[0].provisioning.is_none());
    assert_eq!(config.idps[0].label, "acme");
    let IdpProtocol::Oidc(oidc) = &config.idps[0].protocol else {
        panic!()
    };
    assert_eq!(oidc.attributes.username, "preferred_username");
}

#[test]
fn the_example_parses_and_means_what_it_says() {
    let config = good(EXAMPLE);
    assert_eq!(config.sites.len(), 5);
    assert_eq!(config.sites[0].cookie_name, "__Host-usher");
    assert_eq!(config.apps[0].access.len(), 4);
    let provisioning = config.apps[0].provisioning.as_ref().unwrap();
    assert_eq!(provisioning.group_roles.len(), 4);
    let callback = provisioning.callback().unwrap();
    assert_eq!(callback.secrets[0].0, b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdef");
    let Preset::Custom(map) = &config.apps[1].headers.preset else {
        panic!()
    };
    assert_eq!(map[0], ("x-user".parse().unwrap(), HeaderSource::User));
    assert_eq!(
        config.apps[1].upstream,
        Some(Upstream::Unix("/run/reports.sock".into()))
    );
}

#[test]
fn the_example_needs_no_secrets_offline_and_all_of_them_else() {
    let nothing = |_: &str| None;
    let offline = parse_offline("e.yaml", EXAMPLE, &nothing).unwrap_or_else(|p| panic!("{p}"));
    assert_eq!(offline.unset.len(), 9, "{:#?}", offline.unset);
    assert_eq!(offline.config.seal_keys.len(), 1);
    let online = parse("e.yaml", EXAMPLE, &nothing).unwrap_err();
    assert_eq!(online.problems.len(), 9, "{online}");
    assert!(
        online
            .problems
            .iter()
            .any(|problem| problem.what.contains("USHER_SEAL_KEY is not set"))
    );
}

#[test]
fn nine_mistakes_of_all_kinds_are_nine_problems_with_their_places() {
    let text = "\
listen: localhost:4180
public_url: http://wiki.example
sesions: { idle_for: 8h }
timeouts: { connect: 0s }
identity_providers:
  - id: acme
    oidc:
      issuer: https://login.acme.example
      client_id: usher
      client_secret: { env: NOT_SET }
  - id: acme
    saml: { metadata_url: http://x.example }
apps:
  - id: wiki
    upstream: [http://127.0.0.1:3000]
    access:
      - { paths: [/admin/**], allow: { roles: [admin] } }
";
    let error = parse("usher.yaml", text, &environment).unwrap_err();
    let expected = "\
usher.yaml:1:9: `listen` must be an IP address with a port, not `localhost:4180`
  write `127.0.0.1:4180`
usher.yaml:2:13: `public_url` is plain HTTP, so anyone on the way can read the cookies
  write `https://wiki.example`; http is only for localhost
usher.yaml:3:1: `sesions` is not a key that usher knows
  did you mean `sessions`?
usher.yaml:4:22: `timeouts.connect` is zero
  write a longer duration, such as 5s
usher.yaml:10:22: `identity_providers[0].oidc.client_secret`: the environment variable NOT_SET is not set
  set NOT_SET
usher.yaml:11:9: `identity_providers`: the id `acme` is here twice
  give it another id; the first is in line 6
usher.yaml:12:27: `identity_providers[1].saml.metadata_url` must be https (http only on localhost)
  write the whole URL, such as `https://login.acme.example/saml`
usher.yaml:15:15: `apps[0].upstream` must be text, but is a list
  write text here
usher.yaml:17:48: `apps[0].access[0].allow`: the role `admin` is not in `provisioning.roles`, so nobody has it
  add `provisioning: { roles: [...] }` to the app";
    assert_eq!(error.to_string(), expected);
}

#[test]
fn refuses_what_is_no_config_at_all() {
    refuses("", "the file is empty");
    refuses(
        "- a\n- b\n",
        "the file must be a mapping of keys, but is a list",
    );
    refuses("a: 1\n---\nb: 2\n", "second YAML document");
    refuses("listen: [1, 2\npublic_url: x: y\n", "not valid YAML");
    let found = problems("{}");
    let missing: Vec<_> = found.iter().map(|p| p.what.as_str()).collect();
    let keys = ["apps", "identity_providers", "listen", "public_url"];
    assert_eq!(missing.len(), 4, "{missing:?}");
    for key in keys {
        assert!(
            missing.contains(&format!("`{key}` is missing").as_str()),
            "{key}"
        );
    }
}

#[test]
fn refuses_keys_of_later_releases_by_name() {
    refuses(
        &with("store: postgres://u:secret@h/db", ""),
        "`store: postgres:…` is not in this version yet",
    );
    refuses(
        &with("", "    headers: { preset: nextcloud }"),
        "is not in this version yet",
    );
}

#[test]
fn each_preset_has_its_word_and_the_user_that_its_app_can_take() {
    for (word, preset, user) in [
        ("usher", Preset::Usher, UserSource::Id),
        ("oauth2-proxy", Preset::Oauth2Proxy, UserSource::Email),
        ("remote-user", Preset::RemoteUser, UserSource::Email),
        ("grafana", Preset::Grafana, UserSource::Email),
        ("grafana-jwt", Preset::GrafanaJwt, UserSource::Email),
        ("gitea", Preset::Gitea, UserSource::Username),
        ("jenkins", Preset::Jenkins, UserSource::Email),
        ("sonarqube", Preset::Sonarqube, UserSource::Email),
        ("opensearch", Preset::Opensearch, UserSource::Email),
        ("netbox", Preset::Netbox, UserSource::Email),
        ("superset", Preset::Superset, UserSource::Email),
        ("paperless", Preset::Paperless, UserSource::Email),
        ("miniflux", Preset::Miniflux, UserSource::Email),
        ("open-webui", Preset::OpenWebui, UserSource::Email),
    ] {
        let config = good(&with("", &format!("    headers: {{ preset: {word} }}")));
        let headers = &config.apps[0].headers;
        assert_eq!(headers, &HeadersConfig { preset, user }, "{word}");
    }
}

#[test]
fn refuses_a_key_written_twice_or_without_a_value() {
    refuses(&with("listen: 127.0.0.1:1", ""), "`listen` is here twice");
    refuses(&with("metrics:", ""), "`metrics` has no value");
}

#[test]
fn a_secret_file_loses_one_newline_and_no_more() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("secret");
    std::fs::write(&file, "a secret \n\n").unwrap();
    let text = SMALL.replace(
        "s3cret-of-acme",
        &format!("{{ file: '{}' }}", file.display()),
    );
    let config = good(&text);
    let IdpProtocol::Oidc(oidc) = &config.idps[0].protocol else {
        panic!()
    };
    let ClientAuth::Basic(secret) = &oidc.client_auth else {
        panic!()
    };
    assert_eq!(secret.expose(), "a secret \n");
}

#[test]
fn secrets_show_neither_in_debug_nor_in_problems() {
    let text = format!("{SMALL}keys: {{ seal: [Kq3ZLmWn0pR7sT9vXyB2dF5hJ8kM1oQ4] }}\n");
    let shown = format!("{:?}", good(&text));
    assert!(!shown.contains("s3cret-of-acme") && !shown.contains("Kq3ZLm"));
    let example = format!("{:?}", good(EXAMPLE));
    assert!(!example.contains("65, 66, 67") && !example.contains("ABCDEF"));
    let bad = with(
        "keys: { seal: [hunter2-hunter2] }\nstore: postgres://u:hunter2@h/db\n",
        "    provisioning: { callback: { url: 'http://u:hunter2@h/', secret: hunter2 } }",
    );
    let shown = format!("{:?}", problems(&bad));
    assert!(!shown.contains("hunter2"), "{shown}");
}

#[test]
fn a_number_is_fine_where_text_is_meant() {
    let config = good(&SMALL.replace("client_id: usher", "client_id: 0123"));
    let IdpProtocol::Oidc(oidc) = &config.idps[0].protocol else {
        panic!()
    };
    assert_eq!(oidc.client_id, "0123");
}

/// Every key of the schema stands in the example, and the example has no other: it shows all keys.
#[test]
fn the_example_shows_every_key_of_the_schema() {
    let table = markdown();
    let shown: Vec<_> = table
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
        .collect();
    assert!(shown.len() > 60);
    for path in shown {
        let key = path.rsplit(['.', ']']).next().unwrap();
        assert!(EXAMPLE.contains(&format!("{key}:")), "{path}");
    }
}

#[test]
fn the_schema_refuses_unknown_keys_everywhere() {
    fn walk(value: &serde_json::Value, path: &str) {
        if value.get("properties").is_some() {
            assert_eq!(value["additionalProperties"], false, "{path}");
        }
        for (key, nested) in value.as_object().into_iter().flatten() {
            walk(nested, &format!("{path}/{key}"));
        }
    }
    walk(&json_schema(), "");
}
