//! People: found, looked at, deactivated, reactivated, and given roles.

use http::StatusCode;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::call::{Call, Json, Path, Query};
use super::error::{ApiError, Problem};
use super::page::{self, Page};
use crate::access::standing::{self, Origin, Source};
use crate::config::App;
use crate::directory::{self, Block, BlockSource, Find, KnownSubject, Profile, Summary};
use crate::identity::{Account, AccountState, AppId, Person, Role, UserId};
use crate::revoke::Why;

/// Where somebody is between invitation and farewell.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum UserStatus {
    /// Invited, and not here yet.
    Invited,
    /// May sign in.
    Active,
    /// May not.
    Deactivated,
}

impl From<directory::Status> for UserStatus {
    fn from(status: directory::Status) -> Self {
        match status {
            directory::Status::Invited => Self::Invited,
            directory::Status::Active => Self::Active,
            directory::Status::Deactivated => Self::Deactivated,
        }
    }
}

impl From<UserStatus> for directory::Status {
    fn from(status: UserStatus) -> Self {
        match status {
            UserStatus::Invited => Self::Invited,
            UserStatus::Active => Self::Active,
            UserStatus::Deactivated => Self::Deactivated,
        }
    }
}

/// One line of the list of people.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct User {
    /// Id, as the apps see it.
    id: String,
    /// E-mail address, as said last by a sign-in, SCIM or an invitation.
    email: Option<String>,
    /// Full name.
    name: Option<String>,
    /// Username.
    username: Option<String>,
    /// Where they are.
    status: UserStatus,
    /// When they were first known.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// The last sign-in; null: never.
    #[schema(value_type = Option<String>, format = DateTime)]
    signed_in_at: Option<Timestamp>,
}

impl From<Summary> for User {
    fn from(summary: Summary) -> Self {
        Self {
            id: summary.user.to_string(),
            email: summary.email,
            name: summary.name,
            username: summary.username,
            status: summary.status.into(),
            created_at: summary.created_at,
            signed_in_at: summary.signed_in_at,
        }
    }
}

/// Everything about one person.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct UserDetail {
    /// The line of the list.
    user: User,
    /// How they sign in.
    identities: Vec<Identity>,
    /// What they may do in each app, seen through the identity that was used last.
    apps: Vec<UserInApp>,
    /// Why they are deactivated; empty: they are not.
    blocks: Vec<UserBlock>,
}

/// A way to sign in, with what was said last.
#[derive(Debug, Serialize, ToSchema)]
struct Identity {
    /// The identity provider; `local` for a password.
    identity_provider: String,
    /// `oidc`, `saml`, `scim` or `local`.
    protocol: &'static str,
    /// Issuer or entity id.
    issuer: String,
    /// Format of a SAML NameID.
    format: String,
    /// `sub`, NameID or SCIM id.
    subject: String,
    /// E-mail address.
    email: Option<String>,
    /// Whether the identity provider verified it; null: it does not say.
    email_verified: Option<bool>,
    /// Full name.
    name: Option<String>,
    /// Username.
    username: Option<String>,
    /// Groups, as that identity provider names them.
    groups: Vec<String>,
    /// When it was first seen.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// The last sign-in, or the last change by SCIM.
    #[schema(value_type = String, format = DateTime)]
    used_at: Timestamp,
}

impl From<KnownSubject> for Identity {
    fn from(known: KnownSubject) -> Self {
        Self {
            identity_provider: known.subject.idp.to_string(),
            protocol: known.subject.protocol.as_str(),
            issuer: known.subject.issuer,
            format: known.subject.format,
            subject: known.subject.value,
            email: known.attributes.email,
            email_verified: known.attributes.email_verified,
            name: known.attributes.name,
            username: known.attributes.username,
            groups: known.attributes.groups,
            created_at: known.created_at,
            used_at: known.signed_in_at,
        }
    }
}

/// A person in an app.
#[derive(Debug, Serialize, ToSchema)]
struct UserInApp {
    /// The app.
    app: String,
    /// Roles that count, and where each comes from; null: the app refuses the person for having none.
    roles: Option<Vec<RoleInApp>>,
    /// Whether an admin may set roles: not where groups of the identity provider decide.
    editable: bool,
    /// What the app answered; null: it was not asked yet.
    account: Option<UserAccount>,
}

/// A role with where it comes from.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct RoleInApp {
    /// The role.
    role: String,
    /// All that gives it.
    sources: Vec<RoleSource>,
}

/// What gives a role.
#[derive(Debug, Serialize, ToSchema)]
struct RoleSource {
    /// What it is.
    kind: SourceKind,
    /// The group, where it is one.
    group: Option<String>,
}

/// What gives a role.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum SourceKind {
    /// A group of the identity provider.
    Group,
    /// An admin.
    Admin,
    /// The invitation.
    Invitation,
    /// The app's answer.
    App,
    /// The app's default.
    Default,
}

impl From<Origin> for RoleInApp {
    fn from(origin: Origin) -> Self {
        let source = |source| {
            let (kind, group) = match source {
                Source::Mapped { group } => (SourceKind::Group, Some(group)),
                Source::Admin => (SourceKind::Admin, None),
                Source::Invitation => (SourceKind::Invitation, None),
                Source::App => (SourceKind::App, None),
                Source::Default => (SourceKind::Default, None),
            };
            RoleSource { kind, group }
        };
        Self {
            role: origin.role.to_string(),
            sources: origin.sources.into_iter().map(source).collect(),
        }
    }
}

/// An account, as the app answered.
#[derive(Debug, Serialize, ToSchema)]
struct UserAccount {
    /// The app's own id of it.
    id: Option<String>,
    /// Whether the app refused it.
    refused: bool,
    /// What the app said to that, for people.
    message: Option<String>,
    /// Whether the app was told last that the user is active.
    active: bool,
}

impl From<&Account> for UserAccount {
    fn from(account: &Account) -> Self {
        let (refused, message) = match &account.state {
            AccountState::Open => (false, None),
            AccountState::Refused { message, .. } => (true, message.clone()),
        };
        Self {
            id: account.id.clone(),
            refused,
            message,
            active: account.active,
        }
    }
}

/// Why somebody is deactivated.
#[derive(Debug, Serialize, ToSchema)]
struct UserBlock {
    /// Who said so: `admin`, `scim:{identity provider}`. Each lifts its own word alone.
    source: String,
    /// Whether the person was deleted there.
    deleted: bool,
    /// Why.
    why: String,
    /// Since when.
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
}

impl From<Block> for UserBlock {
    fn from(block: Block) -> Self {
        Self {
            source: block.source.to_text(),
            deleted: block.deleted,
            why: block.why,
            at: block.at,
        }
    }
}

/// Roles with their sources, as they count in an app.
pub(super) fn roles_shown(app: &App, person: &Person) -> Option<Vec<RoleInApp>> {
    let origins = standing::origins(app, person)?;
    Some(origins.into_iter().map(RoleInApp::from).collect())
}

fn in_app(app: &App, profile: &Profile, person: Option<&Person>) -> UserInApp {
    let account = profile.accounts.iter().find(|one| one.app == app.id);
    let has_roles = app
        .provisioning
        .as_ref()
        .is_some_and(|provisioning| !provisioning.roles.is_empty());
    UserInApp {
        app: app.id.to_string(),
        roles: match person {
            Some(person) => roles_shown(app, person),
            None => granted(app, profile),
        },
        editable: person.map_or(has_roles, |person| standing::may_edit(app, person)),
        account: account.map(UserAccount::from),
    }
}

/// Of somebody who is not here yet, only what was given is known.
fn granted(app: &App, profile: &Profile) -> Option<Vec<RoleInApp>> {
    let given = profile.grants.iter().filter(|grant| grant.app == app.id);
    let roles: Vec<_> = given
        .filter_map(|grant| {
            let kind = match grant.source {
                crate::identity::GrantSource::Admin => SourceKind::Admin,
                crate::identity::GrantSource::Invitation => SourceKind::Invitation,
            };
            let sources = vec![RoleSource { kind, group: None }];
            let role = grant.role.as_ref()?.to_string();
            Some(RoleInApp { role, sources })
        })
        .collect();
    (!roles.is_empty()).then_some(roles)
}

/// Which people to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ListUsers {
    /// Part of name, e-mail address or username, in any case.
    q: Option<String>,
    /// Only those.
    #[param(inline)]
    status: Option<UserStatus>,
    /// `next` of the page before.
    after: Option<String>,
    /// Items of a page; 50 without it.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
}

/// People, in the order of their names.
#[utoipa::path(
    get,
    path = "/users",
    operation_id = "listUsers",
    tag = "users",
    params(ListUsers),
    responses((status = 200, description = "A page of people.", body = Page<User>))
)]
pub(super) async fn list(
    call: Call,
    Query(asked): Query<ListUsers>,
) -> Result<axum::Json<Page<User>>, ApiError> {
    let find = Find {
        text: asked.q.as_deref().filter(|text| !text.is_empty()),
        status: asked.status.map(Into::into),
        after: asked.after.as_deref(),
        limit: page::limit(asked.limit)?,
    };
    let page = call.usher.directory.people(&find).await?;
    Ok(axum::Json(Page::of(page, User::from)))
}

/// The profile behind an id in a path.
pub(super) async fn known(call: &Call, id: &str) -> Result<(UserId, Profile), ApiError> {
    let user = UserId::new(id);
    let profile = call.usher.directory.profile(&user).await?;
    let profile = profile.ok_or_else(|| ApiError::not_found("there is no such user"))?;
    Ok((user, profile))
}

async fn detail(call: &Call, id: &str) -> Result<axum::Json<UserDetail>, ApiError> {
    let (user, profile) = known(call, id).await?;
    let person = call.usher.directory.latest_person(&user).await?;
    let person = person.as_ref().map(|(person, _)| person);
    let apps = call.usher.config.apps.iter();
    Ok(axum::Json(UserDetail {
        apps: apps.map(|app| in_app(app, &profile, person)).collect(),
        user: profile.summary.into(),
        identities: profile.subjects.into_iter().map(Into::into).collect(),
        blocks: profile.blocks.into_iter().map(Into::into).collect(),
    }))
}

/// Everything about one person.
#[utoipa::path(
    get,
    path = "/users/{id}",
    operation_id = "getUser",
    tag = "users",
    params(("id" = String, Path, description = "Id of the user.")),
    responses(
        (status = 200, description = "The person.", body = UserDetail),
        (status = 404, description = "There is no such user.", body = inline(Problem<'static>))
    )
)]
pub(super) async fn one(
    call: Call,
    Path(id): Path<String>,
) -> Result<axum::Json<UserDetail>, ApiError> {
    detail(&call, &id).await
}

/// Why somebody is deactivated.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Deactivation {
    /// Why, for the log and for other admins; at most 500 characters.
    #[schema(max_length = 500)]
    why: String,
}

/// Deactivates somebody: sessions end and open connections are cut before the answer; the apps are told after it.
#[utoipa::path(
    post,
    path = "/users/{id}/deactivate",
    operation_id = "deactivateUser",
    tag = "users",
    params(("id" = String, Path, description = "Id of the user.")),
    request_body = Deactivation,
    responses(
        (status = 200, description = "Deactivated, now or before.", body = UserDetail),
        (status = 404, description = "There is no such user.", body = inline(Problem<'static>))
    )
)]
pub(super) async fn deactivate(
    call: Call,
    Path(id): Path<String>,
    Json(asked): Json<Deactivation>,
) -> Result<axum::Json<UserDetail>, ApiError> {
    if asked.why.chars().count() > 500 {
        return Err(ApiError::bad_request("`why` is at most 500 characters"));
    }
    let (user, _) = known(&call, &id).await?;
    let block = Block {
        source: BlockSource::Admin,
        deleted: false,
        why: asked.why,
        at: call.now,
    };
    let directory = &call.usher.directory;
    directory.block(&user, &block, &call.by).await?;
    // Also where it was said before: what may have been left over then ends now.
    call.usher.follow(&user, Why::Deactivated, call.now).await?;
    detail(&call, &id).await
}

/// Takes an admin's deactivation back; that of an identity provider stays.
#[utoipa::path(
    post,
    path = "/users/{id}/reactivate",
    operation_id = "reactivateUser",
    tag = "users",
    params(("id" = String, Path, description = "Id of the user.")),
    responses(
        (status = 200, description = "No admin blocks them any more; `user.status` says whether somebody else does.", body = UserDetail),
        (status = 404, description = "There is no such user.", body = inline(Problem<'static>))
    )
)]
pub(super) async fn reactivate(
    call: Call,
    Path(id): Path<String>,
) -> Result<axum::Json<UserDetail>, ApiError> {
    let (user, _) = known(&call, &id).await?;
    let directory = &call.usher.directory;
    directory
        .unblock(&user, &BlockSource::Admin, &call.by, call.now)
        .await?;
    call.usher.follow(&user, Why::Admin, call.now).await?;
    detail(&call, &id).await
}

/// Roles to give.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewRoles {
    /// All that an admin gives from now on; none: what an admin gave is taken back.
    #[schema(max_items = 100)]
    roles: Vec<String>,
}

/// Sets the roles that an admin gives somebody in an app.
#[utoipa::path(
    put,
    path = "/users/{id}/apps/{app}/roles",
    operation_id = "setRoles",
    tag = "roles",
    params(
        ("id" = String, Path, description = "Id of the user."),
        ("app" = String, Path, description = "Id of the app.")
    ),
    request_body = NewRoles,
    responses(
        (status = 200, description = "The person with the roles that count now.", body = UserDetail),
        (status = 404, description = "There is no such user or app.", body = inline(Problem<'static>)),
        (status = 409, description = "`managed_by_idp`: groups of the identity provider decide. `app_without_roles`: the app has none.", body = inline(Problem<'static>)),
        (status = 422, description = "`unknown_role`: the app has no such role.", body = inline(Problem<'static>))
    )
)]
pub(super) async fn set_roles(
    call: Call,
    Path((id, app)): Path<(String, String)>,
    Json(asked): Json<NewRoles>,
) -> Result<axum::Json<UserDetail>, ApiError> {
    let app = call.usher.config.app(&app);
    let app = app.ok_or_else(|| ApiError::not_found("there is no such app"))?;
    let (user, _) = known(&call, &id).await?;
    let roles = checked_roles(app, &asked.roles)?;
    let person = call.usher.directory.latest_person(&user).await?;
    if person.is_some_and(|(person, _)| !standing::may_edit(app, &person)) {
        let message = "groups of the identity provider give the roles of this person here";
        return Err(ApiError::conflict("managed_by_idp", message));
    }
    let directory = &call.usher.directory;
    directory
        .set_roles(
            &user,
            &AppId::new(app.id.as_str()),
            &roles,
            &call.by,
            call.now,
        )
        .await?;
    call.usher.follow(&user, Why::AccessLost, call.now).await?;
    detail(&call, &id).await
}

fn checked_roles(app: &App, asked: &[String]) -> Result<Vec<Role>, ApiError> {
    let known = app.provisioning.as_ref().map(|it| it.roles.as_slice());
    let known = known.unwrap_or_default();
    if known.is_empty() {
        let message = "the app has no roles";
        return Err(ApiError::conflict("app_without_roles", message));
    }
    let mut roles = Vec::new();
    for role in asked {
        let role = Role::new(role.as_str());
        if !known.contains(&role) {
            let status = StatusCode::UNPROCESSABLE_ENTITY;
            let message = format!("the app has no role `{role}`");
            return Err(ApiError::new(status, "unknown_role", message));
        }
        if !roles.contains(&role) {
            roles.push(role);
        }
    }
    Ok(roles)
}
