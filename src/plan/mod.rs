//! Document → plan: cross checks, route table, routes, the current plan, explain.

pub mod routing;
pub mod runtime;

pub use runtime::{Limits, ListenerPlan, Plan, Route, Target};
