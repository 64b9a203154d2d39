#![allow(clippy::unwrap_used, clippy::panic)]
//! The data plane whole, over real sockets: a small app behind, raw bytes in front.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use jiff::Timestamp;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

mod upstream;

use super::*;
use crate::config;
use crate::directory::Directory;
use crate::identity::{Attributes, IdpId, Protocol, Subject};
use crate::session::{NewSession, Session, Tokens};
use crate::store::Store;

/// usher with one app, `app`, whose paths under /public are for anyone.
struct House {
    usher: Arc<ArcSwap<Usher>>,
    address: SocketAddr,
    metrics: SocketAddr,
    stop: Stop,
    serving: JoinHandle<()>,
    app: Arc<App>,
    _folder: tempfile::TempDir,
}

/// The app: answers by path, and notes the heads that it got.
#[derive(Default)]
struct App {
    heads: Mutex<Vec<String>>,
    connections: AtomicUsize,
}

impl App {
    async fn serve(self: Arc<Self>, mut stream: TcpStream) -> io::Result<()> {
        self.connections.fetch_add(1, Ordering::Relaxed);
        loop {
            let head = read_head(&mut stream).await?;
            self.heads.lock().unwrap().push(head.clone());
            let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
            match path.rsplit('/').next().unwrap_or_default() {
                "close" => {
                    stream
                        .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                        .await?;
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    return Ok(());
                }
                "stream" => {
                    stream
                        .write_all(
                            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n",
                        )
                        .await?;
                    tokio::time::sleep(Duration::from_secs(20)).await;
                }
                "cut" => {
                    stream
                        .write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel")
                        .await?;
                    return Ok(());
                }
                "slow" => {
                    tokio::time::sleep(Duration::from_millis(600)).await;
                    stream
                        .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nslow")
                        .await?;
                }
                "never" => tokio::time::sleep(Duration::from_secs(20)).await,
                "ws" => {
                    stream.write_all(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n").await?;
                    let mut space = [0; 512];
                    loop {
                        let count = stream.read(&mut space).await?;
                        if count == 0 {
                            return Ok(());
                        }
                        stream.write_all(&space[..count]).await?;
                    }
                }
                _ => {
                    stream
                        .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                        .await?
                }
            }
        }
    }

    fn hits(&self) -> usize {
        self.heads.lock().unwrap().len()
    }
}

async fn read_head(stream: &mut TcpStream) -> io::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

async fn start_app() -> (Arc<App>, u16) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let app = Arc::new(App::default());
    let served = Arc::clone(&app);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(Arc::clone(&served).serve(stream));
        }
    });
    (app, port)
}

async fn house(listen: &str) -> House {
    let (app, port) = start_app().await;
    house_before(app, port, listen).await
}

/// usher before the app at `port`.
async fn house_before(app: Arc<App>, port: u16, listen: &str) -> House {
    // Where another test has installed one already, that is as good.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let folder = tempfile::tempdir().unwrap();
    let text = format!(
        "listen: {listen}
public_url: http://localhost:4180
metrics: {{ listen: 127.0.0.1:0 }}
store: sqlite:{folder}/usher.db
timeouts: {{ connect: 1s, header: 1s, response: 2s, idle: 5s, linger: 1s, drain: 3s }}
limits: {{ body: 1KiB }}
identity_providers:
  - id: acme
    label: Acme
    oidc: {{ issuer: \"http://127.0.0.1:9\", client_id: usher, client_secret: s3cret }}
apps:
  - id: app
    upstream: http://127.0.0.1:{port}
    access:
      - {{ paths: [/public/**], allow: anyone }}
      - {{ allow: signed_in }}
",
        folder = folder.path().display()
    );
    let config = config::parse("test.yaml", &text, &|_| None).unwrap();
    let usher = Usher::start(config, Timestamp::now()).await.unwrap();
    let usher = Arc::new(ArcSwap::from_pointee(usher));
    let threads = NonZeroUsize::new(2);
    let server = Server::bind(Arc::clone(&usher), threads).await.unwrap();
    let stop = Stop::default();
    House {
        address: server.address(),
        metrics: server.metrics_address().unwrap(),
        serving: tokio::spawn(server.serve(stop.clone())),
        usher,
        stop,
        app,
        _folder: folder,
    }
}

impl House {
    async fn plain() -> Self {
        house("127.0.0.1:0").await
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Sends `request` and reads until usher closes, or for a moment.
    async fn ask(&self, request: &str) -> String {
        let mut stream = self.connect().await;
        stream.write_all(request.as_bytes()).await.unwrap();
        read_for(&mut stream, 400).await.0
    }

    /// A session with its cookie.
    async fn sign_in(&self) -> (String, Arc<Session>) {
        let usher = self.usher.load_full();
        let store = Store::open(&usher.config.store).await.unwrap();
        let subject = Subject {
            idp: IdpId::new("acme"),
            protocol: Protocol::Oidc,
            issuer: "http://127.0.0.1:9".to_owned(),
            format: String::new(),
            value: "1".to_owned(),
        };
        let attributes = Attributes {
            email: Some("ann@acme.example".to_owned()),
            ..Attributes::default()
        };
        let now = Timestamp::now();
        let person = Directory::over(store)
            .admit(&subject, &attributes, None, now)
            .await
            .unwrap();
        let new = NewSession {
            person,
            origin: usher.config.public_url.origin.clone(),
            authenticated_at: now,
            acr: None,
            idp_session: None,
            tokens: Tokens::default(),
            renew_at: None,
            ends_at: None,
        };
        let (cookie, session) = usher.sessions.create(new, now).await.unwrap();
        let name = &usher.config.sites[0].cookie_name;
        (format!("{name}={}", cookie.expose()), session)
    }

    async fn end(&self, session: &Session) {
        let usher = self.usher.load_full();
        let which = crate::session::Which::One(&session.key);
        let ended = usher.sessions.end(which, Timestamp::now()).await.unwrap();
        assert_eq!(ended.len(), 1);
    }
}

/// Reads until the end, or for so many milliseconds; true at the end.
async fn read_for(stream: &mut TcpStream, millis: u64) -> (String, bool) {
    let mut read = Vec::new();
    let reading =
        tokio::time::timeout(Duration::from_millis(millis), stream.read_to_end(&mut read));
    let ended = reading.await.is_ok();
    (String::from_utf8_lossy(&read).into_owned(), ended)
}

fn get(path: &str, more: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{more}\r\n")
}

#[tokio::test]
async fn a_signed_in_request_reaches_the_app_with_its_identity_and_without_the_cookie() {
    let house = House::plain().await;
    let (cookie, session) = house.sign_in().await;
    let forged =
        format!("Cookie: a=b; {cookie}\r\nX-Forwarded-User: root\r\nX_Forwarded_Email: x\r\n");
    let answer = house.ask(&get("/secret?x=%2F", &forged)).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(answer.contains("cache-control: private"), "{answer}");
    let head = house.app.heads.lock().unwrap()[0].to_ascii_lowercase();
    let user = session.person.load().user.clone();
    assert!(head.starts_with("get /secret?x=%2f http/1.1"), "{head}");
    assert!(
        head.contains(&format!("x-forwarded-user: {user}\r\n")),
        "{head}"
    );
    assert!(
        head.contains("cookie: a=b\r\n") && !head.contains("root"),
        "{head}"
    );
    assert!(
        head.contains("x-forwarded-email: ann@acme.example\r\n"),
        "{head}"
    );
    assert!(head.contains("x-usher-jwt: "), "{head}");
}

#[tokio::test]
async fn nobody_reaches_a_protected_path_and_two_cookies_are_none() {
    let house = House::plain().await;
    let (cookie, _) = house.sign_in().await;
    let other = cookie.replace('=', "=x");
    for fields in [
        "",
        &format!("Cookie: {other}\r\n"),
        &format!("Cookie: {cookie}; {}x\r\n", cookie),
    ] {
        let answer = house.ask(&get("/secret", fields)).await;
        assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
    }
    assert_eq!(house.app.hits(), 0);
    let answer = house.ask(&get("/public/x", "")).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

#[tokio::test]
async fn streams_polls_and_tunnels_end_with_their_session() {
    let house = House::plain().await;
    let (cookie, session) = house.sign_in().await;
    let mut stream = house.connect().await;
    stream
        .write_all(get("/stream", &format!("Cookie: {cookie}\r\n")).as_bytes())
        .await
        .unwrap();
    let upgrade = format!(
        "Cookie: {cookie}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\nSec-WebSocket-Version: 13\r\n"
    );
    let mut tunnel = house.connect().await;
    tunnel
        .write_all(get("/ws", &upgrade).as_bytes())
        .await
        .unwrap();
    let (begun, ended) = read_for(&mut tunnel, 300).await;
    assert!(begun.starts_with("HTTP/1.1 101 ") && !ended, "{begun}");
    tunnel.write_all(b"ping").await.unwrap();
    assert_eq!(read_for(&mut tunnel, 200).await, ("ping".to_owned(), false));
    let (begun, ended) = read_for(&mut stream, 300).await;
    assert!(begun.contains("hi") && !ended, "{begun}");

    let mut poll = house.connect().await;
    let asked = get(
        "/never",
        &format!("Cookie: {cookie}\r\nConnection: close\r\n"),
    );
    poll.write_all(asked.as_bytes()).await.unwrap();
    assert_eq!(read_for(&mut poll, 200).await.0, "");

    let start = Instant::now();
    house.end(&session).await;
    let (answer, _) = read_for(&mut poll, 1000).await;
    assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
    let (_, ended) = read_for(&mut tunnel, 1000).await;
    assert!(ended, "the tunnel must be cut");
    let (rest, ended) = read_for(&mut stream, 1000).await;
    assert!(
        ended && !rest.contains("0\r\n\r\n"),
        "the stream must break, not end: {rest}"
    );
    assert!(start.elapsed() < Duration::from_secs(1));
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_however_it_is_framed() {
    let house = House::plain().await;
    let body = "a".repeat(2000);
    for framing in [
        format!("Content-Length: 2000\r\n\r\n{body}"),
        format!("Transfer-Encoding: chunked\r\n\r\n7d0\r\n{body}\r\n0\r\n\r\n"),
    ] {
        let request = format!("POST /public/x HTTP/1.1\r\nHost: localhost\r\n{framing}");
        let answer = house.ask(&request).await;
        assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    }
}

#[tokio::test]
async fn a_malformed_chunk_is_the_clients_fault() {
    let house = House::plain().await;
    let request = "POST /public/x HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n";
    let answer = house.ask(request).await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
}

#[tokio::test]
async fn a_broken_answer_is_not_shown_as_complete() {
    let house = House::plain().await;
    let answer = house.ask(&get("/public/cut", "")).await;
    assert!(
        answer.starts_with("HTTP/1.1 200 ") && !answer.ends_with("0\r\n\r\n"),
        "{answer}"
    );
}

#[tokio::test]
async fn an_app_without_an_answer_is_504_in_time() {
    let house = House::plain().await;
    let mut stream = house.connect().await;
    stream
        .write_all(get("/public/never", "Connection: close\r\n").as_bytes())
        .await
        .unwrap();
    let start = Instant::now();
    let (answer, _) = read_for(&mut stream, 4000).await;
    assert!(answer.starts_with("HTTP/1.1 504 "), "{answer}");
    assert!(start.elapsed() >= Duration::from_secs(2));
}

#[tokio::test]
async fn connections_to_the_app_are_reused_and_dead_ones_are_not_seen() {
    let house = House::plain().await;
    let mut stream = house.connect().await;
    for _ in 0..3 {
        stream
            .write_all(get("/public/x", "").as_bytes())
            .await
            .unwrap();
        assert!(read_for(&mut stream, 100).await.0.ends_with("ok"));
    }
    assert_eq!(house.app.connections.load(Ordering::Relaxed), 1);
    for method in ["GET", "POST"] {
        stream
            .write_all(get("/public/close", "").as_bytes())
            .await
            .unwrap();
        assert!(read_for(&mut stream, 150).await.0.ends_with("ok"));
        let request = get("/public/x", "Content-Length: 0\r\n").replace("GET", method);
        stream.write_all(request.as_bytes()).await.unwrap();
        assert!(
            read_for(&mut stream, 150).await.0.ends_with("ok"),
            "{method}"
        );
    }
    assert_eq!(house.app.connections.load(Ordering::Relaxed), 3);
}

#[tokio::test]
async fn slow_heads_are_closed_also_behind_a_first_request() {
    let house = House::plain().await;
    for sent in [
        String::new(),
        "GET / HT".to_owned(),
        "PRI * HTTP/2".to_owned(),
        get("/public/x", "") + "GET",
    ] {
        let mut stream = house.connect().await;
        stream.write_all(sent.as_bytes()).await.unwrap();
        let start = Instant::now();
        let (_, ended) = read_for(&mut stream, 3000).await;
        assert!(ended, "{sent:?}");
        assert!(start.elapsed() >= Duration::from_millis(900), "{sent:?}");
    }
}

#[tokio::test]
async fn draining_finishes_what_is_in_flight_and_waits_for_no_silent_connection() {
    let house = House::plain().await;
    let silent = house.connect().await;
    let mut kept = house.connect().await;
    kept.write_all(get("/public/x", "").as_bytes())
        .await
        .unwrap();
    assert!(read_for(&mut kept, 150).await.0.ends_with("ok"));
    let mut slow = house.connect().await;
    slow.write_all(get("/public/slow", "").as_bytes())
        .await
        .unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    let start = Instant::now();
    house.stop.now();
    let mut ready = TcpStream::connect(house.metrics).await.unwrap();
    ready
        .write_all(get("/readyz", "Connection: close\r\n").as_bytes())
        .await
        .unwrap();
    assert!(
        read_for(&mut ready, 400)
            .await
            .0
            .starts_with("HTTP/1.1 503 ")
    );
    let (answer, ended) = read_for(&mut slow, 2000).await;
    assert!(
        answer.ends_with("slow") && answer.contains("connection: close") && ended,
        "{answer}"
    );
    house.serving.await.unwrap();
    assert!(
        start.elapsed() < Duration::from_millis(2500),
        "{:?}",
        start.elapsed()
    );
    assert!(TcpStream::connect(house.address).await.is_err());
    drop(silent);
}

#[tokio::test]
async fn who_leaves_is_not_ready_at_once_and_serves_for_a_while_yet() {
    let house = House::plain().await;
    house.stop.leave();
    let mut status = TcpStream::connect(house.metrics).await.unwrap();
    let asked = get("/readyz", "Connection: close\r\n");
    status.write_all(asked.as_bytes()).await.unwrap();
    let (answer, _) = read_for(&mut status, 400).await;
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    let answer = house.ask(&get("/public/x", "")).await;
    assert!(answer.ends_with("ok"), "{answer}");
    house.serving.await.unwrap();
    assert!(TcpStream::connect(house.address).await.is_err());
}

#[tokio::test]
async fn draining_cuts_what_does_not_end_in_time() {
    let house = House::plain().await;
    let mut stream = house.connect().await;
    stream
        .write_all(get("/public/stream", "").as_bytes())
        .await
        .unwrap();
    read_for(&mut stream, 200).await;
    let start = Instant::now();
    house.stop.now();
    house.serving.await.unwrap();
    let took = start.elapsed();
    assert!(
        took >= Duration::from_secs(3) && took < Duration::from_secs(5),
        "{took:?}"
    );
}

#[tokio::test]
async fn a_changed_certificate_is_used_without_a_restart_and_a_bad_one_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let files = config::TlsFiles {
        certificate: folder.path().join("cert.pem"),
        key: folder.path().join("key.pem"),
    };
    let write = |name: &str| {
        let made = rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
        std::fs::write(&files.certificate, made.cert.pem()).unwrap();
        std::fs::write(&files.key, made.signing_key.serialize_pem()).unwrap();
    };
    write("localhost");
    let mut certificate = Certificate::load(files.clone()).unwrap();
    let first = certificate.leaf();
    write("a-longer-name.localhost");
    certificate.reload_if_changed();
    let second = certificate.leaf();
    assert_ne!(first, second);
    std::fs::write(&files.key, "nonsense").unwrap();
    certificate.reload_if_changed();
    assert_eq!(certificate.leaf(), second);
    let other = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    std::fs::write(&files.key, other.signing_key.serialize_pem()).unwrap();
    certificate.reload_if_changed();
    assert_eq!(
        certificate.leaf(),
        second,
        "a key of another certificate must not be used"
    );
}

/// The status that an HTTP/2 request gets.
async fn ask_http2(house: &House, request: http::request::Builder) -> u16 {
    let stream = house.connect().await;
    let io = hyper_util::rt::TokioIo::new(stream);
    let executor = hyper_util::rt::TokioExecutor::new();
    let (mut sender, connection) = hyper::client::conn::http2::handshake(executor, io)
        .await
        .unwrap();
    tokio::spawn(connection);
    let body = http_body_util::Empty::<bytes::Bytes>::new();
    let answer = sender.send_request(request.body(body).unwrap()).await;
    answer.unwrap().status().as_u16()
}

#[tokio::test]
async fn http2_is_served_by_prior_knowledge_under_the_same_rules() {
    let house = House::plain().await;
    let to = |path: &str| http::Request::get(format!("http://localhost{path}"));
    assert_eq!(ask_http2(&house, to("/public/x")).await, 200);
    assert_eq!(ask_http2(&house, to("/secret")).await, 401);
    let two_hosts = to("/public/x").header("host", "evil.test");
    assert_eq!(ask_http2(&house, two_hosts).await, 400);
    let elsewhere = http::Request::get("http://evil.test/public/x");
    assert_eq!(ask_http2(&house, elsewhere).await, 421);
    let many = (0..101).fold(to("/public/x"), |request, _| request.header("x", "a"));
    assert_eq!(ask_http2(&house, many).await, 431);
    let large = to("/public/x").header("x", "a".repeat(40_000));
    assert_eq!(ask_http2(&house, large).await, 431);
    let tunnel = http::Request::connect("localhost:80");
    assert_eq!(ask_http2(&house, tunnel).await, 405);
    assert_eq!(house.app.hits(), 1);
}
