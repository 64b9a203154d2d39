//! The first page: how it goes.

use askama::Template;
use http::Response;
use jiff::{SignedDuration, Timestamp};

use super::answer::{Frame, Tab, page};
use super::guard::Admin;
use super::words::{TagText, When, count, number};
use super::{Call, Stop};
use crate::config::{self, IdpProtocol};
use crate::directory::{Counts, DeliveryState, FindDeliveries, Pulse};
use crate::idp::Health;
use crate::idp::saml::metadata::expiry::WARN_BEFORE;

/// Dead messages that are listed.
const DEAD: u32 = 10;

#[derive(Template)]
#[template(path = "admin/overview.html")]
struct Overview<'a> {
    frame: Frame<'a>,
    stats: Vec<Stat>,
    idps: Vec<IdpLine>,
    dead: Vec<DeadLine>,
    dead_more: u64,
}

struct Stat {
    label: &'static str,
    value: String,
    more: String,
    href: Option<&'static str>,
    kind: &'static str,
}

/// One IdP in a list.
pub(super) struct IdpLine {
    pub(super) id: String,
    pub(super) label: String,
    pub(super) protocol: &'static str,
    pub(super) switch: TagText,
    pub(super) state: TagText,
    pub(super) certificate: Option<TagText>,
}

struct DeadLine {
    user: String,
    app: String,
    kind: String,
    at: When,
    error: String,
}

pub(super) async fn show(call: &Call<'_>, admin: &Admin) -> Result<Response<String>, Stop> {
    let (usher, now) = (call.usher, call.asked.now);
    let day = now - SignedDuration::from_hours(24);
    let pulse = usher.directory.pulse(day).await?;
    let counts = usher.directory.counts().await?;
    let sessions = usher.sessions.page(None, 1, now).await?.total;
    let find = FindDeliveries {
        state: Some(DeliveryState::Dead),
        limit: DEAD,
        ..FindDeliveries::default()
    };
    let dead = usher.directory.deliveries(&find).await?;
    let lines: Vec<DeadLine> = dead
        .items
        .into_iter()
        .map(|row| DeadLine {
            user: row.user.to_string(),
            app: row.app.to_string(),
            kind: row.kind,
            at: When::of(row.created_at, now),
            error: row.error.unwrap_or_default(),
        })
        .collect();
    let shown = u64::try_from(lines.len()).unwrap_or(dead.total);
    Ok(page(&Overview {
        frame: call.frame(admin, Tab::Overview)?,
        stats: stats(pulse, counts, sessions, dead.total),
        idps: idp_lines(call),
        dead: lines,
        dead_more: dead.total.saturating_sub(shown),
    }))
}

fn stats(pulse: Pulse, counts: Counts, sessions: u64, dead: u64) -> Vec<Stat> {
    let stat = |label, value: u64, more: String, href, kind| Stat {
        label,
        value: number(value),
        more,
        href,
        kind,
    };
    let day = || "in the last 24 hours".to_owned();
    let log = Some("/audit?action=sign_in");
    let people = format!(
        "{} invited, {} deactivated",
        number(counts.invited),
        number(counts.deactivated)
    );
    let refused = if pulse.refused > 0 { "warm" } else { "" };
    let (not_taken, kind) = match dead {
        0 => ("every app answers".to_owned(), ""),
        dead => (count(dead, "message to an app", "messages to apps"), "bad"),
    };
    vec![
        stat("Sign-ins", pulse.sign_ins, day(), log, ""),
        stat("Refused sign-ins", pulse.refused, day(), log, refused),
        stat("Live sessions", sessions, "right now".to_owned(), None, ""),
        stat("People", counts.users, people, Some("/people"), ""),
        stat("Given up", dead, not_taken, Some("#dead"), kind),
    ]
}

/// All IdPs in the order of the file.
pub(super) fn idp_lines(call: &Call<'_>) -> Vec<IdpLine> {
    let idps = call.usher.config.idps.iter();
    idps.map(|idp| idp_line(call, idp)).collect()
}

pub(super) fn idp_line(call: &Call<'_>, idp: &config::Idp) -> IdpLine {
    let now = call.asked.now;
    let health = call
        .usher
        .sign_in
        .any_idp(idp.id.as_str())
        .map(|idp| idp.health())
        .unwrap_or_default();
    let enabled = call.usher.sign_in.is_enabled(idp);
    IdpLine {
        id: idp.id.to_string(),
        label: idp.label.clone(),
        protocol: protocol(idp),
        switch: if enabled {
            ("good", "on".to_owned())
        } else {
            ("", "off".to_owned())
        },
        state: state(idp, &health),
        certificate: certificate(&health, now),
    }
}

pub(super) fn protocol(idp: &config::Idp) -> &'static str {
    match idp.protocol {
        IdpProtocol::Oidc(_) => "OpenID Connect",
        IdpProtocol::Saml(_) => "SAML",
    }
}

/// Whether it answers, or (SAML) whether its metadata are at hand.
fn state(idp: &config::Idp, health: &Health) -> TagText {
    let (fine, failing) = match idp.protocol {
        IdpProtocol::Oidc(_) => ("answers", "does not answer"),
        IdpProtocol::Saml(_) => ("metadata at hand", "metadata not read"),
    };
    match (&health.failure, health.answered) {
        (Some(_), _) => ("bad", failing.to_owned()),
        (None, Some(_)) => ("good", fine.to_owned()),
        (None, None) => ("", "not asked yet".to_owned()),
    }
}

/// When nobody can sign in any more for want of a certificate: the last of them counts.
fn certificate(health: &Health, now: Timestamp) -> Option<TagText> {
    let end = health.certificates.iter().map(|(_, end)| *end).max()?;
    let when = When::of(end, now).text;
    Some(if end <= now {
        ("bad", format!("ended {when}"))
    } else if end.duration_since(now) <= WARN_BEFORE {
        ("warm", format!("ends {when}"))
    } else {
        ("good", format!("until {when}"))
    })
}
