//! Local accounts for emergencies: guessing, foreign forms, what answers tell, and how loud a use is.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Row as _};
use totp_rs::Totp;

use super::{
    case::Row,
    latency::Extent,
    run::{Done, Run, Stop, Tried},
    steps::Step,
    world::{ORIGIN, site},
};
use crate::support::{
    browser::Browser,
    local::{PASSWORD, code, field, form, link, set_up, sign_in},
    process::fetch,
    wire::{Answer, PATIENCE, TRUSTED, UNTRUSTED, Wire},
};

/// Config of a row that needs local accounts.
pub(super) const SWITCHED_ON: &str = "local_accounts: { enabled: true }\n";
/// The account that rows call `root`.
const ROOT: &str = "root@corp.test";
/// Where the form is.
const FORM: &str = "/_usher/sign-in/local";
/// Pairs of answers that are compared.
const PAIRS: usize = 15;

/// Whether local accounts are switched on: everywhere but in the row that asks for what is there without.
pub(super) fn is_on(row: &Row) -> bool {
    let words = row.text();
    let named = [
        "\"brute\"",
        "\"break_glass\"",
        "{{root_pw}}",
        "break-glass user",
        "local_user",
    ];
    let on_pages = words.contains("{{break_glass}}") && row.class != "break-glass";
    on_pages || named.iter().any(|word| words.contains(word))
}

impl Run<'_> {
    pub(super) async fn local_step(&mut self, verb: &str, step: &Step<'_>) -> Done {
        match verb {
            "brute" => self.brute(&step.map[verb]).await,
            "break_glass" => self.break_glass().await,
            "local_user" => {
                let email = step.text(verb).unwrap_or_default().to_owned();
                self.account(&email).await?;
                let mut ids = self.store("SELECT id FROM users").await?;
                self.tried.push(Tried {
                    user: ids.pop(),
                    roles: Vec::new(),
                });
                Ok(())
            }
            other => Err(Stop::Fail(format!("unknown verb {other:?}"))),
        }
    }

    /// An emergency account that was set up by its link.
    async fn account(&mut self, email: &str) -> Result<Totp, Stop> {
        self.world.dirty = true;
        let directory = self.world.usher().await?.path().to_owned();
        let words = ["--email", email, "--break-glass", "--app", "app:admin"];
        let link = link(&directory, &words).await;
        let mut browser = self.world.browser().await?;
        let (answer, totp) = set_up(&mut browser, &link).await;
        if answer.status != 200 {
            return Err(Stop::Fail(format!("not set up: {}", answer.status)));
        }
        Ok(totp)
    }

    /// The first column of a query on usher's store, as text.
    async fn store(&mut self, query: &'static str) -> Result<Vec<String>, Stop> {
        let path = self.world.usher().await?.path().join("usher.db");
        let mut store = SqliteConnectOptions::new()
            .filename(path)
            .connect()
            .await
            .map_err(|e| e.to_string())?;
        let rows = sqlx::query(query).fetch_all(&mut store).await;
        let rows = rows.map_err(|e| e.to_string())?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    }

    /// Guesses, in all spellings, from one address and from many, with every claim of being somebody else.
    async fn brute(&mut self, words: &Value) -> Done {
        let user = words["user"].as_str().unwrap_or("root").to_owned();
        let tries = words["n"].as_u64().unwrap_or(200);
        self.account(ROOT).await?;
        let mut guesser = Guesser::open(self.world.browser().await?).await?;
        let mut allowed = 0;
        for n in 0..tries {
            let spelled = match n % 4 {
                0 => user.clone(),
                1 => user.to_uppercase(),
                2 => format!(" {user}\u{a0}"),
                _ => user.chars().map(wide).collect(),
            };
            // Through the trusted proxy these are other clients; from elsewhere they are only claims.
            let from = if n % 2 == 0 { UNTRUSTED } else { TRUSTED };
            let answer = guesser.guess(&spelled, from, n).await?;
            allowed += u64::from(answer.status != 429);
            self.last = Some(answer);
        }
        self.measure("attempts_allowed", allowed);
        let mut from_one = 0;
        for n in 0..20 {
            let name = format!("somebody{n}@corp.test");
            let answer = guesser.guess(&name, UNTRUSTED, tries + n).await?;
            from_one += u64::from(answer.status != 429);
        }
        if from_one > 5 {
            self.problems
                .push(format!("{from_one} guesses from one address"));
        }
        Ok(())
    }

    /// A failure, then the account's use; both must be loud, and the session short.
    async fn break_glass(&mut self) -> Done {
        let totp = self.account(ROOT).await?;
        let mut browser = self.world.browser().await?;
        let wrong = sign_in(&mut browser, &site("/"), ROOT, "not the password", "000000").await;
        if wrong.status != 422 {
            self.problems
                .push(format!("a wrong password: {}", wrong.status));
        }
        let right = sign_in(&mut browser, &site("/"), ROOT, PASSWORD, &code(&totp, 1)).await;
        if right.status != 303 {
            return Err(Stop::Fail(format!("no sign-in: {}", right.status)));
        }
        let me = browser.open(&site("/_usher/me")).await;
        let me = me.map(|me| me.json()).unwrap_or(json!({}));
        let ends: Option<jiff::Timestamp> =
            me["expires_at"].as_str().and_then(|at| at.parse().ok());
        let now = jiff::Timestamp::now().as_second();
        let ttl = ends.map_or(i64::MAX, |ends| ends.as_second() - now);
        self.measure("session.ttl", ttl);
        self.must_be_loud().await?;
        self.browsers.insert("root".to_owned(), browser);
        "root".clone_into(&mut self.current);
        self.last = Some(right);
        Ok(())
    }

    /// The failure's line may come a moment after its answer.
    async fn must_be_loud(&mut self) -> Done {
        let until = Instant::now() + Duration::from_secs(5);
        let query = "SELECT outcome FROM audit WHERE action = 'break_glass' ORDER BY number";
        let mut outcomes = self.store(query).await?;
        while outcomes.len() < 2 && Instant::now() < until {
            tokio::time::sleep(Duration::from_millis(20)).await;
            outcomes = self.store(query).await?;
        }
        outcomes.sort();
        if outcomes != ["ok", "wrong"] {
            self.problems.push(format!("audit lines: {outcomes:?}"));
        }
        self.measure("audit.break_glass", outcomes.len());
        let usher = self.world.usher().await?;
        let metrics = usher.metrics().ok_or_else(|| "no metrics".to_owned())?;
        let shown = fetch(metrics, "/metrics", PATIENCE).await;
        let shown = shown.map(|answer| answer.text()).unwrap_or_default();
        for outcome in ["ok", "wrong"] {
            let line =
                format!("usher_sign_ins_total{{of=\"break-glass\",outcome=\"{outcome}\"}} 1");
            if !shown.contains(&line) {
                self.problems.push(format!("no metric {line}"));
            }
        }
        Ok(())
    }

    /// Wrong passwords for an account that is there and for names that are not, in turn.
    pub(super) async fn compare_local_users(&mut self) -> Done {
        self.account(ROOT).await?;
        let mut guesser = Guesser::open(self.world.browser().await?).await?;
        let pairs = match self.extent {
            Extent::Short => 3,
            Extent::Full => PAIRS,
        };
        let (mut times, mut sizes) = ([Vec::new(), Vec::new()], [0_usize; 2]);
        for n in 0..pairs {
            let unknown = format!("r{n:03}@corp.test");
            let mut statuses = [0; 2];
            for (side, name) in [ROOT, &unknown].into_iter().enumerate() {
                self.store("DELETE FROM local_failures RETURNING key")
                    .await?;
                let began = Instant::now();
                let answer = guesser.guess(name, UNTRUSTED, 0).await?;
                times[side].push(began.elapsed());
                // The page repeats the name that was typed.
                (statuses[side], sizes[side]) = (answer.status, answer.body.len() - name.len());
            }
            if statuses != [422, 422] {
                self.problems.push(format!("statuses {statuses:?}"));
            }
        }
        let [a, b] = times.map(|mut took| {
            took.sort();
            took[took.len() / 2]
        });
        self.measure("timing_delta_ms", a.abs_diff(b).as_millis());
        self.measure("size_delta", sizes[0].abs_diff(sizes[1]));
        Ok(())
    }

    /// A row that posts the form from its own site means one that was filled in there: with the token and its cookie.
    pub(super) async fn fill_in_local(&mut self, request: &mut Value) -> Done {
        let posts = request["method"] == "POST" && request["target"] == "{{break_glass}}";
        let headers = request["headers"].as_array().cloned().unwrap_or_default();
        let foreign = headers.iter().any(|header| header[0] == "Origin");
        if !posts {
            return Ok(());
        }
        if self.words.contains("{{root_pw}}") {
            self.account(ROOT).await?;
        }
        if foreign {
            return Ok(());
        }
        self.store("DELETE FROM local_failures RETURNING key")
            .await?;
        let guesser = Guesser::open(self.world.browser().await?).await?;
        let body = request["body"].as_str().unwrap_or_default();
        let token = form(&[("form", &guesser.token)]);
        request["body"] = format!("{body}&{token}").into();
        let mut headers = headers;
        headers.push(json!(["Cookie", guesser.cookies]));
        headers.push(json!(["Content-Type", "application/x-www-form-urlencoded"]));
        request["headers"] = headers.into();
        Ok(())
    }
}

/// The same letter as East Asian fonts have it: another character, the same name.
fn wide(letter: char) -> char {
    let number = u32::from(letter);
    match letter {
        '!'..='~' => char::from_u32(number + 0xfee0).unwrap_or(letter),
        _ => letter,
    }
}

/// Somebody with the form open.
struct Guesser {
    to: std::net::SocketAddr,
    token: String,
    cookies: String,
}

impl Guesser {
    async fn open(mut browser: Browser) -> Result<Self, Stop> {
        let at = site(FORM);
        let page = browser.open(&at).await;
        let page = page.ok_or_else(|| "no form".to_owned())?;
        if page.status != 200 {
            return Err(Stop::Fail(format!("the form: {}", page.status)));
        }
        Ok(Self {
            to: browser.address_of_usher(),
            token: field(&page.text(), "form"),
            cookies: browser.cookie_header(&at).unwrap_or_default(),
        })
    }

    async fn guess(
        &mut self,
        user: &str,
        from: std::net::Ipv4Addr,
        n: u64,
    ) -> Result<Answer, Stop> {
        let body = form(&[
            ("user", user),
            ("password", "a wrong password"),
            ("totp", "000000"),
            ("form", &self.token),
        ]);
        let head = format!(
            "POST {FORM} HTTP/1.1\r\nHost: app.test\r\nOrigin: {ORIGIN}\r\nSec-Fetch-Site: same-origin\r\n\
             X-Forwarded-For: 198.51.{}.{}\r\nX-Forwarded-Proto: https\r\nCookie: {}\r\n\
             Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{body}",
            100 + n / 200,
            n % 200 + 1,
            self.cookies,
            body.len()
        );
        let mut wire = Wire::connect(self.to, from)
            .await
            .map_err(|e| e.to_string())?;
        wire.send(head.as_bytes()).await;
        let answer = wire.answer(false, PATIENCE).await;
        answer.ok_or_else(|| Stop::Fail("no answer".to_owned()))
    }
}
