//! Device streams: a service application requests a stream over HTTP, a device answers over MQTT, and a bridge joins the
//! WebSocket connections of both (Azure IoT Hub: device streams; margay's agents take part in the place of devices).
//!
//! Entry points: [`hub::DeviceHub::request`] and [`join::join`], called by the service `DeviceStreams` of `control`;
//! [`session::serve`] for an MQTT connection of a listener or of a WebSocket. The hub is one for the process; sessions and
//! bridges outlive a reload unless it removes their device.

pub mod bridge;
mod bridge_relay;
mod connector;
pub mod hub;
pub mod join;
pub mod names;
pub mod request;
pub mod session;
