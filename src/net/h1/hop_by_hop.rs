//! Hop-by-hop fields (RFC 9110 7.6.1): what concerns one connection only never travels on.

use crate::{
    base::{bytes::comma_list, websocket::is_valid_key},
    pipeline::head::{Head, KnownHeader, Version},
};

/// What a message says about its connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HopByHop {
    pub close: bool,
    pub keep_alive: bool,
    pub te_trailers: bool,
    /// The client wants to go on with WebSocket (RFC 6455 4.1).
    pub websocket: bool,
}

/// Reads the connection options and takes every hop-by-hop field out of the head. Framing fields go too: they are written anew.
/// A field that the gateway itself relies on is never removed because `Connection` names it.
pub fn strip(head: &mut Head) -> HopByHop {
    let mut hop = HopByHop::default();
    let named = connection_options(head, &mut hop);
    hop.websocket = is_websocket(head);
    hop.te_trailers =
        head.get_all_known(KnownHeader::Te).flat_map(comma_list).any(|v| v.eq_ignore_ascii_case(b"trailers"));
    for name in named {
        head.remove(&name);
    }
    head.remove_if(|known, _| {
        matches!(
            known,
            KnownHeader::Connection | KnownHeader::KeepAlive | KnownHeader::ProxyConnection | KnownHeader::Te
        ) || matches!(
            known,
            KnownHeader::TransferEncoding | KnownHeader::Upgrade | KnownHeader::Http2Settings
        )
    });
    hop
}

/// Whether a request is the whole opening of a WebSocket; one that is not is served without its upgrade.
fn is_websocket(head: &Head) -> bool {
    let one = |name: &[u8]| {
        let mut lines =
            head.fields().filter(|(_, n, _)| n.eq_ignore_ascii_case(name)).map(|(_, _, value)| value);
        lines.next().filter(|_| lines.next().is_none())
    };
    // Nearly all requests end here.
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
        && one(b"sec-websocket-key").is_some_and(is_valid_key)
        && one(b"sec-websocket-version").is_some_and(|version| version == b"13")
}

/// The names that `Connection` lists, those of end-to-end fields that must stay left out.
fn connection_options(head: &Head, hop: &mut HopByHop) -> Vec<Vec<u8>> {
    let mut named = Vec::new();
    for option in head.get_all_known(KnownHeader::Connection).flat_map(comma_list) {
        if option.eq_ignore_ascii_case(b"close") {
            hop.close = true;
        } else if option.eq_ignore_ascii_case(b"keep-alive") {
            hop.keep_alive = true;
        } else if KnownHeader::of(option) == KnownHeader::Other && !must_not_be_listed(option) {
            named.push(option.to_vec());
        }
    }
    named
}

/// RFC 9110 7.6.1: `Connection` must not name fields meant for all recipients; these it may not take away.
fn must_not_be_listed(name: &[u8]) -> bool {
    const END_TO_END_EXCEPTIONS: [&[u8]; 5] =
        [b"authorization", b"cookie", b"cache-control", b"content-type", b"x-real-ip"];
    END_TO_END_EXCEPTIONS.iter().any(|kept| name.eq_ignore_ascii_case(kept))
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
    fn fields_that_connection_names_go_and_those_we_rely_on_stay() {
        let mut head = head(&[
            ("Connection", ",, X-Hop ,\t,close, Host, X-Forwarded-For"),
            ("X-Hop", "1"),
            ("Host", "h"),
            ("X-Forwarded-For", "1"),
            ("Keep-Alive", "5"),
        ]);
        assert!(strip(&mut head).close);
        assert_eq!(head.fields().map(|f| f.1).collect::<Vec<_>>(), [&b"Host"[..], b"X-Forwarded-For"]);
    }

    #[test]
    fn framing_upgrade_and_te_never_travel_on() {
        let mut head = head(&[
            ("TE", "gzip, trailers"),
            ("Upgrade", "h2c"),
            ("HTTP2-Settings", "x"),
            ("Transfer-Encoding", "chunked"),
            ("X", "1"),
        ]);
        assert!(strip(&mut head).te_trailers);
        assert_eq!(head.len(), 1);
    }
}
