//! Which pages an address has, and who may use them.

use crate::net::listener::Address;

/// The access that an address grants. The listener of the connection decides: no connection to a remote address ever
/// becomes a local one, whatever a reload changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// All pages. The address is local to the machine: credentials are required only if there are any.
    Local,
    /// All pages, with credentials.
    Remote,
    /// The pages for probes and Prometheus alone, without credentials.
    Health,
}

impl Access {
    /// Every kind of access.
    pub const ALL: [Access; 3] = [Access::Local, Access::Remote, Access::Health];

    /// The access of an administration address.
    pub fn for_address(address: &Address) -> Access {
        if address.is_local() { Access::Local } else { Access::Remote }
    }

    /// The name of the listener and of the internal service.
    pub fn name(self) -> &'static str {
        match self {
            Access::Local => "administration on a local address",
            Access::Remote => "administration",
            Access::Health => "health",
        }
    }
}
