//! Why the gate decides as it does, in its own words: what each reading of a path meets, and the rule that decided.

use http::Method;

use super::gate::{self, Decision, Demand};
use super::standing::Standing;
use super::target::Target;
use crate::config::{AccessRule, App};

/// One reading of a path, and the first rule that matches it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading<'a> {
    /// The path as an app may read it.
    pub path: &'a str,
    /// Whether it was compared without case, as some apps do.
    pub folded: bool,
    /// The rule's place in `access`, from 0; none matches: nobody may.
    pub rule: Option<usize>,
}

/// A decision with what led to it.
#[derive(Debug)]
pub struct Explanation<'a> {
    /// Every reading, in the order in which the gate looks at them.
    pub readings: Vec<Reading<'a>>,
    /// The rule whose demand was the strictest, with its place in `access`: it decided. None: some reading meets no rule.
    pub rule: Option<(usize, &'a AccessRule)>,
    /// What [`gate::decide`] says.
    pub decision: Decision<'a>,
}

/// Explains the decision on one request. `who` is none when nobody is signed in.
pub fn explain<'a>(
    app: &'a App,
    target: &'a Target,
    method: &'a Method,
    who: Option<&'a Standing>,
) -> Explanation<'a> {
    let mut readings = Vec::new();
    let mut strictest: Option<(Demand, Option<(usize, &AccessRule)>)> = None;
    for matched in gate::matches(app, target, method) {
        readings.push(Reading {
            path: matched.reading,
            folded: matched.folded,
            rule: matched.rule.map(|(place, _)| place),
        });
        let demand = matched.demand(who);
        if strictest.is_none_or(|(known, _)| known < demand) {
            strictest = Some((demand, matched.rule));
        }
    }
    Explanation {
        readings,
        rule: strictest.and_then(|(_, rule)| rule),
        decision: gate::decide(app, target, method, who),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::access::fixtures::{app, rule};
    use crate::access::gate::Visitor;
    use crate::config::Allow;
    use crate::identity::Role;

    fn wiki() -> App {
        let mut app = app();
        let admin = || Allow::Roles(vec![Role::new("admin")]);
        app.access = vec![
            rule(&["/public/**"], &["GET"], Allow::Anyone),
            rule(&["/admin/**"], &[], admin()),
            rule(&["/off/**"], &[], Allow::Nobody),
            rule(&["/app/**"], &[], Allow::SignedIn),
        ];
        app
    }

    fn open(roles: &[&str]) -> Standing {
        Standing::Open {
            roles: roles.iter().map(|role| Role::new(*role)).collect(),
            account: None,
        }
    }

    fn decided(path: &str, method: &str, who: Option<&Standing>) -> (Option<usize>, String) {
        let (app, target) = (wiki(), Target::parse(path).unwrap());
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let explained = explain(&app, &target, &method, who);
        let word = match explained.decision {
            Decision::Admitted(admitted) => match admitted.visitor() {
                Visitor::Anonymous => "public".to_owned(),
                Visitor::Known { .. } => "known".to_owned(),
            },
            Decision::NeedsSignIn => "sign in".to_owned(),
            Decision::NeedsAccount => "account".to_owned(),
            Decision::Refused(refusal) => refusal.reason.code().to_owned(),
        };
        (explained.rule.map(|(place, _)| place), word)
    }

    #[test]
    fn names_the_rule_that_decided() {
        let (viewer, admin) = (open(&["viewer"]), open(&["admin"]));
        let says = |rule, word: &str| (rule, word.to_owned());
        assert_eq!(decided("/public/x", "GET", None), says(Some(0), "public"));
        assert_eq!(decided("/public/x", "POST", None), says(None, "forbidden"));
        assert_eq!(decided("/admin/x", "GET", None), says(Some(1), "sign in"));
        assert_eq!(
            decided("/admin/x", "GET", Some(&viewer)),
            says(Some(1), "forbidden")
        );
        assert_eq!(
            decided("/admin/x", "GET", Some(&admin)),
            says(Some(1), "known")
        );
        assert_eq!(
            decided("/off", "GET", Some(&admin)),
            says(Some(2), "forbidden")
        );
        assert_eq!(
            decided("/app/x", "GET", Some(&Standing::NeedsAccount)),
            says(Some(3), "account")
        );
        assert_eq!(
            decided("/else", "GET", Some(&admin)),
            says(None, "forbidden")
        );
    }

    #[test]
    fn the_strictest_reading_is_the_one_that_is_named() {
        let viewer = open(&["viewer"]);
        let path = "/app/..%2fadmin/x";
        assert_eq!(
            decided(path, "GET", Some(&viewer)),
            (Some(1), "forbidden".to_owned())
        );
        let (app, target) = (wiki(), Target::parse(path).unwrap());
        let explained = explain(&app, &target, &Method::GET, Some(&viewer));
        let paths: Vec<_> = explained.readings.iter().map(|one| one.path).collect();
        assert!(
            paths.contains(&"/admin/x") && paths.contains(&path),
            "{paths:?}"
        );
    }
}
