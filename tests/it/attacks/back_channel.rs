//! Step verbs of back-channel logout: logout tokens that op1 signs, good ones and others.

use std::time::{Duration, Instant};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use usher::demo::idp::{Endpoint, EndpointFault, Fault, TestIdp};

use super::{
    flow::{self, Until},
    latency::Extent,
    run::{Done, Run, Stop},
    steps::Step,
};
use crate::support::{
    browser::Browser,
    wire::{Answer, PATIENCE, UNTRUSTED, Wire},
};

/// The member of `events` that makes a token a logout token.
const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";
/// How long userinfo keeps a sign-in waiting that is paused after its token: longer than a logout token needs.
const PAUSE: Duration = Duration::from_secs(2);

/// A sign-in that is under way while other steps are done.
pub(super) type Paused = tokio::task::JoinHandle<Browser>;

impl Run<'_> {
    pub(super) async fn back_channel_step(&mut self, verb: &str, step: &Step<'_>) -> Done {
        match (verb, &step.map[verb]) {
            ("bclo", Value::String(words)) => self.back_channel(words).await,
            ("bclo_flood", Value::Object(flood)) if flood["kid"] == "random" => {
                let times = flood["n"].as_u64().unwrap_or(10_000);
                self.unknown_kids(times).await
            }
            (_, value) => Err(Stop::Fail(format!("unknown {verb} {value}"))),
        }
    }

    /// Sends the logout token that these words mean. After a good one nothing of what it names may be left.
    pub(super) async fn back_channel(&mut self, words: &str) -> Done {
        let unknown = || Stop::Fail(format!("unknown bclo {words:?}"));
        let token = {
            let op1 = &self.world.op1;
            let claims = self.claims_of(words).ok_or_else(unknown)?;
            let signer = if words.ends_with("key op2") {
                &self.world.op2
            } else {
                op1
            };
            signed(signer, &claims)?
        };
        let began = Instant::now();
        self.last = Some(self.post_token(&token).await?);
        self.answer_took = Some(began.elapsed());
        if is_good(words) && self.last.as_ref().is_some_and(|a| a.status != 200) {
            self.problems
                .push("a good logout token was refused".to_owned());
        }
        if let Some(at_op1) = self.browsers.get("alice@op1").cloned()
            && words == "op1 sub=alice"
            && flow::is_valid(self.world, &at_op1).await?
        {
            self.problems
                .push("alice's session of op1 goes on".to_owned());
        }
        Ok(())
    }

    async fn post_token(&mut self, token: &str) -> Result<Answer, Stop> {
        let to = self.world.usher().await?.public();
        let wire = Wire::connect(to, UNTRUSTED).await;
        let mut wire = wire.map_err(|e| e.to_string())?;
        wire.send(call(token).as_bytes()).await;
        let answer = wire.answer(false, PATIENCE).await;
        answer.ok_or_else(|| Stop::Fail("no answer to a logout token".to_owned()))
    }

    /// The claims by the catalogue's words; `None` for words that nobody taught this runner.
    fn claims_of(&self, words: &str) -> Option<Value> {
        let (op1, op2) = (&self.world.op1, &self.world.op2);
        let mut claims = good(op1);
        let now = claims["iat"].as_i64()?;
        let last_sid = || op1.last_sid().map(Value::from);
        let mut set = |name: &str, value: Value| claims[name] = value;
        match words {
            "sid only" | "sid of that login" => {
                set("sid", last_sid()?);
                remove(&mut claims, "sub");
            }
            "sid and sub" => set("sid", last_sid()?),
            "sid random" => {
                set("sid", uuid::Uuid::now_v7().to_string().into());
                remove(&mut claims, "sub");
            }
            "sub only" | "op1 sub=alice" => {}
            "iss other" => set("iss", "https://other.test".into()),
            "iss op2 key op2" => set("iss", op2.issuer().into()),
            "aud other" => set("aud", "other".into()),
            "aud [other]" => set("aud", json!(["other"])),
            "nonce \"x\"" => set("nonce", "x".into()),
            "nonce null" => set("nonce", Value::Null),
            "nonce of the login" => set("nonce", self.last_nonce()?.into()),
            "iat now-301" => set("iat", (now - 301).into()),
            "iat now+61" => set("iat", (now + 61).into()),
            "exp past" => {
                set("iat", (now - 200).into());
                set("exp", (now - 61).into());
            }
            "exp \"x\"" => set("exp", "x".into()),
            _ => {
                let name = words.strip_suffix(" absent")?;
                claims.get(name)?;
                remove(&mut claims, name);
            }
        }
        Some(claims)
    }

    fn last_nonce(&self) -> Option<String> {
        let sent = self.world.op1.authorize_requests().pop()?;
        let nonce = sent.into_iter().find(|(name, _)| name == "nonce");
        nonce.map(|(_, value)| value)
    }

    /// Tokens of which each names another key, over a few connections.
    async fn unknown_kids(&mut self, times: u64) -> Done {
        const CONNECTIONS: u64 = 10;
        let most = match (self.extent, std::env::var_os("USHER_ATTACKS_FULL")) {
            (Extent::Full, Some(_)) => times,
            (Extent::Full | Extent::Short, _) => times.min(2000),
        };
        let to = self.world.usher().await?.public();
        let claims = good(&self.world.op1);
        let mut tasks = tokio::task::JoinSet::new();
        for n in 0..CONNECTIONS {
            let claims = claims.clone();
            tasks.spawn(async move {
                let mut wire = Wire::connect(to, UNTRUSTED).await.ok()?;
                for i in 0..most / CONNECTIONS {
                    let header =
                        json!({"alg": "RS256", "typ": "logout+jwt", "kid": format!("{n}-{i}")});
                    let [header, claims] =
                        [&header, &claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
                    let signature = URL_SAFE_NO_PAD.encode([7; 256]);
                    let text = call(&format!("{header}.{claims}.{signature}"));
                    wire.send(text.as_bytes()).await;
                    let answer = wire.answer(false, PATIENCE).await?;
                    if answer.status != 400 {
                        return None;
                    }
                    if wire.ended() {
                        wire = Wire::connect(to, UNTRUSTED).await.ok()?;
                    }
                }
                Some(())
            });
        }
        if tasks.join_all().await.iter().any(Option::is_none) {
            self.problems
                .push("a token of an unknown key was not refused".to_owned());
        }
        Ok(())
    }

    /// Signs `who` in up to the moment when usher has the tokens and asks for more.
    pub(super) async fn pause_after_token(&mut self, who: &str) -> Done {
        self.world.introduce("op1", who)?;
        let slow = Fault::Endpoint(Endpoint::Userinfo, EndpointFault::Delay(PAUSE));
        self.world.op1.always(slow);
        self.world.dirty = true;
        let mut browser = self.world.browser().await?;
        let asked = self.counted().token;
        let (start, name) = (flow::start_url("op1"), who.to_owned());
        let paused = tokio::spawn(async move {
            flow::sign_in(&mut browser, &start, &name, Until::Answered).await;
            browser
        });
        for _ in 0..500 {
            if self.counted().token > asked {
                self.paused = Some((who.to_owned(), paused));
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Err(Stop::Fail("the token endpoint was not asked".to_owned()))
    }

    /// Waits for the sign-in that was paused.
    pub(super) async fn resume_paused(&mut self) -> Done {
        if let Some((who, paused)) = self.paused.take() {
            let browser = paused.await.map_err(|e| e.to_string())?;
            self.browsers.insert(who, browser);
        }
        Ok(())
    }
}

/// The claims of a good logout token about alice.
fn good(idp: &TestIdp) -> Value {
    let now = jiff::Timestamp::now().as_second();
    json!({
        "iss": idp.issuer(), "aud": "usher", "iat": now, "exp": now + 120,
        "jti": uuid::Uuid::now_v7().to_string(), "events": { EVENT: {} }, "sub": "alice",
    })
}

fn remove(claims: &mut Value, name: &str) {
    if let Some(claims) = claims.as_object_mut() {
        claims.remove(name);
    }
}

/// True where these words say nothing that is wrong with a token.
fn is_good(words: &str) -> bool {
    let good = [
        "sid only",
        "sub only",
        "sid and sub",
        "op1 sub=alice",
        "sid of that login",
    ];
    good.contains(&words)
}

fn signed(idp: &TestIdp, claims: &Value) -> Result<String, String> {
    let kid = idp.kid().map_err(|e| e.to_string())?;
    let header = json!({ "alg": "RS256", "typ": "logout+jwt", "kid": kid });
    let token = idp.sign(&header, &claims.to_string());
    token.map_err(|e| e.to_string())
}

impl Run<'_> {
    /// A good logout token about this session of op1 alone.
    pub(super) fn token_about(&self, sid: &str) -> Result<String, String> {
        let mut claims = good(&self.world.op1);
        remove(&mut claims, "sub");
        claims["sid"] = sid.into();
        signed(&self.world.op1, &claims)
    }
}

/// How an IdP sends a logout token (Back-Channel Logout 1.0, 2.5).
pub(super) fn call(token: &str) -> String {
    let body = format!("logout_token={token}");
    format!(
        "POST /_usher/oidc/op1/backchannel-logout HTTP/1.1\r\nHost: app.test\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}
