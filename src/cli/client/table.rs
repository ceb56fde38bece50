//! Tables of text for terminals and files.

/// The rows under their heads; columns whose head begins with `>` are aligned to the right.
pub fn table(heads: &[&str], rows: &[Vec<String>]) -> String {
    let names: Vec<String> = heads.iter().map(|head| head.trim_start_matches('>').to_owned()).collect();
    let width = |at: usize| {
        let cells =
            rows.iter().chain([&names]).filter_map(|row| row.get(at)).map(|cell| cell.chars().count());
        cells.max().unwrap_or(0)
    };
    let widths: Vec<(usize, bool)> =
        heads.iter().enumerate().map(|(at, head)| (width(at), head.starts_with('>'))).collect();
    std::iter::once(&names).chain(rows).map(|row| line(row, &widths)).collect()
}

/// A line; `widths` has the width of each column, and whether it is aligned to the right.
fn line(cells: &[String], widths: &[(usize, bool)]) -> String {
    let mut line = String::new();
    for (cell, (width, is_right)) in cells.iter().zip(widths) {
        let padding = " ".repeat(width.saturating_sub(cell.chars().count()));
        line.push_str(&if *is_right { format!("{padding}{cell}  ") } else { format!("{cell}{padding}  ") });
    }
    format!("{}\n", line.trim_end())
}

/// Control characters of data from the gateway, which a terminal would interpret, as `?`.
pub fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

/// A number of seconds as `3d 4h`, `4h 5m`, `5m 6s` or `6s`.
pub fn age_text(seconds: u64) -> String {
    match seconds {
        ..60 => format!("{seconds}s"),
        60..3600 => format!("{}m {}s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{}h {}m", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{}d {}h", seconds / 86_400, seconds % 86_400 / 3600),
    }
}

/// A duration in seconds as `0.9ms`, `12ms` or `1.2s`.
pub fn latency_text(seconds: f64) -> String {
    let ms = seconds * 1000.0;
    match ms {
        ..10.0 => format!("{ms:.1}ms"),
        10.0..1000.0 => format!("{ms:.0}ms"),
        _ => format!("{seconds:.1}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [vec!["orders".to_owned(), "12".to_owned()], vec!["a".to_owned(), "3".to_owned()]];
        assert_eq!(table(&["route", ">rate"], &rows), "route   rate\norders    12\na          3\n");
    }

    #[test]
    fn times_have_two_units_and_control_characters_are_replaced() {
        assert_eq!([5, 65, 3700, 90_000].map(age_text), ["5s", "1m 5s", "1h 1m", "1d 1h"]);
        assert_eq!([0.0009, 0.012, 1.25].map(latency_text), ["0.9ms", "12ms", "1.2s"]);
        assert_eq!(printable("a\x1b[2J"), "a?[2J");
    }
}
