//! The demo's whole story driven over HTTP, as a browser would: `usher demo --check`.

mod browser;

use serde_json::Value;
use url::Url;

use super::idp::TestUser;
use super::{demo_users, role_of};
use browser::{Browser, Page, without_query};

/// What was found, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The steps that were taken; after one that makes the rest pointless there are no more.
    pub steps: Vec<Step>,
}

/// One step of the story.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Whether it went as it should.
    pub passed: bool,
    /// What should be so, a short sentence.
    pub what: &'static str,
    /// What was seen. No cookie, code or token.
    pub detail: String,
}

impl Report {
    /// Whether every step passed.
    pub fn passed(&self) -> bool {
        !self.steps.is_empty() && self.steps.iter().all(|step| step.passed)
    }

    fn add(&mut self, what: &'static str, passed: bool, detail: impl Into<String>) {
        let detail = detail.into();
        self.steps.push(Step {
            passed,
            what,
            detail,
        });
    }

    fn compare(&mut self, what: &'static str, seen: &Value, expected: impl Into<Value>) {
        let expected = expected.into();
        let detail = if *seen == expected {
            seen.to_string()
        } else {
            format!("{seen}, where {expected} should be")
        };
        self.add(what, *seen == expected, detail);
    }
}

impl std::fmt::Display for Step {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mark = if self.passed { '✓' } else { '✗' };
        write!(out, "{mark} {}", self.what)?;
        if self.detail.is_empty() {
            return Ok(());
        }
        write!(out, " ({})", self.detail)
    }
}

/// Signs in as `user` of the demo at the usher under `public_url`, looks at the app, and signs out. It prints nothing.
///
/// # Errors
/// The user is none of the demo's, or no HTTP client can be made. What goes wrong on the way is a step that did not
/// pass.
pub async fn check(public_url: &Url, user: &str) -> Result<Report, String> {
    let user = demo_users()
        .into_iter()
        .find(|known| known.username == user)
        .ok_or_else(|| format!("the demo has no user {user}"))?;
    let mut check = Check {
        browser: Browser::new()?,
        base: public_url.clone(),
        user,
        report: Report::default(),
    };
    if let Err(why) = check.story().await {
        check.report.add("The check could go on", false, why);
    }
    Ok(check.report)
}

struct Check {
    browser: Browser,
    base: Url,
    user: TestUser,
    report: Report,
}

impl Check {
    async fn story(&mut self) -> Result<(), String> {
        self.public_page().await?;
        self.api_call().await?;
        let home = self.sign_in().await?;
        self.home(&home).await?;
        self.admin().await?;
        self.me().await?;
        self.sign_out(&home).await
    }

    fn url(&self, path: &str) -> Result<Url, String> {
        self.base.join(path).map_err(|why| why.to_string())
    }

    async fn public_page(&mut self) -> Result<(), String> {
        let page = self.browser.open(self.url("/public/")?).await?;
        let passed = page.status.as_u16() == 200;
        self.report
            .add("/public/ is open to everybody", passed, status(&page));
        Ok(())
    }

    async fn api_call(&mut self) -> Result<(), String> {
        let answer = self.browser.fetch(self.url("/whoami")?).await?;
        let passed = answer.status.as_u16() == 401;
        self.report.add(
            "A script that is not signed in gets 401",
            passed,
            status(&answer),
        );
        Ok(())
    }

    async fn sign_in(&mut self) -> Result<Page, String> {
        let login = self.browser.follow(self.url("/")?, None).await?;
        let chosen = format!("value=\"{}\"", self.user.username);
        let at_idp = login.url.origin() != self.base.origin() && login.body.contains(&chosen);
        let detail = format!("{} after {} redirects", status(&login), login.hops);
        self.report
            .add("/ leads to the IdP's login page", at_idp, detail);
        if !at_idp {
            return Err(format!("no login page, but {}", status(&login)));
        }
        let mut fields = login.hidden_fields();
        fields.push(("demo_user".to_owned(), self.user.username.clone()));
        let to = login
            .url
            .join("/authorize")
            .map_err(|why| why.to_string())?;
        let home = self.browser.submit(to, &login.url, &fields).await?;
        let back = home.status.as_u16() == 200 && home.url == self.url("/")?;
        self.report.add(
            "Signing in leads back to where it began",
            back,
            status(&home),
        );
        if back {
            Ok(home)
        } else {
            Err(format!("not signed in, but {}", status(&home)))
        }
    }

    async fn home(&mut self, home: &Page) -> Result<(), String> {
        let greeting = format!("Hello, {}", self.user.name);
        let greeted = home.body.contains(&greeting);
        self.report.add("The app greets by name", greeted, greeting);
        let whoami = self.browser.fetch(self.url("/whoami")?).await?;
        let seen = json(&whoami)?;
        let role = role_of(&self.user);
        let report = &mut self.report;
        report.compare("The IdP group became the role", &seen["roles"], vec![role]);
        report.compare(
            "The app got the e-mail",
            &seen["email"],
            self.user.email.as_str(),
        );
        let account = &seen["account"];
        let made = &account["created_events"];
        report.compare("The callback made the account, exactly once", made, 1);
        let header = seen["account_header"].clone();
        report.compare("usher names the app's account", &account["number"], header);
        let verified = &seen["signature_verified"];
        report.compare("The app verified the signed header", verified, true);
        if let Some(problem) = seen["signature_problem"].as_str() {
            report.add("There is no problem with the signature", false, problem);
        }
        Ok(())
    }

    async fn admin(&mut self) -> Result<(), String> {
        let page = self.browser.open(self.url("/admin")?).await?;
        let is_admin = role_of(&self.user) == "admin";
        let (what, expected) = match is_admin {
            true => ("/admin is open to an admin", 200),
            false => ("/admin is refused to somebody who is no admin", 403),
        };
        self.report
            .add(what, page.status.as_u16() == expected, status(&page));
        Ok(())
    }

    async fn me(&mut self) -> Result<(), String> {
        let answer = self.browser.fetch(self.url("/_usher/me")?).await?;
        let me = json(&answer)?;
        let report = &mut self.report;
        report.compare(
            "/_usher/me names the user",
            &me["user"]["name"],
            self.user.name.as_str(),
        );
        report.compare(
            "/_usher/me lists the role",
            &me["roles"],
            vec![role_of(&self.user)],
        );
        Ok(())
    }

    async fn sign_out(&mut self, home: &Page) -> Result<(), String> {
        let url = self.url("/_usher/sign-out")?;
        let page = self.browser.follow(url, Some(&home.url)).await?;
        let passed = page.status.is_success();
        self.report
            .add("Signing out ends at a page", passed, status(&page));
        let answer = self.browser.fetch(self.url("/_usher/me")?).await?;
        let passed = answer.status.as_u16() == 401;
        self.report
            .add("The session is over", passed, status(&answer));
        let again = self.browser.follow(self.url("/")?, None).await?;
        let asked = again.hops > 0 && again.body.contains("name=\"demo_user\"");
        self.report.add(
            "/ asks to sign in again, and so does the IdP",
            asked,
            status(&again),
        );
        Ok(())
    }
}

fn status(page: &Page) -> String {
    format!("{} at {}", page.status.as_u16(), without_query(&page.url))
}

fn json(page: &Page) -> Result<Value, String> {
    serde_json::from_str(&page.body).map_err(|_| format!("no JSON, but {}", status(page)))
}

#[cfg(test)]
mod stand_in;
#[cfg(test)]
mod tests;
