//! TLS on both sides, over rustls (Envoy: downstream and upstream TLS contexts).
//!
//! Entry points: [`server::ServerTls::compile`] builds the acceptor of a listener (certificates by SNI, client
//! certificates, session tickets), called by the plan; [`client::TlsConfigCache`] builds the connector of an endpoint (trust
//! anchors, client certificate, ALPN), called by `backend`. Session ticket keys and the sessions cached per endpoint
//! outlive a reload; compiled configurations live as long as something uses them.

pub mod alpn;
pub mod certificate;
pub mod client;
mod client_session;
pub mod crypto;
pub mod pins;
pub mod server;
pub mod sni;
pub mod trust;
