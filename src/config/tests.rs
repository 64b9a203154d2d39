#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

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

const EXAMPLE: &str = include_str!("../../config.example.yaml");

fn environment(name: &str) -> Option<String> {
    match name {
        "USHER_SEAL_KEY" => Some("Kq3ZLmWn0pR7sT9vXyB2dF5hJ8kM1oQ4".to_owned()),
        "HOOK_SECRET" => Some("whsec_QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWY=".to_owned()),
        "ACME_SECRET" => Some("s3cret-of-acme".to_owned()),
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
    assert_eq!(config.idps[0].attributes.username, "preferred_username");
}

#[test]
fn the_example_parses_and_means_what_it_says() {
    let config = good(EXAMPLE);
    assert_eq!(config.sites.len(), 2);
    assert_eq!(config.sites[0].cookie_name, "__Host-usher");
    assert_eq!(config.apps[0].access.len(), 4);
    let provisioning = config.apps[0].provisioning.as_ref().unwrap();
    assert_eq!(provisioning.group_roles.len(), 3);
    let callback = provisioning.callback.as_ref().unwrap();
    assert_eq!(callback.secrets[0].0, b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdef");
    let Preset::Custom(map) = &config.apps[1].headers.preset else {
        panic!()
    };
    assert_eq!(map[0], ("x-user".parse().unwrap(), HeaderSource::User));
    assert_eq!(
        config.apps[1].upstream,
        Upstream::Unix("/run/reports.sock".into())
    );
}

#[test]
fn the_example_needs_no_secrets_offline_and_all_of_them_else() {
    let nothing = |_: &str| None;
    let offline = parse_offline("e.yaml", EXAMPLE, &nothing).unwrap_or_else(|p| panic!("{p}"));
    assert_eq!(offline.unset.len(), 3, "{:#?}", offline.unset);
    assert_eq!(offline.config.seal_keys.len(), 1);
    let online = parse("e.yaml", EXAMPLE, &nothing).unwrap_err();
    assert_eq!(online.problems.len(), 3, "{online}");
    assert!(
        online.problems[0]
            .what
            .contains("USHER_SEAL_KEY is not set")
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
    saml: { metadata_url: https://x.example }
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
usher.yaml:12:5: `identity_providers[1].saml` is not in this version yet: it comes with a later release
  remove `saml`
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
    for top in [
        "admin: {}",
        "local_accounts: { enabled: true }",
        "mail: smtp://x",
        "audit: {}",
    ] {
        refuses(&with(top, ""), "is not in this version yet");
    }
    refuses(
        &with("store: postgres://u:secret@h/db", ""),
        "`store: postgres:…` is not in this version yet",
    );
    refuses(
        &with("", "    headers: { preset: gitea }"),
        "is not in this version yet",
    );
}

#[test]
fn refuses_a_key_written_twice_or_without_a_value() {
    refuses(&with("listen: 127.0.0.1:1", ""), "`listen` is here twice");
    refuses(&with("metrics:", ""), "`metrics` has no value");
}

#[test]
fn refuses_top_level_values_that_cannot_work() {
    for (top, what) in [
        ("prefix: usher", "`prefix` cannot be"),
        ("prefix: /usher/", "`prefix` cannot be"),
        ("prefix: /", "`prefix` cannot be"),
        ("prefix: /a/../b", "`prefix` cannot be"),
        (
            "metrics: { listen: '127.0.0.1:4180' }",
            "is the address of `listen`",
        ),
        (
            "metrics: { listen: '0.0.0.0:4180' }",
            "is the address of `listen`",
        ),
        ("store: mysql://x", "neither `sqlite:`"),
        (
            "sessions: { idle_for: 25h }",
            "longer than `sessions.lifetime`",
        ),
        ("sessions: { idle_for: 8 }", "must be a duration"),
        ("sessions: { idle_for: 8y }", "must be a duration"),
        ("sessions: { lifetime: 99999d }", "longer than ten years"),
        (
            "sessions: { cookie_name: usher }",
            "`sessions.cookie_name` cannot be",
        ),
        ("keys: { seal: [short] }", "shorter than 32 characters"),
        (
            "keys: { seal: [aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa] }",
            "too easy to guess",
        ),
        (
            "keys: { seal: [{ file: /nowhere/at/all }] }",
            "cannot be read",
        ),
        (
            "keys: { seal: [{ envv: X }] }",
            "is not where a secret can come from",
        ),
        ("keys: { seal: [''] }", "is empty"),
        ("trusted_proxies: [10.0.0.1/8]", "has host bits set"),
        ("trusted_proxies: [0.0.0.0/0]", "would trust everybody"),
        ("trusted_proxies: [proxy]", "is not a network"),
        (
            "return_to_origins: ['https://a.example/path']",
            "is not an origin",
        ),
        ("return_to_origins: [a.example]", "is not an origin"),
        (
            "return_to_origins: ['https://*.example']",
            "is not an origin",
        ),
        (
            "return_to_origins: ['https://a.*.example']",
            "is not an origin",
        ),
        ("timeouts: { drain: 0s }", "is zero"),
        ("limits: { header_bytes: 32kb }", "must be a size"),
        ("limits: { header_bytes: 1GiB }", "not between"),
        ("limits: { headers: 0 }", "above zero"),
        ("limits: { headers: lots }", "whole number"),
        ("limits: { body: 0 }", "must be a size"),
    ] {
        refuses(&with(top, ""), what);
    }
}

#[test]
fn refuses_public_urls_that_are_no_safe_origin() {
    for (url, what) in [
        ("http://wiki.example", "is plain HTTP"),
        ("http://localhost.example", "is plain HTTP"),
        ("https://wiki.example/app", "must be an origin"),
        ("https://wiki.example/?a", "must be an origin"),
        ("https://user@wiki.example", "must not hold a user name"),
        ("ftp://wiki.example", "cannot be `ftp:`"),
        ("wiki.example", "is not a URL"),
        ("https://wiki.example.", "ends with a dot"),
    ] {
        refuses(&SMALL.replace("http://localhost:4180", url), what);
    }
    for url in [
        "http://127.0.0.1:1",
        "http://[::1]:1",
        "http://a.localhost",
        "https://wiki.example/",
    ] {
        good(&SMALL.replace("http://localhost:4180", url));
    }
}

#[test]
fn refuses_idps_that_cannot_work() {
    let idp = |line: &str| SMALL.replace("  - id: acme\n", line);
    refuses(&idp("  - id: local\n"), "cannot be `local`");
    refuses(
        &idp("  - id: Acme_1\n"),
        "`identity_providers[0].id` cannot be `Acme_1`",
    );
    refuses(
        &idp("  - id: acme\n    email_domains: [acme]\n"),
        "is not an e-mail domain",
    );
    refuses(
        &idp("  - id: acme\n    same_users_as: acme\n"),
        "is the IdP itself",
    );
    refuses(
        &idp("  - id: acme\n    same_users_as: globex\n"),
        "names an IdP that is not there",
    );
    refuses(
        &SMALL.replace("oidc:", "attributes: {} #"),
        "`identity_providers[0].oidc` is missing",
    );
    let oidc = |from: &str, to: &str| SMALL.replace(from, to);
    let secret = ", client_secret: s3cret-of-acme";
    refuses(&oidc(secret, ""), "client_secret` is missing");
    refuses(
        &oidc(secret, ", client_auth: basic"),
        "`identity_providers[0].oidc.client_auth` cannot be `basic`",
    );
    refuses(
        &oidc("s3cret-of-acme", "x, client_auth: none"),
        "is never used with `client_auth: none`",
    );
    refuses(
        &oidc("s3cret-of-acme", "x, client_auth: private_key_jwt"),
        "is not a private key",
    );
    refuses(
        &oidc("s3cret-of-acme", "x, scopes: ['openid email']"),
        "is not one scope",
    );
    for (issuer, what) in [
        ("http://login.acme.example", "must be https"),
        (
            "https://login.acme.example/.well-known/openid-configuration",
            "address of the metadata",
        ),
        (
            "https://login.microsoftonline.com/common/v2.0",
            "stands for many tenants",
        ),
        ("https://login.acme.example?x=1", "query"),
        ("login.acme.example", "is not a URL"),
    ] {
        refuses(&oidc("https://login.acme.example", issuer), what);
    }
}

const TWO_IDPS: &str = "\
listen: 127.0.0.1:4180
public_url: http://localhost:4180
identity_providers:
  - id: acme
    email_domains: [acme.example]
    oidc: { issuer: 'https://a.example', client_id: usher, client_auth: none }
  - id: globex
    email_domains: [GLOBEX.example, Acme.example]
    oidc: { issuer: 'https://b.example', client_id: usher, client_auth: none }
apps:
  - id: wiki
    upstream: http://127.0.0.1:3000
";

#[test]
fn two_idps_share_a_domain_only_where_they_are_joined() {
    refuses(TWO_IDPS, "`Acme.example` is also a domain of `acme`");
    let joined = TWO_IDPS.replace("- id: globex", "- id: globex\n    same_users_as: acme");
    assert_eq!(
        good(&joined).idps[1].email_domains,
        ["globex.example", "acme.example"]
    );
    let apart = joined.replace(", Acme.example", "");
    refuses(&apart, "share no e-mail domain");
    let ring = joined.replace("- id: acme", "- id: acme\n    same_users_as: globex");
    assert_eq!(
        problems(&ring)
            .iter()
            .filter(|p| p.what.contains("itself has"))
            .count(),
        2
    );
}

#[test]
fn refuses_apps_that_cannot_work() {
    for (app, what) in [
        ("    path: wiki", "`apps[0].path` cannot be"),
        ("    path: /a//b", "`apps[0].path` cannot be"),
        ("    path: /a/../b", "`apps[0].path` cannot be"),
        ("    path: /_usher/x", "usher's own endpoints"),
        ("    hosts: ['*.example']", "is not a host name"),
        ("    hosts: ['localhost:80']", "is not a host name"),
        ("    hosts: [wiki.example]", "lacks `localhost`"),
        ("    access: []", "refuses every request"),
        (
            "    access: [{ paths: [admin], allow: anyone }]",
            "does not begin with `/`",
        ),
        (
            "    access: [{ paths: [], allow: anyone }]",
            "never matches",
        ),
        (
            "    access: [{ methods: [get], allow: anyone }]",
            "is not a method",
        ),
        ("    access: [{ allow: everyone }]", "cannot be `everyone`"),
        ("    access: [{ allow: [admin] }]", "but is a list"),
        ("    access: [{ allow: { roles: [] } }]", "is empty"),
        (
            "    access: [{ allow: signed_in }, { paths: [/x], allow: anyone }]",
            "never decides",
        ),
        (
            "    access: [{ paths: [/**], allow: signed_in }, { allow: anyone }]",
            "never decides",
        ),
        (
            "    access: [{ paths: [/a/**], allow: signed_in }, { paths: [/a/b], allow: anyone }]",
            "never decides",
        ),
        ("    headers: { preset: usherr }", "cannot be `usherr`"),
        ("    headers: { user: account }", "has no value"),
        ("    headers: { map: {} }", "is empty"),
        (
            "    headers: { preset: usher, map: { X-A: id } }",
            "both `preset` and `map`",
        ),
        (
            "    headers: { map: { X-A: id, x_a: email } }",
            "stands here already",
        ),
        (
            "    headers: { map: { Host: id } }",
            "belongs to HTTP itself",
        ),
        (
            "    headers: { map: { 'X A': id } }",
            "is not a header name",
        ),
        ("    provisioning: { roles: [a] }", "gives nobody a role"),
        (
            "    provisioning: { roles: [a, a], default_role: a }",
            "twice",
        ),
        (
            "    provisioning: { roles: [viewer], default_role: viewr }",
            "is not in `provisioning.roles`",
        ),
        (
            "    provisioning: { roles: [a], group_roles: { acme: { g: b } } }",
            "the role `b` is not in",
        ),
        (
            "    provisioning: { roles: [a], group_roles: { acne: { g: a } } }",
            "there is no IdP `acne`",
        ),
    ] {
        refuses(&with("", app), what);
    }
    for (upstream, what) in [
        ("http://127.0.0.1:3000/app", "must not have a path"),
        ("http://localhost:4180", "is usher itself"),
        ("http://127.0.0.1:4180", "is usher itself"),
        ("h2c://127.0.0.1:3000", "must be http, https or unix"),
        ("unix:app.sock", "absolute path"),
        ("127.0.0.1:3000", "is not a URL"),
    ] {
        refuses(&SMALL.replace("http://127.0.0.1:3000", upstream), what);
    }
}

#[test]
fn rules_that_differ_in_methods_or_paths_all_decide() {
    good(&with(
        "",
        "    access:
      - { paths: [/a/**], methods: [GET], allow: anyone }
      - { paths: [/a/b], methods: [POST], allow: signed_in }
      - { paths: [/ab], allow: nobody }
      - { allow: signed_in }",
    ));
}

#[test]
fn refuses_callbacks_that_cannot_work() {
    let callback = |rest: &str, mode: &str| {
        with(
            "",
            &format!("    provisioning: {{ mode: {mode}, callback: {{ {rest} }} }}"),
        )
    };
    let good_one = "url: 'http://127.0.0.1:1/x', secret: { env: HOOK_SECRET }";
    good(&callback(good_one, "jit"));
    good(&callback(
        &good_one.replace(
            "{ env: HOOK_SECRET }",
            "[{ env: HOOK_SECRET }, { env: HOOK_SECRET }]",
        ),
        "invited",
    ));
    refuses(&callback(good_one, "off"), "never called with `mode: off`");
    refuses(
        &callback(&format!("{good_one}, roles: true"), "jit"),
        "has no effect",
    );
    refuses(
        &callback("secret: { env: HOOK_SECRET }", "jit"),
        "callback.url` is missing",
    );
    refuses(
        &callback("url: 'http://127.0.0.1:1/x'", "jit"),
        "callback.secret` is missing",
    );
    for (secret, what) in [
        ("whsec_c2hvcnQ=", "has 5 bytes, not 24 to 64"),
        ("c2hvcnQ=", "is not `whsec_` and base64"),
        ("'whsec_!!'", "is not `whsec_` and base64"),
        ("[]", "is an empty list"),
    ] {
        refuses(
            &callback(&good_one.replace("{ env: HOOK_SECRET }", secret), "jit"),
            what,
        );
    }
    refuses(
        &callback(&good_one.replace("http:", "ftp:"), "jit"),
        "is not an http or https URL",
    );
}

#[test]
fn refuses_apps_that_hide_one_another() {
    let second = "  - id: blog\n    upstream: http://127.0.0.1:3001\n";
    refuses(
        &with("", &format!("    path: /wiki\n{second}    path: /wiki/")),
        "the app `blog` is never reached",
    );
    refuses(
        &with("", &second.replace("blog", "wiki")).replace(
            "upstream: http://127.0.0.1:3001",
            "upstream: http://127.0.0.1:3001\n    path: /b",
        ),
        "the id `wiki` is here twice",
    );
    refuses(
        &with("", &format!("{second}    public_url: http://localhost:9")),
        "the host `localhost` leads to two origins",
    );
    let config = good(&with("", &format!("{second}    path: /blog")));
    assert_eq!(config.sites.len(), 1);
    assert_eq!(config.sites[0].app("/blog/1").unwrap().id.as_str(), "blog");
    assert_eq!(config.sites[0].app("/blogs").unwrap().id.as_str(), "wiki");
}

#[test]
fn refuses_plain_http_behind_a_tls_listener() {
    let text = SMALL.replace(
        "listen: 127.0.0.1:4180",
        "listen: { address: '127.0.0.1:4180', tls: { certificate: a, key: b } }",
    );
    refuses(&text, "`public_url` is plain HTTP");
    let config = good(&text.replace("http://localhost:4180", "https://localhost:4180"));
    assert!(config.listen.tls.is_some());
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
    let IdpProtocol::Oidc(oidc) = &config.idps[0].protocol;
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
    let IdpProtocol::Oidc(oidc) = &config.idps[0].protocol;
    assert_eq!(oidc.client_id, "0123");
}

/// Every key of the schema stands in the example, and the example has no other: it shows all keys.
#[test]
fn the_example_shows_every_key_of_the_schema() {
    let table = markdown();
    let shown: Vec<_> = table
        .lines()
        .skip(2)
        .filter_map(|line| line.split('`').nth(1))
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
