//! The one way to take access away. Whoever ends a session for any reason comes through here, so
//! that replicas have one place to be told later.

use jiff::Timestamp;

use crate::session::{Sessions, Which};
use crate::store::StoreError;

/// Why access ends: for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// The person signed out.
    SignedOut,
    /// The same browser signed in anew.
    Replaced,
    /// The IdP refused to renew it.
    IdpEnded,
}

impl Why {
    /// The stable code in the log.
    pub fn code(self) -> &'static str {
        match self {
            Self::SignedOut => "signed_out",
            Self::Replaced => "replaced",
            Self::IdpEnded => "idp_ended",
        }
    }
}

/// Ends sessions in the store, then everywhere in this process: caches, WebSockets, SSE and long polls.
///
/// # Errors
/// If it could not be written; then nothing ended, and the caller says so (503).
pub async fn revoke(
    sessions: &Sessions,
    which: Which<'_>,
    why: Why,
    now: Timestamp,
) -> Result<usize, StoreError> {
    let ended = sessions.end(which, now).await?;
    if ended > 0 {
        tracing::info!(
            event = "revoked",
            why = why.code(),
            sessions = ended,
            "sessions ended"
        );
    }
    Ok(ended)
}
