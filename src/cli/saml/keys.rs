//! `usher saml keys`: looks at the service provider's keys and rotates those that usher made itself. A running usher takes a
//! change up at its next reload (SIGHUP).

use std::fmt::Write as _;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use jiff::Timestamp;

use crate::certificate::Certificate;
use crate::cli::{ConfigFile, fail, say, say_error};
use crate::config::{self, Config, StoreConfig};
use crate::keys::saml::{self, Kept};
use crate::keys::seal_ring;
use crate::store::Store;

#[derive(Debug, Args)]
pub(super) struct Options {
    #[command(flatten)]
    file: ConfigFile,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Show the keys: the one that signs first.
    List {
        /// Print the certificates too.
        #[arg(long)]
        pem: bool,
    },
    /// Make a key: after a reload it is published and decrypts, but does not sign yet.
    New,
    /// Let a key sign, once the identity providers know its certificate.
    Use {
        /// As `list` shows it.
        fingerprint: String,
    },
    /// Remove a key that does not sign, once nobody encrypts to it any more.
    Drop {
        /// As `list` shows it.
        fingerprint: String,
    },
}

pub(super) async fn keys(options: &Options) -> ExitCode {
    let path = &options.file.config;
    let config = match &options.action {
        // No private key is opened to show or to remove one.
        Action::List { .. } | Action::Drop { .. } => {
            config::load_offline(path).map(|offline| offline.config)
        }
        Action::New | Action::Use { .. } => config::load(path),
    };
    let config = match config {
        Ok(config) => config,
        Err(problems) => {
            say_error(&problems.to_string());
            return ExitCode::from(2);
        }
    };
    match act(&config, &options.action, Timestamp::now()).await {
        Ok(text) => {
            say(text.trim_end());
            ExitCode::SUCCESS
        }
        Err(why) => fail(&why),
    }
}

/// What to print.
async fn act(config: &Config, action: &Action, now: Timestamp) -> Result<String, String> {
    if !config.saml_keys.is_empty() {
        return configured(config, action);
    }
    if config.store == StoreConfig::Memory {
        return Err(
            "`store: memory` keeps no key beyond the running process: name a file, or give the keys in `keys.saml`"
                .to_owned(),
        );
    }
    let shown = |error: &dyn std::fmt::Display| error.to_string();
    let store = Store::open(&config.store)
        .await
        .map_err(|error| shown(&error))?;
    match action {
        Action::List { pem } => {
            let kept = saml::list(&store).await.map_err(|error| shown(&error))?;
            if kept.is_empty() {
                return Ok("none yet: `usher run` makes one where an identity provider speaks SAML, or `usher saml keys new` now".to_owned());
            }
            Ok(listed(&kept, *pem))
        }
        Action::New => {
            let ring = seal_ring(&store, &config.seal_keys).await;
            let ring = ring.map_err(|error| shown(&error))?;
            let made = saml::make(&store, &ring, &config.public_url.host, now).await;
            Ok(next_steps(&made.map_err(|error| shown(&error))?))
        }
        Action::Use { fingerprint } => {
            let done = saml::sign_with(&store, fingerprint).await;
            done.map_err(|error| shown(&error))?;
            Ok(format!(
                "{fingerprint} signs after the next reload (SIGHUP)"
            ))
        }
        Action::Drop { fingerprint } => {
            let done = saml::remove(&store, fingerprint).await;
            done.map_err(|error| shown(&error))?;
            Ok(format!(
                "{fingerprint} is removed; a running usher forgets it at the next reload (SIGHUP)"
            ))
        }
    }
}

/// The keys of the config are rotated there.
fn configured(config: &Config, action: &Action) -> Result<String, String> {
    match action {
        Action::List { pem } => {
            let first = config.saml_keys.iter().enumerate();
            let kept: Vec<Kept> = first
                .map(|(at, pair)| Kept {
                    certificate: pair.certificate.clone(),
                    signs: at == 0,
                })
                .collect();
            Ok(listed(&kept, *pem))
        }
        Action::New | Action::Use { .. } | Action::Drop { .. } => Err(
            "the keys are those of `keys.saml` in the config, of which the first signs: change them there".to_owned(),
        ),
    }
}

fn listed(keys: &[Kept], pem: bool) -> String {
    let mut text = String::new();
    for Kept { certificate, signs } in keys {
        let fingerprint = certificate.fingerprint();
        let (from, until) = (certificate.not_before(), certificate.not_after());
        let does = if *signs {
            "signs, decrypts"
        } else {
            "decrypts"
        };
        // Writing to a string does not fail.
        let _ = writeln!(text, "{fingerprint}  {does}, valid from {from} to {until}");
        if pem {
            text.push_str(&certificate.pem());
        }
    }
    text
}

fn next_steps(certificate: &Certificate) -> String {
    let fingerprint = certificate.fingerprint();
    format!(
        "made {fingerprint}\n{}\nNext:\n\
         1. Reload usher (SIGHUP): its metadata has the new certificate too, and it decrypts with both keys.\n\
         2. Let every identity provider read the metadata again, or add the certificate there.\n\
         3. usher saml keys use {fingerprint}, and reload.\n\
         4. When no identity provider encrypts to the old key any more: usher saml keys drop with its fingerprint, and reload.",
        certificate.pem()
    )
}

#[cfg(test)]
mod tests;
