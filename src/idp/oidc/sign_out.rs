//! RP-Initiated Logout 1.0, and the origins that a form of ours may lead to.

use std::time::Duration;

use url::Url;

use super::OidcIdp;
use crate::secret::Secret;

/// A sign-out waits no longer for metadata.
const WITHIN: Duration = Duration::from_secs(2);
/// Bytes of a hint; a longer one would make a URL that servers refuse, and `client_id` does as well.
const HINT: usize = 4096;

impl OidcIdp {
    pub(super) async fn build_sign_out_url(
        &self,
        id_token: Option<&Secret>,
        post_logout_redirect_uri: &Url,
        state: &str,
    ) -> Option<Url> {
        let metadata = tokio::time::timeout(WITHIN, self.metadata())
            .await
            .ok()?
            .ok()?;
        let mut url = metadata.value.end_session_endpoint.clone()?;
        let mut query = url.query_pairs_mut();
        if let Some(hint) = id_token
            .map(Secret::expose)
            .filter(|hint| hint.len() <= HINT)
        {
            query.append_pair("id_token_hint", hint);
        }
        query
            .append_pair("client_id", &self.oidc.client_id)
            .append_pair(
                "post_logout_redirect_uri",
                post_logout_redirect_uri.as_str(),
            )
            .append_pair("state", state);
        drop(query);
        Some(url)
    }

    pub(super) fn form_origins(&self) -> Vec<String> {
        let metadata = self.metadata.last_good();
        let known = metadata.as_ref().map(|entry| &entry.value);
        let urls = [
            Url::parse(&self.oidc.issuer).ok(),
            known.map(|metadata| metadata.authorization_endpoint.clone()),
            known.and_then(|metadata| metadata.end_session_endpoint.clone()),
        ];
        let mut origins = Vec::new();
        for url in urls.into_iter().flatten() {
            let origin = url.origin().ascii_serialization();
            if !origins.contains(&origin) {
                origins.push(origin);
            }
        }
        origins
    }
}
