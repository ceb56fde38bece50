//! The names of the internal services, for the check of a configuration and for dry runs.

/// The names that `DownstreamService` may have.
pub const NAMES: [&str; 5] = ["administration", "ServiceFabricNaming", "Roles", "Agents", "DeviceStreams"];
