//! Step verbs that press: slow and stalled connections, floods, bombs, many tabs, and suites of
//! ordinary traffic.

use std::time::{Duration, Instant};

use serde_json::Value;
use usher::demo::idp::{Endpoint, EndpointFault, Fault};

use super::{
    faults, flow,
    h2::{self, H2},
    latency::Extent,
    run::{Done, Run, Stop},
    sessions::plain_get,
    steps::Step,
    traffic,
    world::site,
};
use crate::support::wire::{PATIENCE, UNTRUSTED, Wire};

/// Answers faster than this count as this fast: on a shared machine the difference is noise.
const NOISE: Duration = Duration::from_millis(40);

impl Run<'_> {
    pub(super) async fn load_step(&mut self, verb: &str, step: &Step<'_>) -> Done {
        match verb {
            "slowloris" | "slow" => self.slowloris(&step.map[verb]).await,
            "tls_stall" => self.tls_stall(&step.map[verb]).await,
            "flood" => self.flood(&step.map[verb]).await,
            "h2_attack" => self.h2_attack(step.text(verb).unwrap_or_default()).await,
            "bomb" => self.bomb(step.text(verb).unwrap_or_default()).await,
            "ulimit_nofile" => self.ulimit(step.number(verb).unwrap_or(1024)).await,
            "open_conns" => self.open_connections(step.number(verb).unwrap_or(0)).await,
            "login_background" => {
                self.login_background(step.text(verb).unwrap_or_default())
                    .await
            }
            "measure_logins" => self.measure_logins().await,
            "suite" => self.suite(step.text(verb).unwrap_or_default()).await,
            "open_ws" | "open_sse" | "ws_echo" | "do" => self.stream_step(verb, step).await,
            "tls_request" => self.tls_request(&step.map[verb]).await,
            other => Err(Stop::Fail(format!("unknown verb {other:?}"))),
        }
    }

    /// The p99 of a well-behaved client for so long; `tls` as the world is.
    async fn good_p99(&mut self, seconds: u64) -> Result<Duration, Stop> {
        let usher = self.world.usher().await?;
        let to = usher.public();
        let tls = self.world.settings.tls;
        let p99 = traffic::well_behaved(to, tls, Duration::from_secs(seconds)).await;
        p99.ok_or_else(|| Stop::Fail("a well-behaved client gets no answers".to_owned()))
    }

    /// Serves a well-behaved client for so long, to compare with what it gets later.
    async fn baseline(&mut self, seconds: u64) -> Result<Option<Duration>, Stop> {
        match self.extent {
            Extent::Short => Ok(None),
            Extent::Full => self.good_p99(seconds).await.map(Some),
        }
    }

    /// Serves a well-behaved client beside the attack, for a second where nothing is compared.
    async fn compare(&mut self, seconds: u64, baseline: Option<Duration>) -> Done {
        let Some(baseline) = baseline else {
            return self.good_p99(1).await.map(drop);
        };
        let during = self.good_p99(seconds).await?;
        self.ratio("good_p99_ratio", during, baseline);
        Ok(())
    }

    /// So many, but a few hundred where nothing is compared.
    fn crowd(&self, count: u64) -> u64 {
        match self.extent {
            Extent::Short => count.min(300),
            Extent::Full => count,
        }
    }

    fn ratio(&mut self, name: &str, during: Duration, baseline: Duration) {
        let ratio = during.max(NOISE).as_secs_f64() / baseline.max(NOISE).as_secs_f64();
        let shown = format!("{ratio:.2}");
        self.measure(name, shown);
    }

    async fn slowloris(&mut self, value: &Value) -> Done {
        let count = self.crowd(value["conns"].as_u64().unwrap_or(2000));
        let body = value["part"] == "body";
        let baseline = self.baseline(3).await?;
        let to = self.world.usher().await?.public();
        let start: &[u8] = if body {
            b"POST /public/x HTTP/1.1\r\nHost: app.test\r\nContent-Length: 1000000\r\n\r\na"
        } else {
            b"GET /public/x HTTP/1.1\r\nHost: app.test\r\nX-S"
        };
        let mut open = Vec::new();
        for _ in 0..count {
            if let Ok(mut wire) = Wire::connect(to, UNTRUSTED).await {
                wire.send(start).await;
                open.push(wire);
            }
        }
        self.measure("conns", open.len());
        let began = Instant::now();
        self.compare(8, baseline).await?;
        for wire in &mut open {
            wire.send(b"l").await;
        }
        let left = Duration::from_secs(20).saturating_sub(began.elapsed());
        tokio::time::sleep(left).await;
        let mut alive = 0;
        for wire in &mut open {
            alive += u32::from(!wire.closes_within(Duration::from_millis(1)).await);
        }
        self.measure("attacker_conns_after_20s", alive);
        Ok(())
    }

    async fn tls_stall(&mut self, value: &Value) -> Done {
        use tokio::io::AsyncWriteExt;
        let count = self.crowd(value["conns"].as_u64().unwrap_or(1000));
        let after = match &value["after_bytes"] {
            Value::String(text) => text.parse().unwrap_or(0),
            other => other.as_u64().unwrap_or(0),
        };
        let hello = traffic::client_hello();
        let part = &hello[..usize::try_from(after).unwrap_or(0).min(hello.len())];
        let baseline = self.baseline(2).await?;
        let to = self.world.usher().await?.public();
        let mut open = Vec::new();
        for _ in 0..count {
            if let Ok(mut stream) = tokio::net::TcpStream::connect(to).await {
                let _sent = stream.write_all(part).await;
                open.push(stream);
            }
        }
        self.compare(3, baseline).await?;
        self.measure("stalled", open.len());
        Ok(())
    }

    async fn flood(&mut self, value: &Value) -> Done {
        let rate = value["rps"].as_u64().unwrap_or(1000);
        let seconds = value["seconds"]
            .as_u64()
            .unwrap_or(30)
            .min(traffic::limit_seconds(self.extent));
        let target = value["target"].as_str().unwrap_or("/").to_owned();
        let baseline = self.baseline(2).await?;
        let to = self.world.usher().await?.public();
        let stop = Instant::now() + Duration::from_secs(seconds);
        let workers = 20;
        let mut tasks = tokio::task::JoinSet::new();
        let between = Duration::from_micros(1_000_000 * workers / rate.max(1));
        for _ in 0..workers {
            let text = traffic::flood_request(&target);
            tasks.spawn(async move {
                let mut wire: Option<Wire> = None;
                while Instant::now() < stop {
                    let mut open = match wire.take() {
                        Some(open) if !open.ended() => open,
                        _ => match Wire::connect(to, UNTRUSTED).await {
                            Ok(open) => open,
                            Err(_) => continue,
                        },
                    };
                    open.send(text.as_bytes()).await;
                    if open.answer(false, PATIENCE).await.is_some() {
                        wire = Some(open);
                    }
                    tokio::time::sleep(between).await;
                }
            });
        }
        let compared = self
            .compare(seconds.saturating_sub(1).max(1), baseline)
            .await;
        tasks.join_all().await;
        compared
    }

    async fn h2_attack(&mut self, words: &str) -> Done {
        let to = self.world.usher().await?.public();
        let lower = words.to_ascii_lowercase();
        let window = if lower.contains("zero window") {
            0
        } else {
            65_535
        };
        let mut connection = H2::connect(to, window).await.map_err(|e| e.to_string())?;
        let attack: Vec<Vec<u8>> = if lower.contains("hpack") {
            traffic::header_bomb()
        } else if lower.contains("reset") {
            let head = h2::request_frames(1, &traffic::ordinary());
            (0..5000)
                .map(|n| {
                    let stream = 2 * n + 1;
                    [
                        traffic::h2_on(stream, &head),
                        h2::frame(3, 0, stream, &[0, 0, 0, 8]),
                    ]
                    .concat()
                })
                .collect()
        } else if lower.contains("continuation") {
            let first = h2::frame(1, 0, 1, &h2::encode(&traffic::ordinary().fields));
            let more = h2::frame(9, 0, 1, &h2::encode(&[(b"x-a".to_vec(), vec![b'a'; 8000])]));
            std::iter::once(first)
                .chain(std::iter::repeat_n(more, 2000))
                .collect()
        } else if lower.contains("settings") {
            vec![h2::frame(4, 0, 0, &[0, 4, 0, 0, 255, 255]); 20_000]
        } else if lower.contains("ping") {
            vec![h2::frame(6, 0, 0, &[0; 8]); 20_000]
        } else if lower.contains("goaway") {
            vec![h2::frame(7, 0, 0, &[0; 8]), h2::frame(4, 0, 0, &[])]
        } else {
            return Err(Stop::Fail(format!("unknown h2_attack {words:?}")));
        };
        let began = Instant::now();
        for part in attack {
            if began.elapsed() > Duration::from_secs(10) {
                break;
            }
            connection.write(&part).await;
        }
        let until = tokio::time::Instant::now() + Duration::from_secs(1);
        while connection.read(until).await.is_some() {}
        self.open.push(Box::new(connection));
        Ok(())
    }

    async fn bomb(&mut self, words: &str) -> Done {
        let huge = EndpointFault::Huge(1 << 30);
        match words {
            "op JWKS gzip" => self.world.op1.always(Fault::Endpoint(Endpoint::Jwks, huge)),
            "userinfo gzip" => self
                .world
                .op1
                .always(Fault::Endpoint(Endpoint::Userinfo, huge)),
            "jit gzip" => self.world.callback.behave(Some(faults::callback(words)?)),
            _ if words.starts_with("SAML") => return self.saml_bomb().await,
            _ if words.starts_with("scim") => {
                return self.scim_bomb().await;
            }
            other => return Err(Stop::Fail(format!("unknown bomb {other:?}"))),
        }
        self.world.dirty = true;
        self.login("newuser", "op1", None).await
    }

    async fn ulimit(&mut self, files: usize) -> Done {
        let pid = self.world.usher().await?.pid().to_string();
        let limit = format!("--nofile={files}:{files}");
        let done = std::process::Command::new("prlimit")
            .args(["--pid", &pid, &limit])
            .status();
        self.world.dirty = true;
        match done {
            Ok(status) if status.success() => Ok(()),
            Ok(_) | Err(_) => Err(Stop::NotApplicable(
                "prlimit is not on this machine".to_owned(),
            )),
        }
    }

    async fn open_connections(&mut self, count: usize) -> Done {
        let to = self.world.usher().await?.public();
        // One that was there before must go on being served.
        let mut early = Wire::connect(to, UNTRUSTED)
            .await
            .map_err(|e| e.to_string())?;
        early.send(plain_get("/public/x", None).as_bytes()).await;
        let first = early.answer(false, PATIENCE).await;
        let mut held = Vec::new();
        for _ in 0..count {
            if let Ok(Ok(stream)) =
                tokio::time::timeout(Duration::from_secs(1), tokio::net::TcpStream::connect(to))
                    .await
            {
                held.push(stream);
            }
        }
        self.measure("conns", held.len());
        tokio::time::sleep(Duration::from_secs(1)).await;
        early.send(plain_get("/public/x", None).as_bytes()).await;
        let again = early.answer(false, PATIENCE).await;
        if first.is_none_or(|a| a.status != 200) || again.is_none_or(|a| a.status >= 500) {
            self.problems
                .push("a connection from before was not served".to_owned());
        }
        drop(held);
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(15) {
            if let Ok(mut wire) = Wire::connect(to, UNTRUSTED).await {
                wire.send(plain_get("/public/x", None).as_bytes()).await;
                let answer = wire.answer(false, Duration::from_millis(500)).await;
                if answer.is_some_and(|a| a.status == 200) {
                    break;
                }
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        self.measure("recovered_ms", began.elapsed().as_millis());
        Ok(())
    }

    async fn login_background(&mut self, words: &str) -> Done {
        let (who, count) = words.split_once(" x ").unwrap_or((words, "1"));
        let count: usize = count
            .trim()
            .parse()
            .map_err(|_| format!("unknown login_background {words:?}"))?;
        let count = count.min(100);
        self.world.introduce("op1", who)?;
        if self.extent == Extent::Full {
            let baseline = self.sign_in_p99("before", 20).await?;
            self.measure("baseline_ms", baseline.as_millis());
        }
        let template = self.world.browser().await?;
        for _ in 0..count {
            let (mut browser, who) = (template.clone(), who.to_owned());
            tokio::spawn(async move {
                flow::sign_in(
                    &mut browser,
                    &flow::start_url("op1"),
                    &who,
                    flow::Until::Answered,
                )
                .await
            });
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
        Ok(())
    }

    async fn measure_logins(&mut self) -> Done {
        let count = match self.extent {
            Extent::Short => 5,
            Extent::Full => 20,
        };
        let during = self.sign_in_p99("during", count).await?;
        let baseline = self
            .values
            .get("baseline_ms")
            .and_then(|v| v.parse().ok())
            .unwrap_or(0);
        // A sign-in of a debug build among many others is slow by itself.
        let floor = Duration::from_millis(1500);
        let ratio = during.max(floor).as_secs_f64()
            / Duration::from_millis(baseline).max(floor).as_secs_f64();
        self.measure("p99_ratio", format!("{ratio:.2}"));
        self.measure("jit.max_concurrent", self.world.callback.most_at_once());
        Ok(())
    }

    async fn sign_in_p99(&mut self, prefix: &str, count: usize) -> Result<Duration, Stop> {
        let mut took = Vec::new();
        for n in 0..count {
            let who = format!("{prefix}{n}");
            self.world.introduce("op1", &who)?;
            let mut browser = self.world.browser().await?;
            let began = Instant::now();
            let start = flow::start_url("op1");
            flow::sign_in(&mut browser, &start, &who, flow::Until::Answered).await;
            took.push(began.elapsed());
            if !flow::is_valid(self.world, &browser).await? {
                self.problems.push(format!("{who} could not sign in"));
            }
        }
        took.sort();
        Ok(took[took.len() * 99 / 100])
    }

    /// A request over TLS: `{"sni": …, "host": …, "target": …, "alpn": […]}`.
    async fn tls_request(&mut self, value: &Value) -> Done {
        let known = ["sni", "host", "target", "alpn", "cookies", "method"];
        let map = value
            .as_object()
            .ok_or_else(|| format!("unknown tls_request {value}"))?;
        if let Some(odd) = map.keys().find(|k| !known.contains(&k.as_str())) {
            return Err(Stop::Fail(format!("unknown tls_request field {odd:?}")));
        }
        let text = |key: &str, or: &str| value[key].as_str().unwrap_or(or).to_owned();
        let (sni, host) = (text("sni", "app.test"), text("host", "app.test"));
        let cookies = self.cookies_of(value).await?;
        let to = self.world.usher().await?.public();
        let wire = Wire::connect_tls(to, UNTRUSTED, &sni, &["http/1.1"]).await;
        let mut wire = wire.map_err(|e| e.to_string())?;
        let cookies = cookies
            .map(|c| format!("Cookie: {c}\r\n"))
            .unwrap_or_default();
        let (method, target) = (text("method", "GET"), text("target", "/secret"));
        let head = format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\n{cookies}\r\n");
        wire.send(head.as_bytes()).await;
        self.last = wire.answer(false, PATIENCE).await;
        self.wire = Some(wire);
        Ok(())
    }

    async fn suite(&mut self, words: &str) -> Done {
        let mut ok = 0;
        let mut failed = Vec::new();
        let parts: Vec<&str> = match words {
            "happy_path_20" => super::suites::HAPPY.to_vec(),
            _ => words.split(',').collect(),
        };
        let mut judged = 0;
        for part in &parts {
            match self.suite_part(part).await {
                Ok(()) => {
                    ok += 1;
                    judged += 1;
                }
                Err(Stop::NotApplicable(why)) => self.not_judged.push(why),
                Err(Stop::Fail(why) | Stop::Late(why)) => {
                    judged += 1;
                    failed.push(format!("{part}: {why}"));
                }
            }
        }
        let _ = judged;
        if !failed.is_empty() {
            self.problems.push(failed.join("; "));
        }
        // What does not apply yet is named beside the result, and not counted against it.
        let skipped = parts.len() - judged;
        self.measure("ok", format!("{}/{}", ok + skipped, parts.len()));
        Ok(())
    }

    pub(super) async fn secret_of(&mut self, who: &str) -> Result<String, Stop> {
        let browser = self.actor(who).await?;
        Ok(browser.cookie_header(&site("/")).unwrap_or_default())
    }
}
