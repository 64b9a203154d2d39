//! An app's own API by templates: values are put in as JSON or percent-encoded, never as they are.

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{Request, StatusCode};
use serde_json::Value;

use super::super::answer::Verdict;
use super::{Data, Wire, again, allowed, below, encoded, wrong};
use crate::config::{RestRequest, RestTarget, Variable, as_text};
use crate::directory::EventKind;
use crate::outbound::Answer;

/// An app's API, and whom it is told of.
struct Client<'a> {
    wire: &'a Wire<'a>,
    target: &'a RestTarget,
    data: &'a Data,
    /// A password that nobody knows.
    random: String,
}

/// What a request came to.
enum Came {
    /// Done, with the answer.
    Done(Answer),
    /// There is such an account.
    Exists,
    /// There is no such account (any more).
    Gone,
}

pub(super) async fn tell(wire: &Wire<'_>, target: &RestTarget, data: &Data) -> Verdict {
    let client = Client {
        wire,
        target,
        data,
        random: match random() {
            Some(random) => random,
            None => return again("no random numbers", None),
        },
    };
    let told = match wire.event.kind {
        EventKind::Created => client.create().await,
        EventKind::Updated => client.update(false).await,
        EventKind::Reactivated => client.update(true).await,
        EventKind::Deactivated | EventKind::Deleted => client.take_away().await,
    };
    told.map_or_else(|verdict| verdict, allowed)
}

impl Client<'_> {
    async fn create(&self) -> Result<Option<String>, Verdict> {
        let request = &self.target.create;
        match self.send(request, None).await? {
            Came::Done(answer) => match self.id_in(request, &answer)? {
                Some(id) => Ok(Some(id)),
                None => self.find().await,
            },
            Came::Exists => self.adopt().await,
            Came::Gone => Err(wrong("the app's API has no place to create accounts")),
        }
    }

    /// Takes over an account that exists: it is switched on and brought up to date.
    async fn adopt(&self) -> Result<Option<String>, Verdict> {
        if self.target.find.is_none() {
            return Ok(None);
        }
        let Some(id) = self.find().await? else {
            return Err(wrong(
                "the app refused the account, and finds none that exists",
            ));
        };
        self.switch_on(&id).await?;
        match self.change(&id).await? {
            true => Ok(Some(id)),
            false => Err(wrong("the app lost the account that it had just found")),
        }
    }

    /// Brings an account up to date; one that is gone there is created anew.
    async fn update(&self, switch_on: bool) -> Result<Option<String>, Verdict> {
        let Some(id) = self.known().await? else {
            return self.create().await;
        };
        if switch_on {
            self.switch_on(&id).await?;
        }
        match self.change(&id).await? {
            true => Ok(Some(id)),
            false => self.create().await,
        }
    }

    /// False: there is no such account.
    async fn change(&self, id: &str) -> Result<bool, Verdict> {
        let Some(request) = &self.target.update else {
            return Ok(true);
        };
        match self.send(request, Some(id)).await? {
            Came::Done(_) => Ok(true),
            Came::Gone => Ok(false),
            Came::Exists => Err(wrong(
                "the app has another account with that name or address",
            )),
        }
    }

    /// An account that is on already may say so in any way.
    async fn switch_on(&self, id: &str) -> Result<(), Verdict> {
        let Some(request) = &self.target.reactivate else {
            return Ok(());
        };
        match self.send(request, Some(id)).await {
            Ok(_) | Err(Verdict::Wrong { .. }) => Ok(()),
            Err(verdict) => Err(verdict),
        }
    }

    async fn take_away(&self) -> Result<Option<String>, Verdict> {
        let Some(id) = self.known().await? else {
            return Ok(None);
        };
        let request = match (self.wire.event.kind, &self.target.delete) {
            (EventKind::Deleted, Some(delete)) => delete,
            (EventKind::Deleted, None)
            | (
                EventKind::Created
                | EventKind::Updated
                | EventKind::Reactivated
                | EventKind::Deactivated,
                _,
            ) => &self.target.deactivate,
        };
        // Who is gone there already is gone.
        match self.send(request, Some(&id)).await? {
            Came::Done(_) | Came::Gone | Came::Exists => Ok(Some(id)),
        }
    }

    /// The id that is known, or that of whoever is found.
    async fn known(&self) -> Result<Option<String>, Verdict> {
        match &self.data.account {
            Some(id) => Ok(Some(id.clone())),
            None => self.find().await,
        }
    }

    /// The account by what is known of the person. It must have the person's address where the answer tells one.
    async fn find(&self) -> Result<Option<String>, Verdict> {
        let Some(request) = &self.target.find else {
            return Ok(None);
        };
        let answer = match self.send(request, None).await? {
            Came::Done(answer) => answer,
            Came::Gone | Came::Exists => return Ok(None),
        };
        let id = self.id_in(request, &answer)?;
        if let (Some(_), Some(pointer)) = (&id, &request.email) {
            let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
            let theirs = body.pointer(pointer).and_then(Value::as_str);
            let ours = self.data.user.email.as_deref();
            let same = theirs.zip(ours);
            if same.is_none_or(|(one, other)| one.to_lowercase() != other.to_lowercase()) {
                return Err(wrong(
                    "the app has an account of that name with another e-mail address",
                ));
            }
        }
        Ok(id)
    }

    fn id_in(&self, request: &RestRequest, answer: &Answer) -> Result<Option<String>, Verdict> {
        let Some(pointer) = &request.id else {
            return Ok(None);
        };
        let Ok(body) = serde_json::from_slice::<Value>(&answer.body) else {
            return Err(wrong("the app's answer is not JSON"));
        };
        let id = match body.pointer(pointer) {
            None | Some(Value::Null) => return Ok(None),
            Some(Value::String(id)) => id.clone(),
            Some(Value::Number(id)) => id.to_string(),
            Some(Value::Bool(_) | Value::Array(_) | Value::Object(_)) => {
                return Err(wrong("the id in the app's answer is no text or number"));
            }
        };
        let good = !id.is_empty() && id.len() <= 256 && !id.chars().any(char::is_control);
        match good {
            true => Ok(Some(id)),
            false => Err(wrong("the id in the app's answer cannot be used")),
        }
    }

    async fn send(&self, request: &RestRequest, account: Option<&str>) -> Result<Came, Verdict> {
        let built = self.request(request, account)?;
        let answer = self.wire.send(built).await?;
        let status = answer.status.as_u16();
        let says = |statuses: &[u16]| statuses.contains(&status);
        if says(&request.again) {
            return Err(again(format!("the app answered {status}"), None));
        }
        if says(&request.refused) {
            return Err(Verdict::Refused {
                message: None,
                reason: Some(format!("the app answered {status}")),
            });
        }
        if says(&request.done) {
            return Ok(Came::Done(answer));
        }
        if says(&request.exists) {
            return Ok(Came::Exists);
        }
        if answer.status == StatusCode::NOT_FOUND {
            return Ok(Came::Gone);
        }
        Err(wrong(format!("the app answered {}", answer.status)))
    }

    fn request(
        &self,
        request: &RestRequest,
        account: Option<&str>,
    ) -> Result<Request<Bytes>, Verdict> {
        let value = |variable| self.value(variable, account);
        // An empty value would make another path of it: that of all accounts.
        for variable in request.path.variables() {
            if encoded(&as_text(&value(variable))).is_none() {
                return Err(wrong(format!(
                    "the path needs a value that is not there: {variable:?}"
                )));
            }
        }
        let path = request
            .path
            .fill(|variable| encoded(&as_text(&value(variable))).unwrap_or_default());
        let mut built = Request::builder()
            .method(request.method.clone())
            .uri(below(&self.target.url, &path));
        for (name, template) in &self.target.headers {
            let field = template.fill(|variable| as_text(&value(variable)));
            built = built.header(name, field);
        }
        let body = match &request.body {
            None => Bytes::new(),
            Some(body) => {
                built = built.header(CONTENT_TYPE, "application/json");
                Bytes::from(body.fill(&value).to_string())
            }
        };
        built.body(body).map_err(|error| wrong(error.to_string()))
    }

    fn value(&self, variable: Variable, account: Option<&str>) -> Value {
        let user = &self.data.user;
        let name = user.name();
        match variable {
            Variable::Id => user.id.as_str().into(),
            Variable::Account => account.into(),
            Variable::Email => user.email.as_deref().into(),
            Variable::Name => name.into(),
            Variable::GivenName => user.given_name.as_deref().or(name).into(),
            Variable::FamilyName => user.family_name.as_deref().or(name).into(),
            Variable::Username => user.username().into(),
            Variable::Role => user.roles.last().map(String::as_str).into(),
            Variable::Roles => user.roles.clone().into(),
            Variable::Groups => user.groups.clone().into(),
            Variable::Active => (!self.wire.event.kind.takes_away()).into(),
            Variable::Random => self.random.as_str().into(),
            Variable::Token => {
                let token = self.target.token.as_ref();
                token.map(|token| token.expose()).into()
            }
        }
    }
}

/// Forty characters, with one of every kind that password rules ask for.
fn random() -> Option<String> {
    use base64::Engine;
    let mut bytes = [0; 27];
    aws_lc_rs::rand::fill(&mut bytes).ok()?;
    let random = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes);
    Some(format!("Aa1-{random}"))
}
