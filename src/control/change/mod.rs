//! Changes of the configuration while the gateway runs: reloads, changes over the administration API, the watch of a
//! change with its rollback, and the history. Caddy's admin API applies configurations, Argo Rollouts watches releases.
//!
//! Entry point: [`ConfigManager`], the only owner of the active configuration; the file watch calls
//! [`ConfigManager::reload`], the administration its other methods. All of them block, and one runs at a time. The manager
//! outlives plans; the history outlives the process, in the data directory.

mod baseline;
mod entities;
mod entry;
mod history;
mod judge;
mod manager;
mod observer;
mod reloads;
mod requests;
mod sample;
mod save;
mod watched;

pub use baseline::Baseline;
pub use entities::EntityChangeError;
pub use entry::{Author, Entry, Origin, Outcome};
pub use history::History;
pub use manager::{ApplyFn, ConfigManager, ManagerParts};
pub use requests::{AppliedChange, ChangeError, ChangeOptions};
