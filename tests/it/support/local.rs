//! Local accounts: invited on the command line, set up and used through the forms as a browser sees them.

use std::path::Path;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use totp_rs::{Builder, Secret, Totp};
use url::Url;

use super::browser::Browser;
use super::process::binary;
use super::wire::Answer;

/// A password that will do.
pub(crate) const PASSWORD: &str = "kaffee um halb vier";

/// What `usher invite` says.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) ok: bool,
    pub(crate) link: String,
    pub(crate) errors: String,
}

/// Runs `usher invite` beside a running usher, with the config in that directory.
pub(crate) async fn invite(directory: &Path, words: &[&str]) -> Said {
    let mut command = Command::new(binary());
    command
        .args(["invite", "--config"])
        .arg(directory.join("usher.yaml"))
        .args(words);
    let run = tokio::task::spawn_blocking(move || command.output().unwrap());
    let output = run.await.unwrap();
    Said {
        ok: output.status.success(),
        link: String::from_utf8_lossy(&output.stdout).trim().to_owned(),
        errors: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// The link of an invitation that must succeed.
pub(crate) async fn link(directory: &Path, words: &[&str]) -> Url {
    let said = invite(directory, words).await;
    assert!(said.ok, "{said:?}");
    Url::parse(&said.link).unwrap()
}

/// The value of a hidden or text field on a page.
pub(crate) fn field(page: &str, name: &str) -> String {
    let start = format!("name=\"{name}\"");
    let tag = page
        .split('<')
        .find(|tag| tag.contains(&start))
        .unwrap_or_else(|| panic!("no field {name}: {page}"));
    let value = tag.split("value=\"").nth(1).unwrap_or_default();
    value.split('"').next().unwrap_or_default().to_owned()
}

/// The second factor that a page offers.
pub(crate) fn offered(page: &str) -> Totp {
    let key = page.split("<code>").nth(1).unwrap();
    let key = key.split("</code>").next().unwrap().replace(' ', "");
    let secret = Secret::try_from_base32(key).unwrap();
    Builder::new().with_secret(secret).build().unwrap()
}

/// The code of now, or of so many steps later.
pub(crate) fn code(totp: &Totp, steps: u64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    totp.generate(now.as_secs() + 30 * steps).to_string()
}

/// A form as a browser writes it.
pub(crate) fn form(pairs: &[(&str, &str)]) -> String {
    url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs(pairs)
        .finish()
}

/// Fills the form of an invitation in.
pub(crate) async fn enrol(
    browser: &mut Browser,
    link: &Url,
    page: &str,
    (password, again): (&str, &str),
    code: &str,
) -> Answer {
    let (sealed, token) = (field(page, "sealed"), field(page, "form"));
    let body = form(&[
        ("password", password),
        ("again", again),
        ("totp", code),
        ("sealed", &sealed),
        ("form", &token),
    ]);
    browser.submit(link, &body).await.unwrap()
}

/// Sets an account up by its link: the answer, and the second factor. The code of now is used up.
pub(crate) async fn set_up(browser: &mut Browser, link: &Url) -> (Answer, Totp) {
    let page = browser.open(link).await.unwrap().text();
    let totp = offered(&page);
    let now = code(&totp, 0);
    let answer = enrol(browser, link, &page, (PASSWORD, PASSWORD), &now).await;
    (answer, totp)
}

/// Signs in through the form of the site of `url`.
pub(crate) async fn sign_in(
    browser: &mut Browser,
    url: &Url,
    user: &str,
    password: &str,
    code: &str,
) -> Answer {
    let at = url.join("/_usher/sign-in/local").unwrap();
    let page = browser.open(&at).await.unwrap();
    assert_eq!(page.status, 200, "{}", page.text());
    let token = field(&page.text(), "form");
    let body = form(&[
        ("user", user),
        ("password", password),
        ("totp", code),
        ("return_to", "/"),
        ("form", &token),
    ]);
    browser.submit(&at, &body).await.unwrap()
}
