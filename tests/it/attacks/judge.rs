//! The assertions of a row, judged on what a run left.

use url::Url;

use super::{
    flow,
    predicate::{Operator, Predicate, compare, matches, status_fits},
    run::{IDENTITY, Run},
    template::expand,
};
use crate::support::recorder::cgi_name;

/// What an assertion came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Holds,
    /// What was found instead.
    Fails(String),
    /// It speaks of something that does not exist yet.
    NotJudged(String),
}

use Verdict::{Fails, Holds};

/// Holds, or fails with what was found.
pub(super) fn when(holds: bool, found: impl ToString) -> Verdict {
    if holds {
        Holds
    } else {
        Fails(found.to_string())
    }
}

/// Compares, and shows what was found.
pub(super) fn compared(got: &str, predicate: &Predicate) -> Result<Verdict, String> {
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
        if let Some(verdict) = self.judge_admin(&predicate).await? {
            return Ok(verdict);
        }
        if let Some(verdict) = self.judge_app(&predicate)? {
            return Ok(verdict);
        }
        if let Some(verdict) = self.judge_pages(&predicate).await? {
            return Ok(verdict);
        }
        if let Some(verdict) = self.judge_sessions(&predicate).await? {
            return Ok(verdict);
        }
        if let Some(verdict) = self.judge_scim(&predicate)? {
            return Ok(verdict);
        }
        if let Some(verdict) = self.judge_peers(&predicate).await? {
            return Ok(verdict);
        }
        self.judge_measured(&predicate)
    }

    /// Status, headers, body and connection of the last answer.
    pub(super) fn judge_answer(&mut self, p: &Predicate) -> Result<Option<Verdict>, String> {
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
            "invariant.described_in_public" => self.judge_described(status)?,
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

    pub(super) fn judge_status(&self, p: &Predicate, status: u16) -> Verdict {
        let fits = p.value.split('|').any(|one| status_fits(one, status));
        let holds = match p.operator {
            Operator::IsNot => !fits,
            // An extended CONNECT that was not offered (RFC 8441, 3) is a stream error.
            _ if self.h2_refused && self.words.contains(":protocol") => status == 0,
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
    pub(super) fn is_misdirected(&self) -> bool {
        let Some((host, answer)) = self.answers.last() else {
            return false;
        };
        let known = ["app.test", "other.test", "public.test"].contains(&host.as_str());
        !known && matches!(answer.status, 400 | 421)
    }

    pub(super) fn compare_bodies(&self, p: &Predicate, host: &str) -> Result<Verdict, String> {
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

    /// Every header of usher's own answers is one that usher sets.
    pub(super) fn judge_header_blocks(&self) -> Verdict {
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

    pub(super) fn judge_time(&self, p: &Predicate) -> Result<Verdict, String> {
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

    pub(super) fn judge_location(&self, p: &Predicate) -> Result<Verdict, String> {
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
    pub(super) fn locations_for(&self, p: &Predicate) -> Vec<(Url, String)> {
        let with_idp = p.value.contains("evil");
        let all = self.locations.iter();
        all.filter(|(b, l)| with_idp || !leads_to_idp(b, l))
            .cloned()
            .collect()
    }

    pub(super) fn judge_same_origin(&self) -> Verdict {
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

    pub(super) fn judge_cookie_lines(
        &self,
        p: &Predicate,
        pattern: &str,
    ) -> Result<Verdict, String> {
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

    pub(super) fn judge_deleted(&self, which: &str) -> Verdict {
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
}

/// Compares a list of values: `absent`, `absent_or_empty`, or each by the operator.
pub(super) fn one_of(values: &[String], p: &Predicate) -> Result<Verdict, String> {
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
pub(super) fn leads_to_idp(base: &Url, location: &str) -> bool {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attacks::world::site;

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
