//! One entry of the history.

use serde::{Deserialize, Serialize};

/// Maximum number of lines of a diff in the history.
const MAX_LINES: usize = 50;

/// What replaced the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// The start of the process.
    Start,
    /// A change of the configuration files.
    Files,
    /// A signal, `SIGHUP`.
    Signal,
    /// The configuration store.
    Store,
    /// The administration API.
    Api,
    /// The return to an earlier configuration, requested over the API.
    Rollback,
    /// The return to the previous configuration, because the change was judged to be harmful.
    Watch,
}

/// What became of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Applied, without a watch.
    Applied,
    /// Applied, and watched.
    Watching,
    /// Watched, and kept: no changed route left its band.
    Kept,
    /// Watched, and kept with too few requests for a judgment.
    NotJudged,
    /// Watched, and rolled back.
    RolledBack,
    /// Another change ended the watch.
    Superseded,
    /// The gateway stopped during the watch.
    Interrupted,
    /// Not applied: the configuration has errors, fails its tests, or cannot be activated.
    Rejected,
}

/// Who requested a change, and from where.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Author {
    /// The name of the token or of the client certificate; empty without credentials, and for files.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub who: String,
    /// The address of the client, the file, or the store.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub from: String,
}

/// One change of the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Entry {
    /// Counts all changes of this data directory.
    pub number: u64,
    /// RFC 3339.
    pub time: String,
    /// The id of the configuration, as in `margay_config_info` and in `ETag`.
    pub id: String,
    pub origin: Origin,
    #[serde(flatten)]
    pub author: Author,
    /// What changes for traffic, in words.
    pub changes: Vec<String>,
    pub outcome: Outcome,
    /// Why it was rolled back or rejected, or how many requests were judged.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub reason: String,
    /// Whether the configuration files contain it.
    pub saved: bool,
}

/// Limits the lines of a diff.
pub fn limited(mut lines: Vec<String>) -> Vec<String> {
    if lines.len() > MAX_LINES {
        let more = lines.len() - MAX_LINES;
        lines.truncate(MAX_LINES);
        lines.push(format!("and {more} more changes"));
    }
    lines
}
