//! `htmlEntityDecode`.

/// Named entities that are decoded, without the ampersand.
const ENTITIES: [(&[u8], u8); 5] =
    [(b"quot", b'"'), (b"amp", b'&'), (b"lt", b'<'), (b"gt", b'>'), (b"nbsp", 0xa0)];

/// `&#60;`, `&#x3c;` and five names, each with or without the semicolon.
pub fn decode(input: &[u8]) -> Vec<u8> {
    let mut output = Vec::with_capacity(input.len());
    let mut at = 0;
    while at < input.len() {
        let entity = if input[at] == b'&' { entity(&input[at + 1..]) } else { None };
        let Some((byte, length)) = entity else {
            output.push(input[at]);
            at += 1;
            continue;
        };
        output.push(byte);
        at += 1 + length;
        if input.get(at) == Some(&b';') {
            at += 1;
        }
    }
    output
}

/// The byte of an entity and the length of its text behind the ampersand.
fn entity(text: &[u8]) -> Option<(u8, usize)> {
    if let [b'#', rest @ ..] = text {
        return match rest {
            [b'x' | b'X', digits @ ..] => number(digits, 16).map(|(byte, length)| (byte, length + 2)),
            digits => number(digits, 10).map(|(byte, length)| (byte, length + 1)),
        };
    }
    let length = text.iter().take_while(|byte| byte.is_ascii_alphanumeric()).count();
    let name = &text[..length];
    ENTITIES.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, byte)| (*byte, length))
}

/// The low byte of the digits at the beginning, and their number. A number beyond 64 bits saturates, as `strtol` does.
fn number(text: &[u8], radix: u32) -> Option<(u8, usize)> {
    let length = text.iter().take_while(|byte| char::from(**byte).is_digit(radix)).count();
    let value = text[..length].iter().fold(0_u64, |value, digit| {
        let digit = u64::from(char::from(*digit).to_digit(radix).unwrap_or(0));
        value.saturating_mul(u64::from(radix)).saturating_add(digit).min(i64::MAX as u64)
    });
    (length > 0).then_some((value as u8, length))
}
