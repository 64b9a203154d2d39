//! `usher check`: the config, and everything that it names, looked at before anybody signs in.

mod idp;
mod local;
mod oidc;
mod reach;
mod saml;

use std::process::ExitCode;

use clap::Args;
use futures_util::future::join_all;
use jiff::Timestamp;
use serde::Serialize;

use super::{ConfigFile, say};
use crate::config::{self, Config, IdpProtocol, Offline, Problem, Problems};
use crate::outbound::{self, Outbound};

/// Exit code where the config cannot be used.
const CONFIG_UNUSABLE: u8 = 2;

#[derive(Debug, Args)]
pub(super) struct Options {
    #[command(flatten)]
    file: ConfigFile,
    /// Look at the file alone: no network, and secrets need not be set here.
    #[arg(long)]
    offline: bool,
    /// Print JSON instead of lines.
    #[arg(long)]
    json: bool,
}

/// How one check went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    Fine,
    /// Something to do elsewhere, such as a URI to register.
    Note,
    /// It works, or may work, but somebody should look.
    Warning,
    Failed,
}

/// One line of the result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Line {
    check: String,
    state: State,
    what: String,
}

/// The result so far.
#[derive(Debug, Default)]
struct Lines(Vec<Line>);

impl Lines {
    fn add(&mut self, check: &str, state: State, what: impl Into<String>) {
        self.0.push(Line {
            check: check.to_owned(),
            state,
            what: what.into(),
        });
    }

    fn fine(&mut self, check: &str, what: impl Into<String>) {
        self.add(check, State::Fine, what);
    }

    fn note(&mut self, check: &str, what: impl Into<String>) {
        self.add(check, State::Note, what);
    }

    fn warn(&mut self, check: &str, what: impl Into<String>) {
        self.add(check, State::Warning, what);
    }

    fn fail(&mut self, check: &str, what: impl Into<String>) {
        self.add(check, State::Failed, what);
    }

    fn failed(&self) -> bool {
        self.0.iter().any(|line| line.state == State::Failed)
    }
}

/// Exit 0: all fine (warnings included), 1: a check failed, 2: the config cannot be used.
pub(super) async fn check(options: &Options) -> ExitCode {
    let path = &options.file.config;
    let loaded = if options.offline {
        config::load_offline(path)
    } else {
        config::load(path).map(|config| Offline {
            config,
            unset: Vec::new(),
        })
    };
    let loaded = match loaded {
        Ok(loaded) => loaded,
        Err(problems) => {
            print_problems(options, &problems);
            return ExitCode::from(CONFIG_UNUSABLE);
        }
    };
    let mut lines = Lines::default();
    let file = path.display().to_string();
    summary(&file, &loaded, &mut lines);
    to_register(&loaded.config, &mut lines);
    if !options.offline {
        match outbound::extra_roots().and_then(|roots| Outbound::new(&roots)) {
            Ok(outbound) => {
                online(&loaded.config, &outbound, Timestamp::now(), &mut lines).await;
            }
            Err(error) => lines.fail("network", error.to_string()),
        }
    }
    let ok = !lines.failed();
    print_lines(options, &file, &lines);
    if ok {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn summary(file: &str, loaded: &Offline, lines: &mut Lines) {
    let config = &loaded.config;
    lines.fine(
        "config",
        format!(
            "{file}: {}, {}, {}",
            count(config.idps.len(), "identity provider"),
            count(config.apps.len(), "app"),
            count(config.sites.len(), "origin"),
        ),
    );
    for problem in &loaded.unset {
        let Problem {
            line, column, what, ..
        } = problem;
        lines.warn("secrets", format!("{file}:{line}:{column}: {what} here"));
    }
}

fn count(number: usize, word: &str) -> String {
    format!("{number} {word}{}", if number == 1 { "" } else { "s" })
}

/// What must be entered at each IdP: it compares URLs as strings.
fn to_register(config: &Config, lines: &mut Lines) {
    for idp in &config.idps {
        let check = format!("register at {}", idp.id);
        match idp.protocol {
            IdpProtocol::Saml(_) => saml::to_register(&check, idp, config, lines),
            IdpProtocol::Oidc(_) => oidc::to_register(&check, idp, config, lines),
        }
    }
}

async fn online(config: &Config, outbound: &Outbound, now: Timestamp, lines: &mut Lines) {
    local::tls(config, now, lines);
    local::keys(config, lines);
    saml::keys(config, now, lines);
    local::store(config, lines);
    if let Some(mail) = &config.mail {
        reach::mail(mail, lines).await;
    }
    let sites = join_all(config.sites.iter().map(|site| reach::site(site))).await;
    let idps = join_all(config.idps.iter().map(|idp| idp::check(idp, outbound, now))).await;
    let within = config.timeouts.connect;
    let apps = join_all(
        config
            .apps
            .iter()
            .map(|app| reach::app(app, outbound, within)),
    )
    .await;
    for found in sites.into_iter().chain(idps).chain(apps) {
        lines.0.extend(found.0);
    }
}

fn print_lines(options: &Options, file: &str, lines: &Lines) {
    if options.json {
        let result = serde_json::json!({
            "ok": !lines.failed(), "config": file, "checks": lines.0, "problems": [],
        });
        return say(&result.to_string());
    }
    for Line { check, state, what } in &lines.0 {
        let mark = match state {
            State::Fine => '✓',
            State::Note => '→',
            State::Warning => '!',
            State::Failed => '✗',
        };
        say(&format!("{mark} {check}: {what}"));
    }
    let failed = |state| lines.0.iter().filter(|line| line.state == state).count();
    say(&match (failed(State::Failed), failed(State::Warning)) {
        (0, 0) => "all fine".to_owned(),
        (0, warnings) => format!("fine, with {}", count(warnings, "warning")),
        (failed, _) => format!("{} failed", count(failed, "check")),
    });
}

fn print_problems(options: &Options, problems: &Problems) {
    if options.json {
        let list: Vec<_> = problems
            .problems
            .iter()
            .map(|problem| {
                serde_json::json!({
                    "line": problem.line, "column": problem.column,
                    "what": problem.what, "fix": problem.fix,
                })
            })
            .collect();
        let result = serde_json::json!({
            "ok": false, "config": problems.file, "checks": [], "problems": list,
        });
        return say(&result.to_string());
    }
    say(&problems.to_string());
    say(&format!(
        "✗ config: {}",
        count(problems.problems.len(), "problem")
    ));
}

#[cfg(test)]
mod tests;
