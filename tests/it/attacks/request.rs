//! The `request` step: h1, raw, h2 and h2raw.

use std::{
    net::Ipv4Addr,
    time::{Duration, Instant},
};

use serde_json::Value;

use super::{
    h2::{H2, H2Request},
    run::{ANONYMOUS, Done, Run, Stop, request_url},
    template::{bytes, expand_json},
};
use crate::support::{
    browser::redirect,
    wire::{Answer, PATIENCE, TRUSTED, UNTRUSTED, Wire},
};

const KNOWN: [&str; 12] = [
    "proto",
    "from",
    "method",
    "target",
    "headers",
    "cookies",
    "body",
    "raw",
    "pseudo",
    "trailers",
    "same_conn",
    "host",
];

impl Run<'_> {
    /// Sends the request of a row.
    pub(super) async fn request(&mut self, template: &Value) -> Done {
        let request = expand_json(template, self)?;
        let map = request
            .as_object()
            .ok_or_else(|| "a request is an object".to_owned())?;
        if let Some(key) = map.keys().find(|key| !KNOWN.contains(&key.as_str())) {
            return Err(Stop::Fail(format!("unknown request field {key:?}")));
        }
        let began = Instant::now();
        let proto = request["proto"].as_str().unwrap_or("h1");
        let outcome = match proto {
            "h1" | "raw" if request["cookies"] == "mutated" && !self.mutants.is_empty() => {
                self.each_mutant(&request).await
            }
            "h1" if self.is_big(&request) => self.big_body(&request).await,
            "h1" => {
                let target = request["target"].as_str().unwrap_or_default();
                self.break_app(target).await?;
                let (head, host) = self.h1_bytes(&request).await?;
                self.send_h1(&request, &head, &host).await
            }
            "raw" => {
                let raw = request["raw"].as_str().unwrap_or_default();
                self.note_raw(raw);
                let raw = unfold_repetitions(raw);
                let host = host_of_raw(&raw);
                self.send_h1(&request, &bytes(&raw), &host).await
            }
            "h2" | "h2raw" => self.send_h2(&request).await,
            other => Err(Stop::Fail(format!("unknown proto {other:?}"))),
        };
        self.took(began);
        outcome
    }

    fn is_big(&self, request: &Value) -> bool {
        let body = request["body"].as_str().unwrap_or_default();
        ["GiB", "MiB"].iter().any(|unit| body.contains(unit)) && body.len() < 40
    }

    fn source(&self, request: &Value) -> Result<Ipv4Addr, Stop> {
        match request["from"].as_str().unwrap_or("untrusted") {
            "untrusted" => Ok(UNTRUSTED),
            "trusted" => Ok(TRUSTED),
            other => Err(Stop::Fail(format!("unknown from {other:?}"))),
        }
    }

    /// The `Cookie` value that the row names.
    pub(super) async fn cookies_of(&mut self, request: &Value) -> Result<Option<String>, Stop> {
        let Some(name) = request["cookies"].as_str() else {
            // A `state` of this row's own is worth something only with its cookie.
            let (browser, _) = self.pending.get(ANONYMOUS).cloned().unzip();
            return Ok(browser.and_then(|b| b.cookie_header(&super::world::site("/"))));
        };
        let browser = self.actor(name).await?;
        self.current = name.to_owned();
        let host = request["headers"].as_array().cloned().unwrap_or_default();
        let host = host.iter().find(|h| {
            h[0].as_str()
                .is_some_and(|n| n.eq_ignore_ascii_case("host"))
        });
        let host = host.and_then(|h| h[1].as_str()).unwrap_or("app.test");
        // A session of one host sent to another is the point of some rows: the jar is not asked.
        let target = request["target"].as_str().unwrap_or("/");
        let own = browser.cookie_header(&request_url(host, target));
        Ok(own.or_else(|| browser.cookie_header(&super::world::site("/"))))
    }

    async fn h1_bytes(&mut self, request: &Value) -> Result<(Vec<u8>, String), Stop> {
        let cookies = self.cookies_of(request).await?;
        let method = request["method"].as_str().unwrap_or("GET");
        let target = request["target"].as_str().unwrap_or("/");
        let mut head = format!("{method} {target} HTTP/1.1\r\n");
        let mut host = String::new();
        let mut framed = false;
        for field in request["headers"].as_array().into_iter().flatten() {
            let name = field[0].as_str().unwrap_or_default();
            let value = field[1].as_str().unwrap_or_default();
            if name.eq_ignore_ascii_case("host") {
                host = value.to_owned();
            }
            framed |= ["content-length", "transfer-encoding"]
                .iter()
                .any(|known| name.eq_ignore_ascii_case(known));
            self.note_forged(name, value);
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        // Rows about pages ask as a browser does.
        if self.words.contains("body.no_active") || self.words.contains("frame-ancestors") {
            head.push_str("Accept: text/html\r\n");
        }
        if let Some(cookies) = cookies {
            head.push_str(&format!("Cookie: {cookies}\r\n"));
        }
        let body = match &request["body"] {
            Value::Null => Vec::new(),
            Value::String(text) if text == super::scim::GZIP_BOMB => {
                head.push_str("Content-Encoding: gzip\r\n");
                super::scim::bomb()
            }
            Value::String(text) => bytes(text),
            other => other.to_string().into_bytes(),
        };
        let trailers = request["trailers"].as_array().cloned().unwrap_or_default();
        let mut out;
        if trailers.is_empty() {
            if !framed && (!body.is_empty() || method == "POST") {
                head.push_str(&format!("Content-Length: {}\r\n", body.len()));
            }
            out = bytes(&head);
            out.extend(b"\r\n");
            out.extend(body);
        } else {
            head.push_str("Transfer-Encoding: chunked\r\n\r\n");
            out = bytes(&head);
            out.extend(format!("{:x}\r\n", body.len()).bytes());
            out.extend(body);
            out.extend(b"\r\n0\r\n");
            for field in &trailers {
                let name = field[0].as_str().unwrap_or_default();
                let value = field[1].as_str().unwrap_or_default();
                self.note_forged(name, value);
                out.extend(bytes(&format!("{name}: {value}\r\n")));
            }
            out.extend(b"\r\n");
        }
        Ok((out, host))
    }

    /// Lines of a raw request that fold to identity headers count as forged.
    fn note_raw(&mut self, raw: &str) {
        for line in raw.split(['\r', '\n']) {
            if let Some((name, value)) = line.split_once(':') {
                self.note_forged(name, value);
            }
        }
    }

    async fn connect(&mut self, source: Ipv4Addr) -> Result<Wire, Stop> {
        let for_admin = self.is_for_admin();
        let tls = self.world.settings.tls && !for_admin;
        let to = match for_admin {
            true => self.admin_address().await?,
            false => self.world.usher().await?.public(),
        };
        let wire = if tls {
            Wire::connect_tls(to, source, "app.test", &["http/1.1"]).await
        } else {
            Wire::connect(to, source).await
        };
        wire.map_err(|e| Stop::Fail(format!("cannot connect to usher: {e}")))
    }

    async fn send_h1(&mut self, request: &Value, message: &[u8], host: &str) -> Done {
        let source = self.source(request)?;
        let reuse = request["same_conn"] == true && self.wire.is_some();
        let mut wire = match self.wire.take() {
            Some(wire) if reuse => wire,
            Some(_) | None => self.connect(source).await?,
        };
        wire.send(message).await;
        let head = request["method"] == "HEAD";
        let short = request["proto"] == "raw" || self.words.contains("upstream.respond");
        let patience = if short {
            Duration::from_secs(4)
        } else {
            PATIENCE
        };
        let first = wire.answer(head, patience).await;
        self.on_wire = first.iter().cloned().collect();
        let more = request["proto"] == "raw"
            || self.words.contains("statuses")
            || self.words.contains("smuggled");
        while more && first.is_some() && !wire.ended() {
            let Some(next) = wire.answer(false, Duration::from_millis(300)).await else {
                break;
            };
            self.on_wire.push(next);
        }
        self.wire = Some(wire);
        self.keep_answer(request, host, first);
        Ok(())
    }

    fn keep_answer(&mut self, request: &Value, host: &str, answer: Option<Answer>) {
        let url = request_url(host, request["target"].as_str().unwrap_or("/"));
        if let Some(answer) = &answer {
            self.keep_told(&url, answer);
            let sign_in = answer.json()["sign_in_url"]
                .as_str()
                .and_then(|to| url.join(to).ok());
            self.onward = redirect(&url, answer).or(sign_in).or_else(|| {
                (answer.status == 200 && super::flow::is_own(&url)).then(|| url.clone())
            });
            self.answers.push((host.to_owned(), answer.clone()));
            if request["cookies"].is_null() || self.onward.is_some() {
                self.keep_in_browser(request, &url, answer);
            }
        }
        self.last = answer;
    }

    /// What a browser would remember of this answer.
    fn keep_in_browser(&mut self, request: &Value, url: &url::Url, answer: &Answer) {
        let name = request["cookies"]
            .as_str()
            .unwrap_or("anonymous")
            .to_owned();
        let Some(usher) = self.world.running() else {
            return;
        };
        let fresh = crate::support::browser::Browser::new(usher.public());
        let browser = self.browsers.entry(name.clone()).or_insert(fresh);
        browser.keep_cookies(url, answer);
        self.current = name;
    }

    async fn send_h2(&mut self, request: &Value) -> Done {
        let cookies = self.cookies_of(request).await?;
        let mut fields: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
        for list in ["pseudo", "headers"] {
            for field in request[list].as_array().into_iter().flatten() {
                let name = field[0].as_str().unwrap_or_default();
                let value = field[1].as_str().unwrap_or_default();
                self.note_forged(name, value);
                self.note_raw(value);
                let lower = request["proto"] == "h2";
                let name = if lower {
                    name.to_ascii_lowercase()
                } else {
                    name.to_owned()
                };
                if !(lower && name == "host") {
                    fields.push((bytes(&name), bytes(value)));
                } else {
                    fields.insert(0, (b":authority".to_vec(), bytes(value)));
                }
            }
        }
        if request["pseudo"].is_null() {
            let method = request["method"].as_str().unwrap_or("GET");
            let target = request["target"].as_str().unwrap_or("/");
            fields.insert(0, (b":method".to_vec(), bytes(method)));
            fields.insert(0, (b":scheme".to_vec(), b"https".to_vec()));
            fields.insert(0, (b":path".to_vec(), bytes(target)));
        }
        if let Some(cookies) = cookies {
            fields.push((b"cookie".to_vec(), bytes(&cookies)));
        }
        let mut trailers = Vec::new();
        for field in request["trailers"].as_array().into_iter().flatten() {
            let (name, value) = (field[0].as_str().unwrap_or_default(), field[1].as_str());
            self.note_forged(name, value.unwrap_or_default());
            trailers.push((bytes(name), bytes(value.unwrap_or_default())));
        }
        let body = request["body"].as_str().map(bytes);
        let to = self.world.usher().await?.public();
        let mut h2 = if self.world.settings.tls {
            let wire = Wire::connect_tls(to, UNTRUSTED, "app.test", &["h2"]).await;
            H2::over(wire.map_err(|e| e.to_string())?, 65_535).await
        } else {
            H2::connect(to, 65_535).await.map_err(|e| e.to_string())?
        };
        let outcome = h2
            .exchange(
                1,
                &H2Request {
                    fields,
                    body,
                    trailers,
                },
            )
            .await;
        self.h2_refused = outcome.refused;
        let target = request["pseudo"].as_array().into_iter().flatten();
        let target = target
            .filter(|p| p[0] == ":path")
            .find_map(|p| p[1].as_str());
        let mut shown = request.clone();
        shown["target"] = target.unwrap_or("/").into();
        self.on_wire = outcome.answer.iter().cloned().collect();
        self.keep_answer(&shown, "app.test", outcome.answer);
        Ok(())
    }

    /// The same request once for every mutated cookie; the worst answer is kept.
    async fn each_mutant(&mut self, request: &Value) -> Done {
        let mutants = std::mem::take(&mut self.mutants);
        let source = self.source(request)?;
        let mut template = request.clone();
        template["cookies"] = Value::Null;
        let (head, host) = self.h1_bytes(&template).await?;
        let head = head.strip_suffix(b"\r\n").unwrap_or(&head).to_vec();
        let mut kept: Option<Answer> = None;
        let mut wire: Option<Wire> = None;
        for cookie in &mutants {
            let mut open = match wire.take() {
                Some(open) if !open.ended() => open,
                Some(_) | None => self.connect(source).await?,
            };
            let line = format!("Cookie: {cookie}\r\n\r\n");
            open.send(&[head.clone(), bytes(&line)].concat()).await;
            let answer = open.answer(false, PATIENCE).await;
            let Some(answer) = answer else {
                self.problems
                    .push("no answer to a mutated cookie".to_owned());
                continue;
            };
            let badness = |a: &Answer| (a.status >= 500, a.status < 300, a.status);
            if kept.as_ref().is_none_or(|k| badness(&answer) > badness(k)) {
                kept = Some(answer);
            }
            wire = Some(open);
        }
        self.values
            .insert("mutants".to_owned(), mutants.len().to_string());
        self.keep_answer(&template, &host, kept);
        Ok(())
    }

    /// A body given by its size: streamed up and read back, compared by digest.
    async fn big_body(&mut self, request: &Value) -> Done {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let text = request["body"].as_str().unwrap_or_default();
        let size = super::faults::size(text).ok_or_else(|| format!("unknown size {text:?}"))?;
        let cookies = self.cookies_of(request).await?.unwrap_or_default();
        let target = request["target"].as_str().unwrap_or("/");
        let fields = request["headers"].as_array().into_iter().flatten();
        let fields = fields.map(|f| [f[0].as_str().unwrap_or(""), f[1].as_str().unwrap_or("")]);
        let more: String = fields
            .filter(|[name, _]| !name.eq_ignore_ascii_case("host"))
            .map(|[name, value]| format!("{name}: {value}\r\n"))
            .collect();
        let head = format!(
            "POST {target} HTTP/1.1\r\nHost: app.test\r\nCookie: {cookies}\r\n{more}\
             Content-Length: {size}\r\nConnection: close\r\n\r\n"
        );
        let to = self.world.usher().await?.public();
        let stream = tokio::net::TcpStream::connect(to)
            .await
            .map_err(|e| e.to_string())?;
        let (mut down, mut up) = stream.into_split();
        let sender = tokio::spawn(async move {
            let mut digest = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
            let mut part = vec![0_u8; 256 * 1024];
            aws_lc_rs::rand::fill(&mut part).ok()?;
            up.write_all(head.as_bytes()).await.ok()?;
            let mut left = size;
            while left > 0 {
                let take = usize::try_from(left).unwrap_or(usize::MAX).min(part.len());
                part[..8].copy_from_slice(&left.to_le_bytes());
                digest.update(&part[..take]);
                up.write_all(&part[..take]).await.ok()?;
                left -= take as u64;
            }
            let digest = crate::support::recorder::hex(digest.finish().as_ref());
            Some((digest, up))
        });
        let mut reader = super::echo::Dechunker::default();
        let mut part = vec![0_u8; 256 * 1024];
        loop {
            let read = tokio::time::timeout(Duration::from_secs(30), down.read(&mut part)).await;
            match read {
                Ok(Ok(n)) if n > 0 => reader.feed(&part[..n]),
                Ok(Ok(_) | Err(_)) | Err(_) => break,
            }
            if reader.is_whole() {
                break;
            }
        }
        let sent = sender.await.ok().flatten().map(|(digest, _)| digest);
        let same = sent.is_some() && sent == reader.digest();
        let shown = if same { "equal" } else { "different" };
        self.values.insert("sha256".to_owned(), shown.to_owned());
        self.last = Some(Answer {
            status: reader.status(),
            ..Answer::default()
        });
        Ok(())
    }
}

/// `10,000 x 'X{{i}}: a'` within a raw request: so many lines, numbered.
fn unfold_repetitions(raw: &str) -> String {
    let Some(at) = raw.find(" x '") else {
        return raw.to_owned();
    };
    let start = raw[..at]
        .rfind(|c: char| !c.is_ascii_digit() && c != ',')
        .map_or(0, |n| n + 1);
    let Ok(times) = raw[start..at].replace(',', "").parse::<usize>() else {
        return raw.to_owned();
    };
    let Some(length) = raw[at + 4..].find('\'') else {
        return raw.to_owned();
    };
    let line = &raw[at + 4..at + 4 + length];
    let lines: Vec<_> = (0..times)
        .map(|i| line.replace("{{i}}", &i.to_string()))
        .collect();
    format!(
        "{}{}{}",
        &raw[..start],
        lines.join("\r\n"),
        &raw[at + 4 + length + 1..]
    )
}

fn host_of_raw(raw: &str) -> String {
    let lines = raw
        .split("\r\n")
        .skip(1)
        .take_while(|line| !line.is_empty());
    let host = lines.filter_map(|line| line.split_once(':'));
    let host = host
        .into_iter()
        .find(|(n, _)| n.trim().eq_ignore_ascii_case("host"));
    host.map_or_else(|| "app.test".to_owned(), |(_, v)| v.trim().to_owned())
}
