//! Head, exchange, stage contract, outcome, rescue: what a request is, without a socket in sight.

pub mod answer;
pub mod body;
pub mod cause;
pub mod cookies;
pub mod certificate;
pub mod exchange;
pub mod grpc;
pub mod head;
pub mod identity;
pub mod lease;
pub mod replay;
pub mod services;
pub mod stage;
pub mod switch;
