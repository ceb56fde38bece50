//! Head, exchange, stage contract, outcome, rescue: what a request is, without a socket in sight.

pub mod response;
pub mod body;
pub mod cancel;
pub mod collect;
pub mod error;
pub mod cookies;
pub mod client_certificate;
pub mod exchange;
pub mod grpc;
pub mod head;
pub mod identity;
pub mod internal;
pub mod problem;
pub mod guard;
pub mod replay;
pub mod stage;
pub mod upgrade;
