//! `apps`: each by itself, and against its neighbours.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use http::HeaderName;

use super::secrets::Context;
use super::{access, idps, provisioning, urls};
use crate::config::raw::{
    At, List, RawApp, RawHeaderSource, RawHeaders, RawIdp, RawPreset, RawUserSource, Report, Table,
    Text,
};
use crate::config::{
    self, App, HeaderSource, HeadersConfig, Listen, Preset, Problem, PublicUrl, Upstream,
    UserSource,
};
use crate::identity::AppId;

/// What an app is checked against.
pub(super) struct Around<'a> {
    pub(super) public_url: Option<&'a PublicUrl>,
    pub(super) prefix: Option<&'a str>,
    pub(super) listen: Option<&'a Listen>,
    pub(super) idps: Option<&'a At<List<RawIdp>>>,
    /// Whether there is a proxy that may ask by forward-auth.
    pub(super) trusts_proxies: bool,
}

/// All apps, in the order of the file.
pub(super) fn apps(
    raw: Option<&At<List<RawApp>>>,
    around: &Around<'_>,
    context: &mut Context<'_>,
    report: &mut Report,
) -> Option<Vec<Arc<App>>> {
    let raw = raw?;
    if raw.value.0.is_empty() {
        report.add(
            raw.place,
            "`apps` is empty, so there is nothing to protect",
            "add one with `id` and `upstream`",
        );
    }
    let ids = raw.value.0.iter().map(|app| app.id.as_ref());
    idps::unique_ids("apps", ids, report);
    let mut places = Places::default();
    let apps: Vec<_> = raw
        .value
        .0
        .iter()
        .enumerate()
        .map(|(n, app)| {
            let path = format!("apps[{n}]");
            one(&path, app, around, &mut places, context, report)
        })
        .collect();
    apps.into_iter().map(|app| app.map(Arc::new)).collect()
}

/// What earlier apps took already.
#[derive(Default)]
struct Places {
    /// (origin, path without a trailing slash) to the app's id.
    paths: HashMap<(String, String), String>,
    /// Host to origin.
    hosts: HashMap<String, String>,
}

fn one(
    path: &str,
    raw: &At<RawApp>,
    around: &Around<'_>,
    places: &mut Places,
    context: &mut Context<'_>,
    report: &mut Report,
) -> Option<App> {
    let id = raw
        .id
        .as_ref()
        .and_then(|text| idps::id(path, text, report));
    let public_url = match &raw.public_url {
        Some(text) => urls::public_url(&format!("{path}.public_url"), text, report),
        None => around.public_url.cloned(),
    };
    if let (Some(url), Some(text), Some(listen)) = (&public_url, &raw.public_url, around.listen)
        && !url.https
        && listen.tls.is_some()
    {
        report.add(
            text.place,
            format!("`{path}.public_url` is plain HTTP, but `listen.tls` serves HTTPS"),
            format!("write `https://{}`", url.authority),
        );
    }
    let hosts = hosts(path, raw, public_url.as_ref(), places, report);
    let prefix = app_path(path, raw, around.prefix, report);
    if let (Some(url), Some(prefix)) = (&public_url, &prefix) {
        unreachable_app(path, raw, (url, prefix), places, report);
    }
    let upstream = match &raw.upstream {
        Some(text) => upstream(path, text, around.listen, report).map(Some),
        None => {
            never_asked(path, raw, around, report);
            Some(None)
        }
    };
    let access = access::rules(path, raw, report);
    let headers = raw
        .headers
        .as_ref()
        .and_then(|headers| self::headers(path, headers, raw, report));
    let provisioning = match &raw.provisioning {
        None => Some(None),
        Some(at) => provisioning::provisioning(
            &format!("{path}.provisioning"),
            at,
            around.idps,
            context,
            report,
        )
        .map(Some),
    };
    Some(App {
        id: AppId::new(id?),
        hosts: hosts?,
        path: prefix?,
        public_url: public_url?,
        upstream: upstream?,
        access: access?,
        headers: headers?,
        provisioning: provisioning?,
    })
}

/// The app's hosts: its `public_url`'s must be among them, and each leads to one origin only.
fn hosts(
    path: &str,
    raw: &At<RawApp>,
    public_url: Option<&PublicUrl>,
    places: &mut Places,
    report: &mut Report,
) -> Option<Vec<String>> {
    let written: Vec<_> = raw
        .hosts
        .iter()
        .flat_map(|list| &list.value.0)
        .map(|text| {
            (
                text.place,
                urls::host(&format!("{path}.hosts"), text, report),
            )
        })
        .collect();
    let public_url = public_url?;
    let place = match (&raw.hosts, &raw.public_url) {
        (Some(hosts), _) => hosts.place,
        (None, Some(url)) => url.place,
        (None, None) => raw.place,
    };
    let mut found: Vec<_> = written
        .into_iter()
        .map(|(place, host)| host.map(|host| (place, host)))
        .collect::<Option<_>>()?;
    if raw.hosts.is_none() {
        found.push((place, public_url.host.clone()));
    } else if !found.iter().any(|(_, host)| *host == public_url.host) {
        report.add(
            place,
            format!(
                "`{path}.hosts` lacks `{}`, the host of its `public_url`: a session there would not count here",
                public_url.host
            ),
            format!(
                "add `{}`, or give the app a `public_url` of its own",
                public_url.host
            ),
        );
    }
    for (place, host) in &found {
        let origin = places
            .hosts
            .entry(host.clone())
            .or_insert_with(|| public_url.origin.clone());
        if *origin != public_url.origin {
            report.add(
                *place,
                format!(
                    "`{path}`: the host `{host}` leads to two origins, {origin} and {}",
                    public_url.origin
                ),
                "give all apps of that host the same `public_url`; ports are not told apart",
            );
        }
    }
    Some(found.into_iter().map(|(_, host)| host).collect())
}

fn app_path(
    path: &str,
    raw: &At<RawApp>,
    prefix: Option<&str>,
    report: &mut Report,
) -> Option<String> {
    let text = raw.path.as_ref()?;
    let written = text.0.as_str();
    let segment = |segment: &str| {
        !matches!(segment, "" | "." | "..")
            && segment
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"-_.~!$&'()*+,=:@".contains(&b))
    };
    let fits = written
        .strip_prefix('/')
        .map(|rest| rest.strip_suffix('/').unwrap_or(rest))
        .is_some_and(|rest| rest.is_empty() || rest.split('/').all(segment));
    if !fits || written == "//" {
        report.add(
            text.place,
            format!("`{path}.path` cannot be `{written}`"),
            "write a plain path prefix that begins with `/`, such as `/wiki`",
        );
        return None;
    }
    if prefix.is_some_and(|prefix| config::owns(prefix, written)) {
        report.add(
            text.place,
            format!("`{path}.path` is never reached: usher's own endpoints are there"),
            "give the app another path, or change `prefix`",
        );
    }
    Some(written.to_owned())
}

/// Longest path wins, so only an app with the same origin and path as an earlier one is never reached.
fn unreachable_app(
    path: &str,
    raw: &At<RawApp>,
    (url, prefix): (&PublicUrl, &str),
    places: &mut Places,
    report: &mut Report,
) {
    let place = (url.origin.clone(), prefix.trim_end_matches('/').to_owned());
    let id = raw
        .id
        .as_ref()
        .map_or_else(|| path.to_owned(), |id| id.0.clone());
    if let Some(first) = places.paths.get(&place) {
        report.add(
            raw.place,
            format!(
                "the app `{id}` is never reached: `{first}` has the same host and path ({}{prefix})",
                url.origin
            ),
            "give one of them another `path`, or another host with its `public_url`",
        );
    } else {
        places.paths.insert(place, id);
    }
}

/// Without an upstream only a trusted proxy could ask for the app.
fn never_asked(path: &str, raw: &At<RawApp>, around: &Around<'_>, report: &mut Report) {
    let unread = format!("`{path}.upstream`");
    let is_told = |problem: &Problem| problem.what.contains(&unread);
    if around.trusts_proxies || report.problems.iter().any(is_told) {
        return;
    }
    report.add(
        raw.place,
        format!(
            "`{path}` has no `upstream`, so it is behind forward-auth only, but `trusted_proxies` is empty: nobody may ask"
        ),
        "add `upstream`, or the network of the proxy in front to `trusted_proxies`",
    );
}

fn upstream(
    path: &str,
    text: &At<Text>,
    listen: Option<&Listen>,
    report: &mut Report,
) -> Option<Upstream> {
    let upstream = urls::upstream(&format!("{path}.upstream"), text, report)?;
    let own = match (&upstream, listen) {
        (Upstream::Http { host, port } | Upstream::Https { host, port }, Some(listen)) => {
            let address = host.parse::<IpAddr>().ok();
            let same_machine = host == "localhost" || address.is_some_and(|ip| ip.is_loopback());
            *port == listen.address.port()
                && (address == Some(listen.address.ip())
                    || (same_machine
                        && (listen.address.ip().is_unspecified()
                            || listen.address.ip().is_loopback() && host == "localhost")))
        }
        (Upstream::Unix(_), _) | (_, None) => false,
    };
    if own {
        report.add(
            text.place,
            format!("`{path}.upstream` is usher itself, so requests would go round"),
            "write the address of the app",
        );
    }
    Some(upstream)
}

fn headers(
    path: &str,
    raw: &At<RawHeaders>,
    app: &RawApp,
    report: &mut Report,
) -> Option<HeadersConfig> {
    let path = format!("{path}.headers");
    if let (Some(_), Some(map)) = (&raw.preset, &raw.map) {
        report.add(
            map.place,
            format!("`{path}` has both `preset` and `map`"),
            "keep one of them",
        );
    }
    let preset = match (&raw.map, &raw.preset) {
        (Some(map), _) => Preset::Custom(map_of_ones_own(&path, map, report)?),
        (None, None) => Preset::Usher,
        (None, Some(preset)) => match preset.value {
            RawPreset::Usher => Preset::Usher,
            RawPreset::Oauth2Proxy => Preset::Oauth2Proxy,
            RawPreset::RemoteUser => Preset::RemoteUser,
            RawPreset::Grafana => Preset::Grafana,
            RawPreset::GrafanaJwt => Preset::GrafanaJwt,
            RawPreset::Gitea => Preset::Gitea,
            RawPreset::Jenkins => Preset::Jenkins,
            RawPreset::Sonarqube => Preset::Sonarqube,
            RawPreset::Opensearch => Preset::Opensearch,
            RawPreset::Netbox => Preset::Netbox,
            RawPreset::Superset => Preset::Superset,
            RawPreset::Paperless => Preset::Paperless,
            RawPreset::Miniflux => Preset::Miniflux,
            RawPreset::OpenWebui => Preset::OpenWebui,
        },
    };
    let user = match raw.user.as_ref().map(|user| user.value) {
        Some(RawUserSource::Id) => UserSource::Id,
        Some(RawUserSource::Email) => UserSource::Email,
        Some(RawUserSource::Username) => UserSource::Username,
        Some(RawUserSource::Account) => UserSource::Account,
        None if preset == Preset::Usher => UserSource::Id,
        // Gitea takes no `@` in a name.
        None if preset == Preset::Gitea => UserSource::Username,
        None => UserSource::Email,
    };
    let callback = app
        .provisioning
        .as_ref()
        .is_some_and(|p| p.callback.is_some() || p.scim.is_some() || p.rest.is_some());
    if let (UserSource::Account, Some(at), false) = (user, &raw.user, callback) {
        report.add(
            at.place,
            format!("`{path}.user: account` has no value: only an app that is told of its people (`provisioning.callback`, `scim`, `rest`) gives one"),
            "add the callback, or write id, email or username",
        );
    }
    Some(HeadersConfig { preset, user })
}

/// Names that carry the message itself: nobody may put an identity there.
const NOT_OURS: [&str; 16] = [
    "host",
    "connection",
    "keep-alive",
    "transfer-encoding",
    "te",
    "trailer",
    "upgrade",
    "expect",
    "content-length",
    "content-type",
    "content-encoding",
    "cookie",
    "set-cookie",
    "proxy-connection",
    "proxy-authorization",
    "date",
];

fn map_of_ones_own(
    path: &str,
    map: &At<Table<RawHeaderSource>>,
    report: &mut Report,
) -> Option<Vec<(HeaderName, HeaderSource)>> {
    if map.value.0.is_empty() {
        report.add(
            map.place,
            format!("`{path}.map` is empty"),
            "add a line such as `X-User: email`, or use `preset`",
        );
    }
    let mut folded: Vec<String> = Vec::new();
    let mut headers = Vec::new();
    for (key, source) in &map.value.0 {
        let mut refuse = |what: &str, fix: &str| {
            report.add(
                key.place,
                format!("`{path}.map`: `{}` {what}", key.value),
                fix,
            );
        };
        let Ok(name) = key.value.parse::<HeaderName>() else {
            refuse("is not a header name", "write one such as `X-User`");
            continue;
        };
        if NOT_OURS.contains(&name.as_str()) {
            refuse("belongs to HTTP itself", "write a name such as `X-User`");
            continue;
        }
        let fold = name
            .as_str()
            .replace(|c: char| !c.is_ascii_alphanumeric(), "-");
        if folded.contains(&fold) {
            refuse(
                "is a header that stands here already (apps read `-` and `_` alike)",
                "keep one of them",
            );
            continue;
        }
        folded.push(fold);
        headers.push((name, header_source(source.value)));
    }
    Some(headers)
}

fn header_source(raw: RawHeaderSource) -> HeaderSource {
    match raw {
        RawHeaderSource::User => HeaderSource::User,
        RawHeaderSource::Id => HeaderSource::Id,
        RawHeaderSource::Email => HeaderSource::Email,
        RawHeaderSource::Username => HeaderSource::Username,
        RawHeaderSource::Name => HeaderSource::Name,
        RawHeaderSource::Groups => HeaderSource::Groups,
        RawHeaderSource::Roles => HeaderSource::Roles,
        RawHeaderSource::Role => HeaderSource::Role,
        RawHeaderSource::Account => HeaderSource::Account,
        RawHeaderSource::Jwt => HeaderSource::Jwt,
    }
}
