//! What a form or a query says.

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use memchr::memmem;

use super::{Stop, bad};

/// Fields in their order.
#[derive(Debug, Default)]
pub(super) struct Fields(Vec<(String, String)>);

impl Fields {
    pub(super) fn of_query(parts: &Parts) -> Self {
        Self::of_urlencoded(parts.uri.query().unwrap_or_default().as_bytes())
    }

    fn of_urlencoded(text: &[u8]) -> Self {
        Self(url::form_urlencoded::parse(text).into_owned().collect())
    }

    /// Of a form, with a file or without.
    pub(super) fn of_body(parts: &Parts, body: &Bytes) -> Result<Self, Stop> {
        let kind = parts.headers.get(CONTENT_TYPE);
        let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let (essence, rest) = kind.split_once(';').unwrap_or((kind, ""));
        match essence.trim().to_ascii_lowercase().as_str() {
            "application/x-www-form-urlencoded" => Ok(Self::of_urlencoded(body)),
            "multipart/form-data" => {
                let boundary = boundary(rest).ok_or_else(|| bad("the form has no boundary"))?;
                multipart(body, boundary)
                    .map(Self)
                    .ok_or_else(|| bad("the form is cut off"))
            }
            _ => Err(bad("the body is not a form")),
        }
    }

    /// The first field of that name.
    pub(super) fn first(&self, name: &str) -> Option<&str> {
        let mut fields = self.0.iter().filter(|(known, _)| known == name);
        fields.next().map(|(_, value)| value.as_str())
    }

    /// The first field of that name without space around it, unless nothing is left.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        let text = self.first(name).map(str::trim);
        text.filter(|text| !text.is_empty())
    }

    /// All fields of that name.
    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0
            .iter()
            .filter(move |(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }
}

/// The parameter `boundary`, quoted or not.
fn boundary(parameters: &str) -> Option<&str> {
    parameters.split(';').find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        let value = value.trim().trim_matches('"');
        (name.trim().eq_ignore_ascii_case("boundary") && !value.is_empty()).then_some(value)
    })
}

/// The parts of a form with files (RFC 7578), each as text; none where it is cut off.
fn multipart(body: &[u8], boundary: &str) -> Option<Vec<(String, String)>> {
    let delimiter = format!("--{boundary}");
    let between = format!("\r\n{delimiter}");
    let mut rest = body.strip_prefix(delimiter.as_bytes())?;
    let mut fields = Vec::new();
    loop {
        if rest.starts_with(b"--") {
            return Some(fields);
        }
        let part = rest.strip_prefix(b"\r\n")?;
        let end = memmem::find(part, between.as_bytes())?;
        let (part, after) = part.split_at_checked(end)?;
        rest = after.get(between.len()..)?;
        let head_end = memmem::find(part, b"\r\n\r\n")?;
        let (head, content) = part.split_at_checked(head_end)?;
        let head = String::from_utf8_lossy(head);
        if let Some(name) = field_name(&head) {
            let content = content.get(4..).unwrap_or_default();
            fields.push((name, String::from_utf8_lossy(content).into_owned()));
        }
    }
}

fn field_name(head: &str) -> Option<String> {
    let line = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-disposition")
            .then_some(value)
    })?;
    line.split(';').skip(1).find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        (name.trim() == "name").then(|| value.trim().trim_matches('"').to_owned())
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn form(kind: &str, body: &str) -> Option<Fields> {
        let request = http::Request::post("/").header(CONTENT_TYPE, kind);
        let (parts, ()) = request.body(()).unwrap().into_parts();
        Fields::of_body(&parts, &Bytes::from(body.to_owned())).ok()
    }

    #[test]
    fn reads_a_form_with_a_file() {
        let body = "--xyz\r\nContent-Disposition: form-data; name=\"csrf\"\r\n\r\ntoken\r\n--xyz\r\n\
                    Content-Disposition: form-data; name=\"file\"; filename=\"a.csv\"\r\nContent-Type: text/csv\r\n\r\n\
                    email\r\n--not-it\r\nann@acme.example\r\n--xyz--\r\n";
        let form = form("multipart/form-data; boundary=\"xyz\"", body).unwrap();
        assert_eq!(form.first("csrf"), Some("token"));
        assert_eq!(
            form.first("file"),
            Some("email\r\n--not-it\r\nann@acme.example")
        );
    }

    #[test]
    fn refuses_what_is_cut_off_and_what_is_no_form() {
        let whole = "--b\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--b--";
        for length in 0..whole.len() - 2 {
            let cut = whole.get(..length).unwrap();
            assert!(
                form("multipart/form-data; boundary=b", cut).is_none(),
                "{cut:?}"
            );
        }
        assert!(form("multipart/form-data; boundary=b", whole).is_some());
        assert!(form("multipart/form-data", whole).is_none());
        assert!(form("application/json", "{}").is_none());
        assert!(form("text/plain", "a=1").is_none());
    }

    #[test]
    fn takes_several_values_and_drops_space() {
        let form = form(
            "application/x-www-form-urlencoded",
            "role=a&role=b&why=+x+&none=+",
        )
        .unwrap();
        assert_eq!(form.all("role").collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(form.text("why"), Some("x"));
        assert_eq!(form.text("none"), None);
    }
}
