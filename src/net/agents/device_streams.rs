//! Streams to devices that have a connection of another protocol, in the place of an agent.

use super::{error::AgentError, open::StreamRequest};
use crate::pipeline::upgrade::UpgradedIo;
use std::{fmt::Debug, future::Future, pin::Pin};

/// The stream, or why it is not opened.
pub type OpenDeviceStream<'r> =
    Pin<Box<dyn Future<Output = Result<Box<dyn UpgradedIo>, AgentError>> + Send + 'r>>;

/// The devices as connectors reach them.
pub trait DeviceStreams: Debug + Send + Sync {
    /// Whether a device with this id is connected and accepts streams.
    fn is_listening(&self, device: &str) -> bool;

    /// Requests a stream, whose name is that of the service.
    fn open<'r>(&'r self, request: StreamRequest<'r>) -> OpenDeviceStream<'r>;
}
