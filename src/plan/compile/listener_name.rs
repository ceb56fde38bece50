//! The names of listeners.

use crate::plan::check::non_blank;
use crate::plan::document::ListenerDocument;
use std::net::SocketAddr;

/// The name of a listener. The default name is the parsed address, not its text; that of a range of ports is its text.
pub fn listener_name(listener: &ListenerDocument) -> Option<String> {
    if let Some(name) = non_blank(&listener.name) {
        return Some(name.value.clone());
    }
    let text = listener.address.as_ref()?.trim();
    let address = text.parse::<SocketAddr>().ok().map(|address| address.to_string());
    address.or_else(|| listener.protocol.as_ref().map(|_| text.to_owned()))
}
