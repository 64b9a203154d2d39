//! The worker of the outbox: looks at users who changed, and sends what is due, beside the requests.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use jiff::Timestamp;
use tokio::task::{Id, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::directory::Changed;
use crate::identity::{AppId, UserId};
use crate::store::StoreError;
use crate::usher::Usher;

/// Users looked at at once.
const LOOKS: usize = 16;
/// Events under way to one app at once.
const FOR_ONE_APP: usize = 8;
/// How often the store is asked for what nobody woke the worker for.
const ROUND: Duration = Duration::from_secs(1);
/// How long a thing is left alone after the store failed on it.
const AFTER_FAILURE: Duration = Duration::from_secs(2);

/// Something under way.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Task {
    /// A look at a user.
    Look(UserId),
    /// An event of a user to an app.
    Deliver(AppId, UserId),
}

/// The worker.
#[derive(Debug, Default)]
struct Outbox {
    tasks: JoinSet<Result<(), StoreError>>,
    under_way: HashMap<Id, Task>,
}

/// Works until usher stops. What is under way then is tried again at the next start, with the same ids.
pub(super) async fn work(state: Arc<ArcSwap<Usher>>, stop: CancellationToken) {
    let mut outbox = Outbox::default();
    loop {
        let usher = state.load_full();
        if let Err(error) = outbox.round(&usher, Timestamp::now()).await {
            tracing::warn!(event = "outbox_failed", cause = %error, "the outbox waits for the store");
        }
        tokio::select! {
            () = stop.cancelled() => break,
            () = outbox.progress() => {}
            () = usher.provisioner.woken() => {}
            () = tokio::time::sleep(ROUND) => {}
        }
    }
    while !outbox.under_way.is_empty() {
        outbox.progress().await;
    }
    // What else this is joined with ends by itself.
    std::future::pending().await
}

impl Outbox {
    /// Begins what is due and for which there is room.
    async fn round(&mut self, usher: &Arc<Usher>, now: Timestamp) -> Result<(), StoreError> {
        let looks = self.count(|task| matches!(task, Task::Look(_)));
        if looks < LOOKS {
            let changed = usher.provisioner.changed(now, 2 * LOOKS as u32).await?;
            let room = LOOKS - looks;
            let new = changed
                .into_iter()
                .filter(|one| !self.has(&Task::Look(one.user.clone())));
            for changed in new.take(room).collect::<Vec<_>>() {
                self.look(usher, changed);
            }
        }
        for app in &usher.config.apps {
            let sent = self
                .count(|task| matches!(task, Task::Deliver(under_way, _) if *under_way == app.id));
            if sent >= FOR_ONE_APP {
                continue;
            }
            let due = usher.provisioner.due(app, now, 2 * FOR_ONE_APP as u32);
            let mut room = FOR_ONE_APP - sent;
            for (id, user) in due.await? {
                let task = Task::Deliver(app.id.clone(), user.clone());
                if room == 0 || self.has(&task) {
                    continue;
                }
                room -= 1;
                let (usher, app) = (Arc::clone(usher), Arc::clone(app));
                self.begin(task, async move {
                    let now = Timestamp::now();
                    usher.provisioner.deliver(&app, (&id, &user), now).await
                });
            }
        }
        usher.provisioner.measure().await
    }

    fn look(&mut self, usher: &Arc<Usher>, changed: Changed) {
        let usher = Arc::clone(usher);
        self.begin(Task::Look(changed.user.clone()), async move {
            usher.look_again(&changed, Timestamp::now()).await
        });
    }

    fn begin(
        &mut self,
        task: Task,
        work: impl Future<Output = Result<(), StoreError>> + Send + 'static,
    ) {
        let handle = self.tasks.spawn(async move {
            let done = work.await;
            if done.is_err() {
                tokio::time::sleep(AFTER_FAILURE).await;
            }
            done
        });
        self.under_way.insert(handle.id(), task);
    }

    /// Waits until something that is under way is over; for ever where there is nothing.
    async fn progress(&mut self) {
        let Some(joined) = self.tasks.join_next_with_id().await else {
            return std::future::pending().await;
        };
        self.over(joined);
        while let Some(joined) = self.tasks.try_join_next_with_id() {
            self.over(joined);
        }
    }

    fn over(&mut self, joined: Result<(Id, Result<(), StoreError>), tokio::task::JoinError>) {
        let (id, failure) = match joined {
            Ok((id, Ok(()))) => (id, None),
            Ok((id, Err(error))) => (id, Some(error.to_string())),
            Err(error) => (error.id(), Some(error.to_string())),
        };
        let task = self.under_way.remove(&id);
        if let Some(cause) = failure {
            tracing::warn!(event = "outbox_failed", cause, ?task, "will be tried again");
        }
    }

    fn has(&self, task: &Task) -> bool {
        self.under_way.values().any(|one| one == task)
    }

    fn count(&self, wanted: impl Fn(&Task) -> bool) -> usize {
        self.under_way.values().filter(|task| wanted(task)).count()
    }
}
