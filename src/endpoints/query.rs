//! Parameters of a query or form, each at most once.

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::request::Parts;

use crate::refusal::{Reason, Refusal};

/// Decoded parameters; a name that comes twice is refused when it is asked for.
#[derive(Debug)]
pub(super) struct Parameters(Vec<(String, String)>);

impl Parameters {
    /// Of the query.
    pub(super) fn of_query(parts: &Parts) -> Self {
        Self::parse(parts.uri.query().unwrap_or_default().as_bytes())
    }

    /// Of a form body.
    ///
    /// # Errors
    /// `BadRequest` if the body is no form.
    pub(super) fn of_form(parts: &Parts, body: &Bytes) -> Result<Self, Refusal> {
        let kind = parts
            .headers
            .get(CONTENT_TYPE)
            .and_then(|kind| kind.to_str().ok())
            .unwrap_or_default();
        let essence = kind.split(';').next().unwrap_or_default().trim();
        if !essence.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
            return Err(Refusal::new(Reason::BadRequest, "the body is not a form"));
        }
        Ok(Self::parse(body))
    }

    fn parse(text: &[u8]) -> Self {
        Self(url::form_urlencoded::parse(text).into_owned().collect())
    }

    /// The value of a parameter.
    ///
    /// # Errors
    /// `BadRequest` if it comes more than once (RFC 6749 3.1).
    pub(super) fn one(&self, name: &str) -> Result<Option<&str>, Refusal> {
        let mut values = self
            .0
            .iter()
            .filter(|(known, _)| known == name)
            .map(|(_, value)| value.as_str());
        let first = values.next();
        match values.next() {
            None => Ok(first),
            Some(_) => Err(Refusal::new(
                Reason::BadRequest,
                format!("the parameter {name} comes twice"),
            )),
        }
    }
}
