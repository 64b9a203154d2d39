//! One request to the admin listener: where it belongs by path and Host, and what every answer there carries.

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use arc_swap::ArcSwap;
use axum::body::Body;
use bytes::Bytes;
use http::header::{
    CACHE_CONTROL, CONNECTION, CONTENT_SECURITY_POLICY, HeaderName, HeaderValue, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use http::request::Parts;
use http::{Method, Request, Response, StatusCode};
use http_body::Body as _;
use hyper::body::Incoming;
use jiff::Timestamp;

use crate::admin::api::{self, Api, ApiAsked, Refused};
use crate::admin::pages::{self as admin_pages, PageAsked};
use crate::admin::scim::{self, ScimAsked};
use crate::config::{self, Site};
use crate::endpoints::{self, Asked, BODY_LIMIT};
use crate::pages::{self, PageContext};
use crate::proxy::{
    AccessLog, Host, Line, Open, Origin, RequestId, RequestIds, X_FORWARDED_FOR, X_FORWARDED_HOST,
    X_FORWARDED_PROTO, X_REQUEST_ID, collect, is_trusted,
};
use crate::refusal::{Reason, Refusal};
use crate::usher::Usher;

/// Largest body of the API, of SCIM and of the pages, in bytes.
const LARGEST_BODY: usize = 1024 * 1024;

/// What answers at the listener.
pub(super) struct Desk {
    state: Arc<ArcSwap<Usher>>,
    api: Api,
    log: AccessLog,
    ids: RequestIds,
    /// Requests that are worked on.
    pub(super) open: Arc<Open>,
}

impl Desk {
    pub(super) fn new(state: Arc<ArcSwap<Usher>>, api: Api, log: AccessLog) -> Self {
        Self {
            state,
            api,
            log,
            ids: RequestIds::new(),
            open: Arc::default(),
        }
    }

    /// What exists now.
    pub(super) fn usher(&self) -> Arc<Usher> {
        self.state.load_full()
    }
}

/// The record of one request; logged when it is dropped.
struct Record {
    desk: Arc<Desk>,
    id: RequestId,
    at: Timestamp,
    started: Instant,
    client: IpAddr,
    method: Method,
    host: Option<HeaderValue>,
    path: String,
    caller: Option<String>,
    outcome: &'static str,
    status: StatusCode,
    bytes: u64,
    cause: Option<String>,
}

impl Drop for Record {
    fn drop(&mut self) {
        let host = self.host.as_ref().and_then(|host| host.to_str().ok());
        self.desk.log.write(&Line {
            at: self.at,
            request_id: self.id.as_str(),
            client: self.client,
            method: self.method.as_str(),
            host: host.unwrap_or("-"),
            path: crate::endpoints::loggable(&self.path),
            app: None,
            user: self.caller.as_deref(),
            asked_at: None,
            outcome: self.outcome,
            status: self.status.as_u16(),
            micros: u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX),
            bytes: self.bytes,
            cause: self.cause.as_deref(),
            trace_id: None,
        });
        self.desk.log.flush();
    }
}

impl Record {
    fn refused(&mut self, refusal: &Refusal) {
        self.outcome = refusal.reason.code();
        self.cause = Some(refusal.cause.clone()).filter(|cause| !cause.is_empty());
    }
}

/// Answers one request. It never fails: a fault is an answer too.
pub(super) async fn serve_request(
    desk: Arc<Desk>,
    peer: IpAddr,
    request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    let peer = peer.to_canonical();
    let (parts, body) = request.into_parts();
    let usher = desk.usher();
    let trusted = is_trusted(&usher.config.trusted_proxies, peer);
    let given = trusted.then(|| parts.headers.get(X_REQUEST_ID)).flatten();
    let mut record = Record {
        id: given
            .and_then(RequestId::trusted)
            .unwrap_or_else(|| desk.ids.next()),
        at: Timestamp::now(),
        started: Instant::now(),
        client: Origin::of(&parts.headers, peer, &usher.config.trusted_proxies).client,
        method: parts.method.clone(),
        host: None,
        path: parts.uri.path().to_owned(),
        caller: None,
        outcome: "client_gone",
        // What nginx writes for a client that closed the connection.
        status: StatusCode::from_u16(499).unwrap_or(StatusCode::BAD_REQUEST),
        bytes: 0,
        cause: None,
        desk: Arc::clone(&desk),
    };
    let visit = Visit {
        api: desk.api.clone(),
        usher,
        trusted,
        id: record.id.clone(),
        client: record.client,
        at: record.at,
    };
    let ticket = desk.open.enter();
    // A task of its own: what an admin began is done to its end, although nobody waits for the answer any more.
    let work = tokio::spawn(async move {
        let outcome = visit.answer(parts, body).await;
        drop(ticket);
        outcome
    });
    let mut outcome = match work.await {
        Ok(outcome) => outcome,
        Err(error) => Outcome::broken(&error.to_string()),
    };
    harden(&mut outcome.response, &record.id);
    record.host = outcome.host;
    record.caller = outcome.caller;
    record.outcome = "own";
    if let Some(refusal) = &outcome.refusal {
        record.refused(refusal);
    }
    if let Some(refused) = outcome.response.extensions_mut().remove::<Refused>() {
        (record.outcome, record.cause) = (refused.code, Some(refused.cause));
    }
    record.status = outcome.response.status();
    record.bytes = outcome.response.body().size_hint().exact().unwrap_or(0);
    Ok(outcome.response)
}

/// What an answer carries unless it says otherwise itself.
fn harden(response: &mut Response<Body>, id: &RequestId) {
    let defaults = [
        (CACHE_CONTROL, "no-store"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        (REFERRER_POLICY, "strict-origin"),
        (
            HeaderName::from_static("cross-origin-resource-policy"),
            "same-origin",
        ),
        (
            CONTENT_SECURITY_POLICY,
            "default-src 'none'; frame-ancestors 'none'; base-uri 'none'",
        ),
    ];
    let headers = response.headers_mut();
    for (name, value) in defaults {
        if !headers.contains_key(&name) {
            headers.insert(name, HeaderValue::from_static(value));
        }
    }
    headers.insert(X_REQUEST_ID, id.value());
}

/// What became of a request.
struct Outcome {
    response: Response<Body>,
    host: Option<HeaderValue>,
    caller: Option<String>,
    refusal: Option<Refusal>,
}

impl Outcome {
    fn new(response: Response<Body>) -> Self {
        Self {
            response,
            host: None,
            caller: None,
            refusal: None,
        }
    }

    fn broken(cause: &str) -> Self {
        let refusal = Refusal::new(Reason::Internal, cause);
        let mut response = Response::new(Body::empty());
        *response.status_mut() = refusal.reason.status();
        Self {
            refusal: Some(refusal),
            ..Self::new(response)
        }
    }
}

impl From<Response<String>> for Outcome {
    fn from(response: Response<String>) -> Self {
        Self::new(response.map(Body::from))
    }
}

/// One request on its way to who answers it.
struct Visit {
    api: Api,
    usher: Arc<Usher>,
    trusted: bool,
    id: RequestId,
    client: IpAddr,
    at: Timestamp,
}

impl Visit {
    async fn answer(&self, mut parts: Parts, body: Incoming) -> Outcome {
        let host = match self.host(&parts) {
            Ok(host) => host,
            Err(refusal) => return self.refuse(refusal, &parts),
        };
        let value = host.value.clone();
        let path = parts.uri.path();
        let mut outcome = if config::owns(api::PREFIX, path) {
            self.api(&host, parts, body).await
        } else if is_tunnel(&parts.method) {
            let refusal = Refusal::new(Reason::MethodNotAllowed, "the method is not supported");
            self.refuse(refusal, &parts)
        } else if let Some((idp, rest)) = scim_path(path) {
            let (idp, rest) = (idp.to_owned(), rest.to_owned());
            self.scim(&host, &idp, &rest, parts, body).await
        } else {
            if !self.trusted {
                for name in [X_FORWARDED_FOR, X_FORWARDED_HOST, X_FORWARDED_PROTO] {
                    parts.headers.remove(name);
                }
            }
            self.site(&host, parts, body).await
        };
        outcome.host = Some(value);
        outcome
    }

    fn host(&self, parts: &Parts) -> Result<Host, Refusal> {
        let host = Host::of(parts)?;
        let forwarded = match self.trusted {
            true => Host::forwarded(&parts.headers)?,
            false => None,
        };
        Ok(forwarded.unwrap_or(host))
    }

    async fn api(&self, host: &Host, parts: Parts, body: Incoming) -> Outcome {
        let asked = ApiAsked {
            host: &host.name,
            request_id: self.id.as_str(),
            client: self.client,
            now: self.at,
        };
        let caller = match self.api.admit(&self.usher, &parts, &asked).await {
            Ok(caller) => caller,
            Err(answer) => return Outcome::new(*answer),
        };
        let request = match self.whole(parts, body, LARGEST_BODY).await {
            Ok(request) => request,
            Err((refusal, parts)) => return self.refuse(refusal, &parts),
        };
        let answer = self.api.answer(&self.usher, &caller, request, &asked).await;
        Outcome {
            caller: Some(caller.to_text()),
            ..Outcome::new(answer)
        }
    }

    async fn scim(
        &self,
        host: &Host,
        idp: &str,
        path: &str,
        parts: Parts,
        body: Incoming,
    ) -> Outcome {
        let base = format!("{}/scim/{idp}/v2", self.origin(host, &parts));
        if let Err(answer) = scim::admit(&self.usher, idp, &parts.headers) {
            return (*answer).into();
        }
        let request = match self.whole(parts, body, LARGEST_BODY).await {
            Ok(request) => request,
            Err((refusal, parts)) => return self.refuse(refusal, &parts),
        };
        let asked = ScimAsked {
            idp,
            path,
            base: &base,
            request_id: self.id.as_str(),
            client: self.client,
            now: self.at,
        };
        scim::answer(&self.usher, request, asked).await.into()
    }

    /// usher's endpoints and the pages, at the one host that they are for.
    async fn site(&self, host: &Host, parts: Parts, body: Incoming) -> Outcome {
        let Some(site) = self
            .admin_site()
            .filter(|site| host.is_of(&site.public_url))
        else {
            let cause = "the admin pages are at another host";
            return self.refuse(Refusal::new(Reason::UnknownHost, cause), &parts);
        };
        let own = config::owns(&self.usher.config.prefix, parts.uri.path());
        let limit = if own { BODY_LIMIT } else { LARGEST_BODY };
        let request = match self.whole(parts, body, limit).await {
            Ok(request) => request,
            Err((refusal, parts)) => return self.refuse(refusal, &parts),
        };
        let request_id = self.id.as_str();
        let response = if own {
            let asked = Asked {
                site,
                request_id,
                client: self.client,
                now: self.at,
            };
            endpoints::answer(&self.usher, request, &asked).await
        } else {
            let asked = PageAsked {
                request_id,
                client: self.client,
                now: self.at,
            };
            admin_pages::answer(&self.usher, request, asked).await
        };
        response.into()
    }

    fn admin_site(&self) -> Option<&Arc<Site>> {
        self.usher.config.admin.as_ref()?.site.as_ref()
    }

    /// The origin as the client sees it.
    fn origin(&self, host: &Host, parts: &Parts) -> String {
        if let Some(site) = self.admin_site()
            && host.is_of(&site.public_url)
        {
            return site.public_url.origin.clone();
        }
        let forwarded = parts.headers.get(X_FORWARDED_PROTO);
        let https = self.trusted && forwarded.is_some_and(|scheme| scheme == "https");
        let scheme = if https { "https" } else { "http" };
        // A checked Host is ASCII.
        format!("{scheme}://{}", host.value.to_str().unwrap_or_default())
    }

    /// Reads the body.
    async fn whole(
        &self,
        parts: Parts,
        body: Incoming,
        limit: usize,
    ) -> Result<Request<Bytes>, (Refusal, Parts)> {
        match collect(body, limit, self.usher.config.timeouts.response).await {
            Ok(bytes) => Ok(Request::from_parts(parts, bytes)),
            Err(refusal) => Err((refusal, parts)),
        }
    }

    fn refuse(&self, refusal: Refusal, parts: &Parts) -> Outcome {
        let form = pages::form_of(&parts.method, &parts.headers);
        let context = PageContext {
            prefix: &self.usher.config.prefix,
            request_id: self.id.as_str(),
            site: "",
            form_origins: &[],
        };
        let mut response = pages::refusal(&refusal, form, &context, None);
        if matches!(refusal.reason, Reason::BadRequest | Reason::BodyTooLarge) {
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(CONNECTION, close);
        }
        Outcome {
            refusal: Some(refusal),
            ..Outcome::from(response)
        }
    }
}

/// Methods that no page and no endpoint has.
fn is_tunnel(method: &Method) -> bool {
    method == Method::CONNECT || method == Method::TRACE || method.as_str() == "TRACK"
}

/// The IdP and the rest of `/scim/{idp}/v2{rest}`.
fn scim_path(path: &str) -> Option<(&str, &str)> {
    let (idp, rest) = path.strip_prefix("/scim/")?.split_once('/')?;
    let rest = rest.strip_prefix("v2")?;
    (!idp.is_empty() && (rest.is_empty() || rest.starts_with('/'))).then_some((idp, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scim_path_has_its_idp_and_its_version() {
        assert_eq!(scim_path("/scim/acme/v2"), Some(("acme", "")));
        assert_eq!(
            scim_path("/scim/acme/v2/Users/1"),
            Some(("acme", "/Users/1"))
        );
        for other in [
            "/scim",
            "/scim/",
            "/scim/acme",
            "/scim//v2",
            "/scim/acme/v20",
            "/scim/acme/v1/Users",
            "/SCIM/acme/v2",
            "/x/scim/acme/v2",
        ] {
            assert_eq!(scim_path(other), None, "{other}");
        }
    }
}
