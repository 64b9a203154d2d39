//! SCIM on the public side: `/_usher/scim/{idp}/v2`.

use std::sync::Arc;

use bytes::Bytes;
use http::request::Parts;
use http::{Request, Response};

use super::Asked;
use crate::admin::scim::{self, ScimAsked};
use crate::usher::Usher;

/// The IdP and the path below `/v2`, where a path is one of SCIM.
pub(super) fn place<'a>(usher: &Usher, path: &'a str) -> Option<(&'a str, &'a str)> {
    let rest = path.strip_prefix(usher.config.prefix.as_str())?;
    let (idp, rest) = rest.strip_prefix("/scim/")?.split_once('/')?;
    let below = rest.strip_prefix("v2")?;
    (below.is_empty() || below.starts_with('/')).then_some((idp, below))
}

/// What is read of a body: more than elsewhere, and only of a client who is known.
pub(super) fn body_limit(
    usher: &Usher,
    parts: &Parts,
) -> Option<Result<usize, Box<Response<String>>>> {
    let (idp, _) = place(usher, parts.uri.path())?;
    Some(scim::admit(usher, idp, &parts.headers).map(|()| scim::BODY_LIMIT))
}

/// Answers with the server at the place that [`place`] found.
pub(super) async fn answer(
    usher: &Arc<Usher>,
    (parts, body): (Parts, Bytes),
    (idp, path): (&str, &str),
    asked: &Asked<'_>,
) -> Response<String> {
    let origin = &asked.site.public_url.origin;
    let base = format!("{origin}{}/scim/{idp}/v2", usher.config.prefix);
    let asked = ScimAsked {
        idp,
        path,
        base: &base,
        request_id: asked.request_id,
        client: asked.client,
        now: asked.now,
    };
    scim::answer(usher, Request::from_parts(parts, body), asked).await
}
