#![allow(clippy::unwrap_used, clippy::print_stderr)]
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::future::join_all;
use tempfile::TempDir;

use super::*;
use crate::config::{SessionsConfig, StoreConfig};
use crate::directory::Directory;
use crate::identity::{Account, AccountState, AppId, Attributes, IdpId, Protocol, Subject, UserId};
use crate::seal::SealRing;
use crate::store::Store;

mod listing;

const ORIGIN: &str = "https://wiki.example";
const START: i64 = 1_800_000_000;

struct House {
    folder: TempDir,
    store: Store,
    directory: Directory,
    sessions: Arc<Sessions>,
    person: Person,
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(START + second).unwrap()
}

fn subject() -> Subject {
    Subject {
        idp: IdpId::new("acme"),
        protocol: Protocol::Oidc,
        issuer: "https://acme.example".to_owned(),
        format: String::new(),
        value: "1".to_owned(),
    }
}

fn open(store: &Store) -> (Directory, Arc<Sessions>) {
    let directory = Directory::over(store.clone());
    let sessions = Sessions::new(
        store.clone(),
        directory.clone(),
        Arc::new(SealRing::new(&[[7u8; 32]]).unwrap()),
        SessionsConfig {
            idle_for: Duration::from_secs(8 * 3600),
            lifetime: Duration::from_secs(24 * 3600),
            cookie_name: "__Host-usher".to_owned(),
        },
    );
    (directory, Arc::new(sessions))
}

async fn house() -> House {
    let folder = tempfile::tempdir().unwrap();
    let config = StoreConfig::Sqlite(folder.path().join("usher.db"));
    let store = Store::open(&config).await.unwrap();
    let (directory, sessions) = open(&store);
    let person = directory
        .admit(&subject(), &Attributes::default(), None, at(0))
        .await
        .unwrap();
    House {
        folder,
        store,
        directory,
        sessions,
        person,
    }
}

impl House {
    fn new_session(&self) -> NewSession {
        NewSession {
            person: self.person.clone(),
            origin: ORIGIN.to_owned(),
            authenticated_at: at(0),
            acr: Some("2".to_owned()),
            idp_session: Some("at-the-idp".to_owned()),
            tokens: Tokens {
                refresh_token: Some(Secret::new("refresh-me")),
                ..Tokens::default()
            },
            renew_at: Some(at(900)),
            ends_at: None,
        }
    }

    async fn sign_in(&self) -> (SessionKey, Arc<Session>) {
        let (cookie, session) = self
            .sessions
            .create(self.new_session(), at(0))
            .await
            .unwrap();
        let key = SessionKey::of_cookie(cookie.expose().as_bytes()).unwrap();
        assert_eq!(key, session.key);
        (key, session)
    }

    async fn find(&self, key: &SessionKey, second: i64) -> Option<Arc<Session>> {
        self.sessions.find(key, ORIGIN, at(second)).await.unwrap()
    }

    /// As after `kill -9`: another process over the same file.
    async fn restart(&mut self) {
        let config = StoreConfig::Sqlite(self.folder.path().join("usher.db"));
        self.store = Store::open(&config).await.unwrap();
        (self.directory, self.sessions) = open(&self.store);
    }
}

#[test]
fn only_a_well_formed_cookie_has_a_key() {
    let good = "A".repeat(42) + "_";
    assert!(SessionKey::of_cookie(good.as_bytes()).is_some());
    for bad in ["", "A", &"A".repeat(42), &"A".repeat(44)] {
        assert_eq!(SessionKey::of_cookie(bad.as_bytes()), None, "{bad}");
    }
    for byte in ["*", "'", "\0", "\n", "=", " ", "+", "/"] {
        let bad = "A".repeat(42) + byte;
        assert_eq!(SessionKey::of_cookie(bad.as_bytes()), None, "{byte:?}");
    }
}

#[tokio::test]
async fn a_session_survives_a_crash_with_all_that_was_kept() {
    let mut house = house().await;
    let (key, made) = house.sign_in().await;
    house.restart().await;
    let found = house.find(&key, 60).await.unwrap();
    assert!(!Arc::ptr_eq(&found, &made));
    assert_eq!(found.sid, made.sid);
    assert!(found.sid.starts_with("ses_") && found.sid.len() == 36);
    assert_eq!(found.acr.as_deref(), Some("2"));
    assert_eq!(found.idp_session.as_deref(), Some("at-the-idp"));
    assert_eq!(found.renew_at.load(Ordering::Relaxed), START + 900);
    assert_eq!(found.expires_at, at(24 * 3600));
    assert_eq!(**found.person.load(), house.person);
    let tokens = house.sessions.tokens(&key).await.unwrap();
    assert_eq!(tokens.refresh_token.unwrap().expose(), "refresh-me");
}

#[tokio::test]
async fn neither_the_cookie_nor_a_token_is_in_the_file() {
    let house = house().await;
    let (cookie, _) = house
        .sessions
        .create(house.new_session(), at(0))
        .await
        .unwrap();
    for name in ["usher.db", "usher.db-wal"] {
        let bytes = std::fs::read(house.folder.path().join(name)).unwrap();
        for secret in [cookie.expose(), "refresh-me"] {
            assert!(
                memchr::memmem::find(&bytes, secret.as_bytes()).is_none(),
                "{name}"
            );
        }
    }
}

#[tokio::test]
async fn it_is_no_session_at_another_origin() {
    let house = house().await;
    let (key, _) = house.sign_in().await;
    let elsewhere = house
        .sessions
        .find(&key, "https://other.example", at(1))
        .await;
    assert!(elsewhere.unwrap().is_none());
    assert!(house.find(&SessionKey([1; 32]), 1).await.is_none());
}

#[tokio::test]
async fn it_ends_when_idle_and_in_any_case_at_its_absolute_limit() {
    let house = house().await;
    let (key, session) = house.sign_in().await;
    assert!(house.find(&key, 8 * 3600 - 1).await.is_some());
    assert!(house.find(&key, 8 * 3600).await.is_none());
    let mut second = 0;
    while second < 24 * 3600 - 3600 {
        second += 3600;
        assert!(house.sessions.touch(&session, at(second)));
        assert!(!house.sessions.touch(&session, at(second + 59)));
        house.sessions.write_seen(&session).await.unwrap();
        assert!(house.find(&key, second).await.is_some(), "{second}");
    }
    assert!(house.find(&key, 24 * 3600 - 1).await.is_some());
    assert!(house.find(&key, 24 * 3600).await.is_none());
    assert!(!house.sessions.is_fresh(&session, at(24 * 3600)));
}

#[tokio::test]
async fn the_last_use_survives_a_crash() {
    let mut house = house().await;
    let (key, session) = house.sign_in().await;
    assert!(house.sessions.touch(&session, at(7 * 3600)));
    house.sessions.write_seen(&session).await.unwrap();
    house.restart().await;
    assert!(house.find(&key, 14 * 3600).await.is_some());
    assert!(house.find(&key, 15 * 3600).await.is_none());
}

#[tokio::test]
async fn a_session_is_fresh_until_it_must_be_confirmed_or_renewed() {
    let house = house().await;
    let (key, session) = house.sign_in().await;
    assert!(house.sessions.is_fresh(&session, at(19)));
    assert!(!house.sessions.is_fresh(&session, at(20)));
    house.find(&key, 890).await.unwrap();
    assert!(house.sessions.is_fresh(&session, at(899)));
    assert!(!house.sessions.is_fresh(&session, at(900)), "due");
    house
        .sessions
        .put_tokens(&session, &Tokens::default(), None)
        .await
        .unwrap();
    assert!(house.sessions.is_fresh(&session, at(900)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_that_look_at_once_get_the_same_arc() {
    let mut house = house().await;
    let (key, _) = house.sign_in().await;
    house.restart().await;
    let tasks: Vec<_> = (0..50)
        .map(|_| {
            let sessions = Arc::clone(&house.sessions);
            tokio::spawn(async move { sessions.find(&key, ORIGIN, at(1)).await.unwrap().unwrap() })
        })
        .collect();
    let found: Vec<_> = join_all(tasks)
        .await
        .into_iter()
        .map(Result::unwrap)
        .collect();
    assert!(found.iter().all(|one| Arc::ptr_eq(one, &found[0])));
    assert_eq!(house.sessions.cached(), 1);
}

#[tokio::test]
async fn an_ended_session_is_found_no_more_and_its_streams_end() {
    let house = house().await;
    let (key, session) = house.sign_in().await;
    let (other, _) = house.sign_in().await;
    let stream = session.ended.clone();
    assert_eq!(
        house
            .sessions
            .end(Which::One(&key), at(1))
            .await
            .unwrap()
            .len(),
        1
    );
    assert!(stream.is_cancelled());
    assert!(!house.sessions.is_fresh(&session, at(1)));
    assert!(house.find(&key, 1).await.is_none());
    assert!(house.find(&other, 1).await.is_some());
    let user = house.person.user.clone();
    assert_eq!(
        house
            .sessions
            .end(Which::User(&user), at(1))
            .await
            .unwrap()
            .len(),
        1
    );
    assert!(house.find(&other, 1).await.is_none());
    assert_eq!(
        house
            .sessions
            .end(Which::User(&user), at(1))
            .await
            .unwrap()
            .len(),
        0
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_end_while_the_session_is_being_loaded_is_not_lost() {
    let mut house = house().await;
    for turn in 0..60_u64 {
        let (key, _) = house.sign_in().await;
        house.restart().await;
        let sessions = Arc::clone(&house.sessions);
        let looking =
            tokio::spawn(async move { sessions.find(&key, ORIGIN, at(1)).await.unwrap() });
        tokio::time::sleep(Duration::from_micros(turn * 20)).await;
        let user = house.person.user.clone();
        house.sessions.end(Which::User(&user), at(1)).await.unwrap();
        if let Some(found) = looking.await.unwrap() {
            assert!(found.ended.is_cancelled(), "turn {turn}");
        }
        assert!(house.find(&key, 1).await.is_none(), "turn {turn}");
        assert_eq!(house.sessions.cached(), 0, "turn {turn}");
    }
}

#[tokio::test]
async fn what_was_read_before_the_end_does_not_come_to_life() {
    let registry = registry::Registry::new(100);
    let key = SessionKey([3; 32]);
    let house = house().await;
    let (_, session) = house.sign_in().await;
    let made = || Session {
        key,
        sid: session.sid.clone(),
        origin: ORIGIN.to_owned(),
        authenticated_at: at(0),
        acr: None,
        expires_at: at(100),
        created_at: at(0),
        idp_session: None,
        seen_at: AtomicI64::new(START),
        confirmed_at: AtomicI64::new(START),
        renew_at: AtomicI64::new(i64::MAX),
        person: ArcSwap::from_pointee(house.person.clone()),
        streams: Streams::default(),
        ended: CancellationToken::new(),
    };
    let user = house.person.user.clone();
    let ticket = registry.ticket(key);
    ticket.begin();
    registry.end(&key);
    assert!(matches!(
        ticket.settle(&user, false, made, |_| ()),
        registry::Settled::Ended
    ));
    drop(ticket);
    let ticket = registry.ticket(key);
    ticket.begin();
    registry.change_loads(&UserId::generate());
    registry.change_loads(&user);
    assert!(matches!(
        ticket.settle(&user, false, made, |_| ()),
        registry::Settled::Changed
    ));
    assert!(matches!(
        ticket.settle(&user, false, made, |_| ()),
        registry::Settled::Live(_)
    ));
}

#[tokio::test]
async fn a_session_that_another_process_ended_is_gone_after_twenty_seconds() {
    let house = house().await;
    let (key, session) = house.sign_in().await;
    sqlx::query("DELETE FROM sessions")
        .execute(house.store.writer())
        .await
        .unwrap();
    assert!(house.find(&key, 19).await.is_some());
    assert!(house.find(&key, 20).await.is_none());
    assert!(session.ended.is_cancelled());
}

#[tokio::test]
async fn a_failing_store_is_an_error_and_cached_sessions_go_on_for_thirty_seconds() {
    let house = house().await;
    let (key, session) = house.sign_in().await;
    house.store.close().await;
    assert!(house.find(&key, 29).await.is_some());
    let failed = house.sessions.find(&key, ORIGIN, at(30)).await;
    assert!(failed.is_err(), "never anonymous");
    let unknown = house
        .sessions
        .find(&SessionKey([9; 32]), ORIGIN, at(1))
        .await;
    assert!(unknown.is_err());
    let ended = house.sessions.end(Which::One(&key), at(1)).await;
    assert!(ended.is_err(), "a sign-out that is not written is none");
    assert!(!session.ended.is_cancelled());
    assert!(
        house
            .sessions
            .create(house.new_session(), at(1))
            .await
            .is_err()
    );
    assert!(house.sessions.tokens(&key).await.is_err());
}

fn account_42() -> Account {
    Account {
        app: AppId::new("wiki"),
        active: true,
        id: Some("42".to_owned()),
        roles: Vec::new(),
        state: AccountState::Open,
        told: String::new(),
    }
}

#[tokio::test]
async fn a_changed_person_reaches_live_sessions() {
    let house = house().await;
    let (_, session) = house.sign_in().await;
    let account = account_42();
    let user = &house.person.user;
    house
        .directory
        .put_account(user, &account, at(1))
        .await
        .unwrap();
    house.sessions.reload_person(user).await.unwrap();
    assert_eq!(session.person.load().accounts, [account]);
}

#[tokio::test]
async fn a_change_is_read_once_for_all_sessions_of_a_subject() {
    let house = house().await;
    let mut sessions = Vec::new();
    for _ in 0..20 {
        sessions.push(house.sign_in().await.1);
    }
    let user = &house.person.user;
    let account = account_42();
    house
        .directory
        .put_account(user, &account, at(1))
        .await
        .unwrap();
    house.sessions.reload_person(user).await.unwrap();
    let first = sessions[0].person.load_full();
    assert_eq!(first.accounts, [account]);
    for session in &sessions {
        assert!(Arc::ptr_eq(&first, &session.person.load_full()));
    }
}

#[tokio::test]
async fn a_reload_that_finds_nothing_new_is_still_seen_by_an_older_one() {
    let house = house().await;
    let (_, session) = house.sign_in().await;
    let before = session.person.load_full();
    let user = &house.person.user;
    house.sessions.reload_person(user).await.unwrap();
    let after = session.person.load_full();
    assert_eq!(after, before);
    assert!(!Arc::ptr_eq(&after, &before));
}

#[tokio::test]
async fn tokens_of_a_key_that_is_gone_are_none() {
    let house = house().await;
    let (key, _) = house.sign_in().await;
    let other = Sessions::new(
        house.store.clone(),
        house.directory.clone(),
        Arc::new(SealRing::new(&[[8u8; 32]]).unwrap()),
        SessionsConfig {
            idle_for: Duration::from_secs(60),
            lifetime: Duration::from_secs(60),
            cookie_name: "usher".to_owned(),
        },
    );
    assert!(other.tokens(&key).await.unwrap().refresh_token.is_none());
}

#[tokio::test]
async fn a_reload_changes_the_limits_and_the_seal_keys() {
    let house = house().await;
    let (key, session) = house.sign_in().await;
    let both = SealRing::new(&[[8u8; 32], [7u8; 32]]).unwrap();
    let shorter = SessionsConfig {
        idle_for: Duration::from_secs(600),
        lifetime: Duration::from_secs(1200),
        cookie_name: "usher".to_owned(),
    };
    house.sessions.reload(Arc::new(both), &shorter);
    let tokens = house.sessions.tokens(&key).await.unwrap();
    assert!(tokens.refresh_token.is_some(), "the old key still opens");
    house
        .sessions
        .put_tokens(&session, &tokens, None)
        .await
        .unwrap();
    let new = SealRing::new(&[[8u8; 32]]).unwrap();
    house.sessions.reload(Arc::new(new), &shorter);
    let tokens = house.sessions.tokens(&key).await.unwrap();
    assert!(tokens.refresh_token.is_some(), "sealed anew by the newest");
    assert!(house.find(&key, 600).await.is_none());
    assert_eq!(house.sign_in().await.1.expires_at, at(1200));
}

#[tokio::test]
async fn the_sweep_ends_what_is_over_and_forgets_what_nobody_uses() {
    let house = house().await;
    let (key, session) = house.sign_in().await;
    let (unused, _) = house.sign_in().await;
    house.sessions.sweep(at(121)).await.unwrap();
    assert_eq!(house.sessions.cached(), 1, "one is held, one is not");
    assert!(house.find(&unused, 122).await.is_some());
    house.sessions.sweep(at(24 * 3600)).await.unwrap();
    assert!(
        session.ended.is_cancelled(),
        "a stream ends with its session"
    );
    let left: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM sessions")
        .fetch_one(&house.store.pool)
        .await
        .unwrap();
    assert_eq!(left, 0);
    assert!(house.find(&key, 122).await.is_none());
}

#[tokio::test]
async fn the_cache_is_bounded_but_keeps_what_is_held() {
    let registry = registry::Registry::new(64);
    let house = house().await;
    let (_, like) = house.sign_in().await;
    let mut held = Vec::new();
    for turn in 0..100_u8 {
        // All in one shard, which has room for one.
        let mut key = SessionKey([0; 32]);
        key.0[31] = turn;
        let ticket = registry.ticket(key);
        let settled = ticket.settle(
            &house.person.user,
            false,
            || Session {
                key,
                sid: like.sid.clone(),
                origin: ORIGIN.to_owned(),
                authenticated_at: at(0),
                acr: None,
                expires_at: at(100),
                created_at: at(0),
                idp_session: None,
                seen_at: AtomicI64::new(START),
                confirmed_at: AtomicI64::new(START + i64::from(turn)),
                renew_at: AtomicI64::new(i64::MAX),
                person: ArcSwap::from_pointee(house.person.clone()),
                streams: Streams::default(),
                ended: CancellationToken::new(),
            },
            |_| (),
        );
        if let registry::Settled::Live(session) = settled
            && turn < 10
        {
            held.push(session);
        }
    }
    assert_eq!(registry.len(), 11);
    for session in &held {
        assert!(registry.end(&session.key).is_some());
        assert!(session.ended.is_cancelled());
    }
}

/// Run by hand: `cargo test --release --lib -- --ignored --nocapture memory_for_each`.
#[tokio::test]
#[ignore = "takes minutes; prints what the README says of memory"]
async fn memory_for_each_of_100_000_sessions() {
    const COUNT: i64 = 100_000;
    let house = house().await;
    sqlx::query("PRAGMA synchronous = OFF")
        .execute(house.store.writer())
        .await
        .unwrap();
    for _ in 0..1000 {
        house.sign_in().await;
    }
    let before = resident_kib();
    for _ in 0..COUNT {
        let (key, _) = house.sign_in().await;
        house.find(&key, 1).await.unwrap();
    }
    let grown = resident_kib() - before;
    let cached = house.sessions.cached();
    let each = grown as f64 / COUNT as f64;
    eprintln!("{cached} cached, {grown} KiB, {each:.2} KiB each");
    assert!(each <= 1.2, "{each:.2} KiB each");
}

fn resident_kib() -> i64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS"))
        .unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_who_changes_all_the_time_is_still_found() {
    let house = Arc::new(house().await);
    let (key, _) = house.sign_in().await;
    let changing = {
        let house = Arc::clone(&house);
        tokio::spawn(async move {
            loop {
                house
                    .sessions
                    .reload_person(&house.person.user)
                    .await
                    .unwrap();
                tokio::task::yield_now().await;
            }
        })
    };
    for second in 0..20 {
        let found = house.sessions.find(&key, ORIGIN, at(second * 21)).await;
        assert!(found.unwrap().is_some(), "second {}", second * 21);
    }
    changing.abort();
}

fn name_id() -> NameId {
    NameId {
        format: "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent".to_owned(),
        value: "ann-at-globex".to_owned(),
        name_qualifier: None,
        sp_name_qualifier: Some("https://wiki.example/_usher/saml/globex/metadata".to_owned()),
    }
}

#[tokio::test]
async fn the_name_that_saml_logout_needs_is_kept_sealed_and_found_by_its_key() {
    let mut house = house().await;
    let mut new = house.new_session();
    new.tokens.name_id = Some(name_id());
    let (cookie, _) = house.sessions.create(new, at(0)).await.unwrap();
    house.restart().await;
    let key = SessionKey::of_cookie(cookie.expose().as_bytes()).unwrap();
    assert!(house.find(&key, 1).await.is_some());
    let tokens = house.sessions.tokens(&key).await.unwrap();
    assert_eq!(tokens.name_id, Some(name_id()));
    let stored: String = sqlx::query_scalar("SELECT name_id_key FROM sessions")
        .fetch_one(&house.store.pool)
        .await
        .unwrap();
    assert_eq!(stored, name_id().key());
    let other = NameId {
        format: "urn:oasis:names:tc:SAML:1.1:nameid-format:unspecified".to_owned(),
        ..name_id()
    };
    assert_ne!(other.key(), stored);
    for name in ["usher.db", "usher.db-wal"] {
        let bytes = std::fs::read(house.folder.path().join(name)).unwrap();
        assert!(
            memchr::memmem::find(&bytes, b"ann-at-globex").is_none(),
            "{name}"
        );
    }
}

#[tokio::test]
async fn a_session_ends_when_the_idp_says_if_that_is_earlier() {
    let house = house().await;
    for (ends_at, expires_at) in [(at(600), at(600)), (at(90 * 24 * 3600), at(24 * 3600))] {
        let new = NewSession {
            ends_at: Some(ends_at),
            ..house.new_session()
        };
        let (_, session) = house.sessions.create(new, at(0)).await.unwrap();
        assert_eq!(session.expires_at, expires_at);
    }
}
