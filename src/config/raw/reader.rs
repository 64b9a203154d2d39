//! Reads the tree into the raw types. One declaration (`record!`, `choice!`) makes the type, its
//! reader and its JSON Schema, so that the three cannot disagree. Nothing stops at a mistake: what
//! cannot be read is reported and is `None`.

use schemars::{JsonSchema, Schema, SchemaGenerator};

use crate::config::load::Problem;
use crate::config::tree::{self, Entry, Node, Place, Value};

/// Why a key of a later release is refused.
pub(in crate::config) const LATER: &str = "it comes with a later release";

/// Collects problems.
#[derive(Default)]
pub(in crate::config) struct Report {
    pub(in crate::config) problems: Vec<Problem>,
}

impl Report {
    /// One more problem.
    pub(in crate::config) fn add(
        &mut self,
        place: Place,
        what: impl Into<String>,
        fix: impl Into<String>,
    ) {
        self.problems.push(Problem {
            line: place.line.max(1),
            column: place.column.max(1),
            what: what.into(),
            fix: fix.into(),
        });
    }

    /// The value has the wrong type.
    pub(super) fn wrong_type(&mut self, node: &Node, path: &str, want: &str) {
        let path = if path.is_empty() { "the file" } else { path };
        self.add(
            node.place,
            format!("{} must be {want}, but is {}", quoted(path), node.kind()),
            format!("write {want} here"),
        );
    }
}

fn quoted(path: &str) -> String {
    if path.contains(' ') {
        path.to_owned()
    } else {
        format!("`{path}`")
    }
}

/// A value with the place it was read from.
#[derive(Clone, Debug)]
pub(in crate::config) struct At<T> {
    pub(in crate::config) place: Place,
    pub(in crate::config) value: T,
}

impl<T> std::ops::Deref for At<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

/// What can be read from a node and described by a schema.
pub(in crate::config) trait Read: Sized + JsonSchema {
    /// Reads it; `None` after a problem was reported.
    fn read(node: &Node, path: &str, report: &mut Report) -> Option<Self>;
}

/// Whether a key must be there.
pub(in crate::config) enum Need {
    Required,
    Optional,
    /// The value without the key, as YAML.
    Default(&'static str),
}

/// Reads one key of a mapping.
pub(super) fn field<T: Read>(
    record: &RecordNode<'_>,
    key: &str,
    need: &Need,
    report: &mut Report,
) -> Option<At<T>> {
    let path = join(record.path, key);
    if let Some(entry) = record.entries.iter().find(|entry| entry.key == key) {
        if entry.node.is_null() {
            report.add(
                entry.place,
                format!("`{path}` has no value"),
                "write one, or remove the key",
            );
            return None;
        }
        let value = T::read(&entry.node, &path, report)?;
        return Some(At {
            place: entry.node.place,
            value,
        });
    }
    match need {
        Need::Optional => None,
        Need::Required => {
            report.add(
                record.place,
                format!("`{path}` is missing"),
                format!("add `{key}: …` here"),
            );
            None
        }
        Need::Default(text) => {
            let node = tree::parse(text, &mut Vec::new()).ok()?;
            Some(At {
                place: record.place,
                value: T::read(&node, &path, report)?,
            })
        }
    }
}

pub(super) fn join(path: &str, key: &str) -> String {
    if path.is_empty() {
        key.to_owned()
    } else {
        format!("{path}.{key}")
    }
}

/// A mapping that is being read.
pub(super) struct RecordNode<'a> {
    pub(super) place: Place,
    pub(super) path: &'a str,
    pub(super) entries: &'a [Entry],
}

impl<'a> RecordNode<'a> {
    /// The mapping, after unknown keys and those of later releases were reported.
    pub(super) fn open(
        node: &'a Node,
        path: &'a str,
        keys: &[&str],
        later: &[&str],
        report: &mut Report,
    ) -> Option<Self> {
        let Value::Map(entries) = &node.value else {
            report.wrong_type(node, path, "a mapping of keys");
            return None;
        };
        for entry in entries {
            let key = entry.key.as_str();
            let whole = join(path, key);
            if later.contains(&key) {
                report.add(
                    entry.place,
                    format!("`{whole}` is not in this version yet: {LATER}"),
                    format!("remove `{key}`"),
                );
            } else if !keys.contains(&key) {
                report.add(
                    entry.place,
                    format!("`{whole}` is not a key that usher knows"),
                    suggestion(key, keys),
                );
            }
        }
        Some(Self {
            place: node.place,
            path,
            entries,
        })
    }

    /// Whether any of these keys is written.
    pub(super) fn has_any(&self, keys: &[&str]) -> bool {
        self.entries
            .iter()
            .any(|entry| keys.contains(&entry.key.as_str()))
    }
}

/// "did you mean", or all that is possible.
pub(in crate::config) fn suggestion(written: &str, known: &[&str]) -> String {
    match closest(written, known) {
        Some(close) => format!("did you mean `{close}`?"),
        None if known.is_empty() => "remove it".to_owned(),
        None => format!("remove it; possible here: {}", known.join(", ")),
    }
}

fn closest<'a>(written: &str, known: &[&'a str]) -> Option<&'a str> {
    let plain = |text: &str| text.to_lowercase().replace(['-', ' '], "_");
    let written = plain(written);
    known
        .iter()
        .map(|candidate| (distance(&written, &plain(candidate)), *candidate))
        .filter(|(distance, candidate)| *distance <= 1 + candidate.len() / 5)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Edit distance where two swapped neighbours count once.
fn distance(left: &str, right: &str) -> usize {
    let (left, right): (Vec<char>, Vec<char>) = (left.chars().collect(), right.chars().collect());
    let mut rows: Vec<Vec<usize>> = vec![(0..=right.len()).collect()];
    for (i, a) in left.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, b) in right.iter().enumerate() {
            let above = &rows[i];
            let mut best = (above[j] + usize::from(a != b))
                .min(above[j + 1] + 1)
                .min(row[j] + 1);
            if i > 0 && j > 0 && left[i - 1] == *b && right[j - 1] == *a {
                best = best.min(rows[i - 1][j - 1] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows.last()
        .and_then(|row| row.last())
        .copied()
        .unwrap_or(usize::MAX)
}

/// Describes one key for the schema.
pub(super) struct Described {
    pub(super) key: &'static str,
    pub(super) need: Need,
    pub(super) schema: Schema,
    pub(super) text: String,
}

/// The schema of a mapping that refuses unknown keys.
pub(super) fn record_schema(text: &str, fields: Vec<Described>) -> Schema {
    let mut properties = serde_json::Map::new();
    let mut required = Vec::new();
    for field in fields {
        let mut schema = field.schema;
        schema.insert("description".to_owned(), field.text.into());
        match field.need {
            Need::Required => required.push(serde_json::Value::from(field.key)),
            Need::Optional => {}
            Need::Default(text) => {
                schema.insert("default".to_owned(), default_value(text));
            }
        }
        properties.insert(field.key.to_owned(), schema.to_value());
    }
    let mut schema = Schema::default();
    schema.insert("type".to_owned(), "object".into());
    schema.insert("description".to_owned(), text.into());
    schema.insert("properties".to_owned(), properties.into());
    if !required.is_empty() {
        schema.insert("required".to_owned(), required.into());
    }
    schema.insert("additionalProperties".to_owned(), false.into());
    schema
}

/// A default as JSON, by the meaning that its YAML has.
fn default_value(text: &str) -> serde_json::Value {
    fn value(node: &Node) -> serde_json::Value {
        match &node.value {
            Value::Scalar { text, plain: true } if text == "true" => true.into(),
            Value::Scalar { text, plain: true } if text == "false" => false.into(),
            Value::Scalar { text, plain } => match text.parse::<u64>() {
                Ok(number) if *plain => number.into(),
                Ok(_) | Err(_) => text.as_str().into(),
            },
            Value::List(items) => items.iter().map(value).collect(),
            Value::Map(entries) => entries
                .iter()
                .map(|entry| (entry.key.clone(), value(&entry.node)))
                .collect::<serde_json::Map<_, _>>()
                .into(),
        }
    }
    tree::parse(text, &mut Vec::new()).map_or(serde_json::Value::Null, |node| value(&node))
}

/// Doc comments as one text.
pub(super) fn description(lines: &[&str]) -> String {
    lines
        .iter()
        .map(|line| line.trim())
        .collect::<Vec<_>>()
        .join(" ")
}

/// Inline schema of a named definition.
pub(super) fn schema_of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

/// A key as it is written, where Rust must write `r#` before it.
pub(super) fn word_of(key: &'static str) -> &'static str {
    key.strip_prefix("r#").unwrap_or(key)
}

macro_rules! need {
    (required) => {
        Need::Required
    };
    (optional) => {
        Need::Optional
    };
    (default $text:literal) => {
        Need::Default($text)
    };
}

/// A mapping: its type, its reader and its schema.
macro_rules! record {
    (
        $(#[doc = $doc:literal])*
        $name:ident {
            $( $(#[doc = $field_doc:literal])* $need:ident $(($default:literal))? $key:ident : $type:ty, )*
        }
        $( later { $( $later:literal ),* } )?
    ) => {
        $(#[doc = $doc])*
        #[derive(Debug)]
        pub(in crate::config) struct $name {
            /// Whether a key of a later release stands in it (reported already).
            #[allow(dead_code)]
            pub(in crate::config) later: bool,
            $( $(#[doc = $field_doc])* pub(in crate::config) $key: Option<At<$type>>, )*
        }

        impl Read for $name {
            fn read(node: &Node, path: &str, report: &mut Report) -> Option<Self> {
                let keys = [$( word_of(stringify!($key)) ),*];
                let later: &[&str] = &[$( $( $later ),* )?];
                let record = RecordNode::open(node, path, &keys, later, report)?;
                Some(Self {
                    later: record.has_any(later),
                    $( $key: field(&record, word_of(stringify!($key)), &need!($need $($default)?), report), )*
                })
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).trim_start_matches("Raw").into()
            }

            fn json_schema(generator: &mut SchemaGenerator) -> Schema {
                let fields = vec![$( Described {
                    key: word_of(stringify!($key)),
                    need: need!($need $($default)?),
                    schema: schema_of::<$type>(generator),
                    text: description(&[$( $field_doc ),*]),
                } ),*];
                record_schema(&description(&[$( $doc ),*]), fields)
            }
        }
    };
}

/// One of several words: its type, its reader and its schema.
macro_rules! choice {
    (
        $(#[doc = $doc:literal])*
        $name:ident { $( $(#[doc = $variant_doc:literal])* $variant:ident = $word:literal, )* }
        $( later { $( $later:literal ),* } )?
    ) => {
        $(#[doc = $doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(in crate::config) enum $name {
            $( $(#[doc = $variant_doc])* $variant, )*
        }

        impl Read for $name {
            fn read(node: &Node, path: &str, report: &mut Report) -> Option<Self> {
                let words = [$( $word ),*];
                let later: &[&str] = &[$( $( $later ),* )?];
                let Value::Scalar { text, .. } = &node.value else {
                    report.wrong_type(node, path, &format!("one of {}", words.join(", ")));
                    return None;
                };
                match text.as_str() {
                    $( $word => Some(Self::$variant), )*
                    word => {
                        word_problem(node, path, word, &words, later, report);
                        None
                    }
                }
            }
        }

        impl JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "enum": [$( $word ),*] })
            }
        }
    };
}

/// Reports a word that is not one of a choice.
pub(super) fn word_problem(
    node: &Node,
    path: &str,
    word: &str,
    words: &[&str],
    later: &[&str],
    report: &mut Report,
) {
    let all = words.join(", ");
    if later.contains(&word) {
        report.add(
            node.place,
            format!("`{path}: {word}` is not in this version yet: {LATER}"),
            format!("write one of {all}"),
        );
        return;
    }
    let fix = match closest(word, words) {
        Some(close) => format!("did you mean `{close}`? Possible: {all}"),
        None => format!("write one of {all}"),
    };
    report.add(node.place, format!("`{path}` cannot be `{word}`"), fix);
}

pub(super) use {choice, need, record};
