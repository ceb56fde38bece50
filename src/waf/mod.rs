//! The web application firewall: rules, and the transactions that evaluate them.
//!
//! `language` reads rule files, `library` prepares what all policies of the same files share, `policy` compiles the rules
//! of one policy, and `transaction` evaluates a `request` against it. Nothing here knows sockets or the configuration.

pub mod base_rules;
pub mod bodies;
pub mod bytes;
pub mod decisions;
pub mod language;
pub mod library;
pub mod policy;
pub mod prefilter;
pub mod request;
pub mod transaction;
pub mod transform;

#[cfg(test)]
mod tests;
