//! Affinity of SignalR connections: requests of a connection reach the endpoint that owns it.
//!
//! The stage `signalr` reads the tag of a request; [`run`] sends the request to the endpoint of that tag, and adds the tag to
//! the response of a negotiation. A tag is a keyed hash of the address of an endpoint (`tag.rs`): it reveals nothing about the
//! address, and does not depend on the order of the endpoints. Nothing outlives a plan.

mod call;
mod endpoint_tags;
mod negotiation;
mod tag;

pub use call::{ConnectionAffinity, run};
pub use negotiation::tag_position;
pub use tag::AffinityKey;

/// Where the tag of an endpoint is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AffinityMode {
    /// In the connection token of the client.
    Token,
    /// In a cookie of this name.
    Cookie(Box<str>),
    /// Nowhere: requests are balanced.
    None,
}
