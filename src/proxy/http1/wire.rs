//! The bytes of one connection to an app.

use std::io;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::task::coop::unconstrained;

use super::super::connect::AppStream;

/// Room that is made for a read, in bytes: most answers come with one.
pub(super) const ROOM: usize = 8 * 1024;
/// A buffer that grew beyond is not kept while the connection is idle, in bytes.
const KEPT: usize = 2 * ROOM;

/// A connection to an app with what was read from it ahead.
#[derive(Debug)]
pub(crate) struct Wire {
    pub(super) stream: AppStream,
    pub(super) ahead: BytesMut,
    /// What the head of the last request was written in.
    spare: Vec<u8>,
}

impl Wire {
    /// A fresh connection.
    pub(crate) fn new(stream: AppStream) -> Self {
        Self {
            stream,
            ahead: BytesMut::new(),
            spare: Vec::new(),
        }
    }

    /// Whether the app has sent nothing since its last answer, and has not closed the connection: else it must not be used
    /// again. What it sends unasked would be taken for the answer to the next request.
    pub(crate) fn is_quiet(&mut self) -> bool {
        if !self.ahead.is_empty() {
            return false;
        }
        let mut context = Context::from_waker(Waker::noop());
        // A task that has had its share of reads would be told that there is nothing.
        let read = pin!(unconstrained(self.stream.read_buf(&mut self.ahead)));
        read.poll(&mut context).is_pending()
    }

    /// An empty buffer for the head of a request; it comes back with [`Wire::keep_spare`].
    pub(crate) fn take_spare(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.spare)
    }

    pub(super) fn keep_spare(&mut self, mut spare: Vec<u8>) {
        if spare.capacity() <= KEPT {
            spare.clear();
            self.spare = spare;
        }
    }

    /// Makes ready for the wait for the next request.
    pub(crate) fn rest(&mut self) {
        if self.ahead.capacity() > KEPT {
            self.ahead = BytesMut::new();
        }
    }

    /// The connection itself and what was read ahead, for a tunnel.
    pub(crate) fn into_parts(self) -> (AppStream, BytesMut) {
        (self.stream, self.ahead)
    }

    /// Reads up to `room` bytes or what there is room for; 0 at the end.
    pub(super) fn poll_fill(
        &mut self,
        context: &mut Context<'_>,
        room: usize,
    ) -> Poll<io::Result<usize>> {
        poll_fill(&mut self.stream, &mut self.ahead, context, room)
    }
}

/// Reads into `ahead`, with room for at least so many bytes; gives their number, 0 at the end.
pub(super) fn poll_fill<S: AsyncRead + Unpin>(
    stream: &mut S,
    ahead: &mut BytesMut,
    context: &mut Context<'_>,
    room: usize,
) -> Poll<io::Result<usize>> {
    ahead.reserve(room);
    pin!(stream.read_buf(ahead)).poll(context)
}

/// Takes what there is of the next `left` bytes, and counts it off.
pub(super) fn take_up_to(ahead: &mut BytesMut, left: &mut u64) -> Bytes {
    let here = ahead
        .len()
        .min(usize::try_from(*left).unwrap_or(usize::MAX));
    *left -= here as u64;
    ahead.split_to(here).freeze()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::future::poll_fn;
    use tokio::io::AsyncWriteExt;
    use tokio::net::{TcpListener, TcpStream};
    use tokio::sync::mpsc;

    async fn connected() -> (Wire, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap());
        let (stream, accepted) = tokio::join!(stream, listener.accept());
        let wire = Wire::new(AppStream::Tcp(stream.unwrap()));
        (wire, accepted.unwrap().0)
    }

    /// Waits until the runtime knows that there is something to read.
    async fn arrived(wire: &Wire) {
        if let AppStream::Tcp(stream) = &wire.stream {
            stream.readable().await.unwrap();
        }
    }

    #[tokio::test]
    async fn a_connection_is_quiet_until_the_app_speaks_or_leaves() {
        let (mut wire, mut app) = connected().await;
        assert!(wire.is_quiet());
        app.write_all(b"HTTP").await.unwrap();
        arrived(&wire).await;
        assert!(!wire.is_quiet());
        assert!(!wire.is_quiet(), "what was read is remembered");
        let (mut wire, app) = connected().await;
        drop(app);
        arrived(&wire).await;
        assert!(!wire.is_quiet());
    }

    #[tokio::test]
    async fn a_task_that_has_had_its_share_sees_what_an_app_says_unasked() {
        let (mut wire, mut app) = connected().await;
        app.write_all(b"HTTP").await.unwrap();
        arrived(&wire).await;
        let (sender, mut receiver) = mpsc::unbounded_channel();
        for number in 0..10_000 {
            sender.send(number).unwrap();
        }
        let quiet = poll_fn(|context| {
            while receiver.poll_recv(context).is_ready() {}
            Poll::Ready(wire.is_quiet())
        });
        assert!(!quiet.await);
        assert!(!receiver.is_empty(), "the share was not used up");
    }
}
