//! Patterns of events: `*`, or names separated by commas.

use crate::config::{Diagnostics, Spanned, codes};
use crate::realtime::config::UserEventPattern;

/// The pattern, if no name is empty.
pub fn event_pattern(
    setting: &str,
    pattern: &Spanned<String>,
    diagnostics: &mut Diagnostics,
) -> Option<UserEventPattern> {
    let names: Vec<&str> = pattern.split(',').map(str::trim).collect();
    if names.iter().any(|name| name.is_empty()) {
        let message = format!("invalid {setting} \"{}\": an empty name", pattern.value);
        diagnostics
            .error(codes::BAD_EVENT_PATTERN, pattern.span, message)
            .help("must be \"*\", or names separated by commas, such as \"order,chat\"");
        return None;
    }
    Some(match names.contains(&"*") {
        true => UserEventPattern::All,
        false => UserEventPattern::Names(names.into_iter().map(Into::into).collect()),
    })
}
