//! Forward-auth: a proxy in front describes a request and asks whether it may pass. It is judged as one that came to be
//! forwarded, account and all; only that the answer goes to the proxy.

mod described;
mod narrowed;

use std::sync::Arc;

use http::header::CACHE_CONTROL;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, Uri};

use super::admit::{Asking, Denial};
use super::answer;
use super::body::AnswerBody;
use super::denial;
use super::exchange::Exchange;
use super::head::IdentityHead;
use super::locate::{self, At};
use super::route::Origin;
use super::service::Peer;
use super::stats::Outcome;
use super::worker::View;
use crate::access::target::Target;
use crate::config::{self, App, Site};
use crate::endpoints;
use crate::forward::firewall::Firewall;
use crate::forward::identity::ForwardedIdentity;
use crate::refusal::{Reason, Refusal};
use described::{Described, TrustedPeer};

/// How a proxy asks, and what it makes of an answer. Each has an endpoint of its own, and reads its own fields alone: one that the
/// proxy does not set is one that its client may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// `/auth`: `auth_request` of nginx, ingress-nginx. It knows 200, 401 and 403, and makes 500 of all else.
    Nginx,
    /// `/forward-auth`: Traefik, Caddy. What is not 200 goes to the client as it is.
    Traefik,
    /// `/ext-authz/…`: Envoy over HTTP. The request itself, without its body, at a path below ours.
    Envoy,
}

impl Dialect {
    const ALL: [Self; 3] = [Self::Nginx, Self::Traefik, Self::Envoy];

    /// The endpoint of a path, as it was sent: what only resembles one is no endpoint.
    pub(crate) fn of(prefix: &str, path: &str) -> Option<Self> {
        let rest = path.strip_prefix(prefix)?.strip_prefix('/')?;
        Self::ALL.into_iter().find(|dialect| match dialect {
            Self::Nginx | Self::Traefik => rest == dialect.name(),
            Self::Envoy => config::owns(dialect.name(), rest),
        })
    }

    /// The name of its endpoint, below the prefix.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Nginx => "auth",
            Self::Traefik => "forward-auth",
            Self::Envoy => "ext-authz",
        }
    }

    /// A denial as the proxy understands it.
    fn fit(self, response: &mut Response<String>) {
        let status = response.status();
        *response.status_mut() = match self {
            Self::Nginx if status == StatusCode::FOUND => StatusCode::UNAUTHORIZED,
            Self::Nginx if status == StatusCode::UNAUTHORIZED => status,
            Self::Nginx if status.is_client_error() => StatusCode::FORBIDDEN,
            Self::Nginx | Self::Traefik | Self::Envoy => status,
        };
    }
}

/// Why a request may not pass.
enum Denied<'a> {
    /// Somebody must sign in first.
    NeedsSignIn(&'a Arc<Site>, &'a App),
    /// No; with the site where that is known.
    Refused(Refusal, Option<&'a Arc<Site>>),
}

impl From<Refusal> for Denied<'_> {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal, None)
    }
}

/// Answers a proxy. It never fails: a fault is an answer too.
pub(super) async fn answer(
    peer: &Peer,
    view: &Arc<View>,
    dialect: Dialect,
    mut parts: Parts,
    mut exchange: Box<Exchange>,
) -> Response<AnswerBody> {
    exchange.asked_at = Some(dialect);
    let method = parts.method.clone();
    let response = match judge(peer, view, dialect, &mut parts, &mut exchange).await {
        Ok(fields) => {
            peer.worker.stats.added(exchange.started.elapsed());
            pass(fields)
        }
        Err(denied) => {
            let mut response = match denied {
                Denied::NeedsSignIn(site, app) => {
                    denial::sign_in_first(view, (site, app), &parts, &mut exchange)
                }
                Denied::Refused(refusal, site) => {
                    denial::refused(view, site, &refusal, &parts, &mut exchange)
                }
            };
            dialect.fit(&mut response);
            response
        }
    };
    // What was asked here and what was asked about can differ in their methods.
    answer::own(endpoints::fitting(&method, response), exchange)
}

/// Judges the request that `parts` describe, and puts it in their place.
async fn judge<'a>(
    peer: &Peer,
    view: &'a Arc<View>,
    dialect: Dialect,
    parts: &mut Parts,
    exchange: &mut Exchange,
) -> Result<HeaderMap, Denied<'a>> {
    locate::check_head(view, parts)?;
    let config = &view.usher.config;
    let trusted = TrustedPeer::of(&config.trusted_proxies, peer.address)?;
    exchange.client = Origin::of(&parts.headers, peer.address, &config.trusted_proxies).client;
    let described = Described::read(&trusted, dialect, config, parts)?;
    let only = narrowed::read(dialect, parts.uri.query())?;
    exchange.method = described.method.clone();
    exchange.host = Some(described.host.value.clone());
    exchange.target = Some(described.target.clone());
    parts.method = described.method;
    parts.uri = Uri::from(described.target);

    locate::check_method(parts)?;
    let site = locate::site(view, &described.host)?;
    let here = |refusal| Denied::Refused(refusal, Some(site));
    let target = Target::parse(parts.uri.path()).map_err(here)?;
    let place = match locate::place(view, site, &target).map_err(here)? {
        At::Own => {
            exchange.outcome = Outcome::Own;
            return own(&config.prefix, site, &target).map_err(here);
        }
        At::App(place) => place,
    };
    exchange.app = Some(place);
    let Some((app, _, firewall)) = view.app(place) else {
        return Err(here(Refusal::new(Reason::NotFound, "no such app")));
    };
    check_fields(&parts.headers, dialect, firewall).map_err(here)?;
    if let Some(only) = &only {
        narrowed::check(only, app).map_err(here)?;
    }
    let asking = Asking {
        worker: &peer.worker,
        view,
        site,
        canonical: described.host.is_of(&site.public_url),
        app,
        place,
        target: &target,
        parts,
        only: only.as_ref(),
        now: exchange.at,
    };
    let admission = asking.admit().await.map_err(|denial| match denial {
        Denial::NeedsSignIn => Denied::NeedsSignIn(site, app),
        Denial::Refused(refusal) => here(refusal),
    })?;
    let identity = exchange.admitted(admission).identity;
    Ok(fields(firewall, identity.as_deref()))
}

/// What is under usher's prefix may pass as nobody: the proxy sends it to usher, which asks for what each of its endpoints needs.
/// But for these: their answer would show a client what only the app may see.
fn own(prefix: &str, site: &Site, target: &Target) -> Result<HeaderMap, Refusal> {
    let mut readings = target.readings().iter();
    if readings.any(|path| Dialect::of(prefix, path).is_some()) {
        let cause = "forward-auth is for proxies alone";
        return Err(Refusal::new(Reason::NotFound, cause));
    }
    Ok(nobody(site))
}

/// Refuses what would reach the app beside the fields that the proxy sets.
fn check_fields(headers: &HeaderMap, dialect: Dialect, firewall: &Firewall) -> Result<(), Refusal> {
    let overrides = |name: &HeaderName| match dialect {
        Dialect::Nginx => false,
        Dialect::Traefik | Dialect::Envoy => {
            name == described::X_ORIGINAL_URL || name == described::X_ORIGINAL_URI
        }
    };
    let evades = |name: &&HeaderName| firewall.evades(name) || overrides(name);
    match headers.keys().find(evades) {
        None => Ok(()),
        Some(name) => Err(described::malformed(format!(
            "the field {name} could mislead the app, and the proxy in front does not remove it"
        ))),
    }
}

/// Every name that the app knows, each with its value or empty, so that a proxy which copies them overwrites whatever a client sent.
fn fields(firewall: &Firewall, identity: Option<&IdentityHead>) -> HeaderMap {
    let mut fields = empty(firewall.own());
    for (name, value) in identity.map_or(&[][..], IdentityHead::fields) {
        fields.insert(name, value.clone());
    }
    fields
}

/// The names that the apps of a site know, all empty.
fn nobody(site: &Site) -> HeaderMap {
    let apps = site.apps.iter();
    let mut names: Vec<_> = apps.flat_map(|app| ForwardedIdentity::names(app)).collect();
    names.sort_unstable_by(|one, other| one.as_str().cmp(other.as_str()));
    names.dedup();
    empty(&names)
}

fn empty(names: &[HeaderName]) -> HeaderMap {
    let blank = |name: &HeaderName| (name.clone(), HeaderValue::from_static(""));
    names.iter().map(blank).collect()
}

fn pass(fields: HeaderMap) -> Response<String> {
    let mut response = Response::new(String::new());
    *response.headers_mut() = fields;
    let no_store = HeaderValue::from_static("no-store");
    response.headers_mut().insert(CACHE_CONTROL, no_store);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_very_paths_are_endpoints() {
        for (path, dialect) in [
            ("/_usher/auth", Some(Dialect::Nginx)),
            ("/_usher/forward-auth", Some(Dialect::Traefik)),
            ("/_usher/ext-authz", Some(Dialect::Envoy)),
            ("/_usher/ext-authz/", Some(Dialect::Envoy)),
            ("/_usher/ext-authz/a/../b", Some(Dialect::Envoy)),
            ("/_usher/auth/", None),
            ("/_usher/authz", None),
            ("/_usher/Auth", None),
            ("/_usher//auth", None),
            ("/_usher/%61uth", None),
            ("/_usher/forward-auth/x", None),
            ("/_usher/ext-authzz", None),
            ("/_usher", None),
            ("/_usherauth", None),
            ("/auth", None),
        ] {
            assert_eq!(Dialect::of("/_usher", path), dialect, "{path}");
        }
    }

    #[test]
    fn nginx_gets_no_status_that_it_makes_an_error_of() {
        for (sent, nginx) in [
            (302, 401),
            (401, 401),
            (403, 403),
            (400, 403),
            (404, 403),
            (405, 403),
            (421, 403),
            (431, 403),
            (503, 503),
            (502, 502),
        ] {
            for (dialect, status) in [
                (Dialect::Nginx, nginx),
                (Dialect::Traefik, sent),
                (Dialect::Envoy, sent),
            ] {
                let mut response = Response::new(String::new());
                *response.status_mut() = StatusCode::from_u16(sent).unwrap_or_default();
                dialect.fit(&mut response);
                assert_eq!(response.status(), status, "{dialect:?}");
            }
        }
    }
}
