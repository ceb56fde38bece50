//! Entities of API management and policy documents that are made at run time: kept in the database, laid under the files.
//!
//! Entry points: [`load_initial`] at startup, [`EntityStore::change`] for the management pages. A change is checked with
//! the whole configuration, written to the database, and then applied as a plan; nothing of it is on the path of a request.

mod data;
mod keys;
mod store;

pub use data::{EntityData, POLICIES};
pub use keys::new_key;
pub use store::{EntityError, EntityStore, load_initial};
