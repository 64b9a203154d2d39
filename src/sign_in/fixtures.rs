//! A small config for the unit tests of the story.

#![allow(clippy::unwrap_used)]

use crate::config::{self, Config};

pub(super) fn config() -> Config {
    let text = "
listen: 127.0.0.1:0
public_url: https://app.test
store: memory
return_to_origins: ['https://*.apps.test', 'https://port.test:8080']
identity_providers:
  - id: acme
    label: Acme
    email_domains: [acme.test]
    oidc: { issuer: 'https://login.acme.test', client_id: usher, client_secret: s3cret-enough }
  - id: globex
    label: Globex
    oidc: { issuer: 'https://login.globex.test', client_id: usher, client_secret: s3cret-enough }
apps:
  - id: app
    upstream: http://127.0.0.1:1
";
    config::parse("test.yaml", text, &|_| None)
        .map_err(|problems| problems.to_string())
        .unwrap()
}
