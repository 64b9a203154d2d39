//! Tokens of this API.

use http::StatusCode;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::call::{Call, Json, Path};
use super::door::CONFIG_TOKEN;
use super::error::ApiError;
use super::page::Page;
use crate::directory::{self, ApiToken};

/// What a token may do.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Scope {
    /// Look.
    Read,
    /// Look and change.
    Write,
}

/// A token, without its secret.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Token {
    /// Its id.
    id: String,
    /// Its name: the log has it as `token:{name}`.
    name: String,
    /// What it may do.
    scope: Scope,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// When it ends; null: never.
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<Timestamp>,
    /// When it was used last, to the minute; null: never.
    #[schema(value_type = Option<String>, format = DateTime)]
    used_at: Option<Timestamp>,
}

impl From<ApiToken> for Token {
    fn from(token: ApiToken) -> Self {
        Self {
            id: token.id,
            name: token.name,
            scope: match token.scope {
                directory::Scope::Read => Scope::Read,
                directory::Scope::Write => Scope::Write,
            },
            created_at: token.created_at,
            expires_at: token.expires_at,
            used_at: token.used_at,
        }
    }
}

/// A token to make.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewToken {
    /// 1 to 64 letters, digits, `-`, `_` or `.`; not `config`, which is the token of the config.
    #[schema(min_length = 1, max_length = 64, pattern = "^[A-Za-z0-9._-]+$")]
    name: String,
    /// What it may do.
    scope: Scope,
    /// When it ends; absent: never.
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<Timestamp>,
}

/// A token that was just made.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct MadeToken {
    /// The token.
    token: Token,
    /// Its secret; it is shown here and never again.
    secret: String,
}

/// Tokens that were not revoked.
#[utoipa::path(
    get,
    path = "/tokens",
    operation_id = "listTokens",
    tag = "tokens",
    responses((status = 200, description = "All of them.", body = Page<Token>))
)]
pub(super) async fn list(call: Call) -> Result<axum::Json<Page<Token>>, ApiError> {
    let tokens = call.usher.directory.api_tokens().await?;
    let tokens = tokens.into_iter().map(Token::from).collect();
    Ok(axum::Json(Page::whole(tokens)))
}

/// Makes a token.
#[utoipa::path(
    post,
    path = "/tokens",
    operation_id = "createToken",
    tag = "tokens",
    request_body = NewToken,
    responses((status = 201, description = "The token, with its secret.", body = MadeToken))
)]
pub(super) async fn create(
    call: Call,
    Json(new): Json<NewToken>,
) -> Result<(StatusCode, axum::Json<MadeToken>), ApiError> {
    if !directory::is_token_name(&new.name) {
        let message = "`name` is 1 to 64 letters, digits, `-`, `_` or `.`";
        return Err(ApiError::bad_request(message));
    }
    if new.name == CONFIG_TOKEN {
        let message = "`config` is the name of the token in the config";
        return Err(ApiError::conflict("name_taken", message));
    }
    if new.expires_at.is_some_and(|at| at <= call.now) {
        return Err(ApiError::bad_request("`expires_at` is over already"));
    }
    let scope = match new.scope {
        Scope::Read => directory::Scope::Read,
        Scope::Write => directory::Scope::Write,
    };
    let directory = &call.usher.directory;
    let (token, secret) = directory
        .make_api_token(&new.name, scope, new.expires_at, &call.by, call.now)
        .await?;
    let made = MadeToken {
        token: token.into(),
        secret: secret.expose().to_owned(),
    };
    Ok((StatusCode::CREATED, axum::Json(made)))
}

/// Revokes a token.
#[utoipa::path(
    delete,
    path = "/tokens/{id}",
    operation_id = "revokeToken",
    tag = "tokens",
    params(("id" = String, Path, description = "Id of the token.")),
    responses(
        (status = 204, description = "It counts no more."),
        (status = 404, description = "There is no such token.", body = inline(super::error::Problem<'static>))
    )
)]
pub(super) async fn revoke(call: Call, Path(id): Path<String>) -> Result<StatusCode, ApiError> {
    let directory = &call.usher.directory;
    match directory.revoke_api_token(&id, &call.by, call.now).await? {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(ApiError::not_found("there is no such token")),
    }
}
