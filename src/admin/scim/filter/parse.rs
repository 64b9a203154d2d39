//! The grammar of filters and of PATCH paths (RFC 7644 figures 1 and 7), with bounds on length, depth and number of terms.

use jiff::Timestamp;

use super::{Filter, Literal, Operator};
use crate::admin::scim::error::{ScimError, ScimType};
use crate::admin::scim::schema::{Attribute, Kind, Located, Place, ResourceKind, Returned, locate};
use crate::identity::folded;

/// Bytes of a filter or path.
const LENGTH: usize = 8 * 1024;
/// Parentheses and brackets within one another.
const DEPTH: u32 = 16;
/// Comparisons in one filter.
const TERMS: u32 = 200;

/// Where a PATCH operation works.
#[derive(Clone, Debug)]
pub(in crate::admin::scim) enum PatchPath {
    /// A whole extension.
    Extension(&'static str),
    /// An attribute, or the values of it that a filter selects; `at.sub` is what stands after the brackets too.
    Attribute { at: Located, filter: Option<Filter> },
}

/// Reads a filter on resources of a kind.
pub(super) fn read_error(kind: ScimType, detail: impl Into<String>) -> ScimError {
    ScimError::bad(kind, detail)
}

/// Reads a filter.
///
/// # Errors
/// 400 `invalidFilter`.
pub(in crate::admin::scim) fn filter(kind: ResourceKind, text: &str) -> Result<Filter, ScimError> {
    let mut parser = Parser::new(text, ScimType::InvalidFilter)?;
    let filter = parser.any_of(Within::Resource(kind))?;
    parser.end()?;
    Ok(filter)
}

/// Reads the path of a PATCH operation.
///
/// # Errors
/// 400 `invalidPath`, also where no schema has the attribute.
pub(in crate::admin::scim) fn patch_path(
    kind: ResourceKind,
    text: &str,
) -> Result<PatchPath, ScimError> {
    let mut parser = Parser::new(text, ScimType::InvalidPath)?;
    let name = parser.name();
    let place = locate(kind, name).ok_or_else(|| parser.unknown(name))?;
    let path = match place {
        Place::Extension(urn) => PatchPath::Extension(urn),
        Place::Attribute(mut at) => {
            let filter = parser.brackets(&at)?;
            if filter.is_some() && parser.eat('.') {
                let name = parser.name();
                at.sub = Some(at.attribute.sub(name).ok_or_else(|| parser.unknown(name))?);
            }
            PatchPath::Attribute { at, filter }
        }
    };
    parser.end()?;
    Ok(path)
}

/// What names are resolved against.
#[derive(Clone, Copy)]
enum Within {
    Resource(ResourceKind),
    /// Inside of brackets.
    Value(&'static Attribute),
}

struct Parser<'a> {
    rest: &'a str,
    depth: u32,
    terms: u32,
    fault: ScimType,
}

impl<'a> Parser<'a> {
    fn new(text: &'a str, fault: ScimType) -> Result<Self, ScimError> {
        let parser = Self {
            rest: text.trim(),
            depth: 0,
            terms: 0,
            fault,
        };
        if text.len() > LENGTH {
            return Err(parser.wrong("it is too long"));
        }
        Ok(parser)
    }

    fn wrong(&self, detail: impl Into<String>) -> ScimError {
        read_error(self.fault, detail)
    }

    fn unknown(&self, name: &str) -> ScimError {
        let shown: String = name.chars().take(100).filter(|c| !c.is_control()).collect();
        self.wrong(format!("no attribute is called `{shown}`"))
    }

    fn skip(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t']);
    }

    fn eat(&mut self, wanted: char) -> bool {
        match self.rest.strip_prefix(wanted) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn end(&mut self) -> Result<(), ScimError> {
        self.skip();
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(self.wrong("something follows where it should end"))
        }
    }

    /// The characters of an attribute path, operator or keyword.
    fn name(&mut self) -> &'a str {
        let end = self
            .rest
            .find(|c: char| !(c.is_ascii_alphanumeric() || "-_$:.".contains(c)))
            .unwrap_or(self.rest.len());
        let (name, rest) = self.rest.split_at(end);
        self.rest = rest;
        name
    }

    /// Takes a keyword that is followed by a space or a parenthesis.
    fn keyword(&mut self, wanted: &str) -> bool {
        self.skip();
        let (before, found) = (self.rest, self.name());
        if found.eq_ignore_ascii_case(wanted) && self.rest.starts_with([' ', '\t', '(']) {
            return true;
        }
        self.rest = before;
        false
    }

    fn deeper(&mut self) -> Result<(), ScimError> {
        self.depth += 1;
        if self.depth > DEPTH {
            return Err(self.wrong("it is nested too deeply"));
        }
        Ok(())
    }

    fn any_of(&mut self, within: Within) -> Result<Filter, ScimError> {
        let mut parts = vec![self.all_of(within)?];
        while self.keyword("or") {
            parts.push(self.all_of(within)?);
        }
        Ok(single(parts, Filter::Or))
    }

    fn all_of(&mut self, within: Within) -> Result<Filter, ScimError> {
        let mut parts = vec![self.term(within)?];
        while self.keyword("and") {
            parts.push(self.term(within)?);
        }
        Ok(single(parts, Filter::And))
    }

    fn term(&mut self, within: Within) -> Result<Filter, ScimError> {
        let negated = self.keyword("not");
        self.skip();
        if self.eat('(') {
            self.deeper()?;
            let inner = self.any_of(within)?;
            self.skip();
            if !self.eat(')') {
                return Err(self.wrong("a parenthesis is not closed"));
            }
            self.depth -= 1;
            return Ok(match negated {
                true => Filter::Not(Box::new(inner)),
                false => inner,
            });
        }
        if negated {
            return Err(self.wrong("`not` must be followed by a parenthesis"));
        }
        self.terms += 1;
        if self.terms > TERMS {
            return Err(self.wrong("it has too many comparisons"));
        }
        self.comparison(within)
    }

    fn comparison(&mut self, within: Within) -> Result<Filter, ScimError> {
        let name = self.name();
        let at = self.resolve(within, name)?;
        let Some(inner) = self.brackets(&at)? else {
            return self.operation(at);
        };
        if !self.eat('.') {
            return Ok(Filter::Values(at, Box::new(inner)));
        }
        // Beyond the grammar, and widely used: `emails[type eq "work"].value eq "x"`.
        let name = self.name();
        let sub = self.resolve(Within::Value(at.attribute), name)?;
        let then = self.operation(sub)?;
        Ok(Filter::Values(at, Box::new(Filter::And(vec![inner, then]))))
    }

    fn resolve(&self, within: Within, name: &str) -> Result<Located, ScimError> {
        let found = match within {
            Within::Resource(kind) => match locate(kind, name) {
                Some(Place::Attribute(at)) => Some(at),
                Some(Place::Extension(_)) | None => None,
            },
            Within::Value(attribute) => attribute.sub(name).map(|attribute| Located {
                extension: None,
                attribute,
                sub: None,
            }),
        };
        let at = found.ok_or_else(|| self.unknown(name))?;
        if at.last().returned == Returned::Never {
            return Err(self.wrong(format!("`{}` cannot be searched", at.last().name)));
        }
        Ok(at)
    }

    /// `[…]` after a complex attribute.
    fn brackets(&mut self, at: &Located) -> Result<Option<Filter>, ScimError> {
        if !self.eat('[') {
            return Ok(None);
        }
        if at.sub.is_some() || at.attribute.kind != Kind::Complex {
            return Err(self.wrong(format!("`{}` has no values to select", at.last().name)));
        }
        self.deeper()?;
        let inner = self.any_of(Within::Value(at.attribute))?;
        self.skip();
        if !self.eat(']') {
            return Err(self.wrong("a bracket is not closed"));
        }
        self.depth -= 1;
        Ok(Some(inner))
    }

    /// `pr`, or an operator and what follows it.
    fn operation(&mut self, at: Located) -> Result<Filter, ScimError> {
        self.skip();
        let word = self.name().to_ascii_lowercase();
        if word == "pr" {
            return Ok(Filter::Present(at));
        }
        let operator = match word.as_str() {
            "eq" => Operator::Eq,
            "ne" => Operator::Ne,
            "co" => Operator::Co,
            "sw" => Operator::Sw,
            "ew" => Operator::Ew,
            "gt" => Operator::Gt,
            "ge" => Operator::Ge,
            "lt" => Operator::Lt,
            "le" => Operator::Le,
            _ => return Err(self.wrong("an operator is expected (eq, ne, co, sw, ew, pr, …)")),
        };
        if !self.rest.starts_with([' ', '\t']) {
            return Err(self.wrong("a space must follow the operator"));
        }
        self.skip();
        let literal = self.literal(&at, operator)?;
        Ok(Filter::Is(at, operator, literal))
    }

    /// A JSON string, number, boolean or null, made to fit the attribute's type.
    fn literal(&mut self, at: &Located, operator: Operator) -> Result<Literal, ScimError> {
        let text = match self.rest.starts_with('"') {
            true => self.string()?,
            false => {
                let word = self.name();
                let known = word.eq_ignore_ascii_case("true")
                    || word.eq_ignore_ascii_case("false")
                    || word.parse::<f64>().is_ok_and(f64::is_finite);
                if word.eq_ignore_ascii_case("null") {
                    if !matches!(operator, Operator::Eq | Operator::Ne) {
                        return Err(self.wrong("null can only be compared by eq and ne"));
                    }
                    return Ok(Literal::Null);
                }
                if !known {
                    return Err(self.wrong("a value is expected, such as \"text\" or true"));
                }
                word.to_owned()
            }
        };
        let attribute = match (at.sub, at.attribute.kind) {
            (None, Kind::Complex) => at.attribute.default_sub(),
            _ => Some(at.last()),
        };
        let Some(attribute) = attribute else {
            return Err(self.wrong(format!("`{}` has no value of its own", at.attribute.name)));
        };
        let equality = matches!(operator, Operator::Eq | Operator::Ne);
        match attribute.kind {
            Kind::Text | Kind::Reference => Ok(Literal::Text {
                folded: folded(&text),
                exact: text,
            }),
            Kind::Binary if equality => Ok(Literal::Text {
                folded: folded(&text),
                exact: text,
            }),
            Kind::Boolean if equality && text.eq_ignore_ascii_case("true") => {
                Ok(Literal::Boolean(true))
            }
            Kind::Boolean if equality && text.eq_ignore_ascii_case("false") => {
                Ok(Literal::Boolean(false))
            }
            Kind::DateTime if !matches!(operator, Operator::Co | Operator::Sw | Operator::Ew) => {
                let time: Result<Timestamp, _> = text.parse();
                time.map(Literal::Time)
                    .map_err(|_| self.wrong(format!("`{}` is a time", attribute.name)))
            }
            Kind::Binary | Kind::Boolean | Kind::DateTime | Kind::Complex => {
                Err(self.wrong(format!("`{}` cannot be compared with that", attribute.name)))
            }
        }
    }

    /// A JSON string with its escapes.
    fn string(&mut self) -> Result<String, ScimError> {
        let mut escaped = false;
        let end = self.rest.char_indices().skip(1).find(|(_, c)| {
            let closes = *c == '"' && !escaped;
            escaped = *c == '\\' && !escaped;
            closes
        });
        let Some((end, _)) = end else {
            return Err(self.wrong("a string is not closed"));
        };
        let (string, rest) = self.rest.split_at(end + 1);
        self.rest = rest;
        serde_json::from_str(string).map_err(|_| self.wrong("a string is not written as in JSON"))
    }
}

fn single(mut parts: Vec<Filter>, many: fn(Vec<Filter>) -> Filter) -> Filter {
    match (parts.len(), parts.pop()) {
        (1, Some(part)) => part,
        (_, Some(last)) => {
            parts.push(last);
            many(parts)
        }
        (_, None) => many(parts),
    }
}
