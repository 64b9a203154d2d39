//! The two halves of a sign-in at one IdP, and what usher publishes for it.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::rand;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use url::Url;

use super::authn_request::AuthnRequest;
use super::binding::{self, Message, post, with_login_hint};
use super::check::{Check, Refused, Steps};
use super::metadata::IdpMetadata;
use super::metadata::idp::{Binding, Endpoint};
use super::metadata::sp::SpMetadata;
use super::response::{self, Expected, Origin};
use super::{
    Facts, FlowSecrets, Outgoing, SamlError, SamlIdp, Sp, VerifiedAssertion, VerifiedResponse,
    attributes,
};
use crate::config::{self, NameIdFormat, SamlConfig, SamlSource};
use crate::keys::saml::{KeyError, SpKey};

/// Bytes of a response.
const XML_LIMIT: usize = 1024 * 1024;

/// How long a response waits for its turn to be verified.
const PATIENCE: Duration = Duration::from_secs(2);

/// What a sign-in asks of the IdP.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// From [`FlowSecrets::generate`].
    pub flow: &'a FlowSecrets,
    /// Where the answer is to be posted.
    pub acs: &'a str,
    /// The e-mail address that was typed.
    pub login_hint: Option<&'a str>,
    /// Whether the person wants to choose another account: then the IdP asks for the password anew.
    pub other_account: bool,
}

impl FlowSecrets {
    /// New random ones.
    ///
    /// # Errors
    /// [`SamlError::Internal`] without random numbers.
    pub fn generate() -> Result<Self, SamlError> {
        let (mut id, mut key) = ([0; 16], [0; 32]);
        rand::fill(&mut id)
            .and_then(|()| rand::fill(&mut key))
            .map_err(|_| SamlError::Internal("no random numbers".to_owned()))?;
        let id = uuid::Uuid::from_bytes(id).simple();
        Ok(Self {
            // An NCName may not begin with a digit (SAML Core 1.3.4).
            request_id: format!("_{id}"),
            relay_state: URL_SAFE_NO_PAD.encode(key),
        })
    }
}

impl From<KeyError> for SamlError {
    fn from(error: KeyError) -> Self {
        Self::Internal(error.to_string())
    }
}

impl SamlIdp {
    /// Whether sign-ins that begin at the IdP are taken.
    pub fn takes_unsolicited(&self) -> bool {
        self.saml.idp_initiated
    }

    /// The way to the IdP with an `AuthnRequest` (SAML Profiles 4.1.4.1).
    ///
    /// # Errors
    /// [`SamlError::Unavailable`] without metadata, [`SamlError::Internal`] if our key does not sign.
    pub async fn begin(&self, asked: Asked<'_>, now: Timestamp) -> Result<Outgoing, SamlError> {
        let metadata = self.metadata.current(now).await?;
        let Some(endpoint) = metadata.sso(Binding::from(self.saml.binding)) else {
            let why = "its metadata has no single sign-on service that usher can use";
            return Err(SamlError::Unavailable(why.to_owned()));
        };
        let request = AuthnRequest {
            id: &asked.flow.request_id,
            issuer: &self.sp.entity_id,
            destination: endpoint.location.as_str(),
            acs: asked.acs,
            now,
            force_authn: asked.other_account,
            config: &self.saml,
        };
        let signs = self.saml.sign_requests || metadata.wants_signed_requests;
        let key = signs.then(|| self.sp.keys.signer());
        let relay_state = Some(asked.flow.relay_state.as_str());
        let to = match asked.login_hint {
            Some(hint) => with_login_hint(&endpoint.location, hint),
            None => endpoint.location.clone(),
        };
        let write = |key: Option<&SpKey>| request.to_xml(key);
        let way = binding::encode(
            endpoint.binding,
            &to,
            Message::Request,
            relay_state,
            key,
            write,
        )?;
        Ok(way)
    }

    /// Verifies what was posted to the assertion consumer service at `acs`. Whether it was posted before is for the caller to
    /// see to, by [`Facts::assertion_id`].
    ///
    /// # Errors
    /// See [`SamlError`].
    pub async fn redeem(
        &self,
        saml_response: &str,
        acs: &str,
        origin: Origin<'_>,
        now: Timestamp,
    ) -> Result<VerifiedResponse, SamlError> {
        let xml = post::decode(saml_response, XML_LIMIT).map_err(SamlError::Malformed)?;
        let work = Work {
            config: Arc::clone(&self.config),
            saml: Arc::clone(&self.saml),
            sp: self.sp.clone(),
            acs: acs.to_owned(),
            in_response_to: match origin {
                Origin::Requested(id) => Some(id.to_owned()),
                Origin::Unsolicited => None,
            },
            xml,
            now,
        };
        match self.verified(now, move |metadata| work.run(metadata)).await {
            Err(SamlError::Invalid(refused)) if refused.check == Check::Status => {
                Err(SamlError::Denied(refused.detail))
            }
            verified => verified,
        }
    }

    /// Verifies by the IdP's metadata; if the signature is of no key in it, once more by what the IdP publishes now, as it may
    /// sign with a key that is new.
    pub(super) async fn verified<T: Send + 'static>(
        &self,
        now: Timestamp,
        verify: impl Fn(&IdpMetadata) -> Result<T, SamlError> + Send + Sync + 'static,
    ) -> Result<T, SamlError> {
        let metadata = self.metadata.current(now).await?;
        let verify = Arc::new(verify);
        let again = Arc::clone(&verify);
        let first = self.in_turn(move || verify(&metadata)).await;
        if !failed_at(&first, Check::Signature) {
            return first;
        }
        match self.metadata.refresh_for_unknown_key(now).await {
            Some(newer) => self.in_turn(move || again(&newer)).await,
            None => first,
        }
    }

    /// Runs `work` on a thread that may be busy for some milliseconds; only so many at once, and none that waits for long.
    /// The turn ends with the work, also when nobody waits for it any more.
    async fn in_turn<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, SamlError> + Send + 'static,
    ) -> Result<T, SamlError> {
        let turn = Arc::clone(&self.permits).acquire_owned();
        let permit = match tokio::time::timeout(PATIENCE, turn).await {
            Ok(Ok(permit)) => permit,
            Ok(Err(_)) | Err(_) => return Err(SamlError::Busy),
        };
        let done = tokio::task::spawn_blocking(move || {
            let done = work();
            drop(permit);
            done
        });
        done.await
            .map_err(|error| SamlError::Internal(error.to_string()))?
    }

    /// usher's own metadata for this IdP, with the URLs of every site.
    ///
    /// # Errors
    /// [`SamlError::Internal`] if our key does not sign.
    pub fn sp_metadata(&self, acs: &[String], slo: &[String]) -> Result<String, SamlError> {
        let known = self.metadata.known();
        let wanted = known.is_some_and(|metadata| metadata.wants_signed_requests);
        let formats: Vec<&str> = self.name_id_formats().iter().map(|one| one.uri()).collect();
        let metadata = SpMetadata {
            entity_id: &self.sp.entity_id,
            acs,
            slo,
            requests_signed: self.saml.sign_requests || wanted,
            name_id_formats: &formats,
            keys: &self.sp.keys,
        };
        Ok(metadata.to_xml()?)
    }

    /// The one that is asked for, else those that do.
    fn name_id_formats(&self) -> Vec<NameIdFormat> {
        match self.saml.name_id_format {
            Some(format) => vec![format],
            None => {
                let mut formats = vec![
                    NameIdFormat::Persistent,
                    NameIdFormat::Email,
                    NameIdFormat::Unspecified,
                ];
                if self.saml.attributes.subject.is_some() {
                    formats.push(NameIdFormat::Transient);
                }
                formats
            }
        }
    }

    /// Origins that a form may lead to on the way to the IdP. Until its metadata is known: where that comes from, as most
    /// IdPs publish it beside their endpoints.
    pub fn origins(&self) -> Vec<String> {
        let origin = |url: &Url| url.origin().ascii_serialization();
        let mut origins: Vec<String> = match (self.metadata.known(), &self.saml.source) {
            (Some(metadata), _) => {
                let all = metadata.sso.iter().chain(&metadata.slo);
                all.map(|Endpoint { location, .. }| origin(location))
                    .collect()
            }
            (None, SamlSource::Url { url, .. }) => vec![origin(url)],
            (None, SamlSource::File { .. } | SamlSource::Given { .. }) => Vec::new(),
        };
        origins.sort_unstable();
        origins.dedup();
        origins
    }
}

fn failed_at<T>(verified: &Result<T, SamlError>, check: Check) -> bool {
    matches!(verified, Err(SamlError::Invalid(refused)) if refused.check == check)
}

/// One response to verify, with all that it is compared with but the metadata.
struct Work {
    config: Arc<config::Idp>,
    saml: Arc<SamlConfig>,
    sp: Sp,
    acs: String,
    in_response_to: Option<String>,
    xml: Vec<u8>,
    now: Timestamp,
}

impl Work {
    fn run(&self, metadata: &IdpMetadata) -> Result<VerifiedResponse, SamlError> {
        let expected = Expected {
            idp: &metadata.entity_id,
            certificates: &metadata.certificates,
            sp: &self.sp.entity_id,
            acs: &self.acs,
            origin: match &self.in_response_to {
                Some(id) => Origin::Requested(id),
                None => Origin::Unsolicited,
            },
            keys: &self.sp.keys,
            authenticated_within: response::authenticated_within(&self.saml),
            authn_context: &self.saml.authn_context,
            now: self.now,
        };
        let assertion = response::verify(&self.xml, &expected, &mut Steps::default())?;
        let facts = self.facts(&assertion)?;
        Ok(VerifiedResponse {
            facts,
            attributes: assertion.attributes,
        })
    }

    fn facts(&self, assertion: &VerifiedAssertion) -> Result<Facts, Refused> {
        let names = &self.saml.attributes;
        let subject = attributes::subject(assertion, names, &self.config.id)?;
        let mut said = attributes::map(assertion, names)?;
        let scim = self.config.scim.as_ref();
        said.directory_key = attributes::directory_key(assertion, scim, &subject)?;
        Ok(Facts {
            subject,
            attributes: said,
            authenticated_at: assertion.authenticated_at(),
            acr: assertion.authn_context().map(str::to_owned),
            idp_session: assertion.session_index().map(str::to_owned),
            name_id: assertion.name_id().clone(),
            session_ends_at: assertion.session_ends_at(),
            assertion_id: assertion.id().to_owned(),
            valid_until: assertion.valid_until(),
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn ids_and_relay_states_are_random_and_of_the_agreed_form() {
        let one = FlowSecrets::generate().unwrap();
        let other = FlowSecrets::generate().unwrap();
        assert_ne!(one.request_id, other.request_id);
        assert_ne!(one.relay_state, other.relay_state);
        let digits = one.request_id.strip_prefix('_').unwrap();
        assert!(digits.len() == 32 && digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
        assert_eq!(one.relay_state.len(), 43);
        assert_eq!(format!("{one:?}"), "[secret]");
    }
}
