//! Who may change the plan, and who may ask how the gateway is: the file watch, the store, the signal, the administration
//! address.

pub mod admin;
pub mod candidate;
pub mod gateway_handle;
pub mod services;
mod watch_paths;
pub mod process;
pub mod reload;
pub mod config_store;
pub mod watch;
