//! One person: what they may, how they sign in, where they are signed in, what the apps were told, and what happened.

use askama::Template;
use http::Response;
use jiff::Timestamp;

use super::answer::{Frame, Tab, page};
use super::audit::{self, LogLine};
use super::fields::Fields;
use super::guard::Admin;
use super::people::{Choice, name_of};
use super::words::{TagText, When, status};
use super::{Call, Stop, bad, done, nothing_there};
use crate::access::standing::{self, Source};
use crate::config::App;
use crate::directory::{
    Block, BlockSource, DeliveryRow, DeliveryState, FindDeliveries, KnownSubject, Profile,
};
use crate::identity::{AccountState, AppId, Person, Role, UserId};
use crate::refusal::{Reason, Refusal};
use crate::revoke::{self, Why};
use crate::session::{SessionRow, Which};

/// Groups of a subject that are shown.
const GROUPS: usize = 30;
/// Messages that are shown.
const MESSAGES: u32 = 20;
/// Lines of the log that are shown.
const LINES: u32 = 20;
/// Characters of a reason.
const REASON: usize = 200;

#[derive(Template)]
#[template(path = "admin/person.html")]
struct PersonPage<'a> {
    frame: Frame<'a>,
    user: String,
    name: String,
    email: Option<String>,
    status: TagText,
    created: When,
    signed_in: Option<When>,
    is_here: bool,
    blocks: Vec<BlockLine>,
    blocked_by_us: bool,
    apps: Vec<AppLine>,
    sessions: Vec<SessionLine>,
    subjects: Vec<SubjectLine>,
    deliveries: Vec<DeliveryLine>,
    lines: Vec<LogLine>,
}

struct BlockLine {
    text: String,
    at: When,
    ours: bool,
}

struct AppLine {
    id: String,
    account: Option<String>,
    refused: Option<String>,
    roles: Vec<RoleLine>,
    none: &'static str,
    managed: bool,
    choices: Vec<Choice>,
}

/// A role and where it comes from.
pub(super) struct RoleLine {
    pub(super) name: String,
    pub(super) source: String,
}

struct SessionLine {
    sid: String,
    site: String,
    idp: String,
    signed_in: When,
    seen: When,
    ends: When,
    own: bool,
}

struct SubjectLine {
    idp: String,
    protocol: &'static str,
    value: String,
    format: Option<String>,
    groups: Vec<String>,
    more_groups: usize,
    seen: When,
}

struct DeliveryLine {
    id: String,
    kind: String,
    app: String,
    state: TagText,
    tries: u32,
    at: When,
    error: Option<String>,
    can_replay: bool,
}

pub(super) async fn show(
    call: &Call<'_>,
    admin: &Admin,
    id: &str,
) -> Result<Response<String>, Stop> {
    let (usher, now) = (call.usher, call.asked.now);
    let profile = profile(call, id).await?;
    let user = &profile.summary.user;
    let latest = usher.directory.latest_person(user).await?;
    let person = latest.as_ref().map(|(person, _)| person);
    let find = FindDeliveries {
        user: Some(user),
        limit: MESSAGES,
        ..FindDeliveries::default()
    };
    let deliveries = usher.directory.deliveries(&find).await?;
    let sessions = usher.sessions.list(user, now).await?;
    let lines = audit::of_user(call, user, LINES).await?;
    let summary = &profile.summary;
    Ok(page(&PersonPage {
        frame: call.frame(admin, Tab::People)?,
        user: user.to_string(),
        name: name_of(summary),
        email: summary.name.as_ref().and(summary.email.clone()),
        status: status(summary.status),
        created: When::of(summary.created_at, now),
        signed_in: summary.signed_in_at.map(|at| When::of(at, now)),
        is_here: person.is_some(),
        blocks: profile.blocks.iter().map(|one| block(one, now)).collect(),
        blocked_by_us: is_blocked_by_us(&profile),
        apps: usher
            .config
            .apps
            .iter()
            .map(|app| app_line(app, person, &profile))
            .collect(),
        sessions: sessions
            .into_iter()
            .map(|row| session(call, row, &admin.session.sid))
            .collect(),
        subjects: profile
            .subjects
            .iter()
            .map(|known| subject(known, now))
            .collect(),
        deliveries: deliveries
            .items
            .into_iter()
            .map(|row| delivery(row, now))
            .collect(),
        lines,
    }))
}

async fn profile(call: &Call<'_>, id: &str) -> Result<Profile, Stop> {
    let found = call.usher.directory.profile(&UserId::new(id)).await?;
    found.ok_or_else(nothing_there)
}

fn is_blocked_by_us(profile: &Profile) -> bool {
    let mut blocks = profile.blocks.iter();
    blocks.any(|block| block.source == BlockSource::Admin)
}

fn block(block: &Block, now: Timestamp) -> BlockLine {
    let (by, ours) = match &block.source {
        BlockSource::Admin => ("an admin".to_owned(), true),
        BlockSource::Scim(idp) => (format!("the SCIM of {idp}"), false),
    };
    let verb = if block.deleted {
        "Deleted"
    } else {
        "Deactivated"
    };
    BlockLine {
        text: format!("{verb} by {by}: {}", block.why),
        at: When::of(block.at, now),
        ours,
    }
}

/// What somebody is in one app. Who never signed in has what was given by hand alone.
fn app_line(app: &App, person: Option<&Person>, profile: &Profile) -> AppLine {
    let account = profile.accounts.iter().find(|known| known.app == app.id);
    let granted = |role: &Role| {
        let mut grants = profile.grants.iter();
        grants.any(|grant| grant.app == app.id && grant.role.as_ref() == Some(role))
    };
    let origins = person.and_then(|person| standing::origins(app, person));
    let managed = person.is_some_and(|person| is_managed(app, person));
    let roles = match (person, origins) {
        (Some(_), origins) => origins
            .unwrap_or_default()
            .into_iter()
            .map(|origin| RoleLine {
                name: origin.role.to_string(),
                source: sources(&origin.sources),
            })
            .collect(),
        (None, _) => profile
            .grants
            .iter()
            .filter(|grant| grant.app == app.id)
            .filter_map(|grant| {
                Some(RoleLine {
                    name: grant.role.as_ref()?.to_string(),
                    source: format!("by the {}", grant.source.as_str()),
                })
            })
            .collect(),
    };
    let choices = app
        .provisioning
        .iter()
        .flat_map(|provisioning| &provisioning.roles);
    AppLine {
        id: app.id.to_string(),
        account: account.and_then(|account| account.id.clone()),
        refused: account.and_then(|account| match &account.state {
            AccountState::Open => None,
            AccountState::Refused { message, reason } => Some(
                message
                    .clone()
                    .or_else(|| reason.clone())
                    .unwrap_or_else(|| "no reason given".to_owned()),
            ),
        }),
        none: match &app.provisioning {
            None => "everybody who is signed in",
            Some(_) => "none: refused",
        },
        managed,
        choices: choices
            .map(|role| Choice {
                value: role.to_string(),
                label: role.to_string(),
                here: granted(role),
            })
            .collect(),
        roles,
    }
}

/// Whether a group of the IdP gives a role there, so that nothing can be set by hand.
fn is_managed(app: &App, person: &Person) -> bool {
    standing::origins(app, person)
        .is_some_and(|origins| origins.iter().any(standing::Origin::is_mapped))
}

/// Where a role comes from, in words.
pub(super) fn sources(sources: &[Source]) -> String {
    let words: Vec<String> = sources
        .iter()
        .map(|source| match source {
            Source::Mapped { group } => format!("by the group {group}"),
            Source::Admin => "by an admin".to_owned(),
            Source::Invitation => "by the invitation".to_owned(),
            Source::App => "by the app itself".to_owned(),
            Source::Default => "the default".to_owned(),
        })
        .collect();
    words.join(", ")
}

fn session(call: &Call<'_>, row: SessionRow, own: &str) -> SessionLine {
    let now = call.asked.now;
    let site = row.origin.split("://").nth(1).unwrap_or(&row.origin);
    SessionLine {
        site: site.to_owned(),
        idp: label(call, row.idp.as_str()),
        signed_in: When::of(row.authenticated_at, now),
        seen: When::of(row.seen_at, now),
        ends: When::of(row.expires_at, now),
        own: row.sid == own,
        sid: row.sid,
    }
}

/// What an IdP is called on the sign-in page.
fn label(call: &Call<'_>, idp: &str) -> String {
    let known = call.usher.config.idp(idp);
    known.map_or_else(|| idp.to_owned(), |idp| idp.label.clone())
}

fn subject(known: &KnownSubject, now: Timestamp) -> SubjectLine {
    let groups = &known.attributes.groups;
    let format = &known.subject.format;
    SubjectLine {
        idp: known.subject.idp.to_string(),
        protocol: known.subject.protocol.as_str(),
        value: known.subject.value.clone(),
        format: (!format.is_empty()).then(|| format.clone()),
        groups: groups.iter().take(GROUPS).cloned().collect(),
        more_groups: groups.len().saturating_sub(GROUPS),
        seen: When::of(known.signed_in_at, now),
    }
}

fn delivery(row: DeliveryRow, now: Timestamp) -> DeliveryLine {
    let (state, can_replay) = match row.state {
        DeliveryState::Waiting => (("warm", "will be tried again".to_owned()), false),
        DeliveryState::Dead => (("bad", "given up".to_owned()), true),
        DeliveryState::Done if row.outcome == "allowed" => (("good", "taken".to_owned()), true),
        DeliveryState::Done => (("", row.outcome.replace('_', " ")), true),
    };
    DeliveryLine {
        id: row.id,
        kind: row.kind,
        app: row.app.to_string(),
        state,
        tries: row.tries,
        at: When::of(row.created_at, now),
        error: row.error,
        can_replay,
    }
}

/// `POST /people/{id}/…`.
pub(super) async fn change(
    call: &Call<'_>,
    admin: &Admin,
    (id, what): (&str, &str),
    form: &Fields,
) -> Result<Response<String>, Stop> {
    let profile = profile(call, id).await?;
    let user = &profile.summary.user;
    let code = match what {
        "roles" => set_roles(call, admin, &profile, form).await?,
        "deactivate" => deactivate(call, admin, user, form).await?,
        "reactivate" => reactivate(call, admin, user).await?,
        "sessions" => end_sessions(call, admin, user, form).await?,
        "deliveries" => replay(call, admin, user, form).await?,
        _ => return Err(nothing_there()),
    };
    Ok(done(&format!("/people/{user}"), code))
}

async fn set_roles(
    call: &Call<'_>,
    admin: &Admin,
    profile: &Profile,
    form: &Fields,
) -> Result<&'static str, Stop> {
    let (usher, now) = (call.usher, call.asked.now);
    let user = &profile.summary.user;
    let app = form.first("app").and_then(|id| usher.config.app(id));
    let app = app.ok_or_else(|| bad("there is no such app"))?;
    let listed = app.provisioning.as_ref().map(|one| one.roles.as_slice());
    let listed = listed.unwrap_or_default();
    let roles: Vec<Role> = form.all("role").map(Role::new).collect();
    if !roles.iter().all(|role| listed.contains(role)) {
        return Err(bad("the app has no such role"));
    }
    let latest = usher.directory.latest_person(user).await?;
    if latest.is_some_and(|(person, _)| is_managed(app, &person)) {
        let cause = format!("a group gives {user} a role in {}", app.id);
        return Err(Refusal::new(Reason::ManagedByIdp, cause).into());
    }
    let by = call.by(admin);
    let app: &AppId = &app.id;
    usher
        .directory
        .set_roles(user, app, &roles, &by, now)
        .await?;
    usher.follow(user, Why::AccessLost, now).await?;
    Ok("roles")
}

async fn deactivate(
    call: &Call<'_>,
    admin: &Admin,
    user: &UserId,
    form: &Fields,
) -> Result<&'static str, Stop> {
    let why = form.text("why").ok_or_else(|| bad("there is no reason"))?;
    let now = call.asked.now;
    let block = Block {
        source: BlockSource::Admin,
        deleted: false,
        why: why
            .chars()
            .filter(|one| !one.is_control())
            .take(REASON)
            .collect(),
        at: now,
    };
    let by = call.by(admin);
    call.usher.directory.block(user, &block, &by).await?;
    call.usher.follow(user, Why::Deactivated, now).await?;
    Ok("deactivated")
}

async fn reactivate(call: &Call<'_>, admin: &Admin, user: &UserId) -> Result<&'static str, Stop> {
    let (by, now) = (call.by(admin), call.asked.now);
    let directory = &call.usher.directory;
    directory
        .unblock(user, &BlockSource::Admin, &by, now)
        .await?;
    call.usher.follow(user, Why::Admin, now).await?;
    Ok("reactivated")
}

async fn end_sessions(
    call: &Call<'_>,
    admin: &Admin,
    user: &UserId,
    form: &Fields,
) -> Result<&'static str, Stop> {
    let (usher, now) = (call.usher, call.asked.now);
    let sid = form.first("sid").unwrap_or_default();
    let (which, code) = if sid == "all" {
        (Which::User(user), "sessions")
    } else {
        // Only of the person whose page it is.
        let sessions = usher.sessions.list(user, now).await?;
        if !sessions.iter().any(|session| session.sid == sid) {
            return Ok("session");
        }
        (Which::Sid(sid), "session")
    };
    let (audit, by) = (usher.directory.audit(), call.by(admin));
    revoke::revoke(&usher.sessions, audit, which, Why::Admin, &by, now).await?;
    Ok(code)
}

async fn replay(
    call: &Call<'_>,
    admin: &Admin,
    user: &UserId,
    form: &Fields,
) -> Result<&'static str, Stop> {
    let (usher, now) = (call.usher, call.asked.now);
    let id = form.first("id").unwrap_or_default();
    let by = call.by(admin);
    if !usher.directory.replay(id, &by, now).await? {
        return Err(nothing_there());
    }
    usher.follow(user, Why::Admin, now).await?;
    Ok("replayed")
}
