//! One assertion of a row: `name(arguments).suffix operator value`.

use regex_automata::meta::Regex;

/// How the two sides compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operator {
    Is,
    IsNot,
    Matches,
    MatchesNot,
    AtMost,
    AtLeast,
    /// No operator: the name alone must hold.
    Holds,
}

/// A parsed assertion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Predicate {
    /// The name without arguments, such as `upstream.header` or `upstream.header.count`.
    pub(super) name: String,
    /// What stands in the first parentheses.
    pub(super) argument: Option<String>,
    pub(super) operator: Operator,
    pub(super) value: String,
}

impl Predicate {
    /// Reads one; anything has a reading, an unknown name is found by who judges it.
    pub(super) fn parse(text: &str) -> Self {
        let (left, operator, value) = split(text);
        let mut name = left.to_owned();
        let mut argument = None;
        if let (Some(open), Some(close)) = (left.find('('), left.rfind(')'))
            && open < close
        {
            argument = Some(left[open + 1..close].to_owned());
            name = format!("{}{}", &left[..open], &left[close + 1..]);
        }
        Self {
            name,
            argument,
            operator,
            value: value.to_owned(),
        }
    }
}

fn split(text: &str) -> (&str, Operator, &str) {
    let operators = [
        ("!~", Operator::MatchesNot),
        ("!=", Operator::IsNot),
        ("<=", Operator::AtMost),
        (">=", Operator::AtLeast),
        ("=", Operator::Is),
        ("~", Operator::Matches),
    ];
    let mut depth = 0_i32;
    for (at, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        if depth > 0 {
            continue;
        }
        for (sign, operator) in operators {
            if let Some(value) = text[at..].strip_prefix(sign) {
                return (text[..at].trim(), operator, value.trim());
            }
        }
    }
    (text.trim(), Operator::Holds, "")
}

/// True where `pattern` matches somewhere in `text`; an error where it is no pattern.
pub(super) fn matches(pattern: &str, text: &str) -> Result<bool, String> {
    let regex = Regex::new(pattern).map_err(|e| format!("bad pattern {pattern:?}: {e}"))?;
    Ok(regex.is_match(text))
}

/// True where the status fits: alternatives by `|`, `5xx` and `30x` as wildcards, `none` for no
/// answer (status 0).
pub(super) fn status_fits(wanted: &str, status: u16) -> bool {
    let shown = if status == 0 {
        "none".to_owned()
    } else {
        status.to_string()
    };
    wanted.split('|').map(str::trim).any(|one| {
        one == shown
            || (one.len() == shown.len()
                && one != "none"
                && shown != "none"
                && one
                    .chars()
                    .zip(shown.chars())
                    .all(|(a, b)| a == b || a == 'x'))
    })
}

/// Compares two texts by the operator; `AtMost` and `AtLeast` want numbers on both sides.
pub(super) fn compare(got: &str, operator: Operator, wanted: &str) -> Result<bool, String> {
    let number = |text: &str| {
        let first = text.split('/').next().unwrap_or_default().trim();
        first
            .parse::<f64>()
            .map_err(|_| format!("{text:?} is no number"))
    };
    match operator {
        Operator::Is => Ok(got == wanted),
        Operator::IsNot => Ok(got != wanted),
        Operator::Matches => matches(wanted, got),
        Operator::MatchesNot => Ok(!matches(wanted, got)?),
        Operator::AtMost => Ok(number(got)? <= number(wanted)?),
        Operator::AtLeast => Ok(number(got)? >= number(wanted)?),
        Operator::Holds => Ok(matches!(got, "true" | "yes")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> (String, Option<String>, Operator, String) {
        let p = Predicate::parse(text);
        (p.name, p.argument, p.operator, p.value)
    }

    #[test]
    fn reads_names_arguments_operators_and_values() {
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(
            parsed("upstream.header(X-A).count=1"),
            (
                "upstream.header.count".into(),
                some("X-A"),
                Operator::Is,
                "1".into()
            )
        );
        assert_eq!(
            parsed("location!~(id_token|a=b)"),
            (
                "location".into(),
                None,
                Operator::MatchesNot,
                "(id_token|a=b)".into()
            )
        );
        assert_eq!(
            parsed("alive"),
            ("alive".into(), None, Operator::Holds, String::new())
        );
        assert_eq!(
            parsed("no_session(second)"),
            (
                "no_session".into(),
                some("second"),
                Operator::Holds,
                String::new()
            )
        );
        assert_eq!(
            parsed("within_ms<=deadline+500"),
            (
                "within_ms".into(),
                None,
                Operator::AtMost,
                "deadline+500".into()
            )
        );
        assert_eq!(
            parsed("resp.body(a)!=resp.body(b)"),
            (
                "resp.body".into(),
                some("a"),
                Operator::IsNot,
                "resp.body(b)".into()
            )
        );
        assert_eq!(
            parsed("principal(sub=alice)=unchanged"),
            (
                "principal".into(),
                some("sub=alice"),
                Operator::Is,
                "unchanged".into()
            )
        );
    }

    #[test]
    fn statuses_have_alternatives_and_wildcards() {
        assert!(status_fits("302|401", 401));
        assert!(status_fits("30x", 303));
        assert!(status_fits("none|400", 0));
        assert!(!status_fits("5xx", 0));
        assert!(!status_fits("5xx", 404));
    }

    #[test]
    fn compares_numbers_and_patterns() {
        assert!(compare("12", Operator::AtMost, "16").unwrap());
        assert!(!compare("0", Operator::AtLeast, "1").unwrap());
        assert!(compare("no-store", Operator::Matches, "no-sto").unwrap());
        assert!(!compare("x evil", Operator::MatchesNot, "evil").unwrap());
        assert!(compare("x", Operator::AtMost, "16").is_err());
        assert!(compare("x", Operator::Matches, "(").is_err());
    }
}
