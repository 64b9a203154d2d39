//! The app behind usher: it keeps every request byte for byte, reads it as three kinds of server
//! would, and answers JSON of what it saw.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use futures_util::{SinkExt, StreamExt};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_tungstenite::{WebSocketStream, tungstenite::protocol::Role};

pub(crate) use super::reading::read_head;
use super::{reading::field, wire::find};

/// One request as it arrived.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    /// Which connection it came over, counted from 1.
    pub(crate) connection: u64,
    /// The bytes up to and including the empty line.
    pub(crate) raw_head: Vec<u8>,
    pub(crate) method: String,
    pub(crate) target: String,
    /// The field lines in order, names as they stand.
    pub(crate) fields: Vec<(String, Vec<u8>)>,
    pub(crate) trailers: Vec<(String, Vec<u8>)>,
    pub(crate) body_length: u64,
    pub(crate) body_digest: String,
    /// The first 64 KiB of the body.
    pub(crate) body_start: Vec<u8>,
    /// What a strict reader (RFC 9112) objects to.
    pub(crate) faults: Vec<String>,
}

impl Seen {
    /// The values of this field by its exact name, any case.
    pub(crate) fn all(&self, name: &str) -> Vec<String> {
        let same = |(n, _): &&(String, Vec<u8>)| n.eq_ignore_ascii_case(name);
        let text = |(_, v): &(String, Vec<u8>)| String::from_utf8_lossy(v).into_owned();
        self.fields.iter().filter(same).map(text).collect()
    }

    /// The first value of this field.
    pub(crate) fn header(&self, name: &str) -> Option<String> {
        self.all(name).into_iter().next()
    }

    /// Fields and trailers whose name CGI, WSGI or Rack folds to the same as `name`.
    pub(crate) fn folded(&self, name: &str) -> Vec<String> {
        let wanted = cgi_name(name);
        let all = self.fields.iter().chain(&self.trailers);
        let same = all.filter(|(n, _)| cgi_name(n) == wanted);
        same.map(|(_, v)| String::from_utf8_lossy(v).into_owned())
            .collect()
    }
}

/// A name as a CGI variable shows it: upper case, every non-alphanumeric an underscore.
pub(crate) fn cgi_name(name: &str) -> String {
    let fold = |c: char| {
        if c.is_ascii_alphanumeric() {
            c.to_ascii_uppercase()
        } else {
            '_'
        }
    };
    name.trim().chars().map(fold).collect()
}

/// What the app answers instead of its JSON.
#[derive(Clone, Debug)]
pub(crate) enum Canned {
    /// A well-formed answer; header lines besides `Content-Length`.
    Answer {
        status: u16,
        headers: Vec<(String, String)>,
        body: Vec<u8>,
    },
    /// These bytes for the next request only, then the end of the connection if `close`.
    Raw { bytes: Vec<u8>, close: bool },
    /// A head, then this many bytes of body as fast as they go.
    Flood { head: Vec<u8>, bytes: u64 },
    /// A head, then one byte a second.
    Drip { head: Vec<u8> },
}

#[derive(Default)]
struct Shared {
    seen: Mutex<Vec<Seen>>,
    canned: Mutex<Option<Canned>>,
    connections: AtomicU64,
    live_streams: AtomicU64,
}

/// A running app.
pub(crate) struct Recorder {
    address: SocketAddr,
    shared: Arc<Shared>,
    server: tokio::task::AbortHandle,
}

impl Recorder {
    /// Listens on a free port of 127.0.0.1.
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared::default());
        let server = tokio::spawn(accept(listener, Arc::clone(&shared))).abort_handle();
        Self {
            address,
            shared,
            server,
        }
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// All requests since the last [`Recorder::forget`].
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.shared.seen.lock().unwrap().clone()
    }

    /// Forgets all requests.
    pub(crate) fn forget(&self) {
        self.shared.seen.lock().unwrap().clear();
    }

    /// Keeps only the first `count` requests.
    pub(crate) fn forget_after(&self, count: usize) {
        self.shared.seen.lock().unwrap().truncate(count);
    }

    /// Answers so from now on; `None`: JSON of what it saw.
    pub(crate) fn answer_with(&self, canned: Option<Canned>) {
        *self.shared.canned.lock().unwrap() = canned;
    }

    /// How many WebSockets and event streams are open now.
    pub(crate) fn live_streams(&self) -> u64 {
        self.shared.live_streams.load(Ordering::SeqCst)
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        let _set = stream.set_nodelay(true);
        let number = shared.connections.fetch_add(1, Ordering::SeqCst) + 1;
        tokio::spawn(serve(stream, number, Arc::clone(&shared)));
    }
}

/// One connection. `None` ends it.
async fn serve(stream: TcpStream, number: u64, shared: Arc<Shared>) -> Option<()> {
    let mut connection = Connection {
        stream,
        buffer: Vec::new(),
    };
    loop {
        let raw_head = connection.head().await?;
        let mut seen = read_head(&raw_head);
        seen.connection = number;
        if seen
            .header("expect")
            .is_some_and(|v| v.eq_ignore_ascii_case("100-continue"))
        {
            connection
                .stream
                .write_all(b"HTTP/1.1 100 Continue\r\n\r\n")
                .await
                .ok()?;
        }
        let path = seen.target.split('?').next().unwrap_or_default().to_owned();
        if path == "/echo" && shared.canned.lock().unwrap().is_none() {
            connection.echo(&mut seen, &shared).await?;
            continue;
        }
        connection.body(&mut seen, None).await?;
        let upgrade = seen
            .header("upgrade")
            .is_some_and(|v| v.eq_ignore_ascii_case("websocket"));
        shared.seen.lock().unwrap().push(seen.clone());
        let canned = next_canned(&shared);
        match (canned, path.as_str()) {
            (Some(canned), _) => connection.canned(canned, &seen).await?,
            (None, "/ws") if upgrade => return connection.web_socket(&seen, &shared).await,
            (None, "/sse") => return connection.events(&shared).await,
            (None, _) => connection.json(&seen).await?,
        }
    }
}

fn next_canned(shared: &Shared) -> Option<Canned> {
    let mut canned = shared.canned.lock().unwrap();
    match &*canned {
        Some(Canned::Raw { .. }) => canned.take(),
        Some(Canned::Answer { .. } | Canned::Flood { .. } | Canned::Drip { .. }) | None => {
            canned.clone()
        }
    }
}

struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    async fn more(&mut self) -> Option<()> {
        let mut part = [0_u8; 64 * 1024];
        let n = self.stream.read(&mut part).await.ok()?;
        self.buffer.extend_from_slice(&part[..n]);
        (n > 0).then_some(())
    }

    /// Up to the first empty line, as a lenient reader (bare LF) finds it.
    async fn head(&mut self) -> Option<Vec<u8>> {
        loop {
            let strict = find(&self.buffer, b"\r\n\r\n").map(|at| at + 4);
            let lenient = find(&self.buffer, b"\n\n").map(|at| at + 2);
            let end = match (strict, lenient) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (a, b) => a.or(b),
            };
            if let Some(end) = end {
                return Some(self.buffer.drain(..end).collect());
            }
            self.more().await?;
        }
    }

    /// Reads the body by its framing; `echo` gets every part as it comes.
    async fn body(&mut self, seen: &mut Seen, mut echo: Option<&mut Vec<u8>>) -> Option<()> {
        let mut digest = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
        let chunked = seen.header("transfer-encoding").is_some();
        let mut left = match seen.header("content-length") {
            Some(length) if !chunked => length.trim().parse::<u64>().unwrap_or(0),
            _ => 0,
        };
        loop {
            if left == 0 && chunked {
                left = self.chunk_size(seen).await?;
            }
            if left == 0 {
                break;
            }
            if self.buffer.is_empty() {
                self.more().await?;
            }
            let take = usize::try_from(left)
                .unwrap_or(usize::MAX)
                .min(self.buffer.len());
            let part: Vec<u8> = self.buffer.drain(..take).collect();
            left -= take as u64;
            digest.update(&part);
            seen.body_length += take as u64;
            if seen.body_start.len() < 64 * 1024 {
                seen.body_start.extend_from_slice(&part);
            }
            if let Some(into) = echo.as_deref_mut() {
                into.extend_from_slice(&part);
                self.flush_echo(into).await?;
            }
            if left == 0 && chunked {
                self.line().await?;
            } else if left == 0 {
                break;
            }
        }
        seen.body_digest = hex(digest.finish().as_ref());
        Some(())
    }

    /// The size of the next chunk; after the last one the trailers are read too.
    async fn chunk_size(&mut self, seen: &mut Seen) -> Option<u64> {
        let line = self.line().await?;
        let text = String::from_utf8_lossy(&line).into_owned();
        let digits = text.split(';').next().unwrap_or_default();
        if digits.is_empty() || !digits.chars().all(|c| c.is_ascii_hexdigit()) {
            seen.faults.push(format!("chunk size {text:?}"));
        }
        let size = u64::from_str_radix(digits.trim(), 16).ok()?;
        if size == 0 {
            loop {
                let line = self.line().await?;
                if line.is_empty() {
                    break;
                }
                seen.trailers.push(field(&line));
            }
        }
        Some(size)
    }

    async fn line(&mut self) -> Option<Vec<u8>> {
        loop {
            if let Some(end) = find(&self.buffer, b"\n") {
                let line: Vec<u8> = self.buffer.drain(..=end).take(end).collect();
                return Some(line.strip_suffix(b"\r").unwrap_or(&line).to_vec());
            }
            self.more().await?;
        }
    }

    async fn json(&mut self, seen: &Seen) -> Option<()> {
        let fields: Vec<_> = seen
            .fields
            .iter()
            .map(|(n, v)| json!([n, String::from_utf8_lossy(v)]))
            .collect();
        let body = json!({
            "method": seen.method,
            "target": seen.target,
            "host": seen.header("host"),
            "user": seen.header("x-forwarded-user"),
            "headers": fields,
            "body_length": seen.body_length,
            "body_digest": seen.body_digest,
        });
        let body = if seen.method == "HEAD" {
            String::new()
        } else {
            body.to_string()
        };
        let length = format!("Content-Length: {}\r\n", body.len());
        let length = if seen.method == "HEAD" { "" } else { &length };
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX-App-Method: {}\r\n{length}\r\n",
            seen.method
        );
        self.stream
            .write_all(&[head.as_bytes(), body.as_bytes()].concat())
            .await
            .ok()
    }

    async fn canned(&mut self, canned: Canned, seen: &Seen) -> Option<()> {
        match canned {
            Canned::Answer {
                status,
                headers,
                body,
            } => {
                let mut head = format!("HTTP/1.1 {status} Canned\r\n");
                for (name, value) in headers {
                    head.push_str(&format!("{name}: {value}\r\n"));
                }
                head.push_str(&format!("Content-Length: {}\r\n\r\n", body.len()));
                let body: &[u8] = if seen.method == "HEAD" { b"" } else { &body };
                self.stream
                    .write_all(&[head.as_bytes(), body].concat())
                    .await
                    .ok()
            }
            Canned::Raw { bytes, close } => {
                self.stream.write_all(&bytes).await.ok()?;
                if close { None } else { Some(()) }
            }
            Canned::Flood { head, bytes } => {
                self.stream.write_all(&head).await.ok()?;
                let part = vec![b'x'; 64 * 1024];
                let mut left = bytes;
                while left > 0 {
                    let take = usize::try_from(left).unwrap_or(usize::MAX).min(part.len());
                    self.stream.write_all(&part[..take]).await.ok()?;
                    left -= take as u64;
                }
                Some(())
            }
            Canned::Drip { head } => {
                self.stream.write_all(&head).await.ok()?;
                loop {
                    self.stream.write_all(b"x").await.ok()?;
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            }
        }
    }

    /// Streams the body back as it comes.
    async fn echo(&mut self, seen: &mut Seen, shared: &Shared) -> Option<()> {
        let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        self.stream.write_all(head).await.ok()?;
        let mut pending = Vec::new();
        self.body(seen, Some(&mut pending)).await?;
        self.stream.write_all(b"0\r\n\r\n").await.ok()?;
        shared.seen.lock().unwrap().push(seen.clone());
        Some(())
    }

    async fn flush_echo(&mut self, pending: &mut Vec<u8>) -> Option<()> {
        let size = format!("{:x}\r\n", pending.len());
        self.stream.write_all(size.as_bytes()).await.ok()?;
        self.stream.write_all(pending).await.ok()?;
        pending.clear();
        self.stream.write_all(b"\r\n").await.ok()
    }

    /// Server-sent events, ten a second, until the client goes.
    async fn events(mut self, shared: &Shared) -> Option<()> {
        let head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\
                     Transfer-Encoding: chunked\r\n\r\n";
        let _live = Live::new(shared);
        self.stream.write_all(head).await.ok()?;
        for n in 0_u64.. {
            let event = format!("data: {n}\n\n");
            let chunk = format!("{:x}\r\n{event}\r\n", event.len());
            self.stream.write_all(chunk.as_bytes()).await.ok()?;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        None
    }

    /// A WebSocket that sends back every message.
    async fn web_socket(mut self, seen: &Seen, shared: &Shared) -> Option<()> {
        let accept = web_socket_accept(&seen.header("sec-websocket-key")?);
        let head = format!(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Accept: {accept}\r\n\r\n"
        );
        let _live = Live::new(shared);
        self.stream.write_all(head.as_bytes()).await.ok()?;
        let role = Role::Server;
        let mut socket =
            WebSocketStream::from_partially_read(self.stream, self.buffer, role, None).await;
        while let Some(Ok(message)) = socket.next().await {
            if message.is_text() || message.is_binary() {
                socket.send(message).await.ok()?;
            }
        }
        None
    }
}

struct Live<'a>(&'a Shared);

impl<'a> Live<'a> {
    fn new(shared: &'a Shared) -> Self {
        shared.live_streams.fetch_add(1, Ordering::SeqCst);
        Self(shared)
    }
}

impl Drop for Live<'_> {
    fn drop(&mut self) {
        self.0.live_streams.fetch_sub(1, Ordering::SeqCst);
    }
}

/// `Sec-WebSocket-Accept` of a key (RFC 6455 section 4.2.2).
pub(crate) fn web_socket_accept(key: &str) -> String {
    let text = format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    let algorithm = &aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY;
    STANDARD.encode(aws_lc_rs::digest::digest(algorithm, text.as_bytes()))
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
