//! The gateway as a client of an authorization server (OAuth 2.0): its metadata, and how the gateway authenticates there.

pub mod client;
pub mod form;
pub mod metadata;
