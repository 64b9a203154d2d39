//! The POST binding (SAML Bindings 3.5): base64 of the XML in a form field.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use url::Url;

use super::{Message, Outgoing};

/// The XML of a field. White space between base64 characters is passed over, as mail-like encoders break lines.
///
/// # Errors
/// A sentence for the log, if it is no base64 or decodes to more than `limit` bytes.
pub fn decode(field: &str, limit: usize) -> Result<Vec<u8>, String> {
    let text: Vec<u8> = field
        .bytes()
        .filter(|byte| !matches!(byte, b' ' | b'\t' | b'\r' | b'\n'))
        .collect();
    // Four characters carry three bytes, two of which may be padding.
    if text.len() / 4 * 3 > limit.saturating_add(2) {
        return Err(format!("the message has more than {limit} bytes"));
    }
    let xml = STANDARD
        .decode(&text)
        .map_err(|_| "the message is not base64".to_owned())?;
    if xml.len() > limit {
        return Err(format!("the message has more than {limit} bytes"));
    }
    if xml.is_empty() {
        return Err("the message is empty".to_owned());
    }
    Ok(xml)
}

/// The form for a signed message. Its values are not yet escaped for HTML.
pub fn encode(to: &Url, message: Message, xml: &str, relay_state: Option<&str>) -> Outgoing {
    let mut fields = vec![(message.parameter(), STANDARD.encode(xml))];
    if let Some(state) = relay_state {
        fields.push(("RelayState", state.to_owned()));
    }
    Outgoing::Post {
        action: to.clone(),
        fields,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use super::*;

    #[test]
    fn what_is_encoded_is_decoded() {
        let to = Url::parse("https://login.globex.example/sso?tenant=7").unwrap();
        let xml = "<a>\u{e4}\"&</a>";
        let Outgoing::Post { action, fields } =
            encode(&to, Message::Request, xml, Some("\"><script>"))
        else {
            panic!("not a form");
        };
        assert_eq!(action, to);
        assert_eq!(fields[1], ("RelayState", "\"><script>".to_owned()));
        let (name, value) = &fields[0];
        assert_eq!(*name, "SAMLRequest");
        assert_eq!(decode(value, 100).unwrap(), xml.as_bytes());
    }

    #[test]
    fn a_message_without_relay_state_has_one_field() {
        let to = Url::parse("https://login.globex.example/slo").unwrap();
        let Outgoing::Post { fields, .. } = encode(&to, Message::Response, "<a/>", None) else {
            panic!("not a form");
        };
        assert_eq!(fields, [("SAMLResponse", "PGEvPg==".to_owned())]);
    }

    #[test]
    fn lines_may_be_broken() {
        assert_eq!(decode("PG\r\nEv\n Pg\t==\n", 100).unwrap(), b"<a/>");
    }

    #[test]
    fn refuses_what_is_no_base64() {
        for field in [
            "PGEvPg",
            "PGEvPg=",
            "PGEv-_==",
            "PGEvPh==x",
            "%3Ca",
            "PG\u{a0}EvPg==",
        ] {
            assert_eq!(decode(field, 100).unwrap_err(), "the message is not base64");
        }
        // Bits beyond the last byte must be zero: one message has one spelling.
        decode("PGEvPh==", 100).unwrap_err();
        decode("", 100).unwrap_err();
    }

    #[test]
    fn refuses_more_bytes_than_the_limit() {
        for (bytes, fits) in [
            (5, true),
            (6, true),
            (7, false),
            (8, false),
            (9, false),
            (99, false),
        ] {
            let field = STANDARD.encode(vec![b'x'; bytes]);
            assert_eq!(decode(&field, 6).is_ok(), fits, "{bytes}");
        }
    }
}
