//! Conditions: `[?(@.price < 10 && @.kind == 'book')]`.

use super::{Budget, BudgetExceeded, Step, walk};
use serde_json::{Number, Value};
use std::cmp::Ordering;

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

/// What is compared.
#[derive(Clone, Debug)]
pub enum Operand {
    Literal(Value),
    /// From the value that is judged, or from the root of the document.
    Path {
        root: bool,
        steps: Steps,
    },
}

/// The steps of a path within a condition.
#[derive(Clone, Debug)]
pub struct Steps(pub(super) Vec<Step>);

/// How it is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    /// `5` and `'5'` are equal.
    Equal,
    NotEqual,
    /// They are not.
    StrictEqual,
    StrictNotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl FilterExpr {
    /// Appends the values for which it holds.
    pub(super) fn filter<'v>(
        &self,
        root: &'v Value,
        values: impl Iterator<Item = &'v Value>,
        found: &mut Vec<&'v Value>,
        budget: &mut Budget,
    ) -> Result<(), BudgetExceeded> {
        for value in values {
            budget.visit()?;
            if self.evaluate(root, value, budget)? {
                found.push(value);
            }
        }
        Ok(())
    }

    fn evaluate(&self, root: &Value, value: &Value, budget: &mut Budget) -> Result<bool, BudgetExceeded> {
        Ok(match self {
            FilterExpr::Any(tests) => {
                for test in tests {
                    if test.evaluate(root, value, budget)? {
                        return Ok(true);
                    }
                }
                false
            }
            FilterExpr::All(tests) => {
                for test in tests {
                    if !test.evaluate(root, value, budget)? {
                        return Ok(false);
                    }
                }
                true
            }
            FilterExpr::Not(test) => !test.evaluate(root, value, budget)?,
            FilterExpr::Exists(operand) => !operand.values(root, value, budget)?.is_empty(),
            FilterExpr::Matches(operand, regex) => {
                let values = operand.values(root, value, budget)?;
                values.iter().filter_map(|value| value.as_str()).any(|text| regex.is_match(text))
            }
            FilterExpr::Compare(left, operator, right) => {
                let (left, right) = (left.values(root, value, budget)?, right.values(root, value, budget)?);
                for _ in 0..left.len().saturating_mul(right.len()).saturating_sub(1) {
                    budget.visit()?;
                }
                left.iter().any(|left| right.iter().any(|right| operator.evaluate(left, right)))
            }
        })
    }
}

impl Operand {
    fn values<'v>(
        &'v self,
        root: &'v Value,
        value: &'v Value,
        budget: &mut Budget,
    ) -> Result<Vec<&'v Value>, BudgetExceeded> {
        match self {
            Operand::Literal(literal) => Ok(vec![literal]),
            Operand::Path { root: from_root, steps } => {
                walk(&steps.0, root, if *from_root { root } else { value }, budget)
            }
        }
    }
}

impl Operator {
    fn evaluate(self, left: &Value, right: &Value) -> bool {
        match self {
            Operator::Equal => loosely_equal(left, right),
            Operator::NotEqual => !loosely_equal(left, right),
            Operator::StrictEqual => strict_eq(left, right),
            Operator::StrictNotEqual => !strict_eq(left, right),
            Operator::Less => compare(left, right) == Some(Ordering::Less),
            Operator::LessOrEqual => matches!(compare(left, right), Some(Ordering::Less | Ordering::Equal)),
            Operator::Greater => compare(left, right) == Some(Ordering::Greater),
            Operator::GreaterOrEqual => {
                matches!(compare(left, right), Some(Ordering::Greater | Ordering::Equal))
            }
        }
    }
}

fn strict_eq(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => numbers(left, right) == Some(Ordering::Equal),
        _ => left == right,
    }
}

/// A text is equal to what another kind of value looks like as text.
fn loosely_equal(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::String(text), other) | (other, Value::String(text))
            if other.is_number() || other.is_boolean() =>
        {
            let shown = other.to_string();
            shown == *text
        }
        _ => strict_eq(left, right),
    }
}

fn compare(left: &Value, right: &Value) -> Option<Ordering> {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => numbers(left, right),
        (Value::String(left), Value::String(right)) => Some(left.cmp(right)),
        (Value::String(text), Value::Number(number)) => numbers(&text.parse().ok()?, number),
        (Value::Number(number), Value::String(text)) => numbers(number, &text.parse().ok()?),
        _ => None,
    }
}

fn numbers(left: &Number, right: &Number) -> Option<Ordering> {
    match (left.as_i128(), right.as_i128()) {
        (Some(left), Some(right)) => Some(left.cmp(&right)),
        _ => left.as_f64()?.partial_cmp(&right.as_f64()?),
    }
}
