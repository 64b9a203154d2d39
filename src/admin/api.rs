//! The admin API: `/api/v1`, for bearer tokens. One table of operations makes the routes and the OpenAPI document.

mod apps;
mod audit;
mod call;
mod deliveries;
mod door;
mod error;
mod explain;
mod idps;
mod invitations;
mod page;
mod sessions;
mod status;
mod tokens;
mod users;

use std::net::IpAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::response::IntoResponse;
use bytes::Bytes;
use http::request::Parts;
use http::{Method, Request, Response, StatusCode};
use jiff::Timestamp;
use tower::ServiceExt;
use utoipa::OpenApi as _;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{Content, OpenApi, PathItem, Ref, RefOr, ResponseBuilder};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use self::call::Call;
use self::error::ApiError;
use super::reload::Reloads;
use crate::audit::{Actor, By};
use crate::usher::Usher;

pub use self::door::{CONFIG_TOKEN, Caller};

/// Where the API is.
pub const PREFIX: &str = "/api/v1";

/// What the API must know of a request besides its head and body.
#[derive(Clone, Copy, Debug)]
pub struct ApiAsked<'a> {
    /// The host that was asked, in lower case and without its port.
    pub host: &'a str,
    /// Request id.
    pub request_id: &'a str,
    /// Address of the client.
    pub client: IpAddr,
    /// Now.
    pub now: Timestamp,
}

/// The code and the cause of a refusal, in the extensions of its answer: for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The stable code.
    pub code: &'static str,
    /// What really happened.
    pub cause: String,
}

/// The API; cheap to clone.
#[derive(Clone, Debug)]
pub struct Api {
    router: Router,
    started_at: Timestamp,
    reloads: Option<Reloads>,
}

impl Api {
    /// All of it. `started_at` is since when usher runs; without `reloads`, the config cannot be loaded anew.
    pub fn new(started_at: Timestamp, reloads: Option<Reloads>) -> Self {
        let (router, _) = operations().split_for_parts();
        let router = router
            .fallback(async || ApiError::not_found("there is no such resource"))
            .method_not_allowed_fallback(async || {
                let message = "the resource does not have that method";
                ApiError::new(
                    StatusCode::METHOD_NOT_ALLOWED,
                    "method_not_allowed",
                    message,
                )
            });
        Self {
            router,
            started_at,
            reloads,
        }
    }

    /// Looks at the head of a request, before its body is read: who calls, and whether that caller may.
    ///
    /// # Errors
    /// The answer to whoever may not.
    pub async fn admit(
        &self,
        usher: &Usher,
        parts: &Parts,
        asked: &ApiAsked<'_>,
    ) -> Result<Caller, Box<Response<Body>>> {
        let admitted = door::admit(usher, parts, asked).await;
        admitted.map_err(|error| Box::new(finished(error.into_response(), asked)))
    }

    /// Answers a request of a caller who was let in. Never fails: a fault is an answer too.
    pub async fn answer(
        &self,
        usher: &Arc<Usher>,
        caller: &Caller,
        request: Request<Bytes>,
        asked: &ApiAsked<'_>,
    ) -> Response<Body> {
        let (mut parts, body) = request.into_parts();
        if let Err(error) = check_body(&parts, &body) {
            return finished(error.into_response(), asked);
        }
        parts.extensions.insert(Call {
            usher: Arc::clone(usher),
            by: By {
                actor: Actor::Token(caller.token.clone()),
                client: Some(asked.client),
                request_id: Some(asked.request_id.to_owned()),
            },
            now: asked.now,
            started_at: self.started_at,
            reloads: self.reloads.clone(),
        });
        let request = Request::from_parts(parts, Body::from(body));
        let answered = self.router.clone().oneshot(request).await;
        finished(answered.into_response(), asked)
    }
}

/// A form or a text that a page of another origin can send without asking is never taken, not even where no body is expected.
fn check_body(parts: &Parts, body: &Bytes) -> Result<(), ApiError> {
    if matches!(parts.method, Method::GET | Method::HEAD) {
        return Ok(());
    }
    match call::media_type(&parts.headers).as_deref() {
        Some("application/json" | "text/csv") => Ok(()),
        None if body.is_empty() => Ok(()),
        Some(_) | None => Err(ApiError::media_type("the body must be application/json")),
    }
}

fn finished(mut response: axum::response::Response, asked: &ApiAsked<'_>) -> Response<Body> {
    let Some(error) = response.extensions_mut().remove::<ApiError>() else {
        return response;
    };
    let allow = response.headers_mut().remove(http::header::ALLOW);
    let mut answer = error.answer(asked.request_id);
    if let Some(allow) = allow {
        answer.headers_mut().insert(http::header::ALLOW, allow);
    }
    answer.extensions_mut().insert(Refused {
        code: error.code(),
        cause: error.cause().to_owned(),
    });
    answer
}

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "usher admin API",
        description = "People, sessions, roles, invitations, identity providers, deliveries, the log of what happened, and tokens. \
            Every request needs `Authorization: Bearer …`. Times are RFC 3339. Lists come in pages: hand `next` back as `after`.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    components(schemas(error::Problem<'static>))
)]
struct Document;

/// The one table.
fn operations() -> OpenApiRouter {
    let routes = OpenApiRouter::new()
        .routes(routes!(document))
        .routes(routes!(status::status))
        .routes(routes!(status::reload))
        .routes(routes!(users::list))
        .routes(routes!(users::one))
        .routes(routes!(users::deactivate))
        .routes(routes!(users::reactivate))
        .routes(routes!(users::set_roles))
        .routes(routes!(sessions::list))
        .routes(routes!(sessions::end))
        .routes(routes!(sessions::list_of_user, sessions::end_of_user))
        .routes(routes!(apps::list))
        .routes(routes!(explain::one))
        .routes(routes!(audit::list))
        .routes(routes!(audit::export))
        .routes(routes!(invitations::list, invitations::create))
        .routes(routes!(invitations::create_many))
        .routes(routes!(invitations::withdraw))
        .routes(routes!(idps::list))
        .routes(routes!(idps::one, idps::change))
        .routes(routes!(deliveries::list))
        .routes(routes!(deliveries::replay))
        .routes(routes!(tokens::list, tokens::create))
        .routes(routes!(tokens::revoke));
    OpenApiRouter::with_openapi(Document::openapi()).nest(PREFIX, routes)
}

/// The OpenAPI 3.1 document.
pub fn openapi() -> OpenApi {
    let mut document = operations().into_openapi();
    let components = document.components.get_or_insert_default();
    let bearer = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
    components.add_security_scheme("token", bearer);
    document.security = Some(vec![utoipa::openapi::SecurityRequirement::new(
        "token",
        Vec::<String>::new(),
    )]);
    for path in document.paths.paths.values_mut() {
        add_refusals(path);
    }
    document
}

/// Every operation can refuse in the same form.
fn add_refusals(path: &mut PathItem) {
    let operations = [
        &mut path.get,
        &mut path.put,
        &mut path.post,
        &mut path.delete,
        &mut path.patch,
    ];
    for operation in operations.into_iter().flatten() {
        for (status, description) in [
            (
                "401",
                "No token, or one that is unknown, expired or revoked.",
            ),
            ("default", "Refused, or failed: `error` is a stable code."),
        ] {
            let content = Content::new(Some(Ref::from_schema_name("Problem")));
            let response = ResponseBuilder::new()
                .description(description)
                .content("application/json", content)
                .build();
            let responses = &mut operation.responses.responses;
            responses.insert(status.to_owned(), RefOr::T(response));
        }
    }
}

/// This document.
#[utoipa::path(
    get,
    path = "/openapi.json",
    operation_id = "openapi",
    tag = "usher",
    responses((status = 200, description = "The OpenAPI 3.1 document.", body = Object))
)]
async fn document() -> axum::Json<OpenApi> {
    axum::Json(openapi())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn every_operation_has_an_id_and_says_how_it_refuses() {
        let document = serde_json::to_value(openapi()).unwrap();
        assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
        assert!(!document["security"].as_array().unwrap().is_empty());
        let mut ids = Vec::new();
        for (path, methods) in document["paths"].as_object().unwrap() {
            assert!(path.starts_with(PREFIX), "{path}");
            for (method, operation) in methods.as_object().unwrap() {
                let id = operation["operationId"].as_str().unwrap();
                assert!(!ids.contains(&id.to_owned()), "{id} is there twice");
                ids.push(id.to_owned());
                for status in ["401", "default"] {
                    let problem = &operation["responses"][status]["content"]["application/json"];
                    assert_eq!(
                        problem["schema"]["$ref"], "#/components/schemas/Problem",
                        "{method} {path}"
                    );
                }
            }
        }
        assert!(ids.len() > 4, "{ids:?}");
    }

    #[test]
    fn no_two_types_of_the_document_have_one_name() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/admin/api");
        let mut names = Vec::new();
        for file in std::fs::read_dir(folder).unwrap() {
            let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
            for after in text.split("ToSchema)]").skip(1) {
                let words: Vec<_> = after.split_whitespace().collect();
                let at = words
                    .iter()
                    .position(|word| matches!(*word, "struct" | "enum"));
                let name = words[at.unwrap() + 1];
                names.push(name.split('<').next().unwrap().to_owned());
            }
        }
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert!(all > 20 && names.len() == all, "{names:?}");
    }
}
