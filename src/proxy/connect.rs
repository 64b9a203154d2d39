//! Connections to apps: TCP, TLS or a unix socket, within `timeouts.connect`.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream, lookup_host};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::gather::poll_write_slices;
use crate::config::Upstream;
use crate::outbound::{self, OutboundError};

/// The next address is tried after so long, while the one before still may answer (RFC 8305 5).
const NEXT_ADDRESS: Duration = Duration::from_millis(250);

/// Makes connections to apps; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Connector {
    tls: Arc<rustls::ClientConfig>,
}

/// A connection to an app.
#[derive(Debug)]
pub(crate) enum AppStream {
    Tcp(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
    Unix(UnixStream),
}

impl Connector {
    /// With the roots that all of usher's own requests trust.
    ///
    /// # Errors
    /// Where a root cannot be read.
    pub(crate) fn new() -> Result<Self, OutboundError> {
        let tls = outbound::client_tls(&outbound::extra_roots()?, &[b"http/1.1"])?;
        Ok(Self { tls: Arc::new(tls) })
    }

    /// Connects; names are looked up anew each time.
    ///
    /// # Errors
    /// What went wrong last, `TimedOut` after `within`.
    pub(crate) async fn connect(
        &self,
        upstream: &Upstream,
        within: Duration,
    ) -> io::Result<AppStream> {
        let connect = async {
            Ok::<_, io::Error>(match upstream {
                Upstream::Http { host, port } => AppStream::Tcp(tcp(host, *port).await?),
                Upstream::Https { host, port } => {
                    let name =
                        ServerName::try_from(bare(host).to_owned()).map_err(io::Error::other)?;
                    let stream = tcp(host, *port).await?;
                    let connector = TlsConnector::from(Arc::clone(&self.tls));
                    AppStream::Tls(Box::new(connector.connect(name, stream).await?))
                }
                Upstream::Unix(path) => AppStream::Unix(UnixStream::connect(path).await?),
            })
        };
        tokio::time::timeout(within, connect)
            .await
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }
}

/// An IPv6 literal without its brackets.
fn bare(host: &str) -> &str {
    host.strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(host)
}

/// Connects to the first address that answers, beginning with a later one where the one before is slow.
async fn tcp(host: &str, port: u16) -> io::Result<TcpStream> {
    let host = bare(host);
    let addresses = match host.parse::<IpAddr>() {
        Ok(address) => vec![SocketAddr::new(address, port)],
        Err(_) => interleave(lookup_host((host, port)).await?),
    };
    let mut waiting = addresses.into_iter();
    let mut tries = FuturesUnordered::new();
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    loop {
        let more = waiting.next();
        let slow = more.is_some() && waiting.len() > 0;
        tries.extend(more.map(TcpStream::connect));
        let result = if slow {
            match tokio::time::timeout(NEXT_ADDRESS, tries.next()).await {
                Ok(result) => result,
                Err(_) => continue,
            }
        } else {
            tries.next().await
        };
        match result {
            Some(Ok(stream)) => {
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Some(Err(error)) => last = error,
            None if waiting.len() == 0 => return Err(last),
            None => {}
        }
    }
}

/// Alternates between the families, keeping the resolver's order within each.
fn interleave(addresses: impl Iterator<Item = SocketAddr>) -> Vec<SocketAddr> {
    let all: Vec<_> = addresses.collect();
    let first_is_v6 = all.first().is_some_and(SocketAddr::is_ipv6);
    let (first, second): (Vec<_>, Vec<_>) = all
        .into_iter()
        .partition(|address| address.is_ipv6() == first_is_v6);
    let mut second = second.into_iter();
    let mut mixed = Vec::new();
    for address in first {
        mixed.push(address);
        mixed.extend(second.next());
    }
    mixed.extend(second);
    mixed
}

macro_rules! through {
    ($self:ident, $stream:ident => $call:expr) => {
        match $self.get_mut() {
            AppStream::Tcp($stream) => $call,
            AppStream::Tls($stream) => $call,
            AppStream::Unix($stream) => $call,
        }
    };
}

impl AsyncRead for AppStream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        through!(self, stream => Pin::new(stream).poll_read(context, buffer))
    }
}

impl AsyncWrite for AppStream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        through!(self, stream => Pin::new(stream).poll_write(context, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        through!(self, stream => poll_write_slices(Pin::new(stream), context, slices))
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            AppStream::Tcp(_) | AppStream::Unix(_) => true,
            AppStream::Tls(_) => false,
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        through!(self, stream => Pin::new(stream).poll_flush(context))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        through!(self, stream => Pin::new(stream).poll_shutdown(context))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn families_take_turns() {
        let addresses: Vec<SocketAddr> = ["[::1]:1", "[::2]:1", "1.1.1.1:1"]
            .iter()
            .map(|text| text.parse().unwrap())
            .collect();
        let mixed = interleave(addresses.into_iter());
        let mixed: Vec<_> = mixed.iter().map(ToString::to_string).collect();
        assert_eq!(mixed, ["[::1]:1", "1.1.1.1:1", "[::2]:1"]);
    }

    #[tokio::test]
    async fn a_refused_connection_fails_at_once() {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let upstream = Upstream::Http {
            host: "127.0.0.1".to_owned(),
            port,
        };
        let result = Connector::new()
            .unwrap()
            .connect(&upstream, Duration::from_secs(5))
            .await;
        assert_eq!(result.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
    }
}
