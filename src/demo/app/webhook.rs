//! Verifying a call of the provisioning callback, as Standard Webhooks 1.0 describes it.

use aws_lc_rs::hmac;
use axum::http::HeaderMap;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// How far the sender's clock may be off, in seconds.
const TOLERANCE: i64 = 300;

/// Why a call is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum WebhookError {
    #[error("a webhook header is missing or malformed")]
    Headers,
    #[error("the timestamp is too old or too new")]
    Timestamp,
    #[error("no signature fits")]
    Signature,
}

/// The secret that usher and the app share.
#[derive(Clone)]
pub(super) struct WebhookKey(hmac::Key);

impl WebhookKey {
    /// Reads `whsec_<base64 of 24 to 64 bytes>`.
    pub(super) fn parse(secret: &str) -> Option<Self> {
        let bytes = STANDARD.decode(secret.strip_prefix("whsec_")?).ok()?;
        (24..=64)
            .contains(&bytes.len())
            .then(|| WebhookKey(hmac::Key::new(hmac::HMAC_SHA256, &bytes)))
    }

    /// The `webhook-id` of a call that is authentic and fresh. `now` is in seconds.
    pub(super) fn verify(
        &self,
        headers: &HeaderMap,
        body: &[u8],
        now: i64,
    ) -> Result<String, WebhookError> {
        let header = |name: &str| {
            let value = headers.get(name).and_then(|value| value.to_str().ok());
            value.ok_or(WebhookError::Headers)
        };
        let id = header("webhook-id")?;
        let timestamp = header("webhook-timestamp")?;
        let sent: i64 = timestamp.parse().map_err(|_| WebhookError::Headers)?;
        let mut signed = format!("{id}.{timestamp}.").into_bytes();
        signed.extend_from_slice(body);
        let fits = header("webhook-signature")?
            .split(' ')
            .filter_map(|part| part.strip_prefix("v1,"))
            .filter_map(|encoded| STANDARD.decode(encoded).ok())
            .any(|tag| hmac::verify(&self.0, &signed, &tag).is_ok());
        if !fits {
            return Err(WebhookError::Signature);
        }
        if now.saturating_sub(sent).saturating_abs() > TOLERANCE {
            return Err(WebhookError::Timestamp);
        }
        Ok(id.to_owned())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    /// The example of the Standard Webhooks specification's reference libraries.
    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const BODY: &[u8] = br#"{"test": 2432232314}"#;
    const SENT: i64 = 1_614_265_330;

    fn headers(signature: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(
            "webhook-id",
            "msg_p5jXN8AQM9LWM0D4loKWxJek".parse().unwrap(),
        );
        headers.insert("webhook-timestamp", SENT.to_string().parse().unwrap());
        headers.insert("webhook-signature", signature.parse().unwrap());
        headers
    }

    #[test]
    fn accepts_the_signature_of_the_specification_also_among_others() {
        let key = WebhookKey::parse(SECRET).unwrap();
        let right = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
        let id = key.verify(&headers(right), BODY, SENT + 299);
        assert_eq!(id.unwrap(), "msg_p5jXN8AQM9LWM0D4loKWxJek");
        let several = format!("v1,AAAA {right}");
        assert!(key.verify(&headers(&several), BODY, SENT).is_ok());
    }

    #[test]
    fn refuses_another_body_an_old_timestamp_and_a_missing_header() {
        let key = WebhookKey::parse(SECRET).unwrap();
        let right = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
        let other = key.verify(&headers(right), b"{}", SENT);
        assert_eq!(other, Err(WebhookError::Signature));
        let old = key.verify(&headers(right), BODY, SENT + 301);
        assert_eq!(old, Err(WebhookError::Timestamp));
        let mut without = headers(right);
        without.remove("webhook-id");
        assert_eq!(key.verify(&without, BODY, SENT), Err(WebhookError::Headers));
        assert!(WebhookKey::parse("whsec_AAAA").is_none());
    }
}
