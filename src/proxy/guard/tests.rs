#![allow(clippy::unwrap_used)]
//! Raw bytes through the guard, whole and in pieces: what hyper would see of them.

use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

use super::*;

const LIMITS: Limits = Limits {
    header_bytes: 1024,
    headers: 8,
    body: None,
};

/// What passes of `sent` when it comes in pieces of `piece` bytes.
async fn passed(sent: &[u8], piece: usize) -> (Vec<u8>, bool) {
    let (mut client, server) = duplex(piece.max(1));
    let bytes = sent.to_vec();
    let sending = tokio::spawn(async move {
        // The guard may stop reading before the end.
        let _ = client.write_all(&bytes).await;
        let _ = client.shutdown().await;
        client
    });
    let state = Arc::new(ConnectionState::new());
    let mut guard = Guard::http1(server, Vec::new(), &LIMITS, Arc::clone(&state));
    let mut seen = Vec::new();
    let broken = loop {
        // Nothing more comes of these, however long one waits.
        let waits = matches!(guard.reading, Reading::Refused | Reading::Upgrade);
        if waits && guard.ready.is_empty() {
            break false;
        }
        let mut space = [0; 4096];
        let read = guard.read(&mut space);
        match tokio::time::timeout(Duration::from_secs(5), read).await {
            Ok(Ok(0)) | Err(_) => break false,
            Ok(Ok(count)) => seen.extend_from_slice(&space[..count]),
            Ok(Err(_)) => break true,
        }
    };
    sending.abort();
    (seen, broken)
}

async fn refused_with(sent: &[u8]) -> Option<Fault> {
    let (whole, _) = passed(sent, 64 * 1024).await;
    let (pieces, _) = passed(sent, 1).await;
    assert_eq!(whole, pieces, "{}", sent.escape_ascii());
    [Fault::Malformed, Fault::TooLarge, Fault::Method]
        .into_iter()
        .find(|fault| whole == fault.stand_in())
}

#[tokio::test]
async fn plain_requests_pass_unchanged() {
    for sent in [
        &b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"[..],
        b"GET /public/x HTTP/1.1\r\nhost:a\r\n\r\n",
        b"GET /public/x HTTP/1.1\r\nHost: \t a \t\r\nX: \xe9\r\nY:\r\n\r\n",
        b"GET http://a/public/x HTTP/1.1\r\nHost: a\r\n\r\n",
        b"\r\nGET / HTTP/1.0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: CHUNKED\r\n\r\n5;x=y\r\nhello\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 1\r\n\r\n\nGET /b HTTP/1.1\r\n\r\nGET /c HTTP/1.1\r\n\r\n",
        b"GET /~u/!$&'()*,=:@;a=b?c?d HTTP/1.1\r\nHost: a\r\n\r\n",
    ] {
        assert_eq!(passed(sent, 64 * 1024).await, (sent.to_vec(), false), "{}", sent.escape_ascii());
        assert_eq!(passed(sent, 3).await, (sent.to_vec(), false), "{}", sent.escape_ascii());
    }
}

#[tokio::test]
async fn heads_that_readers_disagree_on_are_refused_whole() {
    let in_head = [
        // Framing (RFC 9112 6).
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Content-Length: 5\r\nContent-Length: 6",
        "Content-Length: 5\r\nContent-Length: 5",
        "Content-Length: 5, 5",
        "Content-Length: +5",
        "Content-Length: -1",
        "Content-Length: 0x5",
        "Content-Length: 5 5",
        "Content-Length: 18446744073709551621",
        "Content-Length: 5\0",
        "Content-Length: 1_0",
        "Content-Length: \u{665}",
        "Content-Length: 5;",
        "Content-Length: 5.0",
        "Content-Length:",
        "Content-Length : 5",
        "Transfer-Encoding : chunked",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding: chunked, identity",
        "Transfer-Encoding: identity, chunked",
        "Transfer-Encoding: chunked, chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
        "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: CHUNKED\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding:\u{b}chunked",
        "Transfer-Encoding: chunked;q=1",
        "Transfer-Encoding: \"chunked\"",
        "Transfer-Encoding: chunked\0",
        "Transfer-Encoding:",
        // Lines (RFC 9112 2.2, 5).
        "A: b\nC: d",
        "A: b\rC: d",
        "A: b\r\n folded",
        "A: b\r\n\tfolded",
        " A: b",
        "A : b",
        "A\t: b",
        "A: \u{1}",
        "A: \u{7f}",
        ": b",
        "A",
        "A(: b",
        "\u{e9}: b",
    ];
    for field in in_head {
        let sent = format!("POST / HTTP/1.1\r\nHost: a\r\n{field}\r\n\r\nhello");
        assert_eq!(
            refused_with(sent.as_bytes()).await,
            Some(Fault::Malformed),
            "{field:?}"
        );
    }
    for line in [
        "GET / HTTP/1.2",
        "GET / HTTP/2.0",
        "GET / http/1.1",
        "GET / HTTP/1.10",
        "GET /",
        "GET  / HTTP/1.1",
        "GET / HTTP/1.1 ",
        "GET\t/ HTTP/1.1",
        " GET / HTTP/1.1",
        "GET /public/ x HTTP/1.1",
        "GET /\u{80} HTTP/1.1",
        "GET /\u{7f} HTTP/1.1",
        "GET /a\0b HTTP/1.1",
        "GET /secret#/public/ HTTP/1.1",
        "GET public/x HTTP/1.1",
        "GET ?/public/ HTTP/1.1",
        "GET * HTTP/1.1",
        "OPTIONS * HTTP/1.1",
        "GET ftp://a/ HTTP/1.1",
        "G(T / HTTP/1.1",
        "! /400 HTTP/1.1",
        "GET / HTTP/1.1\nHost: a",
    ] {
        let sent = format!("{line}\r\nHost: a\r\n\r\n");
        assert_eq!(
            refused_with(sent.as_bytes()).await,
            Some(Fault::Malformed),
            "{line:?}"
        );
    }
    let old = b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_eq!(refused_with(old).await, Some(Fault::Malformed));
    assert_eq!(
        refused_with(b"GET / HTTP/1.1\n\n").await,
        Some(Fault::Malformed)
    );
    assert_eq!(
        refused_with(b"CONNECT a:80 HTTP/1.1\r\n\r\n").await,
        Some(Fault::Method)
    );
}

#[tokio::test]
async fn another_protocol_ends_without_an_answer() {
    for sent in [
        &b"INVALID CONNECTION PREFACE\r\n\r\n"[..],
        b"SSH-2.0-x\r\n\r\n",
        b"\x16\x03\x01\n\n",
    ] {
        for piece in [1, 4096] {
            assert_eq!(
                passed(sent, piece).await,
                (Vec::new(), false),
                "{}",
                sent.escape_ascii()
            );
        }
    }
    let behind = b"GET / HTTP/1.1\r\nHost: a\r\n\r\nSSH-2.0-x\r\n\r\n";
    let (seen, _) = passed(behind, 4096).await;
    assert!(seen.ends_with(Fault::Malformed.stand_in()));
}

#[tokio::test]
async fn large_heads_are_refused_before_their_end() {
    let long = [b"GET / HTTP/1.1\r\nA: ".to_vec(), vec![b'a'; 4096]].concat();
    assert_eq!(refused_with(&long).await, Some(Fault::TooLarge));
    let many = format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(9));
    assert_eq!(refused_with(many.as_bytes()).await, Some(Fault::TooLarge));
    let enough = format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(8));
    assert_eq!(refused_with(enough.as_bytes()).await, None);
}

#[tokio::test]
async fn a_refused_head_keeps_its_place_behind_good_ones() {
    let good = b"GET /a HTTP/1.1\r\n\r\n";
    let sent = [&good[..], b"GET /b HTTP/1.1\nX: y\r\n\r\n", good].concat();
    for piece in [1, 7, 64 * 1024] {
        let (seen, _) = passed(&sent, piece).await;
        assert_eq!(seen, [&good[..], Fault::Malformed.stand_in()].concat());
    }
}

#[tokio::test]
async fn a_malformed_chunk_breaks_the_body_after_its_head_has_passed() {
    let head = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
    for body in [
        &b"5\nhello\n0\n\n"[..],
        b"0x5\r\n",
        b"5\r\nhelloXX0\r\n\r\n",
    ] {
        for piece in [1, 64 * 1024] {
            let (seen, broken) = passed(&[&head[..], body].concat(), piece).await;
            assert!(broken && seen.starts_with(head), "{}", body.escape_ascii());
        }
    }
}

#[tokio::test]
async fn nothing_after_a_request_to_upgrade_passes_before_its_answer() {
    let upgrade = b"GET /ws HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    let next = b"GET /next HTTP/1.1\r\n\r\n";
    for (answer, after) in [
        (UpgradeAnswer::Denied, &next[..]),
        (UpgradeAnswer::Granted, b"\x81\x00\nraw"),
        (UpgradeAnswer::Denied, b"\x81\x00\nraw"),
    ] {
        let (mut client, server) = duplex(4096);
        let state = Arc::new(ConnectionState::new());
        let mut guard = Guard::http1(server, Vec::new(), &LIMITS, Arc::clone(&state));
        client
            .write_all(&[&upgrade[..], after].concat())
            .await
            .unwrap();
        let mut space = vec![0; 4096];
        let count = guard.read(&mut space).await.unwrap();
        assert_eq!(&space[..count], upgrade);
        let waiting = tokio::time::timeout(Duration::from_millis(30), guard.read(&mut space)).await;
        assert!(waiting.is_err(), "it must wait for the answer");
        state.answer_upgrade(answer);
        let count = guard.read(&mut space).await.unwrap();
        let expected = match (answer, after == next) {
            (UpgradeAnswer::Denied, false) => Fault::Malformed.stand_in(),
            (UpgradeAnswer::Denied, true) | (UpgradeAnswer::Granted, _) => after,
        };
        assert_eq!(&space[..count], expected);
    }
}

#[tokio::test]
async fn an_upgrade_with_a_body_is_an_ordinary_request() {
    let sent =
        b"POST / HTTP/1.1\r\nUpgrade: h2c\r\nContent-Length: 2\r\n\r\nhiGET / HTTP/1.1\r\n\r\n";
    assert_eq!(passed(sent, 64 * 1024).await, (sent.to_vec(), false));
}

#[tokio::test]
async fn closing_waits_a_moment_for_a_client_that_is_still_sending() {
    let (mut client, server) = duplex(64 * 1024);
    let state = Arc::new(ConnectionState::new());
    let mut guard = Guard::http1(server, Vec::new(), &LIMITS, state);
    client
        .write_all(b"GET / HTTP/1.9\r\n\r\nmore")
        .await
        .unwrap();
    let mut space = vec![0; 4096];
    let count = guard.read(&mut space).await.unwrap();
    assert_eq!(&space[..count], Fault::Malformed.stand_in());
    let start = Instant::now();
    guard.shutdown().await.unwrap();
    assert!(start.elapsed() >= LINGER_FOR);
    assert!(start.elapsed() < LINGER_FOR * 3);
}

/// A guard on whose connection a request is being answered, and the client's side.
fn answering() -> (Guard<tokio::io::DuplexStream>, tokio::io::DuplexStream) {
    let (client, server) = duplex(64 * 1024);
    let state = Arc::new(ConnectionState::new());
    state.begin();
    (Guard::http1(server, Vec::new(), &LIMITS, state), client)
}

#[tokio::test]
async fn a_client_that_has_gone_is_noticed_while_its_answer_is_awaited() {
    let (mut guard, mut client) = answering();
    guard.flush().await.unwrap();
    client.shutdown().await.unwrap();
    let error = guard.flush().await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionAborted);
}

#[tokio::test]
async fn a_client_that_has_gone_is_noticed_although_it_reads_nothing_of_its_answer() {
    let (mut guard, mut client) = answering();
    client.shutdown().await.unwrap();
    let answer = vec![b'x'; 1024 * 1024];
    let written = tokio::time::timeout(Duration::from_secs(5), guard.write_all(&answer));
    let error = written.await.unwrap().unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionAborted);
}

#[tokio::test]
async fn little_is_read_ahead_of_a_client_that_does_not_wait_for_its_answer_and_nothing_is_lost() {
    let (mut guard, mut client) = answering();
    let sent = "GET / HTTP/1.1\r\n\r\n".repeat(200);
    client.write_all(sent.as_bytes()).await.unwrap();
    for _ in 0..10 {
        guard.flush().await.unwrap();
    }
    let ahead = guard.held.len() + guard.ready.len();
    assert!((1..=1024).contains(&ahead), "{ahead}");
    drop(client);
    let mut seen = vec![0; sent.len()];
    guard.read_exact(&mut seen).await.unwrap();
    assert_eq!(String::from_utf8(seen).unwrap(), sent);
}
