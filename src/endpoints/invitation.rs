//! `GET,POST /_usher/invitation/{token}`: the link that an invited person gets. GET changes nothing: mail scanners open it too.

use http::{Method, Response, StatusCode};

use super::local::own_form;
use super::query::Parameters;
use super::{Call, set_cookies, sign_in};
use crate::pages::{self, IdpChoice};
use crate::refusal::Refusal;
use crate::sign_in::{EnrolForm, Enrolled, LocalVisit, Mistake, Offer, Opened};

pub(super) async fn invitation(call: &Call<'_>, token: &str) -> Result<Response<String>, Refusal> {
    let story = &call.usher.sign_in;
    let (site, now) = (call.asked.site, call.asked.now);
    let opened = story.open_invitation(token, now).await?;
    if call.parts.method != Method::POST {
        let offer = opened
            .password
            .then(|| story.offer(&opened, &site.public_url.host, None))
            .transpose()?;
        return page(call, token, &opened, (offer.as_ref(), None));
    }
    let form = Parameters::of_form(call.parts, call.body)?;
    own_form(call, form.one("form")?)?;
    let field = |name| Ok::<_, Refusal>(form.one(name)?.unwrap_or_default());
    let filled_in = EnrolForm {
        password: field("password")?,
        again: field("again")?,
        totp: field("totp")?,
        sealed: field("sealed")?,
    };
    let return_to = opened.judged_return_to(story, site);
    let by = call.by();
    let visit = LocalVisit {
        site,
        return_to: &return_to,
        browser: &call.browser,
        by: &by,
        client: call.asked.client,
    };
    match story.enrol(token, &filled_in, &visit, now).await? {
        Enrolled::Again(mistake, offer) => {
            page(call, token, &opened, (Some(&offer), Some(mistake)))
        }
        Enrolled::SignedIn(finished) => Ok(super::arrive(call, &finished)),
        Enrolled::Ready => {
            let (origin, prefix) = (&site.public_url.origin, &call.usher.config.prefix);
            let address = format!("{origin}{prefix}/sign-in/local");
            Ok(call.page(|context| pages::enrolled(&address, context)))
        }
    }
}

fn page(
    call: &Call<'_>,
    token: &str,
    opened: &Opened,
    (offer, mistake): (Option<&Offer>, Option<Mistake>),
) -> Result<Response<String>, Refusal> {
    let new = &opened.invitation.new;
    let story = &call.usher.sign_in;
    let form = story.form_token(call.asked.site, &call.browser, call.asked.now)?;
    let enrolment = offer.map(|offer| pages::Enrolment {
        action: format!("{}/invitation/{token}", call.usher.config.prefix),
        svg: offer.enrolment.svg.expose(),
        key: offer.enrolment.text.expose(),
        sealed: &offer.sealed,
        token: &form.value,
    });
    let shown = pages::Invitation {
        email: &new.email,
        name: new.name.as_deref(),
        inviter: opened.inviter.as_deref(),
        until: new.expires_at.strftime("%-d %B %Y, %H:%M UTC").to_string(),
        here: opened.here,
        break_glass: new.break_glass,
        mistake: mistake.map(|mistake| mistake.to_string()),
        enrolment,
    };
    let status = if mistake.is_some() {
        StatusCode::UNPROCESSABLE_ENTITY
    } else {
        StatusCode::OK
    };
    let choices = choices(call, opened);
    let mut response = call.page(|context| pages::invitation(status, &shown, &choices, context));
    if offer.is_some() {
        set_cookies(&mut response, form.cookie.as_slice());
    }
    Ok(response)
}

/// The IdPs that may vouch for the address. Nobody signs in to an emergency account through one, and who is here knows the way.
fn choices(call: &Call<'_>, opened: &Opened) -> Vec<IdpChoice> {
    let new = &opened.invitation.new;
    if new.break_glass || opened.here {
        return Vec::new();
    }
    let domain = crate::sign_in::domain_of(&new.email).unwrap_or_default();
    let return_to = opened.judged_return_to(&call.usher.sign_in, call.asked.site);
    let may_vouch = |domains: &[String]| domains.is_empty() || domains.contains(&domain);
    call.usher
        .config
        .idps
        .iter()
        .filter(|idp| call.usher.sign_in.is_enabled(idp) && may_vouch(&idp.email_domains))
        .map(|idp| sign_in::choice(call, idp, &return_to, Ok(None)))
        .collect()
}
