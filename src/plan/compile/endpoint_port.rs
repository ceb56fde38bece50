//! The port of an endpoint that is configured without one. It is never the client's choice: that of the scheme, or in Ocelot
//! compatibility mode that of the listener.

use crate::config::{Diagnostics, Spanned, codes};
use crate::plan::blueprint::Scheme;
use crate::plan::document::HostAndPort;

/// The usual port of the scheme; `None` in Ocelot compatibility mode: the port of the listener.
pub fn default_port(
    ocelot: bool,
    scheme: Scheme,
    entry: &Spanned<HostAndPort>,
    diagnostics: &mut Diagnostics,
) -> Option<u16> {
    let place = entry.port.as_ref().map_or(entry.span, |port| port.span);
    match scheme {
        _ if ocelot => {
            let message = "the endpoint has no Port: requests are sent to the port of the listener";
            diagnostics.warning(codes::NO_PORT, place, message).help("write the port of the backend");
            None
        }
        Scheme::Http => Some(80),
        Scheme::Https => Some(443),
        Scheme::SameAsClient => {
            let message = "the endpoint has no Port, and without DownstreamScheme there is no usual one";
            let help = "write the port of the backend, or DownstreamScheme for 80 (http) or 443 (https)";
            diagnostics.error(codes::NO_PORT, place, message).help(help);
            None
        }
    }
}
