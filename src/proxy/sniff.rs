//! HTTP/1 or HTTP/2 by prior knowledge (RFC 9113 3.3) on a plain connection, by its first bytes and within a deadline.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::{Instant, timeout_at};

/// The connection preface of an HTTP/2 client (RFC 9113 3.4).
pub(crate) const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What a client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// HTTP/1.
    Http1,
    /// HTTP/2.
    Http2,
}

/// Reads until it is clear what the client speaks; gives back what was read.
///
/// # Errors
/// `TimedOut` at the deadline, `UnexpectedEof` where the client closes before it is clear.
pub(crate) async fn sniff<S: AsyncRead + Unpin>(
    stream: &mut S,
    deadline: Instant,
) -> io::Result<(Protocol, Vec<u8>)> {
    let mut read = Vec::with_capacity(1024);
    loop {
        let count = timeout_at(deadline, stream.read_buf(&mut read)).await??;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let known = read.len().min(PREFACE.len());
        if read.get(..known) != PREFACE.get(..known) {
            return Ok((Protocol::Http1, read));
        }
        if known == PREFACE.len() {
            return Ok((Protocol::Http2, read));
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::time::Duration;
    use tokio::io::{AsyncWriteExt, duplex};

    fn soon() -> Instant {
        Instant::now() + Duration::from_millis(80)
    }

    #[tokio::test]
    async fn tells_the_protocols_apart_by_their_first_bytes() {
        for (sent, protocol) in [
            (&b"GET / HTTP/1.1\r\n"[..], Protocol::Http1),
            (b"POST / HTTP/1.1\r\n", Protocol::Http1),
            (b"PRI * HTTP/1.1\r\n", Protocol::Http1),
            (&PREFACE[..], Protocol::Http2),
        ] {
            let (mut client, mut server) = duplex(64);
            for byte in sent {
                client.write_all(&[*byte]).await.unwrap();
            }
            let (found, read) = sniff(&mut server, soon()).await.unwrap();
            assert_eq!(found, protocol);
            assert!(sent.starts_with(&read));
        }
    }

    #[tokio::test]
    async fn a_partial_preface_does_not_wait_beyond_the_deadline() {
        for sent in [&b""[..], b"P", b"PRI * HTTP/2.0\r\n"] {
            let (mut client, mut server) = duplex(64);
            client.write_all(sent).await.unwrap();
            let error = sniff(&mut server, soon()).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        }
    }

    #[tokio::test]
    async fn a_partial_preface_that_ends_is_an_error() {
        let (mut client, mut server) = duplex(64);
        client.write_all(b"PRI").await.unwrap();
        drop(client);
        let error = sniff(&mut server, soon()).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }
}
