//! `Buffering` as the document has it.

use crate::base::units::SizeText;
use crate::config::options::option_objects;
use crate::config::values::Setting;

option_objects! {
    /// Buffers that free a connection to the backend early, whatever the speed of the client.
    BufferingOptions, GlobalBufferingOptions {
        /// How much of a response is received ahead of a slow client. 0 bytes to 16 MiB; 0: nothing. Default: `64KiB`,
        /// and `1MiB` where `MaxConnectionsPerServer` limits the connections. Source: nginx, `proxy_buffers`.
        response_size: Setting<SizeText>,
        /// How much of a request body is received before a connection is taken, where `MaxConnectionsPerServer` limits
        /// the connections. 0 bytes to 16 MiB; 0: nothing. Default: `64KiB`. Source: nginx, `proxy_request_buffering`.
        request_size: Setting<SizeText>,
    }
}
