//! Requests that usher itself makes: to IdPs and callbacks. Redirects are never followed, answers
//! are bounded in time and size, and proxies from the environment are not used.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};

/// A client for usher's own requests; cheap to clone.
#[derive(Clone, Debug)]
pub struct Outbound {
    client: reqwest::Client,
}

/// An answer that was read whole.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Status.
    pub status: StatusCode,
    /// Header fields.
    pub headers: HeaderMap,
    /// Body, at most as long as was allowed.
    pub body: Bytes,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum OutboundError {
    /// No connection, or it broke.
    #[error("no connection: {0}")]
    Connect(String),
    /// It took longer than allowed.
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    /// The answer was larger than allowed.
    #[error("the answer is larger than {0} bytes")]
    TooLarge(usize),
    /// The client could not be built, or the request is not valid.
    #[error("the request could not be made: {0}")]
    Invalid(String),
}

impl Outbound {
    /// A client with public roots (and, for tests, `extra_roots` in PEM).
    pub fn new(extra_roots: &[Vec<u8>]) -> Result<Self, OutboundError> {
        let _ = extra_roots;
        todo!()
    }

    /// Sends one request and reads its answer: at most `limit` bytes and `within` in all.
    pub async fn send(
        &self,
        request: Request<Bytes>,
        limit: usize,
        within: Duration,
    ) -> Result<Answer, OutboundError> {
        let _ = (&self.client, request, limit, within);
        todo!()
    }
}
