//! `$filter` of lists: comparisons of properties with `and`, `or`, `not` and functions of texts.

use super::super::error::AdminError;
use serde_json::Value;

/// A condition.
#[derive(Clone, Debug)]
pub enum Filter {
    Compare(String, &'static str, Value),
    Text(&'static str, String, String),
    And(Box<Filter>, Box<Filter>),
    Or(Box<Filter>, Box<Filter>),
    Not(Box<Filter>),
}

const COMPARISONS: [&str; 6] = ["eq", "ne", "gt", "ge", "lt", "le"];
const FUNCTIONS: [&str; 3] = ["contains", "startswith", "endswith"];
/// Maximum depth of parentheses.
const MAX_DEPTH: usize = 32;

/// A property of an entity, or `name`.
pub fn property<'v>(entity: &'v Value, name: &str) -> Option<&'v Value> {
    let name = name.trim().trim_start_matches("properties/");
    super::kinds::get(entity.get("properties")?, name).or_else(|| super::kinds::get(entity, name))
}

impl Filter {
    /// Reads a filter.
    ///
    /// # Errors
    /// 400 with the part that is not understood.
    pub fn parse(text: &str) -> Result<Filter, AdminError> {
        let mut parser = Parser { words: words(text)?, at: 0, depth: 0 };
        let filter = parser.any()?;
        match parser.words.get(parser.at) {
            None => Ok(filter),
            Some(word) => Err(invalid(word)),
        }
    }

    /// The properties that it compares.
    pub fn names(&self) -> Vec<&str> {
        match self {
            Filter::And(one, other) | Filter::Or(one, other) => {
                one.names().into_iter().chain(other.names()).collect()
            }
            Filter::Not(one) => one.names(),
            Filter::Text(_, name, _) | Filter::Compare(name, ..) => vec![name.as_str()],
        }
    }

    /// Whether an entity fits.
    pub fn holds(&self, entity: &Value) -> bool {
        match self {
            Filter::And(one, other) => one.holds(entity) && other.holds(entity),
            Filter::Or(one, other) => one.holds(entity) || other.holds(entity),
            Filter::Not(one) => !one.holds(entity),
            Filter::Text(function, name, part) => {
                let found = property(entity, name).and_then(Value::as_str).unwrap_or_default().to_lowercase();
                let part = part.to_lowercase();
                match *function {
                    "contains" => found.contains(&part),
                    "startswith" => found.starts_with(&part),
                    _ => found.ends_with(&part),
                }
            }
            Filter::Compare(name, operator, value) => {
                let found = property(entity, name).cloned().unwrap_or_default();
                if found.is_null() != value.is_null() {
                    // Without a value nothing is above or below.
                    return *operator == "ne";
                }
                let order = match (&found, value) {
                    (Value::Number(one), Value::Number(other)) => {
                        one.as_f64().partial_cmp(&other.as_f64()).unwrap_or(std::cmp::Ordering::Less)
                    }
                    (Value::String(one), Value::String(other)) => {
                        one.to_lowercase().cmp(&other.to_lowercase())
                    }
                    (one, other) => one.to_string().cmp(&other.to_string()),
                };
                match *operator {
                    "eq" => order.is_eq(),
                    "ne" => order.is_ne(),
                    "gt" => order.is_gt(),
                    "ge" => order.is_ge(),
                    "lt" => order.is_lt(),
                    _ => order.is_le(),
                }
            }
        }
    }
}

fn invalid(word: &str) -> AdminError {
    AdminError::query(format!("invalid $filter at `{word}`: expected comparisons such as name eq 'a'"))
}

/// Names, texts in quotes, and marks.
fn words(text: &str) -> Result<Vec<String>, AdminError> {
    let (mut words, mut chars) = (Vec::new(), text.chars().peekable());
    while let Some(c) = chars.next() {
        match c {
            ' ' => {}
            '(' | ')' | ',' => words.push(c.to_string()),
            '\'' => {
                let mut word = String::from("'");
                loop {
                    match chars.next() {
                        Some('\'') if chars.peek() == Some(&'\'') => word.extend(chars.next()),
                        Some('\'') => break,
                        Some(c) => word.push(c),
                        None => return Err(invalid(&word)),
                    }
                }
                words.push(word);
            }
            c => {
                let mut word = c.to_string();
                while let Some(next) = chars.next_if(|next| !" (),'".contains(*next)) {
                    word.push(next);
                }
                words.push(word);
            }
        }
    }
    Ok(words)
}

struct Parser {
    words: Vec<String>,
    at: usize,
    depth: usize,
}

impl Parser {
    fn next(&mut self) -> Result<String, AdminError> {
        let word = self.words.get(self.at).cloned().ok_or_else(|| invalid("the end"))?;
        self.at += 1;
        Ok(word)
    }

    fn take(&mut self, word: &str) -> bool {
        let is_next = self.words.get(self.at).is_some_and(|next| next.eq_ignore_ascii_case(word));
        self.at += usize::from(is_next);
        is_next
    }

    fn expect(&mut self, word: &str) -> Result<(), AdminError> {
        if self.take(word) { Ok(()) } else { Err(invalid(&self.next()?)) }
    }

    fn any(&mut self) -> Result<Filter, AdminError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(invalid("("));
        }
        let mut filter = self.all()?;
        while self.take("or") {
            filter = Filter::Or(Box::new(filter), Box::new(self.all()?));
        }
        self.depth -= 1;
        Ok(filter)
    }

    fn all(&mut self) -> Result<Filter, AdminError> {
        let mut filter = self.one()?;
        while self.take("and") {
            filter = Filter::And(Box::new(filter), Box::new(self.one()?));
        }
        Ok(filter)
    }

    fn one(&mut self) -> Result<Filter, AdminError> {
        if self.take("not") {
            self.depth += 1;
            if self.depth > MAX_DEPTH {
                return Err(invalid("not"));
            }
            return Ok(Filter::Not(Box::new(self.one()?)));
        }
        if self.take("(") {
            let filter = self.any()?;
            self.expect(")")?;
            return Ok(filter);
        }
        let name = self.next()?;
        if let Some(function) = FUNCTIONS.into_iter().find(|known| known.eq_ignore_ascii_case(&name)) {
            self.expect("(")?;
            let property = self.next()?;
            self.expect(",")?;
            let part = self.next()?.trim_start_matches('\'').to_owned();
            self.expect(")")?;
            return Ok(Filter::Text(function, property, part));
        }
        let operator = self.next()?;
        let operator = COMPARISONS.into_iter().find(|known| known.eq_ignore_ascii_case(&operator));
        let operator = operator.ok_or_else(|| invalid(&name))?;
        let value = self.next()?;
        let value = match value.strip_prefix('\'') {
            Some(text) => Value::from(text),
            None => serde_json::from_str(&value).unwrap_or_else(|_| Value::from(value.as_str())),
        };
        Ok(Filter::Compare(name, operator, value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn filters_compare_properties() {
        let entity = json!({ "name": "gold", "properties": { "displayName": "It's Gold", "count": 3 } });
        for (filter, holds) in [
            ("name eq 'GOLD'", true),
            ("properties/count gt 2 and not (count ge 4)", true),
            ("contains(displayName, 's go') or name eq 'x'", true),
            ("startswith(displayName,'It''s')", true),
            ("name ne 'gold'", false),
            ("missing ge 0 or missing lt 'a'", false),
            ("missing ne 0 and missing eq null", true),
        ] {
            assert_eq!(Filter::parse(filter).unwrap().holds(&entity), holds, "{filter}");
        }
        for wrong in ["name", "name eq", "name is 'a'", "(name eq 'a'", "name eq 'a"] {
            assert!(Filter::parse(wrong).is_err(), "{wrong}");
        }
    }
}
