//! The traffic of attacks, and of the well-behaved client beside them.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{h2, latency::Extent, sessions::plain_get};
use crate::support::wire::{PATIENCE, UNTRUSTED, Wire};

/// Requests a second of the well-behaved client.
const GOOD_RATE: u32 = 200;

/// How long floods last at most; the catalogue's full time with `USHER_ATTACKS_FULL=1`.
pub(super) fn limit_seconds(extent: Extent) -> u64 {
    if extent == Extent::Short {
        1
    } else if std::env::var_os("USHER_ATTACKS_FULL").is_some() {
        600
    } else {
        3
    }
}

pub(super) fn flood_request(target: &str) -> String {
    let junk = format!("?code={0}&state={0}", "x".repeat(40));
    if target.contains("callback") {
        return format!("GET {target}{junk} HTTP/1.1\r\nHost: app.test\r\n\r\n");
    }
    let body = "logout_token=a.b.c&SAMLResponse=eA&user=root&password=x";
    format!(
        "POST {target} HTTP/1.1\r\nHost: app.test\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// Requests to a public path at a steady rate over ten connections; the p99 of their times, or
/// `None` where an answer did not come.
pub(super) async fn well_behaved(to: SocketAddr, tls: bool, time: Duration) -> Option<Duration> {
    const CONNECTIONS: u32 = 10;
    let took = Arc::new(std::sync::Mutex::new(Vec::new()));
    let stop = Instant::now() + time;
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..CONNECTIONS {
        let took = Arc::clone(&took);
        tasks.spawn(async move {
            let mut wire = if tls {
                Wire::connect_tls(to, UNTRUSTED, "app.test", &["http/1.1"])
                    .await
                    .ok()?
            } else {
                Wire::connect(to, UNTRUSTED).await.ok()?
            };
            let mut every = tokio::time::interval(Duration::from_secs(1) * CONNECTIONS / GOOD_RATE);
            tokio::time::sleep(Duration::from_millis(u64::from(n) * 5)).await;
            while Instant::now() < stop {
                every.tick().await;
                let began = Instant::now();
                wire.send(plain_get("/public/good", None).as_bytes()).await;
                let answer = wire.answer(false, PATIENCE).await?;
                if answer.status != 200 {
                    return None;
                }
                took.lock().ok()?.push(began.elapsed());
            }
            Some(())
        });
    }
    let all = tasks.join_all().await;
    if all.iter().any(Option::is_none) {
        return None;
    }
    let mut took = took.lock().ok()?.clone();
    took.sort();
    took.get(took.len() * 99 / 100).copied()
}

/// The first flight of a real TLS client.
pub(super) fn client_hello() -> Vec<u8> {
    let name = rustls::pki_types::ServerName::try_from("app.test").unwrap();
    let config = Arc::new(crate::support::wire::trust_all());
    let mut client = rustls::ClientConnection::new(config, name).unwrap();
    let mut hello = Vec::new();
    client.write_tls(&mut hello).unwrap();
    hello
}

pub(super) fn ordinary() -> h2::H2Request {
    let pair = |n: &str, v: &str| (n.as_bytes().to_vec(), v.as_bytes().to_vec());
    h2::H2Request {
        fields: vec![
            pair(":method", "GET"),
            pair(":scheme", "https"),
            pair(":authority", "app.test"),
            pair(":path", "/public/x"),
        ],
        ..h2::H2Request::default()
    }
}

pub(super) fn h2_on(stream: u32, frames: &[u8]) -> Vec<u8> {
    let mut out = frames.to_vec();
    out[5..9].copy_from_slice(&stream.to_be_bytes());
    out
}

/// One header of nearly 4 KiB put into the dynamic table, then one byte for each use of it.
pub(super) fn header_bomb() -> Vec<Vec<u8>> {
    let mut first = h2::encode(&ordinary().fields);
    first.push(0x40);
    for text in [b"x-bomb".to_vec(), vec![b'a'; 4000]] {
        h2::integer(&mut first, text.len(), 7, 0);
        first.extend(text);
    }
    let mut frames = vec![h2::frame(1, 5, 1, &first)];
    for n in 1..1000_u32 {
        let mut block = h2::encode(&ordinary().fields);
        block.extend(std::iter::repeat_n(0xbe, 16_000));
        frames.push(h2::frame(1, 5, 2 * n + 1, &block));
    }
    frames
}
