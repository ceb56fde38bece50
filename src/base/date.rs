//! Days and dates of the proleptic Gregorian calendar, counted from 1970-01-01 (Howard Hinnant, "chrono-compatible low-level
//! date algorithms").

use std::{
    fmt,
    time::{SystemTime, UNIX_EPOCH},
};

/// Days from the epoch of the algorithm, 0000-03-01, to 1970-01-01.
const EPOCH_OFFSET_DAYS: u64 = 719_468;
/// Days of a cycle of 400 years.
const CYCLE_DAYS: u64 = 146_097;

/// Year, month (from 1) and day (from 1) of a day since 1970-01-01.
pub fn civil_from_days(days: u64) -> (u64, u64, u64) {
    let shifted = days + EPOCH_OFFSET_DAYS;
    let (cycle, day_of_cycle) = (shifted / CYCLE_DAYS, shifted % CYCLE_DAYS);
    let year_of_cycle =
        (day_of_cycle - day_of_cycle / 1460 + day_of_cycle / 36_524 - day_of_cycle / 146_096) / 365;
    let day_of_year = day_of_cycle - (365 * year_of_cycle + year_of_cycle / 4 - year_of_cycle / 100);
    // Months are counted from March, so that the leap day is the last day of the year.
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (year_of_cycle + cycle * 400 + u64::from(month <= 2), month, day)
}

/// Days since 1970-01-01 of a date, negative before it. The date must be valid, and its year positive.
pub fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (cycle, year_of_cycle) = (year / 400, year % 400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_cycle = year_of_cycle * 365 + year_of_cycle / 4 - year_of_cycle / 100 + day_of_year;
    cycle * CYCLE_DAYS as i64 + day_of_cycle - EPOCH_OFFSET_DAYS as i64
}

/// A time in the form of RFC 3339, in UTC with milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timestamp(pub SystemTime);

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let since = self.0.duration_since(UNIX_EPOCH).unwrap_or_default();
        let (days, secs) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
        let (year, month, day) = civil_from_days(days);
        let (h, m, s, ms) = (secs / 3600, secs / 60 % 60, secs % 60, since.subsec_millis());
        write!(f, "{year:04}-{month:02}-{day:02}T{h:02}:{m:02}:{s:02}.{ms:03}Z")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn both_directions_agree_for_every_day_of_four_centuries() {
        for days in 0..2 * CYCLE_DAYS {
            let (year, month, day) = civil_from_days(days);
            assert_eq!(days_from_civil(year as i64, month as i64, day as i64), days as i64);
        }
        assert_eq!(civil_from_days(0), (1970, 1, 1));
        assert_eq!(civil_from_days(19_782), (2024, 2, 29));
        assert_eq!(days_from_civil(1969, 12, 31), -1);
    }

    #[test]
    fn dates_are_correct_across_leap_years() {
        for (secs, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400, "2000-02-29T00:00:00.000Z"),
            (1_709_251_199, "2024-02-29T23:59:59.000Z"),
            (4_107_542_400, "2100-03-01T00:00:00.000Z"),
        ] {
            assert_eq!(Timestamp(UNIX_EPOCH + Duration::from_secs(secs)).to_string(), text);
        }
    }
}
