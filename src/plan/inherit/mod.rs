//! Inheritance: the effective options of a route after `GlobalConfiguration` is applied (Ocelot 24.1 and later).
//!
//! Pure functions of the document: a group of global options applies to all routes or to those whose `Key` it lists;
//! there the route's own values take precedence, property by property. Legacy names take precedence over new ones
//! after that merge, so that a legacy name in `GlobalConfiguration` overrides a new name on the route, as in Ocelot.
//! Called by `plan::compile`; nothing outlives the call.

use crate::config::Spanned;
use crate::plan::document::{DurationSetting, Setting};
use std::time::Duration;

/// The default `Timeout`.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(90);

/// The header of the request id: the route's unless empty, otherwise the global one unless empty.
pub fn request_id_key<'a>(
    own: &'a Setting<String>,
    global: &'a Setting<String>,
) -> Option<&'a Spanned<String>> {
    let filled = |key: &&Spanned<String>| !key.is_empty();
    own.as_ref().filter(filled).or_else(|| global.as_ref().filter(filled))
}

/// The timeout of the backend: the route's, otherwise the global one, otherwise 90 seconds; zero and negative values
/// also count as 90 seconds.
pub fn timeout<'a>(
    own: &'a Setting<DurationSetting>,
    global: &'a Setting<DurationSetting>,
) -> (Duration, Option<&'a Spanned<DurationSetting>>) {
    let setting = own.as_ref().or(global.as_ref());
    let time = setting.and_then(|timeout| timeout.non_zero());
    (time.unwrap_or(DEFAULT_TIMEOUT), setting)
}

#[cfg(test)]
mod tests;
