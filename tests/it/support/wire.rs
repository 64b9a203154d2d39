//! An HTTP/1.1 client without manners: it sends what it is given and reports what came back.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpSocket,
    time::{Instant, timeout, timeout_at},
};
use tokio_rustls::TlsConnector;

/// How long one answer may take unless told otherwise.
pub(crate) const PATIENCE: Duration = Duration::from_secs(12);

/// So much of a counted body is read; the answer then counts as incomplete.
const MOST: usize = 64 << 20;

/// The address that usher's test config does not trust as a proxy.
pub(crate) const UNTRUSTED: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 1);
/// The address that usher's test config trusts as a proxy.
pub(crate) const TRUSTED: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// Anything that bytes go over.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// One response as it came.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) fields: Vec<(String, Vec<u8>)>,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Vec<(String, Vec<u8>)>,
    /// The bytes up to and including the empty line.
    pub(crate) raw_head: Vec<u8>,
    /// Interim answers (1xx other than 101) before this one.
    pub(crate) interim: Vec<u16>,
    /// False where the connection ended or a fault came before the body was whole.
    pub(crate) complete: bool,
    /// True where the end of the body is the end of the connection.
    pub(crate) until_close: bool,
}

impl Answer {
    /// All values of this field, in order, as text.
    pub(crate) fn all(&self, name: &str) -> Vec<String> {
        let same = |(n, _): &&(String, Vec<u8>)| n.eq_ignore_ascii_case(name);
        let text = |(_, v): &(String, Vec<u8>)| String::from_utf8_lossy(v).into_owned();
        self.fields.iter().filter(same).map(text).collect()
    }

    /// The first value of this field.
    pub(crate) fn header(&self, name: &str) -> Option<String> {
        self.all(name).into_iter().next()
    }

    /// The body as text, invalid UTF-8 replaced.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON, `Null` where it is none.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// True for an answer with `Content-Type: text/html`.
    pub(crate) fn is_html(&self) -> bool {
        self.header("content-type")
            .is_some_and(|v| v.contains("text/html"))
    }
}

/// A connection and the bytes read from it that no answer used yet.
pub(crate) struct Wire {
    stream: Box<dyn Stream>,
    buffer: Vec<u8>,
    ended: bool,
}

impl Wire {
    /// Connects over plain TCP, bound to the source address `from`.
    pub(crate) async fn connect(to: SocketAddr, from: Ipv4Addr) -> std::io::Result<Self> {
        Ok(Self::over(Box::new(tcp(to, from).await?)))
    }

    /// Connects over TLS with this SNI; any certificate will do.
    pub(crate) async fn connect_tls(
        to: SocketAddr,
        from: Ipv4Addr,
        sni: &str,
        alpn: &[&str],
    ) -> std::io::Result<Self> {
        let tcp = tcp(to, from).await?;
        let mut config = trust_all();
        config.alpn_protocols = alpn.iter().map(|p| p.as_bytes().to_vec()).collect();
        let name = sni.to_owned().try_into().map_err(std::io::Error::other)?;
        let tls = TlsConnector::from(Arc::new(config))
            .connect(name, tcp)
            .await?;
        Ok(Self::over(Box::new(tls)))
    }

    /// Wraps an open stream.
    pub(crate) fn over(stream: Box<dyn Stream>) -> Self {
        Self {
            stream,
            buffer: Vec::new(),
            ended: false,
        }
    }

    /// Sends these bytes; a peer that has closed already is not an error.
    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        for part in bytes.chunks(64 * 1024) {
            match timeout(PATIENCE, self.stream.write_all(part)).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) | Err(_) => return,
            }
        }
        let _flushed = timeout(PATIENCE, self.stream.flush()).await;
    }

    /// Ends our side only.
    pub(crate) async fn finish_sending(&mut self) {
        let _shut = timeout(Duration::from_secs(1), self.stream.shutdown()).await;
    }

    /// Reads one answer; `None` where none came in time or the head is no HTTP/1.
    pub(crate) async fn answer(&mut self, to_head: bool, patience: Duration) -> Option<Answer> {
        let until = Instant::now() + patience;
        let mut interim = Vec::new();
        loop {
            let head = self.head(until).await?;
            let mut answer = parse_head(&head)?;
            if (100..200).contains(&answer.status) && answer.status != 101 {
                interim.push(answer.status);
                continue;
            }
            answer.interim = interim;
            self.body(&mut answer, to_head, until).await;
            return Some(answer);
        }
    }

    async fn head(&mut self, until: Instant) -> Option<Vec<u8>> {
        loop {
            if let Some(end) = find(&self.buffer, b"\r\n\r\n") {
                return Some(self.buffer.drain(..end + 4).collect());
            }
            if !self.more(until).await {
                return None;
            }
        }
    }

    async fn body(&mut self, answer: &mut Answer, to_head: bool, until: Instant) {
        answer.complete = true;
        if to_head || answer.status == 101 || answer.status == 204 || answer.status == 304 {
            return;
        }
        let coding = answer.header("transfer-encoding").unwrap_or_default();
        if coding.to_ascii_lowercase().contains("chunked") {
            answer.complete = self.chunks(answer, until).await.is_some();
            return;
        }
        let Some(length) = answer
            .header("content-length")
            .and_then(|v| v.trim().parse().ok())
        else {
            answer.until_close = true;
            while self.more(until).await {}
            answer.complete = self.ended;
            answer.body = std::mem::take(&mut self.buffer);
            return;
        };
        while self.buffer.len() < length {
            if self.buffer.len() > MOST || !self.more(until).await {
                answer.complete = false;
                break;
            }
        }
        let take = length.min(self.buffer.len());
        answer.body = self.buffer.drain(..take).collect();
    }

    async fn chunks(&mut self, answer: &mut Answer, until: Instant) -> Option<()> {
        loop {
            let line = self.line(until).await?;
            let digits = line.split(|b| *b == b';').next()?;
            let size = usize::from_str_radix(std::str::from_utf8(digits).ok()?.trim(), 16).ok()?;
            if size == 0 {
                break;
            }
            while self.buffer.len() < size + 2 {
                if !self.more(until).await {
                    answer.body.append(&mut self.buffer);
                    return None;
                }
            }
            answer.body.extend(self.buffer.drain(..size));
            self.buffer.drain(..2);
        }
        loop {
            let line = self.line(until).await?;
            if line.is_empty() {
                return Some(());
            }
            answer.trailers.push(split_field(&line)?);
        }
    }

    async fn line(&mut self, until: Instant) -> Option<Vec<u8>> {
        loop {
            if let Some(end) = find(&self.buffer, b"\r\n") {
                let line = self.buffer.drain(..end + 2).take(end).collect();
                return Some(line);
            }
            if !self.more(until).await {
                return None;
            }
        }
    }

    /// Reads once; false at the end of the stream, on an error, or when the time is over.
    async fn more(&mut self, until: Instant) -> bool {
        if self.ended {
            return false;
        }
        let mut part = [0_u8; 16 * 1024];
        match timeout_at(until, self.stream.read(&mut part)).await {
            Ok(Ok(n)) if n > 0 => {
                self.buffer.extend_from_slice(&part[..n]);
                true
            }
            Ok(Ok(_) | Err(_)) => {
                self.ended = true;
                false
            }
            Err(_) => false,
        }
    }

    /// The next bytes, whatever they are; empty at the end or when nothing came in time.
    pub(crate) async fn some(&mut self, patience: Duration) -> Vec<u8> {
        if self.buffer.is_empty() {
            self.more(Instant::now() + patience).await;
        }
        std::mem::take(&mut self.buffer)
    }

    /// True where the peer closes within this time; what it sends until then is kept.
    pub(crate) async fn closes_within(&mut self, patience: Duration) -> bool {
        let until = Instant::now() + patience;
        while self.more(until).await {}
        self.ended
    }

    /// True where the end was seen already.
    pub(crate) fn ended(&self) -> bool {
        self.ended
    }

    /// Hands out the stream, for example to a WebSocket library, with what was read ahead.
    pub(crate) fn into_parts(self) -> (Box<dyn Stream>, Vec<u8>) {
        (self.stream, self.buffer)
    }
}

async fn tcp(to: SocketAddr, from: Ipv4Addr) -> std::io::Result<tokio::net::TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::new(from.into(), 0))?;
    let stream = timeout(PATIENCE, socket.connect(to))
        .await
        .map_err(std::io::Error::other)??;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Position of `needle` in `hay`.
pub(crate) fn find(hay: &[u8], needle: &[u8]) -> Option<usize> {
    memchr::memmem::find(hay, needle)
}

fn parse_head(head: &[u8]) -> Option<Answer> {
    let mut lines = head.strip_suffix(b"\r\n\r\n")?.split(|b| *b == b'\n');
    let first = String::from_utf8_lossy(lines.next()?).into_owned();
    let mut words = first.trim_end().splitn(3, ' ');
    if !words.next()?.starts_with("HTTP/1.") {
        return None;
    }
    let status = words.next()?.parse().ok()?;
    let trim = |line: &[u8]| line.strip_suffix(b"\r").unwrap_or(line).to_vec();
    let fields = lines.filter_map(|line| split_field(&trim(line))).collect();
    Some(Answer {
        status,
        fields,
        raw_head: head.to_vec(),
        ..Answer::default()
    })
}

fn split_field(line: &[u8]) -> Option<(String, Vec<u8>)> {
    let colon = line.iter().position(|b| *b == b':')?;
    let name = String::from_utf8_lossy(&line[..colon]).into_owned();
    Some((name, line[colon + 1..].trim_ascii().to_vec()))
}

/// A TLS client that accepts any certificate: the tests judge usher's HTTP, not its certificate.
pub(crate) fn trust_all() -> rustls::ClientConfig {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    rustls::ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
        .with_no_client_auth()
}

#[derive(Debug)]
struct AnyCertificate(Arc<rustls::crypto::CryptoProvider>);

impl rustls::client::danger::ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &[rustls::pki_types::CertificateDer<'_>],
        _: &rustls::pki_types::ServerName<'_>,
        _: &[u8],
        _: rustls::pki_types::UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &rustls::pki_types::CertificateDer<'_>,
        dss: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &rustls::pki_types::CertificateDer<'_>,
        dss: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
