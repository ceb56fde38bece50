use super::*;
use proptest::prelude::*;

const NAMED: &str = "16030100420100003e0303000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f0000021301010000130000000f000d00000a64622e6578616d706c65";
const IN_TWO_RECORDS: &str = "16030100140100003e0303000102030405060708090a0b0c0d160301002e0e0f101112131415161718191a1b1c1d1e1f0000021301010000130000000f000d00000a64622e6578616d706c65";
const WITH_ALPN: &str = "1603010054010000500303000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f0000021301010000250000000f000d00000a64622e6578616d706c650010000e000c02683208687474702f312e31";

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

fn named(name: &str) -> Option<HelloOutcome> {
    Some(HelloOutcome::Hello(ClientHello { server_name: Some(name.into()), alpn: Vec::new() }))
}

/// A message with these extensions, in one record.
fn hello(extensions: &[u8]) -> Vec<u8> {
    let mut body = vec![3, 3];
    body.extend(0..32);
    body.extend([0, 0, 2, 0x13, 1, 1, 0]);
    body.extend((extensions.len() as u16).to_be_bytes());
    body.extend(extensions);
    let length = (body.len() as u32).to_be_bytes();
    let message = [&[1, length[1], length[2], length[3]], &body[..]].concat();
    let records = message.chunks(MAX_RECORD_BYTES);
    records.flat_map(|part| [&[0x16, 3, 1][..], &(part.len() as u16).to_be_bytes(), part].concat()).collect()
}

fn name_extension(name: &[u8]) -> Vec<u8> {
    let length = |n: usize| (n as u16).to_be_bytes();
    [&[0, 0][..], &length(name.len() + 5), &length(name.len() + 3), &[0], &length(name.len()), name].concat()
}

#[test]
fn the_name_is_read_from_one_record_or_from_several() {
    assert_eq!(parse(&bytes(NAMED)), named("db.example"));
    assert_eq!(parse(&bytes(IN_TWO_RECORDS)), named("db.example"));
    let message = bytes(NAMED)[5..].to_vec();
    for size in 1..message.len() {
        let parts = message.chunks(size);
        let records = parts.flat_map(|part| [&[0x16, 3, 1, 0, part.len() as u8][..], part].concat());
        assert_eq!(parse(&records.collect::<Vec<_>>()), named("db.example"), "records of {size} bytes");
    }
}

#[test]
fn the_protocols_are_read_in_the_order_of_the_client() {
    let Some(HelloOutcome::Hello(hello)) = parse(&bytes(WITH_ALPN)) else { panic!("a hello") };
    assert_eq!(hello.alpn, [b"h2"[..].into(), b"http/1.1"[..].into()]);
    assert_eq!(hello.server_name.as_deref(), Some("db.example"));
}

#[test]
fn bytes_one_at_a_time_have_the_result_of_all_at_once() {
    let mut parser = HelloParser::default();
    let all = bytes(WITH_ALPN);
    let (last, first) = all.split_last().unwrap();
    assert!(first.iter().all(|byte| parser.push(&[*byte]).is_none()));
    assert_eq!(parser.push(&[*last]), parse(&all));
}

#[test]
fn an_address_is_no_name_and_a_name_is_in_lower_case() {
    let of = |name: &str| parse(&hello(&name_extension(name.as_bytes())));
    assert_eq!(of("DB.Example"), named("db.example"));
    assert_eq!(of("10.0.0.1"), Some(HelloOutcome::Hello(ClientHello::default())));
    assert_eq!(of("db.example."), named("db.example."), "a route with this name does not exist");
    for name in ["", "a b", "a/b", "ä", "::1", &"a".repeat(256)] {
        assert_eq!(of(name), Some(HelloOutcome::Malformed), "{name}");
    }
}

#[test]
fn a_repeated_or_malformed_extension_makes_the_message_malformed() {
    let name = name_extension(b"a.example");
    let unknown = [0x2a, 0x2a, 0, 1, 7];
    assert_eq!(parse(&hello(&[&unknown[..], &name, &unknown].concat())), named("a.example"));
    for extensions in [
        [name.clone(), name.clone()].concat(),
        name[..name.len() - 1].to_vec(),
        vec![0, 16, 0, 2, 0, 0],
        vec![0, 16, 0, 3, 0, 1, 0],
        vec![0, 0, 0, 4, 0, 2, 0, 0],
    ] {
        assert_eq!(parse(&hello(&extensions)), Some(HelloOutcome::Malformed), "{extensions:02x?}");
    }
}

#[test]
fn what_is_not_tls_is_malformed_with_its_first_wrong_byte() {
    for start in [&b"GET / HTTP/1.1"[..], &[0x80, 0x2e, 1], &[0x16, 2], &[0x16, 3, 0x10], &[0x16, 3, 1, 0, 0]]
    {
        assert_eq!(parse(start), Some(HelloOutcome::Malformed), "{start:02x?}");
    }
    let another_type = [0x16, 3, 1, 0, 1, 2];
    assert_eq!(parse(&another_type), Some(HelloOutcome::Malformed));
    let mut alert_inside = bytes(IN_TWO_RECORDS);
    alert_inside[25] = 0x15;
    assert_eq!(parse(&alert_inside), Some(HelloOutcome::Malformed));
}

#[test]
fn a_message_of_16_kib_is_read_and_a_longer_one_is_too_large() {
    let padding = |size: usize| {
        let empty = hello(&[0, 21, 0, 0]).len() - 5;
        let fill = vec![0; size - empty];
        hello(&[&[0, 21][..], &(fill.len() as u16).to_be_bytes(), &fill].concat())
    };
    assert_eq!(parse(&padding(MAX_HELLO_BYTES)), Some(HelloOutcome::Hello(ClientHello::default())));
    assert_eq!(parse(&padding(MAX_HELLO_BYTES + 1)), Some(HelloOutcome::TooLarge));
}

proptest! {
    #[test]
    fn a_flipped_byte_never_panics_and_every_cut_is_incomplete_or_has_the_final_result(
        at in 0..90usize, byte: u8, vector in 0..3usize
    ) {
        let mut hello = bytes([NAMED, IN_TWO_RECORDS, WITH_ALPN][vector]);
        let at = at % hello.len();
        hello[at] = byte;
        let whole = parse(&hello);
        for cut in 0..hello.len() {
            let mut parser = HelloParser::default();
            let early = parser.push(&hello[..cut]);
            match early {
                None => prop_assert_eq!(parser.push(&hello[cut..]), whole.clone()),
                early => prop_assert_eq!(early, whole.clone()),
            }
        }
    }

    #[test]
    fn any_bytes_are_parsed_without_a_panic(bytes: Vec<u8>) {
        let _ = parse(&bytes);
        let _ = parse(&hello(&bytes));
    }
}

/// First messages as `openssl s_client`, curl and Chromium sent them for `db.example`.
const RECORDED: [&str; 3] = [
    include_str!("../../tests/hellos/openssl.hex"),
    include_str!("../../tests/hellos/curl.hex"),
    include_str!("../../tests/hellos/chromium.hex"),
];

fn recorded(text: &str) -> Vec<u8> {
    bytes(&text.split_whitespace().collect::<String>())
}

#[test]
fn a_recorded_message_cut_anywhere_has_the_result_of_the_whole() {
    for message in RECORDED.map(recorded) {
        let whole = parse(&message);
        let Some(HelloOutcome::Hello(hello)) = &whole else { panic!("a hello, found {whole:?}") };
        assert_eq!(hello.server_name.as_deref(), Some("db.example"));
        for cut in 0..message.len() {
            let mut parser = HelloParser::default();
            assert_eq!(parser.push(&message[..cut]), None, "{cut} bytes");
            assert_eq!(parser.push(&message[cut..]), whole, "cut at {cut}");
        }
    }
}

#[test]
fn a_flipped_byte_of_a_recorded_message_never_invents_a_name_with_other_letters() {
    let is_name =
        |name: &str| name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'));
    for message in RECORDED.map(recorded) {
        for at in 0..message.len() {
            let mut changed = message.clone();
            changed[at] ^= 0xff;
            let name = match parse(&changed) {
                Some(HelloOutcome::Hello(hello)) => hello.server_name,
                Some(HelloOutcome::Malformed | HelloOutcome::TooLarge) | None => None,
            };
            assert!(name.as_deref().is_none_or(is_name), "{name:?}, byte {at}");
        }
    }
}
