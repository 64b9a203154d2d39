//! The body of an app's answer.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use tokio::io::ReadHalf;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::super::body::BodyFault;
use super::super::connect::AppStream;
use super::super::pool::Lease;
use super::AppFault;
use super::chunks::{Chunks, Piece};
use super::head::Framing;
use super::wire::{ROOM, poll_fill, take_up_to};

/// Room that is made for a read of a long body, in bytes.
const MOST_ROOM: usize = 64 * 1024;

/// The body of an app's answer. When it ends, the connection goes back to its pool; when it is dropped before, the
/// connection is closed.
#[derive(Debug)]
pub(crate) struct AppBody {
    source: Source,
    left: Left,
    reusable: bool,
    /// Room for the next read, in bytes: more, the more the app has to say.
    room: usize,
    /// Why it broke off; told once what came before has gone out.
    fault: Option<AppFault>,
}

/// What is left of a body.
#[derive(Debug)]
enum Left {
    Nothing,
    Exact(u64),
    Chunks(Chunks),
    UntilClose,
}

/// Where a body comes from.
#[derive(Debug)]
pub(super) enum Source {
    /// Nowhere any more.
    Gone,
    /// A connection of the pool.
    Lease(Lease),
    /// A connection on which the request's body is still being sent.
    Busy(Busy),
}

/// One side of a connection; a task of its own sends on the other.
#[derive(Debug)]
pub(super) struct Busy {
    pub(super) read: ReadHalf<AppStream>,
    pub(super) ahead: BytesMut,
    /// Ends with why the client's body failed, if it did.
    pub(super) upload: Option<JoinHandle<Result<(), BodyFault>>>,
    /// Dropped with the body: the upload is then not waited for much longer.
    pub(super) _answer: oneshot::Sender<()>,
}

impl Source {
    fn ahead(&mut self) -> Option<&mut BytesMut> {
        match self {
            Self::Gone => None,
            Self::Lease(lease) => Some(&mut lease.link.wire.ahead),
            Self::Busy(busy) => Some(&mut busy.ahead),
        }
    }

    /// Reads more; 0 at the end.
    fn poll_fill(
        &mut self,
        context: &mut Context<'_>,
        room: usize,
    ) -> Poll<Result<usize, AppFault>> {
        match self {
            Self::Gone => Poll::Ready(Ok(0)),
            Self::Lease(lease) => Ok(ready!(lease.link.wire.poll_fill(context, room))?).into(),
            Self::Busy(busy) => busy.poll_fill(context, room),
        }
    }
}

impl Busy {
    fn poll_fill(
        &mut self,
        context: &mut Context<'_>,
        room: usize,
    ) -> Poll<Result<usize, AppFault>> {
        if let Some(upload) = &mut self.upload
            && let Poll::Ready(ended) = Pin::new(upload).poll(context)
        {
            self.upload = None;
            if let Ok(Err(fault)) = ended {
                return Poll::Ready(Err(AppFault::Client(fault)));
            }
        }
        Ok(ready!(poll_fill(
            &mut self.read,
            &mut self.ahead,
            context,
            room
        ))?)
        .into()
    }
}

impl AppBody {
    /// What follows a head with that framing.
    pub(super) fn new(source: Source, framing: Framing, reusable: bool) -> Self {
        let mut body = Self {
            source,
            left: match framing {
                Framing::Exact(0) | Framing::Switched => Left::Nothing,
                Framing::Exact(length) => Left::Exact(length),
                Framing::Chunked => Left::Chunks(Chunks::Size),
                Framing::UntilClose => Left::UntilClose,
            },
            reusable,
            room: ROOM,
            fault: None,
        };
        if body.is_end_stream() {
            body.end();
        }
        body
    }

    /// Closes the connection.
    pub(crate) fn cut(&mut self) {
        self.source = Source::Gone;
    }

    /// The body is over: the connection may be used again, if nothing came after it.
    fn end(&mut self) {
        self.left = Left::Nothing;
        if let Source::Lease(lease) = std::mem::replace(&mut self.source, Source::Gone)
            && self.reusable
        {
            lease.release();
        }
    }

    /// What there is of the body in what was read ahead.
    fn take(&mut self) -> Result<Option<Frame<Bytes>>, AppFault> {
        let Some(ahead) = self.source.ahead() else {
            return Ok(None);
        };
        let taken = match &mut self.left {
            Left::Nothing => None,
            Left::Exact(_) | Left::UntilClose if ahead.is_empty() => None,
            Left::Exact(left) => {
                let data = take_up_to(ahead, left);
                if *left == 0 {
                    self.end();
                }
                Some(Frame::data(data))
            }
            Left::UntilClose => Some(Frame::data(ahead.split().freeze())),
            Left::Chunks(chunks) => match chunks.take(ahead)? {
                None => None,
                Some(Piece::Data(data)) => Some(Frame::data(data)),
                Some(Piece::End(trailers)) => {
                    self.end();
                    let trailers = clean(trailers);
                    (!trailers.is_empty()).then(|| Frame::trailers(trailers))
                }
            },
        };
        Ok(taken)
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, AppFault>>> {
        loop {
            if let Some(frame) = self.take()? {
                return Poll::Ready(Some(Ok(frame)));
            }
            let room = match &self.left {
                Left::Nothing => return Poll::Ready(None),
                Left::Exact(left) => self.room.min(usize::try_from(*left).unwrap_or(usize::MAX)),
                Left::Chunks(_) | Left::UntilClose => self.room,
            };
            match ready!(self.source.poll_fill(context, room))? {
                0 => match self.left {
                    Left::UntilClose => self.end(),
                    Left::Nothing | Left::Exact(_) | Left::Chunks(_) => {
                        return Poll::Ready(Some(Err(AppFault::Truncated)));
                    }
                },
                read if read >= self.room => self.room = (self.room * 2).min(MOST_ROOM),
                _ => {}
            }
        }
    }
}

impl Body for AppBody {
    type Data = Bytes;
    type Error = AppFault;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, AppFault>>> {
        if let Some(fault) = self.fault.take() {
            return Poll::Ready(Some(Err(fault)));
        }
        let polled = self.poll(context);
        let Poll::Ready(Some(Err(fault))) = polled else {
            return polled;
        };
        self.cut();
        // An error drops what is not flushed yet, and that is the beginning of the answer.
        self.fault = Some(fault);
        context.waker().wake_by_ref();
        Poll::Pending
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.left, Left::Nothing)
    }

    fn size_hint(&self) -> SizeHint {
        match self.left {
            Left::Nothing => SizeHint::with_exact(0),
            Left::Exact(left) => SizeHint::with_exact(left),
            Left::Chunks(_) | Left::UntilClose => SizeHint::default(),
        }
    }
}

/// Trailers without what belongs into a head alone (RFC 9110 6.5.1).
fn clean(mut trailers: HeaderMap) -> HeaderMap {
    for name in super::super::body::NEVER_TRAILERS {
        trailers.remove(name);
    }
    trailers
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use http::header::{CONTENT_LENGTH, SET_COOKIE};

    #[test]
    fn trailers_set_no_cookies_and_no_lengths() {
        let mut trailers = HeaderMap::new();
        trailers.insert("x-sum", HeaderValue::from_static("1"));
        trailers.insert(CONTENT_LENGTH, HeaderValue::from_static("7"));
        trailers.append(SET_COOKIE, HeaderValue::from_static("a=b"));
        trailers.append(SET_COOKIE, HeaderValue::from_static("c=d"));
        let kept = clean(trailers);
        assert_eq!(kept.len(), 1);
        assert_eq!(kept["x-sum"], "1");
    }
}
