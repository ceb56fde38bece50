//! Event handlers: what a connection reports to the HTTP backends of its hub, as CloudEvents (HTTP, binary mode).
//!
//! Entry point: [`EventHandlers`], which implements the contract [`EventSink`] of the engine. `delivery.rs` sends one event
//! with the pooled client of `backend/`; `validation.rs` obtains the permission of a handler before its first event;
//! `queue.rs` sends events without a response in order. Validations and queues are found by service, hub and URL and outlive
//! a plan; both are bounded. Handlers of SignalR receive other requests (`signalr_request.rs`) in the same way.

mod cloud_event;
mod connect;
mod delivery;
mod handlers;
mod http_call;
mod queue;
mod reply;
#[cfg(test)]
mod scripted_handler;
mod sink;
#[cfg(test)]
mod tests;
mod signalr_request;
mod url;
mod validation;

pub use handlers::EventHandlers;
pub use sink::{
    ClientFields, ConnectError, ConnectReply, ConnectRequest, EventError, EventFuture, EventReply, EventSink,
    EventSource, InvocationCall, InvocationOutcome, Notification,
};
pub use url::{UrlError, check_template};
