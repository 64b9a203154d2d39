//! Requests that usher itself makes: to IdPs and callbacks. Redirects are never followed, answers
//! are bounded in time and size, and proxies from the environment are not used.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Request, StatusCode};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

use crate::trace::Tracer;

/// To connect, TLS included.
const CONNECT: Duration = Duration::from_secs(3);
/// Connections are not kept for longer, so that a changed DNS entry is seen soon.
const KEEP_IDLE: Duration = Duration::from_secs(20);
/// Header fields of an answer over HTTP/1.1.
const HEADERS: usize = 100;
/// Bytes of all header fields of an answer over HTTP/2.
const HEADER_BYTES: u32 = 64 * 1024;

/// A client for usher's own requests; cheap to clone.
#[derive(Clone, Debug)]
pub struct Outbound {
    client: reqwest::Client,
    tracer: Tracer,
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

impl OutboundError {
    /// A stable code.
    fn code(&self) -> &'static str {
        match self {
            Self::Connect(_) => "connect",
            Self::Timeout(_) => "timeout",
            Self::TooLarge(_) => "too_large",
            Self::Invalid(_) => "invalid",
        }
    }
}

impl Outbound {
    /// A client that trusts the public roots and `extra_roots`, each a PEM text of one or more certificates.
    ///
    /// # Errors
    /// [`OutboundError::Invalid`] if a root cannot be read.
    pub fn new(extra_roots: &[Vec<u8>]) -> Result<Self, OutboundError> {
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(client_tls(extra_roots, &[b"h2", b"http/1.1"])?)
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .no_proxy()
            .referer(false)
            .user_agent(concat!("usher/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT)
            .pool_idle_timeout(KEEP_IDLE)
            .http1_max_headers(HEADERS)
            .http2_max_header_list_size(HEADER_BYTES)
            .build()
            .map_err(|error| OutboundError::Invalid(causes(error)))?;
        Ok(Self {
            client,
            tracer: Tracer::default(),
        })
    }

    /// The same client, whose requests are spans.
    #[must_use]
    pub fn traced(&self, tracer: Tracer) -> Self {
        Self {
            client: self.client.clone(),
            tracer,
        }
    }

    /// Sends one request and reads its answer: at most `limit` bytes and `within` in all.
    ///
    /// # Errors
    /// As [`OutboundError`] tells; an answer with an error status is no error here.
    pub async fn send(
        &self,
        mut request: Request<Bytes>,
        limit: usize,
        within: Duration,
    ) -> Result<Answer, OutboundError> {
        let asking = self.tracer.call(&mut request);
        let exchange = self.exchange(request, limit, within);
        let result = match tokio::time::timeout(within, exchange).await {
            Ok(result) => result,
            Err(_) => Err(OutboundError::Timeout(within)),
        };
        if let Some(asking) = asking {
            match &result {
                Ok(answer) => asking.answered(answer.status),
                Err(error) => asking.failed(error.code()),
            }
        }
        result
    }

    async fn exchange(
        &self,
        request: Request<Bytes>,
        limit: usize,
        within: Duration,
    ) -> Result<Answer, OutboundError> {
        let request = reqwest::Request::try_from(request)
            .map_err(|error| OutboundError::Invalid(causes(error)))?;
        let mut response = self
            .client
            .execute(request)
            .await
            .map_err(|error| failure(error, within))?;
        // The announced length only refuses early; what counts is what arrives.
        if response
            .content_length()
            .is_some_and(|length| length > limit as u64)
        {
            return Err(OutboundError::TooLarge(limit));
        }
        let status = response.status();
        let headers = std::mem::take(response.headers_mut());
        let mut body = BytesMut::new();
        while let Some(chunk) = response
            .chunk()
            .await
            .map_err(|error| failure(error, within))?
        {
            if body.len() + chunk.len() > limit {
                return Err(OutboundError::TooLarge(limit));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Answer {
            status,
            headers,
            body: body.freeze(),
        })
    }
}

/// The roots that the operator adds to the public ones: the PEM file that `SSL_CERT_FILE` names.
///
/// # Errors
/// [`OutboundError::Invalid`] if the file cannot be read.
pub fn extra_roots() -> Result<Vec<Vec<u8>>, OutboundError> {
    let Some(file) = std::env::var_os("SSL_CERT_FILE").filter(|file| !file.is_empty()) else {
        return Ok(Vec::new());
    };
    let pem = std::fs::read(&file).map_err(|error| {
        let file = file.to_string_lossy();
        OutboundError::Invalid(format!("SSL_CERT_FILE: {file}: {error}"))
    })?;
    Ok(vec![pem])
}

/// The client side of TLS for IdPs, callbacks and apps alike: the public roots and `extra_roots`, by these protocols (ALPN).
///
/// # Errors
/// [`OutboundError::Invalid`] if a root cannot be read.
pub fn client_tls(
    extra_roots: &[Vec<u8>],
    protocols: &[&[u8]],
) -> Result<ClientConfig, OutboundError> {
    let invalid = |error: &dyn std::fmt::Display| OutboundError::Invalid(error.to_string());
    let mut roots = RootCertStore {
        roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
    };
    for pem in extra_roots {
        let mut any = false;
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let certificate = certificate.map_err(|error| invalid(&error))?;
            roots.add(certificate).map_err(|error| invalid(&error))?;
            any = true;
        }
        if !any {
            return Err(OutboundError::Invalid(
                "there is no certificate in a root's PEM".to_owned(),
            ));
        }
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| invalid(&error))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    Ok(config)
}

fn failure(error: reqwest::Error, within: Duration) -> OutboundError {
    if error.is_timeout() {
        OutboundError::Timeout(within.min(CONNECT))
    } else if error.is_builder() {
        OutboundError::Invalid(causes(error))
    } else {
        OutboundError::Connect(causes(error))
    }
}

/// The chain of causes without the URL, whose query may hold what must not be logged.
fn causes(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::net::SocketAddr;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    /// Answers every connection with these bytes; keeps it open for a while after.
    async fn server(answer: Vec<u8>) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let answer = answer.clone();
                tokio::spawn(async move {
                    let mut head = [0; 4096];
                    let _ = stream.read(&mut head).await;
                    let _ = stream.write_all(&answer).await;
                    tokio::time::sleep(Duration::from_secs(5)).await;
                });
            }
        });
        address
    }

    async fn get(address: SocketAddr, limit: usize) -> Result<Answer, OutboundError> {
        let request = Request::get(format!("http://{address}/path?code=hidden"))
            .body(Bytes::new())
            .unwrap();
        let client = Outbound::new(&[]).unwrap();
        client
            .send(request, limit, Duration::from_millis(500))
            .await
    }

    #[tokio::test]
    async fn reads_an_answer_of_just_the_allowed_size() {
        let address = server(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello".to_vec()).await;
        let answer = get(address, 5).await.unwrap();
        assert_eq!(
            (answer.status, &answer.body[..]),
            (StatusCode::OK, &b"hello"[..])
        );
    }

    #[tokio::test]
    async fn refuses_an_answer_that_announces_too_much() {
        let address = server(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\n".to_vec()).await;
        let error = get(address, 5).await.unwrap_err();
        assert!(matches!(error, OutboundError::TooLarge(5)), "{error}");
    }

    #[tokio::test]
    async fn stops_reading_a_stream_that_grows_too_large() {
        let head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
        let address = server([head, b"3\r\nabc\r\n".repeat(3)].concat()).await;
        let error = get(address, 8).await.unwrap_err();
        assert!(matches!(error, OutboundError::TooLarge(8)), "{error}");
    }

    #[tokio::test]
    async fn gives_up_on_a_server_that_never_answers() {
        let address = server(Vec::new()).await;
        let error = get(address, 5).await.unwrap_err();
        assert!(matches!(error, OutboundError::Timeout(_)), "{error}");
    }

    #[tokio::test]
    async fn gives_up_on_a_body_that_never_ends() {
        let address = server(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhel".to_vec()).await;
        let error = get(address, 5).await.unwrap_err();
        assert!(matches!(error, OutboundError::Timeout(_)), "{error}");
    }

    #[tokio::test]
    async fn does_not_follow_a_redirect() {
        let target = server(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n".to_vec()).await;
        let answer = format!(
            "HTTP/1.1 302 Found\r\nlocation: http://{target}/\r\ncontent-length: 0\r\n\r\n"
        );
        let address = server(answer.into_bytes()).await;
        assert_eq!(get(address, 5).await.unwrap().status, StatusCode::FOUND);
    }

    #[tokio::test]
    async fn an_error_tells_nothing_of_the_query() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let error = get(address, 5).await.unwrap_err();
        assert!(matches!(error, OutboundError::Connect(_)), "{error}");
        assert!(!error.to_string().contains("hidden"), "{error}");
    }

    /// An HTTPS server on loopback, and its certificate in PEM.
    async fn tls_server() -> (SocketAddr, Vec<u8>) {
        let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
        let key = rustls::pki_types::PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key.into())
            .unwrap();
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let Ok(mut stream) = acceptor.accept(stream).await else {
                    continue;
                };
                let _ = stream.read(&mut [0; 4096]).await;
                let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
                let _ = stream.write_all(answer).await;
                let _ = stream.shutdown().await;
            }
        });
        (address, made.cert.pem().into_bytes())
    }

    #[tokio::test]
    async fn trusts_a_certificate_only_where_its_root_was_given() {
        let (address, pem) = tls_server().await;
        let get = async |roots: &[Vec<u8>]| {
            let request = Request::get(format!("https://{address}/"))
                .body(Bytes::new())
                .unwrap();
            let client = Outbound::new(roots).unwrap();
            client.send(request, 100, Duration::from_secs(5)).await
        };
        let error = get(&[]).await.unwrap_err();
        assert!(matches!(error, OutboundError::Connect(_)), "{error}");
        assert_eq!(&get(&[pem]).await.unwrap().body[..], b"ok");
    }

    #[test]
    fn refuses_a_root_that_is_no_certificate() {
        assert!(Outbound::new(&[b"not pem".to_vec()]).is_err());
    }
}
