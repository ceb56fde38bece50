//! Tests of the codec; the bytes are those of real clients.

use super::*;
use proptest::prelude::*;

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

fn decoded(text: &str) -> Packet {
    let bytes = hex(text);
    let (packet, length) = decode(&bytes, 1 << 16).unwrap().unwrap();
    assert_eq!(length, bytes.len());
    packet
}

#[test]
fn packets_of_a_device_are_decoded() {
    let connect = "10 1e 0004 4d515454 04 c0 003c 0004 64657631 0009 682f646576312f3f76 0001 70";
    let expected = Connect {
        level: 4,
        client_id: "dev1".into(),
        user_name: Some("h/dev1/?v".into()),
        password: Some("p".into()),
        keep_alive: 60,
    };
    assert_eq!(decoded(connect), Packet::Connect(expected));
    let subscribe = "82 1b 0001 0016 24696f746875622f73747265616d732f504f53542f23 00";
    let filters = vec![("$iothub/streams/POST/#".to_owned(), 0)];
    assert_eq!(decoded(subscribe), Packet::Subscribe { id: 1, filters });
    assert_eq!(decoded("c0 00"), Packet::Ping);
    assert_eq!(decoded("e0 00"), Packet::Disconnect);
    assert_eq!(decoded("32 08 0003 612f62 0007 78"), Packet::Publish { topic: "a/b".into(), qos: 1, id: 7 });
    assert_eq!(decoded("62 02 0007"), Packet::Release { id: 7 });
    assert_eq!(decoded("a2 05 0001 0001 61"), Packet::Unsubscribe { id: 1 });
}

#[test]
fn packets_for_a_device_are_encoded() {
    assert_eq!(connack(0), hex("20 02 00 00"));
    assert_eq!(suback(1, &[0]), hex("90 03 0001 00"));
    assert_eq!(pingresp(), hex("d0 00"));
    assert_eq!(id_packet(PUBACK, 7), hex("40 02 0007"));
    let long = "t".repeat(200);
    let packet = publish(&long);
    assert_eq!((&packet[..5], packet.len()), (&hex("30 ca 01 00 c8")[..], 205));
}

#[test]
fn a_packet_is_complete_with_its_last_byte() {
    let bytes = hex("82 1b 0001 0016 24696f746875622f73747265616d732f504f53542f23 00");
    for length in 0..bytes.len() {
        assert_eq!(decode(&bytes[..length], 1 << 16), Ok(None), "{length}");
    }
}

#[test]
fn violations_and_long_packets_are_errors() {
    for text in [
        "10 80 80 80 80 01",
        "30 03 0001 2b",
        "36 05 0001 61 0001",
        "32 05 0001 61 0000",
        "80 05 0001 0001 61 00",
        "82 02 0001",
        "c0 01 00",
        "c1 00",
        "20 02 0000",
        "10 04 0002 6162",
        "30 03 0001 ff",
    ] {
        assert!(decode(&hex(text), 1 << 16).is_err(), "{text}");
    }
    assert_eq!(decode(&hex("30 81 01"), 128), Err(MqttError("packet too long")), "before its bytes arrive");
}

#[test]
fn other_levels_are_recognized() {
    for (text, level) in [("10 07 0004 4d515454 05", 5), ("10 09 0006 4d5149736470 03", 3)] {
        let Packet::Connect(connect) = decoded(text) else { panic!("CONNECT") };
        assert_eq!(connect.level, level);
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
        let _ = decode(&bytes, 1 << 16);
    }

    #[test]
    fn a_topic_is_read_back(topic in "[a-z/$]{1,300}") {
        let packet = publish(&topic);
        prop_assert_eq!(decode(&packet, 1 << 16), Ok(Some((Packet::Publish { topic, qos: 0, id: 0 }, packet.len()))));
    }
}
