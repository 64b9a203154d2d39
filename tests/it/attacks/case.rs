//! The rows of the catalogue.

use serde::Deserialize;
use serde_json::{Map, Value};

/// One row.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Row {
    pub(super) id: String,
    pub(super) class: String,
    #[serde(default)]
    pub(super) request: Option<Value>,
    #[serde(default)]
    pub(super) steps: Option<Vec<Map<String, Value>>>,
    #[serde(default)]
    pub(super) variants: Option<Vec<Value>>,
    pub(super) expectation: Expectation,
}

/// What must hold.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Expectation {
    #[serde(rename = "assert")]
    pub(super) asserts: Vec<String>,
}

impl Row {
    /// The steps; a row with a `request` has that one.
    pub(super) fn steps(&self) -> Vec<Map<String, Value>> {
        let request = self
            .request
            .clone()
            .map(|r| Map::from_iter([("request".to_owned(), r)]));
        let steps = self.steps.clone().unwrap_or_default();
        request.into_iter().chain(steps).collect()
    }

    /// The variants; a row without has one that is `null`.
    pub(super) fn variants(&self) -> Vec<Value> {
        self.variants.clone().unwrap_or_else(|| vec![Value::Null])
    }

    /// Request, steps, variants and assertions as one text, to look for words in.
    pub(super) fn text(&self) -> String {
        let steps = serde_json::to_string(&self.steps()).unwrap();
        let variants = serde_json::to_string(&self.variants()).unwrap();
        format!("{steps} {variants} {}", self.expectation.asserts.join(" "))
    }
}

/// Reads JSON lines; a line that is no row is an error that names it.
pub(super) fn load(text: &str) -> Result<Vec<Row>, String> {
    let lines = text
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty());
    let row = |(n, line): (usize, &str)| {
        serde_json::from_str(line).map_err(|e| format!("line {}: {e}", n + 1))
    };
    lines.map(row).collect()
}
