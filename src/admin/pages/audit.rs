//! The audit log.

use super::words::{TagText, When};
use super::{Call, Stop};
use crate::identity::UserId;

/// One line of the log.
pub(super) struct LogLine {
    pub(super) at: When,
    pub(super) action: String,
    pub(super) outcome: TagText,
    pub(super) why: String,
    pub(super) app: Option<String>,
    pub(super) actor: String,
    pub(super) client: Option<String>,
}

/// The last lines about somebody.
pub(super) async fn of_user(
    _call: &Call<'_>,
    _user: &UserId,
    _limit: u32,
) -> Result<Vec<LogLine>, Stop> {
    Ok(Vec::new())
}
