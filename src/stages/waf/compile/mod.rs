//! `WafPolicies` and `WafEngine` → the policies, and which one a route uses.

mod bots;
mod choice;
mod custom_rules;
mod engine;
mod exclusions;
mod policy;
mod rule_settings;
mod set;
mod unused;
mod variables;

pub use engine::{EngineFiles, compile_engine};
pub use policy::default_policy;
pub use set::{WafPolicySet, WafScope};
