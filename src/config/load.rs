//! From a file to a [`Config`]: every problem at once, each with its place.

use std::fmt;
use std::path::Path;

use super::Config;
use super::checked::{self, Context, Unset};
use super::raw::{RawConfig, Read, Report};
use super::tree;

/// One thing that is wrong with a config, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Line, from 1.
    pub line: usize,
    /// Column, from 1.
    pub column: usize,
    /// What is wrong.
    pub what: String,
    /// What to write instead.
    pub fix: String,
}

/// All problems of one file. `Display` prints `file:line:column: what` and `  fix`, one after another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems {
    /// The file as it was named.
    pub file: String,
    /// At least one problem, in the order of the file.
    pub problems: Vec<Problem>,
}

impl fmt::Display for Problems {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            if index > 0 {
                writeln!(out)?;
            }
            let Problem {
                line,
                column,
                what,
                fix,
            } = problem;
            writeln!(out, "{}:{line}:{column}: {what}", self.file)?;
            write!(out, "  {fix}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// A config that was checked without its secrets being at hand.
#[derive(Debug)]
pub struct Offline {
    /// The config; a secret that is not set here is a random value, so that nothing can be opened with it.
    pub config: Config,
    /// The secrets that are not set on this machine.
    pub unset: Vec<Problem>,
}

/// Reads and checks the config file at `path`. Secrets are read from the environment and from files.
///
/// # Errors
/// All problems together; also when the file itself cannot be read.
pub fn load(path: &Path) -> Result<Config, Problems> {
    let text = read(path)?;
    parse(&path.display().to_string(), &text, &environment)
}

/// As [`load`], for a machine that may not have the secrets: an unset variable or an absent secret file is no error.
///
/// # Errors
/// As [`load`].
pub fn load_offline(path: &Path) -> Result<Offline, Problems> {
    let text = read(path)?;
    parse_offline(&path.display().to_string(), &text, &environment)
}

/// The same over text that is at hand; `environment` answers for `{ env: NAME }`.
///
/// # Errors
/// All problems together.
pub fn parse(
    file: &str,
    text: &str,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<Config, Problems> {
    whole(file, text, environment, Unset::IsProblem).map(|offline| offline.config)
}

/// As [`load_offline`], over text that is at hand.
///
/// # Errors
/// As [`parse`].
pub fn parse_offline(
    file: &str,
    text: &str,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<Offline, Problems> {
    whole(file, text, environment, Unset::IsNoted)
}

fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

fn read(path: &Path) -> Result<String, Problems> {
    std::fs::read_to_string(path).map_err(|error| Problems {
        file: path.display().to_string(),
        problems: vec![Problem {
            line: 1,
            column: 1,
            what: format!("the file cannot be read: {error}"),
            fix: "name a readable file with --config or USHER_CONFIG".to_owned(),
        }],
    })
}

fn whole(
    file: &str,
    text: &str,
    environment: &dyn Fn(&str) -> Option<String>,
    unset: Unset,
) -> Result<Offline, Problems> {
    let mut report = Report::default();
    let mut context = Context::new(environment, unset);
    let config = tree::parse(text, &mut report.problems)
        .map_err(|problem| report.problems.push(problem))
        .ok()
        .and_then(|root| RawConfig::read(&root, "", &mut report))
        .and_then(|raw| checked::config(&raw, &mut context, &mut report));
    let mut problems = report.problems;
    problems.sort_by_key(|problem| (problem.line, problem.column));
    problems.dedup();
    match config {
        Some(config) if problems.is_empty() => Ok(Offline {
            config,
            unset: context.into_unset(),
        }),
        Some(_) | None => Err(Problems {
            file: file.to_owned(),
            problems,
        }),
    }
}
