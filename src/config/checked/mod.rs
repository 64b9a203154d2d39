//! From the config as written to its meaning. Each function reports all that it finds and gives
//! `None` where something was missing; the whole counts only when nothing was reported.

mod access;
mod apps;
mod directory;
mod drivers;
mod idps;
mod provisioning;
mod rest_presets;
mod saml;
mod secrets;
mod sites;
mod top;
mod traces;
mod urls;

pub(super) use secrets::{Context, Unset};

use super::Config;
use super::raw::{RawConfig, Report};

/// Checks everything.
pub(super) fn config(
    raw: &RawConfig,
    context: &mut Context<'_>,
    report: &mut Report,
) -> Option<Config> {
    let public_url = raw
        .public_url
        .as_ref()
        .and_then(|url| urls::public_url("public_url", url, report));
    let listen = raw
        .listen
        .as_ref()
        .and_then(|listen| top::listen(listen, public_url.as_ref(), report));
    let metrics = top::metrics(raw.metrics.as_ref(), listen.as_ref(), report);
    let prefix = raw
        .prefix
        .as_ref()
        .and_then(|prefix| top::prefix(prefix, report));
    let store = raw
        .store
        .as_ref()
        .and_then(|store| top::store(store, report));
    let sessions = top::sessions(raw.sessions.as_ref(), report);
    let seal_keys = top::seal_keys(raw.keys.as_ref(), context, report);
    let saml_keys = saml::keys(raw.keys.as_ref(), context, report);
    let trusted_proxies = top::trusted_proxies(raw.trusted_proxies.as_ref(), report);
    let return_to_origins = top::return_to_origins(raw.return_to_origins.as_ref(), report);
    let traces = traces::traces(raw.traces.as_ref(), context, report);
    let timeouts = top::timeouts(raw.timeouts.as_ref());
    let limits = top::limits(raw.limits.as_ref(), report);
    let idps = idps::idps(raw.identity_providers.as_ref(), context, report);
    let around = apps::Around {
        public_url: public_url.as_ref(),
        prefix: prefix.as_deref(),
        listen: listen.as_ref(),
        idps: raw.identity_providers.as_ref(),
        // Where they cannot be read, that is the problem to tell of.
        trusts_proxies: trusted_proxies.as_ref().is_none_or(|nets| !nets.is_empty()),
    };
    let apps = apps::apps(raw.apps.as_ref(), &around, context, report);
    let local_accounts = directory::local_accounts(raw.local_accounts.as_ref());
    let mail = directory::mail(raw.mail.as_ref(), public_url.as_ref(), context, report);
    let audit = directory::audit(raw.audit.as_ref(), report);
    let taken = directory::Taken {
        public: listen.as_ref().map(|listen| listen.address),
        metrics: metrics.flatten(),
    };
    let admin = directory::admin(
        raw,
        taken,
        apps.as_deref(),
        sessions.as_ref(),
        context,
        report,
    );
    let sessions = sessions?;
    let apps = apps?;
    let sites = sites::sites(&apps, &sessions);
    Some(Config {
        listen: listen?,
        public_url: public_url?,
        prefix: prefix?,
        metrics: metrics?,
        admin: admin?,
        local_accounts: local_accounts?,
        mail: mail?,
        audit: audit?,
        store: store?,
        sessions,
        seal_keys: seal_keys?,
        saml_keys: saml_keys?,
        trusted_proxies: trusted_proxies?,
        return_to_origins: return_to_origins?,
        traces: traces?,
        timeouts: timeouts?,
        limits: limits?,
        idps: idps?,
        apps,
        sites,
    })
}
