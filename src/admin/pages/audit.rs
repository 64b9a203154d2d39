//! The audit log: filtered, page by page, and as a file.

use std::collections::HashMap;

use askama::Template;
use http::Response;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

use super::answer::{Frame, Tab, download, page};
use super::fields::Fields;
use super::guard::{Admin, query};
use super::people::Choice;
use super::words::{TagText, When, actor};
use super::{Call, Stop};
use crate::audit::{Action, ExportForm, Filter, Line};
use crate::identity::UserId;

/// Lines on a page.
const LIMIT: u32 = 50;
/// Bytes of a file: it is made in memory.
const FILE: usize = 16 * 1024 * 1024;
/// The conditions, by their names in the query.
const NAMES: [&str; 9] = [
    "action", "outcome", "app", "idp", "from", "until", "user", "actor", "text",
];

#[derive(Template)]
#[template(path = "admin/audit.html")]
struct Log<'a> {
    frame: Frame<'a>,
    actions: Vec<Choice>,
    apps: Vec<Choice>,
    idps: Vec<Choice>,
    outcome: &'a str,
    from: &'a str,
    until: &'a str,
    user: &'a str,
    actor: &'a str,
    text: &'a str,
    filtered: bool,
    problem: Option<&'static str>,
    lines: Vec<LogLine>,
    back_to: Option<String>,
    first: Option<String>,
    next: Option<String>,
    download: String,
}

/// One line of the log.
pub(super) struct LogLine {
    pub(super) at: When,
    pub(super) action: String,
    pub(super) outcome: TagText,
    pub(super) why: String,
    pub(super) app: Option<String>,
    pub(super) place: Option<String>,
    pub(super) user: Option<String>,
    pub(super) user_name: String,
    pub(super) actor: String,
    pub(super) actor_user: Option<String>,
    pub(super) client: Option<String>,
    pub(super) details: Option<String>,
}

pub(super) async fn list(call: &Call<'_>, admin: &Admin) -> Result<Response<String>, Stop> {
    let asked = Fields::of_query(call.parts);
    let (filter, problem) = filter(&asked);
    let after = asked.text("after");
    let audit = call.usher.directory.audit();
    let found = audit.page(&filter, after, LIMIT).await?;
    let mut pairs: Vec<(&str, &str)> = NAMES
        .into_iter()
        .filter_map(|name| Some((name, asked.text(name)?)))
        .collect();
    let address = |path: &str, pairs: &[(&str, &str)]| match pairs {
        [] => path.to_owned(),
        pairs => format!("{path}?{}", query(pairs)),
    };
    let (filtered, first) = (!pairs.is_empty(), address("/audit", &pairs));
    let file = address("/audit.csv", &pairs);
    let next = found.next.as_deref().map(|next| {
        pairs.push(("after", next));
        address("/audit", &pairs)
    });
    let config = &call.usher.config;
    let shown = |name: &str| asked.text(name).unwrap_or_default();
    let choice = |name: &str, value: &str, label: &str| Choice {
        value: value.to_owned(),
        label: label.to_owned(),
        here: shown(name) == value,
    };
    Ok(page(&Log {
        frame: call.frame(admin, Tab::Audit)?,
        actions: Action::ALL
            .iter()
            .map(|action| choice("action", action.code(), &in_words(action.code())))
            .collect(),
        apps: config
            .apps
            .iter()
            .map(|app| choice("app", app.id.as_str(), app.id.as_str()))
            .collect(),
        idps: config
            .idps
            .iter()
            .map(|idp| choice("idp", idp.id.as_str(), &idp.label))
            .collect(),
        outcome: shown("outcome"),
        from: shown("from"),
        until: shown("until"),
        user: shown("user"),
        actor: shown("actor"),
        text: shown("text"),
        filtered,
        problem,
        lines: lines(call, found.lines, When::exact).await?,
        back_to: found.back_to.map(|at| When::exact(at).text),
        first: after.map(|_| first),
        next,
        download: file,
    }))
}

/// `GET /audit.csv`: the newest lines of a filter, as many as a file may have.
pub(super) async fn file(call: &Call<'_>) -> Result<Response<String>, Stop> {
    let (filter, _) = filter(&Fields::of_query(call.parts));
    let mut export = call.usher.directory.audit().export(filter, ExportForm::Csv);
    let mut text = Vec::new();
    while let Some(piece) = export.next().await? {
        if text.len() + piece.len() > FILE {
            break;
        }
        text.extend(piece);
    }
    let text = String::from_utf8_lossy(&text).into_owned();
    Ok(download("audit.csv", text))
}

/// What was asked for; and what could not be understood of it.
fn filter(asked: &Fields) -> (Filter, Option<&'static str>) {
    let text = |name: &str| asked.text(name).map(str::to_owned);
    let (from, until) = (asked.text("from"), asked.text("until"));
    let filter = Filter {
        from: from.and_then(|date| midnight(date, 0)),
        // The day itself is meant too.
        until: until.and_then(|date| midnight(date, 1)),
        user: asked.text("user").map(UserId::new),
        actor: text("actor"),
        action: text("action"),
        app: text("app"),
        idp: text("idp"),
        outcome: text("outcome"),
        text: text("text"),
    };
    let wrong =
        (from.is_some() && filter.from.is_none()) || (until.is_some() && filter.until.is_none());
    let problem = wrong.then_some(
        "A date is written like 2026-11-22. The one that could not be read is left aside.",
    );
    (filter, problem)
}

/// The beginning of a day, or of so many days after it, in UTC.
fn midnight(date: &str, days: i64) -> Option<Timestamp> {
    let date: Date = date.parse().ok()?;
    let date = date.checked_add(days.days()).ok()?;
    let zoned = date.to_zoned(TimeZone::UTC).ok()?;
    Some(zoned.timestamp())
}

/// The last lines about somebody.
pub(super) async fn of_user(
    call: &Call<'_>,
    user: &UserId,
    limit: u32,
) -> Result<Vec<LogLine>, Stop> {
    let filter = Filter {
        user: Some(user.clone()),
        ..Filter::default()
    };
    let audit = call.usher.directory.audit();
    let found = audit.page(&filter, None, limit).await?;
    let now = call.asked.now;
    lines(call, found.lines, |at| When::of(at, now)).await
}

/// Lines with the names of those whom they are about and by.
async fn lines(
    call: &Call<'_>,
    found: Vec<Line>,
    when: impl Fn(Timestamp) -> When,
) -> Result<Vec<LogLine>, Stop> {
    let mut users: Vec<&str> = found
        .iter()
        .flat_map(|line| {
            let about = line.user.as_ref().map(UserId::as_str);
            about.into_iter().chain(line.actor.strip_prefix("user:"))
        })
        .collect();
    users.sort_unstable();
    users.dedup();
    let names = call.usher.directory.names(&users).await?;
    let lines = found.into_iter();
    Ok(lines.map(|one| line(one, &names, &when)).collect())
}

fn line(line: Line, names: &HashMap<String, String>, when: impl Fn(Timestamp) -> When) -> LogLine {
    let named = |id: &str| names.get(id).cloned().unwrap_or_else(|| short(id));
    let user = line.user.map(|user| user.to_string());
    let app = line.app.map(|app| app.to_string());
    let places = app
        .iter()
        .cloned()
        .chain(line.idp.map(|idp| idp.to_string()));
    let place: Vec<String> = places.collect();
    let details = line.details.as_object().is_some_and(|all| !all.is_empty());
    let by = line.actor.strip_prefix("user:");
    LogLine {
        at: when(line.at),
        action: in_words(&line.action),
        outcome: outcome(&line.outcome),
        why: line.why,
        place: (!place.is_empty()).then(|| place.join(" · ")),
        app,
        user_name: user.as_deref().map(named).unwrap_or_default(),
        user,
        actor: by.map_or_else(|| actor(&line.actor), named),
        actor_user: by.map(str::to_owned),
        client: line.client,
        details: details.then(|| line.details.to_string()),
    }
}

fn outcome(code: &str) -> TagText {
    if matches!(code, "ok" | "allowed") {
        ("good", in_words(code))
    } else {
        ("warm", in_words(code))
    }
}

/// `sign_in` as `sign in`.
fn in_words(code: &str) -> String {
    match code {
        "idp" => "identity provider".to_owned(),
        "scim" => "SCIM".to_owned(),
        "api_token" => "API token".to_owned(),
        code => code.replace('_', " "),
    }
}

/// The end of an id tells people apart: it is the random part.
fn short(id: &str) -> String {
    let end = id.len().saturating_sub(6);
    id.get(end..)
        .map_or_else(|| id.to_owned(), |end| format!("…{end}"))
}
