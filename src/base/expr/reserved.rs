//! Function names that contain a reserved word of CEL.

use std::borrow::Cow;

/// As the parser reads `ip.in`; `in` is an operator.
pub const PARSED_IP_IN: &str = "ip.In";
const IP_IN: &str = "ip.in";

/// The source with names that the parser accepts; the positions stay the same.
pub fn with_parsed_names(source: &str) -> Cow<'_, str> {
    if !source.contains(IP_IN) {
        return Cow::Borrowed(source);
    }
    let mut bytes = source.as_bytes().to_vec();
    let (mut quote, mut at) = (None, 0);
    while at < bytes.len() {
        match (quote, bytes[at]) {
            (Some(_), b'\\') => at += 1,
            (Some(open), byte) if byte == open => quote = None,
            (None, byte @ (b'"' | b'\'')) => quote = Some(byte),
            (None, b'i') if is_call(&bytes, at) => bytes[at + 3] = b'I',
            _ => {}
        }
        at += 1;
    }
    String::from_utf8(bytes).map_or(Cow::Borrowed(source), Cow::Owned)
}

/// Whether `ip.in(` begins here.
fn is_call(bytes: &[u8], at: usize) -> bool {
    let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.');
    let begins = at.checked_sub(1).and_then(|before| bytes.get(before)).is_none_or(|before| !is_word(before));
    let rest = bytes.get(at..).and_then(|rest| rest.strip_prefix(IP_IN.as_bytes()));
    begins && rest.is_some_and(|rest| rest.trim_ascii_start().starts_with(b"("))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_is_changed_in_calls_alone() {
        assert_eq!(with_parsed_names("ip.in(a, 'ip.in(')"), "ip.In(a, 'ip.in(')");
        assert_eq!(with_parsed_names("x.ip.in + 'a\\'ip.in('"), "x.ip.in + 'a\\'ip.in('");
    }
}
