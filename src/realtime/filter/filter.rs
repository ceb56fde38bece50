//! A compiled filter.

use super::{
    error::FilterError,
    evaluate::{Evaluation, FilterSubject},
    expression::Expression,
    parse::parse,
};

/// Maximum size of a filter.
const MAX_FILTER_BYTES: usize = 8 << 10;
/// Maximum number of conditions.
const MAX_CLAUSES: usize = 100;

/// A compiled filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    text: Box<str>,
    expression: Expression,
}

impl Filter {
    /// Compiles a filter.
    pub fn parse(text: &str) -> Result<Filter, FilterError> {
        if text.len() > MAX_FILTER_BYTES {
            return Err(FilterError::limit("it is longer than 8 KiB"));
        }
        let expression = parse(text)?;
        match expression.clauses() {
            0..=MAX_CLAUSES => Ok(Filter { text: text.into(), expression }),
            _ => Err(FilterError::limit("it has more than 100 clauses")),
        }
    }

    /// The text, for other nodes.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether the connection matches. `scratch` is memory that evaluations reuse.
    pub fn matches(&self, subject: &FilterSubject<'_>, scratch: &mut String) -> bool {
        scratch.clear();
        Evaluation { subject, scratch }.is_true(&self.expression)
    }
}
