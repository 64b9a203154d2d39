//! Runs rows, several at once, and says what came of each.

use std::{collections::VecDeque, io::Write as _, sync::Arc};

use serde_json::Value;
use tokio::sync::Mutex;

use super::{
    break_glass,
    case::Row,
    judge::Verdict,
    latency::{Extent, MEASUREMENTS, is_latency},
    run::{Run, Stop},
    saml::SamlSettings,
    sessions::{IDLE, LIFETIME, REFRESH, SEAL_KEY},
    steps::missing,
    template::{Scope, expand_json},
    world::{Settings, World},
};

/// The classes that usher is ready for.
const CLASSES: [&str; 21] = [
    "admin-api",
    "break-glass",
    "identity-header-spoofing",
    "skip-auth-route-bypass",
    "open-redirect",
    "csrf-state-nonce-pkce",
    "id-token-validation",
    "session",
    "host-and-forwarded-trust",
    "request-smuggling",
    "resource-exhaustion",
    "cache-poisoning",
    "jit-callback-faults",
    "saml-faults",
    "scim",
    "back-channel-logout",
    "websocket",
    "info-leak",
    "clickjacking",
    "xss",
    "control",
];

/// Verbs after which the same usher serves the next variant of a row.
const CLEAN: [&str; 21] = [
    "request",
    "login",
    "follow_until",
    "follow_max",
    "get",
    "start_login",
    "finish_login",
    "drop_cookies",
    "replay",
    "logout",
    "plant_cookie",
    "cookie_mutate",
    "cookie_chunks",
    "op.id_token",
    "op.userinfo",
    "upstream.respond",
    "upstream.raw",
    "jit.inspect",
    "h2_attack",
    "suite",
    "saml_case",
];

/// Words of rows that take long.
const LONG: [&str; 3] = ["\"slowloris\"", "\"jit\"", "iB"];

/// What came of a variant: what was not judged beside the rest, or why it ended.
type Judged = Result<Vec<String>, Stop>;

/// What came of a row.
#[derive(Debug)]
enum Outcome {
    Pass {
        variants: usize,
        beside: Vec<String>,
    },
    NotApplicable(String),
    Fail(String),
}

/// Runs rows and prints a line for each; the ids of those that failed come back. Where latencies are judged, it is one row
/// at a time.
pub(super) async fn run(mut rows: Vec<Row>, extent: Extent) -> Vec<String> {
    let jobs = std::env::var("USHER_ATTACKS_JOBS").ok();
    let jobs = match extent {
        Extent::Short => jobs.and_then(|n| n.parse().ok()).unwrap_or(6),
        Extent::Full => 1,
    };
    // The longest begin first: those where somebody is waited for.
    rows.sort_by_key(|row| !LONG.iter().any(|word| row.text().contains(word)));
    let queue = Arc::new(Mutex::new(VecDeque::from(rows)));
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..jobs {
        let queue = Arc::clone(&queue);
        tasks.spawn(async move {
            let mut failed = Vec::new();
            let mut spare: Option<World> = None;
            loop {
                let Some(row) = queue.lock().await.pop_front() else {
                    return failed;
                };
                let (outcome, world) = judge_row(&row, spare.take(), extent).await;
                spare = world;
                say(&row.id, &outcome);
                if matches!(outcome, Outcome::Fail(_)) {
                    failed.push(row.id);
                }
            }
        });
    }
    let mut failed: Vec<_> = tasks.join_all().await.into_iter().flatten().collect();
    failed.sort();
    failed
}

/// True where a row fails, rather than passes or does not apply.
pub(super) async fn fails(row: &Row) -> bool {
    matches!(judge_row(row, None, Extent::Full).await.0, Outcome::Fail(_))
}

fn say(id: &str, outcome: &Outcome) {
    let line = match outcome {
        Outcome::Pass { variants, beside } => {
            let plural = if *variants == 1 { "" } else { "s" };
            let beside = if beside.is_empty() {
                String::new()
            } else {
                format!("; not judged: {}", beside.join("; "))
            };
            format!("{id} pass ({variants} variant{plural}){beside}")
        }
        Outcome::NotApplicable(why) => format!("{id} n/a: {why}"),
        Outcome::Fail(why) => format!("{id} fail: {why}"),
    };
    write_line(&line);
}

/// Straight to the stream: the test harness keeps what `println!` prints to itself.
fn write_line(line: &str) {
    let _written = writeln!(std::io::stdout(), "{line}");
}

/// Why a whole row cannot be judged yet.
fn not_applicable(row: &Row) -> Option<String> {
    if !CLASSES.contains(&row.class.as_str()) {
        return Some("this class comes later".to_owned());
    }
    row.steps().iter().find_map(missing).map(str::to_owned)
}

async fn judge_row(row: &Row, spare: Option<World>, extent: Extent) -> (Outcome, Option<World>) {
    if let Some(why) = not_applicable(row) {
        return (Outcome::NotApplicable(why), spare);
    }
    let (verdicts, spare) = if waits(row) {
        (each_in_its_own_world(row, extent).await, None)
    } else {
        one_after_the_other(row, spare, extent).await
    };
    (summed_up(verdicts), spare)
}

/// Judges variants one after the other, in the same world where that is clean.
async fn one_after_the_other(
    row: &Row,
    mut spare: Option<World>,
    extent: Extent,
) -> (Vec<(Value, Judged)>, Option<World>) {
    let mut verdicts = Vec::new();
    for variant in row.variants() {
        let settings = settings_for(row);
        let mut world = match spare.take() {
            Some(world) if world.settings == settings && !world.dirty && !is_stranger(&variant) => {
                world
            }
            Some(_) | None => World::new(settings).await,
        };
        let judged = judge_best(row, &mut world, &variant, extent).await;
        if reusable(row) && !world.dirty && !is_stranger(&variant) {
            spare = Some(world);
        }
        let failed = matches!(judged, Err(Stop::Fail(_) | Stop::Late(_)));
        verdicts.push((variant, judged));
        if failed {
            break;
        }
    }
    (verdicts, spare)
}

/// True for a variant that changes who somebody is: usher must not know that person's e-mail
/// address yet, or it refuses for that reason.
fn is_stranger(variant: &Value) -> bool {
    variant
        .as_str()
        .is_some_and(|words| words.starts_with("sub "))
}

/// Judges all variants at once: most of their time is waiting for somebody who does not answer.
async fn each_in_its_own_world(row: &Row, extent: Extent) -> Vec<(Value, Judged)> {
    let judge = |variant: Value| {
        let row = row.clone();
        tokio::spawn(async move {
            let mut world = World::new(settings_for(&row)).await;
            let judged = judge_best(&row, &mut world, &variant, extent).await;
            (variant, judged)
        })
    };
    let tasks: Vec<_> = row.variants().into_iter().map(judge).collect();
    let mut verdicts = Vec::new();
    for task in tasks {
        verdicts.push(task.await.unwrap());
    }
    verdicts
}

/// True where a row waits for a callback and measures no memory.
fn waits(row: &Row) -> bool {
    let asserts = row.expectation.asserts.join(" ");
    let measures = asserts.contains("rss_") || asserts.contains("_ratio");
    !measures && row.steps().iter().any(|step| step.contains_key("jit"))
}

fn summed_up(verdicts: Vec<(Value, Judged)>) -> Outcome {
    let (mut judged, mut skipped, mut beside) = (0, Vec::new(), Vec::new());
    for (n, (variant, verdict)) in verdicts.into_iter().enumerate() {
        match verdict {
            Ok(more) => {
                judged += 1;
                beside.extend(more);
            }
            Err(Stop::NotApplicable(why)) => skipped.push(why),
            Err(Stop::Fail(why) | Stop::Late(why)) if variant.is_null() => {
                return Outcome::Fail(why);
            }
            Err(Stop::Fail(why) | Stop::Late(why)) => {
                let shown = shorten(&variant.to_string());
                return Outcome::Fail(format!("variant {n} {shown} {why}"));
            }
        }
    }
    beside.sort();
    beside.dedup();
    skipped.dedup();
    if judged == 0 {
        return Outcome::NotApplicable(skipped.join("; "));
    }
    beside.extend(skipped);
    Outcome::Pass {
        variants: judged,
        beside,
    }
}

fn reusable(row: &Row) -> bool {
    row.steps().iter().all(|step| {
        CLEAN.iter().any(|verb| step.contains_key(*verb)) && !step.contains_key("pause_at")
    })
}

fn shorten(text: &str) -> String {
    if text.chars().count() <= 80 {
        return text.to_owned();
    }
    format!("{}…", text.chars().take(80).collect::<String>())
}

fn settings_for(row: &Row) -> Settings {
    let words = row.text();
    let mut settings = Settings {
        // With two IdPs the sign-in page is shown.
        op2: words.contains("op2") || ["clickjacking", "xss"].contains(&row.class.as_str()),
        ..Settings::default()
    };
    if words.contains("idle+") || words.contains("abs+") || words.contains("absolute expiry") {
        let (idle, lifetime) = (IDLE.as_secs(), LIFETIME.as_secs());
        settings.sessions = format!("{{ idle_for: {idle}s, lifetime: {lifetime}s }}");
    }
    if words.contains("access_ttl") {
        settings.oidc.insert(
            "refresh_every".to_owned(),
            format!("{}s", REFRESH.as_secs()),
        );
    }
    if words.contains("op.userinfo")
        || words.contains("after_token")
        || words.contains("userinfo gzip")
    {
        settings
            .oidc
            .insert("userinfo".to_owned(), "always".to_owned());
    }
    // A row that writes the callback's parameters itself and does not speak of `iss` means an IdP
    // that sends none.
    settings.response_iss = !words.contains("{{callback}}?") || words.contains("iss=");
    if has_far_clock(row) {
        settings.top = format!("keys: {{ seal: [\"{SEAL_KEY}\"] }}\n");
    }
    if break_glass::is_on(row) {
        settings.top.push_str(break_glass::SWITCHED_ON);
    }
    let saml = words.to_lowercase().contains("saml") || words.contains("{{acs}}");
    settings.saml = saml.then(SamlSettings::default);
    settings.scim =
        super::scim::is_needed(row) || words.contains("scim gzip") || words.contains("scim token");
    settings.tls = words.contains("\"tls_stall\"") || words.contains("\"tls_request\"");
    settings
}

/// True where a row moves the clock further than it can be waited for.
fn has_far_clock(row: &Row) -> bool {
    let clocks = row
        .steps()
        .into_iter()
        .filter_map(|step| step.get("clock")?.as_str().map(str::to_owned));
    clocks
        .into_iter()
        .any(|text| text.starts_with('+') && text.ends_with('s'))
}

/// Runs one variant, and again in a new world, with a new baseline, while nothing but a latency fails. What is no latency
/// must hold every time.
async fn judge_best(row: &Row, world: &mut World, variant: &Value, extent: Extent) -> Judged {
    world.reset();
    let mut judged = judge_variant(row, world, variant, extent).await;
    for _ in 1..MEASUREMENTS {
        let Err(Stop::Late(why)) = &judged else {
            break;
        };
        let shown = shorten(&variant.to_string());
        write_line(&format!("{} {shown} late, measured again: {why}", row.id));
        *world = World::new(settings_for(row)).await;
        world.reset();
        judged = judge_variant(row, world, variant, extent).await;
    }
    judged
}

/// Runs one variant and judges its assertions; what was not judged comes back.
async fn judge_variant(row: &Row, world: &mut World, variant: &Value, extent: Extent) -> Judged {
    let mut run = Run::new(world, Value::Null, row.text(), extent);
    // A variant may be made of variables itself.
    prepare(row, &mut run).await?;
    let variant = expand_json(variant, &run)?;
    if let Some(why) = differs_from_design(&variant) {
        return Err(Stop::NotApplicable(why.to_owned()));
    }
    run.variant = variant;
    run.begin().await?;
    let steps = row.steps();
    for (n, step) in steps.iter().enumerate() {
        run.step(step, steps.get(n + 1)).await?;
    }
    settle(&mut run).await;
    let mut not_judged = std::mem::take(&mut run.not_judged);
    if let Some(problem) = run.problems.first() {
        return Err(Stop::Fail(problem.clone()));
    }
    let mut late = None;
    for text in &row.expectation.asserts {
        let latency = is_latency(text);
        if latency && extent == Extent::Short {
            not_judged.push("latency".to_owned());
            continue;
        }
        match run.judge(text).await {
            Ok(Verdict::Fails(got)) if latency => late = Some(format!("assert {text} got {got}")),
            Ok(Verdict::Holds) => {}
            Ok(Verdict::Fails(got)) => {
                return Err(Stop::Fail(format!("assert {text} got {}", shorten(&got))));
            }
            Ok(Verdict::NotJudged(why)) => not_judged.push(why),
            Err(why) => return Err(Stop::Fail(format!("assert {text}: {why}"))),
        }
    }
    late.map_or(Ok(not_judged), |why| Err(Stop::Late(why)))
}

/// Signs in whom the row only mentions, so that this does not count as part of it.
async fn prepare(row: &Row, run: &mut Run<'_>) -> Result<(), Stop> {
    let words = row.text();
    let own = |name: &str| {
        row.steps().iter().any(|step| {
            ["login", "start_login", "login_with_host"]
                .iter()
                .any(|verb| step.get(*verb).and_then(Value::as_str) == Some(name))
        })
    };
    for name in ["alice", "bob", "mallory", "root", "bigalice", "nogroups"] {
        let mentioned = [
            format!("\"cookies\":\"{name}\""),
            format!("\"of\":\"{name}\""),
            format!("cookie.{name}"),
            format!("{name}.sid"),
            format!("session({name})"),
            format!("{name}'s logged-in"),
        ];
        if mentioned
            .iter()
            .any(|mention| words.contains(mention.as_str()))
            && !own(name)
        {
            run.actor(name).await?;
        }
    }
    if words.contains("rss_delta") && row.steps().iter().all(|step| !step.contains_key("jit")) {
        // What any sign-in costs once is no part of the row's own cost.
        run.actor("bob").await?;
    }
    if words.contains("{{admin}}") {
        run.prepare_admin().await?;
    }
    run.prepare_scim(row).await?;
    if words.contains("{{state}}") && !words.contains("start_login") {
        run.begin_anonymous_sign_in().await?;
    }
    // usher itself starts now, unless the row says how.
    let early = ["usher.config", "config", "op.metadata", "op.jwks"];
    let later = row
        .steps()
        .iter()
        .any(|step| early.iter().any(|verb| step.contains_key(*verb)));
    if !later {
        run.world.usher().await?;
    }
    Ok(())
}

/// Gives forwarded tails and late requests a moment, then takes what the app saw.
async fn settle(run: &mut Run<'_>) {
    let late = ["smuggled", "upstream.hits", "invariant"];
    if late.iter().any(|word| run.words.contains(word)) {
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    run.hits = run.world.app.seen();
    let _ = run.variant();
}

/// Variants that the design decides the other way.
fn differs_from_design(variant: &Value) -> Option<&'static str> {
    match variant.as_str() {
        Some("email_verified absent") => Some("an absent email_verified is the IdP's word"),
        Some("/upstream-badchunk") => {
            Some("the head of an app's answer has gone before its body is seen")
        }
        Some("email_verified=null") => Some("a null email_verified is an absent one"),
        _ => None,
    }
}
