//! Assertions about what the app's recorder saw.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::Value;

use super::{
    flow,
    judge::{
        Verdict,
        Verdict::{Fails, Holds},
        compared, glob, one_of, when,
    },
    predicate::{Operator, Predicate, compare},
    readings::{is_public, is_under, readings},
    run::{IDENTITY, Run},
    world::{app_id, site},
};
use crate::support::recorder::{Seen, cgi_name};

impl Run<'_> {
    /// True where the answer is what the app gave to the very same method.
    pub(super) fn same_as_app(&self) -> Verdict {
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

    /// What the app's recorder saw.
    pub(super) fn judge_app(&mut self, p: &Predicate) -> Result<Option<Verdict>, String> {
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

    pub(super) fn judge_header(&self, p: &Predicate, name: &str) -> Result<Verdict, String> {
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

    /// No identity header carries what a client sent.
    pub(super) fn judge_forged(&self, hits: &[Seen]) -> Verdict {
        let sent: Vec<_> = self
            .forged
            .iter()
            .filter(|value| !self.is_own(value))
            .collect();
        let found = hits.iter().find_map(|seen| forgery(seen, &sent));
        when(found.is_none(), found.unwrap_or_default())
    }

    /// True for a value that a session of this run really has.
    pub(super) fn is_own(&self, value: &str) -> bool {
        self.people.iter().any(|(name, person)| {
            [&person.id, &person.email, &person.name, name].contains(&&value.to_owned())
                || person.roles.join(",") == value
        })
    }

    pub(super) fn judge_reuse(&self, p: &Predicate) -> Result<Verdict, String> {
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

    pub(super) fn judge_role(&self, p: &Predicate, role: &str) -> Verdict {
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

    pub(super) async fn judge_jwt(
        &mut self,
        p: &Predicate,
        argument: &str,
    ) -> Result<Verdict, String> {
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

    pub(super) async fn verify_jwt(&mut self, token: &str, audience: &str) -> Result<(), String> {
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
}

/// What a request carries of a client's own identity values: in a header or trailer that is an
/// identity header to whoever folds names, or by a spelling that usher never writes.
fn forgery(seen: &Seen, sent: &[&String]) -> Option<String> {
    for name in IDENTITY {
        if let Some(value) = seen.folded(name).iter().find(|value| sent.contains(value)) {
            return Some(format!("{name}: {value}"));
        }
        let alike = |(other, _): &&(String, Vec<u8>)| cgi_name(other) == cgi_name(name);
        let odd = seen
            .fields
            .iter()
            .filter(alike)
            .find(|(n, _)| !n.eq_ignore_ascii_case(name));
        if let Some((odd, _)) = odd {
            return Some(format!("{odd} reaches the app"));
        }
        if seen.trailers.iter().any(|field| alike(&field)) {
            return Some(format!("{name} in the trailers"));
        }
    }
    None
}

fn jwt_claims(seen: &Seen) -> Option<Value> {
    part(&seen.header("x-usher-jwt")?, 1)
}

fn part(token: &str, at: usize) -> Option<Value> {
    let text = token.split('.').nth(at)?;
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::support::recorder::read_head;

    #[test]
    fn forged_identity_is_found_in_every_spelling() {
        let root = "root".to_owned();
        let found = |line: &str| {
            let seen = read_head(format!("GET / HTTP/1.1\r\n{line}\r\n\r\n").as_bytes());
            forgery(&seen, &[&root]).is_some()
        };
        for line in [
            "X-Forwarded-User: root",
            "x-forwarded-USER: root",
            "X_Forwarded_User: root",
            "X.Forwarded.User: other",
            "X-Usher-Jwt: root",
        ] {
            assert!(found(line), "{line}");
        }
        assert!(!found("X-Forwarded-User: usr_1"));
        assert!(!found("X-Other: root"));
        let mut seen = read_head(b"GET / HTTP/1.1\r\n\r\n");
        seen.trailers
            .push(("x-forwarded-user".to_owned(), b"usr_1".to_vec()));
        assert!(forgery(&seen, &[]).is_some());
    }
}
