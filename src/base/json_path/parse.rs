//! Parses expressions into steps.

use super::syntax::{FilterExpr, Operand, Operator, Selector, Step};
use serde_json::Value;

/// Maximum nesting of conditions.
const MAX_DEPTH: usize = 16;

/// An error, and its position in characters (from 1).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("at character {column}: {message}")]
pub struct ParseError {
    pub column: usize,
    pub message: String,
}

/// Parses the steps of a whole expression.
pub(super) fn path(text: &str) -> Result<Vec<Step>, ParseError> {
    let mut parser = Parser { text, at: 0, depth: 0 };
    parser.space();
    if parser.rest().is_empty() {
        return Err(parser.error_at("the expression is empty"));
    }
    let steps = match parser.consume_if("$") {
        true => parser.steps()?,
        false => parser.parse_without_root()?,
    };
    parser.space();
    if parser.rest().is_empty() { Ok(steps) } else { Err(parser.unexpected()) }
}

struct Parser<'t> {
    text: &'t str,
    at: usize,
    depth: usize,
}

/// Characters that an unquoted name must not contain.
const NAME_TERMINATORS: &[char] =
    &['.', '[', ']', '(', ')', '\'', '"', '=', '<', '>', '!', '&', '|', '~', ',', '?'];

impl<'t> Parser<'t> {
    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn space(&mut self) {
        self.at = self.text.len() - self.rest().trim_start().len();
    }

    fn consume_if(&mut self, token: &str) -> bool {
        let found = self.rest().starts_with(token);
        self.at += if found { token.len() } else { 0 };
        found
    }

    fn error_at(&self, what: impl Into<String>) -> ParseError {
        ParseError { column: self.text[..self.at].chars().count() + 1, message: what.into() }
    }

    fn unexpected(&self) -> ParseError {
        match self.peek() {
            Some(c) => self.error_at(format!("unexpected '{c}'")),
            None => self.error_at("unexpected end of the expression"),
        }
    }

    fn expect(&mut self, token: &str) -> Result<(), ParseError> {
        self.space();
        if self.consume_if(token) { Ok(()) } else { Err(self.error_at(format!("expected {token}"))) }
    }

    /// An expression without `$`: its first name has no dot before it.
    fn parse_without_root(&mut self) -> Result<Vec<Step>, ParseError> {
        let mut steps = Vec::new();
        if !matches!(self.peek(), Some('.' | '[')) {
            steps.push(Step { is_descendant: false, selectors: vec![self.parse_dot()?] });
        }
        steps.extend(self.steps()?);
        Ok(steps)
    }

    fn steps(&mut self) -> Result<Vec<Step>, ParseError> {
        let mut steps = Vec::new();
        loop {
            let scan = self.consume_if("..");
            let point = scan || self.consume_if(".");
            let selectors = match self.peek() {
                Some('[') => self.brackets()?,
                _ if point => vec![self.parse_dot()?],
                _ => return Ok(steps),
            };
            steps.push(Step { is_descendant: scan, selectors });
        }
    }

    /// What follows a dot.
    fn parse_dot(&mut self) -> Result<Selector, ParseError> {
        if self.consume_if("*") {
            return Ok(Selector::Members);
        }
        let rest = self.rest();
        let end =
            rest.find(|c: char| c.is_whitespace() || NAME_TERMINATORS.contains(&c)).unwrap_or(rest.len());
        if end == 0 {
            return Err(self.error_at("expected a name"));
        }
        self.at += end;
        Ok(Selector::Name(rest[..end].into()))
    }

    fn brackets(&mut self) -> Result<Vec<Selector>, ParseError> {
        self.expect("[")?;
        let mut selectors = Vec::new();
        loop {
            self.space();
            selectors.push(self.selector()?);
            self.space();
            if !self.consume_if(",") {
                break;
            }
        }
        self.expect("]")?;
        Ok(selectors)
    }

    fn selector(&mut self) -> Result<Selector, ParseError> {
        match self.peek() {
            Some('\'' | '"') => Ok(Selector::Name(self.quoted()?.into())),
            Some('*') => {
                self.at += 1;
                Ok(Selector::Wildcard)
            }
            Some('?') => {
                self.at += 1;
                Ok(Selector::Filter(self.parse_or()?))
            }
            Some('0'..='9' | '-' | ':') => self.index_or_slice(),
            _ => Err(self.unexpected()),
        }
    }

    fn index_or_slice(&mut self) -> Result<Selector, ParseError> {
        let start = self.integer()?;
        if !self.consume_if(":") {
            return start.map(Selector::Index).ok_or_else(|| self.unexpected());
        }
        let end = self.integer()?;
        let step = if self.consume_if(":") { self.integer()? } else { None };
        match step.unwrap_or(1) {
            0 => Err(self.error_at("the step of a slice must not be 0")),
            step => Ok(Selector::Slice { start, end, step }),
        }
    }

    fn integer(&mut self) -> Result<Option<i64>, ParseError> {
        self.space();
        let rest = self.rest();
        let digits = rest.strip_prefix('-').unwrap_or(rest);
        let len = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
        let end = rest.len() - digits.len() + len;
        if end == 0 {
            return Ok(None);
        }
        let number = rest[..end].parse().map_err(|_| self.error_at("invalid integer"))?;
        self.at += end;
        self.space();
        Ok(Some(number))
    }

    /// A string in single or double quotes.
    fn quoted(&mut self) -> Result<String, ParseError> {
        let begin = self.at;
        let mut chars = self.rest().char_indices();
        let quote = chars.next().map(|(_, quote)| quote);
        let mut text = String::new();
        while let Some((at, c)) = chars.next() {
            match c {
                c if Some(c) == quote => {
                    self.at = begin + at + c.len_utf8();
                    return Ok(text);
                }
                '\\' => {
                    let escaped = unescape(&mut chars);
                    self.at = begin + at;
                    text.push(escaped.ok_or_else(|| self.error_at("invalid escape sequence"))?);
                }
                c => text.push(c),
            }
        }
        self.at = begin;
        Err(self.error_at("missing closing quote"))
    }
}

/// The character that an escape sequence represents.
fn unescape(chars: &mut std::str::CharIndices) -> Option<char> {
    Some(match chars.next()?.1 {
        c @ ('\'' | '"' | '\\' | '/') => c,
        'b' => '\u{8}',
        'f' => '\u{c}',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'u' => {
            let mut hex = || chars.next()?.1.to_digit(16);
            let code = (hex()? << 12) | (hex()? << 8) | (hex()? << 4) | hex()?;
            char::from_u32(code)?
        }
        _ => return None,
    })
}

/// Conditions.
impl Parser<'_> {
    fn parse_or(&mut self) -> Result<FilterExpr, ParseError> {
        let mut tests = vec![self.parse_and()?];
        while self.operator("||") {
            tests.push(self.parse_and()?);
        }
        Ok(if tests.len() == 1 { tests.remove(0) } else { FilterExpr::Any(tests) })
    }

    fn parse_and(&mut self) -> Result<FilterExpr, ParseError> {
        let mut tests = vec![self.parse_primary()?];
        while self.operator("&&") {
            tests.push(self.parse_primary()?);
        }
        Ok(if tests.len() == 1 { tests.remove(0) } else { FilterExpr::All(tests) })
    }

    fn operator(&mut self, token: &str) -> bool {
        self.space();
        self.consume_if(token)
    }

    fn parse_primary(&mut self) -> Result<FilterExpr, ParseError> {
        self.space();
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(self.error_at(format!("conditions are nested deeper than {MAX_DEPTH}")));
        }
        let test = if self.consume_if("!") {
            FilterExpr::Not(Box::new(self.parse_primary()?))
        } else if self.consume_if("(") {
            let test = self.parse_or()?;
            self.expect(")")?;
            test
        } else {
            self.comparison()?
        };
        self.depth -= 1;
        Ok(test)
    }

    fn comparison(&mut self) -> Result<FilterExpr, ParseError> {
        let left = self.operand()?;
        self.space();
        if self.consume_if("=~") {
            self.space();
            return Ok(FilterExpr::Matches(left, self.regex()?));
        }
        const OPERATORS: [(&str, Operator); 8] = [
            ("===", Operator::StrictEqual),
            ("!==", Operator::StrictNotEqual),
            ("==", Operator::Equal),
            ("!=", Operator::NotEqual),
            ("<=", Operator::LessOrEqual),
            (">=", Operator::GreaterOrEqual),
            ("<", Operator::Less),
            (">", Operator::Greater),
        ];
        let operator =
            OPERATORS.iter().find(|(token, _)| self.consume_if(token)).map(|(_, operator)| *operator);
        match operator {
            Some(operator) => Ok(FilterExpr::Compare(left, operator, self.operand()?)),
            None if matches!(left, Operand::Path { .. }) => Ok(FilterExpr::Exists(left)),
            None => Err(self.unexpected()),
        }
    }

    fn operand(&mut self) -> Result<Operand, ParseError> {
        self.space();
        let root = self.peek() == Some('$');
        if root || self.peek() == Some('@') {
            self.at += 1;
            return Ok(Operand::Path { root, steps: self.steps()? });
        }
        if matches!(self.peek(), Some('\'' | '"')) {
            return Ok(Operand::Literal(Value::String(self.quoted()?)));
        }
        let rest = self.rest();
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && !"+-.".contains(c)).unwrap_or(rest.len());
        let literal = serde_json::from_str(&rest[..end]).map_err(|_| self.unexpected())?;
        self.at += end;
        Ok(Operand::Literal(literal))
    }

    /// `/pattern/i`; the flags are those of .NET.
    fn regex(&mut self) -> Result<regex::Regex, ParseError> {
        let begin = self.at;
        self.expect("/")?;
        let rest = self.rest();
        let Some(end) = closing_slash(rest) else { return Err(self.error_at("missing closing slash")) };
        let pattern = rest[..end].replace("\\/", "/");
        self.at += end + 1;
        let mut builder = regex::RegexBuilder::new(&pattern);
        builder.size_limit(1 << 20);
        while let Some(flag) = self.peek().filter(char::is_ascii_alphabetic) {
            match flag {
                'i' => builder.case_insensitive(true),
                'm' => builder.multi_line(true),
                's' => builder.dot_matches_new_line(true),
                'x' => builder.ignore_whitespace(true),
                _ => return Err(self.unexpected()),
            };
            self.at += 1;
        }
        let built = builder.build();
        built.map_err(|_| {
            self.at = begin;
            self.error_at("invalid regular expression, or one that does not run in linear time")
        })
    }
}

/// The first unescaped slash.
fn closing_slash(text: &str) -> Option<usize> {
    let mut escaped = false;
    text.char_indices().find_map(|(at, c)| {
        let closes = c == '/' && !escaped;
        escaped = c == '\\' && !escaped;
        closes.then_some(at)
    })
}
