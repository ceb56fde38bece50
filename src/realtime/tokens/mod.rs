//! Access tokens of hubs: JWTs with HS256, signed with the keys of the service.
//!
//! Entry points: [`verify_client`] at a handshake, [`verify_claims`] for requests of SignalR clients, [`verify_server`] for each request of the data plane, [`sign_client`] for
//! tokens that the gateway issues. The audience separates clients from the data plane, hubs from each other, and
//! operations from each other (`audience.rs`). Nothing here holds state: keys belong to the settings of the service.

mod audience;
mod sign;
#[cfg(test)]
mod tests;
mod verify;

pub use sign::{ClientGrant, sign_client};
pub use verify::{
    ClientToken, TokenError, TokenRequest, bearer_token, verify_claims, verify_client, verify_server,
};
