//! What each message of the corpus costs: processor time and memory. Measured in a process of its own for each, and only where
//! it is asked for (`just saml-limits`), since only a release build says anything.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use super::run::{judged, our_keys};
use super::{Case, Setting, good, hostile};

/// What one message may take.
const TIME: Duration = Duration::from_millis(50);
/// What one message may need besides its own bytes.
const MEMORY: u64 = 8 << 20;
/// How often each is verified; the least time counts, since other programs run too.
const ROUNDS: usize = 3;
/// Names the case for the process that measures it.
const CASE: &str = "USHER_SAML_CASE";
/// The folder that the messages are in.
const FOLDER: &str = "USHER_SAML_FOLDER";

/// A figure of `/proc/self/status`, in bytes.
fn memory(key: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(key)).unwrap();
    let kibibytes = line.split_whitespace().nth(1).unwrap();
    kibibytes.parse::<u64>().unwrap() * 1024
}

fn all() -> Vec<Case> {
    hostile().into_iter().chain(good()).collect()
}

#[test]
#[ignore = "a part of `just saml-limits`"]
fn measures_one_message() {
    let Ok(name) = std::env::var(CASE) else {
        return;
    };
    let folder = std::env::var(FOLDER).unwrap();
    let read = |name: &str| std::fs::read(Path::new(&folder).join(name)).unwrap();
    let (setting, keys) = (Setting::offline(), our_keys());
    let cases = all();
    let find = |name: &str| *cases.iter().find(|case| case.name == name).unwrap();
    // What the first verification ever touches is no cost of this one.
    let (first, warm) = (find("both_signed"), read("both_signed"));
    judged(&first, &setting, &keys, &warm).unwrap();
    let (case, xml) = (find(&name), read(&name));
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
    let before = memory("VmRSS");
    let mut least = Duration::MAX;
    for _ in 0..ROUNDS {
        let began = Instant::now();
        let verdict = judged(&case, &setting, &keys, &xml);
        least = least.min(began.elapsed());
        assert_eq!(verdict.err().map(|refused| refused.check), case.check);
    }
    let needed = memory("VmHWM").saturating_sub(before);
    println!("\ncost {} {needed}", least.as_micros());
}

fn cost(folder: &Path, case: &Case) -> (u64, u64) {
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "saml::corpus::limits::measures_one_message"])
        .args(["--ignored", "--nocapture"])
        .env(CASE, case.name)
        .env(FOLDER, folder)
        .output()
        .unwrap();
    let output = String::from_utf8_lossy(&child.stdout).into_owned();
    let line = output.lines().find_map(|line| line.strip_prefix("cost "));
    let (micros, bytes) = line
        .and_then(|line| line.split_once(' '))
        .unwrap_or_else(|| panic!("{}: {output}", case.name));
    (micros.parse().unwrap(), bytes.parse().unwrap())
}

#[test]
#[ignore = "`just saml-limits`"]
fn no_message_takes_more_than_50_ms_or_8_mib() {
    let folder = tempfile::tempdir().unwrap();
    let setting = Setting::offline();
    for case in all() {
        std::fs::write(folder.path().join(case.name), (case.make)(&setting)).unwrap();
    }
    let mut costs: Vec<_> = all()
        .into_iter()
        .map(|case| (case.name, cost(folder.path(), &case)))
        .collect();
    costs.sort_by_key(|(_, (micros, _))| std::cmp::Reverse(*micros));
    println!("\n{} messages; the slowest:", costs.len());
    for (name, (micros, bytes)) in costs.iter().take(10) {
        println!("  {name:40} {micros:8} µs {:8} KiB", bytes / 1024);
    }
    let mut by_memory = costs.clone();
    by_memory.sort_by_key(|(_, (_, bytes))| std::cmp::Reverse(*bytes));
    println!("those that need most memory:");
    for (name, (micros, bytes)) in by_memory.iter().take(10) {
        println!("  {name:40} {micros:8} µs {:8} KiB", bytes / 1024);
    }
    let over = |(micros, bytes): (u64, u64)| Duration::from_micros(micros) > TIME || bytes > MEMORY;
    let over: Vec<_> = costs.iter().filter(|(_, cost)| over(*cost)).collect();
    assert!(over.is_empty(), "over the limits: {over:?}");
}
