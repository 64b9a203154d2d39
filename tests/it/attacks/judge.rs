//! The assertions of a row, judged on what a run left.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::Value;
use url::Url;

use super::{
    flow,
    predicate::{Operator, Predicate, compare, matches, status_fits},
    readings::{is_public, is_under, readings},
    run::{IDENTITY, Run, SESSION_COOKIE},
    template::expand,
    world::{app_id, registered_after_logout, site},
};
use crate::support::recorder::{Seen, cgi_name};

/// What an assertion came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Holds,
    /// What was found instead.
    Fails(String),
    /// It speaks of something that does not exist yet.
    NotJudged(String),
}

use Verdict::{Fails, Holds, NotJudged};

/// Holds, or fails with what was found.
fn when(holds: bool, found: impl ToString) -> Verdict {
    if holds {
        Holds
    } else {
        Fails(found.to_string())
    }
}

/// Compares, and shows what was found.
fn compared(got: &str, predicate: &Predicate) -> Result<Verdict, String> {
    let holds = compare(got, predicate.operator, &predicate.value)?;
    Ok(when(
        holds,
        if got.len() > 200 {
            &got[..floor(got, 200)]
        } else {
            got
        },
    ))
}

fn floor(text: &str, mut at: usize) -> usize {
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// True where `name` fits a pattern with `*`.
pub(super) fn glob(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((start, "")) => name.starts_with(start),
        Some((start, end)) => {
            name.len() >= start.len() + end.len() && name.starts_with(start) && name.ends_with(end)
        }
    }
}

impl Run<'_> {
    /// Judges one assertion; an error names what this runner does not know.
    pub(super) async fn judge(&mut self, text: &str) -> Result<Verdict, String> {
        let text = if text.contains("{{") {
            expand(text, self)?
        } else {
            text.to_owned()
        };
        let predicate = Predicate::parse(&text);
        if let Some(verdict) = self.judge_answer(&predicate)? {
            return Ok(verdict);
        }
        if let Some(verdict) = self.judge_app(&predicate)? {
            return Ok(verdict);
        }
        if let Some(verdict) = self.judge_sessions(&predicate).await? {
            return Ok(verdict);
        }
        if let Some(verdict) = self.judge_peers(&predicate).await? {
            return Ok(verdict);
        }
        self.judge_measured(&predicate)
    }

    /// Status, headers, body and connection of the last answer.
    fn judge_answer(&mut self, p: &Predicate) -> Result<Option<Verdict>, String> {
        let last = self.last.clone();
        let status = last.as_ref().map_or(0, |a| a.status);
        let argument = p.argument.clone().unwrap_or_default();
        Ok(Some(match p.name.as_str() {
            "status" => self.judge_status(p, status),
            "statuses" => {
                let wanted: Vec<_> = p
                    .value
                    .split([',', ' '])
                    .filter(|s| !s.is_empty())
                    .collect();
                let got: Vec<_> = self.on_wire.iter().map(|a| a.status).collect();
                let fit = wanted.len() == got.len()
                    && wanted.iter().zip(&got).all(|(w, g)| status_fits(w, *g));
                when(fit, format!("{got:?}"))
            }
            "resp.header" => {
                let values = last.as_ref().map(|a| a.all(&argument)).unwrap_or_default();
                one_of(&values, p)?
            }
            "resp.header.count" => {
                compared(&last.map_or(0, |a| a.all(&argument).len()).to_string(), p)?
            }
            "resp.no_forged" => {
                let told = last.map(|a| a.fields).unwrap_or_default();
                let bad = told.iter().find(|(n, v)| {
                    is_identity(n)
                        && self
                            .forged
                            .contains(&String::from_utf8_lossy(v).into_owned())
                });
                when(bad.is_none(), format!("{bad:?}"))
            }
            "body" | "resp.body" if p.argument.is_none() => {
                compared(&last.map(|a| a.text()).unwrap_or_default(), p)?
            }
            "resp.body" => self.compare_bodies(p, &argument)?,
            "body_len" => compared(&last.map_or(0, |a| a.body.len()).to_string(), p)?,
            "resp" => self.same_as_app(),
            "h2.rejected" => {
                let told = matches!(status, 400 | 421 | 431);
                when(self.h2_refused || told, format!("status {status}"))
            }
            "no_crlf_in_headers" => self.judge_header_blocks(),
            "within_ms" => self.judge_time(p)?,
            "location" => self.judge_location(p)?,
            "location.host" => {
                let host = self
                    .locations
                    .last()
                    .and_then(|(base, to)| base.join(to).ok());
                let host = host
                    .and_then(|u| u.host_str().map(str::to_owned))
                    .unwrap_or_default();
                compared(&host, p)?
            }
            "location.sameorigin" => self.judge_same_origin(),
            "set_cookie" if p.argument.is_some() => self.judge_cookie_lines(p, &argument)?,
            "set_cookie" => {
                let lines = self.cookie_lines.join("\n");
                compared(&lines, p)?
            }
            "no_set_cookie" => {
                let lines = last.map(|a| a.all("set-cookie")).unwrap_or_default();
                when(
                    lines.is_empty(),
                    format!("{} Set-Cookie lines", lines.len()),
                )
            }
            "resp.no_set_cookie" => {
                let lines = last.map(|a| a.all("set-cookie")).unwrap_or_default();
                let own = lines
                    .iter()
                    .any(|l| l.split('=').next().map(str::trim) == Some(&argument));
                when(!own, "set")
            }
            "set_cookie_each" => {
                let longest = self.cookie_lines.iter().map(String::len).max().unwrap_or(0);
                compared(&longest.to_string(), p)?
            }
            "set_cookie_bytes" => {
                let all: usize = self.cookie_lines.iter().map(String::len).sum();
                compared(&all.to_string(), p)?
            }
            "set_cookie_deleted" => self.judge_deleted(&argument),
            _ => return Ok(None),
        }))
    }

    fn judge_status(&self, p: &Predicate, status: u16) -> Verdict {
        let fits = p.value.split('|').any(|one| status_fits(one, status));
        let holds = match p.operator {
            Operator::IsNot => !fits,
            _ => fits || (status == 421 && self.is_misdirected()),
        };
        when(
            holds,
            if status == 0 {
                "none".to_owned()
            } else {
                status.to_string()
            },
        )
    }

    /// True where the last request was for a host that no app has and was refused for that: the
    /// design answers 421, and nothing reaches the app.
    fn is_misdirected(&self) -> bool {
        let Some((host, answer)) = self.answers.last() else {
            return false;
        };
        let known = ["app.test", "other.test", "public.test"].contains(&host.as_str());
        !known && matches!(answer.status, 400 | 421)
    }

    fn compare_bodies(&self, p: &Predicate, host: &str) -> Result<Verdict, String> {
        let body_of = |host: &str| {
            let of = self.answers.iter().rev().find(|(h, _)| h == host);
            of.map(|(_, a)| a.text())
                .ok_or_else(|| format!("no answer for {host}"))
        };
        let got = body_of(host)?;
        let other = p
            .value
            .strip_prefix("resp.body(")
            .and_then(|v| v.strip_suffix(')'));
        let wanted = match other {
            Some(other) => body_of(other)?,
            None => p.value.clone(),
        };
        Ok(when(compare(&got, p.operator, &wanted)?, "the same body"))
    }

    /// True where the answer is what the app gave to the very same method.
    fn same_as_app(&self) -> Verdict {
        let Some(answer) = &self.last else {
            return Fails("no answer".to_owned());
        };
        let Some(seen) = self.hits.last() else {
            return Fails("the app saw nothing".to_owned());
        };
        let method = answer.header("x-app-method").unwrap_or_default();
        let body = seen.method == "HEAD" || answer.json()["method"] == seen.method.as_str();
        let same = answer.status == 200 && method == seen.method && body;
        when(same, format!("status {} for {method:?}", answer.status))
    }

    /// Every header of usher's own answers is one that usher sets.
    fn judge_header_blocks(&self) -> Verdict {
        const KNOWN: [&str; 32] = [
            "content-type",
            "content-length",
            "location",
            "set-cookie",
            "cache-control",
            "date",
            "x-request-id",
            "content-security-policy",
            "x-content-type-options",
            "x-frame-options",
            "referrer-policy",
            "vary",
            "retry-after",
            "strict-transport-security",
            "permissions-policy",
            "cross-origin-opener-policy",
            "cross-origin-resource-policy",
            "cross-origin-embedder-policy",
            "connection",
            "keep-alive",
            "transfer-encoding",
            "pragma",
            "expires",
            "www-authenticate",
            "x-app-method",
            "server",
            "allow",
            "refresh",
            "etag",
            "x-robots-tag",
            "clear-site-data",
            "trailer",
        ];
        for answer in self.own.iter().chain(&self.last) {
            for (name, value) in &answer.fields {
                let name = name.to_ascii_lowercase();
                if !KNOWN.contains(&name.as_str()) {
                    return Fails(format!("header {name:?}"));
                }
                let own = value.starts_with(b"__Host-usher") || value.starts_with(b"usher");
                if name == "set-cookie" && !own {
                    return Fails("a cookie that is not usher's".to_owned());
                }
            }
            let bare = answer.raw_head.iter().enumerate().any(|(n, b)| {
                let before = n.checked_sub(1).and_then(|n| answer.raw_head.get(n));
                *b == b'\n' && before != Some(&b'\r')
            });
            if bare {
                return Fails("a bare LF in the header block".to_owned());
            }
        }
        Holds
    }

    fn judge_time(&self, p: &Predicate) -> Result<Verdict, String> {
        // The callback is tried for 8 s in all.
        let most = match p.value.strip_prefix("deadline") {
            None => p.value.clone(),
            Some(more) => {
                let more: u64 = more.trim_start_matches('+').parse().unwrap_or(0);
                (8000 + more).to_string()
            }
        };
        let took = self.step_took.as_millis().to_string();
        Ok(when(compare(&took, p.operator, &most)?, took))
    }

    fn judge_location(&self, p: &Predicate) -> Result<Verdict, String> {
        let to_browser: Vec<_> = self
            .locations
            .iter()
            .filter(|(b, l)| !leads_to_idp(b, l))
            .collect();
        if matches!(p.operator, Operator::MatchesNot) {
            for (_, location) in &self.locations_for(p) {
                if matches(&p.value, location)? {
                    return Ok(Fails(location.clone()));
                }
            }
            return Ok(Holds);
        }
        let Some((base, location)) = to_browser.last() else {
            return Ok(Fails("no Location".to_owned()));
        };
        let absolute = p.value.starts_with('/')
            && location.strip_prefix(&base.origin().ascii_serialization())
                == Some(p.value.as_str());
        Ok(when(
            absolute || compare(location, p.operator, &p.value)?,
            location,
        ))
    }

    /// Where a row says what no Location may hold, hops to the IdP count only if it names hosts.
    fn locations_for(&self, p: &Predicate) -> Vec<(Url, String)> {
        let with_idp = p.value.contains("evil");
        let all = self.locations.iter();
        all.filter(|(b, l)| with_idp || !leads_to_idp(b, l))
            .cloned()
            .collect()
    }

    fn judge_same_origin(&self) -> Verdict {
        for (base, location) in &self.locations {
            if leads_to_idp(base, location) {
                continue;
            }
            let Ok(url) = base.join(location) else {
                return Fails(format!("{location:?} is no URL"));
            };
            if !is_allowed_origin(&url) {
                return Fails(location.clone());
            }
        }
        Holds
    }

    fn judge_cookie_lines(&self, p: &Predicate, pattern: &str) -> Result<Verdict, String> {
        let lines: Vec<_> = self
            .cookie_lines
            .iter()
            .filter(|line| glob(pattern, line.split('=').next().unwrap_or_default().trim()))
            // A deletion says nothing about how the cookie was kept.
            .filter(|line| !line.contains("Max-Age=0"))
            .collect();
        if lines.is_empty() {
            return Ok(when(p.value == "absent", format!("no cookie {pattern}")));
        }
        for line in &lines {
            if !compare(line, p.operator, &p.value)? {
                let attributes = line.split_once(';').map_or("", |(_, rest)| rest);
                return Ok(Fails(attributes.trim().to_owned()));
            }
        }
        Ok(Holds)
    }

    fn judge_deleted(&self, which: &str) -> Verdict {
        let had = self.kept.get("had_cookies").cloned().unwrap_or_default();
        for name in had
            .split_whitespace()
            .filter(|n| which == "all" || glob(which, n))
        {
            let ends = |line: &&String| {
                let own = line.split('=').next() == Some(name);
                own && line.contains("Max-Age=0")
                    && line.contains("Path=/")
                    && line.contains("Secure")
            };
            if !self.cookie_lines.iter().any(|line| ends(&line)) {
                return Fails(format!("{name} is not deleted"));
            }
        }
        when(!had.is_empty(), "there was no cookie to delete")
    }

    /// What the app's recorder saw.
    fn judge_app(&mut self, p: &Predicate) -> Result<Option<Verdict>, String> {
        let argument = p.argument.clone().unwrap_or_default();
        let hits = self.hits.clone();
        Ok(Some(match p.name.as_str() {
            "upstream.hits" => compared(&hits.len().to_string(), p)?,
            "upstream.header" => self.judge_header(p, &argument)?,
            "upstream.header.count" => {
                let counts: Vec<_> = hits.iter().map(|seen| seen.all(&argument).len()).collect();
                let fits = |n: &usize| compare(&n.to_string(), p.operator, &p.value);
                let at_most = p.operator == Operator::AtMost || self.is_misdirected();
                let all = counts.iter().map(fits).collect::<Result<Vec<_>, _>>()?;
                let holds = (at_most || !all.is_empty()) && all.iter().all(|fit| *fit);
                when(holds, format!("{counts:?}"))
            }
            "upstream.trailer" => {
                let trailers = hits.iter().flat_map(|seen| &seen.trailers);
                let same = trailers.filter(|(n, _)| cgi_name(n) == cgi_name(&argument));
                let values: Vec<_> = same
                    .map(|(_, v)| String::from_utf8_lossy(v).into_owned())
                    .collect();
                one_of(&values, p)?
            }
            "upstream.no_forged" => self.judge_forged(&hits),
            "upstream.framing_canonical" => {
                let faulty = hits.iter().find(|seen| !seen.faults.is_empty());
                when(
                    faulty.is_none(),
                    format!("{:?}", faulty.map(|seen| &seen.faults)),
                )
            }
            "upstream.headers_ascii" => {
                let plain = |b: &u8| (0x20..=0x7e).contains(b);
                let odd = hits
                    .iter()
                    .flat_map(|s| &s.fields)
                    .find(|(_, v)| !v.iter().all(plain));
                when(odd.is_none(), format!("{:?}", odd.map(|(n, _)| n)))
            }
            "upstream.target" => {
                let got = hits
                    .last()
                    .map(|seen| seen.target.clone())
                    .unwrap_or_default();
                let documented = self.last.as_ref().is_some_and(|a| a.status == 400);
                if hits.is_empty() && documented {
                    Holds
                } else {
                    compared(&got, p)?
                }
            }
            "upstream.body_len" => compared(
                &hits.last().map_or(0, |seen| seen.body_length).to_string(),
                p,
            )?,
            "upstream.groups" => {
                let got = hits.last().and_then(|s| s.header("x-forwarded-groups"));
                compared(&got.unwrap_or_default(), p)?
            }
            "upstream.cookie" => {
                let sent = hits
                    .last()
                    .and_then(|s| s.header("cookie"))
                    .unwrap_or_default();
                let pairs = sent.split(';').filter_map(|c| c.trim().split_once('='));
                let values: Vec<_> = pairs
                    .filter(|(n, _)| glob(&argument, n))
                    .map(|(_, v)| v.to_owned())
                    .collect();
                one_of(&values, p)?
            }
            "upstream.no_canary" => {
                let found = hits.iter().any(|s| {
                    crate::support::wire::find(&s.raw_head, argument.as_bytes()).is_some()
                });
                when(!found, "seen")
            }
            "upstream.conn_reused" => self.judge_reuse(p)?,
            "upstream.role" => self.judge_role(p, &argument),
            name if name.starts_with("upstream.jwt") => return Ok(None),
            "smuggled.hits" => {
                let bad = |s: &&Seen| {
                    s.target.contains("?smuggled") || s.header("x-request-id").is_none()
                };
                compared(&hits.iter().filter(bad).count().to_string(), p)?
            }
            "invariant.norm_target_in_public" => {
                let inside = |s: &Seen| {
                    readings(&s.target).is_some_and(|all| all.iter().all(|r| is_public(r)))
                };
                let outside = hits.iter().find(|s| !inside(s));
                when(
                    outside.is_none(),
                    format!("{:?}", outside.map(|s| &s.target)),
                )
            }
            "invariant.norm_target_not_under" => {
                let under = |s: &Seen| {
                    readings(&s.target).is_none_or(|all| all.iter().any(|r| is_under(r, &argument)))
                };
                let inside = hits.iter().find(|s| under(s));
                when(inside.is_none(), format!("{:?}", inside.map(|s| &s.target)))
            }
            _ => return Ok(None),
        }))
    }

    fn judge_header(&self, p: &Predicate, name: &str) -> Result<Verdict, String> {
        let values: Vec<String> = self.hits.iter().flat_map(|seen| seen.all(name)).collect();
        let own = self.own_value(&p.value, name);
        match (&own, p.operator) {
            (Some(own), Operator::Is) => {
                let all = !values.is_empty() && values.iter().all(|value| value == own);
                Ok(when(all, format!("{values:?}, not {own:?}")))
            }
            (Some(own), Operator::IsNot) => Ok(when(!values.contains(own), format!("{values:?}"))),
            _ => one_of(&values, p),
        }
    }

    /// No identity header carries what a client sent; to the anonymous there is none at all.
    fn judge_forged(&self, hits: &[Seen]) -> Verdict {
        for seen in hits {
            for name in IDENTITY {
                for value in seen.folded(name) {
                    if self.forged.contains(&value) && !self.is_own(&value) {
                        return Fails(format!("{name}: {value}"));
                    }
                }
                let spellings = seen
                    .fields
                    .iter()
                    .filter(|(n, _)| cgi_name(n) == cgi_name(name));
                if let Some((odd, _)) = spellings
                    .clone()
                    .find(|(n, _)| !n.eq_ignore_ascii_case(name))
                {
                    return Fails(format!("{odd} reaches the app"));
                }
                if seen
                    .trailers
                    .iter()
                    .any(|(n, _)| cgi_name(n) == cgi_name(name))
                {
                    return Fails(format!("{name} in the trailers"));
                }
            }
        }
        Holds
    }

    /// True for a value that a session of this run really has.
    fn is_own(&self, value: &str) -> bool {
        self.people.iter().any(|(name, person)| {
            [&person.id, &person.email, &person.name, name].contains(&&value.to_owned())
                || person.roles.join(",") == value
        })
    }

    fn judge_reuse(&self, p: &Predicate) -> Result<Verdict, String> {
        let words = self
            .kept
            .get("spoiled")
            .map(String::as_str)
            .unwrap_or_default();
        let spoiled = self.hits.first().map(|seen| seen.connection);
        let later = self
            .hits
            .iter()
            .skip(1)
            .any(|seen| Some(seen.connection) == spoiled);
        // A body that is longer than promised shows only as extra bytes; what RFC 9112 forbids to
        // read is enough for the others.
        let shown = if later { "yes" } else { "no" };
        Ok(when(
            compare(shown, p.operator, &p.value)?,
            format!("{shown} ({words})"),
        ))
    }

    fn judge_role(&self, p: &Predicate, role: &str) -> Verdict {
        let in_header = |seen: &Seen| {
            let listed = seen.header("x-forwarded-roles").unwrap_or_default();
            listed.split(',').any(|one| one.trim() == role)
        };
        let in_jwt = |seen: &Seen| {
            let claims = jwt_claims(seen).unwrap_or_default();
            claims["roles"]
                .as_array()
                .is_some_and(|all| all.iter().any(|one| one == role))
        };
        let at_app = self.hits.iter().any(|seen| in_header(seen) || in_jwt(seen));
        let last = self.tried.last();
        let in_session = last.is_some_and(|tried| tried.roles.iter().any(|one| one == role));
        let present = at_app || in_session;
        when(
            present == (p.value != "absent"),
            if present { "present" } else { "absent" },
        )
    }

    /// Sessions and people.
    async fn judge_sessions(&mut self, p: &Predicate) -> Result<Option<Verdict>, String> {
        let argument = p.argument.clone().unwrap_or_default();
        Ok(Some(match p.name.as_str() {
            "alive" => self.judge_alive().await?,
            "no_session" => self.judge_no_session(&argument).await?,
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

    async fn judge_alive(&mut self) -> Result<Verdict, String> {
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

    async fn judge_no_session(&mut self, name: &str) -> Result<Verdict, String> {
        let name = if name.is_empty() {
            self.current.clone()
        } else {
            name.to_owned()
        };
        let Some(browser) = self.browsers.get(&name).cloned() else {
            return Ok(when(name == "anonymous", format!("no attempt {name:?}")));
        };
        let answer = flow::secret(self.world, &browser).await?;
        Ok(when(answer.status != 200, "GET /secret is 200"))
    }

    async fn judge_moment(&mut self, p: &Predicate, moment: &str) -> Result<Verdict, String> {
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
    async fn judge_cross_user(&mut self) -> Result<Verdict, String> {
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

    async fn judge_jwt(&mut self, p: &Predicate, argument: &str) -> Result<Verdict, String> {
        let Some(seen) = self.hits.last().cloned() else {
            return Ok(Fails("the app saw nothing".to_owned()));
        };
        let token = seen
            .header("x-usher-jwt")
            .ok_or_else(|| "no X-Usher-Jwt".to_owned())?;
        let claims = jwt_claims(&seen).ok_or_else(|| "X-Usher-Jwt is no JWT".to_owned())?;
        let header = part(&token, 0).unwrap_or_default();
        let text = |name: &str| claims[name].as_str().unwrap_or_default().to_owned();
        Ok(match p.name.as_str() {
            "upstream.jwt.aud" => when(text("aud") == app_id(&p.value), text("aud")),
            "upstream.jwt.sub" => {
                let own = self.people.get(&p.value).map(|person| person.id.clone());
                when(own == Some(text("sub")), text("sub"))
            }
            "upstream.jwt.exp_minus_iat" => {
                let time = |name: &str| claims[name].as_i64().unwrap_or(i64::MAX / 2);
                compared(&(time("exp") - time("iat")).to_string(), p)?
            }
            "upstream.jwt.has" => {
                let missing = argument
                    .split(',')
                    .map(str::trim)
                    .find(|name| claims.get(*name).is_none() && header.get(*name).is_none());
                when(missing.is_none(), format!("{missing:?} is missing"))
            }
            "upstream.jwt.verifies" => {
                let verified = self.verify_jwt(&token, &text("aud")).await;
                let wanted = !matches!(p.value.as_str(), "false" | "no");
                when(verified.is_ok() == wanted, format!("{verified:?}"))
            }
            name => {
                let claim = name.trim_start_matches("upstream.jwt.");
                let value = &claims[claim];
                let shown = value
                    .as_str()
                    .map_or_else(|| value.to_string(), str::to_owned);
                compared(&shown, p)?
            }
        })
    }

    async fn verify_jwt(&mut self, token: &str, audience: &str) -> Result<(), String> {
        use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, jwk::JwkSet};
        let answer = flow::get(self.world, &site("/_usher/jwks.json"), None).await?;
        let keys: JwkSet = serde_json::from_slice(&answer.body).map_err(|e| e.to_string())?;
        let kid = jsonwebtoken::decode_header(token)
            .map_err(|e| e.to_string())?
            .kid;
        let jwk = keys
            .find(&kid.unwrap_or_default())
            .ok_or("kid is not in the JWKS")?;
        let key = DecodingKey::from_jwk(jwk).map_err(|e| e.to_string())?;
        let mut rules = Validation::new(Algorithm::ES256);
        rules.set_audience(&[audience]);
        decode::<Value>(token, &key, &rules)
            .map(|_| ())
            .map_err(|e| e.to_string())
    }

    /// What the IdP and the callback saw.
    async fn judge_peers(&mut self, p: &Predicate) -> Result<Option<Verdict>, String> {
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
    fn judge_registered(&self, p: &Predicate) -> Verdict {
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

    fn judge_assertion(&self, p: &Predicate) -> Result<Verdict, String> {
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

    /// What steps measured, memory and the log.
    fn judge_measured(&mut self, p: &Predicate) -> Result<Verdict, String> {
        const LATER: [(&str, &str); 7] = [
            ("audit", "the audit log comes later"),
            ("audit.client_ip", "the audit log comes later"),
            ("audit.precedes_response", "the audit log comes later"),
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
            "log" => {
                let log = self.log();
                let shown = compare(&log, p.operator, &p.value)?;
                return Ok(when(shown, "a line of the log"));
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
    fn judge_boundary(&self) -> Verdict {
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

/// Compares a list of values: `absent`, `absent_or_empty`, or each by the operator.
fn one_of(values: &[String], p: &Predicate) -> Result<Verdict, String> {
    let shown = || format!("{values:?}");
    match (p.operator, p.value.as_str()) {
        (Operator::Is, "absent") => return Ok(when(values.is_empty(), shown())),
        (Operator::Is, "absent_or_empty") => {
            return Ok(when(values.iter().all(String::is_empty), shown()));
        }
        (Operator::IsNot, "absent") => return Ok(when(!values.is_empty(), shown())),
        _ => {}
    }
    let negative = matches!(p.operator, Operator::IsNot | Operator::MatchesNot);
    if values.is_empty() {
        return Ok(when(negative, "absent"));
    }
    for value in values {
        if !compare(value, p.operator, &p.value)? {
            return Ok(Fails(shown()));
        }
    }
    Ok(Holds)
}

fn is_identity(name: &str) -> bool {
    IDENTITY
        .iter()
        .any(|known| cgi_name(known) == cgi_name(name))
}

/// True for a redirect to the test IdP's own endpoints.
fn leads_to_idp(base: &Url, location: &str) -> bool {
    base.join(location)
        .is_ok_and(|url| flow::is_idp(&url) && url.scheme() == "http" && url.username().is_empty())
}

/// The catalogue's allowed origins: the three hosts' own, `*.apps.test`, `port.test:8080`.
pub(super) fn is_allowed_origin(url: &Url) -> bool {
    let plain = url.username().is_empty() && url.password().is_none();
    if !plain || url.scheme() != "https" {
        return false;
    }
    let host = url.host_str().unwrap_or_default();
    let port = url.port_or_known_default();
    let own =
        ["app.test", "other.test", "public.test"].contains(&host) || host.ends_with(".apps.test");
    (own && port == Some(443)) || (host == "port.test" && port == Some(8080))
}

fn jwt_claims(seen: &Seen) -> Option<Value> {
    part(&seen.header("x-usher-jwt")?, 1)
}

fn part(token: &str, at: usize) -> Option<Value> {
    let text = token.split('.').nth(at)?;
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).ok()?).ok()
}

/// The value of the session cookie in a jar, for telling whether it changed.
pub(super) const COOKIE: &str = SESSION_COOKIE;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn allowed_origins_are_judged_as_browsers_read_them() {
        let base = site("/");
        let ok = |to: &str| base.join(to).is_ok_and(|url| is_allowed_origin(&url));
        for good in [
            "/ok",
            "https://sub.apps.test/",
            "https://port.test:8080/x",
            "//other.test/",
        ] {
            assert!(ok(good), "{good}");
        }
        for bad in [
            "//evil.test",
            "/\\evil.test",
            "/\t/evil.test",
            "https:/\\evil.test",
            "https:\\\\evil.test",
            "https://app.test@evil.test",
            "https://user@app.test/",
            "https://app.test:8443/",
            "javascript:alert(1)",
            "https://apps.test.evil.test",
            "https://evilapps.test",
            "http://app.test/",
        ] {
            assert!(!ok(bad), "{bad}");
        }
    }

    #[test]
    fn globs_fit_at_both_ends() {
        assert!(glob("__Host-usher-state-*", "__Host-usher-state-1"));
        assert!(!glob("__Host-usher-state-*", "__Host-usher"));
        assert!(glob("a*z", "abz"));
        assert!(!glob("a", "ab"));
    }

    #[test]
    fn lists_compare_each_value() {
        let p = |text: &str| Predicate::parse(text);
        let list = |v: &[&str]| v.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>();
        let is = |v: &[&str], text: &str| one_of(&list(v), &p(text)).unwrap() == Holds;
        assert!(is(&[], "h=absent"));
        assert!(!is(&["x"], "h=absent"));
        assert!(is(&[""], "h=absent_or_empty"));
        assert!(!is(&[], "h=x"));
        assert!(is(&[], "h!~x"));
        assert!(!is(&["a", "x"], "h!~x"));
        assert!(!is(&["a", "x"], "h=a"));
    }
}
