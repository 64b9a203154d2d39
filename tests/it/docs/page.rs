//! A page of Markdown, as far as the checks need it: fenced blocks, prose, headings.

use std::path::{Path, PathBuf};

/// One fenced block.
#[derive(Clone, Debug, Default)]
pub(super) struct Block {
    /// Line of its first line of text, from 1.
    pub(super) line: usize,
    /// What stands after the opening fence, such as `yaml usher`.
    pub(super) kind: String,
    /// Its text without the indentation of the fence, each line with its end.
    pub(super) text: String,
    /// `path` or `path#part` of `<!-- file: … -->` right before it.
    pub(super) file: Option<String>,
}

/// One page.
#[derive(Clone, Debug, Default)]
pub(super) struct Page {
    /// From the root of the repository.
    pub(super) path: PathBuf,
    /// Its blocks, in order.
    pub(super) blocks: Vec<Block>,
    /// Lines outside of blocks, with their numbers from 1.
    pub(super) prose: Vec<(usize, String)>,
    /// What is wrong with its fences.
    pub(super) faults: Vec<(usize, String)>,
}

impl Page {
    /// Reads the page at `path` below `root`.
    pub(super) fn read(root: &Path, path: &Path) -> Self {
        let text = std::fs::read_to_string(root.join(path)).unwrap();
        Self::parse(path, &text)
    }

    /// Splits a text into prose and blocks.
    pub(super) fn parse(path: &Path, text: &str) -> Self {
        let mut page = Self {
            path: path.to_owned(),
            ..Self::default()
        };
        let mut open: Option<(Block, String, usize)> = None;
        let mut marker = None;
        for (number, line) in (1..).zip(text.lines()) {
            let indent = line.len() - line.trim_start().len();
            let trimmed = line.trim();
            if let Some((mut block, fence, indent)) = open.take() {
                if trimmed == fence {
                    page.blocks.push(block);
                } else {
                    let blank = line.bytes().take(indent).take_while(|b| *b == b' ').count();
                    block.text.push_str(line.get(blank..).unwrap_or_default());
                    block.text.push('\n');
                    open = Some((block, fence, indent));
                }
                continue;
            }
            let ticks = trimmed.bytes().take_while(|byte| *byte == b'`').count();
            if ticks >= 3 && !trimmed[ticks..].contains('`') {
                let block = Block {
                    line: number + 1,
                    kind: trimmed[ticks..].trim().to_owned(),
                    text: String::new(),
                    file: marker.take(),
                };
                open = Some((block, "`".repeat(ticks), indent));
                continue;
            }
            if trimmed.starts_with("~~~") {
                let what = "a fence of tildes: write ``` instead";
                page.faults.push((number, what.to_owned()));
            }
            if let Some(name) = marked_file(trimmed) {
                marker = Some(name);
            } else if !trimmed.is_empty()
                && let Some(name) = marker.take()
            {
                let what = format!("no block follows `<!-- file: {name} -->`");
                page.faults.push((number, what));
            }
            page.prose.push((number, line.to_owned()));
        }
        if let Some((block, _, _)) = open {
            page.faults
                .push((block.line, "the block has no end".to_owned()));
        }
        page
    }

    /// The anchors of its headings, as GitHub makes them.
    pub(super) fn anchors(&self) -> Vec<String> {
        let mut found: Vec<String> = Vec::new();
        for (_, line) in &self.prose {
            let Some(heading) = line.strip_prefix('#') else {
                continue;
            };
            let heading = heading.trim_start_matches('#');
            let Some(heading) = heading.strip_prefix(' ') else {
                continue;
            };
            let slug = slug(heading);
            let again = (1..).map(|n| format!("{slug}-{n}"));
            let slug = std::iter::once(slug.clone())
                .chain(again)
                .find(|slug| !found.contains(slug))
                .unwrap();
            found.push(slug);
        }
        found
    }

    /// Inline code, with its line; a span ends in the line that it begins in.
    pub(super) fn code_spans(&self) -> Vec<(usize, &str)> {
        self.prose
            .iter()
            .flat_map(|(number, line)| {
                let spans = line.split('`').skip(1).step_by(2);
                spans.map(|span| (*number, span))
            })
            .collect()
    }
}

fn marked_file(line: &str) -> Option<String> {
    let name = line.strip_prefix("<!--")?.strip_suffix("-->")?;
    Some(name.trim().strip_prefix("file:")?.trim().to_owned())
}

fn slug(heading: &str) -> String {
    let link = regex_automata::meta::Regex::new(r"\[([^\]]*)\]\([^)]*\)").unwrap();
    let mut text = String::new();
    let mut from = 0;
    for found in link.find_iter(heading) {
        text.push_str(&heading[from..found.start()]);
        let label = heading[found.range()].split(']').next().unwrap();
        text.push_str(label.trim_start_matches('['));
        from = found.end();
    }
    text.push_str(&heading[from..]);
    text.trim()
        .to_lowercase()
        .chars()
        .filter_map(|letter| match letter {
            ' ' => Some('-'),
            '-' | '_' => Some(letter),
            _ if letter.is_alphanumeric() => Some(letter),
            _ => None,
        })
        .collect()
}

/// README.md and every page below docs/, from the root of the repository.
pub(super) fn pages(root: &Path) -> Vec<Page> {
    let mut paths = vec![PathBuf::from("README.md")];
    walk(root, Path::new("docs"), &mut paths);
    paths.sort();
    paths.iter().map(|path| Page::read(root, path)).collect()
}

fn walk(root: &Path, folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(root.join(folder)).unwrap() {
        let entry = entry.unwrap();
        let path = folder.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            if !path.ends_with("node_modules") && !path.ends_with("target") {
                walk(root, &path, into);
            }
        } else if path.extension().is_some_and(|ending| ending == "md") {
            into.push(path);
        }
    }
}
