//! Cookies of a request (RFC 6265 5.4).

use super::head::Head;

/// The value of the first cookie with this name, without quotes.
///
/// ```
/// use margay::pipeline::{cookies::cookie_value, head::Head};
///
/// let mut head = Head::request(b"GET", b"/");
/// head.append(b"Cookie", b"theme=dark; sid=\"42\"");
/// assert_eq!(cookie_value(&head, "sid"), Some(&b"42"[..]));
/// ```
pub fn cookie_value<'h>(head: &'h Head, name: &str) -> Option<&'h [u8]> {
    let pairs = head.get_all(b"cookie").flat_map(|line| line.split(|b| *b == b';')).map(<[u8]>::trim_ascii);
    let mut values = pairs.filter_map(|pair| pair.strip_prefix(name.as_bytes())?.strip_prefix(b"="));
    values.next().map(|value| value.strip_prefix(b"\"").and_then(|v| v.strip_suffix(b"\"")).unwrap_or(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_is_found_in_any_header_line_by_its_full_name() {
        let mut head = Head::request(b"GET", b"/");
        head.append(b"Cookie", b"a=1; sid2=no;sid=\"x=y\"");
        head.append(b"Cookie", b"b=");
        assert_eq!(cookie_value(&head, "sid"), Some(&b"x=y"[..]));
        assert_eq!((cookie_value(&head, "a"), cookie_value(&head, "b")), (Some(&b"1"[..]), Some(&b""[..])));
        assert_eq!(cookie_value(&head, "si"), None);
    }
}
