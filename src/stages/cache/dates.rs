//! HTTP dates (RFC 9110 5.6.7) in their three formats, as seconds since 1970. Names are case-insensitive, everything else
//! is strict: an invalid date makes a response stale, never fresh. (`httpdate` accepts less and more than that.)

use crate::base::date::days_from_civil;

/// Parses a date.
pub fn parse(text: &[u8], now_unix: i64) -> Option<i64> {
    let text = crate::base::bytes::trim_ows(text);
    fixdate(text).or_else(|| rfc850(text, now_unix)).or_else(|| asctime(text))
}

/// `Sun, 06 Nov 1994 08:49:37 GMT`.
fn fixdate(text: &[u8]) -> Option<i64> {
    if text.len() != 29 || &text[3..5] != b", " || text[7] != b' ' || text[11] != b' ' || text[16] != b' ' {
        return None;
    }
    weekday(&text[..3], 3)?;
    let time = time_with_gmt(&text[17..])?;
    seconds(number(&text[12..16])?, month(&text[8..11])?, number(&text[5..7])?, time)
}

/// `Sunday, 06-Nov-94 08:49:37 GMT`; the year is the one nearest to now, at most 50 years ahead.
fn rfc850(text: &[u8], now_unix: i64) -> Option<i64> {
    let comma = text.iter().position(|b| *b == b',')?;
    weekday(&text[..comma], comma)?;
    let rest = text[comma..].strip_prefix(b", ")?;
    if comma < 6 || rest.len() != 22 || rest[2] != b'-' || rest[6] != b'-' || rest[9] != b' ' {
        return None;
    }
    let time = time_with_gmt(&rest[10..])?;
    let (day, month, year) = (number(&rest[..2])?, month(&rest[3..6])?, number(&rest[7..9])?);
    let this_year = 1970 + now_unix / 31_556_952;
    let mut year = this_year - this_year % 100 + year;
    if year > this_year + 50 {
        year -= 100;
    }
    seconds(year, month, day, time)
}

/// `Sun Nov  6 08:49:37 1994`.
fn asctime(text: &[u8]) -> Option<i64> {
    if text.len() != 24 || text[3] != b' ' || text[7] != b' ' || text[10] != b' ' || text[19] != b' ' {
        return None;
    }
    weekday(&text[..3], 3)?;
    let day = if text[8] == b' ' { number(&text[9..10])? } else { number(&text[8..10])? };
    seconds(number(&text[20..])?, month(&text[4..7])?, day, time_of_day(&text[11..19])?)
}

/// `08:49:37 GMT`.
fn time_with_gmt(text: &[u8]) -> Option<i64> {
    let zone = text.get(8..)?;
    if zone.eq_ignore_ascii_case(b" GMT") { time_of_day(&text[..8]) } else { None }
}

/// `08:49:37` as seconds of the day; a leap second equals the one before it.
fn time_of_day(text: &[u8]) -> Option<i64> {
    if text.len() != 8 || text[2] != b':' || text[5] != b':' {
        return None;
    }
    let (hour, minute, second) = (number(&text[..2])?, number(&text[3..5])?, number(&text[6..])?);
    (hour < 24 && minute < 60 && second <= 60).then(|| hour * 3600 + minute * 60 + second.min(59))
}

/// Digits only.
fn number(text: &[u8]) -> Option<i64> {
    crate::base::bytes::decimal(text).and_then(|n| i64::try_from(n).ok())
}

/// A day of the week, its first three letters or all of them.
fn weekday(text: &[u8], letters: usize) -> Option<()> {
    const DAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
    let known = DAYS.iter().any(|day| {
        let day = day.as_bytes();
        let expected = if letters == 3 { day.get(..3) } else { Some(day) };
        expected.is_some_and(|expected| expected.eq_ignore_ascii_case(text))
    });
    known.then_some(())
}

/// 1 to 12.
fn month(text: &[u8]) -> Option<i64> {
    const MONTHS: [&[u8]; 12] =
        [b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"];
    MONTHS.iter().position(|name| name.eq_ignore_ascii_case(text)).map(|at| at as i64 + 1)
}

fn seconds(year: i64, month: i64, day: i64, time: i64) -> Option<i64> {
    if !(1..=31).contains(&day) || !(1601..=9999).contains(&year) {
        return None;
    }
    let days = days_from_civil(year, month, day);
    Some(days * 86_400 + time)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_790_000_000;

    #[test]
    fn all_three_formats_are_parsed() {
        for text in
            ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"]
        {
            assert_eq!(parse(text.as_bytes(), NOW), Some(784_111_777), "{text}");
        }
        assert_eq!(parse(b"Thu, 01 Jan 1970 00:00:00 GMT", NOW), Some(0));
        assert_eq!(parse(b"Tue, 29 Feb 2000 23:59:60 GMT", NOW), Some(951_868_799));
        assert_eq!(parse(b"Thursday, 18-Aug-50 02:01:18 GMT", NOW), parse(b"Thu Aug 18 02:01:18 2050", NOW));
    }

    #[test]
    fn names_are_case_insensitive() {
        for text in [
            "THU, 18 Aug 2050 02:01:18 GMT",
            "Thu, 18 AUG 2050 02:01:18 GMT",
            "Thu, 18 Aug 2050 02:01:18 gMT",
        ] {
            assert_eq!(parse(text.as_bytes(), NOW), Some(2_544_400_878), "{text}");
        }
    }

    #[test]
    fn invalid_dates_are_rejected() {
        for text in [
            "0",
            "-1",
            "",
            "Thu, 18 Aug 2050 02:01:18 UTC",
            "Thu, 18 Aug 50 02:01:18 GMT",
            "Thu 18 Aug 2050 02:01:18 GMT",
            "Thu, 18  Aug  2050 02:01:18 GMT",
            "Thu, 18-Aug-2050 02:01:18 GMT",
            "Thu, 18 Aug 2050 02.01.18 GMT",
            "Thu, 18 Aug 2050 2:01:18 GMT",
            "Thu, 18 Aug 2050 25:01:18 GMT",
            "Foo, 18 Aug 2050 02:01:18 GMT",
        ] {
            assert_eq!(parse(text.as_bytes(), NOW), None, "{text}");
        }
    }
}
