//! Secrets: where they come from, and whether they are strong enough for their use.

use aws_lc_rs::rand;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};

use crate::config::WebhookKey;
use crate::config::load::Problem;
use crate::config::raw::{At, Report, SecretSource, Text};
use crate::secret::Secret;

/// What becomes of a secret that is not set on this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config) enum Unset {
    /// It is a problem: usher cannot run.
    IsProblem,
    /// It is noted: the machine that checks need not be the one that runs.
    IsNoted,
}

/// Where secrets are looked up.
pub(in crate::config) struct Context<'a> {
    environment: &'a dyn Fn(&str) -> Option<String>,
    on_unset: Unset,
    unset: Vec<Problem>,
}

/// A secret that was looked up.
pub(in crate::config) enum Found {
    /// Here it is.
    Value(Secret),
    /// Not set here, which was noted.
    Elsewhere,
}

impl<'a> Context<'a> {
    pub(in crate::config) fn new(
        environment: &'a dyn Fn(&str) -> Option<String>,
        on_unset: Unset,
    ) -> Self {
        Self {
            environment,
            on_unset,
            unset: Vec::new(),
        }
    }

    /// A variable of the environment, if it is set and not empty.
    pub(in crate::config) fn variable(&self, name: &str) -> Option<String> {
        (self.environment)(name).filter(|value| !value.is_empty())
    }

    /// The secrets that were not set.
    pub(in crate::config) fn into_unset(self) -> Vec<Problem> {
        self.unset
    }

    /// Looks a secret up; `None` after a problem.
    pub(in crate::config) fn find(
        &mut self,
        path: &str,
        source: &At<SecretSource>,
        report: &mut Report,
    ) -> Option<Found> {
        let value = match &source.value {
            SecretSource::Plain(secret) => secret.clone(),
            SecretSource::Env(name) => match (self.environment)(name) {
                Some(value) => Secret::new(value),
                None => {
                    let what = format!("`{path}`: the environment variable {name} is not set");
                    return self.missing(source, what, &format!("set {name}"), report);
                }
            },
            SecretSource::File(file) => match std::fs::read_to_string(file) {
                Ok(text) => Secret::new(without_newline(&text)),
                Err(error) => {
                    let what = format!("`{path}`: the file {file} cannot be read: {error}");
                    let fix = "write it into that file, readable for usher";
                    return self.missing(source, what, fix, report);
                }
            },
        };
        if value.expose().trim().is_empty() {
            report.add(
                source.place,
                format!("`{path}` is empty"),
                "give it a value",
            );
            return None;
        }
        Some(Found::Value(value))
    }

    /// The secret as text; a random stand-in where it is not set here.
    pub(in crate::config) fn secret(
        &mut self,
        path: &str,
        source: &At<SecretSource>,
        report: &mut Report,
    ) -> Option<Secret> {
        match self.find(path, source, report)? {
            Found::Value(secret) => Some(secret),
            Found::Elsewhere => Some(Secret::new(STANDARD.encode(random()?))),
        }
    }

    /// Whether a file can be read; `None` after a problem.
    pub(in crate::config) fn file(
        &mut self,
        path: &str,
        file: &At<Text>,
        report: &mut Report,
    ) -> Option<Found> {
        let source = At {
            place: file.place,
            value: SecretSource::File(file.0.clone()),
        };
        self.find(path, &source, report)
    }

    fn missing(
        &mut self,
        source: &At<SecretSource>,
        what: String,
        fix: &str,
        report: &mut Report,
    ) -> Option<Found> {
        match self.on_unset {
            Unset::IsProblem => {
                report.add(source.place, what, fix);
                None
            }
            Unset::IsNoted => {
                self.unset.push(Problem {
                    line: source.place.line,
                    column: source.place.column,
                    what,
                    fix: fix.to_owned(),
                });
                Some(Found::Elsewhere)
            }
        }
    }
}

/// Editors and `echo` end a file with one newline, which is no part of the secret.
fn without_newline(text: &str) -> &str {
    let text = text.strip_suffix('\n').unwrap_or(text);
    text.strip_suffix('\r').unwrap_or(text)
}

fn random() -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    rand::fill(&mut bytes).ok()?;
    Some(bytes)
}

/// A key that seals cookies: at least 32 characters, and not one that a hand typed to fill them.
pub(super) fn seal_key(
    path: &str,
    source: &At<SecretSource>,
    context: &mut Context<'_>,
    report: &mut Report,
) -> Option<Secret> {
    let secret = context.secret(path, source, report)?;
    let text = secret.expose();
    let mut kinds: Vec<char> = text.chars().collect();
    kinds.sort_unstable();
    kinds.dedup();
    let what = if text.len() < 32 {
        "is shorter than 32 characters"
    } else if kinds.len() < 8 {
        "is too easy to guess"
    } else {
        return Some(secret);
    };
    report.add(
        source.place,
        format!("`{path}` {what}"),
        "make one with `openssl rand -base64 32`",
    );
    None
}

/// A Standard Webhooks secret: `whsec_` and base64 of 24 to 64 bytes.
pub(super) fn webhook_key(
    path: &str,
    source: &At<SecretSource>,
    context: &mut Context<'_>,
    report: &mut Report,
) -> Option<WebhookKey> {
    let secret = match context.find(path, source, report)? {
        Found::Value(secret) => secret,
        Found::Elsewhere => return Some(WebhookKey(random()?.to_vec())),
    };
    let key = secret
        .expose()
        .strip_prefix("whsec_")
        .and_then(|text| STANDARD_NO_PAD.decode(text.trim_end_matches('=')).ok());
    let what = match key {
        Some(bytes) if (24..=64).contains(&bytes.len()) => return Some(WebhookKey(bytes)),
        Some(bytes) => format!("has {} bytes, not 24 to 64", bytes.len()),
        None => "is not `whsec_` and base64".to_owned(),
    };
    report.add(
        source.place,
        format!("`{path}` {what}"),
        "make one: `echo whsec_$(openssl rand -base64 32)`; the app gets the same",
    );
    None
}
