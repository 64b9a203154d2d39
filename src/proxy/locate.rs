//! Where a request belongs: its host, its site, and the app or endpoint that its target leads to.

use std::sync::Arc;

use http::header::EXPECT;
use http::request::Parts;
use http::{HeaderValue, Method, Version};

use super::answer;
use super::guard::{Fault, REFUSED_METHOD};
use super::route::{Host, Origin, X_FORWARDED_PROTO};
use super::service::Peer;
use super::worker::View;
use crate::access::target::Target;
use crate::config::{self, Site};
use crate::refusal::{Reason, Refusal};

/// Where a request belongs.
pub(super) struct Located<'a> {
    pub(super) host: Host,
    pub(super) origin: Origin,
    pub(super) site: &'a Arc<Site>,
    pub(super) target: Target,
    pub(super) at: At,
    pub(super) scheme: &'static str,
}

/// Whose a target is.
pub(super) enum At {
    /// Under usher's prefix.
    Own,
    /// In the app at that place in the config.
    App(usize),
}

/// A refusal, with the site where that was found already.
pub(super) type Misplaced<'a> = (Refusal, Option<&'a Arc<Site>>);

/// Finds where a request belongs that came here to be forwarded.
pub(super) fn locate<'a>(
    peer: &Peer,
    view: &'a View,
    parts: &Parts,
    trusted: bool,
) -> Result<Located<'a>, Misplaced<'a>> {
    let nowhere = |refusal| (refusal, None);
    check_head(view, parts).map_err(nowhere)?;
    let config = &view.usher.config;
    let mut host = Host::of(parts).map_err(nowhere)?;
    if trusted && let Some(forwarded) = Host::forwarded(&parts.headers).map_err(nowhere)? {
        host = forwarded;
    }
    let site = site(view, &host).map_err(nowhere)?;
    // A connection made for one site must not reach another (RFC 9110 7.4): what stands in front may have let it
    // pass for the name of the handshake. A name that no app has says nothing.
    let elsewhere = |other: &Arc<Site>| !Arc::ptr_eq(other, site);
    let name = peer.server_name.as_deref();
    if name
        .and_then(|name| config.site(name))
        .is_some_and(elsewhere)
    {
        let cause = "the TLS handshake was for the host of another app";
        return Err(nowhere(Refusal::new(Reason::UnknownHost, cause)));
    }
    let here = |refusal| (refusal, Some(site));
    let target = Target::parse(parts.uri.path()).map_err(here)?;
    let at = place(view, site, &target).map_err(here)?;
    let forwarded = trusted
        .then(|| parts.headers.get(X_FORWARDED_PROTO))
        .flatten();
    let scheme = match forwarded.map(HeaderValue::as_bytes) {
        Some(b"https") => "https",
        Some(b"http") => "http",
        _ if peer.tls || site.public_url.https => "https",
        _ => "http",
    };
    Ok(Located {
        origin: Origin::of(&parts.headers, peer.address, &config.trusted_proxies),
        host,
        site,
        target,
        at,
        scheme,
    })
}

/// Refuses a head that cannot be served whatever it asks for.
pub(super) fn check_head(view: &View, parts: &Parts) -> Result<(), Refusal> {
    check_method(parts)?;
    check_padding(parts)?;
    // On HTTP/1 the guard has counted already.
    if parts.headers.len() > view.usher.config.limits.headers {
        return Err(Refusal::new(
            Reason::HeadersTooLarge,
            "too many header fields",
        ));
    }
    let unknown = |value: &HeaderValue| !value.as_bytes().eq_ignore_ascii_case(b"100-continue");
    if answer::values(&parts.headers, &EXPECT).any(unknown) {
        return Err(Refusal::new(Reason::BadRequest, "an unknown expectation"));
    }
    Ok(())
}

/// Refuses what is no plain request: stand-ins of the guard, tunnels by CONNECT, and TRACE, which would show the client
/// what only the app may see.
pub(super) fn check_method(parts: &Parts) -> Result<(), Refusal> {
    if parts.method.as_str() == REFUSED_METHOD {
        let reason = match Fault::of_stand_in(parts.uri.path()) {
            Fault::Malformed => Reason::BadRequest,
            Fault::TooLarge => Reason::HeadersTooLarge,
            Fault::Method => Reason::MethodNotAllowed,
        };
        return Err(Refusal::new(reason, "the head was refused"));
    }
    if parts.method == Method::CONNECT
        || parts.method == Method::TRACE
        || parts.method.as_str() == "TRACK"
    {
        return Err(Refusal::new(
            Reason::MethodNotAllowed,
            "the method is not supported",
        ));
    }
    Ok(())
}

/// Refuses values of HTTP/2 that begin or end with white space (RFC 9113 8.2.1); HTTP/1.1 says that it is no part of them.
fn check_padding(parts: &Parts) -> Result<(), Refusal> {
    let blank = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    let padded = |value: &HeaderValue| {
        let value = value.as_bytes();
        blank(value.first()) || blank(value.last())
    };
    if parts.version == Version::HTTP_2 && parts.headers.values().any(padded) {
        return Err(Refusal::new(
            Reason::BadRequest,
            "a value begins or ends with white space",
        ));
    }
    Ok(())
}

/// The site that a host leads to.
pub(super) fn site<'a>(view: &'a View, host: &Host) -> Result<&'a Arc<Site>, Refusal> {
    let site = view.usher.config.site(&host.name);
    site.ok_or_else(|| Refusal::new(Reason::UnknownHost, "no app has that host"))
}

/// Finds the owner of a target. All its readings must have the same one.
pub(super) fn place(view: &View, site: &Site, target: &Target) -> Result<At, Refusal> {
    let prefix = &view.usher.config.prefix;
    let mut readings = target.readings().iter();
    let plain = readings.next().map_or(target.raw(), String::as_str);
    let ambiguous = || {
        Refusal::new(
            Reason::BadRequest,
            "the target has readings of several owners",
        )
    };
    if config::owns(prefix, plain) {
        return match readings.all(|reading| config::owns(prefix, reading)) {
            true => Ok(At::Own),
            false => Err(ambiguous()),
        };
    }
    let app = site.app(plain);
    for reading in readings {
        let same = match (site.app(reading), app) {
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        };
        if !same || config::owns(prefix, reading) {
            return Err(ambiguous());
        }
    }
    app.and_then(|app| view.place(app))
        .map(At::App)
        .ok_or_else(|| Refusal::new(Reason::NotFound, "no app has that path"))
}
