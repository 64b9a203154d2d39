//! What stands between a client's HTTP/1 bytes and hyper: only complete heads and bodies pass that every reader delimits alike.
//!
//! hyper never sees an incomplete or a refused head. In the place of a refused one it gets a stand-in request with a
//! method that no client can send, so that the answer keeps its order among pipelined ones.

mod chunked;
mod head;

use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use self::chunked::Chunked;
use self::head::{End, Framing};
pub(crate) use self::head::{Fault, REFUSED_METHOD};
use super::gather::poll_write_slices;
use super::state::{ConnectionState, UpgradeAnswer};
use super::timer::LazyTimer;
use crate::config::Limits;

/// How long, and for how many bytes, a closing connection still reads what the client is sending: closing at once would
/// reset it before the client has read the answer.
const LINGER_FOR: Duration = Duration::from_secs(1);
const LINGER_BYTES: usize = 1024 * 1024;

/// The body is framed in a way that readers disagree on.
#[derive(Debug, thiserror::Error)]
#[error("the body of the request is not framed as it must be")]
pub(crate) struct BadFraming;

/// What is being read.
#[derive(Debug)]
enum Reading {
    /// Heads; the next byte begins or continues one.
    Head,
    /// A body of so many more bytes.
    Length(u64),
    /// A chunked body.
    Chunked(Box<Chunked>),
    /// Nothing, until the app answered whether it changes the protocol.
    Upgrade,
    /// Bytes of another protocol (HTTP/2, or after 101): not looked at.
    Through,
    /// Nothing more: a head was refused.
    Refused,
    /// Nothing more: a body was malformed.
    Broken,
    /// Nothing at all: what came first was no HTTP.
    Foreign,
}

/// What a scan of fresh bytes came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scan {
    /// So many bytes may pass; what follows waits.
    Pass(usize),
    /// So many bytes may pass; then comes a head that is refused.
    Refuse(usize, Fault),
    /// So many bytes may pass; then comes a body that is malformed.
    BadBody(usize),
}

/// The guard around one connection.
#[derive(Debug)]
pub(crate) struct Guard<S> {
    io: S,
    reading: Reading,
    /// Whether no head was seen yet.
    fresh: bool,
    /// Read, but not passed on yet: an incomplete head, or what follows a request to upgrade.
    held: Vec<u8>,
    /// Where the search for the end of the held head goes on.
    searched: usize,
    /// May pass, but did not fit.
    ready: Vec<u8>,
    state: Arc<ConnectionState>,
    header_bytes: usize,
    headers: usize,
    linger: Option<(LazyTimer, usize)>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Guard<S> {
    /// Guards an HTTP/1 connection of which `first` was read already.
    pub(crate) fn http1(
        io: S,
        first: Vec<u8>,
        limits: &Limits,
        state: Arc<ConnectionState>,
    ) -> Self {
        let mut guard = Self::through(io, Vec::new(), state);
        guard.reading = Reading::Head;
        guard.header_bytes = limits.header_bytes;
        guard.headers = limits.headers;
        guard.held = first;
        guard.release();
        guard
    }

    /// Lets everything pass; only stalls are noted.
    pub(crate) fn through(io: S, first: Vec<u8>, state: Arc<ConnectionState>) -> Self {
        Self {
            io,
            reading: Reading::Through,
            fresh: true,
            held: Vec::new(),
            searched: 0,
            ready: first,
            state,
            header_bytes: 0,
            headers: 0,
            linger: None,
        }
    }

    /// Scans `fresh` on from the present state.
    fn scan(&mut self, fresh: &[u8]) -> Scan {
        let mut at = 0;
        while let Some(rest) = fresh.get(at..).filter(|rest| !rest.is_empty()) {
            match &mut self.reading {
                Reading::Head => match self.scan_head(rest) {
                    Ok(Some(length)) => at += length,
                    Ok(None) => break,
                    Err(fault) => return Scan::Refuse(at, fault),
                },
                Reading::Length(left) => {
                    let here = rest.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                    *left -= here as u64;
                    at += here;
                    if *left == 0 {
                        self.reading = Reading::Head;
                    }
                }
                Reading::Chunked(chunked) => match chunked.advance(rest) {
                    Ok((length, done)) => {
                        at += length;
                        if done {
                            self.reading = Reading::Head;
                        }
                    }
                    Err(_) => return Scan::BadBody(at),
                },
                Reading::Upgrade | Reading::Refused | Reading::Broken | Reading::Foreign => break,
                Reading::Through => return Scan::Pass(fresh.len()),
            }
        }
        Scan::Pass(at)
    }

    /// Looks for a whole head at the start of `rest`; sets what is read after it.
    fn scan_head(&mut self, rest: &[u8]) -> Result<Option<usize>, Fault> {
        let end = match head::find_end(rest, std::mem::take(&mut self.searched)) {
            End::At(end) => end,
            End::BareLf => return Err(Fault::Malformed),
            End::Incomplete(_) if rest.len() > self.header_bytes => return Err(Fault::TooLarge),
            End::Incomplete(line) => {
                self.searched = line;
                self.state.head_begun();
                return Ok(None);
            }
        };
        if end > self.header_bytes {
            return Err(Fault::TooLarge);
        }
        let head = head::check(rest.get(..end).unwrap_or_default(), self.headers)?;
        self.state.head_done();
        self.fresh = false;
        self.reading = match head.framing {
            Framing::None if head.upgrade => {
                self.state.await_upgrade();
                Reading::Upgrade
            }
            Framing::None => Reading::Head,
            Framing::Length(length) => Reading::Length(length),
            Framing::Chunked => {
                Reading::Chunked(Box::new(Chunked::new(self.header_bytes, self.headers)))
            }
        };
        Ok(Some(end))
    }

    /// Scans what is held, and moves what may pass to `ready`.
    fn release(&mut self) {
        let held = std::mem::take(&mut self.held);
        match self.scan(&held) {
            Scan::Pass(length) if length == held.len() => self.ready = held,
            Scan::Pass(length) => {
                let (pass, rest) = held.split_at(length);
                self.ready = pass.to_vec();
                self.held = rest.to_vec();
            }
            Scan::Refuse(0, Fault::Malformed) if self.fresh && !head::looks_like_http(&held) => {
                // Who speaks another protocol cannot read an answer in this one.
                self.reading = Reading::Foreign;
            }
            Scan::Refuse(length, fault) => {
                self.ready = held.get(..length).unwrap_or_default().to_vec();
                self.refuse(fault);
            }
            Scan::BadBody(length) => {
                self.ready = held.get(..length).unwrap_or_default().to_vec();
                self.reading = Reading::Broken;
            }
        }
    }

    fn refuse(&mut self, fault: Fault) {
        self.state.head_done();
        self.held = Vec::new();
        self.reading = Reading::Refused;
        self.ready.extend_from_slice(fault.stand_in());
    }

    /// Reads straight into hyper's buffer: nothing is copied where all that came may pass.
    fn read_through(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<bool>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.io).poll_read(context, buffer))?;
        if buffer.filled().len() == before {
            return Poll::Ready(Ok(true));
        }
        let fresh = buffer.filled().get(before..).unwrap_or_default();
        match self.scan(fresh) {
            Scan::Pass(length) => {
                self.held
                    .extend_from_slice(fresh.get(length..).unwrap_or_default());
                buffer.set_filled(before + length);
            }
            Scan::Refuse(0, Fault::Malformed) if self.fresh && !head::looks_like_http(fresh) => {
                buffer.set_filled(before);
                self.reading = Reading::Foreign;
            }
            Scan::Refuse(length, fault) => {
                buffer.set_filled(before + length);
                self.refuse(fault);
            }
            Scan::BadBody(length) => {
                buffer.set_filled(before + length);
                self.reading = Reading::Broken;
            }
        }
        Poll::Ready(Ok(buffer.filled().len() > before))
    }

    /// Reads the rest of a head whose beginning is held. True at the end of the stream.
    fn read_held(&mut self, context: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let mut space = [0; 4096];
        let mut buffer = ReadBuf::new(&mut space);
        ready!(Pin::new(&mut self.io).poll_read(context, &mut buffer))?;
        if buffer.filled().is_empty() {
            return Poll::Ready(Ok(true));
        }
        self.held.extend_from_slice(buffer.filled());
        self.release();
        Poll::Ready(Ok(false))
    }

    /// Goes on once the app has answered a request to upgrade.
    fn upgrade_answered(&mut self, context: &mut Context<'_>) -> Poll<()> {
        match self.state.poll_upgrade(context) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(UpgradeAnswer::Granted) => {
                self.reading = Reading::Through;
                self.ready = std::mem::take(&mut self.held);
            }
            Poll::Ready(UpgradeAnswer::Denied) => {
                self.reading = Reading::Head;
                self.release();
            }
        }
        Poll::Ready(())
    }

    /// Looks whether the client is still there while its answer is awaited: hyper itself does not, as it would take a buffer of
    /// its own each time (see `http1_builder`). What the client sends already is held for later.
    ///
    /// # Errors
    /// `ConnectionAborted` where the client has closed its side.
    fn watch(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        let between = matches!(self.reading, Reading::Head);
        if !between || !self.held.is_empty() || !self.ready.is_empty() || !self.state.is_busy() {
            return Ok(());
        }
        let mut space = [MaybeUninit::uninit(); 1024];
        let mut buffer = ReadBuf::uninit(&mut space);
        let polled = Pin::new(&mut self.io).poll_read(context, &mut buffer)?;
        if polled.is_pending() {
            return Ok(());
        }
        if buffer.filled().is_empty() {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        self.held.extend_from_slice(buffer.filled());
        self.release();
        Ok(())
    }

    fn note_write<T>(&self, poll: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        self.state.stalled(poll.is_pending());
        poll
    }

    /// Whether the client may still be sending what nobody will read.
    fn unread(&self) -> bool {
        match &self.reading {
            Reading::Refused
            | Reading::Broken
            | Reading::Foreign
            | Reading::Length(_)
            | Reading::Chunked(_) => true,
            Reading::Head | Reading::Upgrade => !self.held.is_empty(),
            Reading::Through => false,
        }
    }
}

fn bad_framing() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, BadFraming)
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Guard<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let guard = &mut *self;
        loop {
            if !guard.ready.is_empty() {
                let here = guard.ready.len().min(buffer.remaining());
                buffer.put_slice(guard.ready.get(..here).unwrap_or_default());
                guard.ready.drain(..here);
                return Poll::Ready(Ok(()));
            }
            match guard.reading {
                Reading::Foreign => return Poll::Ready(Ok(())),
                Reading::Refused => return Poll::Pending,
                Reading::Broken => return Poll::Ready(Err(bad_framing())),
                Reading::Upgrade => ready!(guard.upgrade_answered(context)),
                Reading::Through => return Pin::new(&mut guard.io).poll_read(context, buffer),
                Reading::Head | Reading::Length(_) | Reading::Chunked(_) => {
                    let done = if guard.held.is_empty() {
                        ready!(guard.read_through(context, buffer))?
                    } else {
                        ready!(guard.read_held(context))?
                    };
                    if done {
                        return Poll::Ready(Ok(()));
                    }
                }
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Guard<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.io).poll_write(context, bytes);
        if poll.is_pending() {
            self.watch(context)?;
        }
        self.note_write(poll)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let poll = poll_write_slices(Pin::new(&mut self.io), context, slices);
        if poll.is_pending() {
            self.watch(context)?;
        }
        self.note_write(poll)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    /// hyper flushes whenever it has nothing more to do for now.
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.watch(context)?;
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let guard = &mut *self;
        if guard.linger.is_none() {
            ready!(Pin::new(&mut guard.io).poll_shutdown(context))?;
            if !guard.unread() {
                return Poll::Ready(Ok(()));
            }
        }
        let (timer, left) = guard.linger.get_or_insert_with(|| {
            let mut timer = LazyTimer::new();
            timer.set(Instant::now() + LINGER_FOR);
            (timer, LINGER_BYTES)
        });
        let mut space = [0; 4096];
        loop {
            if timer.poll_due(context).is_ready() {
                return Poll::Ready(Ok(()));
            }
            let mut buffer = ReadBuf::new(&mut space);
            ready!(Pin::new(&mut guard.io).poll_read(context, &mut buffer))?;
            let here = buffer.filled().len();
            if here == 0 || here >= *left {
                return Poll::Ready(Ok(()));
            }
            *left -= here;
        }
    }
}

#[cfg(test)]
mod tests;
