//! Everything under `/_usher`: functions over `http` types, with one path table.

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::request::Parts;
use http::{Request, Response};
use jiff::Timestamp;

use crate::config::{App, Site};
use crate::refusal::Refusal;
use crate::usher::Usher;

/// Largest body that an endpoint reads, in bytes.
pub const BODY_LIMIT: usize = 256 * 1024;

/// What an endpoint must know of the request besides its head and body.
#[derive(Clone, Debug)]
pub struct Asked<'a> {
    /// The site that the Host led to.
    pub site: &'a Arc<Site>,
    /// Request id.
    pub request_id: &'a str,
    /// Address of the client, behind trusted proxies where there are.
    pub client: IpAddr,
    /// Now.
    pub now: Timestamp,
}

/// Whether `path` is one of usher's own: the prefix itself or below it, on a segment boundary.
pub fn owns(prefix: &str, path: &str) -> bool {
    path.strip_prefix(prefix)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Answers a request under the prefix. Never fails: a fault is an answer too.
pub async fn answer(
    usher: &Arc<Usher>,
    request: Request<Bytes>,
    asked: &Asked<'_>,
) -> Response<String> {
    let _ = (usher, request, asked);
    todo!()
}

/// What a request to `app` gets that needs a sign-in: a redirect for a navigation, else 401 JSON.
pub fn needs_sign_in(
    usher: &Usher,
    app: &App,
    request: &Parts,
    asked: &Asked<'_>,
) -> Response<String> {
    let _ = (usher, app, request, asked);
    todo!()
}

/// What a request to an app gets that is refused: a page for a navigation, else JSON.
pub fn refused(
    usher: &Usher,
    refusal: &Refusal,
    request: &Parts,
    asked: &Asked<'_>,
) -> Response<String> {
    let _ = (usher, refusal, request, asked);
    todo!()
}
