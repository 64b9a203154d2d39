//! Apps grouped by the origin that they share.

use std::cmp::Reverse;
use std::sync::Arc;

use crate::config::{App, SessionsConfig, Site};

/// One site for each public origin, in the order of the file; its apps with the longest path first.
pub(super) fn sites(apps: &[Arc<App>], sessions: &SessionsConfig) -> Vec<Arc<Site>> {
    let mut sites: Vec<Site> = Vec::new();
    for app in apps {
        let known = sites
            .iter()
            .position(|site| site.public_url == app.public_url);
        match known.and_then(|index| sites.get_mut(index)) {
            Some(site) => {
                site.apps.push(Arc::clone(app));
                for host in &app.hosts {
                    if !site.hosts.contains(host) {
                        site.hosts.push(host.clone());
                    }
                }
            }
            None => sites.push(Site {
                public_url: app.public_url.clone(),
                hosts: app.hosts.clone(),
                apps: vec![Arc::clone(app)],
                cookie_name: cookie_name(app.public_url.https, sessions),
            }),
        }
    }
    for site in &mut sites {
        site.apps
            .sort_by_key(|app| Reverse(app.path.trim_end_matches('/').len()));
    }
    sites.into_iter().map(Arc::new).collect()
}

/// Browsers take `__Host-` only over HTTPS (RFC 6265bis 4.1.3.2).
pub(super) fn cookie_name(https: bool, sessions: &SessionsConfig) -> String {
    if https {
        return sessions.cookie_name.clone();
    }
    sessions
        .cookie_name
        .trim_start_matches("__Host-")
        .to_owned()
}
