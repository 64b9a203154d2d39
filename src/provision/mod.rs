//! Accounts in the apps: asked for by a signed callback or by what the app speaks itself, exactly one at a time for each user and app.

mod answer;
mod circuit;
mod delivery;
mod driver;
mod event;
mod outbox;
mod step;
mod turns;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::access::standing;
use crate::config::{App, Provisioning, ProvisioningMode, Target};
use crate::directory::{Answered, Directory, Event, EventKind, Failed};
use crate::identity::{Account, AccountState, AppId, Person};
use crate::metrics::Metrics;
use crate::outbound::Outbound;
use crate::refusal::{Reason, Refusal};
use crate::store::StoreError;
use crate::trace;
use answer::Verdict;
use circuit::Circuit;
use delivery::{Delivery, IN_ALL, Outcome};
use event::Told;
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
    /// Wakes the outbox.
    woken: Notify,
}

/// How long the outbox leaves a new event to the visit that made it.
const VISIT: SignedDuration = SignedDuration::from_secs(15);

/// What an answer means for whoever waits.
enum Settled {
    /// The app knows it.
    Open,
    /// The app does not let the user in.
    Refused {
        /// For the page.
        message: Option<String>,
        /// For the log.
        reason: Option<String>,
    },
    /// A final error; not written yet.
    Failed {
        /// What happened.
        cause: String,
    },
}

/// An app that is told, and what there is to tell it.
struct Call<'a> {
    app: &'a App,
    provisioning: &'a Provisioning,
    target: &'a Target,
    person: &'a Person,
    told: &'a Told,
    /// Of what there is to tell.
    fingerprint: &'a str,
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
            woken: Notify::new(),
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
        let work = self.ensure_in_turn(app, provisioning, (person, occasion), now);
        trace::step("provision", work).await
    }

    async fn ensure_in_turn(
        &self,
        app: &Arc<App>,
        provisioning: &Provisioning,
        (person, occasion): (&Person, Occasion),
        now: Timestamp,
    ) -> Result<(), Refusal> {
        trace::note("usher.app", app.id.as_str());
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
            let Some((kind, target)) = self.to_do(asked, app, &person, &fingerprint, now).await?
            else {
                return Ok(());
            };
            if let Some(failure) = turn.failure() {
                return known_goes_on(account, failure);
            }
            let call = Call {
                app,
                provisioning,
                target,
                person: &person,
                told: &told,
                fingerprint: &fingerprint,
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
    ) -> Result<Option<(EventKind, &'a Target)>, Refusal> {
        let provisioning = app.provisioning.as_ref();
        let target = provisioning.and_then(|provisioning| provisioning.target.as_ref());
        let kind = match step {
            // The app may have seen an event that it did not answer: it is sent again, even if what it tells was taken
            // back since.
            Step::Done if occasion == Occasion::SignIn && target.is_some() => {
                let waiting = self.directory.waiting_event(&person.user, &app.id).await;
                let waiting = waiting.map_err(store_down)?;
                waiting.and_then(|waiting| match waiting.dead && waiting.kind.takes_away() {
                    true => None,
                    false => Some(EventKind::Updated),
                })
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
        Ok(kind.zip(target))
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
            .put_account(&person.user, &account, now)
            .await
            .map_err(store_down)
    }

    /// Sends what waits, or what there is to tell, and writes the answer. Gives the event that was answered.
    async fn tell(&self, call: &Call<'_>, kind: EventKind) -> Result<Event, Refusal> {
        if call.person.attributes.email.is_none() {
            let cause = format!("{} needs an e-mail address", call.app.id);
            return Err(Refusal::new(Reason::EmailMissing, cause));
        }
        let mut event = self.event(call, kind).await.map_err(store_down)?;
        let circuit = self.circuit(&call.app.id);
        let delivery = Delivery {
            outbound: &self.outbound,
            metrics: &self.metrics,
            circuit: &circuit,
            app: call.app,
            provisioning: call.provisioning,
            target: call.target,
            opens: true,
            now: call.now,
            deadline: call.deadline,
        };
        let verdict = match delivery.run(&mut event).await {
            Outcome::Answered(verdict) => verdict,
            Outcome::Down {
                cause, retry_after, ..
            } => {
                // The outbox goes on where the visit gave up.
                self.later(&event, &cause, retry_after, call.now)
                    .await
                    .map_err(store_down)?;
                return Err(callback_down(call.app, &cause, retry_after));
            }
        };
        let known = call.person.account(&call.app.id);
        let look_again = event.told != call.fingerprint;
        let settled = self
            .settle(&event, verdict, known, look_again, call.now)
            .await
            .map_err(store_down)?;
        match settled {
            Settled::Open => Ok(event),
            Settled::Refused { message, reason } => {
                Err(refused(call.app, message, reason.as_deref()))
            }
            Settled::Failed { cause } => {
                let failed = Failed {
                    event: &event,
                    cause: &cause,
                };
                // The next visit makes a new one; of who goes, an admin must know.
                let done = match event.kind.takes_away() {
                    true => self.directory.bury(failed, call.now).await,
                    false => self.directory.drop_event(failed, call.now).await,
                };
                done.map_err(store_down)?;
                let cause = format!("{}: {cause}", call.app.id);
                Err(Refusal::new(Reason::CallbackFailed, cause))
            }
        }
    }

    /// Writes the app's answer to an event, and says what it means. What failed for good is for the caller to write.
    async fn settle(
        &self,
        event: &Event,
        verdict: Verdict,
        known: Option<&Account>,
        look_again: bool,
        now: Timestamp,
    ) -> Result<Settled, StoreError> {
        let (state, id, roles) = match verdict {
            Verdict::Allowed { account, roles } => (AccountState::Open, account, roles),
            Verdict::Refused { reason, .. } if event.kind.takes_away() => {
                let reason = reason.as_deref().unwrap_or("no reason given");
                let cause = format!("the app refused to let the user go: {reason}");
                return Ok(self.failed(event, cause));
            }
            Verdict::Refused { message, reason } => {
                (AccountState::Refused { message, reason }, None, None)
            }
            Verdict::Wrong { cause } | Verdict::Again { cause, .. } => {
                return Ok(self.failed(event, cause));
            }
        };
        // An answer that says nothing of id or roles leaves them as they are; a new account has none yet.
        let before = known.filter(|_| event.kind != EventKind::Created);
        let account = Account {
            app: event.app.clone(),
            active: !event.kind.takes_away(),
            id: id.or_else(|| before.and_then(|known| known.id.clone())),
            roles: roles
                .or_else(|| before.map(|known| known.roles.clone()))
                .unwrap_or_default(),
            state: match (event.kind.takes_away(), before) {
                (true, Some(known)) => known.state.clone(),
                (true, None) | (false, _) => state,
            },
            told: event.told.clone(),
        };
        let (outcome, reason, settled) = match &account.state {
            AccountState::Refused { message, reason } if !event.kind.takes_away() => {
                let settled = Settled::Refused {
                    message: message.clone(),
                    reason: reason.clone(),
                };
                (
                    "refused",
                    Some(reason.as_deref().unwrap_or("no reason given")),
                    settled,
                )
            }
            AccountState::Open | AccountState::Refused { .. } => ("allowed", None, Settled::Open),
        };
        let answered = Answered {
            event,
            account: &account,
            outcome,
            reason,
            look_again,
        };
        self.directory.put_answer(&answered, now).await?;
        Metrics::count(&self.metrics.deliveries, event.app.as_str(), outcome);
        Ok(settled)
    }

    fn failed(&self, event: &Event, cause: String) -> Settled {
        Metrics::count(&self.metrics.deliveries, event.app.as_str(), "failed");
        Settled::Failed { cause }
    }

    /// The event that waits for its answer; a new one, stored before the first try, where there is none.
    async fn event(&self, call: &Call<'_>, kind: EventKind) -> Result<Event, StoreError> {
        let (user, app) = (&call.person.user, &call.app.id);
        let waiting = self.directory.waiting_event(user, app).await?;
        // That somebody has to go was given up, and is not true any more.
        let (stale, waiting) = match waiting {
            Some(dead) if dead.dead && dead.kind.takes_away() => (Some(dead), None),
            other => (None, other),
        };
        if let Some(waiting) = waiting {
            return Ok(waiting);
        }
        let before = self.directory.told_body(user, app).await?;
        let mut event = call
            .told
            .event(kind, app, call.person, before.as_deref(), call.now)?;
        // The outbox leaves it to this visit first.
        event.next_at = call.now.saturating_add(VISIT).unwrap_or(call.now);
        self.directory.put_event(&event, stale.as_ref()).await?;
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
    Ok(alone(app, person))
}

/// What there is to tell of somebody who may use the app, without what the app said itself.
fn alone(app: &App, person: &Person) -> Told {
    let alone = Person {
        accounts: Vec::new(),
        ..person.clone()
    };
    let roles = standing::roles(app, &alone).unwrap_or_default();
    Told::new(person, roles)
}

/// A callback that is down does not keep out whom the app knows.
fn known_goes_on(account: Option<&Account>, refusal: Refusal) -> Result<(), Refusal> {
    let known =
        account.is_some_and(|account| account.state == AccountState::Open && account.active);
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

fn callback_down(app: &App, cause: &str, retry_after: Duration) -> Refusal {
    let cause = format!("{}: {cause}", app.id);
    Refusal::new(Reason::CallbackDown, cause).with_retry_after(retry_after)
}

fn store_down(error: StoreError) -> Refusal {
    Refusal::new(Reason::StoreDown, error.to_string())
}

#[cfg(test)]
mod tests;
