//! The outbox: what changes without a visit is told to the apps from here, in order for each user and app, until it is answered.
//! Nothing is kept in memory: users who changed and events without an answer are rows, written before anything is sent.

mod plan;

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use self::plan::{Facts, Holds, next_event};
use super::delivery::{Delivery, IN_ALL, Outcome};
use super::event::{Told, farewell};
use super::{Provisioner, Settled, alone, callback_down};
use crate::access::standing;
use crate::config::{App, Provisioning, ProvisioningMode, Target};
use crate::directory::{Changed, Event, Failed, Outlook};
use crate::identity::{GrantSource, Person, UserId};
use crate::metrics::Metrics;
use crate::store::StoreError;

/// Seconds before the second try at most; they double each time.
const FIRST_PAUSE: u64 = 5;
/// Seconds between two tries at most.
const LONGEST_PAUSE: u64 = 24 * 3600;
/// An event that fails for so long is given up.
const GIVE_UP_AFTER: SignedDuration = SignedDuration::from_hours(72);
/// After an event for (user, app) was found to wait for another reason than time.
const SOON: Duration = Duration::from_secs(5);

impl Provisioner {
    /// Wakes the outbox: somebody changed.
    pub fn wake(&self) {
        self.woken.notify_one();
    }

    /// Waits until the outbox is woken.
    pub async fn woken(&self) {
        self.woken.notified().await;
    }

    /// Users who changed since the apps were looked at.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn changed(&self, now: Timestamp, limit: u32) -> Result<Vec<Changed>, StoreError> {
        self.directory.changed_users(now, limit).await
    }

    /// Events for an app whose time has come: id and user.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn due(
        &self,
        app: &App,
        now: Timestamp,
        limit: u32,
    ) -> Result<Vec<(String, UserId)>, StoreError> {
        match told(app) {
            Some(_) => self.directory.due_events(&app.id, now, limit).await,
            None => Ok(Vec::new()),
        }
    }

    /// Compares what each app was told of a user with what holds now, and makes the events that are needed. Where one waits already the app is looked
    /// at again after its answer. The mark of the user goes when all apps were looked at.
    ///
    /// # Errors
    /// If the store fails; the user stays marked.
    pub async fn look(
        &self,
        apps: &[Arc<App>],
        changed: &Changed,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        for app in apps {
            if let Some((provisioning, _)) = told(app) {
                let _turn = self.turns.take(&changed.user, &app.id).await;
                self.plan(app, provisioning, &changed.user, now).await?;
            }
        }
        self.directory.looked_at(changed).await
    }

    /// Looks at one app in the user's turn.
    async fn plan(
        &self,
        app: &App,
        provisioning: &Provisioning,
        user: &UserId,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let Some(outlook) = self.directory.outlook(user).await? else {
            return Ok(());
        };
        let waiting = self.directory.waiting_event(user, &app.id).await?;
        if waiting.as_ref().is_some_and(|waiting| !waiting.dead) {
            return Ok(());
        }
        let access = access(app, &outlook)?;
        let person = outlook.person.as_ref();
        let account = outlook.accounts.iter().find(|one| one.app == app.id);
        let facts = Facts {
            provisioning,
            account,
            now: match &access {
                Some((_, fingerprint)) => {
                    let has_email = person.is_some_and(|one| one.attributes.email.is_some());
                    match has_email {
                        true => Holds::Access(fingerprint),
                        false => Holds::Untold,
                    }
                }
                None if outlook.deleted => Holds::Deleted,
                None => Holds::Nothing,
            },
            driven: outlook.by_scim || person.is_some_and(|person| is_granted(app, person)),
            invited: person.is_some_and(|person| person.is_invited(&app.id)),
            dead: waiting.as_ref(),
        };
        let Some(kind) = next_event(&facts) else {
            return Ok(());
        };
        let before = self.directory.told_body(user, &app.id).await?;
        let event = match (person, before) {
            (Some(person), before) => {
                let told = match access {
                    Some((told, _)) => told,
                    None => Told::new(person, Vec::new()),
                };
                told.event(kind, &app.id, person, before.as_deref(), now)?
            }
            (None, Some(before)) => {
                let id = account.and_then(|account| account.id.as_deref());
                farewell(kind, (user, &app.id), &before, id, now)?
            }
            (None, None) => return Ok(()),
        };
        tracing::info!(event = %event.id, kind = kind.as_str(), app = %app.id, %user, "queued for the app");
        self.directory.put_event(&event, waiting.as_ref()).await
    }

    /// Tries an event once, in its turn; writes what came of it.
    ///
    /// # Errors
    /// If the store fails; the event waits on, and keeps its id.
    pub async fn deliver(
        &self,
        app: &App,
        (id, user): (&str, &UserId),
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let Some((provisioning, target)) = told(app) else {
            return Ok(());
        };
        let mut turn = self.turns.take(user, &app.id).await;
        // Read in one's turn: a visit may have been first.
        let waiting = self.directory.waiting_event(user, &app.id).await?;
        let is_due = |event: &Event| event.id == id && !event.dead && event.next_at <= now;
        let Some(mut event) = waiting.filter(is_due) else {
            return Ok(());
        };
        let circuit = self.circuit(&app.id);
        let delivery = Delivery {
            outbound: &self.outbound,
            metrics: &self.metrics,
            circuit: &circuit,
            app,
            provisioning,
            target,
            opens: false,
            now,
            deadline: Instant::now() + IN_ALL,
        };
        let verdict = match delivery.once(&mut event).await {
            Outcome::Answered(verdict) => verdict,
            Outcome::Down {
                cause,
                retry_after,
                asked,
            } => {
                turn.fail(&callback_down(app, &cause, retry_after));
                let wait = match asked {
                    true => retry_after,
                    false => retry_after.max(SOON),
                };
                return self.later(&event, &cause, wait, now).await;
            }
        };
        let known = self.directory.account(user, &app.id).await?;
        match self
            .settle(&event, verdict, known.as_ref(), true, now)
            .await?
        {
            Settled::Open | Settled::Refused { .. } => Ok(()),
            Settled::Failed { cause } => {
                let failed = Failed {
                    event: &event,
                    cause: &cause,
                };
                self.directory.bury(failed, now).await
            }
        }
    }

    /// Has an event tried again, not before `at_least` is over; or gives it up.
    pub(super) async fn later(
        &self,
        event: &Event,
        cause: &str,
        at_least: Duration,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let failed = Failed { event, cause };
        if now.duration_since(event.begun_at) >= GIVE_UP_AFTER {
            Metrics::count(&self.metrics.deliveries, event.app.as_str(), "dead");
            return self.directory.bury(failed, now).await;
        }
        let wait = pause(event.tries).max(at_least);
        let wait = SignedDuration::try_from(wait).unwrap_or(GIVE_UP_AFTER);
        let next_at = now.saturating_add(wait).unwrap_or(now);
        self.directory.postpone(failed, next_at).await
    }

    /// Sets the gauges.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn measure(&self) -> Result<(), StoreError> {
        let counts = self.directory.outbox_counts().await?;
        let gauge = |count| i64::try_from(count).unwrap_or(i64::MAX);
        self.metrics.outbox_waiting.set(gauge(counts.waiting));
        self.metrics.outbox_dead.set(gauge(counts.dead));
        Ok(())
    }
}

/// An app that is told of changes, and where.
fn told(app: &App) -> Option<(&Provisioning, &Target)> {
    let provisioning = app.provisioning.as_ref()?;
    match provisioning.mode {
        ProvisioningMode::Off => None,
        ProvisioningMode::Jit | ProvisioningMode::Invited => {
            Some((provisioning, provisioning.target.as_ref()?))
        }
    }
}

/// What there is to tell of a user who may use the app, with its fingerprint.
fn access(app: &App, outlook: &Outlook) -> Result<Option<(Told, String)>, StoreError> {
    let Some(person) = outlook.person.as_ref().filter(|_| outlook.active) else {
        return Ok(None);
    };
    if standing::roles(app, person).is_none() {
        return Ok(None);
    }
    let told = alone(app, person);
    let fingerprint = told.fingerprint()?;
    Ok(Some((told, fingerprint)))
}

/// Whether an admin put the user into the app.
fn is_granted(app: &App, person: &Person) -> bool {
    person
        .grants
        .iter()
        .any(|grant| grant.app == app.id && grant.source == GrantSource::Admin)
}

/// Full jitter: anything up to a bound that doubles with each try, and a second at least.
fn pause(tries: u32) -> Duration {
    let bound = 2u64
        .checked_pow(tries.saturating_sub(1))
        .and_then(|factor| FIRST_PAUSE.checked_mul(factor))
        .map_or(LONGEST_PAUSE, |bound| bound.min(LONGEST_PAUSE));
    let mut bytes = [0; 4];
    // Without random numbers all come back at the same time, and late.
    if aws_lc_rs::rand::fill(&mut bytes).is_err() {
        return Duration::from_secs(bound);
    }
    let share = f64::from(u32::from_ne_bytes(bytes)) / f64::from(u32::MAX);
    Duration::from_secs(bound)
        .mul_f64(share)
        .max(Duration::from_secs(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_day_and_are_spread_over_all_of_it() {
        let longest = |tries| (0..200).map(|_| pause(tries)).max().unwrap_or_default();
        let shortest = |tries| (0..200).map(|_| pause(tries)).min().unwrap_or_default();
        for (tries, bound) in [
            (1, 5),
            (2, 10),
            (5, 80),
            (15, 81_920),
            (16, 86_400),
            (99, 86_400),
        ] {
            let bound = Duration::from_secs(bound);
            assert!(longest(tries) <= bound && longest(tries) > bound.mul_f64(0.8));
            assert!(shortest(tries) < bound.mul_f64(0.3).max(Duration::from_secs(2)));
        }
        assert!(shortest(0) >= Duration::from_secs(1));
    }
}
