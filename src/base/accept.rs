//! Quality values of `Accept`, `Accept-Encoding` and `Accept-Language` (RFC 9110 12.4.2).

/// The quality of a value without `q`, in thousandths.
pub const MAX_QUALITY: u16 = 1000;

/// A quality as `Accept` and `Accept-Language` of browsers and tools contain it: any decimal number from 0 to 1; in
/// thousandths, rounded.
pub fn parse_quality_lenient(text: &str) -> Option<u16> {
    let quality: f32 = text.parse().ok()?;
    (0.0..=1.0).contains(&quality).then_some((quality * f32::from(MAX_QUALITY)).round() as u16)
}

/// A quality in the grammar of RFC 9110: 0 or 1 and at most three decimals; in thousandths.
pub fn parse_quality(text: &[u8]) -> Option<u16> {
    let [integer @ (b'0' | b'1'), rest @ ..] = text else { return None };
    let decimals = match rest {
        [] => rest,
        [b'.', decimals @ ..] if decimals.len() <= 3 => decimals,
        _ => return None,
    };
    let mut n = u16::from(*integer == b'1');
    for at in 0..3 {
        let digit = decimals.get(at).map_or(Some(0), |b| b.is_ascii_digit().then(|| b - b'0'))?;
        n = n * 10 + u16::from(digit);
    }
    (n <= MAX_QUALITY).then_some(n)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn qualities_are_thousandths() {
        for (text, quality) in
            [("1", Some(1000)), ("0.5", Some(500)), ("0.001", Some(1)), ("0.", Some(0)), ("1.001", None)]
        {
            assert_eq!(parse_quality(text.as_bytes()), quality, "{text}");
        }
        assert_eq!((parse_quality(b"0.1234"), parse_quality(b".5"), parse_quality(b"")), (None, None, None));
        assert_eq!(parse_quality_lenient(".5"), Some(500));
        assert_eq!((parse_quality_lenient("2"), parse_quality_lenient("x")), (None, None));
    }
}
