//! HTTP/1.1 with an app (RFC 9112): a request is written and its answer is read in the task of the request itself, so
//! that an answer wakes one task, and goes through no channel.
//!
//! - [`question`] writes a request, its body as it comes, and waits for the head of the answer.
//! - [`head`] reads that head and says how the body is framed.
//! - [`chunks`] reads a chunked body.
//! - [`body`] is the body of an answer; with its end, the connection goes back to its pool.

mod body;
mod chunks;
mod head;
mod question;
mod wire;

use std::io;

pub(crate) use body::AppBody;
pub(crate) use head::{AnswerHead, Framing};
pub(crate) use question::{Failed, Question, write_field};
pub(crate) use wire::Wire;

use super::body::BodyFault;

/// Why an app's answer, or the rest of it, cannot be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AppFault {
    /// The connection failed.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// It ended before the head of an answer did.
    #[error("the app closed the connection without an answer")]
    NoAnswer,
    /// It ended before the body did.
    #[error("the app closed the connection within its answer")]
    Truncated,
    /// The head is not HTTP/1.
    #[error("the head of the answer is malformed: {0}")]
    Head(#[from] httparse::Error),
    /// The head exceeds what usher reads.
    #[error("the head of the answer has more than 64 KiB")]
    HeadTooLarge,
    /// It cannot be told where the body ends.
    #[error("{0}")]
    Framing(&'static str),
    /// The body is not chunked as it must be.
    #[error("a chunk of the answer is malformed")]
    Chunk,
    /// The client did not send all of its request.
    #[error("{0}")]
    Client(BodyFault),
}
