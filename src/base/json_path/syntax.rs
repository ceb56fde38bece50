//! The syntax tree of an expression.

use serde_json::Value;

/// One step: selectors, applied to every value found so far or to everything within them.
#[derive(Clone, Debug)]
pub struct Step {
    /// The values within those found so far, too.
    pub is_descendant: bool,
    pub selectors: Vec<Selector>,
}

/// Selects children of one value.
#[derive(Clone, Debug)]
pub enum Selector {
    Name(Box<str>),
    /// `.*`: the values of an object.
    Members,
    /// `[*]`: the items of a list.
    Wildcard,
    /// Counts from the end if negative.
    Index(i64),
    Slice {
        start: Option<i64>,
        end: Option<i64>,
        step: i64,
    },
    /// The children that match the condition.
    Filter(FilterExpr),
}

/// A condition on one value.
#[derive(Clone, Debug)]
pub enum FilterExpr {
    Any(Vec<FilterExpr>),
    All(Vec<FilterExpr>),
    Not(Box<FilterExpr>),
    Exists(Operand),
    Compare(Operand, Operator, Operand),
    Matches(Operand, regex::Regex),
}

/// One side of a comparison.
#[derive(Clone, Debug)]
pub enum Operand {
    Literal(Value),
    /// A path from the tested value, or from the root of the document.
    Path {
        root: bool,
        steps: Vec<Step>,
    },
}

/// A comparison operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    /// Loose equality: `5` and `'5'` are equal.
    Equal,
    NotEqual,
    /// `5` and `'5'` are not equal.
    StrictEqual,
    StrictNotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}
