//! The outbox as admins see it: what waits for an app, what is dead, and what was answered.

use jiff::Timestamp;

use super::{Directory, Page};
use crate::audit::By;
use crate::identity::{AppId, UserId};
use crate::store::StoreError;

/// Where an event is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryState {
    /// Will be tried (again).
    Waiting,
    /// Given up; can be replayed.
    Dead,
    /// Answered.
    Done,
}

/// One event on its way to an app, or answered.
#[derive(Clone, Debug)]
pub struct DeliveryRow {
    /// `evt_…`, the webhook-id.
    pub id: String,
    /// About whom.
    pub user: UserId,
    /// To which app.
    pub app: AppId,
    /// `user.created` and so on.
    pub kind: String,
    /// Where it is.
    pub state: DeliveryState,
    /// What became of it, as a stable code; empty while it waits.
    pub outcome: String,
    /// How often it was tried.
    pub tries: u32,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it is tried next, or was answered.
    pub next_at: Timestamp,
    /// What went wrong last.
    pub error: Option<String>,
}

/// Which deliveries to list, newest first.
#[derive(Clone, Copy, Debug, Default)]
pub struct FindDeliveries<'a> {
    /// Only of that user.
    pub user: Option<&'a UserId>,
    /// Only to that app.
    pub app: Option<&'a str>,
    /// Only those; none: all.
    pub state: Option<DeliveryState>,
    /// What [`Page::next`] said.
    pub after: Option<&'a str>,
    /// How many at most; 1 to 200.
    pub limit: u32,
}

impl Directory {
    /// A page of deliveries.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn deliveries(
        &self,
        find: &FindDeliveries<'_>,
    ) -> Result<Page<DeliveryRow>, StoreError> {
        let _ = find;
        todo!()
    }

    /// Lets a dead event be tried again at once, and tells the app anew of an answered one. False: no such event.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn replay(&self, id: &str, by: &By, now: Timestamp) -> Result<bool, StoreError> {
        let _ = (id, by, now);
        todo!()
    }
}
