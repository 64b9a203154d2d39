//! Sign-ins and sign-outs as a browser does them, with every hop kept.

use url::Url;

use super::world::{Person, World, site};
use crate::support::{
    browser::{Browser, redirect},
    wire::{Answer, PATIENCE, UNTRUSTED, Wire},
};

/// How far a sign-in goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Until {
    /// The callback is the next URL and is not loaded.
    Callback,
    /// usher answered for good: a page, or a redirect away from its own endpoints.
    Answered,
    /// The page that the browser lands on was loaded too.
    Landed,
}

/// Where a flow ended.
#[derive(Clone, Debug)]
pub(super) struct Flow {
    /// The last answer.
    pub(super) answer: Option<Answer>,
    /// The URL that comes next but was not loaded.
    pub(super) next: Option<Url>,
    /// A form that comes next but was not sent (`form_post`).
    pub(super) form: Option<String>,
}

/// Signs `who` in from `start`, the browser's cookies as they are.
pub(super) async fn sign_in(browser: &mut Browser, start: &Url, who: &str, until: Until) -> Flow {
    browser.plant("127.0.0.1", "demo_idp_user", who);
    walk(browser, start, until).await
}

/// Goes on from `start` through redirects, forms that send themselves, and refreshes.
pub(super) async fn walk(browser: &mut Browser, start: &Url, until: Until) -> Flow {
    let mut url = start.clone();
    let mut form: Option<String> = None;
    let mut flow = Flow {
        answer: None,
        next: None,
        form: None,
    };
    for _ in 0..20 {
        let answer = match form.take() {
            Some(form) => browser.submit(&url, &form).await,
            None => browser.open(&url).await,
        };
        flow.answer = answer;
        let Some(answer) = &flow.answer else {
            return flow;
        };
        let Some((next, fields)) = onward(&url, answer) else {
            return flow;
        };
        let stop = match until {
            Until::Callback => is_callback(&next),
            Until::Answered => !is_own(&next) && !is_idp(&next),
            Until::Landed => !has_host(&next) && !is_idp(&next),
        };
        if stop {
            flow.next = Some(next);
            flow.form = fields;
            return flow;
        }
        if until == Until::Landed && !is_own(&next) && !is_idp(&next) {
            flow.answer = browser.open(&next).await;
            return flow;
        }
        (url, form) = (next, fields);
    }
    flow
}

/// Sends what a flow stopped before.
pub(super) async fn resume(browser: &mut Browser, flow: &Flow, until: Until) -> Option<Flow> {
    let next = flow.next.as_ref()?;
    let Some(form) = &flow.form else {
        return Some(walk(browser, next, until).await);
    };
    let answer = browser.submit(next, form).await;
    match answer.as_ref().and_then(|answer| onward(next, answer)) {
        Some((url, None)) if is_own(&url) || until == Until::Landed => {
            Some(walk(browser, &url, until).await)
        }
        Some((url, form)) => Some(Flow {
            answer,
            next: Some(url),
            form,
        }),
        None => Some(Flow {
            answer,
            next: None,
            form: None,
        }),
    }
}

/// Where an answer sends the browser: a redirect, a refresh, or a form that sends itself.
fn onward(url: &Url, answer: &Answer) -> Option<(Url, Option<String>)> {
    if let Some(next) = redirect(url, answer) {
        return Some((next, None));
    }
    if let Some(refresh) = answer.header("refresh") {
        let (_, to) = refresh.split_once("url=")?;
        return Some((url.join(to.trim()).ok()?, None));
    }
    if !answer.is_html() {
        return None;
    }
    let page = answer.text();
    if let Some(refresh) = attribute_after(&page, "http-equiv=\"refresh\"", "content") {
        let (_, to) = refresh.split_once("url=")?;
        return Some((url.join(to.trim()).ok()?, None));
    }
    if is_idp(url) && page.to_ascii_lowercase().contains("method=\"post\"") {
        let action = url.join(&attribute_after(&page, "<form", "action")?).ok()?;
        return is_callback(&action).then(|| (action, Some(hidden_fields(&page))));
    }
    None
}

fn attribute_after(page: &str, mark: &str, name: &str) -> Option<String> {
    let tail = &page[page.find(mark)?..];
    let tag = &tail[..tail.find('>')?];
    let start = tag.find(&format!("{name}=\""))? + name.len() + 2;
    let value = &tag[start..start + tag[start..].find('"')?];
    Some(unescape(value))
}

fn hidden_fields(page: &str) -> String {
    let mut form = url::form_urlencoded::Serializer::new(String::new());
    for tag in page.split("<input").skip(1) {
        let tag = format!("<input{tag}");
        let name = attribute_after(&tag, "<input", "name");
        let value = attribute_after(&tag, "<input", "value");
        if let (Some(name), Some(value)) = (name, value) {
            form.append_pair(&name, &value);
        }
    }
    form.finish()
}

/// The five entities that templates write.
pub(super) fn unescape(text: &str) -> String {
    let text = text
        .replace("&quot;", "\"")
        .replace("&#34;", "\"")
        .replace("&#39;", "'");
    let text = text
        .replace("&#x27;", "'")
        .replace("&#38;", "&")
        .replace("&#60;", "<");
    text.replace("&#62;", ">")
        .replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&amp;", "&")
}

/// True for a redirect URI of usher.
pub(super) fn is_callback(url: &Url) -> bool {
    is_own(url) && url.path().ends_with("/callback")
}

/// True for usher's own endpoints on its hosts.
pub(super) fn is_own(url: &Url) -> bool {
    has_host(url) && url.path().starts_with("/_usher/")
}

/// True for the hosts that usher serves.
pub(super) fn has_host(url: &Url) -> bool {
    matches!(
        url.host_str(),
        Some("app.test" | "other.test" | "public.test")
    )
}

/// True for the test IdPs.
pub(super) fn is_idp(url: &Url) -> bool {
    url.host_str() == Some("127.0.0.1")
}

/// The URL that starts a sign-in at this IdP.
pub(super) fn start_url(idp: &str) -> Url {
    site(&format!("/_usher/sign-in/{idp}?return_to=%2F"))
}

/// `GET /secret` with the browser's cookies, as an app request.
pub(super) async fn secret(world: &mut World, browser: &Browser) -> Result<Answer, String> {
    let url = site("/secret");
    get(world, &url, browser.cookie_header(&url).as_deref()).await
}

/// True where a session opens `/secret`.
pub(super) async fn is_valid(world: &mut World, browser: &Browser) -> Result<bool, String> {
    Ok(secret(world, browser).await?.status == 200)
}

/// Who a browser is by `/_usher/me`.
pub(super) async fn me(world: &mut World, browser: &Browser) -> Result<Option<Person>, String> {
    let url = site("/_usher/me");
    let answer = get(world, &url, browser.cookie_header(&url).as_deref()).await?;
    if answer.status != 200 {
        return Ok(None);
    }
    let json = answer.json();
    let text = |name: &str| json["user"][name].as_str().unwrap_or_default().to_owned();
    let roles = json["roles"].as_array().cloned().unwrap_or_default();
    let roles = roles
        .iter()
        .filter_map(|role| role.as_str().map(str::to_owned))
        .collect();
    Ok(Some(Person {
        id: text("id"),
        email: text("email"),
        name: text("name"),
        roles,
    }))
}

/// One plain GET, no navigation.
pub(super) async fn get(
    world: &mut World,
    url: &Url,
    cookies: Option<&str>,
) -> Result<Answer, String> {
    let to = world.usher().await?.public();
    let tls = world.settings.tls;
    let host = url.host_str().unwrap_or_default();
    let mut wire = if tls {
        Wire::connect_tls(to, UNTRUSTED, host, &["http/1.1"]).await
    } else {
        Wire::connect(to, UNTRUSTED).await
    }
    .map_err(|e| format!("cannot connect to usher: {e}"))?;
    let cookies = cookies
        .map(|c| format!("Cookie: {c}\r\n"))
        .unwrap_or_default();
    let target = &url[url::Position::BeforePath..url::Position::AfterQuery];
    let text = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n{cookies}\r\n");
    wire.send(text.as_bytes()).await;
    let answer = wire.answer(false, PATIENCE).await;
    answer.ok_or_else(|| format!("no answer to GET {target}"))
}
