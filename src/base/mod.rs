//! Words everyone uses: units, secrets, and settings that are written as text.

pub mod from_text;
pub mod secret;
pub mod units;
