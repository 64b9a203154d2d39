//! How usher is, and the reload of its config.

use http::StatusCode;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

use super::call::Call;
use super::error::ApiError;
use crate::audit::{Action, Entry};

/// How usher is.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ServerStatus {
    /// Version of the program.
    version: &'static str,
    /// Since when it runs.
    #[schema(value_type = String, format = DateTime)]
    started_at: Timestamp,
    /// The same, in seconds.
    uptime: i64,
    /// Grows by one with each reload of the config.
    generation: u64,
    /// People of any status.
    users: u64,
    /// People who were invited and are not here yet.
    invited: u64,
    /// People who were deactivated.
    deactivated: u64,
    /// Sessions in memory.
    sessions: u64,
    /// Apps in the config.
    apps: u64,
    /// Identity providers in the config.
    identity_providers: u64,
}

/// How usher is.
#[utoipa::path(
    get,
    path = "/status",
    operation_id = "status",
    tag = "usher",
    responses((status = 200, description = "Version, uptime and counts.", body = ServerStatus))
)]
pub(super) async fn status(call: Call) -> Result<axum::Json<ServerStatus>, ApiError> {
    let counts = call.usher.directory.counts().await?;
    let config = &call.usher.config;
    Ok(axum::Json(ServerStatus {
        version: env!("CARGO_PKG_VERSION"),
        started_at: call.started_at,
        uptime: (call.now.as_second() - call.started_at.as_second()).max(0),
        generation: call.usher.generation,
        users: counts.users,
        invited: counts.invited,
        deactivated: counts.deactivated,
        sessions: call.usher.sessions.cached() as u64,
        apps: config.apps.len() as u64,
        identity_providers: config.idps.len() as u64,
    }))
}

/// A reload that was done.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Reloaded {
    /// Number of the config that is in force now.
    generation: u64,
}

/// Loads the config file anew.
#[utoipa::path(
    post,
    path = "/reload",
    operation_id = "reload",
    tag = "usher",
    responses(
        (status = 200, description = "The new config is in force.", body = Reloaded),
        (status = 422, description = "`config_refused`: the file has problems, and the former config goes on.", body = inline(super::error::Problem<'static>))
    )
)]
pub(super) async fn reload(call: Call) -> Result<axum::Json<Reloaded>, ApiError> {
    let Some(reloads) = &call.reloads else {
        let message = "this usher was not started from a file";
        return Err(ApiError::conflict("no_config_file", message));
    };
    let before = call.usher.generation;
    let outcome = reloads.reload().await;
    let entry = Entry::new(Action::Admin, &call.by, "the config was loaded anew");
    let entry = match &outcome {
        Ok(after) => entry.with(json!({ "generation": { "before": before, "after": after } })),
        Err(_) => entry.came_to("config_refused"),
    };
    let audit = call.usher.directory.audit();
    audit.record(&entry, call.now).await?;
    match outcome {
        Ok(generation) => Ok(axum::Json(Reloaded { generation })),
        Err(error) => Err(ApiError::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "config_refused",
            error.0,
        )),
    }
}
