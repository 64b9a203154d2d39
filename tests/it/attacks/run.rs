//! One variant of one row: what was sent, what came back, and what was counted.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use url::Url;

use super::{
    admin,
    back_channel::Paused,
    flow::{self, Flow, Until},
    latency::Extent,
    template::Scope,
    world::{self, Person, World},
};
use crate::support::{
    browser::Browser,
    recorder::{Seen, cgi_name},
    wire::{Answer, Wire},
};

/// Why a variant ends before its assertions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// It failed, or says something that this runner does not know.
    Fail(String),
    /// All held but a time.
    Late(String),
    /// What it needs does not exist yet.
    NotApplicable(String),
}

impl From<String> for Stop {
    fn from(why: String) -> Self {
        Stop::Fail(why)
    }
}

impl From<&str> for Stop {
    fn from(why: &str) -> Self {
        Stop::Fail(why.to_owned())
    }
}

/// What a step answers.
pub(super) type Done = Result<(), Stop>;

/// The headers by which apps behind usher know people.
pub(super) const IDENTITY: [&str; 8] = [
    "X-Forwarded-User",
    "X-Forwarded-Email",
    "X-Forwarded-Preferred-Username",
    "X-Forwarded-Name",
    "X-Forwarded-Groups",
    "X-Forwarded-Roles",
    "X-Forwarded-Account",
    "X-Usher-Jwt",
];

/// A sign-in that was tried.
#[derive(Clone, Debug)]
pub(super) struct Tried {
    /// The app's user id; `None` where no session came of it.
    pub(super) user: Option<String>,
    pub(super) roles: Vec<String>,
}

/// Numbers at the fake peers.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counted {
    pub(super) token: u64,
    pub(super) refresh: u64,
    pub(super) jwks: u64,
    pub(super) callback: usize,
    /// Sign-ins that reached op1's authorization endpoint.
    pub(super) authorize: usize,
}

impl Counted {
    fn minus(self, other: Self) -> Self {
        Self {
            token: self.token - other.token,
            refresh: self.refresh - other.refresh,
            jwks: self.jwks - other.jwks,
            callback: self.callback - other.callback,
            authorize: self.authorize - other.authorize,
        }
    }

    fn plus(self, other: Self) -> Self {
        Self {
            token: self.token + other.token,
            refresh: self.refresh + other.refresh,
            jwks: self.jwks + other.jwks,
            callback: self.callback + other.callback,
            authorize: self.authorize + other.authorize,
        }
    }
}

/// The state of a variant.
pub(super) struct Run<'w> {
    pub(super) extent: Extent,
    pub(super) world: &'w mut World,
    pub(super) variant: Value,
    /// All words of the row, to see what it asks about.
    pub(super) words: String,
    /// Browsers by name; `current` names the last one.
    pub(super) browsers: BTreeMap<String, Browser>,
    pub(super) current: String,
    /// Sign-ins stopped on their way, by name.
    pub(super) pending: BTreeMap<String, (Browser, Flow)>,
    /// Where the browser is to go on, left by a request that began a sign-in.
    pub(super) onward: Option<Url>,
    /// Who signed in when, in order.
    pub(super) tried: Vec<Tried>,
    pub(super) people: BTreeMap<String, Person>,
    /// The last answer; `None`: nothing came.
    pub(super) last: Option<Answer>,
    /// Answers to `request` steps with the Host they were for.
    pub(super) answers: Vec<(String, Answer)>,
    /// Answers that came over the last connection.
    pub(super) on_wire: Vec<Answer>,
    pub(super) wire: Option<Wire>,
    pub(super) h2_refused: bool,
    /// Every `Location` that usher gave a browser, with the URL it was for.
    pub(super) locations: Vec<(Url, String)>,
    /// What was measured, by the name of the predicate.
    pub(super) values: BTreeMap<String, String>,
    /// Values that clients put into identity headers or what folds to them.
    pub(super) forged: Vec<String>,
    /// Named things kept for later, such as a callback URL.
    pub(super) kept: BTreeMap<String, String>,
    pub(super) step_took: Duration,
    pub(super) answer_took: Option<Duration>,
    pub(super) before: Counted,
    pub(super) hits: Vec<Seen>,
    pub(super) pid: Option<u32>,
    pub(super) resident: Option<u64>,
    pub(super) log_start: usize,
    /// Lines of the audit log before the variant began.
    pub(super) audit_start: usize,
    /// A sign-in does not load the page that it lands on.
    pub(super) stay: bool,
    /// Other values of a cookie to try, one request each.
    pub(super) mutants: Vec<String>,
    pub(super) problems: Vec<String>,
    /// Every `Set-Cookie` line that usher gave a browser.
    pub(super) cookie_lines: Vec<String>,
    /// Answers of usher itself, for judging their headers.
    pub(super) own: Vec<Answer>,
    /// Connections and listeners that stay open until released.
    pub(super) open: Vec<Box<dyn std::any::Any + Send>>,
    /// A config that replaces the world's own at `start`.
    pub(super) odd_config: Option<String>,
    /// A sign-in that waits for its IdP, and whose.
    pub(super) paused: Option<(String, Paused)>,
    /// Parts that were not judged, with the reason.
    pub(super) not_judged: Vec<String>,
}

impl<'w> Run<'w> {
    pub(super) fn new(world: &'w mut World, variant: Value, words: String, extent: Extent) -> Self {
        Self {
            extent,
            world,
            variant,
            words,
            browsers: BTreeMap::new(),
            current: ANONYMOUS.to_owned(),
            pending: BTreeMap::new(),
            onward: None,
            tried: Vec::new(),
            people: BTreeMap::new(),
            last: None,
            answers: Vec::new(),
            on_wire: Vec::new(),
            wire: None,
            h2_refused: false,
            locations: Vec::new(),
            values: BTreeMap::new(),
            forged: Vec::new(),
            kept: BTreeMap::new(),
            step_took: Duration::ZERO,
            answer_took: None,
            before: Counted::default(),
            hits: Vec::new(),
            pid: None,
            resident: None,
            log_start: 0,
            audit_start: 0,
            stay: false,
            mutants: Vec::new(),
            problems: Vec::new(),
            cookie_lines: Vec::new(),
            own: Vec::new(),
            open: Vec::new(),
            odd_config: None,
            paused: None,
            not_judged: Vec::new(),
        }
    }

    /// Counts from now on.
    pub(super) async fn begin(&mut self) -> Done {
        if self.words.contains("rss_delta_mb") && !self.world.actors.contains_key("bob") {
            // What the first sign-in on each thread touches (code, pools, heaps, the store's pages) is no cost of the attack;
            // which thread takes one is chance.
            for _ in 0..WARMING {
                if let Ok(browser) = self.make_actor("bob").await {
                    self.world.actors.insert("bob".to_owned(), browser);
                }
            }
        }
        self.world.app.forget();
        self.before = self.counted_in_all();
        self.audit_start = self.world.audit().len();
        self.note_process();
        Ok(())
    }

    /// From now on this process is the one that must live, and its memory is compared.
    pub(super) fn note_process(&mut self) {
        if let Some(usher) = self.world.running() {
            usher.forget_peak();
            self.pid = Some(usher.pid());
            self.resident = usher.resident();
            self.log_start = usher.log().len();
        }
    }

    /// What was counted since [`Run::begin`].
    pub(super) fn counted(&self) -> Counted {
        self.counted_in_all().minus(self.before)
    }

    fn counted_in_all(&self) -> Counted {
        let (one, two) = (self.world.op1.counts(), self.world.op2.counts());
        Counted {
            token: one.token_calls + two.token_calls,
            refresh: one.refresh_calls + two.refresh_calls,
            jwks: one.jwks_calls + two.jwks_calls,
            callback: self.world.callback.calls().len(),
            authorize: self.world.op1.authorize_requests().len(),
        }
    }

    /// A signed-in browser of this actor, from the row's own sign-ins or made now.
    pub(super) async fn actor(&mut self, name: &str) -> Result<Browser, Stop> {
        if let Some(browser) = self.browsers.get(name) {
            return Ok(browser.clone());
        }
        let key = name.to_owned();
        if !self.world.actors.contains_key(&key) {
            // A sign-in that only makes the row possible is no part of what it counts.
            let (seen, counted) = (self.world.app.seen().len(), self.counted_in_all());
            let browser = self.make_actor(name).await?;
            self.world.actors.insert(key.clone(), browser);
            self.world.app.forget_after(seen);
            self.before = self.before.plus(self.counted_in_all().minus(counted));
        }
        let browser = self.world.actors[&key].clone();
        self.browsers.insert(key, browser.clone());
        self.know(name).await?;
        Ok(browser)
    }

    async fn make_actor(&mut self, name: &str) -> Result<Browser, Stop> {
        let (who, idp) = name.split_once('@').unwrap_or((name, "op1"));
        self.world.introduce(idp, who)?;
        let mut browser = self.world.browser().await?;
        let start = flow::start_url(idp);
        let flow = flow::sign_in(&mut browser, &start, who, Until::Answered).await;
        browser.hops.clear();
        if flow::is_valid(self.world, &browser).await? {
            return Ok(browser);
        }
        let status = flow.answer.map_or(0, |answer| answer.status);
        Err(Stop::Fail(format!(
            "{name} cannot sign in (status {status})"
        )))
    }

    /// A sign-in of nobody yet, stopped before the callback, for rows that use its `state`.
    pub(super) async fn begin_anonymous_sign_in(&mut self) -> Done {
        let mut browser = self.world.browser().await?;
        let start = flow::start_url("op1");
        let flow = flow::sign_in(&mut browser, &start, "alice", Until::Callback).await;
        browser.hops.clear();
        self.browsers.insert(ANONYMOUS.to_owned(), browser.clone());
        self.pending.insert(ANONYMOUS.to_owned(), (browser, flow));
        Ok(())
    }

    /// Asks usher who this browser is, and remembers it.
    pub(super) async fn know(&mut self, name: &str) -> Result<Option<Person>, Stop> {
        let Some(browser) = self.browsers.get(name).cloned() else {
            return Ok(None);
        };
        let person = flow::me(self.world, &browser).await?;
        if let Some(person) = &person {
            self.people.insert(name.to_owned(), person.clone());
        }
        Ok(person)
    }

    /// What a row means by an actor's name in this header.
    pub(super) fn own_value(&self, name: &str, header: &str) -> Option<String> {
        let person = self.people.get(name)?;
        Some(match cgi_name(header).as_str() {
            "X_FORWARDED_USER" => person.id.clone(),
            "X_FORWARDED_EMAIL" => person.email.clone(),
            "X_FORWARDED_NAME" => person.name.clone(),
            "X_FORWARDED_ROLES" => person.roles.join(","),
            "X_FORWARDED_PREFERRED_USERNAME" => name.to_owned(),
            _ => return None,
        })
    }

    /// Takes over what a browser was told.
    pub(super) fn keep_locations(&mut self, browser: &Browser) {
        for hop in &browser.hops {
            if flow::has_host(&hop.url) {
                self.keep_told(&hop.url, &hop.answer);
            }
        }
    }

    /// Takes over what usher told a browser in one answer.
    pub(super) fn keep_told(&mut self, url: &Url, answer: &Answer) {
        let told = answer.all("location");
        self.locations
            .extend(told.into_iter().map(|l| (url.clone(), l)));
        self.cookie_lines.extend(answer.all("set-cookie"));
        self.own.push(answer.clone());
    }

    /// Notes identity values that a client sends.
    pub(super) fn note_forged(&mut self, name: &str, value: &str) {
        let folded = cgi_name(name);
        let value = value.trim().to_owned();
        if !value.is_empty() && IDENTITY.iter().any(|known| cgi_name(known) == folded) {
            self.forged.push(value);
        }
    }

    /// The browser that the last step used.
    pub(super) fn browser(&self) -> Option<&Browser> {
        self.browsers.get(&self.current)
    }

    /// What usher logged since the variant began.
    pub(super) fn log(&mut self) -> String {
        let start = self.log_start;
        let log = self
            .world
            .running()
            .map(|usher| usher.log())
            .unwrap_or_default();
        log.get(start..).unwrap_or_default().to_owned()
    }

    /// Measures how long one step takes.
    pub(super) fn took(&mut self, since: Instant) {
        self.step_took = since.elapsed();
    }

    fn session_cookie(&self, actor: &str) -> Result<String, String> {
        let browser = self
            .browsers
            .get(actor)
            .or_else(|| self.world.actors.get(actor));
        let browser = browser.ok_or_else(|| format!("{actor} is not signed in"))?;
        let value = browser.cookie(SESSION_COOKIE);
        Ok(format!(
            "{SESSION_COOKIE}={}",
            value.ok_or("no session cookie")?
        ))
    }

    /// A parameter of the callback that a stopped sign-in would load.
    fn callback_param(&self, name: &str, param: &str) -> Option<String> {
        let (_, flow) = self.pending.get(name)?;
        let query = flow
            .form
            .clone()
            .or_else(|| flow.next.as_ref()?.query().map(str::to_owned))?;
        let mut pairs = url::form_urlencoded::parse(query.as_bytes());
        pairs.find(|(n, _)| n == param).map(|(_, v)| v.into_owned())
    }

    fn of_peer(&self, idp: &str, what: &str) -> Result<String, String> {
        let issuer = self.world.idp(idp)?.issuer();
        match what {
            "issuer" => Ok(issuer.to_owned()),
            "token_endpoint" => Ok(format!("{issuer}/token")),
            "authorization_endpoint" => Ok(format!("{issuer}/authorize")),
            "jwks_uri" => Ok(format!("{issuer}/jwks")),
            "client_id" => Ok("usher".to_owned()),
            other => Err(format!("unknown variable {idp}.{other}")),
        }
    }

    fn of_actor(&self, actor: &str, what: &str) -> Result<String, String> {
        let unknown = || format!("unknown variable {actor}.{what}");
        match what {
            "code" | "state" => self.callback_param(actor, what).ok_or_else(unknown),
            "id" => Ok(self.people.get(actor).ok_or_else(unknown)?.id.clone()),
            "email" => Ok(self.people.get(actor).ok_or_else(unknown)?.email.clone()),
            "sid" => Ok(self
                .kept
                .get(&format!("{actor}.sid"))
                .cloned()
                .unwrap_or_else(|| "sid".into())),
            _ => Err(unknown()),
        }
    }

    /// `jwt.none.sub=root`: unsigned; `jwt.op1.access_token.sub=root`: signed by op1.
    fn token(&self, what: &str) -> Result<String, String> {
        let (kind, claim) = what
            .split_once(".sub=")
            .ok_or(format!("unknown variable jwt.{what}"))?;
        let now = jiff::Timestamp::now().as_second();
        let claims = json!({"sub": claim, "iss": self.world.op1.issuer(), "aud": "usher",
                            "iat": now, "exp": now + 300, "roles": ["admin"]});
        let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        match kind {
            "none" => Ok(format!(
                "{}.{}.",
                encode(&json!({"alg": "none"})),
                encode(&claims)
            )),
            "op1.access_token" | "op1" | "op1.id_token" => {
                let kid = self.world.op1.kid().map_err(|e| e.to_string())?;
                let header = json!({"alg": "RS256", "kid": kid});
                let signed = self.world.op1.sign(&header, &claims.to_string());
                signed.map_err(|e| e.to_string())
            }
            other => Err(format!("unknown variable jwt.{other}")),
        }
    }
}

/// Sign-ins before memory is compared.
const WARMING: usize = 6;

/// The browser of whom no step named.
pub(super) const ANONYMOUS: &str = "anonymous";

/// The session cookie's name on https.
pub(super) const SESSION_COOKIE: &str = "__Host-usher";

impl Scope for Run<'_> {
    fn value(&self, name: &str) -> Result<String, String> {
        let fixed = match name {
            "p" => "/_usher",
            "login" => "/_usher/sign-in",
            "callback" => "/_usher/oidc/op1/callback",
            "logout" => "/_usher/sign-out",
            "bclo" => "/_usher/oidc/op1/backchannel-logout",
            "fclo" => "/_usher/oidc/op1/frontchannel-logout",
            "acs" => "/_usher/saml/idp1/acs",
            "fa" => "/_usher/forward-auth",
            "jwks" => "/_usher/jwks.json",
            "health" => "/healthz",
            "break_glass" => "/_usher/sign-in/local",
            "admin" => "/api/v1",
            "admin_token" => admin::ADMIN_TOKEN,
            "scim" => "/_usher/scim/op1/v2",
            "scim_token" => crate::support::scim::TOKEN,
            "root_pw" => crate::support::local::PASSWORD,
            "session_cookie" => SESSION_COOKIE,
            "state_cookie" => "__Host-usher-state-*",
            "h_user" => "X-Forwarded-User",
            "h_email" => "X-Forwarded-Email",
            "h_groups" => "X-Forwarded-Groups",
            "h_roles" => "X-Forwarded-Roles",
            "h_jwt" => "X-Usher-Jwt",
            _ => "",
        };
        if !fixed.is_empty() {
            return Ok(fixed.to_owned());
        }
        let now = jiff::Timestamp::now().as_second();
        match name {
            "state" | "code" => {
                let found = self.callback_param(&self.current, name);
                return found.ok_or_else(|| format!("{{{{{name}}}}}: no sign-in is under way"));
            }
            "now" => return Ok(now.to_string()),
            // The number of a repeated line, replaced where lines are repeated.
            "i" => return Ok("{{i}}".to_owned()),
            _ => {}
        }
        for (sign, factor) in [("now+", 1), ("now-", -1)] {
            if let Some(seconds) = name.strip_prefix(sign).and_then(|n| n.parse::<i64>().ok()) {
                return Ok((now + factor * seconds).to_string());
            }
        }
        if let Some(kept) = self.kept.get(name).or_else(|| self.values.get(name)) {
            return Ok(kept.clone());
        }
        match name.split_once('.') {
            Some(("cookie", actor)) => self.session_cookie(actor),
            Some(("val", actor)) => {
                let cookie = self.session_cookie(actor)?;
                Ok(cookie.split_once('=').unwrap_or_default().1.to_owned())
            }
            Some(("jwt", what)) => self.token(what),
            Some((idp @ ("op1" | "op2"), what)) => self.of_peer(idp, what),
            Some((actor, what)) => self.of_actor(actor, what),
            None => Err(format!("unknown variable {{{{{name}}}}}")),
        }
    }

    fn variant(&self) -> &Value {
        &self.variant
    }
}

/// The host of a request without its port.
pub(super) fn bare_host(host: &str) -> &str {
    host.split(':').next().unwrap_or_default()
}

/// A URL for a request as usher's public side sees it, for judging its `Location`.
pub(super) fn request_url(host: &str, target: &str) -> Url {
    let base = Url::parse(&format!("https://{}", bare_host(host).trim()));
    let base = base.unwrap_or_else(|_| world::site("/"));
    if target.starts_with('/') && !target.starts_with("//") {
        base.join(target).unwrap_or(base)
    } else {
        base
    }
}
