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

fn environment(name: &str) -> Option<String> {
    match name {
        "HOOK_SECRET" => Some("whsec_QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWY=".to_owned()),
        "ACME_SECRET" => Some("s3cret-of-acme".to_owned()),
        _ => None,
    }
}

fn good(text: &str) -> Config {
    parse("usher.yaml", text, &environment).unwrap_or_else(|problems| panic!("{problems}"))
}

#[test]
fn a_small_config_has_all_defaults() {
    let config = good(SMALL);
    assert_eq!(config.prefix, "/_usher");
    assert_eq!(config.sites[0].cookie_name, "usher");
    assert_eq!(config.sites[0].hosts, ["localhost"]);
    assert_eq!(config.timeouts.idle, Duration::from_secs(300));
    assert_eq!(config.apps[0].access[0].allow, Allow::SignedIn);
}

#[test]
fn prints() {
    println!("{}", markdown());
    println!("{}", json_schema());
}
