//! The admin pages: rendered here, working without JavaScript, at an origin of their own.

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use jiff::Timestamp;

use crate::usher::Usher;

/// What the pages must know of a request besides its head and body.
#[derive(Clone, Copy, Debug)]
pub struct PageAsked<'a> {
    /// Request id.
    pub request_id: &'a str,
    /// Address of the client.
    pub client: IpAddr,
    /// Now.
    pub now: Timestamp,
}

/// Answers a request at `admin.public_url` that is for none of usher's endpoints. Never fails: a fault is an answer too.
pub async fn answer(
    usher: &Arc<Usher>,
    request: Request<Bytes>,
    asked: PageAsked<'_>,
) -> Response<String> {
    let _ = (usher, request, asked);
    todo!()
}
