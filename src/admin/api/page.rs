//! Lists come in pages.

use serde::Serialize;
use utoipa::ToSchema;

use super::error::ApiError;
use crate::directory;

/// Items of a page where nothing else is asked.
const USUAL: u32 = 50;
/// Items of a page at most.
const MOST: u32 = 200;

/// One page of a list.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Page<T> {
    /// What is on it.
    items: Vec<T>,
    /// For the next page, as `after`; null: this is the last.
    next: Option<String>,
    /// How many there are on all pages.
    #[schema(minimum = 0)]
    total: u64,
}

impl<T> Page<T> {
    /// Of a page of the directory, each item as it is sent.
    pub(super) fn of<U>(page: directory::Page<U>, each: impl FnMut(U) -> T) -> Self {
        Self {
            items: page.items.into_iter().map(each).collect(),
            next: page.next,
            total: page.total,
        }
    }

    /// All on one page.
    pub(super) fn whole(items: Vec<T>) -> Self {
        Self {
            total: items.len() as u64,
            items,
            next: None,
        }
    }
}

/// The size of a page: 1 to 200.
pub(super) fn limit(asked: Option<u32>) -> Result<u32, ApiError> {
    let limit = asked.unwrap_or(USUAL);
    if (1..=MOST).contains(&limit) {
        return Ok(limit);
    }
    Err(ApiError::bad_request("`limit` is 1 to 200"))
}
