//! The admin API: `/api/v1`, for bearer tokens.

use std::sync::Arc;

use arc_swap::ArcSwap;
use axum::Router;

use crate::usher::Usher;

/// The routes of the API, to be nested at `/api/v1` of the admin listener.
pub fn router(state: Arc<ArcSwap<Usher>>) -> Router {
    let _ = state;
    Router::new()
}
