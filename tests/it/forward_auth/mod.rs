//! Forward-auth from the outside: what a proxy in front asks about each request, and what it is told.

mod answers;
mod descriptions;
mod stories;

use std::net::SocketAddr;
use std::time::Duration;

use crate::support::browser::Browser;
use crate::support::company::{Changes, Company};
use crate::support::wire::{Answer, PATIENCE, TRUSTED, UNTRUSTED, Wire};

/// What a browser sends with a click.
const NAVIGATION: [(&str, &str); 2] = [
    ("Accept", "text/html,*/*;q=0.8"),
    ("Sec-Fetch-Mode", "navigate"),
];

/// The identity fields of the preset `usher`.
const USHER_FIELDS: [&str; 9] = [
    "x-forwarded-user",
    "x-forwarded-email",
    "x-forwarded-preferred-username",
    "x-forwarded-name",
    "x-forwarded-groups",
    "x-forwarded-roles",
    "x-forwarded-account",
    "x-usher-jwt",
    "x-usher-groups-overage",
];

/// Who asks, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Front {
    /// nginx with `X-Original-URI`.
    Nginx,
    /// ingress-nginx with `X-Original-URL`.
    Ingress,
    /// Traefik, Caddy.
    Traefik,
    /// Envoy.
    Envoy,
}

const FRONTS: [Front; 4] = [Front::Nginx, Front::Ingress, Front::Traefik, Front::Envoy];

impl Front {
    /// The head that this proxy sends about a request, up to its own fields.
    fn head(self, query: &str, method: &str, host: &str, target: &str) -> String {
        let own = "Host: usher.internal:4180\r\n";
        match self {
            Self::Nginx => format!(
                "GET /_usher/auth{query} HTTP/1.1\r\n{own}X-Original-URI: {target}\r\n\
                 X-Original-Method: {method}\r\nX-Forwarded-Host: {host}\r\n"
            ),
            Self::Ingress => format!(
                "GET /_usher/auth{query} HTTP/1.1\r\n{own}X-Original-URL: https://{host}{target}\r\n\
                 X-Original-Method: {method}\r\n"
            ),
            Self::Traefik => format!(
                "GET /_usher/forward-auth{query} HTTP/1.1\r\n{own}X-Forwarded-Uri: {target}\r\n\
                 X-Forwarded-Method: {method}\r\nX-Forwarded-Host: {host}\r\nX-Forwarded-Proto: https\r\n"
            ),
            Self::Envoy => {
                format!("{method} /_usher/ext-authz{target} HTTP/1.1\r\nHost: {host}\r\n")
            }
        }
    }

    /// What it is told of something malformed.
    fn malformed(self) -> u16 {
        self.instead_of(400)
    }

    /// What it is told of what is `status` elsewhere: nginx knows no other refusal than 403.
    fn instead_of(self, status: u16) -> u16 {
        match self {
            Self::Nginx | Self::Ingress => 403,
            Self::Traefik | Self::Envoy => status,
        }
    }

    /// What it is told of a navigation that needs a sign-in.
    fn needs_sign_in(self) -> u16 {
        match self {
            Self::Nginx | Self::Ingress => 401,
            Self::Traefik | Self::Envoy => 302,
        }
    }
}

/// One question.
#[derive(Clone, Debug)]
struct Question {
    front: Front,
    query: String,
    method: String,
    host: String,
    target: String,
    /// Whether the peer is one of `trusted_proxies`.
    trusted: bool,
    fields: Vec<(String, String)>,
}

impl Question {
    /// A GET of a page at the wiki, as a script sends it, by a trusted proxy.
    fn of(front: Front, target: &str) -> Self {
        Self {
            front,
            query: String::new(),
            method: "GET".to_owned(),
            host: "wiki.test".to_owned(),
            target: target.to_owned(),
            trusted: true,
            fields: Vec::new(),
        }
    }

    fn query(mut self, query: &str) -> Self {
        self.query = format!("?{query}");
        self
    }

    fn method(mut self, method: &str) -> Self {
        self.method = method.to_owned();
        self
    }

    fn host(mut self, host: &str) -> Self {
        self.host = host.to_owned();
        self
    }

    fn untrusted(mut self) -> Self {
        self.trusted = false;
        self
    }

    fn field(mut self, name: &str, value: &str) -> Self {
        self.fields.push((name.to_owned(), value.to_owned()));
        self
    }

    fn navigation(mut self) -> Self {
        for (name, value) in NAVIGATION {
            self = self.field(name, value);
        }
        self
    }

    /// With the session of this browser.
    fn by(self, browser: &Browser) -> Self {
        let session = browser.cookie("__Host-usher").unwrap();
        self.field("Cookie", &format!("theme=dark; __Host-usher={session}"))
    }

    async fn ask(&self, usher: SocketAddr) -> Answer {
        let mut text = self
            .front
            .head(&self.query, &self.method, &self.host, &self.target);
        for (name, value) in &self.fields {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        text.push_str("\r\n");
        let from = if self.trusted { TRUSTED } else { UNTRUSTED };
        let to_head = self.front == Front::Envoy && self.method == "HEAD";
        send(usher, from, text.as_bytes(), to_head).await
    }
}

/// Sends these bytes, and reads the one answer.
async fn send(usher: SocketAddr, from: std::net::Ipv4Addr, bytes: &[u8], to_head: bool) -> Answer {
    let mut wire = Wire::connect(usher, from).await.unwrap();
    wire.send(bytes).await;
    let patience = PATIENCE + Duration::from_secs(8);
    wire.answer(to_head, patience).await.unwrap()
}

/// A wiki as in the other stories, tasks on the same site, and a blog of its own; both without an upstream.
const MORE_APPS: &str = "  - id: tasks
    path: /tasks
    access:
      - { methods: [OPTIONS], allow: anyone }
      - { paths: [/tasks/open/**], methods: [GET], allow: anyone }
      - { allow: signed_in }
    headers: { preset: remote-user }
    provisioning:
      roles: [member]
      default_role: member
      callback: { url: \"{callback}\", secret: {secret} }
  - id: blog
    public_url: https://blog.test
    access:
      - { paths: [/secret/**], allow: signed_in }
      - { allow: anyone }
    headers: { preset: grafana }
";

async fn company() -> Company {
    Company::open_with(Changes {
        top: vec!["trusted_proxies: [127.0.0.2/32]".to_owned()],
        more_apps: MORE_APPS.to_owned(),
        ..Changes::default()
    })
    .await
}

/// Whether an answer lets the request pass, without saying that anybody is signed in.
fn passes_as_nobody(answer: &Answer, names: &[&str]) -> bool {
    answer.status == 200
        && answer.body.is_empty()
        && names.iter().all(|name| answer.all(name) == [""])
}

/// Whether an answer denies, and carries no field that an app could take for somebody.
fn denies(answer: &Answer, status: u16) -> bool {
    let told = USHER_FIELDS
        .iter()
        .any(|name| answer.header(name).is_some());
    answer.status == status && !told && answer.header("set-cookie").is_none()
}
