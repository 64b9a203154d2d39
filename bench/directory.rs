//! How fast people and the audit log are listed, with many of both: what the admin pages ask must be there within 100 ms.
//!
//! `bench/run directory` builds and runs it. It makes the store first, unless the file is there already.

mod asked;

use std::error::Error;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use sqlx::{ConnectOptions, Connection, QueryBuilder, Sqlite, SqliteConnection};
use usher::audit::{Action, Actor, Audit, By, Entry, ExportForm, Filter};
use usher::config::StoreConfig;
use usher::directory::{Directory, Find, Status};
use usher::identity::{AppId, IdpId, UserId};
use usher::store::Store;

const USERS: u64 = 100_000;
const LINES: u64 = 1_000_000;
/// Rows of one statement, and lines of one transaction.
const AT_ONCE: u64 = 500;
/// How often each question is asked.
const ROUNDS: usize = 15;
/// The goal.
const GOAL: Duration = Duration::from_millis(100);
/// Lines with this word in their reason: three in all, the newest of them a third back.
const RARE: &str = "zebulon";
const LIMIT: u32 = 50;

const FIRST: [&str; 20] = [
    "Ann", "Bob", "Cem", "Dana", "Eve", "Finn", "Gita", "Hugo", "Ines", "Jan", "Kira", "Liam",
    "Mona", "Nils", "Olga", "Paul", "Rosa", "Sven", "Tara", "Umut",
];
const LAST: [&str; 10] = [
    "Adams", "Brown", "Çelik", "Dubois", "Eriksen", "Fischer", "García", "Hansen", "Ivanova",
    "Jones",
];

/// usher's own.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Done<T> = Result<T, Box<dyn Error>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Done<()> {
    let mut arguments = std::env::args().skip(1);
    let file = arguments
        .next()
        .unwrap_or_else(|| "target/directory.db".to_owned());
    let file = PathBuf::from(file);
    let is_new = !file.exists();
    let store = Store::open(&StoreConfig::Sqlite(file.clone())).await?;
    let audit = Audit::new(store.clone());
    if is_new {
        let began = Instant::now();
        seed_users(&file).await?;
        say(&format!("{USERS} users in {:.0?}", began.elapsed()))?;
        let began = Instant::now();
        seed_lines(&audit).await?;
        say(&format!("{LINES} lines in {:.0?}", began.elapsed()))?;
    }
    let size = std::fs::metadata(&file)?.len() >> 20;
    say(&format!(
        "\n{USERS} users, {LINES} lines of the audit log, {size} MiB:\n"
    ))?;
    say("| question | median ms | worst ms | |\n|---|---|---|---|")?;
    people(&Directory::new(store, audit.clone())).await?;
    lines(&audit).await?;
    asked::all(&file, second(LINES)?).await?;
    whole(&audit).await
}

fn say(line: &str) -> std::io::Result<()> {
    writeln!(std::io::stdout().lock(), "{line}")
}

fn user(number: u64) -> UserId {
    UserId::new(format!("usr_{number:032x}"))
}

/// Spreads numbers, the same at every run.
fn spread(number: u64, below: u64) -> u64 {
    (number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20) % below
}

struct Person {
    id: UserId,
    name: String,
    username: String,
    email: String,
}

fn person(number: u64) -> Person {
    let part = |names: &[&str], by: u64| {
        let at = spread(number + by, names.len() as u64);
        names
            .get(usize::try_from(at).unwrap_or(0))
            .copied()
            .unwrap_or_default()
            .to_owned()
    };
    let (first, last) = (part(&FIRST, 1), part(&LAST, 2));
    let username = format!("{}.{number}", first.to_lowercase());
    Person {
        id: user(number),
        name: if number == 77_777 {
            "Zebulon Quux".to_owned()
        } else {
            format!("{first} {last} {number}")
        },
        email: format!("{username}@corp.example"),
        username,
    }
}

async fn seed_users(file: &Path) -> Done<()> {
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(file);
    let mut on = options.connect().await?;
    for from in (0..USERS).step_by(usize::try_from(AT_ONCE)?) {
        let people: Vec<Person> = (from..USERS.min(from + AT_ONCE)).map(person).collect();
        let mut transaction = on.begin().await?;
        seed_some(&mut transaction, from, &people).await?;
        transaction.commit().await?;
    }
    asked::seed(&mut on).await?;
    Ok(on.close().await?)
}

async fn seed_some(on: &mut SqliteConnection, from: u64, people: &[Person]) -> Done<()> {
    let mut users = QueryBuilder::<Sqlite>::new(
        "INSERT INTO users (id, active, created_at, signed_in_at, email, name, username, search, invited) ",
    );
    users.push_values((from..).zip(people), |mut row, (number, one)| {
        let search = format!("{} {} {}", one.name, one.email, one.username).to_lowercase();
        row.push_bind(one.id.to_string());
        row.push_bind(i64::from(number % 50 != 0));
        row.push_bind(1_700_000_000_i64)
            .push_bind(1_780_000_000_i64);
        row.push_bind(&one.email)
            .push_bind(&one.name)
            .push_bind(&one.username);
        row.push_bind(search);
        row.push_bind(i64::from(number % 33 == 0));
    });
    users.build().execute(&mut *on).await?;
    let mut subjects = QueryBuilder::<Sqlite>::new(
        "INSERT INTO subjects (idp, issuer, format, value, protocol, user_id, email_key, username_key, attributes, \
         created_at, signed_in_at) ",
    );
    subjects.push_values((from..).zip(people), |mut row, (number, one)| {
        let attributes = json!({
            "email": one.email, "email_verified": true, "name": one.name, "given_name": null, "family_name": null,
            "username": one.username, "groups": ["staff", format!("team-{}", number % 300), "engineering"],
        });
        row.push_bind("acme").push_bind("https://login.acme.example").push_bind("");
        row.push_bind(format!("sub-{number}")).push_bind("oidc").push_bind(one.id.to_string());
        row.push_bind(&one.email).push_bind(&one.username).push_bind(attributes.to_string());
        row.push_bind(1_700_000_000_i64).push_bind(1_780_000_000_i64);
    });
    subjects.build().execute(&mut *on).await?;
    let mut names = QueryBuilder::<Sqlite>::new("INSERT INTO held_names (name, user_id) ");
    names.push_values(people, |mut row, one| {
        row.push_bind(&one.email).push_bind(one.id.to_string());
    });
    names.build().execute(&mut *on).await?;
    let mut grants = QueryBuilder::<Sqlite>::new(
        "INSERT INTO grants (user_id, app, role, source, given_by, given_at) ",
    );
    grants.push_values(people.iter().step_by(10), |mut row, one| {
        row.push_bind(one.id.to_string())
            .push_bind("wiki")
            .push_bind("editor");
        row.push_bind("admin")
            .push_bind("token:ci")
            .push_bind(1_760_000_000_i64);
    });
    grants.build().execute(on).await?;
    Ok(())
}

/// About what a company's year leaves.
fn line(number: u64) -> Entry {
    let (acme, wiki) = (IdpId::new("acme"), AppId::new("wiki"));
    let from = |actor| By {
        actor,
        client: Some(
            std::net::Ipv4Addr::from(0xc000_0200 + u32::try_from(number % 256).unwrap_or(0)).into(),
        ),
        request_id: Some(format!("{number:032x}")),
    };
    let idp = from(Actor::Idp(acme.clone()));
    let who = user(spread(number, USERS));
    let entry = match spread(number, 100) {
        0..70 => Entry::new(Action::SignIn, &idp, "signed in").at_idp(&acme),
        70..80 => Entry::new(
            Action::SessionsEnded,
            &from(Actor::User(who.clone())),
            "the person signed out",
        ),
        80..90 => Entry::new(
            Action::Provisioning,
            &By::system(),
            "the app answered user.updated",
        )
        .in_app(&wiki)
        .came_to("updated"),
        90..95 => Entry::new(
            Action::Scim,
            &from(Actor::Scim(acme.clone())),
            format!("changed group {}", number % 400),
        ),
        95..98 => {
            let why = format!("no group maps to a role of app {}", number % 30);
            Entry::new(Action::SignIn, &idp, why)
                .at_idp(&acme)
                .came_to("no_role")
        }
        98 => Entry::new(
            Action::Roles,
            &from(Actor::Token("ci".to_owned())),
            "an admin set the roles",
        )
        .in_app(&wiki),
        _ => Entry::new(
            Action::User,
            &from(Actor::Scim(acme.clone())),
            "switched off by SCIM",
        ),
    };
    let entry = if matches!(number, 100_000 | 200_000 | 666_666) {
        Entry {
            why: format!("somebody named {RARE}"),
            ..entry
        }
    } else {
        entry
    };
    entry
        .about(&who)
        .with(json!({ "site": "https://wiki.example", "number": number }))
}

fn second(number: u64) -> Done<Timestamp> {
    // 400 days.
    let offset = number * 34_560_000 / LINES;
    Ok(Timestamp::from_second(
        1_750_000_000 + i64::try_from(offset)?,
    )?)
}

async fn seed_lines(audit: &Audit) -> Done<()> {
    for from in (0..LINES).step_by(usize::try_from(AT_ONCE)?) {
        let entries: Vec<Entry> = (from..LINES.min(from + AT_ONCE)).map(line).collect();
        audit.record_all(&entries, second(from)?).await?;
    }
    Ok(())
}

/// Asks a question often, and prints how long it took.
async fn ask<T, E: Error + 'static>(
    name: &str,
    mut question: impl AsyncFnMut() -> Result<T, E>,
) -> Done<T> {
    let mut answer = question().await?;
    let mut took = Vec::with_capacity(ROUNDS);
    for _ in 0..ROUNDS {
        let began = Instant::now();
        answer = question().await?;
        took.push(began.elapsed());
    }
    took.sort_unstable();
    let median = took.get(ROUNDS / 2).copied().unwrap_or_default();
    let worst = took.last().copied().unwrap_or_default();
    let verdict = if worst < GOAL { "" } else { "over 100 ms" };
    let millis = |time: Duration| time.as_secs_f64() * 1000.0;
    say(&format!(
        "| {name} | {:.1} | {:.1} | {verdict} |",
        millis(median),
        millis(worst)
    ))?;
    Ok(answer)
}

async fn people(directory: &Directory) -> Done<()> {
    let all = Find {
        limit: LIMIT,
        ..Find::default()
    };
    let first = ask("people, first page", async || directory.people(&all).await).await?;
    assert_all(first.total == USERS)?;
    let mut after = first.next;
    for _ in 1..499 {
        let find = Find {
            after: after.as_deref(),
            limit: LIMIT,
            ..Find::default()
        };
        after = directory.people(&find).await?.next;
    }
    let find = Find {
        after: after.as_deref(),
        ..all
    };
    let page = ask("people, page 500", async || directory.people(&find).await).await?;
    assert_all(page.items.len() == LIMIT as usize)?;
    for (name, text) in [
        ("people, a word that all have", "corp"),
        ("people, a word that some have", "fischer"),
        ("people, a word that one has", "zebulon"),
        ("people, a word that nobody has", "nobody at all"),
    ] {
        let find = Find {
            text: Some(text),
            ..all
        };
        ask(name, async || directory.people(&find).await).await?;
    }
    let find = Find {
        text: Some("fischer"),
        status: Some(Status::Deactivated),
        ..all
    };
    ask("people, a word and deactivated", async || {
        directory.people(&find).await
    })
    .await?;
    let find = Find {
        status: Some(Status::Invited),
        ..all
    };
    ask("people, invited", async || directory.people(&find).await).await?;
    ask("people, counts", async || directory.counts().await).await?;
    let (somebody, id) = (user(54_321), user(54_321));
    let profile = ask("profile", async || directory.profile(&id).await).await?;
    assert_all(profile.is_some())?;
    ask("latest person", async || {
        directory.latest_person(&somebody).await
    })
    .await?;
    Ok(())
}

fn assert_all(holds: bool) -> Done<()> {
    if holds {
        Ok(())
    } else {
        Err("the store is not what was made: remove the file".into())
    }
}

async fn lines(audit: &Audit) -> Done<()> {
    let some = |text: &str| Some(text.to_owned());
    let none = Filter::default;
    let early = second(LINES / 10)?;
    let filters = [
        ("audit, first page", none()),
        (
            "audit, of a user",
            Filter {
                user: Some(user(4_321)),
                ..none()
            },
        ),
        (
            "audit, an action that most have",
            Filter {
                action: some("sign_in"),
                ..none()
            },
        ),
        (
            "audit, an action that few have",
            Filter {
                action: some("roles"),
                ..none()
            },
        ),
        (
            "audit, an outcome",
            Filter {
                outcome: some("no_role"),
                ..none()
            },
        ),
        (
            "audit, an app",
            Filter {
                app: some("wiki"),
                ..none()
            },
        ),
        (
            "audit, an actor",
            Filter {
                actor: some("token:ci"),
                ..none()
            },
        ),
        (
            "audit, a day long ago",
            Filter {
                from: Some(early),
                until: Some(early + SignedDuration::from_hours(24)),
                ..none()
            },
        ),
        (
            "audit, an action and an outcome",
            Filter {
                action: some("sign_in"),
                outcome: some("no_role"),
                ..none()
            },
        ),
        (
            "audit, two that never meet",
            Filter {
                action: some("roles"),
                outcome: some("no_role"),
                ..none()
            },
        ),
        (
            "audit, a user and an outcome",
            Filter {
                user: Some(user(4_321)),
                outcome: some("ok"),
                ..none()
            },
        ),
        (
            "audit, a word that most have",
            Filter {
                text: some("signed"),
                ..none()
            },
        ),
        (
            "audit, a word that few have",
            Filter {
                text: some("app 17"),
                ..none()
            },
        ),
        (
            "audit, a word that three have (one look)",
            Filter {
                text: some(RARE),
                ..none()
            },
        ),
        (
            "audit, a word and an action",
            Filter {
                text: some("app 17"),
                action: some("sign_in"),
                ..none()
            },
        ),
        (
            "audit, a word of a user",
            Filter {
                text: some("signed out"),
                user: Some(user(4_321)),
                ..none()
            },
        ),
    ];
    for (name, filter) in filters {
        ask(name, async || audit.page(&filter, None, LIMIT).await).await?;
    }
    let mut after = None;
    for _ in 1..500 {
        after = audit.page(&none(), after.as_deref(), LIMIT).await?.next;
    }
    ask("audit, page 500", async || {
        audit.page(&none(), after.as_deref(), LIMIT).await
    })
    .await?;
    let entry = line(1);
    let now = second(LINES)?;
    ask("audit, a line is written", async || {
        audit.record(&entry, now).await
    })
    .await?;
    Ok(())
}

/// What is not asked by a page.
async fn whole(audit: &Audit) -> Done<()> {
    let began = Instant::now();
    let filter = Filter {
        text: Some(RARE.to_owned()),
        ..Filter::default()
    };
    let (mut looks, mut found, mut after) = (0, 0, None);
    loop {
        let page = audit.page(&filter, after.as_deref(), LIMIT).await?;
        (looks, found, after) = (looks + 1, found + page.lines.len(), page.next);
        if after.is_none() {
            break;
        }
    }
    say(&format!(
        "\nA word that three have, to the end: {found} found in {looks} looks, {:.1?}",
        began.elapsed()
    ))?;
    let began = Instant::now();
    let mut export = audit.export(Filter::default(), ExportForm::Csv);
    let mut bytes = 0;
    while let Some(piece) = export.next().await? {
        bytes += piece.len();
    }
    say(&format!(
        "All lines as CSV: {} MiB in {:.1?}",
        bytes >> 20,
        began.elapsed()
    ))?;
    let began = Instant::now();
    let verified = audit.verify().await?;
    say(&format!(
        "{} lines verified in {:.1?}",
        verified.lines,
        began.elapsed()
    ))?;
    Ok(())
}
