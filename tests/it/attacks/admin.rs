//! The admin listener of the catalogue's world: its variables, and what rows say of its log and its config.

use std::fmt::Write as _;
use std::net::SocketAddr;

use serde_json::Value;

use super::{
    judge::{Verdict, compared, when},
    pages::ROUNDS,
    predicate::Predicate,
    run::{Done, Run, SESSION_COOKIE, Stop},
    sessions::SEAL_KEY,
};
use crate::support::{
    callback::SECRET,
    wire::{Answer, PATIENCE, UNTRUSTED, Wire},
};

/// `admin.token` of the catalogue's config.
pub(super) const ADMIN_TOKEN: &str = "catalogue-admin-token-0123456789abcdef";

/// The `admin` block of the catalogue's config.
pub(super) fn block() -> String {
    format!(
        "admin:\n  listen: \"127.0.0.1:0\"\n  public_url: https://admin.test\n  token: {ADMIN_TOKEN}\n  \
         allow: {{ groups: {{ op1: [admins] }} }}\n"
    )
}

/// A request to the API with this token.
fn ask(method: &str, path: &str, token: &str) -> String {
    format!(
        "{method} /api/v1{path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n"
    )
}

impl Run<'_> {
    /// True for a row about the admin listener: its requests go there.
    pub(super) fn is_for_admin(&self) -> bool {
        self.words.contains("{{admin}}")
    }

    /// Where the admin listener is.
    pub(super) async fn admin_address(&mut self) -> Result<SocketAddr, Stop> {
        let admin = self.world.usher().await?.admin();
        admin.ok_or_else(|| Stop::Fail("no admin listener".to_owned()))
    }

    async fn api(&mut self, path: &str) -> Result<Value, Stop> {
        let to = self.admin_address().await?;
        let answer = exchange(to, &ask("GET", path, ADMIN_TOKEN)).await?;
        match answer.status {
            200 => Ok(answer.json()),
            status => Err(Stop::Fail(format!("{path}: {status} {}", answer.text()))),
        }
    }

    /// An admin ends all sessions of somebody, or gives them another role than they have.
    pub(super) async fn admin_takes(&mut self, who: &str, what: &str) -> Done {
        let people = self.api(&format!("/users?q={who}")).await?;
        let id = people["items"][0]["id"].as_str().unwrap_or_default();
        let (method, path, body) = match what {
            "sessions" => ("DELETE", format!("/users/{id}/sessions"), ""),
            _ => (
                "PUT",
                format!("/users/{id}/apps/app/roles"),
                r#"{"roles":["admin"]}"#,
            ),
        };
        let to = self.admin_address().await?;
        let head = format!(
            "{method} /api/v1{path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {ADMIN_TOKEN}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        );
        self.world.dirty = true;
        let answer = exchange(to, &head).await?;
        match answer.status {
            200..300 => Ok(()),
            status => Err(Stop::Fail(format!("{path}: {status} {}", answer.text()))),
        }
    }

    /// Fills the variables that rows about the admin listener use.
    pub(super) async fn prepare_admin(&mut self) -> Done {
        let to = self.admin_address().await?;
        self.keep_as("admin_port", &to.port().to_string());
        self.actor("alice").await?;
        let cookie = self.browsers["alice"].cookie(SESSION_COOKIE);
        self.keep_as(
            "secrets",
            &any_of(&[
                usher::demo::idp::CLIENT_SECRET,
                SECRET.trim_start_matches("whsec_"),
                ADMIN_TOKEN,
                SEAL_KEY,
                &cookie.unwrap_or_default(),
            ]),
        );
        let people = self.api("/users?q=alice").await?;
        let id = people["items"][0]["id"].as_str().unwrap_or_default();
        let sessions = self.api(&format!("/users/{id}/sessions")).await?;
        let sid = sessions["items"][0]["id"].as_str();
        let sid = sid.ok_or_else(|| "alice has no session".to_owned())?;
        self.keep_as("sid", sid);
        let status = self.api("/status").await?;
        self.keep_as("generation", &status["generation"].to_string());
        Ok(())
    }

    fn keep_as(&mut self, name: &str, value: &str) {
        self.kept.insert(name.to_owned(), value.to_owned());
    }

    /// What rows say of the admin listener.
    pub(super) async fn judge_admin(&mut self, p: &Predicate) -> Result<Option<Verdict>, String> {
        if !self.is_for_admin() {
            return Ok(None);
        }
        Ok(Some(match p.name.as_str() {
            "config" if p.value == "unchanged" => {
                let before = self.kept.get("generation").cloned().unwrap_or_default();
                let status = self.api("/status").await.map_err(said)?;
                let after = status["generation"].to_string();
                when(
                    before == after,
                    format!("generation {before}, then {after}"),
                )
            }
            "audit" if p.argument.as_deref() == Some("admin") => {
                let lines = self.lines_of_last().await?;
                let of_token = |line: &&Value| line["actor"] == "token:config";
                compared(&lines.iter().filter(of_token).count().to_string(), p)?
            }
            "audit.precedes_response" => {
                // What was not written when the answer came is lost by a process that dies at that moment.
                self.world.restart().await?;
                let lines = self.lines_of_last().await?;
                compared(if lines.is_empty() { "false" } else { "true" }, p)?
            }
            "timing_delta_ms" => {
                self.compare_tokens().await.map_err(said)?;
                let delta = self.values.get("timing_delta_ms").cloned();
                compared(&delta.unwrap_or_default(), p)?
            }
            _ => return Ok(None),
        }))
    }

    /// The lines of the log that the last request left.
    async fn lines_of_last(&mut self) -> Result<Vec<Value>, String> {
        let id = self
            .last
            .as_ref()
            .and_then(|last| last.header("x-request-id"));
        let id = id.ok_or_else(|| "no answer with a request id".to_owned())?;
        let page = self.api("/audit?limit=200").await.map_err(said)?;
        let lines = page["items"].as_array().cloned().unwrap_or_default();
        let of_it = |line: &Value| line["request_id"] == id.as_str();
        Ok(lines.into_iter().filter(of_it).collect())
    }

    /// Asks with a token that is almost right, and with one that is all wrong, in turn.
    async fn compare_tokens(&mut self) -> Done {
        let to = self.admin_address().await?;
        let mut almost = ADMIN_TOKEN.to_owned();
        almost.pop();
        almost.push('!');
        let wrong = "!".repeat(almost.len());
        let pair = || {
            let of = |token: &str| ask("GET", "/sessions", token);
            (of(&almost), of(&wrong))
        };
        let pairs = std::iter::repeat_with(pair).take(ROUNDS).collect();
        self.compare_answers(to, pairs).await
    }
}

fn said(stop: Stop) -> String {
    match stop {
        Stop::Fail(why) | Stop::Late(why) | Stop::NotApplicable(why) => why,
    }
}

async fn exchange(to: SocketAddr, text: &str) -> Result<Answer, Stop> {
    let wire = Wire::connect(to, UNTRUSTED).await;
    let mut wire = wire.map_err(|error| error.to_string())?;
    wire.send(text.as_bytes()).await;
    let answer = wire.answer(false, PATIENCE).await;
    answer.ok_or_else(|| Stop::Fail("the admin listener does not answer".to_owned()))
}

/// A pattern for any of these texts.
fn any_of(texts: &[&str]) -> String {
    let mut pattern = String::from("(");
    for text in texts.iter().filter(|text| !text.is_empty()) {
        if pattern.len() > 1 {
            pattern.push('|');
        }
        for letter in text.chars() {
            // Writing to a string cannot fail.
            let _ = match letter.is_ascii_alphanumeric() {
                true => write!(pattern, "{letter}"),
                false => write!(pattern, "\\x{{{:x}}}", u32::from(letter)),
            };
        }
    }
    pattern.push(')');
    pattern
}

#[test]
fn a_pattern_finds_each_of_its_texts() {
    let pattern = any_of(&["a+b/c=", "", "x"]);
    assert_eq!(pattern, "(a\\x{2b}b\\x{2f}c\\x{3d}|x)");
    for text in ["a+b/c=", "x"] {
        assert!(super::predicate::matches(&pattern, text).unwrap());
    }
    assert!(!super::predicate::matches(&pattern, "aab/c").unwrap());
}
