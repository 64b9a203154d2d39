//! Accounts in the apps: asked for by a signed callback, exactly one at a time for each user and app.

use std::sync::Arc;

use jiff::Timestamp;

use crate::config::App;
use crate::directory::Directory;
use crate::identity::Person;
use crate::metrics::Metrics;
use crate::outbound::Outbound;
use crate::refusal::Refusal;

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
    #[allow(dead_code)]
    directory: Directory,
    #[allow(dead_code)]
    outbound: Outbound,
    #[allow(dead_code)]
    metrics: Arc<Metrics>,
}

impl Provisioner {
    /// Over the directory and the client.
    pub fn new(directory: Directory, outbound: Outbound, metrics: Arc<Metrics>) -> Self {
        Self {
            directory,
            outbound,
            metrics,
        }
    }

    /// Makes sure that `person` has an account in `app`, asking the callback where needed; writes the answer to the directory. The caller then
    /// reloads the person. `Ok` also for a known user whose `user.updated` could not be delivered.
    ///
    /// # Errors
    /// `NoRole`, `NoAccount`, `EmailMissing`, `AccountRefused`, `CallbackDown` (with `retry_after`), `CallbackFailed`, `StoreDown`.
    pub async fn ensure(
        &self,
        app: &Arc<App>,
        person: &Person,
        occasion: Occasion,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        let _ = (app, person, occasion, now);
        todo!()
    }
}
