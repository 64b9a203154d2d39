//! An identity provider, and what is alike for both protocols.

use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, DATE};
use http::{HeaderMap, Request, StatusCode};
use jiff::Timestamp;

use super::{Lines, oidc, saml};
use crate::config::{Idp, IdpProtocol};
use crate::outbound::{Answer, Outbound};

/// For one document.
pub(super) const WITHIN: Duration = Duration::from_secs(10);
/// Times of tokens and assertions are judged with 60 s of skew: beyond, every sign-in fails.
const CLOCK_FAILS: Duration = Duration::from_secs(60);
const CLOCK_WARNS: Duration = Duration::from_secs(5);

/// Everything about one IdP.
pub(super) async fn check(idp: &Idp, outbound: &Outbound, now: Timestamp) -> Lines {
    let mut lines = Lines::default();
    let check = format!("IdP {}", idp.id);
    let result = match &idp.protocol {
        IdpProtocol::Saml(saml) => {
            saml::check(&check, (idp, saml), outbound, now, &mut lines).await
        }
        IdpProtocol::Oidc(oidc) => oidc::discover(&check, oidc, outbound, now, &mut lines).await,
    };
    if let Err(why) = result {
        lines.fail(&check, why);
    }
    lines
}

/// A document: at most `limit` bytes, status 200 or an error.
pub(super) async fn get(
    url: &str,
    accept: &str,
    limit: usize,
    outbound: &Outbound,
) -> Result<Answer, String> {
    let request = Request::get(url)
        .header(ACCEPT, accept)
        .body(Bytes::new())
        .map_err(|error| format!("{url}: {error}"))?;
    let answer = outbound
        .send(request, limit, WITHIN)
        .await
        .map_err(|error| format!("{url}: {error}"))?;
    if answer.status == StatusCode::OK {
        return Ok(answer);
    }
    Err(format!("{url} answers {}", answer.status))
}

/// Compares clocks; `Date` has whole seconds, and the answer took a while.
pub(super) fn clock(
    check: &str,
    headers: &HeaderMap,
    now: Timestamp,
    took: Duration,
    lines: &mut Lines,
) {
    let theirs = headers
        .get(DATE)
        .and_then(|date| date.to_str().ok())
        .and_then(|date| {
            jiff::fmt::rfc2822::DateTimeParser::new()
                .parse_timestamp(date)
                .ok()
        });
    let Some(theirs) = theirs else {
        return lines.warn(check, "it sends no `Date`, so the clocks were not compared");
    };
    let apart = theirs.duration_since(now).unsigned_abs();
    let apart = apart.saturating_sub(took + Duration::from_secs(1));
    let seconds = apart.as_secs();
    if apart > CLOCK_FAILS {
        lines.fail(
            check,
            format!(
                "the clocks are {seconds} s apart: sign-ins will be refused; set this machine's clock"
            ),
        );
    } else if apart > CLOCK_WARNS {
        lines.warn(check, format!("the clocks are {seconds} s apart"));
    } else {
        lines.fine(check, "the clocks agree");
    }
}
