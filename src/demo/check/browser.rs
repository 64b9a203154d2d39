//! A browser in little: navigations with a cookie jar, redirects followed one by one, and a form.

use std::time::Duration;

use cookie::Cookie;
use reqwest::header::{COOKIE, HeaderMap, LOCATION, SET_COOKIE};
use reqwest::{Method, StatusCode};
use url::Url;

use crate::demo::loopback_client;

/// More redirects in a row than a sign-in needs.
const MOST_HOPS: usize = 12;

pub(super) struct Browser {
    http: reqwest::Client,
    jar: Vec<Stored>,
}

/// A cookie of one host. Ports do not count, as in RFC 6265 section 8.5.
struct Stored {
    host: String,
    path: String,
    name: String,
    value: String,
}

/// What a navigation ended at.
pub(super) struct Page {
    pub(super) url: Url,
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: String,
    /// How many redirects led here.
    pub(super) hops: usize,
}

impl Browser {
    pub(super) fn new() -> Result<Self, String> {
        let http = loopback_client(Duration::from_secs(20))?;
        Ok(Browser {
            http,
            jar: Vec::new(),
        })
    }

    /// Opens a page as typed into the address bar, without following a redirect.
    pub(super) async fn open(&mut self, url: Url) -> Result<Page, String> {
        self.hop(Method::GET, url, "none", None).await
    }

    /// Opens a page and goes where it leads. `from`: the page whose link was clicked.
    pub(super) async fn follow(&mut self, url: Url, from: Option<&Url>) -> Result<Page, String> {
        self.chain(Method::GET, url, from, None).await
    }

    /// Sends a form from the page it is on, and goes where that leads.
    pub(super) async fn submit(
        &mut self,
        to: Url,
        from: &Url,
        fields: &[(String, String)],
    ) -> Result<Page, String> {
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        let body = form.extend_pairs(fields).finish();
        self.chain(Method::POST, to, Some(from), Some(body)).await
    }

    /// Asks as a script does: no navigation.
    pub(super) async fn fetch(&mut self, url: Url) -> Result<Page, String> {
        let request = self.http.get(url.clone()).header("sec-fetch-mode", "cors");
        let request = request
            .header("sec-fetch-site", "same-origin")
            .header("accept", "application/json");
        self.send(request, url, 0).await
    }

    async fn chain(
        &mut self,
        method: Method,
        url: Url,
        from: Option<&Url>,
        body: Option<String>,
    ) -> Result<Page, String> {
        // As the Fetch Metadata specification has it: a chain that once was cross-site stays so.
        let mut site = from.map_or("none", |from| relation(from, &url));
        let mut page = self.hop(method, url, site, body).await?;
        for hops in 1..=MOST_HOPS {
            let Some(to) = page.redirect()? else {
                return Ok(page);
            };
            if let Some(from) = from {
                let next = relation(from, &to);
                site = if site == "same-origin" { next } else { site };
            }
            page = Page {
                hops,
                ..self.hop(Method::GET, to, site, None).await?
            };
        }
        Err(format!(
            "more than {MOST_HOPS} redirects, the last to {}",
            without_query(&page.url)
        ))
    }

    async fn hop(
        &mut self,
        method: Method,
        url: Url,
        site: &str,
        form: Option<String>,
    ) -> Result<Page, String> {
        let mut request = self
            .http
            .request(method, url.clone())
            .header("accept", "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8")
            .header("sec-fetch-mode", "navigate")
            .header("sec-fetch-dest", "document")
            .header("sec-fetch-user", "?1")
            .header("sec-fetch-site", site);
        if let Some(form) = form {
            request = request
                .header("content-type", "application/x-www-form-urlencoded")
                .header("origin", url.origin().ascii_serialization())
                .body(form);
        }
        self.send(request, url, 0).await
    }

    async fn send(
        &mut self,
        request: reqwest::RequestBuilder,
        url: Url,
        hops: usize,
    ) -> Result<Page, String> {
        let cookies = self.cookies(&url);
        let request = if cookies.is_empty() {
            request
        } else {
            request.header(COOKIE, cookies)
        };
        let failed = |why: reqwest::Error| format!("{}: {}", without_query(&url), root_cause(&why));
        let answer = request.send().await.map_err(failed)?;
        let (status, headers) = (answer.status(), answer.headers().clone());
        let body = answer.text().await.map_err(failed)?;
        for line in headers.get_all(SET_COOKIE) {
            self.store(&url, line.to_str().unwrap_or_default());
        }
        Ok(Page {
            url,
            status,
            headers,
            body,
            hops,
        })
    }

    fn cookies(&self, url: &Url) -> String {
        let host = url.host_str().unwrap_or_default();
        let fits = |stored: &&Stored| stored.host == host && under(url.path(), &stored.path);
        let fitting = self.jar.iter().filter(fits);
        let pairs: Vec<String> = fitting
            .map(|one| format!("{}={}", one.name, one.value))
            .collect();
        pairs.join("; ")
    }

    fn store(&mut self, url: &Url, line: &str) {
        let Ok(cookie) = Cookie::parse(line) else {
            return;
        };
        let host = url.host_str().unwrap_or_default().to_owned();
        let path = cookie.path().unwrap_or("/").to_owned();
        self.jar
            .retain(|old| old.host != host || old.path != path || old.name != cookie.name());
        // usher and the demo's IdP end a cookie by Max-Age.
        let ended = cookie.max_age().is_some_and(|age| age.whole_seconds() <= 0);
        if !ended {
            let (name, value) = (cookie.name().to_owned(), cookie.value().to_owned());
            self.jar.push(Stored {
                host,
                path,
                name,
                value,
            });
        }
    }
}

impl Page {
    /// Where a redirect leads; `None` where this is a page.
    pub(super) fn redirect(&self) -> Result<Option<Url>, String> {
        if !matches!(self.status.as_u16(), 301 | 302 | 303 | 307 | 308) {
            return Ok(None);
        }
        let to = self
            .headers
            .get(LOCATION)
            .and_then(|value| value.to_str().ok());
        let to = to.and_then(|to| self.url.join(to).ok());
        to.map(Some)
            .ok_or_else(|| format!("{}: a redirect to nowhere", without_query(&self.url)))
    }

    /// The hidden fields of the page's form.
    pub(super) fn hidden_fields(&self) -> Vec<(String, String)> {
        let inputs = self.body.split("<input type=\"hidden\" ").skip(1);
        inputs
            .filter_map(|input| {
                let (tag, _) = input.split_once('>')?;
                Some((attribute(tag, "name")?, attribute(tag, "value")?))
            })
            .collect()
    }
}

fn attribute(tag: &str, name: &str) -> Option<String> {
    let (_, rest) = tag.split_once(&format!("{name}=\""))?;
    Some(unescaped(rest.split_once('"')?.0))
}

/// Undoes the numeric references that the page's templates write.
fn unescaped(text: &str) -> String {
    let pairs = [
        ("&#34;", "\""),
        ("&#39;", "'"),
        ("&#60;", "<"),
        ("&#62;", ">"),
        ("&#38;", "&"),
    ];
    pairs
        .iter()
        .fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
}

fn relation(from: &Url, to: &Url) -> &'static str {
    if from.origin() == to.origin() {
        return "same-origin";
    }
    if from.host() == to.host() {
        "same-site"
    } else {
        "cross-site"
    }
}

/// RFC 6265 section 5.1.4.
fn under(path: &str, parent: &str) -> bool {
    match path.strip_prefix(parent) {
        Some(rest) => rest.is_empty() || parent.ends_with('/') || rest.starts_with('/'),
        None => false,
    }
}

/// A URL for a message: codes and states stand in the query.
pub(super) fn without_query(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.into()
}

fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn keeps_cookies_by_host_and_path_until_they_end() {
        rustls::crypto::aws_lc_rs::default_provider()
            .install_default()
            .ok();
        let mut browser = Browser::new().unwrap();
        let app = Url::parse("http://localhost:4180/").unwrap();
        browser.store(&app, "usher=1; Path=/; HttpOnly");
        browser.store(&app, "state=2; Path=/_usher");
        assert_eq!(browser.cookies(&app), "usher=1");
        assert_eq!(
            browser.cookies(&app.join("/_usher/me").unwrap()),
            "usher=1; state=2"
        );
        assert_eq!(browser.cookies(&app.join("/_usherx").unwrap()), "usher=1");
        assert_eq!(
            browser.cookies(&Url::parse("http://127.0.0.1:4180/").unwrap()),
            ""
        );
        browser.store(&app, "usher=; Path=/; Max-Age=0");
        assert_eq!(browser.cookies(&app), "");
    }

    #[test]
    fn reads_the_hidden_fields_of_a_form() {
        let page = Page {
            url: Url::parse("http://localhost/").unwrap(),
            status: StatusCode::OK,
            headers: HeaderMap::new(),
            body: "<form><input type=\"hidden\" name=\"a\" value=\"1 &#38; &#34;2&#34;\">\n\
                   <input type=\"hidden\" name=\"b\" value=\"\"></form>"
                .to_owned(),
            hops: 0,
        };
        let expected = [("a", "1 & \"2\""), ("b", "")];
        assert_eq!(
            page.hidden_fields(),
            expected.map(|(a, b)| (a.to_owned(), b.to_owned()))
        );
    }
}
