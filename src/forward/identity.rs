//! Identity headers by preset, and the ES256 JWT; made once, and reused until the token has less than half its life left.

use http::{HeaderName, HeaderValue};
use jiff::Timestamp;

use crate::access::gate::Admitted;
use crate::config::{App, PublicUrl};
use crate::keys::SigningKeys;
use crate::refusal::Refusal;
use crate::session::Session;

/// Header fields that say who somebody is; built only from an [`Admitted`] with a session.
#[derive(Clone, Debug)]
pub struct ForwardedIdentity {
    fields: Vec<(HeaderName, HeaderValue)>,
    renew_at: Timestamp,
}

impl ForwardedIdentity {
    /// Builds the fields for one session and app. `issuer` is the top-level `public_url` of the config.
    ///
    /// # Errors
    /// `EmailMissing` or `Forbidden` where the app's user header would be empty; `Internal` if signing fails.
    pub fn new(
        admitted: &Admitted<'_>,
        session: &Session,
        app: &App,
        issuer: &PublicUrl,
        keys: &SigningKeys,
        now: Timestamp,
    ) -> Result<Self, Refusal> {
        let _ = (admitted, session, app, issuer, keys, now);
        todo!()
    }

    /// The fields to insert; every other name of the preset was removed by the firewall.
    pub fn fields(&self) -> &[(HeaderName, HeaderValue)] {
        &self.fields
    }

    /// When it must be made again: half the token's life after it was signed, and never after the session's end.
    pub fn renew_at(&self) -> Timestamp {
        self.renew_at
    }
}
