//! The only floor that names pingora: HTTP/1.1 codec, TLS, listeners, dial, DNS, pools.

pub mod alarm;
pub mod background;
pub mod buffer;
pub mod call;
pub mod dial;
pub mod dns;
pub mod gate;
pub mod h1;
pub mod h2;
pub mod io;
pub mod listen;
pub mod names;
pub mod outbound;
pub mod place;
pub mod pool;
pub mod proxy_protocol;
pub mod serve;
pub mod side;
pub mod tls;
