//! The names of the internal services, for the check of a configuration and for dry runs.

/// The names that `DownstreamService` may have.
pub const NAMES: [&str; 3] = ["administration", "ServiceFabricNaming", "Roles"];
