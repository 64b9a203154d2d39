//! Ordinary traffic that the guards must let through, and streams.

use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{Message, protocol::Role},
};
use usher::demo::idp::{ClaimsIn, SigningAlgorithm};

use super::{
    flow,
    run::{Done, Run, Stop},
    sessions::plain_get,
    steps::Step,
    world::site,
};
use crate::support::wire::{Answer, PATIENCE, UNTRUSTED, Wire};

/// Twenty ordinary ways through.
pub(super) const HAPPY: [&str; 20] = [
    "plain sign-in",
    "deep link",
    "deep link with a query",
    "sign-out and in again",
    "two tabs",
    "a second user",
    "an admin at /admin",
    "a user without the role at /admin is told so",
    "another host",
    "a public path without a session",
    "a public path with a session",
    "JSON for scripts",
    "/_usher/me",
    "POST with a body",
    "HEAD",
    "PS256",
    "ES256",
    "EdDSA",
    "claims in userinfo only",
    "no iss in the response",
];

fn want(status: u16, answer: Option<&Answer>, what: &str) -> Done {
    let got = answer.map_or(0, |a| a.status);
    if got == status {
        Ok(())
    } else {
        Err(Stop::Fail(format!("{what}: {got}, not {status}")))
    }
}

impl Run<'_> {
    pub(super) async fn suite_part(&mut self, part: &str) -> Done {
        match part {
            "grpc" => Err(Stop::NotApplicable("gRPC comes later".to_owned())),
            "sse" => self.sse_works().await,
            "chunked" => self.chunked_works().await,
            "expect" => self.expect_works().await,
            "websocket" | "ws" => self.ws_echo(64 * 1024).await,
            part if HAPPY.contains(&part) => self.happy(part).await,
            other => Err(Stop::Fail(format!("unknown suite {other:?}"))),
        }
    }

    async fn happy(&mut self, part: &str) -> Done {
        match part {
            "plain sign-in" | "sign-out and in again" => {
                if part.starts_with("sign-out") {
                    self.sign_out("alice").await?;
                    self.browsers.remove("alice");
                }
                self.fresh("alice", "/").await
            }
            "deep link" => self.fresh("alice", "/deep/link").await,
            "deep link with a query" => self.fresh("alice", "/deep?a=1&b=%2F%2Fx").await,
            "a second user" => self.fresh("bob", "/").await,
            "two tabs" => self.two_tabs().await,
            "an admin at /admin" => self.plain("root", "GET", "/admin/x", 200).await,
            "a user without the role at /admin is told so" => {
                self.plain("alice", "GET", "/admin/x", 403).await
            }
            "another host" => self.other_host().await,
            "a public path without a session" => self.plain("", "GET", "/public/x", 200).await,
            "a public path with a session" => self.plain("alice", "GET", "/public/x", 200).await,
            "JSON for scripts" => self.plain("", "GET", "/secret", 401).await,
            "/_usher/me" => self.plain("alice", "GET", "/_usher/me", 200).await,
            "POST with a body" => self.plain("alice", "POST", "/form", 200).await,
            "HEAD" => self.plain("alice", "HEAD", "/page", 200).await,
            _ => self.odd_idp(part).await,
        }
    }

    /// A sign-in by a browser that was never here, from the page that it wanted.
    async fn fresh(&mut self, who: &str, path: &str) -> Done {
        let mut browser = self.world.browser().await?;
        let flow = flow::sign_in(&mut browser, &site(path), who, flow::Until::Answered).await;
        let landed = flow
            .next
            .as_ref()
            .map(|url| url[url::Position::BeforePath..].to_owned());
        if landed.as_deref() != Some(path) {
            let status = flow.answer.map_or(0, |a| a.status);
            return Err(Stop::Fail(format!(
                "landed at {landed:?} ({status}), not {path}"
            )));
        }
        let answer = flow::secret(self.world, &browser).await?;
        want(200, Some(&answer), "the app")
    }

    async fn two_tabs(&mut self) -> Done {
        let mut browser = self.world.browser().await?;
        let (one, two) = (site("/one"), site("/two"));
        let first = flow::sign_in(&mut browser, &one, "bob", flow::Until::Callback).await;
        let second = flow::sign_in(&mut browser, &two, "bob", flow::Until::Callback).await;
        for (tab, path) in [(first, "/one"), (second, "/two")] {
            let end = flow::resume(&mut browser, &tab, flow::Until::Answered).await;
            let next = end
                .and_then(|end| end.next)
                .map(|url| url.path().to_owned());
            if next.as_deref() != Some(path) {
                return Err(Stop::Fail(format!("a tab landed at {next:?}, not {path}")));
            }
        }
        Ok(())
    }

    async fn other_host(&mut self) -> Done {
        let mut browser = self.world.browser().await?;
        let start = site("https://other.test/x");
        let flow = flow::sign_in(&mut browser, &start, "alice", flow::Until::Landed).await;
        want(200, flow.answer.as_ref(), "other.test")
    }

    async fn odd_idp(&mut self, part: &str) -> Done {
        let idp = &self.world.op1;
        match part {
            "PS256" => idp.settings(|s| s.algorithm = SigningAlgorithm::Ps256),
            "ES256" => idp.settings(|s| s.algorithm = SigningAlgorithm::Es256),
            "EdDSA" => idp.settings(|s| s.algorithm = SigningAlgorithm::EdDsa),
            "claims in userinfo only" => idp.settings(|s| s.claims_in = ClaimsIn::Userinfo),
            "no iss in the response" => {
                // Whether iss comes is part of the metadata, which usher read already.
                idp.settings(|s| s.response_iss = false);
                self.world.restart().await?;
                self.note_process();
            }
            other => return Err(Stop::Fail(format!("unknown suite {other:?}"))),
        }
        let done = self.fresh("alice", "/").await;
        self.world
            .op1
            .settings(|s| *s = usher::demo::idp::Settings::default());
        done
    }

    async fn plain(&mut self, who: &str, method: &str, target: &str, status: u16) -> Done {
        let cookies = if who.is_empty() {
            String::new()
        } else {
            self.secret_of(who).await?
        };
        let cookies = if cookies.is_empty() {
            cookies
        } else {
            format!("Cookie: {cookies}\r\n")
        };
        let body = if method == "POST" { "a=b" } else { "" };
        let to = self.world.usher().await?.public();
        let mut wire = Wire::connect(to, UNTRUSTED)
            .await
            .map_err(|e| e.to_string())?;
        let head = format!(
            "{method} {target} HTTP/1.1\r\nHost: app.test\r\n{cookies}Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        wire.send(head.as_bytes()).await;
        let answer = wire.answer(method == "HEAD", PATIENCE).await;
        want(status, answer.as_ref(), target)
    }

    async fn sse_works(&mut self) -> Done {
        let cookies = self.secret_of("alice").await?;
        let to = self.world.usher().await?.public();
        let mut wire = Wire::connect(to, UNTRUSTED)
            .await
            .map_err(|e| e.to_string())?;
        wire.send(plain_get("/sse", Some(&cookies)).as_bytes())
            .await;
        let mut text = String::new();
        let until = Instant::now() + Duration::from_secs(3);
        while Instant::now() < until && !text.contains("data: 3") {
            text.push_str(&String::from_utf8_lossy(
                &wire.some(Duration::from_secs(1)).await,
            ));
        }
        let ok = text.starts_with("HTTP/1.1 200") && text.contains("data: 3");
        if ok {
            Ok(())
        } else {
            Err(Stop::Fail(format!("no events: {text:.80}")))
        }
    }

    async fn chunked_works(&mut self) -> Done {
        let cookies = self.secret_of("alice").await?;
        let to = self.world.usher().await?.public();
        let mut wire = Wire::connect(to, UNTRUSTED)
            .await
            .map_err(|e| e.to_string())?;
        let head = format!(
            "POST /echo HTTP/1.1\r\nHost: app.test\r\nCookie: {cookies}\r\n\
             Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"
        );
        wire.send(head.as_bytes()).await;
        let answer = wire.answer(false, PATIENCE).await;
        want(200, answer.as_ref(), "chunked")?;
        let body = answer.map(|a| a.text()).unwrap_or_default();
        if body == "hello world" {
            Ok(())
        } else {
            Err(Stop::Fail(format!("echo {body:?}")))
        }
    }

    async fn expect_works(&mut self) -> Done {
        let cookies = self.secret_of("alice").await?;
        let to = self.world.usher().await?.public();
        let mut wire = Wire::connect(to, UNTRUSTED)
            .await
            .map_err(|e| e.to_string())?;
        let head = format!(
            "POST /form HTTP/1.1\r\nHost: app.test\r\nCookie: {cookies}\r\n\
             Expect: 100-continue\r\nContent-Length: 5\r\n\r\n"
        );
        wire.send(head.as_bytes()).await;
        let interim = wire.some(Duration::from_secs(3)).await;
        if !interim.starts_with(b"HTTP/1.1 100") {
            return Err(Stop::Fail("no 100 Continue".to_owned()));
        }
        wire.send(b"hello").await;
        want(200, wire.answer(false, PATIENCE).await.as_ref(), "expect")
    }

    /// Opens a WebSocket through usher as this actor.
    async fn web_socket(
        &mut self,
        who: &str,
    ) -> Result<WebSocketStream<Box<dyn crate::support::wire::Stream>>, Stop> {
        let cookies = self.secret_of(who).await?;
        let to = self.world.usher().await?.public();
        let mut wire = Wire::connect(to, UNTRUSTED)
            .await
            .map_err(|e| e.to_string())?;
        let head = format!(
            "GET /ws HTTP/1.1\r\nHost: app.test\r\nCookie: {cookies}\r\nConnection: Upgrade\r\n\
             Upgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             Sec-WebSocket-Version: 13\r\n\r\n"
        );
        wire.send(head.as_bytes()).await;
        want(101, wire.answer(false, PATIENCE).await.as_ref(), "/ws")?;
        let (stream, read) = wire.into_parts();
        Ok(WebSocketStream::from_partially_read(stream, read, Role::Client, None).await)
    }

    async fn ws_echo(&mut self, bytes: usize) -> Done {
        let mut socket = self.web_socket("alice").await?;
        let mut data = vec![0_u8; bytes];
        aws_lc_rs::rand::fill(&mut data).map_err(|_| "no randomness".to_owned())?;
        let sent = socket.send(Message::Binary(data.clone().into())).await;
        sent.map_err(|e| e.to_string())?;
        let back = tokio::time::timeout(PATIENCE, socket.next()).await;
        let same = matches!(back, Ok(Some(Ok(Message::Binary(got)))) if got == data);
        self.measure("ws.sha256", if same { "equal" } else { "different" });
        if same {
            Ok(())
        } else {
            Err(Stop::Fail("the echo differs".to_owned()))
        }
    }

    pub(super) async fn stream_step(&mut self, verb: &str, step: &Step<'_>) -> Done {
        match verb {
            "ws_echo" => {
                let size = match &step.map[verb] {
                    serde_json::Value::String(text) => super::faults::size(text),
                    other => other.as_u64(),
                };
                let size = usize::try_from(size.unwrap_or(1 << 20)).unwrap_or(1 << 20);
                self.ws_echo(size.min(8 << 20)).await
            }
            "open_ws" => {
                let who = step.text(verb).unwrap_or("alice").to_owned();
                let mut socket = self.web_socket(&who).await?;
                let (tell, told) = tokio::sync::oneshot::channel();
                tokio::spawn(async move {
                    while let Some(Ok(message)) = socket.next().await {
                        if message.is_close() {
                            break;
                        }
                    }
                    let _heard = tell.send(Instant::now());
                });
                self.open.push(Box::new(("ws", told)));
                Ok(())
            }
            "open_sse" => {
                let cookies = self.secret_of(step.text(verb).unwrap_or("alice")).await?;
                let to = self.world.usher().await?.public();
                let mut wire = Wire::connect(to, UNTRUSTED)
                    .await
                    .map_err(|e| e.to_string())?;
                wire.send(plain_get("/sse", Some(&cookies)).as_bytes())
                    .await;
                wire.some(PATIENCE).await;
                let (tell, told) = tokio::sync::oneshot::channel();
                tokio::spawn(async move {
                    wire.closes_within(Duration::from_secs(60)).await;
                    let _heard = tell.send(Instant::now());
                });
                self.open.push(Box::new(("stream", told)));
                Ok(())
            }
            _ => self.do_step(step).await,
        }
    }

    /// Takes access away, and measures until the streams end.
    async fn do_step(&mut self, step: &Step<'_>) -> Done {
        let action = step.text("do").unwrap_or_default().to_owned();
        let who = step.text("user").unwrap_or("alice").to_owned();
        match action.as_str() {
            "logout" => self.sign_out(&who).await?,
            "bclo" => self.back_channel("sub only").await?,
            words if words.starts_with("scim.patch ") => {
                let operation = words.trim_start_matches("scim.patch ").into();
                self.scim_patch(&who, operation).await?;
            }
            "admin.revoke_user" => self.admin_takes(&who, "sessions").await?,
            "role removed" => self.admin_takes(&who, "role").await?,
            "session absolute expiry" => tokio::time::sleep(super::sessions::LIFETIME).await,
            other => return Err(Stop::NotApplicable(format!("{other}: comes later"))),
        }
        let began = Instant::now();
        type Told = (&'static str, tokio::sync::oneshot::Receiver<Instant>);
        for open in std::mem::take(&mut self.open) {
            let Ok(told) = open.downcast::<Told>() else {
                continue;
            };
            let (name, told) = *told;
            let ended = tokio::time::timeout(Duration::from_secs(10), told).await;
            let took = ended.ok().and_then(Result::ok).map_or(u128::MAX, |at| {
                at.saturating_duration_since(began).as_millis()
            });
            self.measure(&format!("{name}.closed_ms"), took);
        }
        Ok(())
    }
}
