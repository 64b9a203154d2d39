//! A captured response in whatever form somebody had it at hand: XML, base64, a posted form, a query or a whole URL.

use url::form_urlencoded;

use crate::idp::saml::binding::{Message, post, redirect};

/// Bytes of a response.
const LIMIT: usize = 1024 * 1024;

/// The XML that was found, and in what.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Capture {
    pub(super) xml: Vec<u8>,
    pub(super) found_in: &'static str,
}

/// Looks for a response in the bytes of a file.
///
/// # Errors
/// A sentence: why there is none.
pub(super) fn read(bytes: &[u8]) -> Result<Capture, String> {
    let text = String::from_utf8_lossy(bytes);
    let text = text.trim_start_matches('\u{feff}').trim();
    if text.starts_with('<') {
        // As it stands: what is wrong with its bytes is for the verification to say.
        return Ok(Capture {
            xml: bytes.trim_ascii().to_vec(),
            found_in: "XML",
        });
    }
    let query = match text.split_once('?') {
        Some((before, query)) if before.contains("://") || before.starts_with('/') => query,
        Some(_) | None => text,
    };
    let query = query.split_once('#').map_or(query, |(query, _)| query);
    if query.contains("SAMLResponse=") {
        return of_parameters(query);
    }
    let xml = post::decode(text, LIMIT).map_err(|why| {
        format!("it is no XML, no form with a SAMLResponse, and no base64: {why}")
    })?;
    Ok(Capture {
        xml,
        found_in: "base64",
    })
}

/// Of a form body or a query. In a query of the Redirect binding the XML is deflated.
fn of_parameters(query: &str) -> Result<Capture, String> {
    let mut fields = form_urlencoded::parse(query.as_bytes())
        .filter(|(name, _)| name == Message::Response.parameter());
    let (Some((_, field)), None) = (fields.next(), fields.next()) else {
        return Err("there are several SAMLResponse parameters".to_owned());
    };
    // Some tools copy a form as it stands, where `+` is no space.
    let field = field.replace(' ', "+");
    let posted = post::decode(&field, LIMIT)?;
    if posted.trim_ascii_start().starts_with(b"<") || posted.starts_with("\u{feff}".as_bytes()) {
        return Ok(Capture {
            xml: posted,
            found_in: "a form",
        });
    }
    let received = redirect::decode(query)?;
    Ok(Capture {
        xml: received.xml,
        found_in: "a query",
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::demo::saml::{encode_base64, form, percent_encode, redirect_query};

    const XML: &str = "<a>é</a>";

    fn found(text: &str) -> (&'static str, String) {
        let capture = read(text.as_bytes()).unwrap();
        (capture.found_in, String::from_utf8(capture.xml).unwrap())
    }

    #[test]
    fn reads_a_response_in_every_form_it_is_captured_in() {
        let base64 = encode_base64(XML.as_bytes());
        let lines = base64
            .as_bytes()
            .chunks(5)
            .map(|line| String::from_utf8_lossy(line).into_owned())
            .collect::<Vec<_>>()
            .join("\r\n");
        let posted = form("SAMLResponse", XML.as_bytes(), Some("r"));
        let query = redirect_query("SAMLResponse", XML, Some("r"), None).unwrap();
        for (text, found_in) in [
            (XML.to_owned(), "XML"),
            (format!("\n  {XML}\n"), "XML"),
            (base64.clone(), "base64"),
            (format!("{lines}\n"), "base64"),
            (posted.clone(), "a form"),
            (format!("RelayState=x&SAMLResponse={base64}"), "a form"),
            (
                format!("SAMLResponse={}", percent_encode(&base64)),
                "a form",
            ),
            (query.clone(), "a query"),
            (
                format!("https://wiki.example/_usher/acs?{query}#x"),
                "a query",
            ),
        ] {
            assert_eq!(found(&text), (found_in, XML.to_owned()), "{text}");
        }
    }

    #[test]
    fn says_why_it_finds_no_response() {
        for text in [
            "",
            "no response!",
            "SAMLRequest=x",
            "SAMLResponse=a&SAMLResponse=b",
            "SAMLResponse=%%%",
        ] {
            assert!(read(text.as_bytes()).is_err(), "{text}");
        }
    }
}
