//! The app's side, byte for byte: each test is the app itself.

use super::*;
use tokio::net::TcpListener;

/// Longer than anything here takes.
const SOON: Duration = Duration::from_secs(5);

/// usher before an app that a test plays, and a connection of a client.
struct Stage {
    _house: House,
    listener: TcpListener,
    client: TcpStream,
}

impl Stage {
    async fn set() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let house = house_before(Arc::default(), port, "127.0.0.1:0").await;
        let client = house.connect().await;
        Self {
            _house: house,
            listener,
            client,
        }
    }

    async fn send(&mut self, request: &str) {
        self.client.write_all(request.as_bytes()).await.unwrap();
    }

    /// The next connection that usher makes.
    async fn accept(&self) -> TcpStream {
        let accepted = tokio::time::timeout(SOON, self.listener.accept()).await;
        accepted.unwrap().unwrap().0
    }

    /// Sends `request`, and gives the connection over which its head came.
    async fn asked(&mut self, request: &str) -> TcpStream {
        self.send(request).await;
        let mut app = self.accept().await;
        until(&mut app, "\r\n\r\n").await;
        app
    }

    /// A connection that has carried one request and its answer.
    async fn served(&mut self) -> TcpStream {
        let mut app = self.asked(&get("/public/x", "")).await;
        app.write_all(OK.as_bytes()).await.unwrap();
        self.gets("ok").await;
        app
    }

    /// Whether usher makes no other connection for a moment.
    async fn makes_no_connection(&self) -> bool {
        let moment = Duration::from_millis(100);
        tokio::time::timeout(moment, self.listener.accept())
            .await
            .is_err()
    }

    /// Reads what the client gets, up to and including `end`.
    async fn gets(&mut self, end: &str) -> String {
        until(&mut self.client, end).await
    }
}

/// Reads up to and including `end`.
async fn until(stream: &mut TcpStream, end: &str) -> String {
    let mut all = Vec::new();
    let reading = async {
        while !all.ends_with(end.as_bytes()) {
            match stream.read_u8().await {
                Ok(byte) => all.push(byte),
                Err(_) => break,
            }
        }
    };
    let ended = tokio::time::timeout(SOON, reading).await;
    let text = String::from_utf8_lossy(&all).into_owned();
    ended.unwrap_or_else(|_| panic!("no {end:?} in {text:?}"));
    assert!(text.ends_with(end), "{text:?}");
    text
}

/// Reads to the end of the connection.
async fn rest(stream: &mut TcpStream) -> Vec<u8> {
    let mut all = Vec::new();
    let reading = stream.read_to_end(&mut all);
    // A connection that is reset has ended, too.
    let _ = tokio::time::timeout(SOON, reading).await.unwrap();
    all
}

fn post(framing: &str) -> String {
    format!("POST /public/x HTTP/1.1\r\nHost: localhost\r\n{framing}\r\n\r\n")
}

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

#[tokio::test]
async fn a_request_is_framed_once_and_as_its_client_framed_it() {
    for (request, framing, body) in [
        (get("/public/x", ""), "", ""),
        (
            get("/public/x", "Content-Length: 0\r\n"),
            "content-length: 0",
            "",
        ),
        (post("Accept: */*"), "content-length: 0", ""),
        (
            post("Content-Length: 5") + "hello",
            "content-length: 5",
            "hello",
        ),
        (
            post("Transfer-Encoding: chunked") + "2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\n\r\n",
            "transfer-encoding: chunked",
            "0\r\n\r\n",
        ),
        (
            get("/public/x", "Transfer-Encoding: chunked\r\n") + "2\r\nhe\r\n0\r\n\r\n",
            "transfer-encoding: chunked",
            "0\r\n\r\n",
        ),
        (
            post("Transfer-Encoding: chunked\r\nTrailer: X-Sum")
                + "2\r\nhe\r\n0\r\nX-Sum: 1\r\nX-Forwarded-User: mallory\r\nContent-Length: 7\r\n\r\n",
            "transfer-encoding: chunked",
            "0\r\nx-sum: 1\r\n\r\n",
        ),
    ] {
        let mut stage = Stage::set().await;
        stage.send(&request).await;
        let mut app = stage.accept().await;
        let head = until(&mut app, "\r\n\r\n").await;
        let fields: Vec<_> = head
            .lines()
            .filter(|line| line.starts_with("content-length:") || line.starts_with("transfer-"))
            .collect();
        assert_eq!(fields.join(", "), framing, "{request}");
        let came = until(&mut app, body).await;
        if framing.starts_with("transfer") {
            let chunks = came.strip_suffix(body).unwrap();
            assert!(
                !chunks.contains("mallory") && !chunks.contains("X-Sum"),
                "{chunks}"
            );
        }
        app.write_all(OK.as_bytes()).await.unwrap();
        assert!(stage.gets("ok").await.starts_with("HTTP/1.1 200 OK\r\n"));
    }
}

#[tokio::test]
async fn a_whole_answer_before_the_end_of_an_upload_reaches_the_client_and_the_upload_the_app() {
    let mut stage = Stage::set().await;
    stage.send(&(post("Content-Length: 1000") + "begun")).await;
    let mut app = stage.accept().await;
    until(&mut app, "\r\n\r\nbegun").await;
    app.write_all(OK.as_bytes()).await.unwrap();
    assert!(stage.gets("ok").await.starts_with("HTTP/1.1 200 OK\r\n"));
    stage.send(&"x".repeat(992)).await;
    stage.send("end").await;
    until(&mut app, "xxend").await;
    // It has carried an answer before its request was over: it is not used again.
    let _next = stage.asked(&get("/public/x", "")).await;
    assert_eq!(rest(&mut app).await, b"");
}

#[tokio::test]
async fn an_answer_and_an_upload_go_on_beside_each_other() {
    let mut stage = Stage::set().await;
    let mut app = stage.asked(&post("Transfer-Encoding: chunked")).await;
    app.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        .await
        .unwrap();
    for word in ["one", "two", "six"] {
        stage.send(&format!("3\r\n{word}\r\n")).await;
        until(&mut app, &format!("3\r\n{word}\r\n")).await;
        app.write_all(format!("3\r\n{word}\r\n").as_bytes())
            .await
            .unwrap();
        stage.gets(&format!("3\r\n{word}\r\n")).await;
    }
    stage.send("0\r\n\r\n").await;
    until(&mut app, "0\r\n\r\n").await;
    app.write_all(b"0\r\n\r\n").await.unwrap();
    stage.gets("0\r\n\r\n").await;
}

#[tokio::test]
async fn an_upload_that_turns_out_malformed_or_too_large_ends_the_answer_that_has_begun() {
    for bad in [
        "5\r\nhelloXX".to_owned(),
        format!("800\r\n{}\r\n", "x".repeat(2048)),
    ] {
        let mut stage = Stage::set().await;
        let mut app = stage.asked(&post("Transfer-Encoding: chunked")).await;
        app.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n")
            .await
            .unwrap();
        stage.gets("2\r\nhi\r\n").await;
        stage.send(&bad).await;
        let answer = rest(&mut stage.client).await;
        assert!(!answer.ends_with(b"0\r\n\r\n"));
        let request = rest(&mut app).await;
        assert!(!request.ends_with(b"0\r\n\r\n"));
    }
}

#[tokio::test]
async fn what_an_app_says_unasked_is_not_the_answer_to_the_next_request() {
    let forged = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged";
    for pause in [None, Some(Duration::from_millis(50))] {
        let mut stage = Stage::set().await;
        let mut app = stage.asked(&get("/public/x", "")).await;
        match pause {
            None => app.write_all(format!("{OK}{forged}").as_bytes()).await,
            Some(pause) => {
                app.write_all(OK.as_bytes()).await.unwrap();
                stage.gets("ok").await;
                app.write_all(forged.as_bytes()).await.unwrap();
                tokio::time::sleep(pause).await;
                Ok(())
            }
        }
        .unwrap();
        if pause.is_none() {
            stage.gets("ok").await;
        }
        let mut next = stage.asked(&get("/public/x", "")).await;
        next.write_all(OK.as_bytes()).await.unwrap();
        assert!(!stage.gets("ok").await.contains("forged"));
    }
}

#[tokio::test]
async fn only_what_may_be_repeated_is_sent_again_when_a_kept_connection_ends_without_a_word() {
    for (request, again) in [
        (get("/public/x", ""), true),
        (get("/public/x", "").replace("GET", "DELETE"), true),
        (post("Accept: */*"), false),
        (post("Content-Length: 2") + "hi", false),
        (
            post("Content-Length: 2").replace("POST", "PUT") + "hi",
            false,
        ),
    ] {
        let mut stage = Stage::set().await;
        let mut app = stage.served().await;
        stage.send(&request).await;
        until(&mut app, "\r\n\r\n").await;
        drop(app);
        if again {
            let mut next = stage.accept().await;
            until(&mut next, "\r\n\r\n").await;
            next.write_all(OK.as_bytes()).await.unwrap();
            assert!(stage.gets("ok").await.starts_with("HTTP/1.1 200 "));
        } else {
            let answer = stage.gets("\r\n\r\n").await;
            assert!(answer.starts_with("HTTP/1.1 502 "), "{answer}");
            assert!(stage.makes_no_connection().await, "{request}");
        }
    }
}

#[tokio::test]
async fn a_connection_that_has_begun_an_answer_is_not_asked_again() {
    let mut stage = Stage::set().await;
    let mut app = stage.served().await;
    stage.send(&get("/public/x", "")).await;
    until(&mut app, "\r\n\r\n").await;
    app.write_all(b"HTTP/1.1 2").await.unwrap();
    drop(app);
    let answer = stage.gets("\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 502 "), "{answer}");
    assert!(stage.makes_no_connection().await);
}

#[tokio::test]
async fn an_answer_ends_where_its_head_says() {
    for (answer, status, reused) in [
        (
            "HTTP/1.1 204 No Content\r\nContent-Length: 9\r\n\r\n",
            204,
            true,
        ),
        (
            "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n",
            304,
            true,
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            200,
            true,
        ),
        (
            "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
            200,
            true,
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            200,
            false,
        ),
        ("HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", 200, false),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nContent-Length: 1\r\n\r\nx",
            502,
            false,
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
            502,
            false,
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n0\r\n\r\n",
            200,
            false,
        ),
        (
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n",
            502,
            false,
        ),
        ("ICY 200 OK\r\n\r\n", 502, false),
    ] {
        let mut stage = Stage::set().await;
        let mut app = stage.asked(&get("/public/x", "")).await;
        app.write_all(answer.as_bytes()).await.unwrap();
        let got = stage.gets("\r\n\r\n").await;
        assert!(
            got.starts_with(&format!("HTTP/1.1 {status} ")),
            "{answer}: {got}"
        );
        if status == 502 {
            continue;
        }
        // An empty chunked body ends with its last chunk.
        if got.contains("chunked") {
            stage.gets("0\r\n\r\n").await;
        }
        stage.send(&get("/public/y", "")).await;
        match reused {
            true => assert!(until(&mut app, "\r\n\r\n").await.contains("/public/y")),
            false => {
                let mut next = stage.accept().await;
                assert!(until(&mut next, "\r\n\r\n").await.contains("/public/y"));
            }
        }
    }
}

#[tokio::test]
async fn a_long_answer_comes_whole_however_it_is_framed() {
    let body: Vec<u8> = (0..1_000_000_u32).map(|n| (n % 251) as u8).collect();
    let chunked: Vec<u8> = body
        .chunks(70_001)
        .flat_map(|chunk| {
            let line = format!("{:X}\r\n", chunk.len());
            [line.as_bytes(), chunk, b"\r\n"].concat()
        })
        .chain(*b"0\r\n\r\n")
        .collect();
    let length = format!("Content-Length: {}", body.len());
    for (framing, sent) in [
        (length.as_str(), &body),
        ("Transfer-Encoding: chunked", &chunked),
        ("Connection: close", &body),
    ] {
        let mut stage = Stage::set().await;
        // An HTTP/1.0 client gets the body as it is, up to the end of the connection.
        stage
            .send("GET /public/x HTTP/1.0\r\nHost: localhost\r\n\r\n")
            .await;
        let mut app = stage.accept().await;
        until(&mut app, "\r\n\r\n").await;
        let answer = [
            format!("HTTP/1.1 200 OK\r\n{framing}\r\n\r\n").as_bytes(),
            sent,
        ]
        .concat();
        let sending = tokio::spawn(async move { app.write_all(&answer).await });
        stage.gets("\r\n\r\n").await;
        let got = rest(&mut stage.client).await;
        assert!(got == body, "{framing}: {} bytes", got.len());
        sending.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn what_an_app_sends_right_behind_its_switch_opens_the_tunnel() {
    let mut stage = Stage::set().await;
    let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let mut app = stage.asked(&get("/public/ws", upgrade)).await;
    app.write_all(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nfirst")
        .await
        .unwrap();
    stage.gets("\r\n\r\nfirst").await;
    app.write_all(b"second").await.unwrap();
    stage.gets("second").await;
    stage.send("back").await;
    until(&mut app, "back").await;
}

#[tokio::test]
async fn an_app_is_let_go_when_the_client_leaves_before_or_within_the_answer() {
    let half = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf";
    for begun in ["", half] {
        let mut stage = Stage::set().await;
        let mut app = stage.asked(&get("/public/x", "")).await;
        app.write_all(begun.as_bytes()).await.unwrap();
        if !begun.is_empty() {
            stage.gets("half").await;
        }
        stage.client.shutdown().await.unwrap();
        assert!(rest(&mut app).await.is_empty(), "{begun:?}");
    }
}

#[tokio::test]
async fn what_comes_while_an_answer_is_awaited_is_asked_next() {
    let long = format!("X-Long: {}\r\n", "x".repeat(3000));
    for (next, at) in [
        (get("/public/y", ""), 0),
        (get("/public/y", ""), 20),
        (get("/public/y", "").repeat(2), 60),
        (get("/public/y", &long), 2000),
        (post("Content-Length: 5").replace("/x", "/y") + "hello", 90),
    ] {
        let mut stage = Stage::set().await;
        let mut app = stage.asked(&get("/public/x", "")).await;
        let (early, late) = next.split_at(at.min(next.len()));
        stage.send(if at == 0 { late } else { early }).await;
        // Long enough for it to be read.
        tokio::time::sleep(Duration::from_millis(50)).await;
        app.write_all(OK.as_bytes()).await.unwrap();
        stage.gets("ok").await;
        stage.send(if at == 0 { "" } else { late }).await;
        for _ in 0..next.matches(" HTTP/1.1").count() {
            let head = until(&mut app, "\r\n\r\n").await;
            assert!(head.contains(" /public/y HTTP/1.1\r\n"), "{head}");
            if next.ends_with("hello") {
                until(&mut app, "hello").await;
            }
            app.write_all(OK.as_bytes()).await.unwrap();
            stage.gets("ok").await;
        }
    }
}
