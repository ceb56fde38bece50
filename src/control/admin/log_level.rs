//! The level of the process log, which a client may change for a limited time.

use super::{
    context::AdminContext, error::AdminError, extract::JsonBody, log_override::LogOverride, page::JsonPage,
};
use crate::base::units::DurationText;
use axum::extract::State;
use http::StatusCode;
use log::LevelFilter;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use tokio::time::Instant;

/// How long a change lasts, unless the request has another time.
const DEFAULT_DURATION: Duration = Duration::from_secs(600);
/// The longest time.
const MAX_DURATION: Duration = Duration::from_secs(86_400);

/// The level of the process log.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct LogLevel {
    /// `off`, `error`, `warn`, `info`, `debug` or `trace`.
    pub level: String,
    /// The level after the change; absent without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reverts_to: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reverts_in_seconds: Option<u64>,
}

/// A change of the level.
#[derive(Clone, Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(default)]
pub struct LogLevelChange {
    /// `off`, `error`, `warn`, `info`, `debug` or `trace`. Required.
    #[schema(required = true)]
    pub level: String,
    /// How long, such as `10m`. 1s to 1d. Default: `10m`.
    #[serde(rename = "for")]
    #[schema(required = false)]
    pub duration: String,
}

/// The level of the process log.
#[utoipa::path(get, path = "/v1/log-level", tag = "status", responses((status = 200, body = LogLevel)))]
pub async fn log_level(State(context): State<AdminContext>) -> JsonPage<LogLevel> {
    JsonPage(current(&context.shared.log_level))
}

/// Changes the level of the process log. The change reverts by itself.
#[utoipa::path(put, path = "/v1/log-level", tag = "status", request_body = LogLevelChange,
    responses((status = 200, body = LogLevel)))]
pub async fn set_log_level(
    State(context): State<AdminContext>,
    JsonBody(change): JsonBody<LogLevelChange>,
) -> Result<JsonPage<LogLevel>, AdminError> {
    let invalid = |detail: String| AdminError::new(StatusCode::BAD_REQUEST, "admin.body", detail);
    let level = change.level.trim().parse().map_err(|_| {
        invalid(format!("invalid level \"{}\": must be off, error, warn, info, debug or trace", change.level))
    })?;
    let duration = duration(&change.duration).map_err(invalid)?;
    let (state, until) = (context.shared.log_level.clone(), Instant::now() + duration);
    let gateway = context.gateway()?;
    state.set(level, until);
    gateway.shared_state.background.spawn(async move {
        tokio::time::sleep_until(until).await;
        if state.revert(Instant::now()) {
            log::info!("the log level is reverted");
        }
    });
    Ok(JsonPage(current(&context.shared.log_level)))
}

fn current(log_override: &LogOverride) -> LogLevel {
    let change = log_override.current();
    let name = |filter: LevelFilter| filter.as_str().to_ascii_lowercase();
    LogLevel {
        level: name(log::max_level()),
        reverts_to: change.map(|change| name(change.previous)),
        reverts_in_seconds: change.map(|change| (change.until - Instant::now()).as_secs()),
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    if text.is_empty() {
        return Ok(DEFAULT_DURATION);
    }
    let duration = crate::base::from_text::FromText::from_text(text).map(|DurationText(duration)| duration);
    match duration {
        Ok(duration) if (Duration::from_secs(1)..=MAX_DURATION).contains(&duration) => Ok(duration),
        _ => Err(format!("invalid for \"{text}\": must be a duration between 1s and 1d, such as 10m")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_lasts_between_a_second_and_a_day() {
        assert_eq!(duration(""), Ok(DEFAULT_DURATION));
        assert_eq!(duration("1m"), Ok(Duration::from_secs(60)));
        for text in ["0s", "2d", "soon", "1"] {
            assert!(duration(text).unwrap_err().contains("1s and 1d"), "{text}");
        }
    }
}
