//! Times and durations.

use super::{
    super::{
        convert::type_name,
        error::EvalError,
        timestamp::{CivilTime, civil, format_http, format_pattern, parse_duration, parse_rfc3339},
        value::Value,
    },
    function::{Function, free, int_of, member, text_of},
};
use std::time::{SystemTime, UNIX_EPOCH};

const NANOS: i128 = 1_000_000_000;

/// The functions of this group.
pub const FUNCTIONS: &[Function] = &[
    free("now", 0, 0, |_, _| {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Ok(Value::Timestamp(since.as_nanos() as i128))
    }),
    free("timestamp", 1, 1, |_, a| match &a[0] {
        Value::Timestamp(at) => Ok(Value::Timestamp(*at)),
        Value::Int(seconds) => Ok(Value::Timestamp(i128::from(*seconds) * NANOS)),
        text => parse_rfc3339(text_of("timestamp", text)?)
            .map(Value::Timestamp)
            .ok_or_else(|| EvalError::new("the text is not a timestamp such as 2024-02-29T12:00:00Z")),
    }),
    free("duration", 1, 1, |_, a| match &a[0] {
        Value::Duration(length) => Ok(Value::Duration(*length)),
        text => parse_duration(text_of("duration", text)?)
            .map(Value::Duration)
            .ok_or_else(|| EvalError::new("the text is not a duration such as 1h30m")),
    }),
    free("time.unix", 1, 1, |_, a| Ok(Value::Int(at(&a[0])?.div_euclid(NANOS) as i64))),
    free("time.unixMillis", 1, 1, |_, a| Ok(Value::Int(at(&a[0])?.div_euclid(1_000_000) as i64))),
    free("time.fromUnix", 1, 1, |_, a| {
        Ok(Value::Timestamp(
            i128::from(int_of("time.fromUnix", &a[0])?.clamp(-62_135_596_800, 253_402_300_799)) * NANOS,
        ))
    }),
    free("time.http", 1, 1, |_, a| Ok(Value::text_or_null(format_http(at(&a[0])?)))),
    free("time.format", 2, 2, |_, a| {
        format_pattern(at(&a[0])?, text_of("time.format", &a[1])?)
            .map(Value::text)
            .ok_or_else(|| EvalError::new("time.format has an unknown specifier"))
    }),
    member("getFullYear", 0, 1, |_, a| part(a, |t| t.year)),
    member("getMonth", 0, 1, |_, a| part(a, |t| t.month - 1)),
    member("getDayOfMonth", 0, 1, |_, a| part(a, |t| t.day - 1)),
    member("getDate", 0, 1, |_, a| part(a, |t| t.day)),
    member("getDayOfWeek", 0, 1, |_, a| part(a, |t| (t.days + 4).rem_euclid(7))),
    member("getHours", 0, 1, |_, a| match &a[0] {
        Value::Duration(length) => Ok(Value::Int((length / (3600 * NANOS)) as i64)),
        _ => part(a, |t| t.hour),
    }),
    member("getMinutes", 0, 1, |_, a| match &a[0] {
        Value::Duration(length) => Ok(Value::Int((length / (60 * NANOS)) as i64)),
        _ => part(a, |t| t.minute),
    }),
    member("getSeconds", 0, 1, |_, a| match &a[0] {
        Value::Duration(length) => Ok(Value::Int((length / NANOS) as i64)),
        _ => part(a, |t| t.second),
    }),
    member("getMilliseconds", 0, 1, |_, a| part(a, |t| t.nanos / 1_000_000)),
];

fn at(value: &Value) -> Result<i128, EvalError> {
    match value {
        Value::Timestamp(at) => Ok(*at),
        other => Err(EvalError::new(format!("expected a timestamp, found {}", type_name(other)))),
    }
}

fn part(a: &[Value], of: impl Fn(&CivilTime) -> i64) -> Result<Value, EvalError> {
    Ok(Value::Int(of(&civil(at(&a[0])?))))
}
