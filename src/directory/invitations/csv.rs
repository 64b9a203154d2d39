//! Many invitations at once: a table with one line for each person.

use std::collections::HashSet;

use crate::identity::{AppId, Role};

/// Lines at most.
const LINES: usize = 10_000;

/// One line of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CsvLine {
    /// Its number in the text, from 1.
    pub line: u64,
    /// Whom to invite; or why the line says nothing that could be done, in a sentence.
    pub invite: Result<Row, String>,
}

/// Whom a line invites.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The address as it stands there.
    pub email: String,
    /// Full name, where there is one.
    pub name: Option<String>,
    /// Apps with the roles in them; no roles: the app's default.
    pub grants: Vec<(AppId, Vec<Role>)>,
}

/// Reads `email,name,app:role app:role…` (RFC 4180; a header line `email,…` may stand in front; name and roles may be missing; an app without
/// `:role` means its default role). Each line is judged on its own; what is not there in the config is for `SignIn::invite` to say.
/// Lines after the ten-thousandth are one error.
pub fn parse(text: &str) -> Vec<CsvLine> {
    let mut reader = ::csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .trim(::csv::Trim::All)
        .from_reader(text.trim_start_matches('\u{feff}').as_bytes());
    let mut lines: Vec<CsvLine> = Vec::new();
    let mut seen = HashSet::new();
    for (number, record) in reader.records().enumerate() {
        let at = match &record {
            Ok(record) => record.position().map(::csv::Position::line),
            Err(error) => error.position().map(::csv::Position::line),
        };
        let line = at.unwrap_or(number as u64 + 1);
        let invite = match record {
            Err(_) => Err("this line is not CSV in UTF-8".to_owned()),
            Ok(record) if is_header(number, &record) || is_empty(&record) => continue,
            Ok(_) if lines.len() >= LINES => {
                Err(format!("more than {LINES} lines; split the table"))
            }
            Ok(record) => row(&record, &mut seen),
        };
        lines.push(CsvLine { line, invite });
        if lines.len() > LINES {
            break;
        }
    }
    lines
}

fn is_header(number: usize, record: &::csv::StringRecord) -> bool {
    let first = record.get(0).unwrap_or_default().to_lowercase();
    number == 0 && matches!(first.as_str(), "email" | "e-mail" | "mail")
}

fn is_empty(record: &::csv::StringRecord) -> bool {
    record.iter().all(str::is_empty)
}

fn row(record: &::csv::StringRecord, seen: &mut HashSet<String>) -> Result<Row, String> {
    if record.len() > 3 {
        return Err(format!(
            "{} columns instead of email,name,roles; put a name with a comma in quotes",
            record.len()
        ));
    }
    let email = record.get(0).unwrap_or_default();
    if !email.contains('@') {
        return Err(format!("`{email}` is no e-mail address"));
    }
    if !seen.insert(email.to_lowercase()) {
        return Err(format!("{email} stands on a line above already"));
    }
    let name = record.get(1).filter(|name| !name.is_empty());
    Ok(Row {
        email: email.to_owned(),
        name: name.map(str::to_owned),
        grants: grants(record.get(2).unwrap_or_default())?,
    })
}

/// `app:role app:role app`, separated by spaces or semicolons.
fn grants(text: &str) -> Result<Vec<(AppId, Vec<Role>)>, String> {
    let mut found: Vec<(AppId, Vec<Role>)> = Vec::new();
    let words = text.split([' ', ';']).filter(|word| !word.is_empty());
    for word in words {
        let (app, role) = match word.split_once(':') {
            Some((app, role)) if !app.is_empty() && !role.is_empty() => (app, Some(role)),
            Some(_) => return Err(format!("`{word}` is not app:role")),
            None => (word, None),
        };
        let at = match found.iter().position(|(known, _)| known.as_str() == app) {
            Some(at) => at,
            None => {
                found.push((AppId::new(app), Vec::new()));
                found.len() - 1
            }
        };
        if let (Some((_, roles)), Some(role)) = (found.get_mut(at), role.map(Role::new))
            && !roles.contains(&role)
        {
            roles.push(role);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn roles(line: &CsvLine) -> Vec<(String, Vec<String>)> {
        let text = |role: &Role| role.to_string();
        let grants = &line.invite.as_ref().unwrap().grants;
        grants
            .iter()
            .map(|(app, roles)| (app.to_string(), roles.iter().map(text).collect()))
            .collect()
    }

    #[test]
    fn reads_people_with_their_roles_in_several_apps() {
        let text = "\u{feff}email,name,roles\r\nann@x.example,\"Ann, the first\",wiki:editor wiki:admin files\r\n\
                    \r\n bob@x.example \r\n";
        let lines = parse(text);
        assert_eq!(lines.len(), 2);
        let ann = lines[0].invite.as_ref().unwrap();
        assert_eq!(
            (ann.email.as_str(), ann.name.as_deref()),
            ("ann@x.example", Some("Ann, the first"))
        );
        let wiki = (
            "wiki".to_owned(),
            vec!["editor".to_owned(), "admin".to_owned()],
        );
        assert_eq!(roles(&lines[0]), [wiki, ("files".to_owned(), vec![])]);
        let bob = lines[1].invite.as_ref().unwrap();
        assert_eq!((bob.email.as_str(), &bob.name), ("bob@x.example", &None));
        assert!(bob.grants.is_empty());
    }

    #[test]
    fn says_for_each_line_what_is_wrong_and_goes_on() {
        let text = "ann@x.example,Ann,wiki:\nnobody\nbob@x.example,Bob, the second,wiki:editor\n\
                    cy@x.example,Cy,wiki:viewer\nCY@x.example,Cy,\n";
        let lines = parse(text);
        let said: Vec<_> = lines
            .iter()
            .map(|line| (line.line, line.invite.as_ref().err().map(String::as_str)))
            .collect();
        assert_eq!(said[0], (1, Some("`wiki:` is not app:role")));
        assert_eq!(said[1], (2, Some("`nobody` is no e-mail address")));
        assert!(said[2].1.unwrap().starts_with("4 columns"));
        assert_eq!(said[3], (4, None));
        assert_eq!(
            said[4],
            (5, Some("CY@x.example stands on a line above already"))
        );
    }

    #[test]
    fn takes_ten_thousand_lines_and_no_more() {
        let text: String = (0..10_020).map(|n| format!("p{n}@x.example\n")).collect();
        let lines = parse(&text);
        assert_eq!(lines.len(), LINES + 1);
        assert!(lines[LINES].invite.is_err() && lines[LINES - 1].invite.is_ok());
    }
}
