//! Who may look at the admin pages, and what a request must show to change something.

use std::sync::Arc;

use http::HeaderMap;
use http::header::ORIGIN;
use jiff::Timestamp;
use subtle::ConstantTimeEq;

use super::fields::Fields;
use super::{Call, Stop};
use crate::identity::{IdpId, Person};
use crate::refusal::{Reason, Refusal};
use crate::session::Session;

/// Seconds after a sign-in within which something may be changed.
const RECENT: i64 = 15 * 60;
/// What the tokens of forms are sealed for.
const PURPOSE: &str = "admin form";

/// Somebody who may use the pages.
#[derive(Clone)]
pub(super) struct Admin {
    pub(super) session: Arc<Session>,
    pub(super) person: Arc<Person>,
}

impl Admin {
    /// As the pages call them.
    pub(super) fn name(&self) -> String {
        let Person {
            user, attributes, ..
        } = &*self.person;
        let name = attributes.name.as_ref().or(attributes.email.as_ref());
        name.map_or_else(|| user.to_string(), Clone::clone)
    }
}

/// The admin behind a request: a session at this origin, of a person in a group that may.
pub(super) async fn admitted(call: &Call<'_>) -> Result<Admin, Stop> {
    let (usher, now) = (call.usher, call.asked.now);
    let key = call.browser.session_key(call.site).ok_or(Stop::SignIn)?;
    let session = usher.session(&key, call.site, now).await?;
    let session = session.ok_or(Stop::SignIn)?;
    let person = session.person.load_full();
    let admin = usher.config.admin.as_ref();
    let allowed = admin.map_or(&[][..], |admin| &admin.allow_groups);
    if !is_admin(allowed, &person) {
        let cause = format!("{} is in no group of `admin.allow`", person.user);
        return Err(Refusal::new(Reason::AdminOnly, cause).into());
    }
    if usher.sessions.touch(&session, now) {
        usher.sessions.write_seen(&session).await?;
    }
    Ok(Admin { session, person })
}

/// A group counts only from the IdP that it stands under.
fn is_admin(allowed: &[(IdpId, String)], person: &Person) -> bool {
    let groups = &person.attributes.groups;
    allowed
        .iter()
        .any(|(idp, group)| *idp == person.subject.idp && groups.contains(group))
}

/// Whether a POST may change something: it comes from a page of ours, made for this very session, and the person signed in lately.
pub(super) fn may_change(call: &Call<'_>, admin: &Admin, form: &Fields) -> Result<(), Stop> {
    let refused = |cause: &str| Err(Refusal::new(Reason::FormInvalid, cause).into());
    if !comes_from_here(&call.parts.headers, &call.site.public_url.origin) {
        return refused(
            "the form was posted from another origin, or the browser does not say from where",
        );
    }
    let token = form.first("csrf").unwrap_or_default();
    if !is_token_of(call, token, &admin.session.sid) {
        return refused("the form's token is not of this session");
    }
    if !is_recent(&admin.session, call.asked.now) {
        return Err(Stop::SignInAnew(Box::new(admin.clone())));
    }
    Ok(())
}

/// By `Sec-Fetch-Site` where the browser sends it, else by `Origin`. Our pages have no referrer, so that `Origin` may be `null`; alone, that is nobody's.
fn comes_from_here(headers: &HeaderMap, origin: &str) -> bool {
    let mut origins = headers.get_all(ORIGIN).iter();
    let (given, another) = (origins.next(), origins.next());
    let is = |text: &str| given.is_some_and(|given| given.as_bytes() == text.as_bytes());
    match headers.get("sec-fetch-site") {
        _ if another.is_some() => false,
        Some(site) => {
            site.as_bytes() == b"same-origin" && (given.is_none() || is(origin) || is("null"))
        }
        None => is(origin),
    }
}

/// Whether the person signed in at the IdP lately enough to change something.
pub(super) fn is_recent(session: &Session, now: Timestamp) -> bool {
    now.as_second() - session.authenticated_at.as_second() <= RECENT
}

/// The token of the forms of a session: good as long as the session.
pub(super) fn token(call: &Call<'_>, admin: &Admin) -> Result<String, Stop> {
    let sealed = call
        .usher
        .seal()
        .seal(PURPOSE, admin.session.sid.as_bytes());
    sealed.map_err(|error| Refusal::new(Reason::Internal, error.to_string()).into())
}

fn is_token_of(call: &Call<'_>, token: &str, sid: &str) -> bool {
    let opened = call.usher.seal().open(PURPOSE, token);
    opened.is_ok_and(|known| known.ct_eq(sid.as_bytes()).into())
}

/// Where to sign in and come back to a page.
pub(super) fn sign_in(call: &Call<'_>, page: &str) -> String {
    let query = query(&[("return_to", page)]);
    let origin = &call.site.public_url.origin;
    format!("{origin}{}/sign-in?{query}", call.usher.config.prefix)
}

/// Where to sign in anew at the IdP of the session, and come back to a page.
pub(super) fn sign_in_anew(call: &Call<'_>, admin: &Admin, page: &str) -> String {
    let query = query(&[("return_to", page), ("max_age", "0")]);
    let origin = &call.site.public_url.origin;
    let idp = &admin.person.subject.idp;
    format!("{origin}{}/sign-in/{idp}?{query}", call.usher.config.prefix)
}

/// A query of these pairs.
pub(super) fn query(pairs: &[(&str, &str)]) -> String {
    url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs(pairs)
        .finish()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::access::fixtures::ann;

    const HERE: &str = "https://usher.corp.test";

    fn from_here(fields: &[(&'static str, &'static str)]) -> bool {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, value.parse().unwrap());
        }
        comes_from_here(&headers, HERE)
    }

    #[test]
    fn a_form_counts_only_from_our_own_pages() {
        let same = ("sec-fetch-site", "same-origin");
        assert!(from_here(&[same]));
        assert!(from_here(&[same, ("origin", HERE)]));
        assert!(from_here(&[same, ("origin", "null")]));
        assert!(from_here(&[("origin", HERE)]));
        for fields in [
            &[][..],
            &[("origin", "null")],
            &[("origin", "https://evil.test")],
            &[("origin", "https://usher.corp.test.evil.test")],
            &[("origin", "http://usher.corp.test")],
            &[("origin", HERE), ("origin", "https://evil.test")],
            &[same, ("origin", "https://evil.test")],
            &[("sec-fetch-site", "same-site"), ("origin", HERE)],
            &[("sec-fetch-site", "cross-site"), ("origin", "null")],
            &[("sec-fetch-site", "none")],
        ] {
            assert!(!from_here(fields), "{fields:?}");
        }
    }

    #[test]
    fn an_admin_is_in_a_group_of_the_idp_of_the_session() {
        let mut person = ann();
        person.subject.idp = IdpId::new("acme");
        person.attributes.groups = vec!["usher-admins".to_owned()];
        let allowed = |idp: &str, group: &str| [(IdpId::new(idp), group.to_owned())];
        assert!(is_admin(&allowed("acme", "usher-admins"), &person));
        assert!(!is_admin(&allowed("globex", "usher-admins"), &person));
        assert!(!is_admin(&allowed("acme", "usher"), &person));
        assert!(!is_admin(&[], &person));
    }
}
