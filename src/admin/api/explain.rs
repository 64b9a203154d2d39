//! Why somebody may, or may not: the gate's own decision on one request, with all that led to it.

use std::sync::Arc;
use std::sync::atomic::AtomicI64;

use arc_swap::ArcSwap;
use http::Method;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;
use utoipa::{IntoParams, ToSchema};

use super::call::{Call, Query};
use super::error::{ApiError, Problem};
use super::users::{RoleInApp, roles_shown};
use crate::access::explain::{Explanation, explain};
use crate::access::gate::{Admitted, Decision, Visitor};
use crate::access::standing::{Standing, standing};
use crate::access::target::Target;
use crate::config::{self, AccessRule, Allow, App, Config};
use crate::directory::Find;
use crate::forward::identity::ForwardedIdentity;
use crate::identity::{Person, UserId};
use crate::refusal::{Reason, Refusal};
use crate::session::{Session, SessionKey, Streams};

/// The request to explain.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Asked {
    /// Id, e-mail address or username of a user; absent: nobody is signed in.
    user: Option<String>,
    /// Id of the app.
    app: String,
    /// The method; GET without it.
    #[param(example = "GET")]
    method: Option<String>,
    /// The path as it would be sent, still encoded and without a query.
    #[param(example = "/admin/users")]
    path: String,
}

/// What the gate decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum ExplainedDecision {
    /// The app gets the request with the person's headers.
    Admitted,
    /// The app gets the request without any identity.
    Public,
    /// Somebody must sign in first.
    NeedsSignIn,
    /// The app is asked for the account first; what it answers decides.
    NeedsAccount,
    /// No.
    Refused,
}

/// A decision with all that led to it.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Explained {
    /// The decision.
    decision: ExplainedDecision,
    /// Why not, where it is no.
    refusal: Option<ExplainedRefusal>,
    /// The user, where one was asked for.
    user: Option<String>,
    /// The identity provider of the identity that was used last: the person is seen through it.
    identity_provider: Option<String>,
    /// The groups that count.
    groups: Vec<String>,
    /// The person in that app.
    standing: ExplainedStanding,
    /// Roles that count, and where each comes from.
    roles: Vec<RoleInApp>,
    /// The rule that decided; null: some reading meets none, and nobody may.
    rule: Option<ExplainedRule>,
    /// Every path that an app could read in the one that was asked for, with the rule that it meets.
    readings: Vec<ExplainedReading>,
    /// Names of the header fields that the app would get.
    headers: Vec<String>,
}

/// The person in that app.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum ExplainedStanding {
    /// Nobody is signed in.
    Anonymous,
    /// May use the app, as far as its rules allow.
    Open,
    /// The app was not asked for the account yet.
    NeedsAccount,
    /// May not use the app at all.
    Refused,
}

/// Why not.
#[derive(Debug, Serialize, ToSchema)]
struct ExplainedRefusal {
    /// The stable code that the person would get.
    code: &'static str,
    /// The status that the person would get.
    status: u16,
    /// The sentence that the person would read.
    message: String,
    /// What the log would say.
    cause: String,
}

impl From<Refusal> for ExplainedRefusal {
    fn from(refusal: Refusal) -> Self {
        let sentence = refusal.sentence().to_owned();
        Self {
            code: refusal.reason.code(),
            status: refusal.reason.status().as_u16(),
            message: refusal.user_message.unwrap_or(sentence),
            cause: refusal.cause,
        }
    }
}

/// An access rule.
#[derive(Debug, Serialize, ToSchema)]
struct ExplainedRule {
    /// Its place in `access`, from 0.
    place: u64,
    /// Its paths; null: all.
    paths: Option<Vec<String>>,
    /// Its methods; null: all.
    methods: Option<Vec<String>>,
    /// `anyone`, `signed_in`, `roles` or `nobody`.
    allow: &'static str,
    /// The roles of which one is asked for.
    roles: Vec<String>,
}

impl ExplainedRule {
    fn of(place: usize, rule: &AccessRule) -> Self {
        let (allow, roles) = match &rule.allow {
            Allow::Anyone => ("anyone", Vec::new()),
            Allow::SignedIn => ("signed_in", Vec::new()),
            Allow::Nobody => ("nobody", Vec::new()),
            Allow::Roles(roles) => ("roles", roles.iter().map(ToString::to_string).collect()),
        };
        let methods = rule.methods.as_ref();
        Self {
            place: place as u64,
            paths: rule.paths.as_ref().map(|paths| paths.written.clone()),
            methods: methods.map(|all| all.iter().map(ToString::to_string).collect()),
            allow,
            roles,
        }
    }
}

/// One reading of the path.
#[derive(Debug, Serialize, ToSchema)]
struct ExplainedReading {
    /// The path as an app may read it.
    path: String,
    /// Whether it was compared without case, as some apps do.
    without_case: bool,
    /// The place of the rule that it meets; null: none.
    rule: Option<u64>,
}

/// Explains what the gate would decide on a request.
#[utoipa::path(
    get,
    path = "/explain",
    operation_id = "explain",
    tag = "explain",
    params(Asked),
    responses(
        (status = 200, description = "The decision with all that led to it.", body = Explained),
        (status = 404, description = "There is no such user or app.", body = inline(Problem<'static>)),
        (status = 409, description = "`other_app`: another app has that path. `ambiguous_user`: several people have that name.", body = inline(Problem<'static>))
    )
)]
pub(super) async fn one(
    call: Call,
    Query(asked): Query<Asked>,
) -> Result<axum::Json<Explained>, ApiError> {
    let config = &call.usher.config;
    let app = config.app(&asked.app);
    let app = app.ok_or_else(|| ApiError::not_found("there is no such app"))?;
    let method = asked.method.as_deref().unwrap_or("GET");
    let method = Method::from_bytes(method.as_bytes())
        .map_err(|_| ApiError::bad_request("`method` is no method"))?;
    let who = match &asked.user {
        None => Who::Nobody,
        Some(name) => who(&call, name).await?,
    };
    let target = match Target::parse(&asked.path) {
        Ok(target) => target,
        Err(refusal) => return Ok(axum::Json(who.refused(app, refusal))),
    };
    match owner(config, app, &target)? {
        Owner::App => {}
        Owner::Several => {
            let cause = "the target has readings of several owners";
            let refusal = Refusal::new(Reason::BadRequest, cause);
            return Ok(axum::Json(who.refused(app, refusal)));
        }
    }
    Ok(axum::Json(who.explain(&call, app, &target, &method)))
}

/// Whom a path belongs to.
enum Owner {
    /// The app that was asked about.
    App,
    /// It can be read as the paths of several.
    Several,
}

/// As the data plane finds it: all readings must have the same owner.
fn owner(config: &Config, app: &Arc<App>, target: &Target) -> Result<Owner, ApiError> {
    let site = config
        .sites
        .iter()
        .find(|site| site.apps.iter().any(|one| Arc::ptr_eq(one, app)));
    let is_here = |reading: &String| {
        let of_site = site.and_then(|site| site.app(reading));
        of_site.is_some_and(|one| Arc::ptr_eq(one, app)) && !config::owns(&config.prefix, reading)
    };
    let readings = target.readings();
    if readings.iter().all(is_here) {
        return Ok(Owner::App);
    }
    if readings.iter().any(is_here) {
        return Ok(Owner::Several);
    }
    let message = "that path does not lead to this app";
    Err(ApiError::conflict("other_app", message))
}

/// Who would ask.
enum Who {
    /// Nobody is signed in.
    Nobody,
    /// A user who cannot be: invited and not here yet, or deactivated.
    Outside(UserId, Reason),
    /// Somebody who is signed in, seen through the identity that was used last.
    Known(Box<Person>),
}

async fn who(call: &Call, name: &str) -> Result<Who, ApiError> {
    let directory = &call.usher.directory;
    let user = match name.starts_with("usr_") {
        true => UserId::new(name),
        false => by_name(call, name).await?,
    };
    if directory.profile(&user).await?.is_none() {
        return Err(ApiError::not_found("there is no such user"));
    }
    Ok(match directory.latest_person(&user).await? {
        Some((person, true)) => Who::Known(Box::new(person)),
        Some((_, false)) => Who::Outside(user, Reason::Deactivated),
        None => Who::Outside(user, Reason::SignInRequired),
    })
}

/// The one user with that e-mail address or username.
async fn by_name(call: &Call, name: &str) -> Result<UserId, ApiError> {
    let find = Find {
        text: Some(name),
        limit: 200,
        ..Find::default()
    };
    let is_named = |held: &Option<String>| {
        held.as_ref()
            .is_some_and(|held| held.to_lowercase() == name.to_lowercase())
    };
    let found = call.usher.directory.people(&find).await?;
    let mut named = found
        .items
        .into_iter()
        .filter(|one| is_named(&one.email) || is_named(&one.username));
    let first = named.next();
    let first = first.ok_or_else(|| ApiError::not_found("there is no such user"))?;
    match named.next() {
        None => Ok(first.user),
        Some(_) => Err(ApiError::conflict(
            "ambiguous_user",
            "several people have that name",
        )),
    }
}

impl Who {
    fn explain(self, call: &Call, app: &App, target: &Target, method: &Method) -> Explained {
        let standing = match &self {
            Self::Nobody | Self::Outside(..) => None,
            Self::Known(person) => Some(standing(app, person)),
        };
        let Explanation {
            readings,
            rule,
            decision,
        } = explain(app, target, method, standing.as_ref());
        let mut explained = self.empty(app);
        explained.rule = rule.map(|(place, rule)| ExplainedRule::of(place, rule));
        explained.readings = readings
            .iter()
            .map(|reading| ExplainedReading {
                path: reading.path.to_owned(),
                without_case: reading.folded,
                rule: reading.rule.map(|place| place as u64),
            })
            .collect();
        match decision {
            Decision::Admitted(admitted) => self.admitted(&mut explained, &admitted, call, app),
            Decision::NeedsSignIn => match self {
                // Signing in would not help them.
                Self::Outside(_, reason @ Reason::Deactivated) => {
                    explained.refuse(Refusal::new(reason, "the user was deactivated"));
                }
                Self::Nobody | Self::Known(_) | Self::Outside(..) => {
                    explained.decision = ExplainedDecision::NeedsSignIn;
                }
            },
            Decision::NeedsAccount => explained.decision = ExplainedDecision::NeedsAccount,
            Decision::Refused(refusal) => explained.refuse(refusal),
        }
        explained
    }

    /// The header fields, made as for a real request; they may be what is refused.
    fn admitted(&self, explained: &mut Explained, admitted: &Admitted<'_>, call: &Call, app: &App) {
        let (Self::Known(person), Visitor::Known { .. }) = (self, admitted.visitor()) else {
            explained.decision = ExplainedDecision::Public;
            return;
        };
        let session = pretended((**person).clone(), call.now);
        let (issuer, keys) = (&call.usher.config.public_url, call.usher.keys.load());
        match ForwardedIdentity::new(admitted, &session, app, issuer, &keys, call.now) {
            Ok(identity) => {
                explained.decision = ExplainedDecision::Admitted;
                let names = identity.fields().iter().map(|(name, _)| name.to_string());
                explained.headers = names.collect();
            }
            Err(refusal) => explained.refuse(refusal),
        }
    }

    fn refused(&self, app: &App, refusal: Refusal) -> Explained {
        let mut explained = self.empty(app);
        explained.refuse(refusal);
        explained
    }

    /// What is known before anything is decided.
    fn empty(&self, app: &App) -> Explained {
        let person = match self {
            Self::Nobody | Self::Outside(..) => None,
            Self::Known(person) => Some(person),
        };
        let user = match self {
            Self::Nobody => None,
            Self::Outside(user, _) => Some(user.to_string()),
            Self::Known(person) => Some(person.user.to_string()),
        };
        let standing = match person.map(|person| standing(app, person)) {
            None => ExplainedStanding::Anonymous,
            Some(Standing::Open { .. }) => ExplainedStanding::Open,
            Some(Standing::NeedsAccount) => ExplainedStanding::NeedsAccount,
            Some(Standing::Refused(_)) => ExplainedStanding::Refused,
        };
        Explained {
            decision: ExplainedDecision::Refused,
            refusal: None,
            user,
            identity_provider: person.map(|person| person.subject.idp.to_string()),
            groups: person.map_or_else(Vec::new, |person| person.attributes.groups.clone()),
            standing,
            roles: person
                .and_then(|person| roles_shown(app, person))
                .unwrap_or_default(),
            rule: None,
            readings: Vec::new(),
            headers: Vec::new(),
        }
    }
}

impl Explained {
    fn refuse(&mut self, refusal: Refusal) {
        self.decision = ExplainedDecision::Refused;
        self.refusal = Some(refusal.into());
    }
}

/// A session that nobody has and no store knows, to see what an app would be told.
fn pretended(person: Person, now: Timestamp) -> Session {
    let expires_at = now.saturating_add(SignedDuration::from_mins(5));
    Session {
        key: SessionKey([0; 32]),
        sid: String::new(),
        origin: String::new(),
        authenticated_at: now,
        acr: None,
        expires_at: expires_at.unwrap_or(Timestamp::MAX),
        created_at: now,
        idp_session: None,
        seen_at: AtomicI64::new(now.as_second()),
        confirmed_at: AtomicI64::new(now.as_second()),
        renew_at: AtomicI64::new(i64::MAX),
        person: ArcSwap::from_pointee(person),
        streams: Streams::default(),
        ended: CancellationToken::new(),
    }
}
