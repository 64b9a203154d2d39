//! The request that a proxy describes, read from the fields of its own family alone.

use std::net::IpAddr;

use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use ipnet::IpNet;

use super::Dialect;
use crate::config::Config;
use crate::proxy::route::{Host, X_FORWARDED_HOST, X_FORWARDED_PROTO, is_trusted};
use crate::refusal::{Reason, Refusal};

pub(super) const X_ORIGINAL_URL: HeaderName = HeaderName::from_static("x-original-url");
pub(super) const X_ORIGINAL_URI: HeaderName = HeaderName::from_static("x-original-uri");
const X_ORIGINAL_METHOD: HeaderName = HeaderName::from_static("x-original-method");
const X_FORWARDED_METHOD: HeaderName = HeaderName::from_static("x-forwarded-method");
const X_FORWARDED_URI: HeaderName = HeaderName::from_static("x-forwarded-uri");

/// A description, or a part of it, that cannot be understood safely. The sentence is for whoever configures the proxy.
pub(super) fn malformed(sentence: impl Into<String>) -> Refusal {
    let sentence = sentence.into();
    Refusal::new(Reason::BadRequest, sentence.clone()).with_message(Some(sentence))
}

/// Proof that who asks is one of `trusted_proxies`.
#[derive(Debug)]
pub(super) struct TrustedPeer(());

impl TrustedPeer {
    /// Checks the address of the connection.
    ///
    /// # Errors
    /// `UntrustedProxy`, which names that address and the key of the config.
    pub(super) fn of(networks: &[IpNet], peer: IpAddr) -> Result<Self, Refusal> {
        if is_trusted(networks, peer) {
            return Ok(Self(()));
        }
        let peer = peer.to_canonical();
        let sentence = format!("This request came from {peer}, which is not in trusted_proxies.");
        Err(
            Refusal::new(Reason::UntrustedProxy, "asked by an untrusted peer")
                .with_message(Some(sentence)),
        )
    }
}

/// A request that is not here, as a trusted proxy describes it.
#[derive(Debug)]
pub(super) struct Described {
    /// Its method.
    pub(super) method: Method,
    /// Its host.
    pub(super) host: Host,
    /// Path and query, byte for byte.
    pub(super) target: PathAndQuery,
}

impl Described {
    /// Reads it as the proxy of that dialect writes it. Nothing stands in for a field that is missing.
    ///
    /// # Errors
    /// `BadRequest` with a sentence that says which field is missing, there twice, or malformed.
    pub(super) fn read(
        _: &TrustedPeer,
        dialect: Dialect,
        config: &Config,
        parts: &Parts,
    ) -> Result<Self, Refusal> {
        let headers = &parts.headers;
        match dialect {
            Dialect::Nginx => {
                let (host, target) = original(config, parts)?;
                let method = method(required(headers, &X_ORIGINAL_METHOD)?, &X_ORIGINAL_METHOD)?;
                Ok(Self {
                    method,
                    host,
                    target,
                })
            }
            Dialect::Traefik => {
                check_scheme(headers)?;
                required(headers, &X_FORWARDED_HOST)?;
                let host = Host::forwarded(headers)?.ok_or_else(|| missing(&X_FORWARDED_HOST))?;
                let target = target(required(headers, &X_FORWARDED_URI)?, &X_FORWARDED_URI)?;
                let method = method(required(headers, &X_FORWARDED_METHOD)?, &X_FORWARDED_METHOD)?;
                Ok(Self {
                    method,
                    host,
                    target,
                })
            }
            Dialect::Envoy => Ok(Self {
                method: parts.method.clone(),
                host: Host::of(parts)?,
                target: rest(&config.prefix, parts)?,
            }),
        }
    }
}

/// Host and target as nginx and ingress-nginx write them.
fn original(config: &Config, parts: &Parts) -> Result<(Host, PathAndQuery), Refusal> {
    let headers = &parts.headers;
    let forwarded = Host::forwarded(headers)?;
    let uri = match single(headers, &X_ORIGINAL_URI)? {
        Some(uri) => Some(target(uri, &X_ORIGINAL_URI)?),
        None => None,
    };
    let Some(url) = single(headers, &X_ORIGINAL_URL)? else {
        let uri = uri.ok_or_else(|| {
            malformed(
                "X-Original-URI (or X-Original-URL) is missing: the proxy must set one of them",
            )
        })?;
        return Ok((host(config, parts, forwarded)?, uri));
    };
    let (host, target) = absolute(url)?;
    // Only one of the two comes from the proxy, the other may be the client's.
    if uri.is_some_and(|uri| uri != target) {
        return Err(malformed("X-Original-URL and X-Original-URI disagree"));
    }
    if forwarded.is_some_and(|forwarded| forwarded.name != host.name) {
        return Err(malformed("X-Original-URL and X-Forwarded-Host disagree"));
    }
    Ok((host, target))
}

/// The host beside `X-Original-URI`. Where the proxy passes the browser's own Host, it may leave `X-Forwarded-Host` to the client.
fn host(config: &Config, parts: &Parts, forwarded: Option<Host>) -> Result<Host, Refusal> {
    let Some(forwarded) = forwarded else {
        return Host::of(parts);
    };
    match Host::of(parts) {
        Ok(host) if host.name != forwarded.name && config.site(&host.name).is_some() => Err(
            malformed("Host and X-Forwarded-Host lead to different apps"),
        ),
        Ok(_) | Err(_) => Ok(forwarded),
    }
}

/// An absolute URL, split without any change of its bytes.
fn absolute(url: &HeaderValue) -> Result<(Host, PathAndQuery), Refusal> {
    let bad = || malformed("X-Original-URL is no http or https URL with a host and a path");
    let url = url.to_str().map_err(|_| bad())?;
    let (scheme, rest) = url.split_once("://").ok_or_else(bad)?;
    if !["http", "https"]
        .iter()
        .any(|known| scheme.eq_ignore_ascii_case(known))
    {
        return Err(bad());
    }
    let slash = rest.find(['/', '?', '#', '\\']).ok_or_else(bad)?;
    let (authority, rest) = rest.split_at(slash);
    let authority = HeaderValue::from_str(authority).map_err(|_| bad())?;
    let host = Host::parse(authority).map_err(|_| bad())?;
    let rest = HeaderValue::from_str(rest).map_err(|_| bad())?;
    Ok((host, target(&rest, &X_ORIGINAL_URL)?))
}

/// What stands after the endpoint's own path.
fn rest(prefix: &str, parts: &Parts) -> Result<PathAndQuery, Refusal> {
    let whole = parts.uri.path_and_query().map_or("", PathAndQuery::as_str);
    let rest = whole
        .strip_prefix(prefix)
        .and_then(|rest| rest.strip_prefix('/'))
        .and_then(|rest| rest.strip_prefix(Dialect::Envoy.name()))
        .filter(|rest| rest.starts_with('/'))
        .ok_or_else(|| {
            malformed(
                "the path after ext-authz is missing: it must be the whole path that was asked for",
            )
        })?;
    parsed(rest).ok_or_else(|| malformed("the path after ext-authz is malformed"))
}

/// A target in origin-form.
fn target(value: &HeaderValue, name: &HeaderName) -> Result<PathAndQuery, Refusal> {
    let text = value.to_str().ok();
    text.and_then(parsed)
        .ok_or_else(|| malformed(format!("{} is not a path and query", written(name))))
}

/// As the guard takes a target of a request line: visible ASCII without a fragment.
fn parsed(text: &str) -> Option<PathAndQuery> {
    let fits = |byte: u8| (0x21..=0x7e).contains(&byte) && byte != b'#';
    if !text.starts_with('/') || !text.bytes().all(fits) {
        return None;
    }
    let target = PathAndQuery::try_from(text).ok()?;
    (target.as_str() == text).then_some(target)
}

fn method(value: &HeaderValue, name: &HeaderName) -> Result<Method, Refusal> {
    Method::from_bytes(value.as_bytes())
        .map_err(|_| malformed(format!("{} is no method", written(name))))
}

/// The scheme changes nothing, since cookies tell http and https apart; but it must be one.
fn check_scheme(headers: &HeaderMap) -> Result<(), Refusal> {
    let known = |value: &HeaderValue| {
        let schemes = [&b"https"[..], b"http", b"wss", b"ws"];
        schemes
            .iter()
            .any(|scheme| value.as_bytes().eq_ignore_ascii_case(scheme))
    };
    match single(headers, &X_FORWARDED_PROTO)? {
        Some(value) if !known(value) => Err(malformed("X-Forwarded-Proto is no scheme")),
        Some(_) | None => Ok(()),
    }
}

fn required<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<&'a HeaderValue, Refusal> {
    single(headers, name)?.ok_or_else(|| missing(name))
}

fn missing(name: &HeaderName) -> Refusal {
    malformed(format!(
        "{} is missing: the proxy must set it",
        written(name)
    ))
}

/// A field that stands there once at most: of two, one is the client's.
fn single<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
) -> Result<Option<&'a HeaderValue>, Refusal> {
    let mut values = headers.get_all(name).iter();
    let first = values.next();
    match values.next() {
        Some(_) => Err(malformed(format!(
            "{} is there twice: the proxy must replace it",
            written(name)
        ))),
        None => Ok(first),
    }
}

/// A name as documentation writes it.
fn written(name: &HeaderName) -> String {
    let words = name.as_str().split('-').map(|word| match word {
        "uri" | "url" => word.to_ascii_uppercase(),
        word => {
            let (first, rest) = word.split_at(1);
            format!("{}{rest}", first.to_ascii_uppercase())
        }
    });
    words.collect::<Vec<_>>().join("-")
}
