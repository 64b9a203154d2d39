//! Invitations: the list, new ones one by one or from a table, and taking them back.

use std::collections::HashMap;

use askama::Template;
use http::{Response, StatusCode};
use jiff::{SignedDuration, Timestamp};

use super::answer::{Frame, Tab, page, page_with};
use super::fields::Fields;
use super::guard::Admin;
use super::people::Choice;
use super::words::{TagText, When, actor, count};
use super::{Call, Stop, bad, done, nothing_there};
use crate::audit::By;
use crate::config::App;
use crate::directory::{
    CsvLine, FindInvitations, Invitation, InviteError, NewInvitation, parse_csv,
};
use crate::identity::{AppId, Role};

/// Invitations on a page.
const LIMIT: u32 = 50;
/// Lines of a table, at most: each is a write of its own.
const LINES: usize = 500;
/// How long links may hold, in days, and what that is called.
const DAYS: [(i64, &str); 4] = [(1, "a day"), (3, "3 days"), (7, "a week"), (30, "30 days")];
/// What is chosen unless somebody says else.
const USUAL: i64 = 7;

#[derive(Template)]
#[template(path = "admin/invitations.html")]
struct Invitations<'a> {
    frame: Frame<'a>,
    all: bool,
    invitations: Vec<InvitationLine>,
    total: String,
    first: Option<&'static str>,
    next: Option<String>,
}

struct InvitationLine {
    id: String,
    user: String,
    email: String,
    name: Option<String>,
    grants: Vec<String>,
    password: bool,
    break_glass: bool,
    state: TagText,
    open: bool,
    created: When,
    by: String,
}

#[derive(Template)]
#[template(path = "admin/invite.html")]
struct Invite<'a> {
    frame: Frame<'a>,
    mail: bool,
    problem: Option<String>,
    email: &'a str,
    name: &'a str,
    apps: Vec<AppChoices>,
    days: Vec<Choice>,
    passwords: bool,
    only_break_glass: bool,
    example: String,
    table: &'a str,
}

struct AppChoices {
    id: String,
    default: &'static str,
    here: bool,
    choices: Vec<Choice>,
}

#[derive(Template)]
#[template(path = "admin/invited.html")]
struct InvitedPage<'a> {
    frame: Frame<'a>,
    title: String,
    made: usize,
    mailed: bool,
    many: bool,
    rows: Vec<InvitedLine>,
}

struct InvitedLine {
    line: u64,
    email: String,
    user: Option<String>,
    link: Option<String>,
    problem: Option<String>,
}

pub(super) async fn list(call: &Call<'_>, admin: &Admin) -> Result<Response<String>, Stop> {
    let asked = Fields::of_query(call.parts);
    let now = call.asked.now;
    let all = asked.first("show") == Some("all");
    let find = FindInvitations {
        open_only: !all,
        after: asked.text("after"),
        limit: LIMIT,
    };
    let directory = &call.usher.directory;
    let found = directory.invitations(&find, now).await?;
    let by = found
        .items
        .iter()
        .filter_map(|one| one.created_by.strip_prefix("user:"));
    let names = directory.names(&by.collect::<Vec<_>>()).await?;
    let start = if all {
        "/invitations?show=all"
    } else {
        "/invitations?show="
    };
    Ok(page(&Invitations {
        frame: call.frame(admin, Tab::Invitations)?,
        all,
        invitations: found
            .items
            .into_iter()
            .map(|one| line(one, &names, now))
            .collect(),
        total: count(found.total, "invitation", "invitations"),
        first: find.after.map(|_| start),
        next: found.next.map(|next| {
            let after: String = url::form_urlencoded::byte_serialize(next.as_bytes()).collect();
            format!("{start}&after={after}")
        }),
    }))
}

fn line(invitation: Invitation, names: &HashMap<String, String>, now: Timestamp) -> InvitationLine {
    let by = invitation.created_by.strip_prefix("user:");
    let by = by.and_then(|id| names.get(id)).cloned();
    let by = by.unwrap_or_else(|| actor(&invitation.created_by));
    let new = invitation.new;
    let (state, open) = match (invitation.accepted_at, invitation.withdrawn_at) {
        (Some(at), _) => (
            ("good", format!("accepted {}", When::of(at, now).text)),
            false,
        ),
        (None, Some(at)) => (("", format!("withdrawn {}", When::of(at, now).text)), false),
        (None, None) if new.expires_at <= now => {
            let ended = When::of(new.expires_at, now).text;
            (("", format!("expired {ended}")), false)
        }
        (None, None) => {
            let ends = When::of(new.expires_at, now).text;
            (("warm", format!("open, ends {ends}")), true)
        }
    };
    let grants = new.grants.iter();
    InvitationLine {
        id: invitation.id,
        user: invitation.user.to_string(),
        grants: grants.map(|(app, roles)| grant(app, roles)).collect(),
        email: new.email,
        name: new.name,
        password: new.password,
        break_glass: new.break_glass,
        state,
        open,
        created: When::of(invitation.created_at, now),
        by,
    }
}

fn grant(app: &AppId, roles: &[Role]) -> String {
    let names: Vec<&str> = roles.iter().map(Role::as_str).collect();
    if names.is_empty() {
        format!("{app}: default role")
    } else {
        format!("{app}: {}", names.join(", "))
    }
}

/// `GET /invitations/new`.
pub(super) fn form(call: &Call<'_>, admin: &Admin) -> Result<Response<String>, Stop> {
    form_with(call, admin, &Fields::default(), None)
}

/// The form as it was filled in, with what is wrong with it.
fn form_with(
    call: &Call<'_>,
    admin: &Admin,
    filled: &Fields,
    problem: Option<String>,
) -> Result<Response<String>, Stop> {
    let config = &call.usher.config;
    let status = match problem {
        None => StatusCode::OK,
        Some(_) => StatusCode::UNPROCESSABLE_ENTITY,
    };
    let days = chosen_days(filled);
    let example = config.apps.iter().find_map(|app| {
        let roles = &app.provisioning.as_ref()?.roles;
        Some(format!("{}:{}", app.id, roles.first()?))
    });
    Ok(page_with(
        status,
        &Invite {
            frame: call.frame(admin, Tab::Invitations)?,
            mail: config.mail.is_some(),
            problem,
            email: filled.first("email").unwrap_or_default(),
            name: filled.first("name").unwrap_or_default(),
            apps: config.apps.iter().map(|app| choices(app, filled)).collect(),
            days: DAYS
                .iter()
                .map(|(count, label)| Choice {
                    value: count.to_string(),
                    label: (*label).to_owned(),
                    here: *count == days,
                })
                .collect(),
            passwords: config.local_accounts.enabled,
            only_break_glass: config.local_accounts.require_sso,
            example: example.unwrap_or_default(),
            table: filled.first("table").unwrap_or_default(),
        },
    ))
}

fn choices(app: &App, filled: &Fields) -> AppChoices {
    let is_chosen = |value: &str| filled.all("grant").any(|chosen| chosen == value);
    let roles = app.provisioning.iter().flat_map(|one| &one.roles);
    let has_default = app
        .provisioning
        .as_ref()
        .is_none_or(|provisioning| provisioning.default_role.is_some());
    AppChoices {
        default: if has_default {
            "default role"
        } else {
            "invited, without a role"
        },
        here: is_chosen(app.id.as_str()),
        choices: roles
            .map(|role| {
                let value = format!("{}:{role}", app.id);
                Choice {
                    here: is_chosen(&value),
                    value,
                    label: role.to_string(),
                }
            })
            .collect(),
        id: app.id.to_string(),
    }
}

fn chosen_days(form: &Fields) -> i64 {
    let chosen = form.first("days").and_then(|days| days.parse().ok());
    let offered = DAYS.iter().map(|(days, _)| *days);
    chosen
        .filter(|chosen| offered.clone().any(|days| days == *chosen))
        .unwrap_or(USUAL)
}

fn until(form: &Fields, now: Timestamp) -> Timestamp {
    now + SignedDuration::from_hours(24 * chosen_days(form))
}

/// `app` or `app:role`, several of the same app together.
fn grants(form: &Fields) -> Vec<(AppId, Vec<Role>)> {
    let mut found: Vec<(AppId, Vec<Role>)> = Vec::new();
    let mut places: HashMap<String, usize> = HashMap::new();
    for text in form.all("grant") {
        let (app, role) = match text.split_once(':') {
            Some((app, role)) => (app, Some(Role::new(role))),
            None => (text, None),
        };
        let at = *places.entry(app.to_owned()).or_insert_with(|| {
            found.push((AppId::new(app), Vec::new()));
            found.len() - 1
        });
        if let Some((_, roles)) = found.get_mut(at) {
            roles.extend(role);
        }
    }
    found
}

/// `POST /invitations`.
pub(super) async fn invite(
    call: &Call<'_>,
    admin: &Admin,
    form: &Fields,
) -> Result<Response<String>, Stop> {
    let Some(email) = form.text("email") else {
        return Err(bad("there is no e-mail address"));
    };
    let now = call.asked.now;
    let new = NewInvitation {
        email: email.to_owned(),
        name: form.text("name").map(str::to_owned),
        grants: grants(form),
        password: form.first("password") == Some("yes"),
        break_glass: form.first("break_glass") == Some("yes"),
        expires_at: until(form, now),
    };
    match call.usher.sign_in.invite(&new, &call.by(admin), now).await {
        Ok(invited) => {
            let rows = vec![InvitedLine {
                line: 1,
                email: invited.invitation.new.email.clone(),
                user: Some(invited.invitation.user.to_string()),
                link: Some(invited.link.expose().to_owned()),
                problem: None,
            }];
            result(call, admin, rows, invited.mailed, false)
        }
        Err(InviteError::Store(error)) => Err(error.into()),
        Err(error) => form_with(call, admin, form, Some(sentence(&error))),
    }
}

/// `POST /invitations/upload`: each line is done on its own, and says how it went.
pub(super) async fn upload(
    call: &Call<'_>,
    admin: &Admin,
    form: &Fields,
) -> Result<Response<String>, Stop> {
    let table = form.text("file").or_else(|| form.text("table"));
    let lines = table.map(parse_csv).unwrap_or_default();
    if lines.is_empty() {
        let problem = "There is no line with an e-mail address. Paste the table, or choose a file.";
        return form_with(call, admin, form, Some(problem.to_owned()));
    }
    if lines.len() > LINES {
        let problem = format!(
            "There are {} lines; {LINES} go at once. Split the table.",
            lines.len()
        );
        return form_with(call, admin, form, Some(problem));
    }
    let by = call.by(admin);
    let expires_at = until(form, call.asked.now);
    let (mut rows, mut mailed) = (Vec::new(), false);
    for line in lines {
        let (row, sent) = invite_line(call, line, expires_at, &by).await;
        rows.push(row);
        mailed |= sent;
    }
    result(call, admin, rows, mailed, true)
}

async fn invite_line(
    call: &Call<'_>,
    line: CsvLine,
    expires_at: Timestamp,
    by: &By,
) -> (InvitedLine, bool) {
    let refused = |email: String, problem: String| {
        let row = InvitedLine {
            line: line.line,
            email,
            user: None,
            link: None,
            problem: Some(problem),
        };
        (row, false)
    };
    let row = match line.invite {
        Ok(row) => row,
        Err(problem) => return refused(String::new(), problem),
    };
    let new = NewInvitation {
        email: row.email,
        name: row.name,
        grants: row.grants,
        password: false,
        break_glass: false,
        expires_at,
    };
    match call.usher.sign_in.invite(&new, by, call.asked.now).await {
        Ok(invited) => {
            let row = InvitedLine {
                line: line.line,
                email: invited.invitation.new.email.clone(),
                user: Some(invited.invitation.user.to_string()),
                link: Some(invited.link.expose().to_owned()),
                problem: None,
            };
            (row, invited.mailed)
        }
        Err(error) => refused(new.email, sentence(&error)),
    }
}

fn sentence(error: &InviteError) -> String {
    match error {
        InviteError::Store(_) => "the store did not answer; try this one again".to_owned(),
        InviteError::Known(_) | InviteError::Email(_) | InviteError::Invalid(_) => {
            error.to_string()
        }
    }
}

fn result(
    call: &Call<'_>,
    admin: &Admin,
    rows: Vec<InvitedLine>,
    mailed: bool,
    many: bool,
) -> Result<Response<String>, Stop> {
    let made = rows.iter().filter(|row| row.link.is_some()).count();
    let failed = rows.len() - made;
    let title = match (many, failed) {
        (false, _) => "Invited".to_owned(),
        (true, 0) => format!("{made} invited"),
        (true, failed) => format!("{made} invited, {failed} not"),
    };
    Ok(page(&InvitedPage {
        frame: call.frame(admin, Tab::Invitations)?,
        title,
        made,
        mailed,
        many,
        rows,
    }))
}

/// `POST /invitations/{id}/withdraw`.
pub(super) async fn withdraw(
    call: &Call<'_>,
    admin: &Admin,
    id: &str,
) -> Result<Response<String>, Stop> {
    let (by, now) = (call.by(admin), call.asked.now);
    let directory = &call.usher.directory;
    if !directory.withdraw_invitation(id, &by, now).await? {
        return Err(nothing_there());
    }
    Ok(done("/invitations", "withdrawn"))
}
