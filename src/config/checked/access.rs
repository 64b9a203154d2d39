//! `access` rules and their path patterns.

use http::Method;

use super::provisioning;
use crate::config::raw::{
    At, List, RawAllow, RawAllowWord, RawApp, RawRule, Report, Text, suggestion,
};
use crate::config::{AccessRule, Allow, PathPatterns};
use crate::identity::Role;

/// The rules of an app; without the key one that allows whoever is signed in.
pub(super) fn rules(path: &str, app: &RawApp, report: &mut Report) -> Option<Vec<AccessRule>> {
    let Some(raw) = &app.access else {
        return Some(vec![AccessRule {
            paths: None,
            methods: None,
            allow: Allow::SignedIn,
        }]);
    };
    if raw.value.0.is_empty() {
        report.add(
            raw.place,
            format!("`{path}.access` is empty, which refuses every request"),
            "add a rule, or remove the key: then whoever is signed in may",
        );
    }
    for (index, rule) in raw.value.0.iter().enumerate() {
        unreachable_rule(
            &format!("{path}.access[{index}]"),
            rule,
            &raw.value.0[..index],
            report,
        );
    }
    let rules: Vec<_> = raw
        .value
        .0
        .iter()
        .enumerate()
        .map(|(n, rule)| one(&format!("{path}.access[{n}]"), rule, app, report))
        .collect();
    rules.into_iter().collect()
}

fn one(path: &str, raw: &RawRule, app: &RawApp, report: &mut Report) -> Option<AccessRule> {
    let paths = match &raw.paths {
        None => Some(None),
        Some(list) => patterns(&format!("{path}.paths"), list, report).map(Some),
    };
    let methods = match &raw.methods {
        None => Some(None),
        Some(list) => methods(&format!("{path}.methods"), list, report).map(Some),
    };
    let allow = match &raw.allow.as_ref()?.value {
        RawAllow::Word(RawAllowWord::Anyone) => Allow::Anyone,
        RawAllow::Word(RawAllowWord::SignedIn) => Allow::SignedIn,
        RawAllow::Word(RawAllowWord::Nobody) => Allow::Nobody,
        RawAllow::Roles(roles) => {
            Allow::Roles(self::roles(path, roles.roles.as_ref()?, app, report))
        }
    };
    Some(AccessRule {
        paths: paths?,
        methods: methods?,
        allow,
    })
}

fn roles(path: &str, list: &At<List<Text>>, app: &RawApp, report: &mut Report) -> Vec<Role> {
    if list.value.0.is_empty() {
        report.add(
            list.place,
            format!("`{path}.allow.roles` is empty"),
            "name a role, or write `allow: nobody`",
        );
    }
    let known = provisioning::role_names(app.provisioning.as_ref());
    for role in &list.value.0 {
        if !known.contains(&role.0.as_str()) {
            report.add(
                role.place,
                format!(
                    "`{path}.allow`: the role `{}` is not in `provisioning.roles`, so nobody has it",
                    role.0
                ),
                if known.is_empty() {
                    "add `provisioning: { roles: [...] }` to the app".to_owned()
                } else {
                    suggestion(&role.0, &known)
                },
            );
        }
    }
    list.value
        .0
        .iter()
        .map(|role| Role::new(role.0.as_str()))
        .collect()
}

fn methods(path: &str, list: &At<List<Text>>, report: &mut Report) -> Option<Vec<Method>> {
    if list.value.0.is_empty() {
        report.add(
            list.place,
            format!("`{path}` is empty, so the rule never matches"),
            "name a method such as GET, or remove the key",
        );
    }
    let methods: Vec<_> = list
        .value
        .0
        .iter()
        .map(|text| {
            let upper = text.0.bytes().all(|b| b.is_ascii_uppercase() || b == b'-');
            let method = Method::from_bytes(text.0.as_bytes()).ok().filter(|_| upper);
            if method.is_none() {
                report.add(
                    text.place,
                    format!("`{path}`: `{}` is not a method", text.0),
                    format!(
                        "methods are written in capitals: `{}`",
                        text.0.to_uppercase()
                    ),
                );
            }
            method
        })
        .collect();
    methods.into_iter().collect()
}

/// Compiles patterns; what would match something else than it seems to is refused.
fn patterns(path: &str, list: &At<List<Text>>, report: &mut Report) -> Option<PathPatterns> {
    if list.value.0.is_empty() {
        report.add(
            list.place,
            format!("`{path}` is empty, so the rule never matches"),
            "write a pattern such as `/public/**`, or remove the key",
        );
    }
    let checked: Vec<_> = list
        .value
        .0
        .iter()
        .map(|text| match check(&text.0) {
            Ok(()) => Some(text.0.clone()),
            Err(what) => {
                report.add(
                    text.place,
                    format!("`{path}`: `{}` {what}", text.0),
                    "write patterns such as `/healthz`, `/static/*.css`, `/admin/**`",
                );
                None
            }
        })
        .collect();
    PathPatterns::new(checked.into_iter().collect::<Option<_>>()?).ok()
}

fn check(pattern: &str) -> Result<(), String> {
    if !pattern.starts_with('/') {
        return Err("does not begin with `/`".to_owned());
    }
    if pattern.contains('%') {
        return Err("holds `%`: patterns are written in decoded characters".to_owned());
    }
    // `;` and `#` end a path for some apps, so such a rule could never be sure of its path.
    if let Some(odd) = pattern
        .chars()
        .find(|c| c.is_control() || "#\\;".contains(*c))
    {
        return Err(format!("holds {odd:?}, which no plain path has"));
    }
    // `[!x]` would match a slash too, and so more than it seems to.
    if pattern.contains(['[', ']']) {
        return Err("holds `[`: character classes are not allowed".to_owned());
    }
    let mut segments = pattern.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        if segment != "**" && segment.contains("**") {
            return Err("has `**` beside other text: it must be a segment of its own".to_owned());
        }
        if matches!(segment, "." | "..") || (segment.is_empty() && !last) {
            return Err("has an empty or dot segment, which no path has".to_owned());
        }
    }
    PathPatterns::new(vec![pattern.to_owned()])
        .map(|_| ())
        .map_err(|error| format!("is not a pattern: {}", error.kind()))
}

/// A rule whose every request an earlier rule decides already.
fn unreachable_rule(path: &str, rule: &At<RawRule>, before: &[At<RawRule>], report: &mut Report) {
    let first = before
        .iter()
        .find(|earlier| methods_cover(earlier, rule) && paths_cover(earlier, rule));
    if let Some(first) = first {
        report.add(
            rule.place,
            format!(
                "`{path}` never decides: the rule in line {} matches all that it matches",
                first.place.line
            ),
            "move it before that rule, or remove it",
        );
    }
}

fn methods_cover(earlier: &RawRule, rule: &RawRule) -> bool {
    let Some(earlier) = &earlier.methods else {
        return true;
    };
    let has = |method: &Text| earlier.value.0.iter().any(|known| known.value == *method);
    rule.methods.as_ref().is_some_and(|methods| {
        !methods.value.0.is_empty() && methods.value.0.iter().all(|method| has(&method.value))
    })
}

fn paths_cover(earlier: &RawRule, rule: &RawRule) -> bool {
    let Some(earlier) = &earlier.paths else {
        return true;
    };
    let covered = |pattern: &str| {
        earlier
            .value
            .0
            .iter()
            .any(|known| pattern_covers(&known.0, pattern))
    };
    if covered("/**") {
        return true;
    }
    rule.paths.as_ref().is_some_and(|paths| {
        !paths.value.0.is_empty() && paths.value.0.iter().all(|path| covered(&path.0))
    })
}

/// Whether `outer` surely matches all that `inner` matches; false where it is not plain to see.
fn pattern_covers(outer: &str, inner: &str) -> bool {
    if outer == inner {
        return true;
    }
    outer.strip_suffix("/**").is_some_and(|parent| {
        !parent.contains(['*', '?', '{'])
            && inner
                .strip_prefix(parent)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn matches(pattern: &str, path: &str) -> bool {
        check(pattern).unwrap();
        let patterns = PathPatterns::new(vec![pattern.to_owned()]).unwrap();
        patterns.set.is_match(path)
    }

    #[test]
    fn two_stars_are_the_directory_and_all_below() {
        for path in ["/admin", "/admin/", "/admin/x", "/admin/x/y", "/admin//x"] {
            assert!(matches("/admin/**", path), "{path}");
        }
        for path in [
            "/administrator",
            "/Admin",
            "/x/admin",
            "/",
            "/admi",
            "/admin.html",
        ] {
            assert!(!matches("/admin/**", path), "{path}");
        }
        for path in ["/", "/a", "/a/b", "/a/"] {
            assert!(matches("/**", path), "{path}");
        }
    }

    #[test]
    fn one_star_stays_within_its_segment() {
        assert!(matches("/static/*.css", "/static/a.css"));
        assert!(!matches("/static/*.css", "/static/a/b.css"));
        assert!(matches("/u/*/edit", "/u/7/edit"));
        assert!(!matches("/u/*/edit", "/u/7/8/edit"));
        assert!(!matches("/healthz", "/healthz/"));
        assert!(matches("/a/**/z", "/a/z"));
        assert!(matches("/a/**/z", "/a/b/c/z"));
        assert!(!matches("/a/**/z", "/a/b/cz"));
        assert!(matches("/**/z", "/z"));
        assert!(matches("/**/z", "/b/z"));
        assert!(!matches("/**/z", "/b/xz"));
        assert!(!matches("/a?b", "/a/b"));
    }

    #[test]
    fn refuses_patterns_that_no_path_matches() {
        for pattern in [
            "admin/**", "*", "**", "/admin**", "/a/../b", "//a", "/a//b", "/%61", "/a;b", "/a[",
            "/a[!b]c", "/{a", "/a\tb", "/a\\b", "",
        ] {
            assert!(check(pattern).is_err(), "{pattern}");
        }
    }

    #[test]
    fn sees_which_patterns_cover_others() {
        assert!(pattern_covers("/**", "/x"));
        assert!(pattern_covers("/admin/**", "/admin/x/*"));
        assert!(pattern_covers("/admin/**", "/admin"));
        assert!(!pattern_covers("/admin/**", "/administrator"));
        assert!(!pattern_covers("/*/**", "/x/y"));
    }
}
