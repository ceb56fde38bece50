//! The database of the process: entities of API management that are made at run time, and the counts of quotas.
//!
//! - Elsewhere: the database of Kong, the configuration database of Azure API Management.
//! - Entry points: [`Database::open`] when the process starts; [`Database::save_quota`] and [`Database::save_entities`].
//! - Callers: `stages/program` saves quotas, `control/entities` the entities. What an entity means is theirs.
//! - Owns: one thread with its own runtime, which is the one writer, and the file. No request reads the database.
//! - Outlives a reload: all of it.

mod cipher;
mod lock;
pub mod maintenance;
mod schema;
mod writer;

pub use writer::Database;

use std::path::PathBuf;

/// When a counted call is durable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// Counts are written together, within 100 ms.
    #[default]
    Batched,
    /// A call waits until it is written.
    Strict,
}

/// The settings of the database.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DatabaseConfig {
    /// The directory of the file and of its key.
    pub directory: PathBuf,
    /// The file; relative to the directory.
    pub file: PathBuf,
    pub durability: Durability,
}

/// An entity as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntityRow {
    pub kind: String,
    pub id: String,
    /// `None`: it is removed.
    pub body: Option<String>,
}

/// The count of a quota as it is stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QuotaRow {
    /// Seconds since 1970.
    pub start: i64,
    /// `i64::MAX` without a period.
    pub end: i64,
    pub calls: u64,
    pub bytes: u64,
}

/// What a database contains when it is opened.
#[derive(Debug, Default)]
pub struct StoredRows {
    pub entities: Vec<EntityRow>,
    pub quotas: Vec<(String, QuotaRow)>,
}
