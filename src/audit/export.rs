//! The log as a document, in pieces, so that a million lines are never in memory at once.

use super::{Audit, Filter, Line};
use crate::store::StoreError;

/// Lines of one piece.
const PIECE: u32 = 500;

/// What an export looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExportForm {
    /// CSV with a header (RFC 4180), safe to open in a spreadsheet.
    Csv,
    /// One JSON object for each line.
    JsonLines,
}

/// An export under way.
#[derive(Debug)]
pub struct Export {
    audit: Audit,
    filter: Filter,
    form: ExportForm,
    after: Option<String>,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Beginning,
    Middle,
    Over,
}

impl Audit {
    /// All lines of a filter, the newest first.
    pub fn export(&self, filter: Filter, form: ExportForm) -> Export {
        Export {
            audit: self.clone(),
            filter,
            form,
            after: None,
            stage: Stage::Beginning,
        }
    }
}

impl Export {
    /// The next piece; none: that was all.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>, StoreError> {
        loop {
            if self.stage == Stage::Over {
                return Ok(None);
            }
            let page = self
                .audit
                .page(&self.filter, self.after.as_deref(), PIECE)
                .await?;
            let piece = match self.form {
                ExportForm::Csv => csv_of(&page.lines, self.stage == Stage::Beginning)?,
                ExportForm::JsonLines => json_of(&page.lines)?,
            };
            self.after = page.next;
            self.stage = if self.after.is_some() {
                Stage::Middle
            } else {
                Stage::Over
            };
            if !piece.is_empty() {
                return Ok(Some(piece));
            }
        }
    }
}

const HEADER: [&str; 13] = [
    "number",
    "time",
    "action",
    "outcome",
    "actor",
    "user",
    "app",
    "idp",
    "why",
    "client",
    "request_id",
    "details",
    "hash",
];

fn csv_of(lines: &[Line], with_header: bool) -> Result<Vec<u8>, StoreError> {
    let failed = |error: csv::Error| StoreError(error.to_string());
    let mut writer = csv::Writer::from_writer(Vec::new());
    if with_header {
        writer.write_record(HEADER).map_err(failed)?;
    }
    for line in lines {
        let optional = |text: Option<&str>| text.unwrap_or_default().to_owned();
        let cells = [
            line.number.to_string(),
            line.at.to_string(),
            line.action.clone(),
            line.outcome.clone(),
            line.actor.clone(),
            optional(line.user.as_ref().map(|user| user.as_str())),
            optional(line.app.as_ref().map(|app| app.as_str())),
            optional(line.idp.as_ref().map(|idp| idp.as_str())),
            line.why.clone(),
            optional(line.client.as_deref()),
            optional(line.request_id.as_deref()),
            line.details.to_string(),
            line.hash.clone(),
        ];
        writer.write_record(cells.map(no_formula)).map_err(failed)?;
    }
    writer
        .into_inner()
        .map_err(|error| StoreError(error.to_string()))
}

/// A spreadsheet takes a cell that begins like this for a formula, and what stands here was partly chosen by others.
fn no_formula(cell: String) -> String {
    if cell.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        format!("'{cell}")
    } else {
        cell
    }
}

fn json_of(lines: &[Line]) -> Result<Vec<u8>, StoreError> {
    let mut text = Vec::new();
    for line in lines {
        serde_json::to_writer(&mut text, line)?;
        text.push(b'\n');
    }
    Ok(text)
}
