//! Evaluation of an expression on a document.

use super::syntax::{FilterExpr, Operand, Selector, Step};
use serde_json::Value;

/// Maximum number of nodes that one evaluation visits: a short expression can require a lot of work.
const MAX_VISITS: usize = 1_000_000;

/// The document is too large for the expression.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the evaluation would visit more than {MAX_VISITS} values")]
pub struct BudgetExceeded;

/// How many more values may be visited.
struct Budget(usize);

impl Budget {
    fn visit(&mut self) -> Result<(), BudgetExceeded> {
        self.0 = self.0.checked_sub(1).ok_or(BudgetExceeded)?;
        Ok(())
    }
}

/// The values that the steps lead to, in the order of the document.
pub fn evaluate<'v>(steps: &[Step], root: &'v Value) -> Result<Vec<&'v Value>, BudgetExceeded> {
    walk(steps, root, root, &mut Budget(MAX_VISITS))
}

fn walk<'v>(
    steps: &[Step],
    root: &'v Value,
    from: &'v Value,
    budget: &mut Budget,
) -> Result<Vec<&'v Value>, BudgetExceeded> {
    let mut found = vec![from];
    for step in steps {
        let mut next = Vec::new();
        for value in found {
            step.apply_selector(root, value, &mut next, budget)?;
        }
        found = next;
    }
    Ok(found)
}

impl Step {
    fn apply_selector<'v>(
        &self,
        root: &'v Value,
        value: &'v Value,
        found: &mut Vec<&'v Value>,
        budget: &mut Budget,
    ) -> Result<(), BudgetExceeded> {
        budget.visit()?;
        match &self.selectors[..] {
            [Selector::Name(name)] if self.is_descendant => descendants_named(name, value, found, budget),
            [Selector::Members] if self.is_descendant => all_descendants(value, found, budget),
            selectors if self.is_descendant => {
                let mut all = vec![value];
                all_descendants(value, &mut all, budget)?;
                all.into_iter().try_for_each(|value| select(selectors, root, value, found, budget))
            }
            selectors => select(selectors, root, value, found, budget),
        }
    }
}

fn select<'v>(
    selectors: &[Selector],
    root: &'v Value,
    value: &'v Value,
    found: &mut Vec<&'v Value>,
    budget: &mut Budget,
) -> Result<(), BudgetExceeded> {
    selectors.iter().try_for_each(|selector| selector.apply_selector(root, value, found, budget))
}

/// Every member of that name, parents before their descendants.
fn descendants_named<'v>(
    name: &str,
    value: &'v Value,
    found: &mut Vec<&'v Value>,
    budget: &mut Budget,
) -> Result<(), BudgetExceeded> {
    let mut waiting = vec![(None, value)];
    while let Some((key, value)) = waiting.pop() {
        budget.visit()?;
        if key == Some(name) {
            found.push(value);
        }
        push_children(value, &mut waiting);
    }
    Ok(())
}

/// All descendants of a value, parents first.
fn all_descendants<'v>(
    value: &'v Value,
    found: &mut Vec<&'v Value>,
    budget: &mut Budget,
) -> Result<(), BudgetExceeded> {
    let mut waiting = Vec::new();
    push_children(value, &mut waiting);
    while let Some((_, value)) = waiting.pop() {
        budget.visit()?;
        found.push(value);
        push_children(value, &mut waiting);
    }
    Ok(())
}

/// Pushes onto the stack of values to visit: the last one pushed is visited next.
fn push_children<'v>(value: &'v Value, waiting: &mut Vec<(Option<&'v str>, &'v Value)>) {
    let start = waiting.len();
    match value {
        Value::Array(items) => waiting.extend(items.iter().map(|item| (None, item))),
        Value::Object(members) => {
            waiting.extend(members.iter().map(|(key, value)| (Some(key.as_str()), value)));
        }
        _ => {}
    }
    waiting[start..].reverse();
}

impl Selector {
    fn apply_selector<'v>(
        &self,
        root: &'v Value,
        value: &'v Value,
        found: &mut Vec<&'v Value>,
        budget: &mut Budget,
    ) -> Result<(), BudgetExceeded> {
        match (self, value) {
            (Selector::Name(name), Value::Object(members)) => found.extend(members.get(&**name)),
            (Selector::Members, Value::Object(members)) => {
                for member in members.values() {
                    budget.visit()?;
                    found.push(member);
                }
            }
            (Selector::Wildcard, Value::Array(items)) => {
                for item in items {
                    budget.visit()?;
                    found.push(item);
                }
            }
            (Selector::Index(index), Value::Array(items)) => {
                found.extend(resolve_index(*index, items.len()).and_then(|at| items.get(at)));
            }
            (Selector::Slice { start, end, step }, Value::Array(items)) => {
                for at in slice(*start, *end, *step, items.len()) {
                    budget.visit()?;
                    found.extend(items.get(at));
                }
            }
            (Selector::Filter(test), Value::Array(items)) => {
                return test.filter(root, items.iter(), found, budget);
            }
            (Selector::Filter(test), Value::Object(members)) => {
                return test.filter(root, members.values(), found, budget);
            }
            _ => {}
        }
        Ok(())
    }
}

/// Resolves an index; negative indexes count from the end.
fn resolve_index(index: i64, len: usize) -> Option<usize> {
    let len = i64::try_from(len).ok()?;
    let at = if index < 0 { len.checked_add(index)? } else { index };
    usize::try_from(at).ok()
}

/// The indexes that a slice selects (as in Python, and RFC 9535 2.3.4).
fn slice(start: Option<i64>, end: Option<i64>, step: i64, len: usize) -> Vec<usize> {
    let len = i64::try_from(len).unwrap_or(i64::MAX);
    let bound = |at: i64, min: i64, max: i64| {
        let at = if at < 0 { len.saturating_add(at) } else { at };
        at.clamp(min, max)
    };
    let mut places = Vec::new();
    if step > 0 {
        let end = end.map_or(len, |end| bound(end, 0, len));
        let mut at = start.map_or(0, |start| bound(start, 0, len));
        while at < end {
            places.extend(usize::try_from(at));
            at = at.saturating_add(step);
        }
    } else if step < 0 {
        let end = end.map_or(-1, |end| bound(end, -1, len - 1));
        let mut at = start.map_or(len - 1, |start| bound(start, -1, len - 1));
        while at > end {
            places.extend(usize::try_from(at));
            at = at.saturating_add(step);
        }
    }
    places
}

impl FilterExpr {
    /// Appends the values for which the condition holds.
    fn filter<'v>(
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
                left.iter().any(|left| right.iter().any(|right| operator.compare(left, right)))
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
                walk(steps, root, if *from_root { root } else { value }, budget)
            }
        }
    }
}
