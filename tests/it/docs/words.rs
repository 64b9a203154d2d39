//! What pages name: links, config keys, paths, environment variables, and what usher says.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use regex_automata::meta::Regex;

use super::page::Page;
use super::{Fault, commands};

/// Endings of file and host names.
const NAMES: &[&str] = &[
    "yaml", "yml", "json", "conf", "md", "js", "py", "go", "php", "java", "rs", "crt", "key",
    "pem", "db", "toml", "xml", "sh", "sock", "log", "txt", "example", "com", "org", "net", "io",
    "test", "local", "svc", "internal",
];

/// What the checks of words know of usher.
pub(super) struct Known {
    /// Paths of the config keys without `[]`, and whether any name may stand below.
    keys: BTreeMap<String, bool>,
    /// Patterns of the endpoints, below the prefix; `*` is any segment, `**` any rest.
    endpoints: Vec<Vec<String>>,
    /// All sources, on one line.
    sources: String,
    /// What the example and the pages themselves give names to.
    variables: Vec<String>,
    /// Paths of the chart's values.
    values: Vec<String>,
}

impl Known {
    /// Reads the schema, the sources and what the pages define.
    pub(super) fn read(root: &Path, table: &str, pages: &[Page]) -> Self {
        let keys = table.lines().filter_map(|row| {
            let cells: Vec<&str> = row.split(" | ").collect();
            let key = cells.first()?.strip_prefix("| `")?.strip_suffix('`')?;
            Some((
                key.replace("[]", ""),
                cells.get(1)?.contains("mapping of name"),
            ))
        });
        let mut sources = String::new();
        read_sources(&root.join("src"), &mut sources);
        let example = std::fs::read_to_string(root.join("config.example.yaml")).unwrap();
        let definitions = Regex::new(r"env: ([A-Z][A-Z0-9_]+)").unwrap();
        let given = pages
            .iter()
            .flat_map(|page| page.blocks.iter().map(|block| block.text.as_str()));
        let variables = given
            .chain([example.as_str()])
            .flat_map(|text| {
                definitions
                    .find_iter(text)
                    .map(|found| text[found.range()][5..].to_owned())
            })
            .collect();
        Self {
            keys: keys.collect(),
            endpoints: endpoints(root),
            sources: one_line(&sources),
            variables,
            values: values(root),
        }
    }

    /// Enough was read for the checks to mean something.
    pub(super) fn assert_plausible(&self) {
        assert!(self.keys.len() > 100, "{} keys", self.keys.len());
        assert!(self.endpoints.len() > 12, "{:?}", self.endpoints);
        assert!(self.sources.len() > 500_000);
    }

    fn has_key(&self, written: &str) -> bool {
        let written = written.replace("[]", "");
        self.keys.iter().any(|(key, any_below)| {
            let ends = |key: &str, with: &str| key == with || key.ends_with(&format!(".{with}"));
            if ends(key, &written) {
                return true;
            }
            let parents = written.match_indices('.').map(|(at, _)| &written[..at]);
            *any_below && parents.into_iter().any(|parent| ends(key, parent))
        })
    }

    /// Whether keys stand below a key of that name: so `user.created` is no key, since nothing is below `headers.user`.
    fn has_below(&self, segment: &str) -> bool {
        self.keys.iter().any(|(key, any_below)| {
            let mut segments = key.split('.').rev();
            let last = segments.next();
            (*any_below && last == Some(segment)) || segments.any(|one| one == segment)
        })
    }

    fn has_endpoint(&self, path: &str) -> bool {
        let open = path.ends_with(['/', '*']) || path.contains('…');
        let path = path.split('…').next().unwrap_or_default();
        let mut segments: Vec<&str> = path.split('/').skip(2).collect();
        while segments
            .last()
            .is_some_and(|last| last.is_empty() || last.contains('*'))
        {
            segments.pop();
        }
        segments.is_empty()
            || self.endpoints.iter().any(|pattern| {
                let rest = pattern.last().is_some_and(|last| last == "**");
                let fixed = pattern.len() - usize::from(rest);
                let alike = pattern
                    .iter()
                    .zip(&segments)
                    .take(fixed)
                    .all(|(wanted, segment)| {
                        wanted == segment || wanted == "*" || segment.starts_with(['{', '$', '<'])
                    });
                let long_enough = open || segments.len() >= fixed;
                alike && long_enough && (rest || segments.len() <= fixed)
            })
    }
}

/// What a page names that is not there.
pub(super) fn check(page: &Page, known: &Known) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut add = |line: usize, what: String| faults.push(Fault::new(page, line, what));
    for (line, span) in page.code_spans() {
        if let Some(key) =
            unknown_key(span, known).filter(|key| !known.values.iter().any(|value| value == key))
        {
            add(
                line,
                format!("`{key}` is no key of the config (usher schema --markdown)"),
            );
        }
        if span.starts_with("usher ")
            && let Some(what) = commands::wrong_span(span)
        {
            add(line, what);
        }
    }
    let blocks = page
        .blocks
        .iter()
        .flat_map(|block| (block.line..).zip(block.text.lines()));
    let prose = page.prose.iter().map(|(line, text)| (*line, text.as_str()));
    let endpoint = Regex::new(r"/_usher(/[A-Za-z0-9{}<>$*…._-]+)*/?").unwrap();
    let variable = Regex::new(r"\b(USHER|OTEL|SSL_CERT)_[A-Z0-9_]+\b|\bRUST_LOG\b").unwrap();
    for (line, text) in blocks.chain(prose) {
        for found in endpoint.find_iter(text) {
            let path = text[found.range()].trim_end_matches('.');
            if !known.has_endpoint(path) {
                add(line, format!("{path} is no endpoint of usher"));
            }
        }
        for found in variable.find_iter(text) {
            let name = &text[found.range()];
            let literal = format!("\"{name}\"");
            if !known.sources.contains(&literal)
                && !known.variables.iter().any(|given| given == name)
            {
                add(
                    line,
                    format!("nothing reads the environment variable {name}"),
                );
            }
        }
    }
    faults
}

/// A dotted word in code that begins like a key of the config and is none.
fn unknown_key<'a>(span: &'a str, known: &Known) -> Option<&'a str> {
    let key = span.split(": ").next()?.trim_end_matches(':');
    let letters = |c: char| c.is_ascii_lowercase() || c == '_' || c == '.' || c == '[' || c == ']';
    let (first, last) = (key.split(['.', '[']).next()?, key.rsplit('.').next()?);
    let looks =
        key.contains('.') && key.chars().all(letters) && !first.is_empty() && !last.is_empty();
    let other = NAMES.contains(&last) || !known.has_below(first);
    (looks && !other && !known.has_key(key)).then_some(key)
}

/// Quotations (`> …`) are what usher says: each piece between `…` stands in its sources.
pub(super) fn check_quotations(page: &Page, known: &Known) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (line, text) in &page.prose {
        let Some(said) = text.trim_start().strip_prefix('>') else {
            continue;
        };
        for piece in said
            .split('…')
            .map(str::trim)
            .filter(|piece| piece.len() > 3)
        {
            if !known.sources.contains(&one_line(piece)) {
                faults.push(Fault::new(
                    page,
                    *line,
                    format!("usher never says {piece:?}"),
                ));
            }
        }
    }
    faults
}

/// Relative links lead to files that exist, and to headings that they have.
pub(super) fn check_links(root: &Path, page: &Page, pages: &[Page]) -> Vec<Fault> {
    let link = Regex::new(r"\]\(([^)\s]+)\)|^\[[^\]]+\]: (\S+)").unwrap();
    let mut faults = Vec::new();
    for (line, text) in &page.prose {
        let text: String = text.split('`').step_by(2).collect::<Vec<_>>().join("`");
        for found in link.find_iter(&text) {
            let target = text[found.range()]
                .trim_start_matches("](")
                .trim_end_matches(')');
            let target = target.rsplit("]: ").next().unwrap();
            if target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            if let Err(what) = leads_somewhere(root, page, pages, target) {
                faults.push(Fault::new(page, *line, what));
            }
        }
    }
    faults
}

fn leads_somewhere(root: &Path, page: &Page, pages: &[Page], target: &str) -> Result<(), String> {
    let (path, anchor) = match target.split_once('#') {
        Some((path, anchor)) => (path, Some(anchor)),
        None => (target, None),
    };
    let path = if path.is_empty() {
        page.path.clone()
    } else {
        normal(&page.path.parent().unwrap().join(path))
    };
    let known = pages.iter().any(|page| page.path == path);
    if !known && !root.join(&path).exists() {
        return Err(format!(
            "the link {target} leads to nothing: {} does not exist",
            path.display()
        ));
    }
    let Some(anchor) = anchor else { return Ok(()) };
    let anchors = match pages.iter().find(|page| page.path == path) {
        Some(page) => page.anchors(),
        None => Page::read(root, &path).anchors(),
    };
    if anchors.iter().any(|one| one == anchor) {
        return Ok(());
    }
    Err(format!(
        "{} has no heading for #{anchor}; it has {}",
        path.display(),
        anchors.join(", ")
    ))
}

fn normal(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                out.pop();
            }
            Component::CurDir => {}
            Component::Normal(_) | Component::RootDir | Component::Prefix(_) => out.push(part),
        }
    }
    out
}

/// The path table, from its sources: the lists of segments in `route`, and what is answered before it.
fn endpoints(root: &Path) -> Vec<Vec<String>> {
    let source = std::fs::read_to_string(root.join("src/endpoints/mod.rs")).unwrap();
    let table = source.split("async fn route").nth(1).unwrap();
    let table = table.split("\n}").next().unwrap();
    let list = Regex::new(r#"\[\s*"[^\]]*\](,)?\s*(if [a-z |]*)?=>"#).unwrap();
    let mut found: Vec<Vec<String>> = list
        .find_iter(table)
        .map(|found| {
            let inside = table[found.range()].split(']').next().unwrap();
            let segments = inside.trim_start_matches('[').split(',').map(str::trim);
            segments
                .filter(|segment| !segment.is_empty())
                .map(|segment| match segment.strip_prefix('"') {
                    Some(word) => word.trim_end_matches('"').to_owned(),
                    None => "*".to_owned(),
                })
                .collect()
        })
        .collect();
    let besides = ["scim/*/v2/**", "auth", "forward-auth", "ext-authz/**"];
    found.extend(besides.map(|path| path.split('/').map(str::to_owned).collect()));
    found
}

/// What `helm/usher` takes: pages about it name its values in the same way.
fn values(root: &Path) -> Vec<String> {
    fn walk(record: &serde_json::Value, path: &str, into: &mut Vec<String>) {
        let properties = record["properties"].as_object();
        for (key, inner) in properties.into_iter().flatten() {
            let path = format!("{path}{key}");
            walk(inner, &format!("{path}."), into);
            into.push(path);
        }
    }
    let text = std::fs::read_to_string(root.join("helm/usher/values.schema.json")).unwrap();
    let mut paths = Vec::new();
    walk(&serde_json::from_str(&text).unwrap(), "", &mut paths);
    paths
}

fn read_sources(folder: &Path, into: &mut String) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            read_sources(&path, into);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            into.push_str(&std::fs::read_to_string(&path).unwrap());
        }
    }
}

/// A text with single spaces, and without what continues a literal on the next line.
fn one_line(text: &str) -> String {
    let text = text.replace("\\\n", " ").replace("\\\"", "\"");
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
