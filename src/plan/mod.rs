//! Document → plan: cross checks, inheritance, route table, routes, the current plan, explain.

pub mod build;
pub mod aggregate;
pub mod blueprint;
pub mod check;
pub mod clusters;
pub mod compile;
pub mod document;
mod listeners;
mod dynamic_routes;
pub mod explain;
mod failures;
pub mod inherit;
mod limits;
pub mod routing;
pub mod compiled;
pub mod sought;
mod stage_options;

pub use build::{ProcessState, build};
pub use compile::{compile, compile_with_stages};
pub use compiled::{Aggregate, Limits, ListenerPlan, ListenerTls, Part, Plan, Route, RouteRef, Target};
