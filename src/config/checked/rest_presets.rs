//! What known apps expect, from the documentation of their APIs.

use http::Method;
use serde_json::json;

use super::drivers::Unchecked;
use crate::config::raw::RawRestPreset;

/// The requests of a preset.
pub(super) struct Preset {
    pub(super) header: (&'static str, &'static str),
    pub(super) create: Unchecked,
    pub(super) update: Unchecked,
    pub(super) deactivate: Unchecked,
    pub(super) reactivate: Unchecked,
    pub(super) delete: Unchecked,
    pub(super) find: Unchecked,
}

pub(super) fn preset(preset: RawRestPreset) -> Preset {
    match preset {
        RawRestPreset::Gitlab => gitlab(),
        RawRestPreset::Gitea => gitea(),
        RawRestPreset::Mattermost => mattermost(),
        RawRestPreset::Metabase => metabase(),
    }
}

/// Users API of GitLab, with a token of an administrator (scopes `api`, `admin_mode`). Who is gone is blocked, not deactivated, since
/// that works only after a time without use.
fn gitlab() -> Preset {
    let profile = json!({ "email": "{email}", "name": "{name}", "username": "{username}", "skip_reconfirmation": true });
    Preset {
        header: ("private-token", "{token}"),
        create: Unchecked::new(Method::POST, "/api/v4/users")
            .body(json!({
                "email": "{email}", "name": "{name}", "username": "{username}",
                "force_random_password": true, "skip_confirmation": true,
            }))
            .id("/id"),
        update: Unchecked::new(Method::PUT, "/api/v4/users/{account}").body(profile),
        deactivate: Unchecked::new(Method::POST, "/api/v4/users/{account}/block"),
        reactivate: Unchecked::new(Method::POST, "/api/v4/users/{account}/unblock"),
        delete: Unchecked::new(Method::DELETE, "/api/v4/users/{account}"),
        find: Unchecked::new(Method::GET, "/api/v4/users?username={username}")
            .id("/0/id")
            .email("/0/email"),
    }
}

/// Admin API of Gitea and Forgejo, with a token of an administrator (scope `write:admin`). There an account goes by its name.
fn gitea() -> Preset {
    let edit = |active: bool| {
        json!({
            "source_id": 0, "login_name": "{username}", "email": "{email}", "full_name": "{name}",
            "active": true, "prohibit_login": !active,
        })
    };
    // `login_name` must be there, and nothing else is touched.
    let off = json!({ "source_id": 0, "login_name": "{account}", "prohibit_login": true });
    let account = "/api/v1/admin/users/{account}";
    Preset {
        header: ("authorization", "token {token}"),
        create: Unchecked::new(Method::POST, "/api/v1/admin/users")
            .body(json!({
                "username": "{username}", "email": "{email}", "full_name": "{name}",
                "password": "{random}", "must_change_password": false, "send_notify": false,
            }))
            // 422 is for a name or address that is taken, and for one that it does not like: `find` tells.
            .exists(&[409, 422])
            .id("/login"),
        update: Unchecked::new(Method::PATCH, account).body(edit(true)),
        deactivate: Unchecked::new(Method::PATCH, account).body(off),
        reactivate: Unchecked::new(Method::PATCH, account).body(edit(true)),
        delete: Unchecked::new(Method::DELETE, account),
        find: Unchecked::new(Method::GET, "/api/v1/users/{username}")
            .id("/login")
            .email("/email"),
    }
}

/// API v4 of Mattermost, with a personal access token of a system admin. Deleting only archives there, unless the server allows more.
fn mattermost() -> Preset {
    let active = |active: bool| {
        Unchecked::new(Method::PUT, "/api/v4/users/{account}/active")
            .body(json!({ "active": active }))
    };
    Preset {
        header: ("authorization", "Bearer {token}"),
        create: Unchecked::new(Method::POST, "/api/v4/users")
            .body(json!({
                "email": "{email}", "username": "{username}", "password": "{random}",
                "first_name": "{given_name}", "last_name": "{family_name}",
            }))
            // 400 is for what exists, and for what it does not like: `find` tells.
            .exists(&[400, 409])
            .id("/id"),
        update: Unchecked::new(Method::PUT, "/api/v4/users/{account}/patch").body(json!({
            "email": "{email}", "username": "{username}",
            "first_name": "{given_name}", "last_name": "{family_name}",
        })),
        deactivate: active(false),
        reactivate: active(true),
        delete: Unchecked::new(Method::DELETE, "/api/v4/users/{account}"),
        find: Unchecked::new(Method::GET, "/api/v4/users/email/{email}")
            .id("/id")
            .email("/email"),
    }
}

/// API of Metabase, with an API key of the group Administrators. It keeps everybody: deleting is switching off.
fn metabase() -> Preset {
    let profile =
        json!({ "email": "{email}", "first_name": "{given_name}", "last_name": "{family_name}" });
    Preset {
        header: ("x-api-key", "{token}"),
        create: Unchecked::new(Method::POST, "/api/user")
            .body(profile.clone())
            .exists(&[400, 409])
            .id("/id"),
        update: Unchecked::new(Method::PUT, "/api/user/{account}").body(profile),
        deactivate: Unchecked::new(Method::DELETE, "/api/user/{account}"),
        reactivate: Unchecked::new(Method::PUT, "/api/user/{account}/reactivate"),
        delete: Unchecked::new(Method::DELETE, "/api/user/{account}"),
        find: Unchecked::new(Method::GET, "/api/user?status=all&query={email}")
            .id("/data/0/id")
            .email("/data/0/email"),
    }
}
