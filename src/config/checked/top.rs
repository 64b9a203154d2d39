//! The top-level keys.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use ipnet::IpNet;

use super::secrets::{self, Context};
use crate::config::raw::{
    At, LATER, List, RawKeys, RawLimits, RawListen, RawMetrics, RawSessions, RawTimeouts, Report,
    Text,
};
use crate::config::{
    Limits, Listen, OriginPattern, PublicUrl, SessionsConfig, StoreConfig, Timeouts, TlsFiles,
};
use crate::secret::Secret;

/// `listen`.
pub(super) fn listen(
    raw: &At<RawListen>,
    public_url: Option<&PublicUrl>,
    report: &mut Report,
) -> Option<Listen> {
    let (address, tls) = match &raw.value {
        RawListen::Address(text) => {
            let text = At {
                place: raw.place,
                value: text.clone(),
            };
            (address("listen", &text, report)?, None)
        }
        RawListen::Full(full) => {
            let tls = match &full.tls {
                None => None,
                Some(tls) => Some(TlsFiles {
                    certificate: PathBuf::from(&tls.certificate.as_ref()?.0),
                    key: PathBuf::from(&tls.key.as_ref()?.0),
                }),
            };
            if let (Some(at), Some(url)) = (&full.tls, public_url)
                && !url.https
            {
                report.add(
                    at.place,
                    "`listen.tls` serves HTTPS, but `public_url` is plain HTTP",
                    format!(
                        "write `public_url: https://{}`, or remove `tls`",
                        url.authority
                    ),
                );
            }
            (
                address("listen.address", full.address.as_ref()?, report)?,
                tls,
            )
        }
    };
    Some(Listen { address, tls })
}

/// An IP address with a port.
pub(super) fn address(path: &str, text: &At<Text>, report: &mut Report) -> Option<SocketAddr> {
    if let Ok(address) = text.0.parse() {
        return Some(address);
    }
    let fix = match text.0.rsplit_once(':') {
        Some(("", port)) => format!("write `0.0.0.0:{port}`"),
        Some(("localhost", port)) => format!("write `127.0.0.1:{port}`"),
        Some(_) | None => "write `0.0.0.0:4180`, `127.0.0.1:4180` or `[::]:4180`".to_owned(),
    };
    report.add(
        text.place,
        format!(
            "`{path}` must be an IP address with a port, not `{}`",
            text.0
        ),
        fix,
    );
    None
}

/// `metrics`; the outer `None` after a problem.
pub(super) fn metrics(
    raw: Option<&At<RawMetrics>>,
    listen: Option<&Listen>,
    report: &mut Report,
) -> Option<Option<SocketAddr>> {
    let Some(raw) = raw else { return Some(None) };
    let text = raw.listen.as_ref()?;
    let own = address("metrics.listen", text, report)?;
    if listen.is_some_and(|listen| meets(own, listen.address)) {
        report.add(
            text.place,
            "`metrics.listen` is the address of `listen`",
            "give it a port of its own, such as `127.0.0.1:4182`",
        );
    }
    Some(Some(own))
}

/// Whether two listeners would want the same address.
pub(super) fn meets(one: SocketAddr, other: SocketAddr) -> bool {
    let everywhere = one.ip().is_unspecified() || other.ip().is_unspecified();
    one.port() != 0 && one.port() == other.port() && (everywhere || one.ip() == other.ip())
}

/// `prefix`, without a trailing slash.
pub(super) fn prefix(text: &At<Text>, report: &mut Report) -> Option<String> {
    let written = text.0.as_str();
    let fits = written.strip_prefix('/').is_some_and(|rest| {
        rest.split('/').all(|segment| {
            !matches!(segment, "" | "." | "..")
                && segment
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"-_.~".contains(&b))
        })
    });
    if fits {
        return Some(written.to_owned());
    }
    report.add(
        text.place,
        format!("`prefix` cannot be `{written}`"),
        "begin it with `/`, end it without one, and use letters, digits, `-`, `_`, `.`, `~`: `/_usher`",
    );
    None
}

/// `store`.
pub(super) fn store(text: &At<Text>, report: &mut Report) -> Option<StoreConfig> {
    let written = text.0.as_str();
    if written == "memory" {
        return Some(StoreConfig::Memory);
    }
    if let Some(path) = written.strip_prefix("sqlite:") {
        let path = path.strip_prefix("//").unwrap_or(path);
        return Some(match path {
            "" | ":memory:" => StoreConfig::Memory,
            path => StoreConfig::Sqlite(path.into()),
        });
    }
    let scheme = written.split(':').next().unwrap_or_default();
    let later = matches!(
        scheme,
        "postgres" | "postgresql" | "redis" | "rediss" | "valkey" | "valkeys"
    );
    // The value may hold a password: only its scheme is shown.
    let what = if later {
        format!("`store: {scheme}:…` is not in this version yet: {LATER}")
    } else {
        "`store` is neither `sqlite:` with a path nor `memory`".to_owned()
    };
    report.add(text.place, what, "write `sqlite:/var/lib/usher/usher.db`");
    None
}

/// `sessions`.
pub(super) fn sessions(
    raw: Option<&At<RawSessions>>,
    report: &mut Report,
) -> Option<SessionsConfig> {
    let raw = raw?;
    if let (Some(idle), Some(life)) = (&raw.idle_for, &raw.lifetime)
        && idle.0 > life.0
    {
        report.add(
            idle.place,
            "`sessions.idle_for` is longer than `sessions.lifetime`, so it never counts",
            "make it shorter, or the lifetime longer (8h and 24h without the keys)",
        );
    }
    let name = raw.cookie_name.as_ref()?;
    let token = |b: u8| b.is_ascii_alphanumeric() || b"-_".contains(&b);
    let fits = name
        .0
        .strip_prefix("__Host-")
        .is_some_and(|rest| !rest.is_empty() && rest.len() <= 64 && rest.bytes().all(token));
    if !fits {
        report.add(
            name.place,
            format!("`sessions.cookie_name` cannot be `{}`", name.0),
            "begin it with `__Host-`, so that no other host can set it, and go on with letters, digits, `-`, `_`: `__Host-usher`",
        );
    }
    Some(SessionsConfig {
        idle_for: raw.idle_for.as_ref()?.0,
        lifetime: raw.lifetime.as_ref()?.0,
        cookie_name: name.0.clone(),
    })
}

/// `keys.seal`.
pub(super) fn seal_keys(
    raw: Option<&At<RawKeys>>,
    context: &mut Context<'_>,
    report: &mut Report,
) -> Option<Vec<Secret>> {
    let keys = raw?.seal.as_ref()?.value.0.iter().enumerate();
    let keys: Vec<_> = keys
        .map(|(n, key)| secrets::seal_key(&format!("keys.seal[{n}]"), key, context, report))
        .collect();
    keys.into_iter().collect()
}

/// `trusted_proxies`.
pub(super) fn trusted_proxies(
    raw: Option<&At<List<Text>>>,
    report: &mut Report,
) -> Option<Vec<IpNet>> {
    let nets: Vec<_> = raw?
        .value
        .0
        .iter()
        .enumerate()
        .map(|(n, text)| network(&format!("trusted_proxies[{n}]"), text, report))
        .collect();
    nets.into_iter().collect()
}

fn network(path: &str, text: &At<Text>, report: &mut Report) -> Option<IpNet> {
    if let Ok(address) = text.0.parse::<IpAddr>() {
        return Some(IpNet::from(address));
    }
    let (what, fix) = match text.0.parse::<IpNet>() {
        Ok(net) if net.prefix_len() == 0 => (
            "would trust everybody's `X-Forwarded-*`".to_owned(),
            "name the networks of your proxies".to_owned(),
        ),
        Ok(net) if net.trunc() != net => (
            format!("has host bits set: `{net}`"),
            format!(
                "write `{}`, or `{}` for the one address",
                net.trunc(),
                net.addr()
            ),
        ),
        Ok(net) => return Some(net),
        Err(_) => (
            format!("is not a network: `{}`", text.0),
            "write a CIDR such as `10.0.0.0/8`, or an IP address".to_owned(),
        ),
    };
    report.add(text.place, format!("`{path}` {what}"), fix);
    None
}

/// `return_to_origins`.
pub(super) fn return_to_origins(
    raw: Option<&At<List<Text>>>,
    report: &mut Report,
) -> Option<Vec<OriginPattern>> {
    let origins: Vec<_> = raw?
        .value
        .0
        .iter()
        .map(|text| {
            let origin = OriginPattern::parse(&text.0);
            if origin.is_none() {
                report.add(
                    text.place,
                    format!("`return_to_origins`: `{}` is not an origin", text.0),
                    "write scheme and host, such as `https://intranet.example` or `https://*.example.com`, and no path",
                );
            }
            origin
        })
        .collect();
    origins.into_iter().collect()
}

/// `timeouts`.
pub(super) fn timeouts(raw: Option<&At<RawTimeouts>>) -> Option<Timeouts> {
    let raw = raw?;
    Some(Timeouts {
        connect: raw.connect.as_ref()?.0,
        header: raw.header.as_ref()?.0,
        response: raw.response.as_ref()?.0,
        idle: raw.idle.as_ref()?.0,
        linger: raw.linger.as_ref()?.0,
        drain: raw.drain.as_ref()?.0,
    })
}

/// `limits`: within what the data plane can hold for each connection.
pub(super) fn limits(raw: Option<&At<RawLimits>>, report: &mut Report) -> Option<Limits> {
    let raw = raw?;
    if let Some(size) = &raw.header_bytes
        && !((4 << 10)..=(1 << 20)).contains(&size.0)
    {
        report.add(
            size.place,
            "`limits.header_bytes` is not between 4KiB and 1MiB",
            "write `32KiB`",
        );
    }
    if let Some(count) = &raw.headers
        && !(10..=1000).contains(&count.0)
    {
        report.add(
            count.place,
            "`limits.headers` is not between 10 and 1000",
            "write `100`",
        );
    }
    Some(Limits {
        header_bytes: usize::try_from(raw.header_bytes.as_ref()?.0).ok()?,
        headers: usize::try_from(raw.headers.as_ref()?.0).ok()?,
        body: raw.body.as_ref()?.0,
    })
}
