//! Fenced blocks: each is of a known kind, and right.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::page::{Block, Page};
use super::{Fault, commands};
use crate::support::process::binary;

/// What a `yaml usher-part` is laid over.
const BASE: &str = "\
listen: 127.0.0.1:4180
public_url: https://wiki.example
identity_providers:
  - id: acme
    oidc:
      issuer: https://login.acme.example
      client_id: usher
      client_secret: { env: ACME_SECRET }
apps:
  - id: wiki
    upstream: http://127.0.0.1:3000
";

/// What is wrong with a block.
pub(super) fn check(root: &Path, page: &Page, block: &Block) -> Vec<Fault> {
    let at = |line: usize, what: String| Fault::new(page, line, what);
    let mut faults = Vec::new();
    if let Some(name) = &block.file
        && let Err(what) = same_as_file(root, name, &block.text)
    {
        faults.push(at(block.line, what));
    }
    let found = match block.kind.as_str() {
        "yaml usher" => usher_accepts(&block.text),
        "yaml usher-part" => usher_accepts(&laid_over_base(&block.text)),
        "sh" | "console" => commands::check(root, block),
        "text" | "http" => Vec::new(),
        "json" => match serde_json::from_str::<serde_json::Value>(&block.text) {
            Ok(_) => Vec::new(),
            Err(error) => vec![(error.line(), format!("no JSON: {error}"))],
        },
        _ if block.file.is_some() => Vec::new(),
        other => vec![(
            0,
            format!(
                "a block of the unknown kind {other:?}: write `yaml usher`, `yaml usher-part`, `sh`, `console`, `text`, \
                 `http` or `json`, or put `<!-- file: … -->` before it"
            ),
        )],
    };
    let found = found.into_iter();
    faults.extend(found.map(|(line, what)| at(block.line + line.saturating_sub(1), what)));
    faults
}

/// Runs `usher check --offline` over a config; its problems with their lines.
fn usher_accepts(config: &str) -> Vec<(usize, String)> {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("usher.yaml"), config).unwrap();
    let output = Command::new(binary())
        .args(["check", "--offline", "--json", "--config", "usher.yaml"])
        .current_dir(directory.path())
        .env_clear()
        .output()
        .unwrap();
    if output.status.success() {
        return Vec::new();
    }
    let said = String::from_utf8_lossy(&output.stdout);
    let result: serde_json::Value = serde_json::from_str(&said).unwrap_or_default();
    let problems = result["problems"].as_array().cloned().unwrap_or_default();
    if problems.is_empty() {
        return vec![(
            0,
            format!("`usher check --offline` exits {}: {said}", output.status),
        )];
    }
    let problem = |problem: &serde_json::Value| {
        let line = problem["line"].as_u64().unwrap_or_default();
        let text = |key: &str| problem[key].as_str().unwrap_or_default().to_owned();
        (
            usize::try_from(line).unwrap(),
            format!("usher check --offline: {} ({})", text("what"), text("fix")),
        )
    };
    problems.iter().map(problem).collect()
}

/// The part, then what the base has besides: so the lines of problems are the part's own.
fn laid_over_base(part: &str) -> String {
    let key = |line: &str| {
        let first = line.chars().next()?;
        let key = line.split(':').next()?;
        (first.is_ascii_alphabetic()).then(|| key.to_owned())
    };
    let given: Vec<String> = part.lines().filter_map(key).collect();
    let mut whole = part.to_owned();
    let mut kept = false;
    for line in BASE.lines() {
        if let Some(key) = key(line) {
            kept = !given.contains(&key);
        }
        if kept {
            whole.push_str(line);
            whole.push('\n');
        }
    }
    whole
}

/// Whether a block is what the file, or the named part of it, says.
fn same_as_file(root: &Path, name: &str, text: &str) -> Result<(), String> {
    let (path, part) = match name.split_once('#') {
        Some((path, part)) => (path, Some(part)),
        None => (name, None),
    };
    let file = match path.strip_prefix('/') {
        Some(path) => root.join(path),
        None => root.join(PathBuf::from("docs")).join(path),
    };
    let whole = std::fs::read_to_string(&file)
        .map_err(|error| format!("`{name}` cannot be read: {error}"))?;
    let expected = match part {
        None => without_markers(&whole),
        Some(part) => part_of(&whole, part).ok_or_else(|| {
            format!("{path} has no part between lines `[{part}]` and `[/{part}]`")
        })?,
    };
    let (expected, text) = (expected.trim_end(), text.trim_end());
    if expected == text {
        return Ok(());
    }
    let (number, pair) = (1..)
        .zip(
            expected
                .lines()
                .chain(std::iter::repeat(""))
                .zip(text.lines().chain(std::iter::repeat(""))),
        )
        .find(|(_, (theirs, ours))| theirs != ours)
        .unwrap();
    Err(format!(
        "differs from {name} in line {number} of the block: there {:?}, here {:?}",
        pair.0, pair.1
    ))
}

/// The name in a line that is a comment with `[name]` or `[/name]` and nothing else.
fn marker(line: &str) -> Option<&str> {
    let line = line.trim();
    let comment = ["# ", "// ", "-- ", "; ", "<!-- ", "/* "];
    let inside = comment.iter().find_map(|sign| line.strip_prefix(sign))?;
    let inside = inside.trim_end_matches("-->").trim_end_matches("*/").trim();
    let name = inside.strip_prefix('[')?.strip_suffix(']')?;
    let word = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_' || c == '/';
    name.chars().all(word).then_some(name)
}

fn without_markers(text: &str) -> String {
    let lines = text.lines().filter(|line| marker(line).is_none());
    lines.map(|line| format!("{line}\n")).collect()
}

/// The lines between the markers, without the indentation that they share.
fn part_of(text: &str, name: &str) -> Option<String> {
    let end = format!("/{name}");
    let mut inside = text.lines().skip_while(|line| marker(line) != Some(name));
    inside.next()?;
    let all: Vec<&str> = inside.collect();
    let length = all
        .iter()
        .position(|line| marker(line) == Some(end.as_str()))?;
    let lines: Vec<&str> = all[..length]
        .iter()
        .copied()
        .filter(|line| marker(line).is_none())
        .collect();
    let indent = lines
        .iter()
        .filter(|line| !line.trim().is_empty())
        .map(|line| line.len() - line.trim_start().len())
        .min()
        .unwrap_or(0);
    let shifted = |line: &&str| format!("{}\n", line.get(indent..).unwrap_or_default());
    Some(lines.iter().map(shifted).collect())
}
