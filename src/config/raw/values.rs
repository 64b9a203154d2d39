//! The values that a config is made of: durations, sizes, lists, secrets as written.

use std::borrow::Cow;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::reader::{At, Read, Report, join};
use crate::config::tree::{Node, Value};
use crate::secret::Secret;

/// Inline schema of a value type.
macro_rules! value_schema {
    ($name:ty, $title:literal, $($schema:tt)*) => {
        impl JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                $title.into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($($schema)*)
            }
        }
    };
}

fn scalar<'a>(node: &'a Node, path: &str, want: &str, report: &mut Report) -> Option<&'a str> {
    if let Value::Scalar { text, .. } = &node.value
        && !node.is_null()
    {
        return Some(text);
    }
    report.wrong_type(node, path, want);
    None
}

impl Read for bool {
    fn read(node: &Node, path: &str, report: &mut Report) -> Option<Self> {
        match &node.value {
            Value::Scalar { text, plain: true } if text == "true" => Some(true),
            Value::Scalar { text, plain: true } if text == "false" => Some(false),
            Value::Scalar { .. } | Value::List(_) | Value::Map(_) => {
                report.add(
                    node.place,
                    format!("`{path}` must be true or false"),
                    "write `true` or `false`, without quotes",
                );
                None
            }
        }
    }
}

/// Text that is not empty. Numbers are taken as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::config) struct Text(pub(in crate::config) String);

value_schema!(Text, "Text", { "type": "string", "minLength": 1 });

impl Read for Text {
    fn read(node: &Node, path: &str, report: &mut Report) -> Option<Self> {
        let text = scalar(node, path, "text", report)?;
        if text.trim().is_empty() {
            report.add(
                node.place,
                format!("`{path}` is empty"),
                "write a value, or remove the key",
            );
            return None;
        }
        Some(Self(text.to_owned()))
    }
}

/// A whole number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config) struct Count(pub(in crate::config) u64);

value_schema!(Count, "Count", { "type": "integer", "minimum": 1 });

impl Read for Count {
    fn read(node: &Node, path: &str, report: &mut Report) -> Option<Self> {
        let text = scalar(node, path, "a whole number", report)?;
        match text.parse() {
            Ok(number) if number > 0 => Some(Self(number)),
            Ok(_) | Err(_) => {
                report.add(
                    node.place,
                    format!("`{path}` must be a whole number above zero, not `{text}`"),
                    "write a number such as `100`",
                );
                None
            }
        }
    }
}

/// A number from 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::config) struct Ratio(pub(in crate::config) f64);

value_schema!(Ratio, "Ratio", { "type": "number", "minimum": 0, "maximum": 1 });

impl Read for Ratio {
    fn read(node: &Node, path: &str, report: &mut Report) -> Option<Self> {
        let text = scalar(node, path, "a number from 0 to 1", report)?;
        match text.parse() {
            Ok(number) if (0.0..=1.0).contains(&number) => Some(Self(number)),
            Ok(_) | Err(_) => {
                report.add(
                    node.place,
                    format!("`{path}` must be a number from 0 to 1, not `{text}`"),
                    "write one such as `0.1`, which is every tenth",
                );
                None
            }
        }
    }
}

/// A duration such as `8h` or `1h30m`, longer than zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config) struct Period(pub(in crate::config) Duration);

value_schema!(Period, "Period", { "type": "string", "pattern": "^([0-9]+(ms|s|m|h|d))+$" });

/// Ten years: beyond, a duration is a slip of the pen and arithmetic with it could overflow.
const LONGEST: Duration = Duration::from_secs(3653 * 24 * 3600);

impl Read for Period {
    fn read(node: &Node, path: &str, report: &mut Report) -> Option<Self> {
        let text = scalar(node, path, "a duration such as 5s, 15m, 8h", report)?;
        let (what, fix) = match duration(text) {
            Some(Duration::ZERO) => (
                format!("`{path}` is zero"),
                "write a longer duration, such as 5s",
            ),
            Some(duration) if duration <= LONGEST => return Some(Self(duration)),
            Some(_) => (
                format!("`{path}` is longer than ten years"),
                "write a shorter duration, such as 400d",
            ),
            None => (
                format!("`{path}` must be a duration, not `{text}`"),
                "write a number with its unit: 500ms, 5s, 15m, 8h, 400d",
            ),
        };
        report.add(node.place, what, fix);
        None
    }
}

fn duration(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut sum = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let number: u64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let end = rest
            .find(|c: char| c.is_ascii_digit())
            .unwrap_or(rest.len());
        let unit = match &rest[..end] {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return None,
        };
        sum = sum.checked_add(Duration::from_millis(number.checked_mul(unit)?))?;
        rest = &rest[end..];
    }
    (!text.is_empty()).then_some(sum)
}

/// A size in bytes such as `32KiB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config) struct Size(pub(in crate::config) u64);

value_schema!(Size, "Size", { "type": ["string", "integer"], "pattern": "^[0-9]+(B|KiB|MiB|GiB)?$" });

impl Read for Size {
    fn read(node: &Node, path: &str, report: &mut Report) -> Option<Self> {
        let text = scalar(node, path, "a size such as 32KiB", report)?;
        match bytes(text) {
            Some(bytes) if bytes > 0 => Some(Self(bytes)),
            Some(_) | None => {
                report.add(
                    node.place,
                    format!("`{path}` must be a size above zero, not `{text}`"),
                    "write bytes with a unit: 512B, 32KiB, 10MiB, 1GiB",
                );
                None
            }
        }
    }
}

/// A duration, or `none`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config) struct Pause(pub(in crate::config) Duration);

value_schema!(Pause, "Pause", { "type": "string", "pattern": "^(([0-9]+(ms|s|m|h|d))+|none)$" });

impl Read for Pause {
    fn read(node: &Node, path: &str, report: &mut Report) -> Option<Self> {
        match &node.value {
            Value::Scalar { text, .. } if text == "none" => Some(Self(Duration::ZERO)),
            Value::Scalar { .. } | Value::List(_) | Value::Map(_) => {
                Period::read(node, path, report).map(|period| Self(period.0))
            }
        }
    }
}

/// A size, or `none`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config) struct Limit(pub(in crate::config) Option<u64>);

value_schema!(Limit, "Limit", { "type": ["string", "integer"], "pattern": "^([0-9]+(B|KiB|MiB|GiB)?|none)$" });

impl Read for Limit {
    fn read(node: &Node, path: &str, report: &mut Report) -> Option<Self> {
        match &node.value {
            Value::Scalar { text, .. } if text == "none" => Some(Self(None)),
            Value::Scalar { .. } | Value::List(_) | Value::Map(_) => {
                Size::read(node, path, report).map(|size| Self(Some(size.0)))
            }
        }
    }
}

fn bytes(text: &str) -> Option<u64> {
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let number: u64 = text[..digits].parse().ok()?;
    let unit = match text[digits..].trim_start() {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    number.checked_mul(unit)
}

/// A list, each item with its place.
#[derive(Clone, Debug)]
pub(in crate::config) struct List<T>(pub(in crate::config) Vec<At<T>>);

impl<T: Read> Read for List<T> {
    fn read(node: &Node, path: &str, report: &mut Report) -> Option<Self> {
        let Value::List(items) = &node.value else {
            report.wrong_type(node, path, "a list");
            return None;
        };
        let read = items.iter().enumerate().filter_map(|(index, item)| {
            let value = T::read(item, &format!("{path}[{index}]"), report)?;
            Some(At {
                place: item.place,
                value,
            })
        });
        Some(Self(read.collect()))
    }
}

impl<T: Read> JsonSchema for List<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("ListOf{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "array", "items": generator.subschema_for::<T>() })
    }
}

/// One value, or a list of them.
#[derive(Clone, Debug)]
pub(in crate::config) struct OneOrMany<T>(pub(in crate::config) Vec<At<T>>);

impl<T: Read> Read for OneOrMany<T> {
    fn read(node: &Node, path: &str, report: &mut Report) -> Option<Self> {
        if let Value::List(_) = &node.value {
            return List::read(node, path, report).map(|list| Self(list.0));
        }
        let value = T::read(node, path, report)?;
        Some(Self(vec![At {
            place: node.place,
            value,
        }]))
    }
}

impl<T: Read> JsonSchema for OneOrMany<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("OneOrMany{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let one = generator.subschema_for::<T>();
        json_schema!({ "anyOf": [one, { "type": "array", "items": one, "minItems": 1 }] })
    }
}

/// A mapping with keys of the user's own, in the order of the file.
#[derive(Clone, Debug)]
pub(in crate::config) struct Table<T>(pub(in crate::config) Vec<(At<String>, At<T>)>);

impl<T: Read> Read for Table<T> {
    fn read(node: &Node, path: &str, report: &mut Report) -> Option<Self> {
        let Value::Map(entries) = &node.value else {
            report.wrong_type(node, path, "a mapping");
            return None;
        };
        let read = entries.iter().filter_map(|entry| {
            let value = T::read(&entry.node, &join(path, &entry.key), report)?;
            let key = At {
                place: entry.place,
                value: entry.key.clone(),
            };
            let value = At {
                place: entry.node.place,
                value,
            };
            Some((key, value))
        });
        Some(Self(read.collect()))
    }
}

impl<T: Read> JsonSchema for Table<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("TableOf{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "object", "additionalProperties": generator.subschema_for::<T>() })
    }
}

/// A secret as written: `{ env: NAME }`, `{ file: path }`, or the secret itself.
#[derive(Clone, Debug)]
pub(in crate::config) enum SecretSource {
    Env(String),
    File(String),
    Plain(Secret),
}

impl Read for SecretSource {
    fn read(node: &Node, path: &str, report: &mut Report) -> Option<Self> {
        source(node, path, "secret", report)
    }
}

/// What is a `noun` comes from the environment, from a file, or stands here.
fn source(node: &Node, path: &str, noun: &str, report: &mut Report) -> Option<SecretSource> {
    let forms = || format!("a {noun}: {{ env: NAME }}, {{ file: path }} or the {noun} itself");
    match &node.value {
        Value::Scalar { text, .. } if !node.is_null() => {
            Some(SecretSource::Plain(Secret::new(text.clone())))
        }
        Value::Map(entries) => {
            let [entry] = entries.as_slice() else {
                report.wrong_type(node, path, &forms());
                return None;
            };
            let source = match entry.key.as_str() {
                "env" => SecretSource::Env,
                "file" => SecretSource::File,
                other => {
                    let key = join(path, other);
                    report.add(
                        entry.place,
                        format!("`{key}` is not where a {noun} can come from"),
                        "write { env: NAME } or { file: path }",
                    );
                    return None;
                }
            };
            let Text(name) = Text::read(&entry.node, &join(path, &entry.key), report)?;
            Some(source(name))
        }
        Value::Scalar { .. } | Value::List(_) => {
            report.wrong_type(node, path, &forms());
            None
        }
    }
}

impl JsonSchema for SecretSource {
    fn schema_name() -> Cow<'static, str> {
        "Secret".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let from = |key: &str| {
            json_schema!({
                "type": "object", "properties": { key: { "type": "string", "minLength": 1 } },
                "required": [key], "additionalProperties": false
            })
        };
        json_schema!({
            "description": "A secret: from the environment, from a file (one newline at its end is cut off), or as it is.",
            "anyOf": [from("env"), from("file"), { "type": "string", "minLength": 1 }]
        })
    }
}

/// A certificate as written: `{ file: path }`, `{ env: NAME }`, or its PEM or base64.
#[derive(Clone, Debug)]
pub(in crate::config) struct CertificateSource(pub(in crate::config) SecretSource);

impl Read for CertificateSource {
    fn read(node: &Node, path: &str, report: &mut Report) -> Option<Self> {
        source(node, path, "certificate", report).map(Self)
    }
}

impl JsonSchema for CertificateSource {
    fn schema_name() -> Cow<'static, str> {
        "Certificate".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut schema = SecretSource::json_schema(generator);
        let text = "A certificate in PEM or as its base64: from a file, from the environment, or as it is.";
        schema.insert("description".to_owned(), text.into());
        schema
    }
}
