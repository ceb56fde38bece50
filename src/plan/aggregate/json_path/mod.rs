//! JSONPath: where the values stand that further calls are made for.
//!
//! The dialect is that of Newtonsoft's Json.NET, which Ocelot users write: `$` may be left out, `[*]` are the items of a
//! list and `.*` the values of an object, `..name` is looked for at every depth in the order of the document, `==`
//! takes `5` and `'5'` for the same. Indexes and slices may count from the end.

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
    /// Reads an expression.
    pub fn parse(text: &str) -> Result<JsonPath, ParseError> {
        Ok(JsonPath { text: text.into(), steps: parse::path(text)? })
    }

    /// Whether it can find one value at most, whatever the document.
    pub fn is_singular(&self) -> bool {
        let one = |selectors: &[Selector]| matches!(selectors, [Selector::Name(_) | Selector::Index(_)]);
        self.steps.iter().all(|step| !step.is_descendant && one(&step.selectors))
    }

    /// The values it finds, in the order of the document.
    pub fn find<'v>(&self, root: &'v Value) -> Result<Vec<&'v Value>, BudgetExceeded> {
        evaluate::evaluate(&self.steps, root)
    }
}

impl fmt::Display for JsonPath {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&self.text)
    }
}
