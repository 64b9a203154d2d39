//! The SCIM 2.0 server (RFC 7643, RFC 7644), one tenant for each IdP.

mod auth;
mod bulk;
mod change;
mod discovery;
mod error;
mod filter;
mod json;
mod list;
mod patch;
mod project;
mod render;
mod reply;
mod resource;
mod route;
mod schema;

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use jiff::Timestamp;

use self::error::ScimError;
use crate::audit::{Actor, By};
use crate::config::Idp;
use crate::identity::UserId;
use crate::revoke::Why;
use crate::usher::Usher;

/// Largest body that the server reads, in bytes.
pub const BODY_LIMIT: usize = 1024 * 1024;

/// What the server must know of a request besides its head and body.
#[derive(Clone, Copy, Debug)]
pub struct ScimAsked<'a> {
    /// Id of the IdP as it stands in the path.
    pub idp: &'a str,
    /// The path below `/v2`, with its leading slash; empty for `/v2` itself.
    pub path: &'a str,
    /// The absolute URL of `/v2` as the client sees it, for `meta.location`.
    pub base: &'a str,
    /// Request id.
    pub request_id: &'a str,
    /// Address of the client.
    pub client: IpAddr,
    /// Now.
    pub now: Timestamp,
}

/// Refuses a client that is not the one of that IdP: for doors that ask before they read the body. [`answer`] asks again.
///
/// # Errors
/// The answer: 401, the same for an IdP that does not exist.
pub fn admit(usher: &Usher, idp: &str, headers: &HeaderMap) -> Result<(), Box<Response<String>>> {
    match auth::tenant(usher, idp, headers) {
        Some(_) => Ok(()),
        None => Err(Box::new(auth::refusal())),
    }
}

/// Answers a SCIM request: authentication first, for every method and path. Never fails: a fault is an answer too.
pub async fn answer(
    usher: &Arc<Usher>,
    request: Request<Bytes>,
    asked: ScimAsked<'_>,
) -> Response<String> {
    let (parts, body) = request.into_parts();
    let Some(idp) = auth::tenant(usher, asked.idp, &parts.headers) else {
        return auth::refusal();
    };
    let call = Call {
        usher: Arc::clone(usher),
        by: By {
            actor: Actor::Scim(idp.id.clone()),
            client: Some(asked.client),
            request_id: Some(asked.request_id.to_owned()),
        },
        idp,
        path: asked.path.to_owned(),
        base: asked.base.to_owned(),
        now: asked.now,
        parts,
        body,
    };
    if matches!(call.parts.method, Method::GET | Method::HEAD) {
        return call.answer().await;
    }
    // What was written must take effect, also where the client does not wait for the answer.
    match tokio::spawn(call.answer()).await {
        Ok(response) => response,
        Err(error) => {
            tracing::error!(event = "scim_fault", %error, "a SCIM request was not answered");
            let status = StatusCode::INTERNAL_SERVER_ERROR;
            reply::error(&ScimError::plain(status, "an internal fault"))
        }
    }
}

/// One request of a client who is known.
struct Call {
    usher: Arc<Usher>,
    idp: Arc<Idp>,
    by: By,
    path: String,
    base: String,
    now: Timestamp,
    parts: Parts,
    body: Bytes,
}

impl Call {
    async fn answer(self) -> Response<String> {
        match route::route(&self).await {
            Ok(reply) => reply.into_response(),
            Err(error) => {
                tracing::info!(
                    event = "scim_refused",
                    idp = %self.idp.id,
                    method = %self.parts.method,
                    status = error.status.as_u16(),
                    kind = error.kind.map(error::ScimType::as_str),
                    detail = error.detail,
                    "a SCIM request was refused"
                );
                reply::error(&error)
            }
        }
    }

    /// Lets what was written take effect on sessions and apps.
    async fn follow(&self, touched: Vec<UserId>, why: Why) -> Result<(), ScimError> {
        for user in touched {
            self.usher.follow(&user, why, self.now).await?;
        }
        Ok(())
    }
}
