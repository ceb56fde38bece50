//! Trusted fields, and the fields for the backend.

use super::*;
use crate::pipeline::exchange::Peer;
use std::time::Instant;

fn exchange(fields: &[(&str, &str)]) -> Exchange {
    let peer = "10.0.0.1:1".parse().unwrap();
    let mut exchange = Exchange::new(Peer::new(peer, peer, false), 0, Instant::now());
    exchange.request = Head::request(b"GET", b"/");
    exchange.request.append(b"Host", b"public.test");
    fields.iter().for_each(|(name, value)| exchange.request.append(name.as_bytes(), value.as_bytes()));
    exchange
}

fn proxies() -> TrustedProxies {
    TrustedProxies {
        proxies: [crate::base::ip_set::IpRange::parse("10.0.0.0/8").unwrap()].into_iter().collect(),
        trust_for: true,
        trust_proto: true,
        ..TrustedProxies::default()
    }
}

#[test]
fn the_host_is_replaced_only_where_it_is_trusted() {
    let fields = [("X-Forwarded-Host", "admin.test"), ("X-Forwarded-Proto", "https")];
    for (trust_host, host) in [(false, "public.test"), (true, "admin.test")] {
        let mut exchange = exchange(&fields);
        TrustedProxies { trust_host, ..proxies() }.apply(&mut exchange);
        assert_eq!(exchange.request.get(b"host"), Some(host.as_bytes()));
        assert!(exchange.client.is_tls);
    }
}

#[test]
fn forwarded_takes_the_place_of_the_other_fields_where_it_is_trusted() {
    let mut exchange =
        exchange(&[("X-Forwarded-For", "6.6.6.6"), ("Forwarded", "for=192.0.2.1;proto=https;host=a.test")]);
    let trusted = TrustedProxies { trust_forwarded: true, ..proxies() };
    trusted.apply(&mut exchange);
    assert_eq!(exchange.client.ip.to_string(), "192.0.2.1");
    assert_eq!((exchange.client.is_tls, exchange.request.get(b"host")), (true, Some(&b"a.test"[..])));
    exchange.request.remove(b"X-Forwarded-For");
    let _ = AddForwarded.on_request(&mut exchange);
    let chain: Vec<_> = exchange.request.get_all(b"x-forwarded-for").collect();
    assert_eq!(chain, [&b"192.0.2.1"[..], b"10.0.0.1"]);
}
