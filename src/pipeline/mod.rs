//! The model of an HTTP exchange without I/O: heads, bodies, the exchange, the stage contract, errors and their
//! responses (Envoy: HTTP connection manager stream and `StreamFilter`; nginx: `ngx_http_request_t` and phases; YARP:
//! `HttpContext` and the middleware pipeline).
//!
//! Entry point: [`stage::run_request`] and [`stage::run_response`], called by `server` for each exchange;
//! [`response::rescue`] converts an error into a response. `stages` implements [`stage::Stage`], `net` implements the
//! bodies. An exchange owns its buffers, which a connection reuses for the next request. Nothing here outlives a
//! reload.

pub mod response;
pub mod response_inspection;
pub mod affinity;
pub mod body;
pub mod cancel;
pub mod collect;
pub mod error;
mod error_code;
pub mod cookies;
pub mod client_certificate;
pub mod client_fields;
pub mod exchange;
pub mod field_names;
pub mod grpc;
pub mod head;
mod head_parts;
pub mod identity;
pub mod known_header;
pub mod inspection;
pub mod internal;
pub mod peer;
pub mod problem;
pub mod record;
pub mod guard;
pub mod replay;
pub mod sas;
pub mod stage;
pub mod trace_parent;
pub mod trailer_filter;
pub mod upgrade;
