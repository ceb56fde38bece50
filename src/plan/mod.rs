//! Document → plan: cross checks, route table, routes, the current plan, explain.

pub mod activate;
pub mod blueprint;
pub mod routing;
pub mod runtime;

pub use activate::{Ground, activate};
pub use runtime::{Limits, ListenerPlan, Plan, Route, Target};
