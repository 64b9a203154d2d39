//! URLs, hosts and origins of a config.

use url::{Host, Url};

use crate::config::raw::{At, Report, Text};
use crate::config::{PublicUrl, Upstream};

/// A `public_url`: https, or http on this machine; an origin and nothing more.
pub(super) fn public_url(path: &str, text: &At<Text>, report: &mut Report) -> Option<PublicUrl> {
    let example = "write `https://host`, or `http://localhost:port` to try things out";
    let mut refuse = |what: String, fix: &str| {
        report.add(text.place, format!("`{path}` {what}"), fix);
        None
    };
    let Ok(url) = Url::parse(&text.0) else {
        return refuse(format!("is not a URL: `{}`", text.0), example);
    };
    let Some(host) = url.host() else {
        return refuse("has no host".to_owned(), example);
    };
    let https = match url.scheme() {
        "https" => true,
        "http" if is_local(&host) => false,
        "http" => {
            return refuse(
                "is plain HTTP, so anyone on the way can read the cookies".to_owned(),
                &format!("write `https://{host}`; http is only for localhost"),
            );
        }
        other => return refuse(format!("cannot be `{other}:`"), example),
    };
    if !url.username().is_empty() || url.password().is_some() {
        return refuse("must not hold a user name".to_owned(), example);
    }
    let origin = url.origin().ascii_serialization();
    if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
        return refuse(
            "must be an origin, without path, query or fragment".to_owned(),
            &format!("write `{origin}`; an app's path is its `path`"),
        );
    }
    let host = host.to_string();
    if host.ends_with('.') {
        return refuse(
            "has a host that ends with a dot".to_owned(),
            "remove the dot",
        );
    }
    let authority = url
        .port()
        .map_or_else(|| host.clone(), |port| format!("{host}:{port}"));
    Some(PublicUrl {
        origin,
        host,
        authority,
        https,
    })
}

/// Whether a host is this machine for sure, so that plain HTTP leaves it never.
pub(super) fn is_local(host: &Host<&str>) -> bool {
    match host {
        Host::Domain(name) => *name == "localhost" || name.ends_with(".localhost"),
        Host::Ipv4(address) => address.is_loopback(),
        Host::Ipv6(address) => address.is_loopback(),
    }
}

/// A host name as it is compared: lower case, ASCII, without a port.
pub(super) fn host(path: &str, text: &At<Text>, report: &mut Report) -> Option<String> {
    let written = text.0.as_str();
    match Host::parse(written) {
        Ok(host) if !written.contains('*') && !written.ends_with('.') => Some(host.to_string()),
        Ok(_) | Err(_) => {
            report.add(
                text.place,
                format!("`{path}`: `{written}` is not a host name"),
                "write a name such as `wiki.example`, without scheme, port, path or `*`",
            );
            None
        }
    }
}

/// An e-mail domain, lower case.
pub(super) fn domain(path: &str, text: &At<Text>, report: &mut Report) -> Option<String> {
    match Host::parse(text.0.trim_start_matches('@')) {
        Ok(Host::Domain(name)) if !text.0.starts_with('@') && name.contains('.') => Some(name),
        Ok(_) | Err(_) => {
            report.add(
                text.place,
                format!("`{path}`: `{}` is not an e-mail domain", text.0),
                "write what follows the @, such as `acme.example`",
            );
            None
        }
    }
}

/// `upstream` of an app.
pub(super) fn upstream(path: &str, text: &At<Text>, report: &mut Report) -> Option<Upstream> {
    let forms = "write `http://host:port`, `https://host:port` or `unix:/path/to/socket`";
    let mut refuse = |what: &str, fix: &str| {
        report.add(text.place, format!("`{path}` {what}"), fix);
        None
    };
    if let Some(socket) = text.0.strip_prefix("unix:") {
        let socket = socket.strip_prefix("//").unwrap_or(socket);
        return if socket.starts_with('/') && socket.len() > 1 {
            Some(Upstream::Unix(socket.into()))
        } else {
            refuse(
                "must name a socket by its absolute path",
                "write `unix:/run/app.sock`",
            )
        };
    }
    let Ok(url) = Url::parse(&text.0) else {
        return refuse("is not a URL", forms);
    };
    let scheme = url.scheme().to_owned();
    if !matches!(scheme.as_str(), "http" | "https") {
        return refuse("must be http, https or unix", forms);
    }
    let (Some(host), Some(port)) = (url.host(), url.port_or_known_default()) else {
        return refuse("has no host", forms);
    };
    if !url.username().is_empty() || url.password().is_some() {
        return refuse("must not hold a user name", forms);
    }
    if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
        return refuse(
            "must not have a path: requests keep theirs, nothing is added or stripped",
            &format!("write `{scheme}://{host}:{port}`"),
        );
    }
    let host = match host {
        Host::Domain(name) => name.to_owned(),
        Host::Ipv4(address) => address.to_string(),
        Host::Ipv6(address) => address.to_string(),
    };
    Some(if scheme == "https" {
        Upstream::Https { host, port }
    } else {
        Upstream::Http { host, port }
    })
}

/// The URL of a callback.
pub(super) fn callback(path: &str, text: &At<Text>, report: &mut Report) -> Option<Url> {
    let url = Url::parse(&text.0).ok().filter(|url| {
        matches!(url.scheme(), "http" | "https")
            && url.has_host()
            && url.username().is_empty()
            && url.password().is_none()
            && url.fragment().is_none()
    });
    if url.is_none() {
        report.add(
            text.place,
            format!("`{path}` is not an http or https URL"),
            "write one such as `http://127.0.0.1:3000/internal/users`, without user name and fragment",
        );
    }
    url
}

/// An endpoint of an IdP: https, or http on this machine.
pub(super) fn endpoint(path: &str, text: &At<Text>, report: &mut Report) -> Option<Url> {
    let example = "write the whole URL, such as `https://login.acme.example/saml`";
    let mut refuse = |what: &str| {
        report.add(text.place, format!("`{path}` {what}"), example);
        None
    };
    let Ok(url) = Url::parse(&text.0) else {
        return refuse("is not a URL");
    };
    let Some(host) = url.host() else {
        return refuse("has no host");
    };
    match url.scheme() {
        "https" => {}
        "http" if is_local(&host) => {}
        _ => return refuse("must be https (http only on localhost)"),
    }
    if url.fragment().is_some() || !url.username().is_empty() || url.password().is_some() {
        return refuse("must not have a fragment or user name");
    }
    Some(url)
}
