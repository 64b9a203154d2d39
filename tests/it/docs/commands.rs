//! Commands: those of usher are parsed by usher itself, the others are known by their first word.

use std::path::Path;
use std::process::Command;

use super::page::Block;
use crate::support::process::binary;

/// Programs that a page may call, by name.
const KNOWN: &[&str] = &[
    "apt-get",
    "awk",
    "base64",
    "buildah",
    "caddy",
    "cargo",
    "cat",
    "cd",
    "chmod",
    "chown",
    "cosign",
    "cp",
    "curl",
    "dig",
    "docker",
    "echo",
    "envoy",
    "export",
    "getcap",
    "git",
    "go",
    "grep",
    "helm",
    "htpasswd",
    "install",
    "istioctl",
    "java",
    "javac",
    "jq",
    "just",
    "kill",
    "kubectl",
    "ls",
    "mkdir",
    "mvn",
    "nginx",
    "node",
    "npm",
    "npx",
    "openssl",
    "oc",
    "php",
    "pip",
    "podman",
    "printf",
    "python3",
    "rm",
    "sed",
    "setcap",
    "skopeo",
    "sleep",
    "sqlite3",
    "syft",
    "systemctl",
    "tar",
    "test",
    "timeout",
    "touch",
    "traefik",
    "true",
    "uname",
    "uv",
    "wget",
];

/// What is wrong with the commands of a block, with their lines.
pub(super) fn check(root: &Path, block: &Block) -> Vec<(usize, String)> {
    lines(block)
        .into_iter()
        .flat_map(|(number, line)| {
            commands(&line)
                .into_iter()
                .filter_map(move |words| Some((number, wrong(root, &words)?)))
        })
        .collect()
}

/// Whether usher knows the command in inline code that begins with `usher `; what is wrong else.
pub(super) fn wrong_span(span: &str) -> Option<String> {
    if span.contains('…') && !span.contains("--") {
        return None;
    }
    commands(span)
        .iter()
        .find_map(|words| (words.first()? == "usher").then(|| parsed(&words[1..]))?)
}

/// The lines that are commands, continued ones joined, without here-documents and, in a console, without output.
fn lines(block: &Block) -> Vec<(usize, String)> {
    let mut found: Vec<(usize, String)> = Vec::new();
    let mut continued = false;
    let mut document: Option<String> = None;
    for (number, line) in (1..).zip(block.text.lines()) {
        if let Some(end) = &document {
            if line.trim() == end.as_str() {
                document = None;
            }
            continue;
        }
        let line = if continued || block.kind == "sh" {
            line
        } else if let Some(command) = line.strip_prefix("$ ") {
            command
        } else {
            continue;
        };
        let (text, goes_on) = match line.strip_suffix('\\') {
            Some(text) => (text, true),
            None => (line, false),
        };
        match found.last_mut() {
            Some((_, whole)) if continued => whole.push_str(text),
            Some(_) | None => found.push((number, text.to_owned())),
        }
        continued = goes_on;
        document = line.split_once("<<").map(|(_, word)| {
            let word = word.trim_start_matches('-').trim();
            let word = word.split_whitespace().next().unwrap_or_default();
            word.trim_matches(['\'', '"']).to_owned()
        });
    }
    found
}

/// The commands of a line, each as its words: split at `|`, `&&`, `||`, `;`; without comments,
/// redirections and assignments before the command.
fn commands(line: &str) -> Vec<Vec<String>> {
    let mut all: Vec<Vec<String>> = vec![Vec::new()];
    let mut word = String::new();
    let mut quote = None;
    let mut depth = 0_usize;
    let mut before = ' ';
    for letter in line.chars().chain([' ']) {
        match (quote, letter) {
            (Some(end), _) if letter == end => quote = None,
            (None, '\'' | '"') => quote = Some(letter),
            (None, '#') if depth == 0 && before == ' ' => break,
            (None, '(') if before == '$' || depth > 0 => {
                depth += 1;
                word.push(letter);
            }
            (None, ')') if depth > 0 => {
                depth -= 1;
                word.push(letter);
            }
            (None, '&') if before == '>' => word.push(letter),
            (None, ' ' | '|' | '&' | ';') if depth == 0 => {
                if !word.is_empty() {
                    all.last_mut().unwrap().push(std::mem::take(&mut word));
                }
                if letter != ' ' {
                    all.push(Vec::new());
                }
            }
            _ => word.push(letter),
        }
        before = letter;
    }
    if !word.is_empty() {
        all.last_mut().unwrap().push(word);
    }
    all.iter()
        .map(|words| plain(words))
        .filter(|words| !words.is_empty())
        .collect()
}

fn plain(words: &[String]) -> Vec<String> {
    let assigns = |word: &&String| {
        *word == "sudo"
            || word.split_once('=').is_some_and(|(name, _)| {
                name.chars()
                    .all(|c| c.is_ascii_uppercase() || c == '_' || c.is_ascii_digit())
            })
    };
    let mut kept = Vec::new();
    let mut skip = false;
    for word in words.iter().skip_while(assigns) {
        let redirects = word.trim_start_matches(|c: char| c.is_ascii_digit());
        if skip {
            skip = false;
        } else if redirects.starts_with(['>', '<']) {
            skip = redirects.trim_start_matches(['>', '<']).is_empty();
        } else {
            kept.push(word.clone());
        }
    }
    kept
}

fn wrong(root: &Path, words: &[String]) -> Option<String> {
    let first = words.first()?.as_str();
    match first {
        "usher" => parsed(&words[1..]),
        "cargo" if words.iter().any(|word| word == "run") => {
            let after = words.iter().position(|word| word == "--")?;
            parsed(&words[after + 1..])
        }
        "just" => {
            let recipe = words.get(1)?;
            let justfile = std::fs::read_to_string(root.join("justfile")).unwrap();
            let known = justfile.lines().any(|line| {
                line.split([' ', ':']).next() == Some(recipe.as_str()) && line.contains(':')
            });
            (!known).then(|| format!("the justfile has no recipe {recipe:?}"))
        }
        _ if KNOWN.contains(&first) => None,
        _ if first.contains('/')
            && (root.join(first).exists() || root.join("docs").join(first).exists()) =>
        {
            None
        }
        _ => Some(format!(
            "{first:?} is no command that is known here (tests/it/docs/commands.rs lists them)"
        )),
    }
}

/// What usher says against its arguments: clap reads them all before it prints the help.
fn parsed(arguments: &[String]) -> Option<String> {
    let output = Command::new(binary())
        .args(arguments)
        .arg("--help")
        .env_clear()
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    (!output.status.success()).then(|| {
        format!(
            "usher does not know `usher {}`: {}",
            arguments.join(" "),
            said.lines().next().unwrap_or_default()
        )
    })
}
