//! What `usher schema` prints: the JSON Schema of the config, and the same as a table for people.

use serde_json::Value;

use super::raw::RawConfig;

/// The JSON Schema (2020-12) of the config file.
pub fn json_schema() -> Value {
    let mut schema = schemars::SchemaGenerator::default()
        .into_root_schema_for::<RawConfig>()
        .to_value();
    if let Some(root) = schema.as_object_mut() {
        root.insert("title".to_owned(), "usher".into());
    }
    schema
}

/// One key of the config, for the reference.
struct Row {
    path: String,
    kind: String,
    default: String,
    what: String,
}

/// All keys as a Markdown page: a section for each top-level key, with path, type, default and what.
pub fn markdown() -> String {
    let schema = json_schema();
    let mut rows = Vec::new();
    walk(&schema, &schema, "", &mut rows);
    let mut text = "# Config reference\n\nEvery key, as `usher schema --markdown` prints it. [config.example.yaml](../config.example.yaml) shows them in use.\n\
                    `[]` stands for each entry of a list. A secret is `{ env: NAME }`, `{ file: /path }` or a plain string.\n".to_owned();
    for row in rows {
        let Row {
            path,
            kind,
            default,
            what,
        } = row;
        if !path.contains(['.', '[']) {
            text.push_str(&format!(
                "\n## {path}\n\n| key | type | default | what |\n|---|---|---|---|\n"
            ));
        }
        text.push_str(&format!(
            "| `{path}` | {} | {default} | {} |\n",
            kind.replace('|', "\\|"),
            what.replace('|', "\\|")
        ));
    }
    text
}

fn walk(root: &Value, record: &Value, path: &str, rows: &mut Vec<Row>) {
    let Some(properties) = record.get("properties").and_then(Value::as_object) else {
        return;
    };
    let required: Vec<&str> = record
        .get("required")
        .and_then(Value::as_array)
        .map(|keys| keys.iter().filter_map(Value::as_str).collect())
        .unwrap_or_default();
    for (key, schema) in properties {
        let path = if path.is_empty() {
            key.clone()
        } else {
            format!("{path}.{key}")
        };
        let default = match schema.get("default") {
            _ if required.contains(&key.as_str()) => "**required**".to_owned(),
            Some(Value::Object(_)) | None => String::new(),
            Some(Value::String(text)) => format!("`{text}`"),
            Some(other) => format!(
                "`{}`",
                other.to_string().replace('"', "").replace(',', ", ")
            ),
        };
        rows.push(Row {
            kind: kind(root, schema),
            default,
            what: text(schema, "description"),
            path: path.clone(),
        });
        for (suffix, nested) in records(root, schema) {
            walk(root, nested, &format!("{path}{suffix}"), rows);
        }
    }
}

/// The mappings inside a value, with what stands between the key and theirs.
fn records<'a>(root: &'a Value, schema: &'a Value) -> Vec<(&'static str, &'a Value)> {
    let schema = resolve(root, schema);
    if source(schema).is_some() {
        return Vec::new();
    }
    if schema.get("properties").is_some() {
        return vec![("", schema)];
    }
    if let Some(items) = schema.get("items") {
        let nested = records(root, items);
        return nested
            .into_iter()
            .map(|(_, record)| ("[]", record))
            .collect();
    }
    let any = schema.get("anyOf").and_then(Value::as_array);
    any.into_iter()
        .flatten()
        .filter(|one| resolve(root, one).get("properties").is_some())
        .flat_map(|one| records(root, one))
        .collect()
}

fn resolve<'a>(root: &'a Value, schema: &'a Value) -> &'a Value {
    schema
        .get("$ref")
        .and_then(Value::as_str)
        .and_then(|reference| root.pointer(reference.trim_start_matches('#')))
        .unwrap_or(schema)
}

/// What comes from a file, the environment or the config itself: its insides are no keys of the reference.
fn source(schema: &Value) -> Option<&'static str> {
    let text = text(schema, "description");
    if text.starts_with("A secret:") {
        Some("secret")
    } else if text.starts_with("A certificate in PEM") {
        Some("certificate")
    } else {
        None
    }
}

/// The type of a value in a word or two.
fn kind(root: &Value, schema: &Value) -> String {
    let schema = resolve(root, schema);
    if let Some(kind) = source(schema) {
        return kind.to_owned();
    }
    if let Some(words) = schema.get("enum").and_then(Value::as_array) {
        let words: Vec<_> = words.iter().filter_map(Value::as_str).collect();
        return words.join(" | ");
    }
    if let Some(any) = schema.get("anyOf").and_then(Value::as_array) {
        let kinds: Vec<_> = any.iter().map(|one| kind(root, one)).collect();
        return kinds.join(" or ");
    }
    if let Some(items) = schema.get("items") {
        return format!("list of {}", kind(root, items));
    }
    if let Some(values) = schema.get("additionalProperties").filter(|v| v.is_object()) {
        return format!("mapping of name to {}", kind(root, values));
    }
    match schema.get("pattern").and_then(Value::as_str) {
        Some(pattern) if pattern.contains("none") => return "size or none".to_owned(),
        Some(pattern) if pattern.contains("KiB") => return "size".to_owned(),
        Some(pattern) if pattern.contains("ms") => return "duration".to_owned(),
        Some(_) | None => {}
    }
    match schema.get("type").and_then(Value::as_str) {
        Some("object") => "mapping".to_owned(),
        Some("string") => "text".to_owned(),
        Some("integer") => "number".to_owned(),
        Some("boolean") => "true | false".to_owned(),
        Some(other) => other.to_owned(),
        None => String::new(),
    }
}

fn text(schema: &Value, key: &str) -> String {
    schema
        .get(key)
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned()
}
