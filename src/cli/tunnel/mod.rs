//! What `margay agent` and `margay connect` share: the gateway, its certificate authorities, a proxy, the proof of identity,
//! and the pauses between attempts.

pub mod arguments;
pub mod backoff;
pub mod credentials;
pub mod gateway;
