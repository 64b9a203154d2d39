//! Identity providers: how they do, what they must know of usher, and their switch.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::call::{Call, Json, Path};
use super::error::{ApiError, Problem};
use super::page::Page;
use crate::config::{Config, Idp, IdpProtocol};
use crate::idp::Health;

/// An identity provider.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct IdentityProvider {
    /// Its id.
    id: String,
    /// Its name on the sign-in page.
    label: String,
    /// What it speaks.
    protocol: Protocol,
    /// Whether people may sign in through it.
    enabled: bool,
    /// What the config file says of that.
    enabled_in_file: bool,
    /// An admin's word, where it holds: until that provider's part of the file changes.
    switch: Option<IdentityProviderSwitch>,
    /// Domains that find it, and the only ones that it may assert; empty: any.
    email_domains: Vec<String>,
    /// Whether it may write people and groups (SCIM).
    scim: bool,
    /// How it does, by what is known without asking it.
    health: IdentityProviderHealth,
    /// What it must know of usher.
    register: ToRegister,
}

/// What an identity provider speaks.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Protocol {
    /// OpenID Connect.
    Oidc,
    /// SAML 2.0.
    Saml,
}

/// An admin's word.
#[derive(Debug, Serialize, ToSchema)]
struct IdentityProviderSwitch {
    /// Whether people may sign in.
    enabled: bool,
    /// Who said so, as the log writes it.
    set_by: String,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    set_at: Timestamp,
}

/// How an identity provider does.
#[derive(Debug, Serialize, ToSchema)]
struct IdentityProviderHealth {
    /// When its metadata and keys were read last; null: not yet, they are read when they are needed.
    #[schema(value_type = Option<String>, format = DateTime)]
    read_at: Option<Timestamp>,
    /// What went wrong the last time, if it did.
    failure: Option<String>,
    /// Until when its metadata say that they hold (SAML).
    #[schema(value_type = Option<String>, format = DateTime)]
    valid_until: Option<Timestamp>,
    /// Certificates that it signs with (SAML).
    certificates: Vec<SigningCertificate>,
}

/// A certificate.
#[derive(Debug, Serialize, ToSchema)]
struct SigningCertificate {
    /// SHA-256 of it.
    fingerprint: String,
    /// When it ends.
    #[schema(value_type = String, format = DateTime)]
    expires_at: Timestamp,
}

impl IdentityProviderHealth {
    fn of(health: Health, now: Timestamp) -> Self {
        let certificate = |(fingerprint, expires_at)| SigningCertificate {
            fingerprint,
            expires_at,
        };
        let ago = |age| now.checked_sub(SignedDuration::try_from(age).ok()?).ok();
        Self {
            read_at: health.answered.and_then(ago),
            failure: health.failure,
            valid_until: health.valid_until,
            certificates: health.certificates.into_iter().map(certificate).collect(),
        }
    }
}

/// What must be entered at an identity provider, which compares URLs as strings.
#[derive(Debug, Serialize, ToSchema)]
struct ToRegister {
    /// Redirect URIs (OIDC).
    redirect_uris: Vec<String>,
    /// Post-logout redirect URIs (OIDC).
    post_logout_redirect_uris: Vec<String>,
    /// Back-channel logout URIs (OIDC); one of them is enough.
    backchannel_logout_uris: Vec<String>,
    /// Entity id, which is the URL of usher's metadata too (SAML).
    entity_id: Option<String>,
    /// Assertion consumer services (SAML).
    acs_urls: Vec<String>,
    /// Single logout services (SAML).
    slo_urls: Vec<String>,
}

impl ToRegister {
    fn of(config: &Config, idp: &Idp) -> Self {
        let urls = |path: &str| -> Vec<String> {
            let sites = config.sign_in_sites();
            sites
                .map(|site| format!("{}{}{path}", site.public_url.origin, config.prefix))
                .collect()
        };
        let id = &idp.id;
        match idp.protocol {
            IdpProtocol::Oidc(_) => Self {
                redirect_uris: urls(&format!("/oidc/{id}/callback")),
                post_logout_redirect_uris: urls("/sign-out"),
                backchannel_logout_uris: urls(&format!("/oidc/{id}/backchannel-logout")),
                entity_id: None,
                acs_urls: Vec::new(),
                slo_urls: Vec::new(),
            },
            IdpProtocol::Saml(_) => Self {
                redirect_uris: Vec::new(),
                post_logout_redirect_uris: Vec::new(),
                backchannel_logout_uris: Vec::new(),
                entity_id: Some(config.saml_entity_id(id)),
                acs_urls: urls(&format!("/saml/{id}/acs")),
                slo_urls: urls(&format!("/saml/{id}/slo")),
            },
        }
    }
}

fn shown(call: &Call, idp: &Idp) -> Result<IdentityProvider, ApiError> {
    let sign_in = &call.usher.sign_in;
    let health = sign_in.any_idp(idp.id.as_str())?.health();
    Ok(IdentityProvider {
        id: idp.id.to_string(),
        label: idp.label.clone(),
        protocol: match idp.protocol {
            IdpProtocol::Oidc(_) => Protocol::Oidc,
            IdpProtocol::Saml(_) => Protocol::Saml,
        },
        enabled: sign_in.is_enabled(idp),
        enabled_in_file: idp.enabled,
        switch: sign_in.switch(idp).map(|switch| IdentityProviderSwitch {
            enabled: switch.enabled,
            set_by: switch.set_by,
            set_at: switch.set_at,
        }),
        email_domains: idp.email_domains.clone(),
        scim: idp.scim.is_some(),
        health: IdentityProviderHealth::of(health, call.now),
        register: ToRegister::of(&call.usher.config, idp),
    })
}

fn known<'a>(call: &'a Call, id: &str) -> Result<&'a Arc<Idp>, ApiError> {
    let idp = call.usher.config.idp(id);
    idp.ok_or_else(|| ApiError::not_found("there is no such identity provider"))
}

/// Identity providers, in the order of the config.
#[utoipa::path(
    get,
    path = "/identity-providers",
    operation_id = "listIdentityProviders",
    tag = "identity providers",
    responses((status = 200, description = "All of them.", body = Page<IdentityProvider>))
)]
pub(super) async fn list(call: Call) -> Result<axum::Json<Page<IdentityProvider>>, ApiError> {
    let idps = call.usher.config.idps.iter();
    let idps: Result<_, _> = idps.map(|idp| shown(&call, idp)).collect();
    Ok(axum::Json(Page::whole(idps?)))
}

/// One identity provider.
#[utoipa::path(
    get,
    path = "/identity-providers/{id}",
    operation_id = "getIdentityProvider",
    tag = "identity providers",
    params(("id" = String, Path, description = "Id of the identity provider.")),
    responses(
        (status = 200, description = "The identity provider.", body = IdentityProvider),
        (status = 404, description = "There is no such identity provider.", body = inline(Problem<'static>))
    )
)]
pub(super) async fn one(
    call: Call,
    Path(id): Path<String>,
) -> Result<axum::Json<IdentityProvider>, ApiError> {
    Ok(axum::Json(shown(&call, known(&call, &id)?)?))
}

/// What to change.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ChangeIdentityProvider {
    /// Whether people may sign in through it.
    enabled: bool,
}

/// Switches an identity provider on or off, until its part of the config file changes. Sessions go on.
#[utoipa::path(
    patch,
    path = "/identity-providers/{id}",
    operation_id = "changeIdentityProvider",
    tag = "identity providers",
    params(("id" = String, Path, description = "Id of the identity provider.")),
    request_body = ChangeIdentityProvider,
    responses(
        (status = 200, description = "The identity provider as it is now.", body = IdentityProvider),
        (status = 404, description = "There is no such identity provider.", body = inline(Problem<'static>))
    )
)]
pub(super) async fn change(
    call: Call,
    Path(id): Path<String>,
    Json(asked): Json<ChangeIdentityProvider>,
) -> Result<axum::Json<IdentityProvider>, ApiError> {
    let idp = known(&call, &id)?;
    let usher = &call.usher;
    usher
        .switch_idp(idp, asked.enabled, &call.by, call.now)
        .await?;
    Ok(axum::Json(shown(&call, idp)?))
}
