//! The verbs of the catalogue's steps.

use std::time::Instant;

use super::{
    run::{Done, Run, Stop},
    template::expand_json,
};
use serde_json::{Map, Value};

/// Verbs for what usher does not have yet, with the reason.
const LATER: [(&str, &str); 8] = [
    ("replicas", "several replicas come later"),
    ("redis", "Redis comes later"),
    ("redis_dump", "Redis comes later"),
    ("replay_at", "several replicas come later"),
    ("scim.group", "no row changes groups yet"),
    (
        "seal_cookies",
        "sessions are random ids in the store, not sealed cookies",
    ),
    ("cross", "several replicas come later"),
    ("log_level", "the log level is not part of the config"),
];

/// Words beside a verb that say how it is done.
const MODIFIERS: [&str; 23] = [
    "idp",
    "totp",
    "keep",
    "times",
    "capture",
    "parallel",
    "browser",
    "as",
    "stop_before",
    "pause_at",
    "each",
    "requests_each",
    "user",
    "at",
    "same_conn",
    "cookies",
    "show",
    "on",
    "with",
    "from",
    "for",
    "max",
    "parallel_users",
];

/// One step with its values expanded.
pub(super) struct Step<'a> {
    pub(super) map: &'a Map<String, Value>,
}

impl Step<'_> {
    pub(super) fn text(&self, key: &str) -> Option<&str> {
        self.map.get(key).and_then(Value::as_str)
    }

    pub(super) fn number(&self, key: &str) -> Option<usize> {
        self.map
            .get(key)
            .and_then(Value::as_u64)
            .and_then(|n| usize::try_from(n).ok())
    }
}

/// Why a step cannot be done yet.
pub(super) fn missing(step: &Map<String, Value>) -> Option<&'static str> {
    let known = LATER.iter().find(|(verb, _)| step.contains_key(*verb));
    if let Some((_, why)) = known {
        return Some(why);
    }
    let action = step.get("do").and_then(Value::as_str).unwrap_or_default();
    let later = [("admin", "the admin API")];
    later
        .iter()
        .find(|(word, _)| action.contains(word))
        .map(|_| "what it does comes later")
}

impl Run<'_> {
    /// Does one step; `next` is the one after it.
    pub(super) async fn step(
        &mut self,
        template: &Map<String, Value>,
        next: Option<&Map<String, Value>>,
    ) -> Done {
        if let Some(why) = missing(template) {
            return Err(Stop::NotApplicable(why.to_owned()));
        }
        self.stay = next.is_some_and(|next| next.contains_key("follow_until"));
        if template.contains_key("request") {
            self.check_words(template, "request")?;
            return self.request_step(template).await;
        }
        let value = expand_json(&Value::Object(template.clone()), self)?;
        let map = value.as_object().cloned().unwrap_or_default();
        // Beside a message it says how that is sent; alone, how the next one is.
        let beside = |k: &str| k == "relay_state" && map.len() > 1;
        let verbs: Vec<_> = map
            .keys()
            .filter(|k| !MODIFIERS.contains(&k.as_str()) && !beside(k))
            .collect();
        let Some(verb) = verbs.first().map(|v| (*v).clone()) else {
            return self.lone_modifier(&map).await;
        };
        self.check_words(&map, &verb)?;
        let began = Instant::now();
        self.answer_took = None;
        let outcome = self.verb(&verb, &Step { map: &map }).await;
        // Of a sign-in, the wait for usher's answer to the callback counts.
        self.step_took = self.answer_took.unwrap_or_else(|| began.elapsed());
        outcome
    }

    fn check_words(&self, map: &Map<String, Value>, verb: &str) -> Done {
        let odd = map
            .keys()
            .find(|k| *k != verb && *k != "relay_state" && !MODIFIERS.contains(&k.as_str()));
        match odd {
            Some(odd) => Err(Stop::Fail(format!("unknown word {odd:?} beside {verb:?}"))),
            None => Ok(()),
        }
    }

    async fn lone_modifier(&mut self, map: &Map<String, Value>) -> Done {
        match map.keys().next().map(String::as_str) {
            Some("same_conn") if map["same_conn"].is_array() => {
                let mut answers = Vec::new();
                for mut request in map["same_conn"].as_array().cloned().unwrap_or_default() {
                    if let Some(inner) = request.get("request") {
                        request = inner.clone();
                    }
                    request["same_conn"] = true.into();
                    self.request(&request).await?;
                    answers.append(&mut self.on_wire);
                }
                self.on_wire = answers;
                Ok(())
            }
            other => Err(Stop::Fail(format!("unknown verb {other:?}"))),
        }
    }

    async fn verb(&mut self, verb: &str, step: &Step<'_>) -> Done {
        match verb {
            "login" => self.login_step(step).await,
            "collect" => self.odd_login("login_many", step).await,
            "login_sub" | "login_many" | "login_background" | "measure_logins"
            | "login_with_host" => self.odd_login(verb, step).await,
            "start_login" => self.start_login(step).await,
            "finish_login" => self.finish_login(step).await,
            "get" => self.get_step(step).await,
            "follow_until" => self.follow_until(step).await,
            "follow_max" => self.follow_max(step).await,
            "replay" => self.replay(step).await,
            "drop_cookies" => {
                self.drop_cookies();
                Ok(())
            }
            "plant_cookie" => self.plant_cookie(step).await,
            "swap_cookie" => self.swap_cookie(step).await,
            "cookie_mutate" | "cookie_chunks" => self.mutate_cookie(verb, step).await,
            "saml_case" | "saml_start" | "relay_state" => self.saml_step(verb, step).await,
            "logout" => self.logout(step).await,
            "bclo" | "bclo_flood" => self.back_channel_step(verb, step).await,
            "compare" => self.compare_step(step.text(verb).unwrap_or_default()).await,
            "brute" | "break_glass" | "local_user" => self.local_step(verb, step).await,
            "clock" => self.clock(step).await,
            "kill9_restart" => {
                self.world.callback.behave(None);
                self.world.restart().await.map_err(Stop::Fail)?;
                self.note_process();
                Ok(())
            }
            "reload" | "rotate_keys" | "config" | "usher.config" | "usher" | "start" => {
                self.config_step(verb, step).await
            }
            verb if verb.starts_with("scim.") => self.scim_step(verb, step).await,
            "jit" | "jit.inspect" | "upstream.raw" | "upstream.respond" => {
                self.double_step(verb, step).await
            }
            "resume" | "release" => {
                self.world.callback.behave(None);
                self.open.clear();
                self.resume_paused().await
            }
            verb if verb.starts_with("op.") || verb.starts_with("op2.") => {
                self.idp_step(verb, step).await
            }
            other => self.load_step(other, step).await,
        }
    }

    async fn request_step(&mut self, step: &Map<String, Value>) -> Done {
        let mut request = step["request"].clone();
        if let (Some(who), true) = (step.get("as"), request["cookies"].is_null()) {
            request["cookies"] = who.clone();
        }
        self.fill_in_local(&mut request).await?;
        let request = &request;
        let number = |key: &str| step.get(key).and_then(Value::as_u64);
        if let Some(users) = number("parallel_users") {
            let each = number("requests_each").unwrap_or(1);
            return self.isolation(users, each, request).await;
        }
        if let Some(times) = number("parallel") {
            return self.parallel_requests(times, request).await;
        }
        let rounds = number("times").unwrap_or(1);
        for _ in 0..rounds {
            self.request(request).await?;
        }
        Ok(())
    }
}
