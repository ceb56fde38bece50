//! Tunnels in a plan: the settings of agents, hosts that name their services, and routes whose path names the agent.
//!
//! Entry points: `compile` and the checks of hosts, called by the compilers of routes and clusters, and [`target`], called
//! by `build`. The registry of connected agents belongs to the process state and outlives a plan.

mod agents;
mod checks;
mod compile;
mod device_streams;
pub mod host;
mod limits;
pub mod target;

pub use compile::compile;
