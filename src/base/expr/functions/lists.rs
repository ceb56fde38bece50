//! Lists.

use super::{
    super::{error::EvalError, operators::ordered, value::Value},
    function::{Function, free, int_of, list_of, member},
};
use std::{cmp::Ordering, sync::Arc};

/// The functions of this group.
pub const FUNCTIONS: &[Function] = &[
    free("first", 1, 1, |_, a| Ok(list_of("first", &a[0])?.first().cloned().unwrap_or_default())),
    free("last", 1, 1, |_, a| Ok(list_of("last", &a[0])?.last().cloned().unwrap_or_default())),
    member("first", 0, 0, |_, a| Ok(list_of("first", &a[0])?.first().cloned().unwrap_or_default())),
    member("last", 0, 0, |_, a| Ok(list_of("last", &a[0])?.last().cloned().unwrap_or_default())),
    free("any", 1, 1, |_, a| Ok(Value::Bool(!list_of("any", &a[0])?.is_empty()))),
    member("slice", 2, 2, |_, a| {
        let items = list_of("slice", &a[0])?;
        let bound =
            |value: &Value| int_of("slice", value).map(|n| usize::try_from(n).unwrap_or(0).min(items.len()));
        let (from, to) = (bound(&a[1])?, bound(&a[2])?);
        Ok(Value::list(items.get(from..to).unwrap_or_default().iter().cloned()))
    }),
    member("reverse", 0, 0, |_, a| match &a[0] {
        Value::Text(text) => Ok(Value::text(text.chars().rev().collect::<String>())),
        list => Ok(Value::list(list_of("reverse", list)?.iter().rev().cloned())),
    }),
    member("distinct", 0, 0, |machine, a| {
        let items = list_of("distinct", &a[0])?;
        let mut distinct: Vec<Value> = Vec::new();
        for item in items {
            machine.spend(distinct.len())?;
            if !distinct.contains(item) {
                distinct.push(item.clone());
            }
        }
        Ok(Value::List(Arc::new(distinct)))
    }),
    member("flatten", 0, 0, |_, a| {
        let items = list_of("flatten", &a[0])?.iter();
        Ok(Value::list(items.flat_map(|item| match item {
            Value::List(inner) => inner.to_vec(),
            other => vec![other.clone()],
        })))
    }),
    member("sort", 0, 0, |_, a| {
        let mut items = list_of("sort", &a[0])?.to_vec();
        let mut mistake = None;
        items.sort_by(|a, b| match ordered(a, b) {
            Ok(order) => order.unwrap_or(Ordering::Equal),
            Err(error) => {
                mistake = Some(error);
                Ordering::Equal
            }
        });
        mistake.map_or(Ok(Value::List(Arc::new(items))), Err)
    }),
    free("lists.range", 1, 1, |machine, a| {
        let n = int_of("lists.range", &a[0])?;
        machine
            .spend(usize::try_from(n).map_err(|_| EvalError::new("lists.range needs a number from 0"))?)?;
        Ok(Value::list((0..n).map(Value::Int)))
    }),
];
