//! What a route's options are once `GlobalConfiguration` is taken into account (Ocelot 24.1 and later).
//!
//! Pure functions of the document: a group of global options holds for all routes or for those whose `Key` it lists;
//! where it holds, the route's own values win property by property. Old names of a setting win over new ones after
//! that merge, so that an old name under `GlobalConfiguration` beats a new name on the route, as in Ocelot.

use crate::config::Spanned;
use crate::plan::document::{DurationSetting, Setting};
use std::time::Duration;

/// The `Timeout` of a route that has none, and none under `GlobalConfiguration`.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(90);

/// The header of the request id: the route's unless empty, else the global one unless empty.
pub fn request_id_key<'a>(
    own: &'a Setting<String>,
    global: &'a Setting<String>,
) -> Option<&'a Spanned<String>> {
    let filled = |key: &&Spanned<String>| !key.is_empty();
    own.as_ref().filter(filled).or_else(|| global.as_ref().filter(filled))
}

/// The time a service has: the route's, else the global one, else 90 seconds; zero and less count as 90 seconds too.
pub fn timeout<'a>(
    own: &'a Setting<DurationSetting>,
    global: &'a Setting<DurationSetting>,
) -> (Duration, Option<&'a Spanned<DurationSetting>>) {
    let written = own.as_ref().or(global.as_ref());
    let time = written.and_then(|wait| wait.non_zero());
    (time.unwrap_or(DEFAULT_TIMEOUT), written)
}

#[cfg(test)]
mod tests;
