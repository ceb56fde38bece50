//! Networking, the only floor that names pingora: HTTP/1.1 and HTTP/2, TLS, listeners, connecting, DNS, connection pools
//! (Envoy: codecs, transport sockets and connection pools).
//!
//! Entry points: [`listener::bind`], [`h1::client::ClientConn`] and [`h2::Connection`] for clients, called by `server`;
//! [`backend_request::BackendRequest`] with [`pool`] and [`h2::pool`] for backends, called by `backend`. It owns sockets,
//! buffers, idle connections and resolved names. Listening sockets, resolved names, and pooled connections of unchanged
//! endpoints outlive a reload.

pub mod deadline;
pub mod agents;
pub mod devices;
pub mod mqtt;
pub mod background;
pub mod client_hello;
pub mod backend_datagram;
pub mod datagram;
pub mod forward_stream;
pub mod socket_stream;
pub mod splice;
pub mod buffer;
pub mod buffered_client;
pub mod backend_request;
pub mod connect;
pub mod connected_peer;
pub mod descriptors;
pub mod dns;
pub mod connection_limit;
mod connection_queue;
pub mod release_requests;
pub mod h1;
pub mod h2;
pub mod io;
pub mod listener;
pub mod reserved;
pub mod otlp;
pub mod resolver;
pub mod grpc_client;
pub mod http_client;
pub mod unix_address;
pub mod upgraded;
pub mod websocket;
pub mod pool;
pub mod pool_key;
mod socket;
pub mod proxy_protocol;
pub mod pingora;
pub mod client_io;
pub mod tls;
