//! The decision. Only [`decide`] can build an [`Admitted`].

use std::borrow::Cow;

use http::Method;

use super::standing::Standing;
use super::target::Target;
use crate::config::{AccessRule, Allow, App};
use crate::identity::Role;
use crate::refusal::{Reason, Refusal};

/// Proof that a request may go to the app: anonymous, or with a standing.
#[derive(Debug)]
pub struct Admitted<'a> {
    visitor: Visitor<'a>,
}

/// As whom a request goes to the app.
#[derive(Clone, Copy, Debug)]
pub enum Visitor<'a> {
    /// Nobody signed in (a public path).
    Anonymous,
    /// Signed in, with these roles and this account.
    Known {
        /// Roles in config order.
        roles: &'a [Role],
        /// The app's own id of the account.
        account: Option<&'a str>,
    },
}

impl<'a> Admitted<'a> {
    /// As whom.
    pub fn visitor(&self) -> Visitor<'a> {
        self.visitor
    }
}

/// What becomes of a request.
#[derive(Debug)]
pub enum Decision<'a> {
    /// It goes to the app.
    Admitted(Admitted<'a>),
    /// Nobody is signed in, and somebody must be.
    NeedsSignIn,
    /// The app must be asked for the account first.
    NeedsAccount,
    /// No.
    Refused(Refusal),
}

/// Decides by the first matching rule for every reading of the target, each once as it is and once without case (an app may ignore it); all
/// readings must allow, and the strictest answer counts. A list without a match admits nobody, and so nobody is asked to sign in for it.
/// `who` is none when nobody is signed in. On a path for anyone, a signed-in person without standing goes in as anonymous.
pub fn decide<'a>(
    app: &App,
    target: &Target,
    method: &Method,
    who: Option<&'a Standing>,
) -> Decision<'a> {
    decide_from(Demand::Nothing, app, target, method, who)
}

/// As [`decide`], but only for people who may use the app, on paths for anyone too.
pub fn decide_for_people<'a>(
    app: &App,
    target: &Target,
    method: &Method,
    who: Option<&'a Standing>,
) -> Decision<'a> {
    decide_from(Demand::Somebody, app, target, method, who)
}

fn decide_from<'a>(
    least: Demand,
    app: &App,
    target: &Target,
    method: &Method,
    who: Option<&'a Standing>,
) -> Decision<'a> {
    let mut strictest = least;
    for matched in matches(app, target, method) {
        match matched.demand(who) {
            Demand::NoRule => return forbidden("no access rule matches"),
            Demand::Closed => return forbidden("a rule allows nobody here"),
            demand @ (Demand::Nothing | Demand::Somebody | Demand::Role | Demand::MissingRole) => {
                strictest = strictest.max(demand);
            }
        }
    }
    match who {
        Some(Standing::Open { .. }) if strictest == Demand::MissingRole => {
            forbidden("none of the roles that a rule asks for")
        }
        Some(Standing::Open { roles, account }) => admit(Visitor::Known {
            roles,
            account: account.as_deref(),
        }),
        Some(Standing::NeedsAccount | Standing::Refused(_)) | None
            if strictest == Demand::Nothing =>
        {
            admit(Visitor::Anonymous)
        }
        Some(Standing::NeedsAccount) => Decision::NeedsAccount,
        Some(Standing::Refused(refusal)) => Decision::Refused(refusal.clone()),
        None => Decision::NeedsSignIn,
    }
}

/// What a reading asks of the visitor; the strictest last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Demand {
    /// Nothing: anyone may.
    Nothing,
    /// Somebody must be signed in.
    Somebody,
    /// A role that the visitor has.
    Role,
    /// A role that the visitor does not have.
    MissingRole,
    /// A rule allows nobody.
    Closed,
    /// No rule matches.
    NoRule,
}

/// One reading of a target, with the first rule that matches it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Matched<'a> {
    /// The reading.
    pub(super) reading: &'a str,
    /// Whether it was compared without case.
    pub(super) folded: bool,
    /// The rule with its place in `access`.
    pub(super) rule: Option<(usize, &'a AccessRule)>,
}

impl Matched<'_> {
    /// What it asks of a visitor.
    pub(super) fn demand(&self, who: Option<&Standing>) -> Demand {
        match self.rule.map(|(_, rule)| &rule.allow) {
            Some(Allow::Anyone) => Demand::Nothing,
            Some(Allow::SignedIn) => Demand::Somebody,
            Some(Allow::Roles(wanted)) if has_one_of(who, wanted) => Demand::Role,
            Some(Allow::Roles(_)) => Demand::MissingRole,
            Some(Allow::Nobody) => Demand::Closed,
            None => Demand::NoRule,
        }
    }
}

/// What every reading of a target meets, in the order in which [`decide`] looks at them.
pub(super) fn matches<'a>(
    app: &'a App,
    target: &'a Target,
    method: &'a Method,
) -> impl Iterator<Item = Matched<'a>> {
    target.readings().iter().flat_map(move |reading| {
        [Case::Kept, Case::Ignored]
            .into_iter()
            .filter(move |case| *case == Case::Kept || case_matters(app, reading))
            .map(move |case| Matched {
                reading,
                folded: case == Case::Ignored,
                rule: first_match(app, reading, method, case),
            })
    })
}

fn admit(visitor: Visitor<'_>) -> Decision<'_> {
    Decision::Admitted(Admitted { visitor })
}

fn forbidden<'a>(cause: &str) -> Decision<'a> {
    Decision::Refused(Refusal::new(Reason::Forbidden, cause))
}

fn has_one_of(who: Option<&Standing>, wanted: &[Role]) -> bool {
    match who {
        Some(Standing::Open { roles, .. }) => wanted.iter().any(|role| roles.contains(role)),
        Some(Standing::NeedsAccount | Standing::Refused(_)) | None => false,
    }
}

/// How an app may compare paths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Case {
    Kept,
    Ignored,
}

/// Whether folding case can change anything: there are capitals in the path or in a pattern.
fn case_matters(app: &App, reading: &str) -> bool {
    has_capitals(reading)
        || app.access.iter().any(|rule| {
            let paths = rule.paths.as_ref();
            paths.is_some_and(|patterns| patterns.lower.is_some())
        })
}

fn first_match<'a>(
    app: &'a App,
    reading: &str,
    method: &Method,
    case: Case,
) -> Option<(usize, &'a AccessRule)> {
    let path = match case {
        Case::Kept => Cow::Borrowed(reading),
        Case::Ignored => Cow::Owned(reading.to_lowercase()),
    };
    app.access
        .iter()
        .enumerate()
        .find(|(_, rule)| has_method(rule, method) && has_path(rule, &path, case))
}

fn has_capitals(path: &str) -> bool {
    path.bytes()
        .any(|byte| byte.is_ascii_uppercase() || !byte.is_ascii())
}

fn has_path(rule: &AccessRule, path: &str, case: Case) -> bool {
    let Some(patterns) = &rule.paths else {
        return true;
    };
    match (case, &patterns.lower) {
        (Case::Ignored, Some(lower)) => lower.is_match(path),
        (Case::Ignored, None) | (Case::Kept, _) => patterns.set.is_match(path),
    }
}

/// Methods are case-sensitive (RFC 9110 9.1). A rule for GET is one for HEAD too, which asks for the same without the body.
fn has_method(rule: &AccessRule, method: &Method) -> bool {
    let Some(methods) = &rule.methods else {
        return true;
    };
    methods.contains(method) || (method == Method::HEAD && methods.contains(&Method::GET))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::collections::{HashMap, HashSet};

    use proptest::prelude::*;

    use super::*;
    use crate::access::fixtures::{app, rule};

    fn roles(names: &[&str]) -> Vec<Role> {
        names.iter().map(|name| Role::new(*name)).collect()
    }

    fn open(names: &[&str]) -> Standing {
        Standing::Open {
            roles: roles(names),
            account: Some("42".into()),
        }
    }

    fn word(app: &App, path: &str, method: &str, who: Option<&Standing>) -> String {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        match decide(app, &Target::parse(path).unwrap(), &method, who) {
            Decision::Admitted(admitted) => match admitted.visitor() {
                Visitor::Anonymous => "anonymous".into(),
                Visitor::Known { roles, account } => format!("known {} {account:?}", roles.len()),
            },
            Decision::NeedsSignIn => "sign in".into(),
            Decision::NeedsAccount => "account".into(),
            Decision::Refused(refusal) => refusal.reason.code().into(),
        }
    }

    fn wiki() -> App {
        let mut app = app();
        app.access = vec![
            rule(&["/public/getonly"], &["GET"], Allow::Anyone),
            rule(&["/public/getonly"], &[], Allow::SignedIn),
            rule(
                &["/public/**", "/healthz", "/Content/**"],
                &["GET", "POST"],
                Allow::Anyone,
            ),
            rule(
                &["/admin/**"],
                &[],
                Allow::Roles(roles(&["admin", "owner"])),
            ),
            rule(&["/off/**"], &[], Allow::Nobody),
            rule(
                &["/app/**", "/secret/**", "/administrator"],
                &[],
                Allow::SignedIn,
            ),
        ];
        app
    }

    #[test]
    fn the_first_matching_rule_decides() {
        let app = wiki();
        let (viewer, admin) = (open(&["viewer"]), open(&["viewer", "admin"]));
        assert_eq!(word(&app, "/public/x", "GET", None), "anonymous");
        assert_eq!(
            word(&app, "/public/x", "GET", Some(&viewer)),
            "known 1 Some(\"42\")"
        );
        assert_eq!(word(&app, "/healthz", "GET", None), "anonymous");
        assert_eq!(word(&app, "/healthz/x", "GET", None), "forbidden");
        assert_eq!(word(&app, "/app", "GET", None), "sign in");
        assert_eq!(
            word(&app, "/app/x", "DELETE", Some(&viewer)),
            "known 1 Some(\"42\")"
        );
        for path in ["/admin", "/admin/", "/admin/x/y"] {
            assert_eq!(word(&app, path, "GET", None), "sign in");
            assert_eq!(word(&app, path, "GET", Some(&viewer)), "forbidden");
            assert_eq!(
                word(&app, path, "GET", Some(&admin)),
                "known 2 Some(\"42\")"
            );
        }
        assert_eq!(
            word(&app, "/administrator", "GET", Some(&viewer)),
            "known 1 Some(\"42\")"
        );
        assert_eq!(word(&app, "/off/x", "GET", Some(&admin)), "forbidden");
        assert_eq!(word(&app, "/off/x", "GET", None), "forbidden");
        assert_eq!(word(&app, "/else", "GET", Some(&admin)), "forbidden");
        assert_eq!(word(&app, "/else", "GET", None), "forbidden");
    }

    #[test]
    fn methods_are_compared_exactly_and_get_means_head_too() {
        let app = wiki();
        for method in ["GET", "HEAD"] {
            assert_eq!(word(&app, "/public/getonly", method, None), "anonymous");
        }
        for method in [
            "get", "Get", "GETX", "POST", "TRACE", "TRACK", "DEBUG", "OPTIONS", "PROPFIND",
        ] {
            assert_eq!(
                word(&app, "/public/getonly", method, None),
                "sign in",
                "{method}"
            );
        }
        assert_eq!(word(&app, "/public/x", "PUT", None), "forbidden");
    }

    #[test]
    fn without_standing_a_public_path_is_open_and_all_else_waits() {
        let app = wiki();
        let refused = Standing::Refused(Refusal::new(Reason::NoRole, "none"));
        for who in [&Standing::NeedsAccount, &refused] {
            assert_eq!(word(&app, "/public/x", "GET", Some(who)), "anonymous");
            assert_eq!(word(&app, "/off", "GET", Some(who)), "forbidden");
        }
        for path in ["/app", "/admin"] {
            assert_eq!(
                word(&app, path, "GET", Some(&Standing::NeedsAccount)),
                "account"
            );
            assert_eq!(word(&app, path, "GET", Some(&refused)), "no_role");
        }
    }

    #[test]
    fn every_reading_must_allow_and_the_strictest_counts() {
        let app = wiki();
        let viewer = open(&["viewer"]);
        for path in [
            "/public/../secret",
            "/public/..%2fsecret",
            "/public/..;/secret",
            "/public\\..\\secret",
            "/secret;/public/",
            "/public/%252e%252e/secret",
            "/public/%2e%2e/secret",
            "/%73ecret",
            "//secret",
            "/app/%2e%2e/public/x",
        ] {
            assert_ne!(word(&app, path, "GET", None), "anonymous", "{path}");
        }
        for path in [
            "/app/../admin/x",
            "/app/..%2fadmin",
            "/app/%2e%2e/%61dmin",
            "/app/..;/admin/",
            "/app//..//../admin",
        ] {
            assert_eq!(
                word(&app, path, "GET", Some(&viewer)),
                "forbidden",
                "{path}"
            );
        }
        assert_eq!(
            word(&app, "/public/caf%C3%A9%20a", "GET", None),
            "anonymous"
        );
        assert_eq!(
            word(&app, "/app/a%2Fb;c//d%25", "GET", Some(&viewer)),
            "known 1 Some(\"42\")"
        );
    }

    #[test]
    fn an_app_that_ignores_case_is_protected_and_rules_with_capitals_work() {
        let mut app = wiki();
        app.access.push(rule(&[], &[], Allow::SignedIn));
        let viewer = open(&["viewer"]);
        for path in [
            "/ADMIN",
            "/Admin/x",
            "/%41dmin",
            "/admın/../ADMIN".replace('ı', "i").as_str(),
        ] {
            assert_eq!(
                word(&app, path, "GET", Some(&viewer)),
                "forbidden",
                "{path}"
            );
        }
        assert_eq!(word(&app, "/PUBLIC/x", "GET", None), "sign in");
        assert_eq!(word(&app, "/Content/App.css", "GET", None), "anonymous");
        assert_eq!(word(&app, "/content/App.css", "GET", None), "sign in");
        assert_eq!(word(&app, "/public/Readme", "GET", None), "anonymous");
        app.access
            .insert(0, rule(&["/Content/Secret/**"], &[], Allow::Nobody));
        assert_eq!(word(&app, "/Content/secret/x", "GET", None), "forbidden");
    }

    /// Every string that the steps make of `path`, found by brute force, each step optional and in any order.
    fn closure(path: &str) -> HashSet<String> {
        let mut best: HashMap<Vec<u8>, u8> = HashMap::from([(path.as_bytes().to_vec(), 2)]);
        let mut todo = vec![(path.as_bytes().to_vec(), 2_u8)];
        while let Some((bytes, left)) = todo.pop() {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            let mut next = vec![
                (text.replace('\\', "/").into_bytes(), left),
                (text.to_lowercase().into_bytes(), left),
                (text.split('#').next().unwrap().as_bytes().to_vec(), left),
                (text.split('\0').next().unwrap().as_bytes().to_vec(), left),
            ];
            let cut: Vec<_> = text
                .split('/')
                .map(|s| s.split(';').next().unwrap())
                .collect();
            next.push((cut.join("/").into_bytes(), left));
            if let Some((before, after)) = text.split_once("//") {
                next.push((format!("{before}/{after}").into_bytes(), left));
            }
            let nfkc = ComposingNormalizerBorrowed::new_nfkc()
                .normalize(&text)
                .into_owned();
            next.push((nfkc.into_bytes(), left));
            // As a file system does it: without the first `..` and the segment before it.
            let segments: Vec<&str> = text.split('/').collect();
            if let Some(at) = segments
                .iter()
                .skip(1)
                .position(|s| matches!(*s, "." | ".."))
            {
                let at = at + 1;
                let from = if segments[at] == "." || at == 1 {
                    at
                } else {
                    at - 1
                };
                let mut kept = segments[..from].to_vec();
                kept.extend(&segments[at + 1..]);
                if at + 1 == segments.len() || kept.len() == 1 {
                    kept.push("");
                }
                next.push((kept.join("/").into_bytes(), left));
            }
            if left > 0 {
                next.push((percent_encoding::percent_decode(&bytes).collect(), left - 1));
            }
            for (bytes, left) in next {
                if best.get(&bytes).is_none_or(|known| *known < left) {
                    best.insert(bytes.clone(), left);
                    todo.push((bytes, left));
                }
            }
        }
        best.into_keys()
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .collect()
    }

    use icu_normalizer::ComposingNormalizerBorrowed;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        #[test]
        fn no_target_that_any_app_reads_as_another_path_is_public(
            parts in prop::collection::vec(prop::sample::select(vec![
                "/", "/", "//", ".", "..", "public", "Public", "secret", "admin", "x", ";", ";a=b", "\\", "%2f", "%2F", "%5c", "%2e",
                "%2E%2e", "%252e", "%252f", "%255c", "%23", "%2523", "%3b", "%253B", "%70ublic", "%20", "%C3%A9", "%EF%BC%8E",
                "%E2%80%A5", "%EF%BC%8F", "%EF%BC%9B", "%EF%BC%85", "2f", "%c0%ae", "%00", "%25", "%",
            ]), 0..9),
        ) {
            let app = wiki();
            let path = format!("/public/{}", parts.concat());
            if let Ok(target) = Target::parse(&path)
                && matches!(decide(&app, &target, &Method::POST, None), Decision::Admitted(_))
            {
                for read in closure(&path) {
                    // Slashes merged one pair at a time can leave `//public/`: the public path to whoever merges them
                    // all, and no path of the app to whoever does not.
                    let read = format!("/{}", read.trim_start_matches('/'));
                    let read = read.as_str();
                    prop_assert!(
                        read == "/public" || read.starts_with("/public/") || read == "/healthz"
                            || read.to_lowercase().starts_with("/content/"),
                        "{path} can be read as {read}"
                    );
                }
            }
        }
    }
}
