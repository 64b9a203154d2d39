//! The list of people.

use askama::Template;
use http::Response;

use super::answer::{Frame, Tab, page};
use super::fields::Fields;
use super::guard::{Admin, query};
use super::words::{TagText, When, count, status};
use super::{Call, Stop};
use crate::directory::{Find, Status, Summary};

/// People on a page.
const LIMIT: u32 = 50;

#[derive(Template)]
#[template(path = "admin/people.html")]
struct People<'a> {
    frame: Frame<'a>,
    text: &'a str,
    statuses: Vec<Choice>,
    filtered: bool,
    people: Vec<PersonLine>,
    total: String,
    first: Option<String>,
    next: Option<String>,
}

/// One of several to choose from.
pub(super) struct Choice {
    pub(super) value: String,
    pub(super) label: String,
    pub(super) here: bool,
}

struct PersonLine {
    user: String,
    name: String,
    email: Option<String>,
    username: String,
    status: TagText,
    signed_in: Option<When>,
    created: When,
}

const STATUSES: [(&str, &str, Option<Status>); 4] = [
    ("", "any", None),
    ("active", "active", Some(Status::Active)),
    ("invited", "invited", Some(Status::Invited)),
    ("deactivated", "deactivated", Some(Status::Deactivated)),
];

pub(super) async fn list(call: &Call<'_>, admin: &Admin) -> Result<Response<String>, Stop> {
    let asked = Fields::of_query(call.parts);
    let text = asked.text("q");
    let named = asked.text("status").unwrap_or_default();
    let status = STATUSES
        .iter()
        .find(|(value, ..)| *value == named)
        .and_then(|(_, _, status)| *status);
    let after = asked.text("after");
    let find = Find {
        text,
        status,
        after,
        limit: LIMIT,
    };
    let found = call.usher.directory.people(&find).await?;
    let now = call.asked.now;
    let same = [("q", text.unwrap_or_default()), ("status", named)];
    let link = |after: Option<&str>| {
        let mut pairs = same.to_vec();
        pairs.extend(after.map(|after| ("after", after)));
        pairs.retain(|(_, value)| !value.is_empty());
        format!("/people?{}", query(&pairs))
    };
    let people = found.items.iter().map(|person| line(person, now));
    Ok(page(&People {
        frame: call.frame(admin, Tab::People)?,
        text: text.unwrap_or_default(),
        statuses: STATUSES
            .iter()
            .map(|(value, label, _)| Choice {
                value: (*value).to_owned(),
                label: (*label).to_owned(),
                here: *value == named,
            })
            .collect(),
        filtered: text.is_some() || status.is_some(),
        people: people.collect(),
        total: count(found.total, "person", "people"),
        first: after.map(|_| link(None)),
        next: found.next.as_deref().map(|next| link(Some(next))),
    }))
}

fn line(person: &Summary, now: jiff::Timestamp) -> PersonLine {
    PersonLine {
        user: person.user.to_string(),
        name: name_of(person),
        email: person.name.as_ref().and(person.email.clone()),
        username: person.username.clone().unwrap_or_default(),
        status: status(person.status),
        signed_in: person.signed_in_at.map(|at| When::of(at, now)),
        created: When::of(person.created_at, now),
    }
}

/// What somebody is called: the name, else the e-mail address, the username, the id.
pub(super) fn name_of(person: &Summary) -> String {
    let known = person.name.as_ref().or(person.email.as_ref());
    let known = known.or(person.username.as_ref());
    known.map_or_else(|| person.user.to_string(), Clone::clone)
}
