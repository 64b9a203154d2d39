//! Assertions about sessions, the IdP, the callback, and what steps measured.

use super::{
    flow,
    judge::{
        Verdict,
        Verdict::{Fails, Holds, NotJudged},
        compared, leads_to_idp, when,
    },
    predicate::{Operator, Predicate, compare},
    run::{ANONYMOUS, Run},
    world::registered_after_logout,
};

impl Run<'_> {
    /// Sessions and people.
    pub(super) async fn judge_sessions(
        &mut self,
        p: &Predicate,
    ) -> Result<Option<Verdict>, String> {
        let argument = p.argument.clone().unwrap_or_default();
        Ok(Some(match p.name.as_str() {
            "alive" => self.judge_alive().await?,
            "no_session" | "no_session_with_weak_key" => self.judge_no_session(&argument).await?,
            "session" => {
                let browser = self
                    .browsers
                    .get(&argument)
                    .or_else(|| self.world.actors.get(&argument));
                let browser = browser
                    .cloned()
                    .ok_or_else(|| format!("no session {argument:?}"))?;
                let valid = flow::is_valid(self.world, &browser).await?;
                compared(if valid { "valid" } else { "invalid" }, p)?
            }
            "session_after" => self.judge_moment(p, &argument).await?,
            "principals.distinct" => {
                // A sign-in that was refused joined nobody either.
                let mut users = std::collections::BTreeSet::new();
                for (n, tried) in self.tried.iter().enumerate() {
                    let refused = || format!("refused {n}");
                    users.insert(tried.user.clone().unwrap_or_else(refused));
                }
                compared(&users.len().to_string(), p)?
            }
            "principal" => {
                let name = argument.trim_start_matches("sub=").to_owned();
                let before = self.people.get(&name).map(|person| person.id.clone());
                let now = self
                    .know(&name)
                    .await
                    .ok()
                    .flatten()
                    .map(|person| person.id);
                compared(
                    if before == now {
                        "unchanged"
                    } else {
                        "changed"
                    },
                    p,
                )?
            }
            "login" if p.argument.is_some() => {
                let mut browser = self.world.browser().await?;
                let start = flow::start_url(&argument);
                let flow = flow::sign_in(&mut browser, &start, "bob", flow::Until::Answered).await;
                let valid = flow::is_valid(self.world, &browser).await?;
                let status = flow.answer.map_or(0, |a| a.status);
                let shown = match (valid, status) {
                    (true, _) => "ok".to_owned(),
                    (false, 503) => "unavailable".to_owned(),
                    (false, status) => format!("refused with {status}"),
                };
                compared(&shown, p)?
            }
            "conn" => {
                let Some(wire) = self.wire.as_mut() else {
                    return Err("no connection".to_owned());
                };
                let closed = wire.closes_within(std::time::Duration::from_secs(1)).await;
                compared(if closed { "closed" } else { "open" }, p)?
            }
            "cross_user_mismatch" => self.judge_cross_user().await?,
            name if name.starts_with("upstream.jwt") => self.judge_jwt(p, &argument).await?,
            _ => return Ok(None),
        }))
    }

    pub(super) async fn judge_alive(&mut self) -> Result<Verdict, String> {
        let pid = self.pid;
        let usher = self.world.usher().await?;
        if pid.is_some_and(|pid| pid != usher.pid()) {
            return Ok(Fails("another process".to_owned()));
        }
        let healthy = usher.is_healthy().await;
        Ok(when(
            healthy && usher.is_running(),
            "/healthz does not answer 200 within 1 s",
        ))
    }

    pub(super) async fn judge_no_session(&mut self, name: &str) -> Result<Verdict, String> {
        let name = if name.is_empty() {
            self.current.clone()
        } else {
            name.to_owned()
        };
        let Some(browser) = self.browsers.get(&name).cloned() else {
            return Ok(when(name == ANONYMOUS, format!("no attempt {name:?}")));
        };
        let answer = flow::secret(self.world, &browser).await?;
        Ok(when(answer.status != 200, "GET /secret is 200"))
    }

    pub(super) async fn judge_moment(
        &mut self,
        p: &Predicate,
        moment: &str,
    ) -> Result<Verdict, String> {
        if let Some(known) = self
            .values
            .get(&format!("session_after({moment})"))
            .cloned()
        {
            if moment == "removed" {
                return Ok(NotJudged(
                    "session ids are random, not sealed with a key".to_owned(),
                ));
            }
            return compared(&known, p);
        }
        let variant = self.variant.as_str().unwrap_or_default().to_owned();
        let applies = variant.contains(moment)
            || (moment == "5xx" && (variant.starts_with('5') || variant == "timeout"));
        if !applies {
            return Ok(Holds);
        }
        let browser = self
            .browser()
            .cloned()
            .ok_or_else(|| "nobody signed in".to_owned())?;
        let valid = flow::is_valid(self.world, &browser).await?;
        compared(if valid { "valid" } else { "invalid" }, p)
    }

    /// A hundred requests of another user over the same pool: each answer is that user's own.
    pub(super) async fn judge_cross_user(&mut self) -> Result<Verdict, String> {
        self.world.app.answer_with(None);
        let browser = match self.actor("bob").await {
            Ok(browser) => browser,
            Err(stop) => return Err(format!("{stop:?}")),
        };
        let own = self
            .people
            .get("bob")
            .map(|p| p.id.clone())
            .unwrap_or_default();
        let mut wrong = 0;
        for _ in 0..100 {
            let answer = flow::secret(self.world, &browser).await?;
            wrong += u32::from(answer.json()["user"] != own.as_str());
        }
        Ok(when(wrong == 0, format!("{wrong}/100")))
    }

    /// What the IdP and the callback saw.
    pub(super) async fn judge_peers(&mut self, p: &Predicate) -> Result<Option<Verdict>, String> {
        let counted = self.counted();
        let argument = p.argument.clone().unwrap_or_default();
        let op1 = &self.world.op1;
        Ok(Some(match p.name.as_str() {
            "op.token_calls" => compared(&counted.token.to_string(), p)?,
            "op.refresh_calls" => compared(&counted.refresh.to_string(), p)?,
            "op.jwks_calls" => compared(&counted.jwks.to_string(), p)?,
            "op.saw" => {
                let got = op1.last_authorize_param(&argument).unwrap_or_default();
                compared(&got, p)?
            }
            "op.verifiers_distinct" => {
                let calls = op1.token_requests();
                let new = usize::try_from(counted.token).unwrap_or(usize::MAX);
                let calls = &calls[calls.len().saturating_sub(new)..];
                let verifiers = calls.iter().filter_map(|c| c.param("code_verifier"));
                let set: std::collections::BTreeSet<_> = verifiers
                    .filter(|v| (43..=128).contains(&v.len()))
                    .collect();
                compared(&set.len().to_string(), p)?
            }
            "distinct_nonces" => {
                let calls = op1.authorize_requests();
                let calls = &calls[calls.len() - counted.authorize..];
                let nonces = calls.iter().flatten().filter(|(n, _)| n == "nonce");
                let set: std::collections::BTreeSet<_> = nonces.map(|(_, v)| v).collect();
                compared(&set.len().to_string(), p)?
            }
            "op.redirect_uri" | "op.post_logout_uri" => self.judge_registered(p),
            "op.redirect_target_hits" | "ssrf_sink_hits" => {
                let hits = self
                    .values
                    .get("ssrf_sink_hits")
                    .cloned()
                    .unwrap_or_else(|| "0".into());
                compared(&hits, p)?
            }
            "op.assertion.aud" | "op.assertion.exp_minus_iat" => self.judge_assertion(p)?,
            "op2.received_codes_of" => {
                let codes = self.world.op2.token_requests();
                let foreign = codes
                    .iter()
                    .filter(|c| c.param("grant_type") == Some("authorization_code"));
                compared(&foreign.count().to_string(), p)?
            }
            "jit.created" if p.argument.is_some() => {
                compared(&self.world.callback.created(&argument).to_string(), p)?
            }
            "jit.created" => compared(&self.world.callback.created_in_all().to_string(), p)?,
            "jit.calls" => compared(&counted.callback.to_string(), p)?,
            "jit.idempotency_keys_distinct" => {
                let calls = self.world.callback.calls();
                let new = calls.iter().skip(self.before.callback);
                let ids: std::collections::BTreeSet<_> = new.map(|call| call.id()).collect();
                compared(&ids.len().to_string(), p)?
            }
            "jit.duplicates" => {
                let calls = self.world.callback.calls();
                let new: Vec<_> = calls
                    .iter()
                    .skip(self.before.callback)
                    .map(|c| c.id())
                    .collect();
                let distinct: std::collections::BTreeSet<_> = new.iter().collect();
                compared(&(new.len() - distinct.len()).to_string(), p)?
            }
            "jit.body" => {
                let calls = self.world.callback.calls();
                let bodies: Vec<_> = calls.iter().map(|call| call.body.clone()).collect();
                compared(&bodies.join("\n"), p)?
            }
            "jit.calls_per_5s" => {
                let calls = self.world.callback.calls();
                let times: Vec<_> = calls
                    .iter()
                    .skip(self.before.callback)
                    .map(|c| c.at)
                    .collect();
                let window = std::time::Duration::from_secs(5);
                let within = |from: &std::time::Instant| {
                    times
                        .iter()
                        .filter(|at| *at >= from && at.duration_since(*from) < window)
                        .count()
                };
                compared(&times.iter().map(within).max().unwrap_or(0).to_string(), p)?
            }
            "jit.headers_constant" => {
                let calls = self.world.callback.calls();
                let names = calls.iter().skip(self.before.callback).map(|call| {
                    let names = call.head.fields.iter().map(|(n, _)| n.to_ascii_lowercase());
                    names.collect::<std::collections::BTreeSet<_>>()
                });
                let kinds: std::collections::BTreeSet<_> = names.collect();
                when(kinds.len() <= 1, format!("{kinds:?}"))
            }
            "jit.target" => {
                let calls = self.world.callback.calls();
                let target = calls.last().map(|call| call.head.target.clone());
                compared(&target.unwrap_or_default(), p)?
            }
            "sessions_without_account" => {
                let without = self.tried.iter().filter(|tried| {
                    let user = tried.user.clone().unwrap_or_default();
                    !user.is_empty() && self.world.callback.account(&user).is_none()
                });
                compared(&without.count().to_string(), p)?
            }
            _ => return Ok(None),
        }))
    }

    /// What the IdP was told about where to return: only URIs that are registered there.
    pub(super) fn judge_registered(&self, p: &Predicate) -> Verdict {
        let name = if p.name == "op.redirect_uri" {
            "redirect_uri"
        } else {
            "post_logout_redirect_uri"
        };
        let hosts = ["app", "other", "public"];
        let callbacks = hosts.map(|host| format!("https://{host}.test/_usher/oidc/op1/callback"));
        for (base, location) in self.locations.iter().filter(|(b, l)| leads_to_idp(b, l)) {
            let Ok(url) = base.join(location) else {
                continue;
            };
            let found = url
                .query_pairs()
                .find(|(n, _)| n == name)
                .map(|(_, v)| v.into_owned());
            let Some(found) = found else { continue };
            let known = callbacks.contains(&found) || registered_after_logout().contains(&found);
            if !known {
                return Fails(found);
            }
        }
        Holds
    }

    pub(super) fn judge_assertion(&self, p: &Predicate) -> Result<Verdict, String> {
        let calls = [
            self.world.op1.last_token_request(),
            self.world.op2.last_token_request(),
        ];
        let claims = calls
            .into_iter()
            .flatten()
            .find_map(|call| call.assertion_claims);
        let claims = claims.ok_or_else(|| "no client assertion was sent".to_owned())?;
        if p.name == "op.assertion.aud" {
            let got = claims["aud"]
                .as_str()
                .map_or_else(|| claims["aud"].to_string(), str::to_owned);
            return compared(&got, p);
        }
        let time = |name: &str| claims[name].as_i64().unwrap_or(i64::MAX / 2);
        compared(&(time("exp") - time("iat")).to_string(), p)
    }

    /// Lines of the audit log since the variant began whose action or outcome has the name; `admin`: also those by a token.
    fn audited(&self, word: &str) -> usize {
        let lines = self.world.audit();
        let has = |line: &&serde_json::Value| {
            let by_token = line["actor"]
                .as_str()
                .is_some_and(|actor| actor.starts_with("token:"));
            line["action"] == word || line["outcome"] == word || (word == "admin" && by_token)
        };
        lines.iter().skip(self.audit_start).filter(has).count()
    }

    /// What steps measured, memory and the log.
    pub(super) fn judge_measured(&mut self, p: &Predicate) -> Result<Verdict, String> {
        if p.name == "audit" && p.argument.as_deref() == Some("break_glass") {
            let lines = self.values.get("audit.break_glass");
            return compared(lines.map_or("0", String::as_str), p);
        }
        const LATER: [(&str, &str); 5] = [
            (
                "audit.client_ip",
                "requests of nobody are counted, and get no line in the audit log",
            ),
            (
                "resealed_with",
                "session ids are random, not sealed with a key",
            ),
            (
                "store.calls",
                "the store's calls are not visible from outside",
            ),
            ("grpc.status", "gRPC comes later"),
            ("redis_dump", "Redis comes later"),
        ];
        if let Some((_, why)) = LATER.iter().find(|(name, _)| *name == p.name) {
            return Ok(NotJudged(format!("{}: {why}", p.name)));
        }
        match p.name.as_str() {
            "rss_delta_mb" => {
                let Some(usher) = self.world.running() else {
                    return Err("usher does not run".into());
                };
                let (Some(peak), Some(before)) = (usher.peak(), self.resident) else {
                    return Ok(NotJudged("rss_delta_mb: needs /proc".to_owned()));
                };
                let grown = peak.saturating_sub(before) >> 20;
                return compared(&grown.to_string(), p);
            }
            "audit" => {
                let word = p.argument.clone().unwrap_or_default();
                return compared(&self.audited(&word).to_string(), p);
            }
            // The answer is there: so must be the line.
            "audit.precedes_response" => {
                let there = self.audited("admin") > 0;
                return compared(&there.to_string(), p);
            }
            "log" => {
                let log = self.log();
                let shown = compare(&log, p.operator, &p.value)?;
                return Ok(when(shown, "a line of the log"));
            }
            "within_ms_when_open" => {
                return compared(&self.step_took.as_millis().to_string(), p);
            }
            "log_bytes_per_req" => {
                let requests = self.answers.len().max(self.hits.len()).max(1);
                return compared(&(self.log().len() / requests).to_string(), p);
            }
            "rss_per_conn_kib" => {
                let held = self.values.get("conns").and_then(|v| v.parse::<u64>().ok());
                let held = held.ok_or_else(|| "no connections were held".to_owned())?;
                let Some(usher) = self.world.running() else {
                    return Err("usher does not run".into());
                };
                let (Some(peak), Some(before)) = (usher.peak(), self.resident) else {
                    return Ok(NotJudged("rss_per_conn_kib: needs /proc".to_owned()));
                };
                let each = (peak.saturating_sub(before) >> 10) / held.max(1);
                return compared(&each.to_string(), p);
            }
            "log.lines" => return compared(&self.log().lines().count().to_string(), p),
            "bytes_read" => {
                // What the app got of a body that usher must not take.
                let read: u64 = self.hits.iter().map(|seen| seen.body_length).sum();
                return compared(&read.to_string(), p);
            }
            "boundary" => return Ok(self.judge_boundary()),
            "jit.max_concurrent" if p.value == "cap" => {
                let most = self.world.callback.most_at_once();
                return Ok(when(most <= 32, most));
            }
            "cookie_after" => {
                let value = |name: &str| self.values.get(name).cloned().unwrap_or_default();
                let after = value("cookie_after");
                let same = after == value(&p.value);
                let changed = !after.is_empty() && (same == (p.operator == Operator::Is));
                return Ok(when(changed, "the cookie is the same, or there is none"));
            }
            _ => {}
        }
        let name = match &p.argument {
            Some(argument) => format!("{}({argument})", p.name),
            None => p.name.clone(),
        };
        match self.values.get(&name).cloned() {
            Some(value) if p.operator == Operator::Holds => Ok(when(value == "true", value)),
            Some(value) => compared(&value, p),
            None => Err(format!("unknown predicate {name}")),
        }
    }

    /// Clock skew up to 60 s is taken, more is not.
    pub(super) fn judge_boundary(&self) -> Verdict {
        let text = self.variant.as_str().unwrap_or_default();
        let seconds = text
            .trim_end_matches('s')
            .trim_start_matches('+')
            .parse::<i64>()
            .unwrap_or(0);
        let signed_in = self.tried.last().is_some_and(|tried| tried.user.is_some());
        let wanted = seconds.abs() <= 60;
        when(
            signed_in == wanted,
            if signed_in { "signed in" } else { "refused" },
        )
    }
}
