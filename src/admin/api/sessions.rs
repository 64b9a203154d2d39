//! Sessions: who is signed in, and its end.

use http::StatusCode;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::call::{Call, Path, Query};
use super::error::{ApiError, Problem};
use super::page::{self, Page};
use super::users;
use crate::revoke::{self, Why};
use crate::session::{SessionRow, Which};

/// A live session.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Session {
    /// Its public id, which the apps see too.
    id: String,
    /// Whose it is.
    user: String,
    /// By which identity provider.
    identity_provider: String,
    /// The origin that it is of.
    origin: String,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// The last use, to a minute.
    #[schema(value_type = String, format = DateTime)]
    seen_at: Timestamp,
    /// When it ends at the latest.
    #[schema(value_type = String, format = DateTime)]
    expires_at: Timestamp,
    /// When the person signed in at the identity provider.
    #[schema(value_type = String, format = DateTime)]
    authenticated_at: Timestamp,
}

impl From<SessionRow> for Session {
    fn from(row: SessionRow) -> Self {
        Self {
            id: row.sid,
            user: row.user.to_string(),
            identity_provider: row.idp.to_string(),
            origin: row.origin,
            created_at: row.created_at,
            seen_at: row.seen_at,
            expires_at: row.expires_at,
            authenticated_at: row.authenticated_at,
        }
    }
}

/// Which page of the sessions.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ListSessions {
    /// `next` of the page before.
    after: Option<String>,
    /// Items of a page; 50 without it.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
}

/// All live sessions, newest first.
#[utoipa::path(
    get,
    path = "/sessions",
    operation_id = "listSessions",
    tag = "sessions",
    params(ListSessions),
    responses((status = 200, description = "A page of sessions.", body = Page<Session>))
)]
pub(super) async fn list(
    call: Call,
    Query(asked): Query<ListSessions>,
) -> Result<axum::Json<Page<Session>>, ApiError> {
    let limit = page::limit(asked.limit)?;
    let sessions = &call.usher.sessions;
    let page = sessions
        .page(asked.after.as_deref(), limit, call.now)
        .await?;
    Ok(axum::Json(Page::of(page, Session::from)))
}

/// Live sessions of one person, newest first.
#[utoipa::path(
    get,
    path = "/users/{id}/sessions",
    operation_id = "listSessionsOfUser",
    tag = "sessions",
    params(("id" = String, Path, description = "Id of the user.")),
    responses(
        (status = 200, description = "All of them.", body = Page<Session>),
        (status = 404, description = "There is no such user.", body = inline(Problem<'static>))
    )
)]
pub(super) async fn list_of_user(
    call: Call,
    Path(id): Path<String>,
) -> Result<axum::Json<Page<Session>>, ApiError> {
    let (user, _) = users::known(&call, &id).await?;
    let rows = call.usher.sessions.list(&user, call.now).await?;
    let rows = rows.into_iter().map(Session::from).collect();
    Ok(axum::Json(Page::whole(rows)))
}

/// Ends one session; open connections are cut before the answer.
#[utoipa::path(
    delete,
    path = "/sessions/{id}",
    operation_id = "endSession",
    tag = "sessions",
    params(("id" = String, Path, description = "Public id of the session.")),
    responses(
        (status = 204, description = "It is over."),
        (status = 404, description = "There is no such session.", body = inline(Problem<'static>))
    )
)]
pub(super) async fn end(call: Call, Path(id): Path<String>) -> Result<StatusCode, ApiError> {
    match end_all(&call, Which::Sid(&id)).await? {
        0 => Err(ApiError::not_found("there is no such session")),
        _ => Ok(StatusCode::NO_CONTENT),
    }
}

/// How many sessions ended.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Ended {
    /// Their number.
    ended: u64,
}

/// Ends all sessions of one person; open connections are cut before the answer.
#[utoipa::path(
    delete,
    path = "/users/{id}/sessions",
    operation_id = "endSessionsOfUser",
    tag = "sessions",
    params(("id" = String, Path, description = "Id of the user.")),
    responses(
        (status = 200, description = "They are over.", body = Ended),
        (status = 404, description = "There is no such user.", body = inline(Problem<'static>))
    )
)]
pub(super) async fn end_of_user(
    call: Call,
    Path(id): Path<String>,
) -> Result<axum::Json<Ended>, ApiError> {
    let (user, _) = users::known(&call, &id).await?;
    let ended = end_all(&call, Which::User(&user)).await? as u64;
    Ok(axum::Json(Ended { ended }))
}

async fn end_all(call: &Call, which: Which<'_>) -> Result<usize, ApiError> {
    let (sessions, audit) = (&call.usher.sessions, call.usher.directory.audit());
    Ok(revoke::revoke(sessions, audit, which, Why::Admin, &call.by, call.now).await?)
}
