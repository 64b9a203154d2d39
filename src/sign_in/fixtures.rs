//! A small config for the unit tests of the story, and the story itself over an empty store.

#![allow(clippy::unwrap_used)]

use std::collections::HashMap;
use std::sync::Arc;

use super::{Parts, SignIn};
use crate::claims::Claims;
use crate::config::{self, Config, StoreConfig};
use crate::directory::Directory;
use crate::keys;
use crate::metrics::Metrics;
use crate::outbound::Outbound;
use crate::provision::Provisioner;
use crate::session::Sessions;
use crate::store::Store;

/// The story without identity providers; whoever is invited may set a password.
pub(super) async fn story() -> SignIn {
    let mut config = config();
    config.local_accounts.enabled = true;
    let store = Store::open(&StoreConfig::Memory).await.unwrap();
    let seal = Arc::new(keys::seal_ring(&store, &[]).await.unwrap());
    let directory = Directory::over(store.clone());
    let metrics = Arc::new(Metrics::default());
    let parts = Parts {
        sessions: Arc::new(Sessions::new(
            store.clone(),
            directory.clone(),
            Arc::clone(&seal),
            config.sessions.clone(),
        )),
        provisioner: Arc::new(Provisioner::new(
            directory.clone(),
            Outbound::new(&[]).unwrap(),
            Arc::clone(&metrics),
        )),
        claims: Claims::new(store),
        directory,
        seal,
        metrics,
        test_runs: Arc::default(),
    };
    SignIn::new(Arc::new(config), HashMap::new(), parts)
}

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
