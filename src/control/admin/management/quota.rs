//! The counters of `quota-by-key` and of `quota`, by their keys.

use super::super::error::AdminError;
use super::{
    call::{Call, json_response, no_method},
    failure::bad_body,
};
use crate::{
    base::expr::format_rfc3339,
    pipeline::internal::Response,
    stages::program::counters::{Counters, QuotaCount},
};
use http::{Method, StatusCode};
use serde_json::{Value, json};
use std::sync::Arc;

/// Shows or sets a counter of the running period.
pub fn counter(call: &Call, key: &str) -> Result<Response, AdminError> {
    let counters = call.context.gateway()?.shared_state.programs.counters.clone();
    let name = format!("key\n{key}");
    let missing = || AdminError::not_found("nothing was counted with this key");
    let mut count = counters.quota_count(&name).ok_or_else(missing)?;
    if let Some(period) = call.path.get(3)
        && *period != count.start.to_string()
    {
        return Err(AdminError::not_found("the counter has another period"));
    }
    match call.method {
        Method::GET | Method::HEAD => {}
        Method::PATCH | Method::PUT => {
            set(&mut count, &call.properties())?;
            store(&counters, &name, count);
        }
        _ => return Err(no_method()),
    }
    let period = shown(key, count);
    Ok(match call.path.len() {
        2 => json_response(StatusCode::OK, &json!({ "count": 1, "value": [period] }), None),
        _ => json_response(StatusCode::OK, &period, None),
    })
}

fn set(count: &mut QuotaCount, properties: &Value) -> Result<(), AdminError> {
    let number = |name: &str| match &properties[name] {
        Value::Null => Ok(None),
        value => {
            let number = value.as_f64().filter(|number| *number >= 0.0);
            number
                .map(Some)
                .ok_or_else(|| bad_body(format!("invalid {name}: must be a number of at least 0")))
        }
    };
    if let Some(calls) = number("callsCount")? {
        count.calls = calls as u64;
    }
    if let Some(size) = number("kbTransferred")? {
        count.bytes = (size * 1024.0) as u64;
    }
    Ok(())
}

fn store(counters: &Arc<Counters>, name: &str, count: QuotaCount) {
    counters.quota(name, |current| *current = count);
    if let Some(durable) = counters.save_quota(name) {
        // The call is on a thread that may block.
        let _ = durable.blocking_recv();
    }
}

fn shown(key: &str, count: QuotaCount) -> Value {
    let time = |seconds: i64| format_rfc3339(i128::from(seconds) * 1_000_000_000);
    let end = if count.end == i64::MAX { Value::Null } else { json!(time(count.end)) };
    json!({
        "counterKey": key,
        "periodKey": count.start.to_string(),
        "periodStartTime": time(count.start),
        "periodEndTime": end,
        "value": { "callsCount": count.calls, "kbTransferred": count.bytes as f64 / 1024.0 },
    })
}
