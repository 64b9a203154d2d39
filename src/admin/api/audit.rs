//! The log of what happened: filtered, in pages, and as CSV.

use axum::body::Body;
use axum::response::IntoResponse;
use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_DISPOSITION, CONTENT_TYPE, HeaderMap, HeaderValue};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::call::{Call, Query};
use super::error::ApiError;
use super::page;
use crate::audit::{Export, ExportForm, Filter, Line};
use crate::identity::UserId;
use crate::store::StoreError;

/// A line of the log.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct AuditLine {
    /// One more than the line before.
    number: i64,
    /// When, to the second.
    #[schema(value_type = String, format = DateTime)]
    time: Timestamp,
    /// What was done, as a stable code.
    action: String,
    /// By whom: `user:…`, `token:…`, `scim:…`, `idp:…`, `system`, `nobody`.
    actor: String,
    /// About whom.
    user: Option<String>,
    /// In which app.
    app: Option<String>,
    /// At which identity provider.
    identity_provider: Option<String>,
    /// `ok`, or the stable code of what became of it.
    outcome: String,
    /// Why, in a sentence.
    why: String,
    /// The address that the request came from.
    client: Option<String>,
    /// The id of the request.
    request_id: Option<String>,
    /// What changed.
    #[schema(value_type = Object)]
    details: Value,
    /// SHA-256 over the line and the hash before it.
    hash: String,
}

impl From<Line> for AuditLine {
    fn from(line: Line) -> Self {
        Self {
            number: line.number,
            time: line.at,
            action: line.action,
            actor: line.actor,
            user: line.user.map(|user| user.to_string()),
            app: line.app.map(|app| app.to_string()),
            identity_provider: line.idp.map(|idp| idp.to_string()),
            outcome: line.outcome,
            why: line.why,
            client: line.client,
            request_id: line.request_id,
            details: line.details,
            hash: line.hash,
        }
    }
}

/// One page of the log.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct AuditPage {
    /// Lines, the newest first; may be fewer than asked for, or none, although there is a next page: each page looks at a bounded
    /// number of lines.
    items: Vec<AuditLine>,
    /// For the next page, as `after`; null: this is the last.
    next: Option<String>,
    /// How far back this page looked, where there is a next one.
    #[schema(value_type = Option<String>, format = DateTime)]
    back_to: Option<Timestamp>,
}

/// Which lines, and which page of them.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ListAudit {
    /// Not before.
    #[param(value_type = Option<String>, format = DateTime)]
    from: Option<Timestamp>,
    /// Before.
    #[param(value_type = Option<String>, format = DateTime)]
    until: Option<Timestamp>,
    /// About that user.
    user: Option<String>,
    /// By that actor, as the log writes it.
    actor: Option<String>,
    /// What was done.
    action: Option<String>,
    /// In that app.
    app: Option<String>,
    /// At that identity provider.
    identity_provider: Option<String>,
    /// With that outcome.
    outcome: Option<String>,
    /// Part of the reason, in any case.
    q: Option<String>,
    /// `next` of the page before; not for CSV, which is whole.
    after: Option<String>,
    /// Items of a page; 50 without it.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
}

impl ListAudit {
    fn filter(&self) -> Filter {
        Filter {
            from: self.from,
            until: self.until,
            user: self.user.as_deref().map(UserId::new),
            actor: self.actor.clone(),
            action: self.action.clone(),
            app: self.app.clone(),
            idp: self.identity_provider.clone(),
            outcome: self.outcome.clone(),
            text: self.q.clone().filter(|text| !text.is_empty()),
        }
    }
}

/// Lines of the log, the newest first; with `Accept: text/csv`, all of them as CSV.
#[utoipa::path(
    get,
    path = "/audit",
    operation_id = "listAudit",
    tag = "audit",
    params(ListAudit),
    responses((status = 200, description = "A page of lines.", content(
        (AuditPage = "application/json"),
        (String = "text/csv")
    )))
)]
pub(super) async fn list(
    call: Call,
    headers: HeaderMap,
    Query(asked): Query<ListAudit>,
) -> Result<axum::response::Response, ApiError> {
    let limit = page::limit(asked.limit)?;
    if wants_csv(&headers) {
        return csv(&call, &asked);
    }
    let audit = call.usher.directory.audit();
    let page = audit
        .page(&asked.filter(), asked.after.as_deref(), limit)
        .await?;
    let page = AuditPage {
        items: page.lines.into_iter().map(AuditLine::from).collect(),
        next: page.next,
        back_to: page.back_to,
    };
    Ok(axum::Json(page).into_response())
}

/// Lines of the log as CSV, all of them, the newest first.
#[utoipa::path(
    get,
    path = "/audit.csv",
    operation_id = "exportAudit",
    tag = "audit",
    params(ListAudit),
    responses((status = 200, description = "All lines.", body = String, content_type = "text/csv"))
)]
pub(super) async fn export(
    call: Call,
    Query(asked): Query<ListAudit>,
) -> Result<axum::response::Response, ApiError> {
    page::limit(asked.limit)?;
    csv(&call, &asked)
}

/// Whether CSV is named, and JSON is not.
fn wants_csv(headers: &HeaderMap) -> bool {
    let named = |kind: &str| {
        headers.get_all(ACCEPT).iter().any(|accept| {
            let accept = accept.to_str().unwrap_or_default().to_ascii_lowercase();
            accept.split(',').any(|one| one.trim().starts_with(kind))
        })
    };
    named("text/csv") && !named("application/json")
}

fn csv(call: &Call, asked: &ListAudit) -> Result<axum::response::Response, ApiError> {
    if asked.after.is_some() {
        return Err(ApiError::bad_request("CSV has no pages: leave `after` out"));
    }
    let audit = call.usher.directory.audit();
    let export = audit.export(asked.filter(), ExportForm::Csv);
    let mut response = Body::from_stream(pieces(export)).into_response();
    let headers = response.headers_mut();
    let kind = HeaderValue::from_static("text/csv; charset=utf-8; header=present");
    headers.insert(CONTENT_TYPE, kind);
    let name = HeaderValue::from_static("attachment; filename=\"audit.csv\"");
    headers.insert(CONTENT_DISPOSITION, name);
    Ok(response)
}

/// Piece after piece; a store that fails on the way cuts the answer, so that nobody takes it for the whole.
fn pieces(export: Export) -> impl futures_util::Stream<Item = Result<Bytes, StoreError>> {
    futures_util::stream::unfold(Some(export), |export| async {
        let mut export = export?;
        match export.next().await {
            Ok(Some(piece)) => Some((Ok(Bytes::from(piece)), Some(export))),
            Ok(None) => None,
            Err(error) => Some((Err(error), None)),
        }
    })
}
