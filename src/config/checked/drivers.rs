//! `provisioning.scim` and `provisioning.rest` of an app.

use http::{HeaderName, Method};
use serde_json::Value;
use url::Url;

use super::rest_presets::{Preset, preset};
use super::secrets::Context;
use super::urls;
use crate::config::raw::{
    At, Count, List, RawRest, RawRestMethod, RawRestRequest, RawScimTarget, Report, Table, Text,
};
use crate::config::{
    Body, RestRequest, RestTarget, ScimTarget, Template, Variable, variable_names,
};

/// A request before its templates are read.
pub(super) struct Unchecked {
    method: Method,
    path: String,
    body: Option<Value>,
    done: Vec<u16>,
    exists: Vec<u16>,
    refused: Vec<u16>,
    again: Vec<u16>,
    id: Option<String>,
    email: Option<String>,
}

impl Unchecked {
    pub(super) fn new(method: Method, path: &str) -> Self {
        Self {
            method,
            path: path.to_owned(),
            body: None,
            done: vec![200, 201, 202, 204],
            exists: vec![409],
            refused: Vec::new(),
            again: Vec::new(),
            id: None,
            email: None,
        }
    }

    pub(super) fn body(mut self, body: Value) -> Self {
        self.body = Some(body);
        self
    }

    pub(super) fn exists(mut self, statuses: &[u16]) -> Self {
        self.exists = statuses.to_vec();
        self
    }

    pub(super) fn id(mut self, pointer: &str) -> Self {
        self.id = Some(pointer.to_owned());
        self
    }

    pub(super) fn email(mut self, pointer: &str) -> Self {
        self.email = Some(pointer.to_owned());
        self
    }

    /// Reads the templates; the problem, where there is one.
    fn checked(self) -> Result<RestRequest, String> {
        let template = |text: &str| {
            Template::parse(text).map_err(|what| format!("has `{what}`, which is no variable"))
        };
        let path = template(&self.path)?;
        if !self.path.starts_with('/') {
            return Err("has a path that does not begin with a slash".to_owned());
        }
        let body = match self.body {
            None => None,
            Some(document) => Some(
                Body::of(document).map_err(|what| format!("has `{what}`, which is no variable"))?,
            ),
        };
        let named = path
            .variables()
            .chain(body.iter().flat_map(Body::variables))
            .any(|variable| variable == Variable::Token);
        if named {
            return Err("has `{token}`, which stands in `headers` alone".to_owned());
        }
        let pointers = [&self.id, &self.email];
        if pointers
            .into_iter()
            .flatten()
            .any(|one| !one.starts_with('/'))
        {
            return Err("has a JSON pointer that does not begin with a slash".to_owned());
        }
        Ok(RestRequest {
            method: self.method,
            path,
            body,
            done: self.done,
            exists: self.exists,
            refused: self.refused,
            again: self.again,
            id: self.id,
            email: self.email,
        })
    }
}

/// Checks `provisioning.scim`.
pub(super) fn scim(
    path: &str,
    raw: &RawScimTarget,
    context: &mut Context<'_>,
    report: &mut Report,
) -> Option<ScimTarget> {
    let url = raw.url.as_ref();
    let url = url.and_then(|text| base(&format!("{path}.url"), text, report));
    let token = raw.token.as_ref();
    let token = token.and_then(|at| context.secret(&format!("{path}.token"), at, report));
    Some(ScimTarget {
        url: url?,
        token: token?,
    })
}

/// A base URL: without a query, since paths follow.
fn base(path: &str, text: &At<Text>, report: &mut Report) -> Option<Url> {
    let url = urls::callback(path, text, report)?;
    if url.query().is_some() {
        report.add(
            text.place,
            format!("`{path}` has a query"),
            "write the URL that the paths of the requests follow",
        );
        return None;
    }
    Some(url)
}

/// Checks `provisioning.rest`.
pub(super) fn rest(
    path: &str,
    raw: &At<RawRest>,
    context: &mut Context<'_>,
    report: &mut Report,
) -> Option<RestTarget> {
    let url = raw.url.as_ref();
    let url = url.and_then(|text| base(&format!("{path}.url"), text, report));
    let token = match &raw.token {
        None => Some(None),
        Some(at) => context
            .secret(&format!("{path}.token"), at, report)
            .map(Some),
    };
    let preset = raw.preset.as_ref().map(|at| preset(at.value));
    let header = preset.as_ref().map(|preset| preset.header);
    let headers = headers(path, (raw, header), report);
    let Requests {
        create,
        update,
        deactivate,
        reactivate,
        delete,
        find,
    } = requests(path, raw, preset, report);
    let needed = [
        ("create", raw.create.is_some()),
        ("deactivate", raw.deactivate.is_some()),
    ];
    for (name, is_written) in needed {
        if !is_written && raw.preset.is_none() {
            report.add(
                raw.place,
                format!("`{path}.{name}` is missing"),
                "write it, or name a `preset`",
            );
        }
    }
    Some(RestTarget {
        url: url?,
        token: token?,
        headers: headers?,
        create: create?,
        update,
        deactivate: deactivate?,
        reactivate,
        delete,
        find,
    })
}

#[derive(Default)]
struct Requests {
    create: Option<RestRequest>,
    update: Option<RestRequest>,
    deactivate: Option<RestRequest>,
    reactivate: Option<RestRequest>,
    delete: Option<RestRequest>,
    find: Option<RestRequest>,
}

/// What is written, else what the preset has.
fn requests(path: &str, raw: &RawRest, preset: Option<Preset>, report: &mut Report) -> Requests {
    let mut one = |name: &str, written: Option<&At<RawRestRequest>>, known: Option<Unchecked>| {
        let path = format!("{path}.{name}");
        match written {
            Some(written) => request(&path, written, report),
            // A preset's own are good: a test says so.
            None => known.and_then(|known| known.checked().ok()),
        }
    };
    let Some(preset) = preset else {
        return Requests {
            create: one("create", raw.create.as_ref(), None),
            update: one("update", raw.update.as_ref(), None),
            deactivate: one("deactivate", raw.deactivate.as_ref(), None),
            reactivate: one("reactivate", raw.reactivate.as_ref(), None),
            delete: one("delete", raw.delete.as_ref(), None),
            find: one("find", raw.find.as_ref(), None),
        };
    };
    Requests {
        create: one("create", raw.create.as_ref(), Some(preset.create)),
        update: one("update", raw.update.as_ref(), Some(preset.update)),
        deactivate: one(
            "deactivate",
            raw.deactivate.as_ref(),
            Some(preset.deactivate),
        ),
        reactivate: one(
            "reactivate",
            raw.reactivate.as_ref(),
            Some(preset.reactivate),
        ),
        delete: one("delete", raw.delete.as_ref(), Some(preset.delete)),
        find: one("find", raw.find.as_ref(), Some(preset.find)),
    }
}

fn request(path: &str, raw: &At<RawRestRequest>, report: &mut Report) -> Option<RestRequest> {
    let method = raw.method.as_ref().map(|method| match method.value {
        RawRestMethod::Get => Method::GET,
        RawRestMethod::Post => Method::POST,
        RawRestMethod::Put => Method::PUT,
        RawRestMethod::Patch => Method::PATCH,
        RawRestMethod::Delete => Method::DELETE,
    });
    let body = match &raw.body {
        None => Some(None),
        Some(text) => match serde_json::from_str(&text.0) {
            Ok(document) => Some(Some(document)),
            Err(error) => {
                report.add(
                    text.place,
                    format!("`{path}.body` is not JSON: {error}"),
                    "write a JSON document as text, such as '{\"mail\": \"{email}\"}'",
                );
                None
            }
        },
    };
    let mut statuses = |name: &str, list: Option<&At<List<Count>>>| -> Vec<u16> {
        let path = format!("{path}.{name}");
        list.map(|list| self::statuses(&path, list, report))
            .unwrap_or_default()
    };
    let unchecked = Unchecked {
        done: statuses("done", raw.done.as_ref()),
        exists: statuses("exists", raw.exists.as_ref()),
        refused: statuses("refused", raw.refused.as_ref()),
        again: statuses("again", raw.again.as_ref()),
        method: method?,
        path: raw.path.as_ref()?.0.clone(),
        body: body?,
        id: raw.id.as_ref().map(|text| text.0.clone()),
        email: raw.email.as_ref().map(|text| text.0.clone()),
    };
    match unchecked.checked() {
        Ok(request) => Some(request),
        Err(what) => {
            report.add(
                raw.place,
                format!("`{path}` {what}"),
                format!("the variables are: {}", variable_names()),
            );
            None
        }
    }
}

fn statuses(path: &str, list: &At<List<Count>>, report: &mut Report) -> Vec<u16> {
    let mut found = Vec::new();
    for number in &list.value.0 {
        match u16::try_from(number.0) {
            Ok(status @ 200..=599) => found.push(status),
            Ok(_) | Err(_) => report.add(
                number.place,
                format!("`{path}` has {}, which is no status", number.0),
                "write statuses from 200 to 599",
            ),
        }
    }
    found
}

/// The preset's field, unless it is written, and what is written.
fn headers(
    path: &str,
    (raw, preset): (&RawRest, Option<(&str, &str)>),
    report: &mut Report,
) -> Option<Vec<(HeaderName, Template)>> {
    let mut found = Vec::new();
    let written: Option<&Table<Text>> = raw.headers.as_ref().map(|table| &table.value);
    for (name, value) in written.iter().flat_map(|table| &table.0) {
        let parsed = name.value.parse::<HeaderName>().ok();
        match parsed.zip(Template::parse(&value.0).ok()) {
            Some(field) => found.push(field),
            None => report.add(
                name.place,
                format!("`{path}.headers.{}` is no header field", name.value),
                "write a name and a text; `{token}` stands for the token",
            ),
        }
    }
    if let Some((name, value)) = preset {
        let name: HeaderName = name.parse().ok()?;
        if !found.iter().any(|(written, _)| *written == name) {
            found.push((name, Template::parse(value).ok()?));
        }
    }
    let wants_token = found
        .iter()
        .any(|(_, template)| template.variables().any(|one| one == Variable::Token));
    if wants_token && raw.token.is_none() {
        let place = raw.url.as_ref().map(|url| url.place)?;
        report.add(
            place,
            format!("`{path}.token` is missing"),
            "write it: `token: { env: APP_TOKEN }`",
        );
        return None;
    }
    Some(found)
}
