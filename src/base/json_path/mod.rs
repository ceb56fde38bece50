//! JSONPath: locates the values for which further calls are made. Entry points: [`JsonPath::parse`], called when an
//! aggregate is compiled, and [`JsonPath::find`], called for each response.
//!
//! The dialect is that of Newtonsoft's Json.NET, which Ocelot uses: `$` is optional, `[*]` selects the items of a
//! list and `.*` the values of an object, `..name` matches at every depth in document order, and `==` compares `5`
//! and `'5'` as equal. Negative indexes and slice bounds count from the end.

mod compare;
mod evaluate;
mod parse;
mod syntax;
#[cfg(test)]
mod tests;

pub use evaluate::BudgetExceeded;
pub use parse::ParseError;

use serde_json::Value;
use std::fmt;
use syntax::{Selector, Step};

/// A compiled expression.
#[derive(Clone, Debug)]
pub struct JsonPath {
    text: Box<str>,
    steps: Vec<Step>,
}

impl JsonPath {
    /// Parses an expression.
    pub fn parse(text: &str) -> Result<JsonPath, ParseError> {
        Ok(JsonPath { text: text.into(), steps: parse::path(text)? })
    }

    /// Whether the expression selects at most one value, whatever the document.
    pub fn is_singular(&self) -> bool {
        let one = |selectors: &[Selector]| matches!(selectors, [Selector::Name(_) | Selector::Index(_)]);
        self.steps.iter().all(|step| !step.is_descendant && one(&step.selectors))
    }

    /// The selected values, in document order.
    pub fn find<'v>(&self, root: &'v Value) -> Result<Vec<&'v Value>, BudgetExceeded> {
        evaluate::evaluate(&self.steps, root)
    }
}

impl fmt::Display for JsonPath {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&self.text)
    }
}
