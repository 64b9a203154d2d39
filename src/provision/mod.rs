//! Accounts in the apps: asked for by a signed callback, exactly one at a time for each user and app.

mod answer;
mod circuit;
mod delivery;
mod event;
mod step;
mod turns;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use tokio::time::Instant;

use crate::access::standing;
use crate::config::{App, Callback, Provisioning, ProvisioningMode};
use crate::directory::{Directory, Event};
use crate::identity::{Account, AccountState, AppId, Person};
use crate::metrics::Metrics;
use crate::outbound::Outbound;
use crate::refusal::{Reason, Refusal};
use crate::store::StoreError;
use answer::Verdict;
use circuit::Circuit;
use delivery::{Delivery, IN_ALL, Outcome};
use event::{Kind, Told};
use step::{Step, next_step};
use turns::Turns;

/// Why `ensure` is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Occasion {
    /// At a sign-in (or renewal): a refusal is asked again, a change is told as `user.updated`.
    SignIn,
    /// At a visit: only a missing account is asked for.
    Visit,
}

/// Makes sure of accounts; shared by all threads. Circuits and one-at-a-time locks live here.
#[derive(Debug)]
pub struct Provisioner {
    directory: Directory,
    outbound: Outbound,
    metrics: Arc<Metrics>,
    turns: Turns,
    /// One for each app that was asked; the apps are those of the config, so they are few.
    circuits: Mutex<HashMap<AppId, Arc<Circuit>>>,
}

/// An app with a callback, and what there is to tell it.
struct Call<'a> {
    app: &'a App,
    provisioning: &'a Provisioning,
    callback: &'a Callback,
    person: &'a Person,
    told: &'a Told,
    now: Timestamp,
    /// When all tries are over.
    deadline: Instant,
}

impl Provisioner {
    /// Over the directory and the client.
    pub fn new(directory: Directory, outbound: Outbound, metrics: Arc<Metrics>) -> Self {
        Self {
            directory,
            outbound,
            metrics,
            turns: Turns::default(),
            circuits: Mutex::default(),
        }
    }

    /// Makes sure that `person` has an account in `app`, asking the callback where needed; writes the answer to the directory. The caller then
    /// reloads the person. `Ok` also for a known user whose `user.updated` could not be delivered.
    ///
    /// Safe to drop at any point: an event that was sent is stored, and is used again with the same id.
    ///
    /// # Errors
    /// `NoRole`, `NoAccount`, `EmailMissing`, `AccountRefused`, `CallbackDown` (with `retry_after`), `CallbackFailed`, `StoreDown`,
    /// `Deactivated` where the user is gone meanwhile.
    pub async fn ensure(
        &self,
        app: &Arc<App>,
        person: &Person,
        occasion: Occasion,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        let Some(provisioning) = &app.provisioning else {
            return Ok(());
        };
        if provisioning.mode == ProvisioningMode::Off {
            return Ok(());
        }
        let mut turn = self.turns.take(&person.user, &app.id).await;
        let deadline = Instant::now() + IN_ALL;
        let mut waited = turn.waited;
        // Once more where an event that waited from earlier told something old: then the change is told as well.
        for _ in 0..2 {
            // Read in one's turn: whoever went before may have done it all.
            let person = self.current(person).await?;
            let told = to_tell(app, &person)?;
            let account = person.account(&app.id);
            let fingerprint = told.fingerprint().map_err(store_down)?;
            let known = (account, person.is_invited(&app.id));
            let step = next_step(provisioning, known, occasion, &fingerprint, waited);
            let asked = (step, occasion);
            let Some((kind, callback)) = self.to_do(asked, app, &person, &fingerprint, now).await?
            else {
                return Ok(());
            };
            if let Some(failure) = turn.failure() {
                return known_goes_on(account, failure);
            }
            let call = Call {
                app,
                provisioning,
                callback,
                person: &person,
                told: &told,
                now,
                deadline,
            };
            match self.tell(&call, kind).await {
                Ok(event) if event.told == fingerprint => return Ok(()),
                Ok(_) => waited = false,
                Err(refusal) => {
                    if is_failure(&refusal) {
                        turn.fail(&refusal);
                    }
                    return known_goes_on(account, refusal);
                }
            }
        }
        Ok(())
    }

    /// The person as the directory has it now.
    async fn current(&self, person: &Person) -> Result<Person, Refusal> {
        self.directory
            .person(&person.subject)
            .await
            .map_err(store_down)?
            .filter(|current| current.user == person.user)
            .ok_or_else(|| Refusal::new(Reason::Deactivated, "the user is gone from the directory"))
    }

    /// Does what needs no callback; gives what there is to tell and where, if there is.
    async fn to_do<'a>(
        &self,
        (step, occasion): (Step, Occasion),
        app: &'a App,
        person: &Person,
        fingerprint: &str,
        now: Timestamp,
    ) -> Result<Option<(Kind, &'a Callback)>, Refusal> {
        let provisioning = app.provisioning.as_ref();
        let callback = provisioning.and_then(|provisioning| provisioning.callback.as_ref());
        let kind = match step {
            // The app may have seen an event that it did not answer: it is sent again, even if what it tells was taken
            // back since.
            Step::Done if occasion == Occasion::SignIn && callback.is_some() => {
                let waiting = self.directory.waiting_event(&person.user, &app.id).await;
                waiting.map_err(store_down)?.map(|_| Kind::Updated)
            }
            Step::Done => None,
            Step::NotInvited => return Err(not_invited(app)),
            Step::RefusalStands { message, reason } => {
                return Err(refused(app, message, reason.as_deref()));
            }
            Step::OpenAlone => {
                self.open_alone(app, person, fingerprint, now).await?;
                None
            }
            Step::Tell(kind) => Some(kind),
        };
        Ok(kind.zip(callback))
    }

    /// An account without anybody to ask.
    async fn open_alone(
        &self,
        app: &App,
        person: &Person,
        fingerprint: &str,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        let known = person.account(&app.id);
        let account = Account {
            app: app.id.clone(),
            active: true,
            id: known.and_then(|known| known.id.clone()),
            roles: Vec::new(),
            state: AccountState::Open,
            told: fingerprint.to_owned(),
        };
        self.directory
            .put_account(&person.user, &account, None, now)
            .await
            .map_err(store_down)
    }

    /// Tells the app and writes its answer. Gives the event that it answered, which may be one from before.
    async fn tell(&self, call: &Call<'_>, kind: Kind) -> Result<Event, Refusal> {
        if call.person.attributes.email.is_none() {
            let cause = format!("the callback of {} needs an e-mail address", call.app.id);
            return Err(Refusal::new(Reason::EmailMissing, cause));
        }
        let event = self.event(call, kind).await.map_err(store_down)?;
        let circuit = self.circuit(&call.app.id);
        let delivery = Delivery {
            outbound: &self.outbound,
            metrics: &self.metrics,
            circuit: &circuit,
            app: call.app,
            provisioning: call.provisioning,
            callback: call.callback,
            now: call.now,
            deadline: call.deadline,
        };
        let (state, id, roles) = match delivery.run(&event).await {
            Outcome::Answered(Verdict::Allowed { account, roles }) => {
                (AccountState::Open, account, roles)
            }
            Outcome::Answered(Verdict::Refused { message, reason }) => {
                (AccountState::Refused { message, reason }, None, None)
            }
            Outcome::Answered(Verdict::Wrong { cause } | Verdict::Again { cause, .. }) => {
                self.directory
                    .drop_event(&event)
                    .await
                    .map_err(store_down)?;
                let cause = format!("{}: {cause}", call.app.id);
                return Err(Refusal::new(Reason::CallbackFailed, cause));
            }
            Outcome::Down { cause, retry_after } => {
                let cause = format!("{}: {cause}", call.app.id);
                return Err(Refusal::new(Reason::CallbackDown, cause).with_retry_after(retry_after));
            }
        };
        // An answer that says nothing of id or roles leaves them as they are.
        let known = call.person.account(&call.app.id);
        let account = Account {
            app: call.app.id.clone(),
            active: true,
            id: id.or_else(|| known.and_then(|known| known.id.clone())),
            roles: roles
                .or_else(|| known.map(|known| known.roles.clone()))
                .unwrap_or_default(),
            state,
            told: event.told.clone(),
        };
        self.write(call, account, event).await
    }

    /// Writes the answer to an event, and says what it means.
    async fn write(
        &self,
        call: &Call<'_>,
        account: Account,
        event: Event,
    ) -> Result<Event, Refusal> {
        self.directory
            .put_account(&call.person.user, &account, Some(&event), call.now)
            .await
            .map_err(store_down)?;
        match account.state {
            AccountState::Open => Ok(event),
            AccountState::Refused { message, reason } => {
                Err(refused(call.app, message, reason.as_deref()))
            }
        }
    }

    /// The event that waits for its answer; a new one, stored before the first try, where there is none.
    async fn event(&self, call: &Call<'_>, kind: Kind) -> Result<Event, StoreError> {
        let (user, app) = (&call.person.user, &call.app.id);
        if let Some(waiting) = self.directory.waiting_event(user, app).await? {
            return Ok(waiting);
        }
        let before = self.directory.told_body(user, app).await?;
        let event = call
            .told
            .event(kind, app, call.person, before.as_deref(), call.now)?;
        self.directory.put_event(&event, call.now).await?;
        // Another process may have been first: then its event is the one.
        Ok(self
            .directory
            .waiting_event(user, app)
            .await?
            .unwrap_or(event))
    }

    fn circuit(&self, app: &AppId) -> Arc<Circuit> {
        let mut circuits = self.circuits.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(circuits.entry(app.clone()).or_default())
    }
}

/// What there is to tell. The roles are those that usher gives; the app knows its own.
fn to_tell(app: &App, person: &Person) -> Result<Told, Refusal> {
    if standing::roles(app, person).is_none() {
        let cause = format!("no group of the user is mapped to a role of {}", app.id);
        return Err(Refusal::new(Reason::NoRole, cause));
    }
    let alone = Person {
        accounts: Vec::new(),
        ..person.clone()
    };
    let roles = standing::roles(app, &alone).unwrap_or_default();
    Ok(Told::new(person, roles))
}

/// A callback that is down does not keep out whom the app knows.
fn known_goes_on(account: Option<&Account>, refusal: Refusal) -> Result<(), Refusal> {
    let known = account.is_some_and(|account| account.state == AccountState::Open);
    if known && refusal.reason == Reason::CallbackDown {
        Ok(())
    } else {
        Err(refusal)
    }
}

/// Whether those who waited need not try themselves.
fn is_failure(refusal: &Refusal) -> bool {
    matches!(
        refusal.reason,
        Reason::CallbackDown | Reason::CallbackFailed
    )
}

fn refused(app: &App, message: Option<String>, reason: Option<&str>) -> Refusal {
    let cause = format!(
        "{} refused: {}",
        app.id,
        reason.unwrap_or("no reason given")
    );
    Refusal::new(Reason::AccountRefused, cause).with_message(message)
}

fn not_invited(app: &App) -> Refusal {
    Refusal::new(
        Reason::NoAccount,
        format!("the user was not invited to {}", app.id),
    )
}

fn store_down(error: StoreError) -> Refusal {
    Refusal::new(Reason::StoreDown, error.to_string())
}

#[cfg(test)]
mod tests;
