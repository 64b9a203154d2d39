//! Step verbs about signing in: whole sign-ins, sign-ins in parts, replays, and following redirects.

use std::time::{Duration, Instant};

use url::Url;

use super::{
    flow::{self, Flow, Until},
    run::{Done, Run, SESSION_COOKIE, Stop, Tried},
    steps::Step,
    world::site,
};
use crate::support::{browser::Browser, callback};

impl Run<'_> {
    /// Where a sign-in begins: where the last request left the browser, or at the IdP's own URL.
    pub(super) fn begin_at(&mut self, idp: &str) -> Url {
        match self.onward.take() {
            Some(url) if flow::is_idp(&url) => url,
            // The page with a button for each IdP, or `sign_in_url` of a JSON refusal.
            Some(url) if flow::is_own(&url) => {
                let mut at_idp = url.clone();
                if url.path() == "/_usher/sign-in" {
                    at_idp.set_path(&format!("/_usher/sign-in/{idp}"));
                }
                at_idp
            }
            Some(_) | None => flow::start_url(idp),
        }
    }

    pub(super) async fn login_step(&mut self, step: &Step<'_>) -> Done {
        let who = step.text("login").unwrap_or_default().to_owned();
        let idp = step.text("idp").unwrap_or("op1").to_owned();
        if let Some(times) = step.number("parallel") {
            return self.parallel_logins(&who, &idp, times).await;
        }
        for _ in 0..step.number("times").unwrap_or(1) {
            self.login(&who, &idp, step.text("keep")).await?;
        }
        if step.map.get("capture").is_some() {
            let browser = self.browsers[&self.current].clone();
            self.browsers.insert("captured".to_owned(), browser);
        }
        Ok(())
    }

    /// A whole sign-in in a browser of its own, or in the one that a request began it in.
    pub(super) async fn login(&mut self, who: &str, idp: &str, keep: Option<&str>) -> Done {
        self.world.introduce(idp, who)?;
        if self.is_told_apart(who) {
            // Names and addresses belong to one person each.
            let (name, email) = (format!("{who}-{idp}"), format!("{who}@{idp}.test"));
            self.world.idp(idp)?.change_user(who, |user| {
                user.email = email;
                let name = ("preferred_username".to_owned(), name.into());
                user.extra.extend([name]);
            });
        }
        let began_here = self.onward.is_some();
        let start = self.begin_at(idp);
        let mut browser = match self.browsers.get(&self.current) {
            Some(browser) if began_here => browser.clone(),
            Some(_) | None => self.browser_for(who).await?,
        };
        browser.hops.clear();
        let before = browser.cookie(SESSION_COOKIE);
        let first = flow::sign_in(&mut browser, &start, who, Until::Callback).await;
        let callback = first.next.clone();
        if let (Some(keep), Some(url)) = (keep, &callback) {
            self.kept.insert(keep.to_owned(), url.to_string());
        }
        let until = if self.stay {
            Until::Answered
        } else {
            Until::Landed
        };
        let answered = Instant::now();
        let flow = match flow::resume(&mut browser, &first, until).await {
            Some(flow) => flow,
            None => first,
        };
        self.answer_took = Some(answered.elapsed());
        self.finished(who, idp, browser, flow, before).await
    }

    /// True where somebody's sessions at two IdPs are told apart: two desks, and two accounts with an address each.
    fn is_told_apart(&self, who: &str) -> bool {
        self.words.contains(&format!("session({who}@"))
    }

    /// The browser that already is this actor's, or a new one with what was planted.
    pub(super) async fn browser_for(&mut self, who: &str) -> Result<Browser, Stop> {
        if let Some(planted) = self.browsers.get("planted") {
            return Ok(planted.clone());
        }
        // Signing in again in the same browser keeps the session cookie; rows that sign in twice
        // mean the same person at the same desk.
        match self.browsers.get(who) {
            Some(browser) if !self.is_told_apart(who) && !self.words.contains("\"times\"") => {
                Ok(browser.clone())
            }
            Some(_) | None => Ok(self.world.browser().await?),
        }
    }

    /// Takes over what came of a sign-in.
    pub(super) async fn finished(
        &mut self,
        who: &str,
        idp: &str,
        browser: Browser,
        flow: Flow,
        before: Option<String>,
    ) -> Done {
        self.keep_locations(&browser);
        let after = browser.cookie(SESSION_COOKIE);
        self.values
            .insert("cookie_before".to_owned(), before.unwrap_or_default());
        self.values
            .insert("cookie_after".to_owned(), after.unwrap_or_default());
        self.onward = flow.next.clone();
        self.last = flow.answer;
        self.current = who.to_owned();
        self.browsers
            .insert(format!("{who}@{idp}"), browser.clone());
        self.browsers.insert(who.to_owned(), browser);
        let person = self.know(who).await?;
        self.tried.push(Tried {
            user: person.as_ref().map(|p| p.id.clone()),
            roles: person.map(|p| p.roles).unwrap_or_default(),
        });
        Ok(())
    }

    pub(super) async fn start_login(&mut self, step: &Step<'_>) -> Done {
        let pattern = step.text("start_login").unwrap_or_default().to_owned();
        let idp = step.text("idp").unwrap_or("op1").to_owned();
        if let Some(point) = step.text("pause_at") {
            return self.pause_login(&pattern, &idp, point).await;
        }
        for n in 1..=step.number("times").unwrap_or(1) {
            let name = pattern.replace("{i}", &n.to_string());
            let (who, shared) = person_of(&name);
            self.world.introduce(&idp, who)?;
            let mut browser = match self.browsers.get(shared) {
                Some(browser) => browser.clone(),
                None => self.world.browser().await?,
            };
            browser.hops.clear();
            let start = flow::start_url(&idp);
            let flow = flow::sign_in(&mut browser, &start, who, Until::Callback).await;
            self.keep_locations(&browser);
            if flow.next.is_none() {
                self.problems
                    .push(format!("{name} does not reach the callback"));
            }
            let sent = browser.cookie_header(&site("/")).unwrap_or_default().len();
            let most = self
                .values
                .get("cookie_bytes")
                .and_then(|v| v.parse().ok())
                .unwrap_or(0);
            self.values
                .insert("cookie_bytes".to_owned(), sent.max(most).to_string());
            self.last = flow.answer.clone();
            self.browsers.insert(shared.to_owned(), browser.clone());
            self.browsers.insert(name.clone(), browser.clone());
            self.pending.insert(name.clone(), (browser, flow));
            self.current = name;
        }
        Ok(())
    }

    pub(super) async fn finish_login(&mut self, step: &Step<'_>) -> Done {
        let name = step.text("finish_login").unwrap_or_default().to_owned();
        let browser_name = step.text("browser").or(step.text("as"));
        let (mut browser, flow) = self
            .pending
            .get(&name)
            .cloned()
            .ok_or_else(|| format!("no sign-in {name:?} was started"))?;
        if let Some(other) = browser_name {
            browser = match self.browsers.get(other) {
                Some(browser) => browser.clone(),
                None => self.world.browser().await?,
            };
        }
        if !self.mutants.is_empty() {
            return self.finish_with_mutants(&name, &browser, &flow).await;
        }
        let (_, shared) = person_of(&name);
        if browser_name.is_none() {
            // Later tabs of the same browser changed its jar.
            browser = self.browsers.get(shared).cloned().unwrap_or(browser);
        }
        browser.hops.clear();
        let end = flow::resume(&mut browser, &flow, Until::Landed).await;
        let end =
            end.ok_or_else(|| Stop::Fail("the sign-in stopped before the callback".into()))?;
        self.browsers.insert(shared.to_owned(), browser.clone());
        let before = None;
        self.finished(&name, "op1", browser, end, before).await
    }

    pub(super) async fn finish_with_mutants(
        &mut self,
        name: &str,
        browser: &Browser,
        flow: &Flow,
    ) -> Done {
        let next = flow
            .next
            .clone()
            .ok_or_else(|| "no callback to load".to_owned())?;
        let mutants = std::mem::take(&mut self.mutants);
        let mut worst = None;
        for mutant in &mutants {
            let (cookie, value) = mutant.split_once('=').unwrap_or((mutant, ""));
            let mut browser = browser.clone();
            browser.plant("app.test", cookie, value);
            browser.hops.clear();
            let end = flow::walk(&mut browser, &next, Until::Answered).await;
            let status = end.answer.as_ref().map_or(599, |a| a.status);
            if browser.cookie(SESSION_COOKIE).is_some() {
                self.problems
                    .push("a mutated state cookie signed in".to_owned());
            }
            if worst.is_none_or(|(known, _): (u16, ())| status > known) {
                worst = Some((status, ()));
                self.last = end.answer;
            }
        }
        self.browsers.insert(name.to_owned(), browser.clone());
        name.clone_into(&mut self.current);
        Ok(())
    }

    pub(super) async fn get_step(&mut self, step: &Step<'_>) -> Done {
        let target = step.text("get").unwrap_or_default().to_owned();
        let name = step
            .text("browser")
            .or(step.text("as"))
            .unwrap_or(&self.current)
            .to_owned();
        let (_, shared) = person_of(&name);
        let mut browser = match self
            .browsers
            .get(&name)
            .or_else(|| self.browsers.get(shared))
        {
            Some(browser) => browser.clone(),
            None => self.world.browser().await?,
        };
        browser.hops.clear();
        let url = site(&target);
        let flow = flow::walk(&mut browser, &url, Until::Answered).await;
        self.keep_locations(&browser);
        self.onward = flow.next.clone();
        self.last = flow.answer;
        self.browsers.insert(name.clone(), browser);
        self.current = name;
        Ok(())
    }

    pub(super) async fn follow_until(&mut self, step: &Step<'_>) -> Done {
        if step.text("follow_until") != Some("final_redirect") {
            return Err(Stop::Fail(format!(
                "unknown follow_until {:?}",
                step.map["follow_until"]
            )));
        }
        self.go_on(20).await.map(|_| ())
    }

    pub(super) async fn follow_max(&mut self, step: &Step<'_>) -> Done {
        let most = step.number("follow_max").unwrap_or(20);
        let hops = self.go_on(most).await?;
        self.values.insert("redirects".to_owned(), hops.to_string());
        Ok(())
    }

    /// Follows usher's and the IdP's redirects from where the last step left the browser.
    pub(super) async fn go_on(&mut self, most: usize) -> Result<usize, Stop> {
        let Some(start) = self.onward.take() else {
            return Ok(0);
        };
        if !flow::is_own(&start) && !flow::is_idp(&start) {
            self.onward = Some(start);
            return Ok(0);
        }
        let name = self.current.clone();
        let mut browser = match self.browsers.get(&name) {
            Some(browser) => browser.clone(),
            None => self.world.browser().await?,
        };
        browser.hops.clear();
        let flow = flow::walk(&mut browser, &start, Until::Answered).await;
        let hops = browser.hops.len().min(most + 1);
        self.keep_locations(&browser);
        if flow.answer.is_some() {
            self.last = flow.answer;
        }
        self.onward = flow.next;
        self.browsers.insert(name, browser);
        Ok(hops)
    }

    pub(super) async fn replay(&mut self, step: &Step<'_>) -> Done {
        let key = step.text("replay").unwrap_or_default();
        let url = self
            .kept
            .get(key)
            .cloned()
            .ok_or_else(|| format!("nothing kept as {key:?}"))?;
        let url = Url::parse(&url).map_err(|e| e.to_string())?;
        let name = self.current.clone();
        // The state cookie of the first use is gone; a thief would have kept it.
        let mut browser = match step.text("browser").or(step.text("as")) {
            Some(other) => self
                .browsers
                .get(other)
                .cloned()
                .unwrap_or(self.world.browser().await?),
            None => self.browsers[&name].clone(),
        };
        let cookie = browser
            .hops
            .iter()
            .flat_map(|hop| hop.answer.all("set-cookie"));
        let states: Vec<_> = cookie
            .filter(|line| line.starts_with("__Host-usher-state-") && !line.contains("Max-Age=0"))
            .filter_map(|line| {
                line.split(';')
                    .next()?
                    .split_once('=')
                    .map(|(n, v)| (n.to_owned(), v.to_owned()))
            })
            .collect();
        browser.cookies.retain(|c| c.name != SESSION_COOKIE);
        for (name, value) in states {
            browser.plant("app.test", &name, &value);
        }
        browser.hops.clear();
        let flow = flow::walk(&mut browser, &url, Until::Answered).await;
        self.last = flow.answer;
        self.browsers.insert("second".to_owned(), browser);
        Ok(())
    }

    pub(super) fn drop_cookies(&mut self) {
        let own = |c: &crate::support::browser::Cookie| c.host == "127.0.0.1";
        for browser in self.browsers.values_mut() {
            browser.cookies.retain(own);
        }
        for (browser, _) in self.pending.values_mut() {
            browser.cookies.retain(own);
        }
    }

    pub(super) async fn pause_login(&mut self, who: &str, idp: &str, point: &str) -> Done {
        match point {
            "after_token" => return self.pause_after_token(who).await,
            "after_jit" => {
                let silence = callback::Fault::Raw {
                    bytes: Vec::new(),
                    close: false,
                };
                let mut rule = callback::Rule::always(silence);
                rule.commit = true;
                self.world.callback.behave(Some(rule));
            }
            other => return Err(Stop::Fail(format!("unknown pause_at {other:?}"))),
        }
        self.world.introduce(idp, who)?;
        let mut browser = self.world.browser().await?;
        let (start, who) = (flow::start_url(idp), who.to_owned());
        let calls = self.world.callback.calls().len();
        tokio::spawn(
            async move { flow::sign_in(&mut browser, &start, &who, Until::Answered).await },
        );
        for _ in 0..500 {
            if self.world.callback.calls().len() > calls {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Err(Stop::Fail("the callback was not called".to_owned()))
    }
}

/// Whose sign-in a name is, and in which browser: people have their own, other names are tabs of
/// one browser in which alice signs in.
fn person_of(name: &str) -> (&str, &str) {
    const PEOPLE: [&str; 8] = [
        "alice", "bob", "mallory", "root", "newuser", "bigalice", "nogroups", "slow",
    ];
    if PEOPLE.contains(&name) {
        (name, name)
    } else {
        ("alice", "tabs")
    }
}
