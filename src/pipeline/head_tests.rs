//! Lookup and edits of message heads.

use super::*;

#[test]
fn edits_replace_values_in_place() {
    let mut head = Head::request(b"GET", b"/a");
    head.append(b"X-A", b"1");
    head.append(b"x-a", b"2");
    head.append(b"Host", b"h");
    head.set(b"X-a", b"3");
    assert_eq!(head.get_all(b"x-A").collect::<Vec<_>>(), [b"3"]);
    assert_eq!(head.get_known(KnownHeader::Host), Some(&b"h"[..]));
    assert!(head.remove_known(KnownHeader::Host));
    assert_eq!(head.len(), 1);
    head.set_target(b"/b");
    assert_eq!((head.method(), head.target()), (&b"GET"[..], &b"/b"[..]));
}

#[test]
fn the_received_size_survives_edits() {
    let mut head = Head::default();
    let bytes = b"GET / HTTP/1.1\r\nA: 1\r\nB: 2\r\n\r\n";
    head.load(bytes);
    head.push_field((16, 17), (19, 20));
    head.push_field((22, 23), (25, 26));
    head.set(b"A", b"long value");
    head.append(b"C", b"3");
    assert_eq!(head.received(), (2, bytes.len() - 16));
    let mut created = Head::request(b"GET", b"/");
    created.append(b"A", b"1");
    assert_eq!(created.received(), (1, 6));
}
