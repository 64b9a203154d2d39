//! Step verbs about cookies, sign-outs, time and many users at once.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::Value;
use url::Url;
use usher::seal::SealRing;

use super::{
    flow::{self, Until},
    run::{Done, Run, SESSION_COOKIE, Stop, Tried},
    steps::Step,
    world::site,
};
use crate::support::{
    browser::Browser,
    wire::{PATIENCE, UNTRUSTED, Wire},
};

/// The seal key of rows that move the clock far: the runner ages sealed cookies with it.
pub(super) const SEAL_KEY: &str = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=";

/// What rows about time set as `sessions.idle_for`, `sessions.lifetime` and `refresh_every`.
pub(super) const IDLE: Duration = Duration::from_secs(5);
pub(super) const LIFETIME: Duration = Duration::from_secs(10);
pub(super) const REFRESH: Duration = Duration::from_secs(2);

impl Run<'_> {
    pub(super) async fn plant_cookie(&mut self, step: &Step<'_>) -> Done {
        let what = step.text("plant_cookie").unwrap_or_default().to_owned();
        let value = match what.as_str() {
            "random id" => random_id(),
            "mallory's logged-in id" => {
                let mallory = self.actor("mallory").await?;
                mallory.cookie(SESSION_COOKIE).unwrap_or_default()
            }
            "mallory's live anonymous id" => {
                // usher has no sessions for the anonymous; its state cookie is the nearest thing.
                let mut mallory = self.world.browser().await?;
                flow::walk(&mut mallory, &flow::start_url("op1"), Until::Callback).await;
                let state = mallory
                    .cookies
                    .iter()
                    .find(|c| c.name.starts_with("__Host-usher-state"));
                state
                    .map(|c| c.value.clone())
                    .ok_or_else(|| "no state cookie".to_owned())?
            }
            other => return Err(Stop::Fail(format!("unknown plant_cookie {other:?}"))),
        };
        let mut browser = self.world.browser().await?;
        browser.plant("app.test", SESSION_COOKIE, &value);
        self.browsers.insert("planted".to_owned(), browser);
        Ok(())
    }

    /// Moves cookies of one browser into another: `{"from": …, "to": …, "name"?: …}`.
    pub(super) async fn swap_cookie(&mut self, step: &Step<'_>) -> Done {
        let value = &step.map["swap_cookie"];
        let text = |key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
        let (Some(from), Some(to)) = (text("from").or(text("of")), text("to").or(text("into")))
        else {
            return Err(Stop::Fail(format!("unknown swap_cookie {value}")));
        };
        let pattern = text("name").unwrap_or_else(|| "__Host-usher*".to_owned());
        let giver = self.browsers.get(&from).cloned();
        let giver = giver.ok_or_else(|| format!("no browser {from:?}"))?;
        let fits = |name: &str| super::judge::glob(&pattern, name);
        let given: Vec<_> = giver
            .cookies
            .iter()
            .filter(|c| fits(&c.name))
            .cloned()
            .collect();
        if let Some((browser, _)) = self.pending.get_mut(&to) {
            browser.cookies.retain(|c| !fits(&c.name));
            browser.cookies.extend(given.clone());
        }
        if let Some(browser) = self.browsers.get_mut(&to) {
            browser.cookies.retain(|c| !fits(&c.name));
            browser.cookies.extend(given);
        }
        Ok(())
    }

    pub(super) async fn mutate_cookie(&mut self, verb: &str, step: &Step<'_>) -> Done {
        let what = step.map[verb].clone();
        let text = |key: &str| what.get(key).and_then(Value::as_str).map(str::to_owned);
        let how = text("how").unwrap_or_default();
        let (name, value) = match (text("of"), text("name")) {
            (Some(actor), _) => {
                let browser = self.actor(&actor).await?;
                let value = browser.cookie(SESSION_COOKIE).unwrap_or_default();
                (SESSION_COOKIE.to_owned(), value)
            }
            (None, Some(pattern)) => {
                let browser = self
                    .browser()
                    .cloned()
                    .ok_or_else(|| "no browser yet".to_owned())?;
                let fits =
                    |c: &&crate::support::browser::Cookie| super::judge::glob(&pattern, &c.name);
                let found = browser.cookies.iter().find(fits).cloned();
                let found = found.ok_or_else(|| format!("no cookie {pattern:?}"))?;
                (found.name, found.value)
            }
            (None, None) => return Err(Stop::Fail(format!("unknown {verb} {what}"))),
        };
        if verb == "cookie_chunks" {
            let foreign = self
                .actor("mallory")
                .await?
                .cookie(SESSION_COOKIE)
                .unwrap_or_default();
            let line = chunked(&name, &value, &foreign, &how);
            self.mutants = vec![line.ok_or_else(|| format!("unknown cookie_chunks {how:?}"))?];
            return Ok(());
        }
        let bits = match how.as_str() {
            "flip each bit of each byte" => 0..8,
            "flip each byte" => 0..1,
            other => return Err(Stop::Fail(format!("unknown cookie_mutate {other:?}"))),
        };
        for at in 0..value.len() {
            for bit in bits.clone() {
                let mut bytes = value.clone().into_bytes();
                bytes[at] ^= 1 << bit;
                // Octets that no cookie can carry are another case.
                let plain = |b: &u8| b.is_ascii_graphic() && !b"\",;\\".contains(b);
                if bytes.iter().all(plain) {
                    let mutant = String::from_utf8_lossy(&bytes).into_owned();
                    self.mutants.push(format!("{name}={mutant}"));
                }
            }
        }
        Ok(())
    }

    pub(super) async fn logout(&mut self, step: &Step<'_>) -> Done {
        let who = step.text("logout").unwrap_or_default().to_owned();
        self.sign_out(&who).await
    }

    /// Signs an actor out in its own browser.
    pub(super) async fn sign_out(&mut self, who: &str) -> Done {
        let mut browser = self.actor(who).await?;
        let had: Vec<_> = browser
            .cookies
            .iter()
            .filter(|c| c.host == "app.test")
            .cloned()
            .collect();
        browser.hops.clear();
        let url = site("/_usher/sign-out");
        let fetch = [("Sec-Fetch-Site", "same-origin")];
        let answer = browser.send(&url, "GET", &fetch, None).await;
        if let Some(next) = answer
            .as_ref()
            .and_then(|a| crate::support::browser::redirect(&url, a))
        {
            let flow = flow::walk(&mut browser, &next, Until::Answered).await;
            self.last = flow.answer;
        } else {
            self.last = answer;
        }
        self.keep_locations(&browser);
        let had: Vec<_> = had.into_iter().map(|c| c.name).collect();
        self.kept.insert("had_cookies".to_owned(), had.join(" "));
        self.browsers.insert(who.to_owned(), browser);
        self.world.actors.remove(who);
        who.clone_into(&mut self.current);
        Ok(())
    }

    pub(super) async fn clock(&mut self, step: &Step<'_>) -> Done {
        let text = step.text("clock").unwrap_or_default().to_owned();
        let second = Duration::from_secs(1);
        match text.as_str() {
            "idle+1s" => tokio::time::sleep(IDLE + second).await,
            "abs+1s" => tokio::time::sleep(LIFETIME + second).await,
            "activity every idle/2 until abs+1s" => self.active(IDLE / 2).await?,
            "refresh storm until abs+1s" => self.active(Duration::from_millis(200)).await?,
            "+access_ttl" => tokio::time::sleep(REFRESH + second / 2).await,
            // Sessions are random ids: nothing is sealed again.
            "+reseal" => {}
            other => {
                let seconds = other
                    .trim_start_matches('+')
                    .trim_end_matches('s')
                    .parse::<i64>();
                let seconds = seconds.map_err(|_| format!("unknown clock {other:?}"))?;
                self.age(seconds).await?;
            }
        }
        Ok(())
    }

    /// Makes everything that usher remembers so many seconds older: what stands in its store, and
    /// what it sealed into cookies.
    async fn age(&mut self, seconds: i64) -> Done {
        let file = self.world.usher().await?.path().join("usher.db");
        age_store(&file, seconds)
            .await
            .map_err(|e| format!("the store: {e}"))?;
        let ring = SealRing::new(&[SEAL_KEY]).map_err(|e| e.to_string())?;
        for browser in self.browsers.values_mut() {
            age_cookies(&ring, browser, seconds);
        }
        for (browser, _) in self.pending.values_mut() {
            age_cookies(&ring, browser, seconds);
        }
        // What is cached in memory goes with the process.
        self.world.restart().await?;
        self.note_process();
        let address = self.world.usher().await?.public();
        self.browsers.values_mut().for_each(|b| b.move_to(address));
        self.pending
            .values_mut()
            .for_each(|(b, _)| b.move_to(address));
        Ok(())
    }

    /// Keeps the last session busy until its absolute limit is over.
    async fn active(&mut self, every: Duration) -> Done {
        let browser = self
            .browser()
            .cloned()
            .ok_or_else(|| "nobody signed in".to_owned())?;
        let until = std::time::Instant::now() + LIFETIME + Duration::from_secs(1);
        let mut valid = 0;
        while std::time::Instant::now() < until {
            valid += u32::from(flow::is_valid(self.world, &browser).await?);
            tokio::time::sleep(every).await;
        }
        if valid < 2 {
            self.problems
                .push("the session was not kept alive by requests".to_owned());
        }
        self.world.app.forget();
        Ok(())
    }

    pub(super) async fn parallel_logins(&mut self, who: &str, idp: &str, times: usize) -> Done {
        self.world.introduce(idp, who)?;
        let template = self.world.browser().await?;
        let start = flow::start_url(idp);
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..times {
            let (mut browser, start, who) = (template.clone(), start.clone(), who.to_owned());
            tasks.spawn(async move {
                let flow = flow::sign_in(&mut browser, &start, &who, Until::Landed).await;
                (browser, flow)
            });
        }
        let (mut created, mut users) = (0, std::collections::BTreeSet::new());
        while let Some(Ok((browser, flow))) = tasks.join_next().await {
            self.last = flow.answer;
            self.browsers.insert(who.to_owned(), browser);
            who.clone_into(&mut self.current);
            let person = self.know(who).await?;
            if let Some(person) = &person {
                created += 1;
                users.insert(person.id.clone());
            }
            self.tried.push(Tried {
                user: person.as_ref().map(|p| p.id.clone()),
                roles: person.map(|p| p.roles).unwrap_or_default(),
            });
        }
        self.measure("sessions.created", created);
        self.measure("sessions.user_ids_distinct", users.len());
        self.measure("failed", times - created);
        self.measure("ok", format!("{created}/{times}"));
        self.measure("login", if created == times { "ok" } else { "failed" });
        Ok(())
    }

    /// Notes a measured value under the name that predicates use.
    pub(super) fn measure(&mut self, name: &str, value: impl ToString) {
        self.values.insert(name.to_owned(), value.to_string());
    }

    pub(super) async fn odd_login(&mut self, verb: &str, step: &Step<'_>) -> Done {
        match verb {
            "login_sub" => {
                let sub = step.text("login_sub").unwrap_or_default().to_owned();
                let idp = step.text("idp").unwrap_or("op1").to_owned();
                let mut person = usher::demo::idp::TestUser::new(
                    &format!("sub{}", self.tried.len()),
                    "x",
                    &["users"],
                );
                person.email = format!("sub{}@corp.test", self.tried.len());
                person.sub.clone_from(&sub);
                let name = person.username.clone();
                self.world.idp(&idp)?.put_user(person);
                self.world.dirty = true;
                self.login(&name, &idp, None).await?;
                let browser = self.browsers[&name].clone();
                self.browsers.insert(sub, browser);
                Ok(())
            }
            "login_many" => self.login_many(step).await,
            "login_with_host" => {
                let host = step.text("login_with_host").unwrap_or_default();
                let start = Url::parse(&format!("https://{host}/_usher/sign-in/op1?return_to=%2F"));
                let start = start.map_err(|e| e.to_string())?;
                let mut browser = self.world.browser().await?;
                let flow = flow::sign_in(&mut browser, &start, "alice", Until::Answered).await;
                self.finished("alice", "op1", browser.clone(), flow, None)
                    .await?;
                self.browsers.insert("captured".to_owned(), browser);
                Ok(())
            }
            other => self.load_step(other, step).await,
        }
    }

    async fn login_many(&mut self, step: &Step<'_>) -> Done {
        let inner = step
            .map
            .get("collect")
            .map(|c| &c["n"])
            .and_then(Value::as_u64);
        let inner = inner.and_then(|n| usize::try_from(n).ok());
        let times = step.number("login_many").or(step.number("times")).or(inner);
        let times = times.or(step.number("collect")).unwrap_or(100).min(2000);
        let mut ids = Vec::new();
        for _ in 0..times {
            let mut browser = self.world.browser().await?;
            let start = flow::start_url("op1");
            flow::sign_in(&mut browser, &start, "alice", Until::Answered).await;
            ids.extend(browser.cookie(SESSION_COOKIE));
            self.browsers.insert("alice".to_owned(), browser);
        }
        self.measure("ok", format!("{}/{times}", ids.len()));
        let shortest = ids.iter().map(String::len).min().unwrap_or(0);
        self.measure("bits", shortest * 6);
        ids.sort();
        ids.dedup();
        self.measure("distinct", ids.len());
        Ok(())
    }

    pub(super) async fn parallel_requests(&mut self, times: u64, request: &Value) -> Done {
        let request = super::template::expand_json(request, self)?;
        let cookies = self.cookies_of(&request).await?;
        let target = request["target"].as_str().unwrap_or("/").to_owned();
        let to = self.world.usher().await?.public();
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..times {
            let (cookies, target) = (cookies.clone(), target.clone());
            tasks.spawn(async move {
                let mut wire = Wire::connect(to, UNTRUSTED).await.ok()?;
                wire.send(plain_get(&target, cookies.as_deref()).as_bytes())
                    .await;
                wire.answer(false, PATIENCE).await
            });
        }
        let mut counts = std::collections::BTreeMap::<u16, u64>::new();
        while let Some(answer) = tasks.join_next().await {
            let answer = answer.ok().flatten();
            *counts
                .entry(answer.as_ref().map_or(0, |a| a.status))
                .or_default() += 1;
            self.last = answer;
        }
        let ok = counts.get(&200).copied().unwrap_or(0);
        self.measure("ok", format!("{ok}/{times}"));
        self.measure("failed", times - ok);
        self.measure("lost", counts.get(&0).copied().unwrap_or(0));
        for (status, count) in counts {
            self.measure(&format!("count({status})"), count);
        }
        Ok(())
    }

    /// Many users at once over usher's shared connections to the app: each answer must be the
    /// asker's own.
    pub(super) async fn isolation(&mut self, users: u64, each: u64, request: &Value) -> Done {
        let target = request["target"].as_str().unwrap_or("/").to_owned();
        let to = self.world.usher().await?.public();
        let mut askers = Vec::new();
        for n in 0..users {
            let name = format!("user{n}");
            self.login(&name, "op1", None).await?;
            let id = self
                .people
                .get(&name)
                .map(|p| p.id.clone())
                .unwrap_or_default();
            let cookies = self.browsers[&name].cookie_header(&site("/"));
            askers.push((id, cookies.unwrap_or_default()));
        }
        let mut tasks = tokio::task::JoinSet::new();
        for (id, cookies) in askers {
            let text = plain_get(&target, Some(&cookies));
            tasks.spawn(async move {
                let mut wrong = 0;
                let mut wire = Wire::connect(to, UNTRUSTED).await.ok()?;
                for _ in 0..each {
                    wire.send(text.as_bytes()).await;
                    let answer = wire.answer(false, PATIENCE).await;
                    let user = answer.map(|a| a.json()["user"].clone());
                    let own =
                        user.is_some_and(|u| u.as_str().is_some_and(|u| !u.is_empty() && u == id));
                    wrong += u64::from(!own);
                    if wire.ended() {
                        wire = Wire::connect(to, UNTRUSTED).await.ok()?;
                    }
                }
                Some(wrong)
            });
        }
        let mut wrong = 0;
        while let Some(one) = tasks.join_next().await {
            wrong += one.ok().flatten().unwrap_or(each);
        }
        self.measure("mismatches", format!("{wrong}/{}", users * each));
        Ok(())
    }
}

async fn age_store(file: &std::path::Path, seconds: i64) -> Result<(), sqlx::Error> {
    use sqlx::{ConnectOptions, Connection};
    let mut store = sqlx::sqlite::SqliteConnectOptions::new()
        .filename(file)
        .connect()
        .await?;
    let columns = [
        "authenticated_at",
        "created_at",
        "expires_at",
        "seen_at",
        "renew_at",
    ];
    for column in columns {
        let text = format!("UPDATE sessions SET {column} = {column} - {seconds}");
        sqlx::query(sqlx::AssertSqlSafe(text))
            .execute(&mut store)
            .await?;
    }
    store.close().await
}

/// Sealed sign-in states carry the time at which they began.
fn age_cookies(ring: &SealRing, browser: &mut Browser, seconds: i64) {
    const PURPOSE: &str = "sign-in state";
    for cookie in &mut browser.cookies {
        let Ok(plain) = ring.open(PURPOSE, &cookie.value) else {
            continue;
        };
        let mut state: Value = serde_json::from_slice(&plain).unwrap();
        let started = state["started_at"].as_i64().unwrap();
        state["started_at"] = (started - seconds).into();
        cookie.value = ring.seal(PURPOSE, state.to_string().as_bytes()).unwrap();
    }
}

/// A request to an app, not a navigation.
pub(super) fn plain_get(target: &str, cookies: Option<&str>) -> String {
    let cookies = cookies
        .map(|c| format!("Cookie: {c}\r\n"))
        .unwrap_or_default();
    format!("GET {target} HTTP/1.1\r\nHost: app.test\r\n{cookies}\r\n")
}

fn random_id() -> String {
    let mut bytes = [0_u8; 32];
    aws_lc_rs::rand::fill(&mut bytes).unwrap();
    URL_SAFE_NO_PAD.encode(bytes)
}

/// A session cookie as if it were kept in parts, with one thing wrong.
fn chunked(name: &str, value: &str, foreign: &str, how: &str) -> Option<String> {
    let (a, b) = value.split_at(value.len() / 2);
    let other = foreign.split_at(foreign.len() / 2).0;
    Some(match how {
        "drop _0" => format!("{name}_1={b}"),
        "drop last" => format!("{name}_0={a}"),
        "swap _0 _1" => format!("{name}_0={b}; {name}_1={a}"),
        "duplicate _1" => format!("{name}_0={a}; {name}_1={b}; {name}_1={b}"),
        "chunk of mallory spliced in" => format!("{name}_0={a}; {name}_1={other}"),
        "count=4294967296" | "count=-1" | "count=abc" => {
            format!("{name}={how}; {name}_0={a}; {name}_1={b}")
        }
        "_999999" => format!("{name}_0={a}; {name}_999999={b}"),
        "10,000 chunks" => {
            // As many as the limit on header bytes lets through.
            let parts: Vec<_> = (0..1200).map(|n| format!("{name}_{n}=a")).collect();
            parts.join("; ")
        }
        _ => return None,
    })
}
