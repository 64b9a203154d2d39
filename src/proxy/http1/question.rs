//! A request to an app: its head and, as it comes, its body are written while the head of the answer is awaited.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use http::{HeaderMap, Response};
use http_body::Body;
use tokio::io::AsyncWrite;
use tokio::sync::oneshot;

use super::super::body::{BodyFault, Upload};
use super::super::pool::Lease;
use super::AppFault;
use super::body::{AppBody, Busy, Source};
use super::head::AnswerHead;
use super::wire::{ROOM, Wire};

/// For so long the rest of a request's body is sent after its answer has ended.
const LINGER_FOR: Duration = Duration::from_secs(30);

/// A request on its way.
pub(crate) struct Question {
    /// The method is HEAD: the answer has no body.
    to_head: bool,
    out: Out,
    /// What is left of the body to come.
    upload: Option<Box<Upload>>,
    /// How many of its bytes the head announced; none for a chunked one.
    announced: Option<u64>,
    /// All was sent, or cannot be: the app takes no more, but may have answered.
    sent: bool,
    broken: Option<io::Error>,
}

/// What is to be written, in this order.
#[derive(Default)]
struct Out {
    head: Vec<u8>,
    /// So much of `head` was written.
    done: usize,
    data: Bytes,
    end: &'static [u8],
    /// Whether any byte was written.
    begun: bool,
}

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum Failed {
    /// Not a byte was written: the question can be put again as it is.
    Unsent(io::Error),
    /// The app closed the connection, or it broke, before a byte of an answer.
    Silent(AppFault),
    /// All else.
    Fault(AppFault),
}

impl Question {
    /// With a head written in full; `upload` is framed as the head says.
    pub(crate) fn new(head: Vec<u8>, to_head: bool, upload: Option<Box<Upload>>) -> Self {
        Self {
            to_head,
            announced: upload.as_ref().and_then(|upload| upload.length()),
            out: Out {
                head,
                ..Out::default()
            },
            upload,
            sent: false,
            broken: None,
        }
    }

    /// Makes ready to be put again, over another connection; only for one without a body, or of which nothing was written.
    pub(crate) fn rewind(&mut self) {
        self.out.done = 0;
        self.out.begun = false;
        self.sent = false;
        self.broken = None;
    }

    /// Writes what it can, and gives the head of the answer once it is there.
    pub(crate) fn poll(
        &mut self,
        wire: &mut Wire,
        context: &mut Context<'_>,
    ) -> Poll<Result<AnswerHead, Failed>> {
        if !self.sent {
            match self.poll_send(&mut wire.stream, context) {
                Poll::Pending => {}
                Poll::Ready(Ok(())) => self.sent = true,
                Poll::Ready(Err(AppFault::Io(error))) if !self.out.begun => {
                    return Poll::Ready(Err(Failed::Unsent(error)));
                }
                Poll::Ready(Err(AppFault::Io(error))) => {
                    self.sent = true;
                    self.broken = Some(error);
                }
                Poll::Ready(Err(fault)) => return Poll::Ready(Err(Failed::Fault(fault))),
            }
        }
        loop {
            match AnswerHead::take(&mut wire.ahead, self.to_head) {
                Ok(Some(mut head)) => {
                    head.reusable &= self.broken.is_none();
                    return Poll::Ready(Ok(head));
                }
                Ok(None) => {}
                Err(fault) => return Poll::Ready(Err(Failed::Fault(fault))),
            }
            let fault = match ready!(wire.poll_fill(context, ROOM)) {
                Ok(1..) => continue,
                Ok(0) => AppFault::NoAnswer,
                Err(error) => AppFault::Io(error),
            };
            let fault = self.broken.take().map_or(fault, AppFault::Io);
            return Poll::Ready(Err(match wire.ahead.is_empty() {
                true => Failed::Silent(fault),
                false => Failed::Fault(fault),
            }));
        }
    }

    /// The answer with its body. What is left of the request's is sent on by a task of its own.
    pub(crate) fn answered(self, head: AnswerHead, mut lease: Lease) -> Response<AppBody> {
        let source = match self.sent {
            true => {
                lease.link.wire.keep_spare(self.out.head);
                Source::Lease(lease)
            }
            false => Source::Busy(self.send_on(lease)),
        };
        head.response
            .map(|()| AppBody::new(source, head.framing, head.reusable))
    }

    fn send_on(mut self, lease: Lease) -> Busy {
        let (stream, ahead) = lease.into_wire().into_parts();
        let (read, mut write) = tokio::io::split(stream);
        let (answer, answered) = oneshot::channel::<()>();
        let upload = tokio::spawn(async move {
            let send = std::future::poll_fn(|context| self.poll_send(&mut write, context));
            let late = async {
                // An error is what it waits for: the other side is dropped.
                let _ = answered.await;
                tokio::time::sleep(LINGER_FOR).await;
            };
            tokio::select! {
                sent = send => match sent {
                    Err(AppFault::Client(fault)) => Err(fault),
                    // An app that reads no more may still answer.
                    Ok(()) | Err(_) => Ok(()),
                },
                () = late => Ok(()),
            }
        });
        Busy {
            read,
            ahead,
            upload: Some(upload),
            _answer: answer,
        }
    }

    /// Writes all of the request, as its body comes.
    fn poll_send<W: AsyncWrite + Unpin>(
        &mut self,
        stream: &mut W,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), AppFault>> {
        loop {
            let waits = self.poll_body(context)?.is_pending();
            ready!(self.out.poll_write(stream, context))?;
            if waits || self.upload.is_none() {
                ready!(Pin::new(&mut *stream).poll_flush(context))?;
            }
            if waits {
                return Poll::Pending;
            }
            if self.upload.is_none() {
                return Poll::Ready(Ok(()));
            }
        }
    }

    /// Takes the next part of the body, where there is room for it. Pending while the client is waited for.
    fn poll_body(&mut self, context: &mut Context<'_>) -> Poll<Result<(), AppFault>> {
        let Some(upload) = self.upload.as_mut().filter(|_| self.out.has_room()) else {
            return Poll::Ready(Ok(()));
        };
        let frame = match ready!(Pin::new(&mut **upload).poll_frame(context)) {
            None => return Poll::Ready(self.end(None)),
            Some(frame) => frame.map_err(AppFault::Client)?,
        };
        let data = match frame.into_data() {
            Ok(data) => data,
            Err(frame) => return Poll::Ready(self.end(frame.into_trailers().ok())),
        };
        let ended = upload.is_end_stream();
        match &mut self.announced {
            Some(left) => {
                let here = data.len() as u64;
                *left = left.checked_sub(here).ok_or(MISCOUNTED)?;
                self.out.data = data;
            }
            None => self.out.chunk(data),
        }
        if ended && self.announced.is_some() {
            return Poll::Ready(self.end(None));
        }
        Poll::Ready(Ok(()))
    }

    /// The body is at its end.
    fn end(&mut self, trailers: Option<HeaderMap>) -> Result<(), AppFault> {
        self.upload = None;
        match self.announced {
            Some(0) => Ok(()),
            Some(_) => Err(MISCOUNTED),
            None => {
                self.out.last_chunk(&trailers.unwrap_or_default());
                Ok(())
            }
        }
    }
}

/// A body that is longer or shorter than it said.
const MISCOUNTED: AppFault = AppFault::Client(BodyFault::Malformed);

impl Out {
    /// Whether the next part of a body may be put in.
    fn has_room(&self) -> bool {
        self.data.is_empty() && self.end.is_empty()
    }

    /// What was written of the head makes room for more.
    fn append(&mut self) -> &mut Vec<u8> {
        if self.done == self.head.len() {
            self.head.clear();
            self.done = 0;
        }
        &mut self.head
    }

    fn chunk(&mut self, data: Bytes) {
        // A chunk without bytes would be the last.
        if data.is_empty() {
            return;
        }
        let size = format!("{:x}\r\n", data.len());
        self.append().extend_from_slice(size.as_bytes());
        self.data = data;
        self.end = b"\r\n";
    }

    fn last_chunk(&mut self, trailers: &HeaderMap) {
        let out = self.append();
        out.extend_from_slice(b"0\r\n");
        for (name, value) in trailers {
            write_field(out, name.as_str(), value.as_bytes());
        }
        out.extend_from_slice(b"\r\n");
    }

    /// Writes until nothing is left.
    fn poll_write<W: AsyncWrite + Unpin>(
        &mut self,
        stream: &mut W,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            let head = self.head.get(self.done..).unwrap_or_default();
            let stream = Pin::new(&mut *stream);
            let polled = match (head.is_empty(), self.data.is_empty() && self.end.is_empty()) {
                (true, true) => return Poll::Ready(Ok(())),
                (false, true) => stream.poll_write(context, head),
                (_, false) => {
                    let slices = [head, &self.data, self.end].map(IoSlice::new);
                    let first = usize::from(head.is_empty());
                    stream.poll_write_vectored(context, slices.get(first..).unwrap_or_default())
                }
            };
            match ready!(polled)? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => self.advance(written),
            }
        }
    }

    fn advance(&mut self, written: usize) {
        self.begun = true;
        let of_head = written.min(self.head.len() - self.done);
        self.done += of_head;
        let of_data = (written - of_head).min(self.data.len());
        self.data.advance(of_data);
        let of_end = written - of_head - of_data;
        self.end = self.end.get(of_end..).unwrap_or_default();
    }
}

/// Appends a header field (RFC 9112 5).
pub(crate) fn write_field(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.reserve(name.len() + value.len() + 4);
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}
