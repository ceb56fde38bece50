//! The control plane: what replaces the active plan, and the administration pages (Envoy: xDS client and admin
//! interface; nginx: master process with `SIGHUP`; YARP: `IProxyConfigProvider`).
//!
//! Entry point: [`process::serve`], called by `cli`; [`candidate::Candidate::read`] is the path from files to a checked
//! blueprint for startup, reload, `check` and `explain`. Owns the file watch, the configuration store, signal handling
//! and the administration gateway, all of which outlive a reload.

pub mod active;
pub mod admin;
pub mod candidate;
pub mod change;
pub mod effective;
pub mod entities;
pub mod fabric_naming;
pub mod dry_run;
pub mod gateway_handle;
mod port_checks;
mod role_ports;
pub mod roles;
pub mod service_names;
mod log_signal;
pub mod services;
pub mod tunnels;
mod watch_paths;
pub mod process;
pub mod config_store;
pub mod watch;
