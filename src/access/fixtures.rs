//! An app, a person and a session to decide about in tests.
#![allow(clippy::unwrap_used)]

use std::sync::atomic::AtomicI64;

use arc_swap::ArcSwap;
use http::Method;
use jiff::{SignedDuration, Timestamp};
use tokio_util::sync::CancellationToken;

use crate::config::{
    AccessRule, Allow, App, HeadersConfig, PathPatterns, Preset, PublicUrl, Upstream, UserSource,
};
use crate::identity::{AppId, Attributes, IdpId, Person, Protocol, Subject, UserId};
use crate::session::{Session, SessionKey, Streams};

pub(crate) fn public_url() -> PublicUrl {
    PublicUrl {
        origin: "https://wiki.example".into(),
        host: "wiki.example".into(),
        authority: "wiki.example".into(),
        https: true,
    }
}

pub(crate) fn app() -> App {
    App {
        id: AppId::new("wiki"),
        hosts: vec!["wiki.example".into()],
        path: "/".into(),
        public_url: public_url(),
        upstream: Some(Upstream::Http {
            host: "127.0.0.1".into(),
            port: 3000,
        }),
        access: vec![rule(&[], &[], Allow::SignedIn)],
        headers: HeadersConfig {
            preset: Preset::Usher,
            user: UserSource::Id,
        },
        provisioning: None,
    }
}

/// Without paths or methods: for all.
pub(crate) fn rule(paths: &[&str], methods: &[&str], allow: Allow) -> AccessRule {
    let written: Vec<String> = paths.iter().map(|path| (*path).to_owned()).collect();
    AccessRule {
        paths: (!paths.is_empty()).then(|| PathPatterns::new(written).unwrap()),
        methods: (!methods.is_empty()).then(|| {
            methods
                .iter()
                .map(|method| Method::from_bytes(method.as_bytes()).unwrap())
                .collect()
        }),
        allow,
    }
}

pub(crate) fn ann() -> Person {
    Person {
        user: UserId::new("usr_1"),
        subject: Subject {
            idp: IdpId::new("acme"),
            protocol: Protocol::Oidc,
            issuer: "https://login.acme.example".into(),
            format: String::new(),
            value: "sub-1".into(),
        },
        attributes: Attributes {
            email: Some("ann@acme.example".into()),
            email_verified: Some(true),
            name: Some("Ann Example".into()),
            username: Some("ann".into()),
            groups: vec!["engineering".into(), "staff".into()],
            ..Attributes::default()
        },
        accounts: Vec::new(),
        grants: Vec::new(),
    }
}

/// Made at `now`, and an hour long.
pub(crate) fn session(person: Person, now: Timestamp) -> Session {
    Session {
        key: SessionKey([7; 32]),
        sid: "ses_public".into(),
        origin: public_url().origin,
        authenticated_at: now,
        acr: Some("urn:mfa".into()),
        expires_at: now + SignedDuration::from_hours(1),
        created_at: now,
        idp_session: None,
        seen_at: AtomicI64::new(0),
        confirmed_at: AtomicI64::new(0),
        renew_at: AtomicI64::new(i64::MAX),
        person: ArcSwap::from_pointee(person),
        streams: Streams::default(),
        ended: CancellationToken::new(),
    }
}
