//! `SignalROptions` as the document has them.

use crate::{
    base::secret::Secret,
    config::{options::option_objects, values::Setting},
};

option_objects! {
    /// SignalR servers behind the route: negotiations are balanced, and all requests of a connection reach the server that
    /// negotiated it, over every transport. A request of a connection is never retried and never sent to another server.
    SignalROptions, GlobalSignalROptions {
        /// Where the server of a connection is stored: `Token`, in the connection token; `Cookie`, in a cookie; `None`, nowhere.
        /// Default: `Token`.
        affinity: Setting<String>,
        /// A secret of at least 32 bytes, the same on every gateway; write it as `${NAME}` or `${file:/path}`. Default: random
        /// in each process.
        key: Setting<Secret>,
        /// The name of the cookie. Default: `margay_signalr`.
        cookie_name: Setting<String>,
    }
}
