//! The only floor that names pingora: HTTP/1.1 codec, TLS, listeners, dial, DNS, pools.

pub mod deadline;
pub mod background;
pub mod buffer;
pub mod backend_request;
pub mod connect;
pub mod dns;
pub mod connection_limit;
pub mod h1;
pub mod h2;
pub mod io;
pub mod listener;
pub mod resolver;
pub mod http_client;
pub mod unix_address;
pub mod pool;
pub mod proxy_protocol;
pub mod pingora;
pub mod client_io;
pub mod tls;
