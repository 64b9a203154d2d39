//! What usher itself answers to a request that it does not forward.

use std::sync::Arc;

use http::header::CONNECTION;
use http::request::Parts;
use http::{HeaderValue, Response, Version};

use super::answer;
use super::body::AnswerBody;
use super::exchange::Exchange;
use super::guard::REFUSED_METHOD;
use super::worker::View;
use crate::config::{App, Site};
use crate::endpoints::{self, Asked};
use crate::pages::{self, PageContext};
use crate::refusal::{Reason, Refusal};

/// What the endpoints must know of a request.
pub(super) fn asked<'a>(site: &'a Arc<Site>, exchange: &'a Exchange) -> Asked<'a> {
    Asked {
        site,
        request_id: exchange.id.as_str(),
        client: exchange.client,
        now: exchange.at,
    }
}

/// The way to the sign-in, in the form that the request asks for.
pub(super) fn sign_in_first(
    view: &View,
    (site, app): (&Arc<Site>, &App),
    parts: &Parts,
    exchange: &mut Exchange,
) -> Response<String> {
    exchange.refused(&Refusal::new(Reason::SignInRequired, ""));
    endpoints::needs_sign_in(&view.usher, app, parts, &asked(site, exchange))
}

/// A refusal, in the form that the request asks for; and of its site where that is known.
pub(super) fn refused(
    view: &View,
    site: Option<&Arc<Site>>,
    refusal: &Refusal,
    parts: &Parts,
    exchange: &mut Exchange,
) -> Response<String> {
    exchange.refused(refusal);
    match site {
        Some(site) => endpoints::refused(&view.usher, refusal, parts, &asked(site, exchange)),
        None => {
            let form = pages::form_of(&parts.method, &parts.headers);
            let context = PageContext {
                prefix: &view.usher.config.prefix,
                request_id: exchange.id.as_str(),
                site: "",
                form_origins: &[],
            };
            pages::refusal(refusal, form, &context, None)
        }
    }
}

/// Answers with a refusal. After what cannot be understood, an HTTP/1 connection is closed.
pub(super) fn refuse(
    view: &View,
    site: Option<&Arc<Site>>,
    refusal: &Refusal,
    parts: &Parts,
    mut exchange: Box<Exchange>,
) -> Response<AnswerBody> {
    let response = refused(view, site, refusal, parts, &mut exchange);
    let mut response = endpoints::fitting(&parts.method, response);
    let stand_in = parts.method.as_str() == REFUSED_METHOD;
    if parts.version != Version::HTTP_2 && (stand_in || refusal.reason == Reason::BadRequest) {
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(CONNECTION, close);
    }
    answer::own(response, exchange)
}
