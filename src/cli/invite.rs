//! `usher invite`: an invitation from the command line, over the store of the config. usher may be running.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use jiff::Timestamp;

use super::{ConfigFile, fail, say, say_error};
use crate::audit::{Audit, By};
use crate::config::{self, Config, StoreConfig};
use crate::directory::{Directory, NewInvitation};
use crate::identity::{AppId, Role};
use crate::mail::Mailer;
use crate::sign_in::invite::{invite, send};
use crate::store::Store;

#[derive(Debug, Args)]
pub(super) struct Options {
    #[command(flatten)]
    file: ConfigFile,
    /// The address of whoever is invited.
    #[arg(long, value_name = "ADDRESS")]
    email: String,
    /// Full name.
    #[arg(long)]
    name: Option<String>,
    /// An app, with a role or without (its default role); may be given several times.
    #[arg(long, value_name = "APP[:ROLE]", value_parser = grant)]
    app: Vec<(AppId, Option<Role>)>,
    /// Let them set a password, for people without single sign-on.
    #[arg(long)]
    password: bool,
    /// An account for emergencies: with a password, every use of it is reported, and single sign-on never leads into it (take an
    /// address that nobody signs in with).
    #[arg(long)]
    break_glass: bool,
    /// How long the link works, such as 7d or 12h.
    #[arg(long, value_name = "TIME", default_value = "7d", value_parser = period)]
    expires: Duration,
}

/// Prints the link; exit 0, or 1 with the reason.
pub(super) async fn invite_somebody(options: &Options) -> ExitCode {
    let config = match config::load(&options.file.config) {
        Ok(config) => config,
        Err(problems) => return fail(&problems.to_string()),
    };
    match run(options, &config).await {
        Ok(link) => {
            say(&link);
            ExitCode::SUCCESS
        }
        Err(why) => fail(&why),
    }
}

async fn run(options: &Options, config: &Config) -> Result<String, String> {
    if matches!(config.store, StoreConfig::Memory) {
        return Err("the store is memory: nobody else sees what is written to it".to_owned());
    }
    let store = Store::open(&config.store)
        .await
        .map_err(|error| error.to_string())?;
    let audit = Audit::new(store.clone());
    audit
        .configure(&config.audit)
        .map_err(|error| error.to_string())?;
    let directory = Directory::new(store, audit);
    let now = Timestamp::now();
    let new = NewInvitation {
        email: options.email.clone(),
        name: options.name.clone(),
        grants: grants(&options.app),
        password: options.password,
        break_glass: options.break_glass,
        expires_at: now
            .checked_add(options.expires)
            .map_err(|_| "that is too long".to_owned())?,
    };
    let by = By::system();
    let (invitation, link) = invite(config, &directory, &new, &by, now)
        .await
        .map_err(|error| error.to_string())?;
    if let Some(mail) = &config.mail {
        let mailer = Mailer::new(mail).map_err(|error| error.to_string())?;
        match send(config, &directory, &mailer, (&invitation, &link), &by).await {
            Ok(()) => say_error(&format!("sent to {}", invitation.new.email)),
            Err(error) => say_error(&format!("not sent: {error}")),
        }
    }
    say_error(&format!("works once, until {}:", invitation.new.expires_at));
    Ok(link.expose().to_owned())
}

fn grants(given: &[(AppId, Option<Role>)]) -> Vec<(AppId, Vec<Role>)> {
    let mut grants: Vec<(AppId, Vec<Role>)> = Vec::new();
    for (app, role) in given {
        match grants.iter_mut().find(|(known, _)| known == app) {
            Some((_, roles)) => roles.extend(role.clone()),
            None => grants.push((app.clone(), role.iter().cloned().collect())),
        }
    }
    grants
}

fn grant(text: &str) -> Result<(AppId, Option<Role>), String> {
    match text.split_once(':') {
        Some((app, role)) if !app.is_empty() && !role.is_empty() => {
            Ok((AppId::new(app), Some(Role::new(role))))
        }
        None if !text.is_empty() => Ok((AppId::new(text), None)),
        Some(_) | None => Err("write APP or APP:ROLE".to_owned()),
    }
}

fn period(text: &str) -> Result<Duration, String> {
    let wrong = || "write a number with m, h or d, such as 7d".to_owned();
    let digits = text.trim_end_matches(['m', 'h', 'd']);
    let number: u64 = digits.parse().map_err(|_| wrong())?;
    let unit = match text.strip_prefix(digits) {
        Some("m") => 60,
        Some("h") => 3600,
        Some("d") => 24 * 3600,
        Some(_) | None => return Err(wrong()),
    };
    let seconds = number.checked_mul(unit).filter(|seconds| *seconds > 0);
    seconds.map(Duration::from_secs).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn reads_times_and_roles_as_people_write_them() {
        assert_eq!(period("7d"), Ok(Duration::from_secs(604_800)));
        assert_eq!(period("90m"), Ok(Duration::from_secs(5400)));
        for wrong in ["", "7", "d", "7dd", "-1h", "0d", "99999999999999999999d"] {
            assert!(period(wrong).is_err(), "{wrong}");
        }
        let given = ["wiki:editor", "files", "wiki:admin"].map(|text| grant(text).unwrap());
        let found = grants(&given);
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].1, [Role::new("editor"), Role::new("admin")]);
        assert!(found[1].1.is_empty());
        assert!(grant("wiki:").is_err() && grant(":editor").is_err() && grant("").is_err());
    }
}
