//! A client of the API.

use serde_json::Value;

use crate::support::company::{ADMIN_TOKEN, Changes, Company, admin};
use crate::support::wire::{Answer, PATIENCE, UNTRUSTED, Wire};

/// A company with an admin listener.
pub(super) async fn company() -> Company {
    company_with(Changes::default()).await
}

/// The same with changes.
pub(super) async fn company_with(mut changes: Changes) -> Company {
    changes.top.extend(admin());
    Company::open_with(changes).await
}

/// A request to the admin listener as a script sends it.
#[derive(Clone, Debug)]
pub(super) struct Ask<'a> {
    pub(super) method: &'a str,
    pub(super) path: &'a str,
    pub(super) host: &'a str,
    /// None: no `Authorization`.
    pub(super) token: Option<&'a str>,
    pub(super) headers: Vec<(&'a str, String)>,
    pub(super) body: Option<String>,
}

impl<'a> Ask<'a> {
    pub(super) fn new(method: &'a str, path: &'a str) -> Self {
        Self {
            method,
            path,
            host: "localhost",
            token: Some(ADMIN_TOKEN),
            headers: Vec::new(),
            body: None,
        }
    }

    pub(super) fn by(mut self, token: Option<&'a str>) -> Self {
        self.token = token;
        self
    }

    pub(super) fn at(mut self, host: &'a str) -> Self {
        self.host = host;
        self
    }

    pub(super) fn with(mut self, name: &'a str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    pub(super) fn json(self, body: &Value) -> Self {
        self.body("application/json", &body.to_string())
    }

    pub(super) fn body(mut self, kind: &str, body: &str) -> Self {
        self.headers.push(("Content-Type", kind.to_owned()));
        self.body = Some(body.to_owned());
        self
    }

    /// Sends it and reads the answer.
    pub(super) async fn send(&self, company: &Company) -> Answer {
        let mut text = format!(
            "{} {} HTTP/1.1\r\nHost: {}\r\n",
            self.method, self.path, self.host
        );
        if let Some(token) = self.token {
            text.push_str(&format!("Authorization: Bearer {token}\r\n"));
        }
        for (name, value) in &self.headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        if let Some(body) = &self.body {
            text.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        text.push_str("Connection: close\r\n\r\n");
        text.push_str(self.body.as_deref().unwrap_or_default());
        let to = company.usher.admin().unwrap();
        let mut wire = Wire::connect(to, UNTRUSTED).await.unwrap();
        wire.send(text.as_bytes()).await;
        wire.answer(self.method == "HEAD", PATIENCE)
            .await
            .unwrap_or_else(|| panic!("no answer to {} {}", self.method, self.path))
    }
}

/// GET with the token of the config; 200 or the test ends.
pub(super) async fn get(company: &Company, path: &str) -> Value {
    let answer = Ask::new("GET", path).send(company).await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    answer.json()
}

/// The stable code of a refusal.
pub(super) fn code(answer: &Answer) -> String {
    let body = answer.json();
    assert!(body["request_id"].is_string(), "{}", answer.text());
    assert!(body["message"].is_string(), "{}", answer.text());
    body["error"].as_str().unwrap_or_default().to_owned()
}
