//! Invitations: one, many from CSV, listed, withdrawn.

use http::StatusCode;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::call::{Call, Csv, Json, Path, Query};
use super::error::{ApiError, Problem};
use super::page::{self, Page};
use crate::directory::{self, FindInvitations, InviteError, NewInvitation, parse_csv};
use crate::identity::{AppId, Role};
use crate::sign_in::Invited;

/// How long an invitation can be accepted where nothing else is said.
const OPEN_FOR: SignedDuration = SignedDuration::from_hours(7 * 24);

/// An app with the roles in it.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct InvitedTo {
    /// The app.
    app: String,
    /// Roles; none: the app's default role.
    #[serde(default)]
    roles: Vec<String>,
}

/// An invitation.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Invitation {
    /// Its id.
    id: String,
    /// The user that it made.
    user: String,
    /// The address; whoever accepts must have it, verified.
    email: String,
    /// Full name.
    name: Option<String>,
    /// Apps with the roles in them.
    apps: Vec<InvitedTo>,
    /// Whether a password may be set.
    password: bool,
    /// Whether the account is for emergencies.
    break_glass: bool,
    /// Where it is.
    state: InvitationState,
    /// Who invited, as the log writes it.
    created_by: String,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// Until when it can be accepted.
    #[schema(value_type = String, format = DateTime)]
    expires_at: Timestamp,
}

/// Where an invitation is.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum InvitationState {
    /// Can be accepted.
    Open,
    /// Was accepted.
    Accepted,
    /// Was withdrawn.
    Withdrawn,
    /// Its time is over.
    Expired,
}

impl Invitation {
    fn of(invitation: directory::Invitation, now: Timestamp) -> Self {
        let new = invitation.new;
        let in_app = |(app, roles): (AppId, Vec<Role>)| InvitedTo {
            app: app.to_string(),
            roles: roles.iter().map(ToString::to_string).collect(),
        };
        Self {
            id: invitation.id,
            user: invitation.user.to_string(),
            email: new.email,
            name: new.name,
            apps: new.grants.into_iter().map(in_app).collect(),
            password: new.password,
            break_glass: new.break_glass,
            state: match (invitation.accepted_at, invitation.withdrawn_at) {
                (Some(_), _) => InvitationState::Accepted,
                (None, Some(_)) => InvitationState::Withdrawn,
                (None, None) if new.expires_at <= now => InvitationState::Expired,
                (None, None) => InvitationState::Open,
            },
            created_by: invitation.created_by,
            created_at: invitation.created_at,
            expires_at: new.expires_at,
        }
    }
}

/// An invitation that was just made.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct MadeInvitation {
    /// The invitation.
    invitation: Invitation,
    /// The link to hand on, shown here and never again; null where it was sent by mail.
    link: Option<String>,
}

impl MadeInvitation {
    fn of(invited: Invited, now: Timestamp) -> Self {
        let link = (!invited.mailed).then(|| invited.link.expose().to_owned());
        Self {
            invitation: Invitation::of(invited.invitation, now),
            link,
        }
    }
}

/// Which invitations to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ListInvitations {
    /// Only those that can still be accepted.
    open: Option<bool>,
    /// `next` of the page before.
    after: Option<String>,
    /// Items of a page; 50 without it.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
}

/// Invitations, newest first.
#[utoipa::path(
    get,
    path = "/invitations",
    operation_id = "listInvitations",
    tag = "invitations",
    params(ListInvitations),
    responses((status = 200, description = "A page of invitations.", body = Page<Invitation>))
)]
pub(super) async fn list(
    call: Call,
    Query(asked): Query<ListInvitations>,
) -> Result<axum::Json<Page<Invitation>>, ApiError> {
    let find = FindInvitations {
        open_only: asked.open.unwrap_or(false),
        after: asked.after.as_deref(),
        limit: page::limit(asked.limit)?,
    };
    let page = call.usher.directory.invitations(&find, call.now).await?;
    let each = |one| Invitation::of(one, call.now);
    Ok(axum::Json(Page::of(page, each)))
}

/// Somebody to invite.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Invite {
    /// The address; whoever accepts must have it, verified.
    email: String,
    /// Full name.
    name: Option<String>,
    /// Apps with the roles in them.
    #[serde(default)]
    apps: Vec<InvitedTo>,
    /// Whether a password may be set (`local_accounts`).
    #[serde(default)]
    password: bool,
    /// Whether the account is for emergencies; a password may be set then.
    #[serde(default)]
    break_glass: bool,
    /// Until when it can be accepted; absent: 7 days.
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<Timestamp>,
}

fn refusal(error: InviteError) -> ApiError {
    let message = error.to_string();
    match error {
        InviteError::Store(error) => error.into(),
        InviteError::Known(_) => ApiError::conflict("known_address", message),
        InviteError::Email(_) => {
            ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_address", message)
        }
        InviteError::Invalid(_) => ApiError::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "invalid_invitation",
            message,
        ),
    }
}

fn in_a_week(now: Timestamp) -> Timestamp {
    now.saturating_add(OPEN_FOR).unwrap_or(Timestamp::MAX)
}

/// Invites somebody.
#[utoipa::path(
    post,
    path = "/invitations",
    operation_id = "createInvitation",
    tag = "invitations",
    request_body = Invite,
    responses(
        (status = 201, description = "The invitation, with its link.", body = MadeInvitation),
        (status = 409, description = "`known_address`: somebody has that address already.", body = inline(Problem<'static>)),
        (status = 422, description = "`invalid_address`, `invalid_invitation`: the sentence says what is wrong.", body = inline(Problem<'static>))
    )
)]
pub(super) async fn create(
    call: Call,
    Json(asked): Json<Invite>,
) -> Result<(StatusCode, axum::Json<MadeInvitation>), ApiError> {
    let grant = |one: InvitedTo| {
        let roles = one.roles.into_iter().map(Role::new).collect();
        (AppId::new(one.app), roles)
    };
    let new = NewInvitation {
        email: asked.email,
        name: asked.name,
        grants: asked.apps.into_iter().map(grant).collect(),
        password: asked.password,
        break_glass: asked.break_glass,
        expires_at: asked.expires_at.unwrap_or_else(|| in_a_week(call.now)),
    };
    let sign_in = &call.usher.sign_in;
    let invited = sign_in.invite(&new, &call.by, call.now).await;
    let made = MadeInvitation::of(invited.map_err(refusal)?, call.now);
    Ok((StatusCode::CREATED, axum::Json(made)))
}

/// What all invitations of a table have in common.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Many {
    /// Whether passwords may be set.
    password: Option<bool>,
    /// Until when they can be accepted; absent: 7 days.
    #[param(value_type = Option<String>, format = DateTime)]
    expires_at: Option<Timestamp>,
}

/// What came of a table.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ManyMade {
    /// How many were invited.
    invited: u64,
    /// How many lines were not done.
    failed: u64,
    /// Every line, in order.
    lines: Vec<LineMade>,
}

/// What came of a line.
#[derive(Debug, Serialize, ToSchema)]
struct LineMade {
    /// Its number in the text, from 1.
    line: u64,
    /// The address on it.
    email: Option<String>,
    /// The invitation, if it was made.
    made: Option<MadeInvitation>,
    /// Why not, if it was not.
    error: Option<String>,
}

/// Invites many from CSV: `email,name,app:role app:role`, one person on a line. Each line is judged on its own.
#[utoipa::path(
    post,
    path = "/invitations/bulk",
    operation_id = "createInvitations",
    tag = "invitations",
    params(Many),
    request_body(content = String, content_type = "text/csv", description = "At most 10,000 lines; a header line may stand in front."),
    responses((status = 200, description = "What came of every line.", body = ManyMade))
)]
pub(super) async fn create_many(
    call: Call,
    Query(asked): Query<Many>,
    Csv(body): Csv,
) -> Result<axum::Json<ManyMade>, ApiError> {
    let text = std::str::from_utf8(&body);
    let text = text.map_err(|_| ApiError::bad_request("the table is not UTF-8"))?;
    let expires_at = asked.expires_at.unwrap_or_else(|| in_a_week(call.now));
    let mut lines = Vec::new();
    for read in parse_csv(text) {
        let mut line = LineMade {
            line: read.line,
            email: None,
            made: None,
            error: None,
        };
        match read.invite {
            Err(why) => line.error = Some(why),
            Ok(row) => {
                line.email = Some(row.email.clone());
                let new = NewInvitation {
                    email: row.email,
                    name: row.name,
                    grants: row.grants,
                    password: asked.password.unwrap_or(false),
                    break_glass: false,
                    expires_at,
                };
                match call.usher.sign_in.invite(&new, &call.by, call.now).await {
                    Ok(invited) => line.made = Some(MadeInvitation::of(invited, call.now)),
                    // With the store gone, the lines that follow would fail too.
                    Err(InviteError::Store(error)) => return Err(error.into()),
                    Err(error) => line.error = Some(error.to_string()),
                }
            }
        }
        lines.push(line);
    }
    let failed = lines.iter().filter(|line| line.error.is_some()).count();
    Ok(axum::Json(ManyMade {
        invited: (lines.len() - failed) as u64,
        failed: failed as u64,
        lines,
    }))
}

/// Withdraws an invitation: its link stops working.
#[utoipa::path(
    delete,
    path = "/invitations/{id}",
    operation_id = "withdrawInvitation",
    tag = "invitations",
    params(("id" = String, Path, description = "Id of the invitation.")),
    responses(
        (status = 204, description = "It is withdrawn."),
        (status = 404, description = "There is no open invitation with that id.", body = inline(Problem<'static>))
    )
)]
pub(super) async fn withdraw(call: Call, Path(id): Path<String>) -> Result<StatusCode, ApiError> {
    let directory = &call.usher.directory;
    match directory
        .withdraw_invitation(&id, &call.by, call.now)
        .await?
    {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(ApiError::not_found(
            "there is no open invitation with that id",
        )),
    }
}
