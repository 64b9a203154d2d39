//! What the apps are told: waiting, given up, answered.

use http::StatusCode;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::call::{Call, Path, Query};
use super::error::{ApiError, Problem};
use super::page::{self, Page};
use crate::directory::{DeliveryRow, DeliveryState, FindDeliveries};
use crate::identity::UserId;

/// Where an event is.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum DeliveryStage {
    /// Will be tried (again).
    Waiting,
    /// Given up; can be replayed.
    Dead,
    /// Answered.
    Done,
}

/// An event for an app.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Delivery {
    /// The `webhook-id`.
    id: String,
    /// About whom.
    user: String,
    /// To which app.
    app: String,
    /// `user.created` and so on.
    kind: String,
    /// Where it is.
    state: DeliveryStage,
    /// What became of it, as a stable code; empty while it waits.
    outcome: String,
    /// How often it was tried.
    #[schema(minimum = 0)]
    tries: u32,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// When it is tried next, or was answered.
    #[schema(value_type = String, format = DateTime)]
    next_at: Timestamp,
    /// What went wrong last.
    error: Option<String>,
}

impl From<DeliveryRow> for Delivery {
    fn from(row: DeliveryRow) -> Self {
        Self {
            id: row.id,
            user: row.user.to_string(),
            app: row.app.to_string(),
            kind: row.kind,
            state: match row.state {
                DeliveryState::Waiting => DeliveryStage::Waiting,
                DeliveryState::Dead => DeliveryStage::Dead,
                DeliveryState::Done => DeliveryStage::Done,
            },
            outcome: row.outcome,
            tries: row.tries,
            created_at: row.created_at,
            next_at: row.next_at,
            error: row.error,
        }
    }
}

/// Which deliveries to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ListDeliveries {
    /// Only about that user.
    user: Option<String>,
    /// Only to that app.
    app: Option<String>,
    /// Only those.
    #[param(inline)]
    state: Option<DeliveryStage>,
    /// `next` of the page before.
    after: Option<String>,
    /// Items of a page; 50 without it.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
}

/// Deliveries, newest first.
#[utoipa::path(
    get,
    path = "/deliveries",
    operation_id = "listDeliveries",
    tag = "deliveries",
    params(ListDeliveries),
    responses((status = 200, description = "A page of deliveries.", body = Page<Delivery>))
)]
pub(super) async fn list(
    call: Call,
    Query(asked): Query<ListDeliveries>,
) -> Result<axum::Json<Page<Delivery>>, ApiError> {
    let user = asked.user.map(UserId::new);
    let find = FindDeliveries {
        user: user.as_ref(),
        app: asked.app.as_deref(),
        state: asked.state.map(|state| match state {
            DeliveryStage::Waiting => DeliveryState::Waiting,
            DeliveryStage::Dead => DeliveryState::Dead,
            DeliveryStage::Done => DeliveryState::Done,
        }),
        after: asked.after.as_deref(),
        limit: page::limit(asked.limit)?,
    };
    let page = call.usher.directory.deliveries(&find).await?;
    Ok(axum::Json(Page::of(page, Delivery::from)))
}

/// Tries an event again at once; an app that answered is told anew.
#[utoipa::path(
    post,
    path = "/deliveries/{id}/replay",
    operation_id = "replayDelivery",
    tag = "deliveries",
    params(("id" = String, Path, description = "Id of the delivery.")),
    responses(
        (status = 202, description = "It is on its way."),
        (status = 404, description = "There is no such delivery.", body = inline(Problem<'static>))
    )
)]
pub(super) async fn replay(call: Call, Path(id): Path<String>) -> Result<StatusCode, ApiError> {
    let directory = &call.usher.directory;
    match directory.replay(&id, &call.by, call.now).await? {
        true => Ok(StatusCode::ACCEPTED),
        false => Err(ApiError::not_found("there is no such delivery")),
    }
}
