//! Values of settings of roles: addresses, and names of a fixed list.

use crate::config::values::{Setting, non_blank};
use crate::config::{Diagnostics, codes};
use std::net::IpAddr;

/// An IP address.
pub fn address(text: &Setting<String>, diagnostics: &mut Diagnostics) -> Option<IpAddr> {
    let text = non_blank(text)?;
    let address = text.trim().parse();
    if address.is_err() {
        diagnostics
            .error(codes::BAD_ADDRESS, text.span, format!("invalid address \"{}\"", text.value))
            .help("expected an IP address such as 0.0.0.0 or ::1");
    }
    address.ok()
}

/// One of a fixed list of names, or the first.
pub fn choice<T: Copy>(
    setting: &str,
    text: &Setting<String>,
    known: &[(&'static str, T)],
    diagnostics: &mut Diagnostics,
) -> T {
    let default = known[0].1;
    let Some(text) = non_blank(text) else { return default };
    let found = known.iter().find(|(name, _)| name.eq_ignore_ascii_case(text.trim()));
    if found.is_none() {
        let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
        let message = format!("unknown {setting} \"{}\"", text.value);
        let diagnostic = diagnostics.error(codes::UNKNOWN_CHOICE, text.span, message);
        diagnostic.expected(text, &names);
    }
    found.map_or(default, |(_, value)| *value)
}
