//! Each thing that cannot work is refused, by exactly one problem.

use super::*;

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
        ("timeouts: { linger: later }", "must be a duration"),
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
        "has neither `oidc` nor `saml`",
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
fn an_app_without_an_upstream_needs_a_proxy_that_may_ask() {
    let without = SMALL.replace("    upstream: http://127.0.0.1:3000\n", "");
    refuses(&without, "`trusted_proxies` is empty");
    let asked = format!("{without}trusted_proxies: [10.0.0.0/8]\n");
    assert_eq!(good(&asked).apps[0].upstream, None);
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

#[cfg(feature = "otel")]
#[test]
fn refuses_traces_that_cannot_be_sent() {
    for (traces, what) in [
        ("{ sample: 0.5 }", "`traces` has no `otlp_endpoint`"),
        (
            "{ otlp_endpoint: collector }",
            "is not an http or https URL",
        ),
        (
            "{ otlp_endpoint: 'grpc://collector:4317' }",
            "is not an http or https URL",
        ),
        (
            "{ otlp_endpoint: 'http://a:b@collector:4318' }",
            "is not an http or https URL",
        ),
        (
            "{ otlp_endpoint: 'http://collector:4318?key=1' }",
            "is not an http or https URL",
        ),
        (
            "{ otlp_endpoint: 'http://collector:4318', sample: 1.5 }",
            "`traces.sample`",
        ),
        (
            "{ otlp_endpoint: 'http://collector:4318', sample: -0.1 }",
            "`traces.sample`",
        ),
        (
            "{ otlp_endpoint: 'http://collector:4318', headers: { 'a b': x } }",
            "is no header field",
        ),
        (
            "{ otlp_endpoint: 'http://collector:4318', headers: { authorization: \"a\\nb\" } }",
            "cannot stand in a header field",
        ),
    ] {
        refuses(&with(&format!("traces: {traces}"), ""), what);
    }
}

#[cfg(not(feature = "otel"))]
#[test]
fn refuses_traces_where_they_were_not_built_in() {
    let traces = "traces: { otlp_endpoint: 'http://collector:4318' }";
    refuses(&with(traces, ""), "built with the feature `otel`");
}
