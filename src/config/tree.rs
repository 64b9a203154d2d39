//! YAML as a tree in which everything knows its place. serde stops at the first mistake; a tree can
//! be walked to the end, so that every mistake is found in one go.

use std::collections::HashMap;

use serde_saphyr::granit_parser::{Event, Marker, Parser, ScalarStyle, ScanError, Span};

use super::load::Problem;

/// Most nodes that a file may have once its aliases are written out: a config needs a few hundred.
const MAX_NODES: usize = 100_000;

/// Where something stands, both from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) line: usize,
    pub(super) column: usize,
}

/// A value with its place. It may hold a secret, so it has no `Debug`.
#[derive(Clone)]
pub(super) struct Node {
    pub(super) place: Place,
    pub(super) value: Value,
}

/// What stands there.
#[derive(Clone)]
pub(super) enum Value {
    /// Text as written; `plain` without quotes, so that it may mean a number, `true` or nothing.
    Scalar {
        text: String,
        plain: bool,
    },
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// One key of a mapping with its value.
#[derive(Clone)]
pub(super) struct Entry {
    pub(super) place: Place,
    pub(super) key: String,
    pub(super) node: Node,
}

impl Node {
    /// Whether nothing is written: `key:` or `key: null`.
    pub(super) fn is_null(&self) -> bool {
        matches!(&self.value, Value::Scalar { text, plain: true }
            if matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL"))
    }

    /// What stands there in plain words, without the value itself: it may be a secret.
    pub(super) fn kind(&self) -> &'static str {
        match &self.value {
            Value::Scalar { .. } if self.is_null() => "nothing",
            Value::Scalar { .. } => "a single value",
            Value::List(_) => "a list",
            Value::Map(_) => "a mapping",
        }
    }

    fn count(&self) -> usize {
        match &self.value {
            Value::Scalar { .. } => 1,
            Value::List(items) => 1 + items.iter().map(Self::count).sum::<usize>(),
            Value::Map(entries) => 1 + entries.iter().map(|e| e.node.count()).sum::<usize>(),
        }
    }
}

/// Parses one YAML document. A syntax error ends it; duplicate keys are reported and go on.
///
/// # Errors
/// What YAML itself forbids, with its place; also an empty file, or more than one document.
pub(super) fn parse(text: &str, problems: &mut Vec<Problem>) -> Result<Node, Problem> {
    let mut builder = Builder {
        parser: Parser::new_from_str(text),
        anchors: HashMap::new(),
        nodes: 0,
        problems,
    };
    builder.document()
}

struct Builder<'a, 'p> {
    parser: Parser<'a, serde_saphyr::granit_parser::StrInput<'a>>,
    anchors: HashMap<usize, Node>,
    nodes: usize,
    problems: &'p mut Vec<Problem>,
}

/// The beginning of a node: everything else is no node.
enum Start {
    Scalar(String, bool, usize),
    List(usize),
    Map(usize),
    Alias(usize),
    End,
}

impl Builder<'_, '_> {
    fn document(&mut self) -> Result<Node, Problem> {
        let (start, place) = self.next()?;
        if matches!(start, Start::End) {
            return Err(problem(
                place,
                "the file is empty",
                "write a config; `config.example.yaml` shows all keys",
            ));
        }
        let root = self.node(start, place)?;
        let (after, place) = self.next()?;
        if !matches!(after, Start::End) {
            return Err(problem(
                place,
                "the file has a second YAML document",
                "keep one document: remove `---` and what follows it",
            ));
        }
        Ok(root)
    }

    /// The next event that begins or ends a node. Tags and comments say nothing to a config.
    #[allow(
        clippy::wildcard_enum_match_arm,
        reason = "the parser's enum is not exhaustive"
    )]
    fn next(&mut self) -> Result<(Start, Place), Problem> {
        loop {
            let Some(event) = self.parser.next_event() else {
                return Ok((Start::End, Place::default()));
            };
            let (event, span) = event.map_err(|error| syntax(&error))?;
            let start = match event {
                Event::Scalar(text, style, anchor, _) => {
                    Start::Scalar(text.into_owned(), style == ScalarStyle::Plain, anchor)
                }
                Event::SequenceStart(_, anchor, _) => Start::List(anchor),
                Event::MappingStart(_, anchor, _) => Start::Map(anchor),
                Event::Alias(anchor) => Start::Alias(anchor),
                Event::SequenceEnd | Event::MappingEnd | Event::StreamEnd => Start::End,
                // Comments and marks are no part of the tree.
                _ => continue,
            };
            return Ok((start, place(&span)));
        }
    }

    fn node(&mut self, start: Start, place: Place) -> Result<Node, Problem> {
        self.grow(1, place)?;
        let (value, anchor) = match start {
            Start::Scalar(text, plain, anchor) => (Value::Scalar { text, plain }, anchor),
            Start::List(anchor) => (Value::List(self.list()?), anchor),
            Start::Map(anchor) => (Value::Map(self.map()?), anchor),
            Start::Alias(anchor) => (self.aliased(anchor, place)?, 0),
            Start::End => (
                Value::Scalar {
                    text: String::new(),
                    plain: true,
                },
                0,
            ),
        };
        let node = Node { place, value };
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    fn list(&mut self) -> Result<Vec<Node>, Problem> {
        let mut items = Vec::new();
        loop {
            let (start, place) = self.next()?;
            if matches!(start, Start::End) {
                return Ok(items);
            }
            items.push(self.node(start, place)?);
        }
    }

    fn map(&mut self) -> Result<Vec<Entry>, Problem> {
        let mut entries: Vec<Entry> = Vec::new();
        loop {
            let (start, place) = self.next()?;
            if matches!(start, Start::End) {
                return Ok(entries);
            }
            let Node {
                value: Value::Scalar { text: key, .. },
                ..
            } = self.node(start, place)?
            else {
                return Err(problem(place, "a key is no text", "write a plain key"));
            };
            let (start, value_place) = self.next()?;
            let node = self.node(start, value_place)?;
            let entry = Entry { place, key, node };
            match entries.iter().find(|known| known.key == entry.key) {
                Some(first) => self.problems.push(problem(
                    place,
                    &format!("`{}` is here twice", entry.key),
                    &format!(
                        "keep one of them; the first is in line {}",
                        first.place.line
                    ),
                )),
                None => entries.push(entry),
            }
        }
    }

    fn aliased(&mut self, anchor: usize, place: Place) -> Result<Value, Problem> {
        let Some(node) = self.anchors.get(&anchor) else {
            return Err(problem(
                place,
                "an alias stands inside its own anchor",
                "write the value out",
            ));
        };
        let (value, size) = (node.value.clone(), node.count());
        self.grow(size, place)?;
        Ok(value)
    }

    fn grow(&mut self, by: usize, place: Place) -> Result<(), Problem> {
        self.nodes += by;
        if self.nodes <= MAX_NODES {
            return Ok(());
        }
        Err(problem(
            place,
            "the file grows beyond all measure by its aliases",
            "write the values out",
        ))
    }
}

fn place(span: &Span) -> Place {
    marker(&span.start)
}

fn marker(marker: &Marker) -> Place {
    Place {
        line: marker.line(),
        column: marker.col() + 1,
    }
}

fn syntax(error: &ScanError) -> Problem {
    problem(
        marker(error.marker()),
        &format!("this is not valid YAML: {}", error.kind()),
        "mend the syntax here or just before; what follows was not read",
    )
}

fn problem(place: Place, what: &str, fix: &str) -> Problem {
    Problem {
        line: place.line.max(1),
        column: place.column.max(1),
        what: what.to_owned(),
        fix: fix.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;

    fn root(text: &str) -> (Node, Vec<Problem>) {
        let mut problems = Vec::new();
        let node = parse(text, &mut problems).unwrap_or_else(|p| panic!("{p:?}"));
        (node, problems)
    }

    #[test]
    fn gives_every_value_its_place() {
        let (node, _) = root("a: 1\nb:\n  - x\n  - { c: 'y' }\n");
        let Value::Map(entries) = node.value else {
            panic!()
        };
        assert_eq!(entries[1].place, Place { line: 2, column: 1 });
        let Value::List(items) = &entries[1].node.value else {
            panic!()
        };
        assert_eq!(items[0].place, Place { line: 3, column: 5 });
        let Value::Map(inner) = &items[1].value else {
            panic!()
        };
        assert_eq!(
            inner[0].node.place,
            Place {
                line: 4,
                column: 10
            }
        );
    }

    #[test]
    fn reports_a_duplicate_key_and_goes_on() {
        let (_, problems) = root("a: 1\nb: 2\na: 3\nb: 4\n");
        let places: Vec<_> = problems.iter().map(|p| p.line).collect();
        assert_eq!(places, [3, 4]);
    }

    #[test]
    fn refuses_a_file_that_grows_by_aliases() {
        let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for n in 1..9 {
            let list = vec![format!("*a{}", n - 1); 10].join(", ");
            text.push_str(&format!("a{n}: &a{n} [{list}]\n"));
        }
        let problem = parse(&text, &mut Vec::new()).err().unwrap();
        assert!(problem.what.contains("beyond all measure"));
    }

    #[test]
    fn names_the_place_of_a_syntax_error() {
        let problem = parse("a: 1\nb: [1, 2\nc: 3\n", &mut Vec::new())
            .err()
            .unwrap();
        assert!(problem.line >= 2, "{problem:?}");
    }
}
