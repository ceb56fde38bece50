//! Workers, accept, the exchange loop, relay: where requests enter and answers leave.

pub mod aggregate;
pub mod answer;
pub mod door;
pub mod gateway;
pub mod listeners;
pub mod local;
pub mod part;
pub mod relay;
pub mod run;
pub mod serve;
pub mod streams;
pub mod tunnel;
pub mod worker;

pub use gateway::Gateway;
