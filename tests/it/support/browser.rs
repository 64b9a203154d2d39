//! A browser without a screen: cookies, redirects, the headers of a navigation.

use std::{net::SocketAddr, time::Duration};

use url::Url;

use super::wire::{Answer, PATIENCE, UNTRUSTED, Wire};

/// One cookie as a browser keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cookie {
    pub(crate) host: String,
    pub(crate) path: String,
    pub(crate) name: String,
    pub(crate) value: String,
    /// The whole `Set-Cookie` line.
    pub(crate) line: String,
}

/// One exchange that the browser made.
#[derive(Clone, Debug)]
pub(crate) struct Hop {
    pub(crate) url: Url,
    pub(crate) answer: Answer,
}

/// A browser. URLs whose host is no IP address and not `localhost` go to usher.
#[derive(Clone, Debug)]
pub(crate) struct Browser {
    usher: SocketAddr,
    /// Hosts that are elsewhere.
    elsewhere: Vec<(String, SocketAddr)>,
    /// Speak TLS to usher.
    pub(crate) tls: bool,
    pub(crate) cookies: Vec<Cookie>,
    /// Every exchange so far.
    pub(crate) hops: Vec<Hop>,
}

impl Browser {
    /// A browser without cookies.
    pub(crate) fn new(usher: SocketAddr) -> Self {
        Self {
            usher,
            elsewhere: Vec::new(),
            tls: false,
            cookies: Vec::new(),
            hops: Vec::new(),
        }
    }

    /// Where usher listens.
    pub(crate) fn address_of_usher(&self) -> SocketAddr {
        self.usher
    }

    /// After a restart usher may listen elsewhere.
    pub(crate) fn move_to(&mut self, usher: SocketAddr) {
        self.usher = usher;
    }

    /// Finds a host at an address, as DNS would.
    pub(crate) fn find(&mut self, host: &str, address: SocketAddr) {
        self.elsewhere.push((host.to_owned(), address));
    }

    /// Loads a page as a click or the address bar does; no redirect is followed.
    pub(crate) async fn open(&mut self, url: &Url) -> Option<Answer> {
        self.send(url, "GET", &[], None).await
    }

    /// Posts a form as a page does.
    pub(crate) async fn submit(&mut self, url: &Url, form: &str) -> Option<Answer> {
        self.send(url, "POST", &[], Some(form)).await
    }

    /// One request with the headers of a navigation, and these.
    pub(crate) async fn send(
        &mut self,
        url: &Url,
        method: &str,
        headers: &[(&str, &str)],
        form: Option<&str>,
    ) -> Option<Answer> {
        let mut text = format!(
            "{method} {} HTTP/1.1\r\nHost: {}\r\nAccept: text/html,*/*;q=0.8\r\n\
             User-Agent: Mozilla/5.0 (test)\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\n",
            target(url),
            authority(url)
        );
        for (name, value) in headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        if let Some(cookies) = self.cookie_header(url) {
            text.push_str(&format!("Cookie: {cookies}\r\n"));
        }
        if let Some(form) = form {
            text.push_str("Content-Type: application/x-www-form-urlencoded\r\n");
            text.push_str(&format!("Content-Length: {}\r\n", form.len()));
        }
        text.push_str("Connection: close\r\n\r\n");
        text.push_str(form.unwrap_or_default());
        let mut wire = self.connect(url).await?;
        wire.send(text.as_bytes()).await;
        let answer = wire
            .answer(method == "HEAD", PATIENCE + Duration::from_secs(8))
            .await?;
        self.keep_cookies(url, &answer);
        self.hops.push(Hop {
            url: url.clone(),
            answer: answer.clone(),
        });
        Some(answer)
    }

    async fn connect(&self, url: &Url) -> Option<Wire> {
        let to = self.address(url);
        if self.tls && to == self.usher {
            let sni = url.host_str().unwrap_or_default();
            return Wire::connect_tls(to, UNTRUSTED, sni, &["http/1.1"])
                .await
                .ok();
        }
        Wire::connect(to, UNTRUSTED).await.ok()
    }

    fn address(&self, url: &Url) -> SocketAddr {
        let host = url.host_str().unwrap_or_default();
        if let Some((_, address)) = self.elsewhere.iter().find(|(known, _)| known == host) {
            return *address;
        }
        match url.host() {
            Some(url::Host::Ipv4(ip)) => (ip, url.port_or_known_default().unwrap_or(80)).into(),
            Some(url::Host::Domain("localhost")) => {
                ([127, 0, 0, 1], url.port_or_known_default().unwrap_or(80)).into()
            }
            _ => self.usher,
        }
    }

    /// The `Cookie` header for this URL.
    pub(crate) fn cookie_header(&self, url: &Url) -> Option<String> {
        let host = url.host_str().unwrap_or_default();
        let fits = |c: &&Cookie| c.host == host && url.path().starts_with(&c.path);
        let pair = |c: &Cookie| format!("{}={}", c.name, c.value);
        let pairs: Vec<_> = self.cookies.iter().filter(fits).map(pair).collect();
        (!pairs.is_empty()).then(|| pairs.join("; "))
    }

    /// The value of a cookie by its exact name.
    pub(crate) fn cookie(&self, name: &str) -> Option<String> {
        self.cookies
            .iter()
            .find(|c| c.name == name)
            .map(|c| c.value.clone())
    }

    /// Puts a cookie into the jar as an attacker might.
    pub(crate) fn plant(&mut self, host: &str, name: &str, value: &str) {
        self.cookies.retain(|c| !(c.host == host && c.name == name));
        self.cookies.push(Cookie {
            host: host.to_owned(),
            path: "/".to_owned(),
            name: name.to_owned(),
            value: value.to_owned(),
            line: String::new(),
        });
    }

    /// Takes the answer's `Set-Cookie` lines over.
    pub(crate) fn keep_cookies(&mut self, url: &Url, answer: &Answer) {
        for line in answer.all("set-cookie") {
            let mut parts = line.split(';').map(str::trim);
            let pair = parts.next().unwrap_or_default();
            let Some((name, value)) = pair.split_once('=') else {
                continue;
            };
            let attribute = |wanted: &str| {
                let pairs = line.split(';').skip(1).map(|p| p.trim().split_once('='));
                let mut found = pairs
                    .flatten()
                    .filter(|(n, _)| n.eq_ignore_ascii_case(wanted));
                found.next().map(|(_, v)| v.to_owned())
            };
            let path = attribute("path").unwrap_or_else(|| "/".to_owned());
            let host = url.host_str().unwrap_or_default().to_owned();
            self.cookies
                .retain(|c| !(c.host == host && c.name == name && c.path == path));
            let old = attribute("max-age").is_some_and(|age| age.trim_matches('"') == "0")
                || attribute("expires").is_some_and(|at| at.contains("1970"));
            if !old {
                let (name, value) = (name.to_owned(), value.to_owned());
                self.cookies.push(Cookie {
                    host,
                    path,
                    name,
                    value,
                    line,
                });
            }
        }
    }

    /// Follows redirects until an answer is none, or until `stop` says so of the next URL.
    pub(crate) async fn follow(
        &mut self,
        url: &Url,
        mut stop: impl FnMut(&Url) -> bool,
        most: usize,
    ) -> Option<Followed> {
        let mut url = url.clone();
        for _ in 0..most {
            let answer = self.open(&url).await?;
            let Some(next) = redirect(&url, &answer) else {
                return Some(Followed {
                    url,
                    answer,
                    stopped_before: None,
                });
            };
            if stop(&next) {
                return Some(Followed {
                    url,
                    answer,
                    stopped_before: Some(next),
                });
            }
            url = next;
        }
        None
    }
}

/// Where following ended.
#[derive(Clone, Debug)]
pub(crate) struct Followed {
    pub(crate) url: Url,
    pub(crate) answer: Answer,
    /// The URL that was not loaded because `stop` said so.
    pub(crate) stopped_before: Option<Url>,
}

/// Where this answer sends the browser, if it is a redirect.
pub(crate) fn redirect(url: &Url, answer: &Answer) -> Option<Url> {
    if !(300..400).contains(&answer.status) {
        return None;
    }
    url.join(&answer.header("location")?).ok()
}

fn target(url: &Url) -> String {
    match url.query() {
        Some(query) => format!("{}?{query}", url.path()),
        None => url.path().to_owned(),
    }
}

fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port()
        .map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}
