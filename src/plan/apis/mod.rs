//! API management: from entities and policy documents to programs, and the table that finds the operation of a request.
//!
//! [`compile::compile`] checks everything and makes the [`blueprint::ApisBlueprint`]; `build` attaches clusters,
//! breakers and counters and makes a route for each operation; [`table::ApiTable`] finds it.

mod api;
pub mod around;
pub mod blueprint;
pub mod build;
mod certificates;
pub mod compile;
pub mod described;
mod documents;
mod identities;
mod lints;
mod named_values;
mod operations;
mod paths;
pub mod programs;
mod services;
mod sources;
mod subscriptions;
pub mod table;
