//! `Waf`: the web application firewall.
//!
//! - Elsewhere: ModSecurity with the OWASP Core Rule Set, Azure Web Application Firewall, Coraza.
//! - Entry point: [`WafRoute`], the policies of a route; it builds two stages: custom rules and bots before
//!   authentication, managed rules behind it.
//! - Callers: the compiler of routes resolves the policies, the table of stages builds the stages.
//! - Owns: policies, their custom rules and bots. The engine is `waf/`.
//! - Outlives a reload: counters of custom rules, the pool of threads, the log, verified bots.

pub mod bots;
mod build;
pub mod compile;
pub mod config;
pub mod country;
pub mod custom_rules;
pub mod early;
mod evaluate;
mod inspector;
mod late;
mod own_rules;
pub mod options;
pub mod proposal;
mod record;
mod refusal;
mod response;
mod route;
pub mod rule_source;
pub mod scrubbing;
mod state;
mod verified;

pub use compile::{WafPolicySet, WafScope};
pub use route::WafRoute;
pub use state::WafState;

/// The first position: custom rules and bots.
pub const NAME_EARLY: &str = "waf-custom-rules";
/// The second position: managed rules.
pub const NAME: &str = "waf";

#[cfg(test)]
mod tests;
