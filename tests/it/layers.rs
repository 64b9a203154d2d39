//! The order of the layers, read from the sources: imports go down the table of ARCHITECTURE.md, and within a row to the right.

use std::path::{Path, PathBuf};

/// Rows from top to bottom; within a row from left to right.
const ROWS: &[&[&str]] = &[
    &["main", "cli", "demo", "server"],
    &["proxy", "endpoints", "admin"],
    &["pages"],
    &["usher"],
    &["sign_in", "revoke"],
    &["forward", "provision", "access"],
    &["idp"],
    &[
        "session",
        "directory",
        "audit",
        "local",
        "claims",
        "keys",
        "store",
    ],
    &[
        "mail",
        "otlp",
        "config",
        "outbound",
        "trace",
        "certificate",
        "seal",
        "secret",
        "metrics",
        "identity",
        "refusal",
    ],
];

fn place(module: &str) -> Option<(usize, usize)> {
    ROWS.iter().enumerate().find_map(|(row, names)| {
        names
            .iter()
            .position(|name| *name == module)
            .map(|column| (row, column))
    })
}

fn sources(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, into);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            into.push(path);
        }
    }
}

/// The part of a file that is not its unit tests.
fn without_tests(text: &str) -> &str {
    text.split("#[cfg(test)]").next().unwrap_or(text)
}

/// The top-level modules that a file names as `crate::module`.
fn named(text: &str) -> Vec<String> {
    text.lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .flat_map(|line| line.split("crate::").skip(1))
        .map(|rest| {
            rest.chars()
                .take_while(|letter| letter.is_alphanumeric() || *letter == '_')
                .collect()
        })
        .collect()
}

#[test]
fn imports_go_down_the_layers_and_never_up() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&root, &mut files);
    let mut wrong = Vec::new();
    let mut arrows = 0;
    for file in files {
        let inside = file.strip_prefix(&root).unwrap();
        let module = inside
            .components()
            .next()
            .unwrap()
            .as_os_str()
            .to_str()
            .unwrap()
            .trim_end_matches(".rs")
            .to_owned();
        if module == "lib" {
            continue;
        }
        let text = std::fs::read_to_string(&file).unwrap();
        // Tests may use the demo's IdP from anywhere.
        if inside.ends_with("tests.rs") || inside.to_string_lossy().contains("/tests/") {
            continue;
        }
        let from = place(&module).unwrap_or_else(|| panic!("{module} has no place in the table"));
        for to in named(without_tests(&text))
            .into_iter()
            .filter(|to| *to != module)
        {
            let Some(target) = place(&to) else { continue };
            arrows += 1;
            if target <= from {
                wrong.push(format!("{} imports {to}", inside.display()));
            }
        }
    }
    assert!(arrows > 50, "the sources were not read: {arrows} imports");
    assert!(
        wrong.is_empty(),
        "imports that go up:\n{}",
        wrong.join("\n")
    );
}
