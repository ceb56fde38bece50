//! Hop-by-hop fields (RFC 9110 7.6.1): fields of one connection, which are never forwarded.

use crate::{
    base::{bytes::comma_list, websocket::is_valid_key},
    net::agents::names::{AGENT_PROTOCOL, CONNECT_PROTOCOL},
    pipeline::head::{Head, KnownHeader, KnownHeaders, Version},
};

/// The connection options of a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HopByHop {
    pub close: bool,
    pub keep_alive: bool,
    /// The seconds of `Keep-Alive: timeout`: how long the sender keeps an idle connection.
    pub keep_alive_timeout: Option<u32>,
    pub te_trailers: bool,
    /// The client requests an upgrade to WebSocket (RFC 6455 4.1).
    pub websocket: bool,
    /// The client requests an upgrade to a tunnel of agents.
    pub tunnel: Option<TunnelUpgrade>,
}

/// A protocol of agents and connectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TunnelUpgrade {
    Agent,
    Connect,
}

impl TunnelUpgrade {
    /// The value of `Upgrade`.
    pub fn name(self) -> &'static str {
        match self {
            TunnelUpgrade::Agent => AGENT_PROTOCOL,
            TunnelUpgrade::Connect => CONNECT_PROTOCOL,
        }
    }
}

/// Maximum number of connection options, unless configured.
pub const MAX_CONNECTION_OPTIONS: usize = 32;

/// More connection options than allowed: each one costs a search of the whole head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooManyOptions;

impl TooManyOptions {
    /// The message of the error.
    pub fn detail(self) -> &'static str {
        "Connection contains too many options"
    }
}

/// The fields that are removed from every head (RFC 9110 7.6.1).
const HOP_BY_HOP: KnownHeaders = KnownHeaders::of(&[
    KnownHeader::Connection,
    KnownHeader::KeepAlive,
    KnownHeader::ProxyConnection,
    KnownHeader::Te,
    KnownHeader::TransferEncoding,
    KnownHeader::Upgrade,
    KnownHeader::Http2Settings,
]);

/// Reads the connection options and removes every hop-by-hop field from the head, framing fields included. A field that the
/// gateway itself relies on is never removed because `Connection` lists it.
pub fn strip(head: &mut Head, max_options: usize) -> Result<HopByHop, TooManyOptions> {
    let mut hop = HopByHop::default();
    if !head.may_have(HOP_BY_HOP) {
        return Ok(hop);
    }
    let listed = connection_options(head, max_options, &mut hop)?;
    hop.websocket = is_websocket(head);
    hop.tunnel = tunnel_upgrade(head);
    hop.te_trailers =
        head.get_all_known(KnownHeader::Te).flat_map(comma_list).any(|v| v.eq_ignore_ascii_case(b"trailers"));
    for name in listed {
        head.remove(&name);
    }
    let options = head.get_all_known(KnownHeader::KeepAlive).flat_map(comma_list);
    hop.keep_alive_timeout = options.filter_map(keep_alive_timeout).min();
    head.remove_if(|known, _| HOP_BY_HOP.intersects(KnownHeaders::of(&[known])));
    Ok(hop)
}

/// The value of `timeout=5`, an option of `Keep-Alive`.
fn keep_alive_timeout(option: &[u8]) -> Option<u32> {
    let (name, seconds) = option.split_at_checked(8)?;
    let is_timeout = name.eq_ignore_ascii_case(b"timeout=");
    is_timeout.then(|| std::str::from_utf8(seconds).ok()?.trim_matches('"').parse().ok()).flatten()
}

/// Whether a request is a complete WebSocket handshake; any other is forwarded without its upgrade.
fn is_websocket(head: &Head) -> bool {
    let single_value = |name: &[u8]| {
        let mut lines =
            head.fields().filter(|(_, n, _)| n.eq_ignore_ascii_case(name)).map(|(_, _, value)| value);
        lines.next().filter(|_| lines.next().is_none())
    };
    // Most requests return here.
    let Some(upgrade) = head.get_known(KnownHeader::Upgrade) else { return false };
    upgrade.eq_ignore_ascii_case(b"websocket")
        && head.get_all_known(KnownHeader::Upgrade).count() == 1
        && head
            .get_all_known(KnownHeader::Connection)
            .flat_map(comma_list)
            .any(|option| option.eq_ignore_ascii_case(b"upgrade"))
        && (head.method(), head.version) == (b"GET", Version::Http11)
        && head.get_known(KnownHeader::TransferEncoding).is_none()
        && head.get_known(KnownHeader::ContentLength).is_none_or(|length| length == b"0")
        && single_value(b"sec-websocket-key").is_some_and(is_valid_key)
        && single_value(b"sec-websocket-version").is_some_and(|version| version == b"13")
}

/// The tunnel that a request upgrades to; of several protocols the first counts.
fn tunnel_upgrade(head: &Head) -> Option<TunnelUpgrade> {
    let upgrade = head.get_known(KnownHeader::Upgrade)?;
    let is_listed = head
        .get_all_known(KnownHeader::Connection)
        .flat_map(comma_list)
        .any(|option| option.eq_ignore_ascii_case(b"upgrade"));
    if !is_listed || (head.method(), head.version) != (b"GET", Version::Http11) {
        return None;
    }
    let requested = comma_list(upgrade).next()?;
    [TunnelUpgrade::Agent, TunnelUpgrade::Connect]
        .into_iter()
        .find(|tunnel| requested.eq_ignore_ascii_case(tunnel.name().as_bytes()))
}

/// The fields that `Connection` lists, except those that must not be removed.
fn connection_options(
    head: &Head,
    max_options: usize,
    hop: &mut HopByHop,
) -> Result<Vec<Vec<u8>>, TooManyOptions> {
    let mut listed = Vec::new();
    let options = head.get_all_known(KnownHeader::Connection).flat_map(comma_list);
    for (at, option) in options.enumerate() {
        if at >= max_options {
            return Err(TooManyOptions);
        }
        if option.eq_ignore_ascii_case(b"close") {
            hop.close = true;
        } else if option.eq_ignore_ascii_case(b"keep-alive") {
            hop.keep_alive = true;
        } else if KnownHeader::of(option) == KnownHeader::Other && !must_not_be_listed(option) {
            listed.push(option.to_vec());
        }
    }
    Ok(listed)
}

/// RFC 9110 7.6.1: `Connection` must not list fields meant for all recipients, so these are not removed.
fn must_not_be_listed(name: &[u8]) -> bool {
    const END_TO_END_EXCEPTIONS: [&[u8]; 5] =
        [b"authorization", b"cookie", b"cache-control", b"content-type", b"x-real-ip"];
    END_TO_END_EXCEPTIONS.iter().any(|exception| name.eq_ignore_ascii_case(exception))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(fields: &[(&str, &str)]) -> Head {
        let mut head = Head::request(b"GET", b"/");
        for (name, value) in fields {
            head.append(name.as_bytes(), value.as_bytes());
        }
        head
    }

    #[test]
    fn fields_listed_in_connection_are_removed_except_protected_ones() {
        let mut head = head(&[
            ("Connection", ",, X-Hop ,\t,close, Host, X-Forwarded-For"),
            ("X-Hop", "1"),
            ("Host", "h"),
            ("X-Forwarded-For", "1"),
            ("Keep-Alive", "5"),
        ]);
        assert!(strip(&mut head, 9).unwrap().close);
        assert_eq!(head.fields().map(|f| f.1).collect::<Vec<_>>(), [&b"Host"[..], b"X-Forwarded-For"]);
    }

    #[test]
    fn framing_upgrade_and_te_are_never_forwarded() {
        let mut head = head(&[
            ("TE", "gzip, trailers"),
            ("Upgrade", "h2c"),
            ("HTTP2-Settings", "x"),
            ("Transfer-Encoding", "chunked"),
            ("X", "1"),
        ]);
        assert!(strip(&mut head, 9).unwrap().te_trailers);
        assert_eq!(head.len(), 1);
    }

    #[test]
    fn the_shortest_keep_alive_timeout_counts() {
        let hop = |value| strip(&mut head(&[("Keep-Alive", value)]), 9).unwrap().keep_alive_timeout;
        assert_eq!((hop("timeout=5, max=100"), hop("max=1, Timeout=7, timeout=\"6\"")), (Some(5), Some(6)));
        assert_eq!((hop("5"), hop("timeout=x"), hop("timeout=-1")), (None, None, None));
    }

    #[test]
    fn more_connection_options_than_allowed_are_an_error() {
        let options = |n| head(&[("Connection", &vec!["a"; n].join(",")), ("Connection", "close")]);
        assert_eq!(strip(&mut options(7), 8).map(|hop| hop.close), Ok(true));
        assert_eq!(strip(&mut options(8), 8), Err(TooManyOptions));
    }
}
