#![allow(clippy::unwrap_used, clippy::panic)]
mod answers;
mod app_double;
mod drivers;
mod flow;
mod outbox;
mod trouble;

use std::sync::Arc;

use jiff::Timestamp;
use tempfile::TempDir;

use super::*;
use crate::access::fixtures::{ann, app};
use crate::config::{Callback, StoreConfig, WebhookKey};
use crate::identity::{IdpId, Role};
use crate::store::Store;
use app_double::AppDouble;

const NEW_SECRET: [u8; 24] = [1; 24];
const OLD_SECRET: [u8; 24] = [2; 24];

/// A directory in a file, an app that is called back, and what stands between.
struct House {
    folder: TempDir,
    store: Store,
    directory: Directory,
    provisioner: Arc<Provisioner>,
    metrics: Arc<Metrics>,
    double: AppDouble,
    app: Arc<App>,
    person: Person,
}

fn now() -> Timestamp {
    Timestamp::from_second(1_800_000_000).unwrap()
}

fn callback(url: &str) -> Callback {
    Callback {
        url: url.parse().unwrap(),
        secrets: vec![
            WebhookKey(NEW_SECRET.to_vec()),
            WebhookKey(OLD_SECRET.to_vec()),
        ],
        roles: false,
    }
}

fn wiki(callback: Option<Callback>) -> App {
    let acme = IdpId::new("acme");
    let mut app = app();
    app.provisioning = Some(Provisioning {
        mode: ProvisioningMode::Jit,
        roles: ["viewer", "editor", "admin"].map(Role::new).to_vec(),
        default_role: Some(Role::new("viewer")),
        group_roles: vec![
            (acme.clone(), "engineering".to_owned(), Role::new("editor")),
            (acme, "admins".to_owned(), Role::new("admin")),
        ],
        target: callback.map(Target::Callback),
    });
    app
}

async fn house() -> House {
    let double = AppDouble::start().await;
    let app = wiki(Some(callback(&double.url)));
    house_with(double, app).await
}

async fn house_with(double: AppDouble, app: App) -> House {
    let folder = tempfile::tempdir().unwrap();
    let config = StoreConfig::Sqlite(folder.path().join("usher.db"));
    let store = Store::open(&config).await.unwrap();
    let directory = Directory::over(store.clone());
    let metrics = Arc::new(Metrics::default());
    let outbound = Outbound::new(&[]).unwrap();
    let person = ann();
    let person = directory
        .admit(&person.subject, &person.attributes, None, now())
        .await
        .unwrap();
    House {
        provisioner: Arc::new(Provisioner::new(
            directory.clone(),
            outbound,
            Arc::clone(&metrics),
        )),
        folder,
        store,
        directory,
        metrics,
        double,
        app: Arc::new(app),
        person,
    }
}

impl House {
    async fn visit(&self) -> Result<(), Refusal> {
        self.ensure(Occasion::Visit).await
    }

    async fn sign_in(&self) -> Result<(), Refusal> {
        self.ensure(Occasion::SignIn).await
    }

    async fn ensure(&self, occasion: Occasion) -> Result<(), Refusal> {
        let person = self.known().await;
        self.provisioner
            .ensure(&self.app, &person, occasion, now())
            .await
    }

    async fn known(&self) -> Person {
        let found = self.directory.person(&self.person.subject).await;
        found.unwrap().unwrap()
    }

    async fn account(&self) -> Option<Account> {
        self.known().await.account(&self.app.id).cloned()
    }

    /// As the next sign-in finds the person.
    async fn change(&self, change: impl FnOnce(&mut crate::identity::Attributes)) {
        let mut attributes = self.known().await.attributes;
        change(&mut attributes);
        self.directory
            .admit(&self.person.subject, &attributes, None, now())
            .await
            .unwrap();
    }

    /// As after `kill -9`: nothing is left but the file.
    async fn restart(&mut self) {
        let config = StoreConfig::Sqlite(self.folder.path().join("usher.db"));
        self.store = Store::open(&config).await.unwrap();
        self.directory = Directory::over(self.store.clone());
        self.provisioner = Arc::new(Provisioner::new(
            self.directory.clone(),
            Outbound::new(&[]).unwrap(),
            Arc::clone(&self.metrics),
        ));
    }

    fn counted(&self, outcome: &str) -> u64 {
        let outcome = crate::metrics::Outcome {
            of: "wiki".to_owned(),
            outcome: outcome.to_owned(),
        };
        self.metrics.callbacks.get_or_create(&outcome).get()
    }
}
