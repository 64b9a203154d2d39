//! Apps with their roles, as the config has them.

use serde::Serialize;
use utoipa::ToSchema;

use super::call::Call;
use super::page::Page;
use crate::config::{self, ProvisioningMode};

/// An app.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct App {
    /// Its id.
    id: String,
    /// The origin that its people use.
    public_url: String,
    /// The path prefix that leads to it.
    path: String,
    /// Who gets an account; null: the app has no accounts and no roles.
    provisioning: Option<Mode>,
    /// Its roles; none implies another.
    roles: Vec<String>,
    /// The role of people without a mapped group; null: they are refused.
    default_role: Option<String>,
    /// Which group gives which role.
    group_roles: Vec<GroupRole>,
}

/// Who gets an account.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Mode {
    /// Everybody who may use the app, at the first visit.
    Jit,
    /// Who was invited.
    Invited,
    /// Nobody: roles are mapped, and there is no callback.
    Off,
}

/// A group that gives a role.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct GroupRole {
    /// The identity provider that the group counts from.
    identity_provider: String,
    /// The group, as that identity provider names it.
    group: String,
    /// The role.
    role: String,
}

impl App {
    fn of(app: &config::App) -> Self {
        let provisioning = app.provisioning.as_ref();
        let roles = provisioning.map(|it| it.roles.as_slice());
        let group_roles = provisioning.map(|it| it.group_roles.as_slice());
        Self {
            id: app.id.to_string(),
            public_url: app.public_url.origin.clone(),
            path: app.path.clone(),
            provisioning: provisioning.map(|it| match it.mode {
                ProvisioningMode::Jit => Mode::Jit,
                ProvisioningMode::Invited => Mode::Invited,
                ProvisioningMode::Off => Mode::Off,
            }),
            roles: roles
                .unwrap_or_default()
                .iter()
                .map(ToString::to_string)
                .collect(),
            default_role: provisioning
                .and_then(|it| it.default_role.as_ref())
                .map(ToString::to_string),
            group_roles: group_roles
                .unwrap_or_default()
                .iter()
                .map(|(idp, group, role)| GroupRole {
                    identity_provider: idp.to_string(),
                    group: group.clone(),
                    role: role.to_string(),
                })
                .collect(),
        }
    }
}

/// Apps with their roles.
#[utoipa::path(
    get,
    path = "/apps",
    operation_id = "listApps",
    tag = "roles",
    responses((status = 200, description = "All apps, in the order of the config.", body = Page<App>))
)]
pub(super) async fn list(call: Call) -> axum::Json<Page<App>> {
    let apps = call.usher.config.apps.iter();
    axum::Json(Page::whole(apps.map(|app| App::of(app)).collect()))
}
