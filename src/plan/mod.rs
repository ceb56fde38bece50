//! Document → plan: cross checks, inheritance, route table, routes, the current plan, explain.

pub mod activate;
pub mod admission;
pub mod aggregate;
pub mod blueprint;
pub mod check;
pub mod compile;
mod doors;
mod dynamic;
pub mod explain;
mod failures;
pub mod inherit;
mod limits;
pub mod routing;
pub mod runtime;
pub mod sought;

pub use activate::{Foundation, activate};
pub use compile::{compile, compile_with};
pub use runtime::{Aggregate, Found, Limits, ListenerPlan, ListenerTls, Part, Plan, Route, Target};
