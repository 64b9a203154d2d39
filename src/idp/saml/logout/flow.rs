//! Single logout at one IdP: on the way out, and what comes in.

use std::time::Duration;

use jiff::Timestamp;

use super::{
    Arrived, Expected, LogoutRequest, LogoutResponse, LogoutStatus, VerifiedLogoutRequest, read,
};
use crate::idp::saml::binding::{self, Message};
use crate::idp::saml::check::Refused;
use crate::idp::saml::metadata::idp::Binding;
use crate::idp::saml::{FlowSecrets, NameId, Outgoing, SamlError, SamlIdp};
use crate::keys::saml::SpKey;

/// Signing out here has happened already, so that nobody waits for longer to sign out there too.
const PATIENCE: Duration = Duration::from_secs(2);

/// Who signs out, and how the answer finds its request.
#[derive(Clone, Copy, Debug)]
pub struct Leaving<'a> {
    /// From [`FlowSecrets::generate`].
    pub flow: &'a FlowSecrets,
    /// As the IdP named the person.
    pub name_id: &'a NameId,
    /// The IdP's session.
    pub session_index: Option<&'a str>,
}

impl SamlIdp {
    /// The way to the IdP with a `LogoutRequest`; none where it has no single logout.
    ///
    /// # Errors
    /// [`SamlError::Unavailable`] without metadata, [`SamlError::Internal`] if our key does not sign.
    pub async fn leave(
        &self,
        leaving: Leaving<'_>,
        now: Timestamp,
    ) -> Result<Option<Outgoing>, SamlError> {
        let metadata = tokio::time::timeout(PATIENCE, self.metadata.current(now));
        let Ok(metadata) = metadata.await else {
            let why = format!("no metadata within {PATIENCE:?}");
            return Err(SamlError::Unavailable(why));
        };
        let metadata = metadata?;
        let Some(endpoint) = metadata.slo(Binding::from(self.saml.binding)) else {
            return Ok(None);
        };
        let request = LogoutRequest {
            id: &leaving.flow.request_id,
            issuer: &self.sp.entity_id,
            destination: endpoint.location.as_str(),
            now,
            name_id: leaving.name_id,
            session_index: leaving.session_index,
        };
        let relay_state = Some(leaving.flow.relay_state.as_str());
        let (to, key) = (&endpoint.location, self.sp.keys.signer());
        let write = |key: Option<&SpKey>| request.to_xml(key);
        let message = Message::Request;
        let way = binding::encode(endpoint.binding, to, message, relay_state, Some(key), write)?;
        Ok(Some(way))
    }

    /// Verifies a `LogoutRequest` that arrived at `slo`. Whether it arrived before is for the caller to see to.
    ///
    /// # Errors
    /// See [`SamlError`].
    pub async fn logout_request(
        &self,
        arrived: Arrived,
        slo: &str,
        now: Timestamp,
    ) -> Result<VerifiedLogoutRequest, SamlError> {
        self.verify_logout(arrived, slo, now, read::verify_request)
            .await
    }

    /// Verifies the `LogoutResponse` to our request `in_response_to` that arrived at `slo`.
    ///
    /// # Errors
    /// See [`SamlError`].
    pub async fn logout_response(
        &self,
        arrived: Arrived,
        slo: &str,
        in_response_to: &str,
        now: Timestamp,
    ) -> Result<LogoutStatus, SamlError> {
        let id = in_response_to.to_owned();
        let verify = move |arrived: &Arrived, expected: &Expected<'_>| {
            read::verify_response(arrived, expected, &id)
        };
        self.verify_logout(arrived, slo, now, verify).await
    }

    /// The way back to the IdP with our answer; none where it has no single logout service to answer at.
    ///
    /// # Errors
    /// [`SamlError::Internal`] if our key does not sign.
    pub async fn answer_logout(
        &self,
        request: &VerifiedLogoutRequest,
        status: LogoutStatus,
        relay_state: Option<&str>,
        now: Timestamp,
    ) -> Result<Option<Outgoing>, SamlError> {
        let metadata = self.metadata.current(now).await?;
        // A redirect works in the frames in which some IdPs sign out of all sites at once; a page of ours may not be framed.
        let Some(endpoint) = metadata.slo(Binding::Redirect) else {
            return Ok(None);
        };
        let flow = FlowSecrets::generate()?;
        let to = &endpoint.response_location;
        let response = LogoutResponse {
            id: &flow.request_id,
            issuer: &self.sp.entity_id,
            destination: to.as_str(),
            now,
            in_response_to: request.id(),
            status,
        };
        let key = self.sp.keys.signer();
        let write = |key: Option<&SpKey>| response.to_xml(key);
        let message = Message::Response;
        let way = binding::encode(endpoint.binding, to, message, relay_state, Some(key), write)?;
        Ok(Some(way))
    }

    async fn verify_logout<T: Send + 'static>(
        &self,
        arrived: Arrived,
        slo: &str,
        now: Timestamp,
        verify: impl Fn(&Arrived, &Expected<'_>) -> Result<T, Refused> + Send + Sync + 'static,
    ) -> Result<T, SamlError> {
        let sp = self.sp.clone();
        let slo = slo.to_owned();
        self.verified(now, move |metadata| {
            let expected = Expected {
                idp: &metadata.entity_id,
                certificates: &metadata.certificates,
                slo: &slo,
                keys: &sp.keys,
                now,
            };
            Ok(verify(&arrived, &expected)?)
        })
        .await
    }
}
