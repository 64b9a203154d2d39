//! The POST binding (SAML Bindings 3.5): base64 of the XML in a form field.

use super::Message;
use super::Outgoing;
use url::Url;

/// The XML of a field. White space between base64 characters is passed over, as mail-like encoders break lines.
///
/// # Errors
/// A sentence for the log, if it is no base64 or decodes to more than `limit` bytes.
pub fn decode(_field: &str, _limit: usize) -> Result<Vec<u8>, String> {
    todo!()
}

/// The form for a signed message.
pub fn encode(_to: &Url, _message: Message, _xml: &str, _relay_state: Option<&str>) -> Outgoing {
    todo!()
}
