//! Lists of the API as tables: one column for each member of the items, nested ones by their path.

use super::table::{latency_text, printable};
use serde_json::Value;

/// Longest cell.
const MAX_CELL: usize = 60;

/// The heads and the rows of a list of objects; numbers are aligned to the right.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Columns {
    /// With `>` in front of those of numbers.
    pub heads: Vec<String>,
    pub rows: Vec<Vec<String>>,
}

impl Columns {
    /// The columns of the items, in the order of their first occurrence; without those that no item fills.
    pub fn new(items: &[Value]) -> Columns {
        let mut names: Vec<(String, bool)> = Vec::new();
        let mut cells: Vec<Vec<(String, String)>> = Vec::new();
        for item in items {
            let mut row = Vec::new();
            flatten(item, "", &mut row);
            for (name, value) in &row {
                let is_number = value.is_number();
                match names.iter_mut().find(|(known, _)| known == name) {
                    Some((_, numeric)) => *numeric &= is_number,
                    None => names.push((name.clone(), is_number)),
                }
            }
            cells.push(row.into_iter().map(|(name, value)| (name.clone(), cell(&name, &value))).collect());
        }
        let text = |row: &Vec<(String, String)>, name: &String| {
            row.iter().find(|(known, _)| known == name).map_or(String::new(), |(_, text)| text.clone())
        };
        let rows = cells.iter().map(|row| names.iter().map(|(name, _)| text(row, name)).collect()).collect();
        let head = |(name, is_number): &(String, bool)| {
            format!("{}{}", if *is_number { ">" } else { "" }, head(name))
        };
        Columns { heads: names.iter().map(head).collect(), rows }
    }
}

/// The scalar members of an object with their paths; lists of scalars are one cell.
fn flatten(value: &Value, path: &str, row: &mut Vec<(String, Value)>) {
    for (name, member) in value.as_object().into_iter().flatten() {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        match member {
            Value::Object(members) if members.is_empty() => {}
            Value::Object(_) => flatten(member, &path, row),
            Value::Array(items) if items.iter().any(|item| item.is_object() || item.is_array()) => {
                row.push((path, items.len().into()));
            }
            Value::Array(items) => {
                let texts: Vec<String> = items.iter().map(|item| cell(&path, item)).collect();
                row.push((path, texts.join(", ").into()));
            }
            Value::Null => {}
            _ => row.push((path, member.clone())),
        }
    }
}

/// The name of a column: the unit is part of the cells.
fn head(name: &str) -> String {
    let bare = name.strip_suffix("_seconds").or_else(|| name.strip_suffix("_ratio")).unwrap_or(name);
    bare.replace('_', " ")
}

/// The text of a value, with the unit that its name states.
pub fn cell(name: &str, value: &Value) -> String {
    let text = match value {
        Value::Number(number) => number_text(name, number.as_f64().unwrap_or_default(), number.is_f64()),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        Value::String(text) => printable(text),
        Value::Null => String::new(),
        other => printable(&other.to_string()),
    };
    match text.char_indices().nth(MAX_CELL) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text,
    }
}

fn number_text(name: &str, number: f64, is_float: bool) -> String {
    match name {
        _ if name.ends_with("_ratio") => format!("{:.1}%", number * 100.0),
        _ if name.ends_with("_seconds") && is_float => latency_text(number),
        _ if name.ends_with("_seconds") => super::table::age_text(number as u64),
        _ if is_float => format!("{number:.1}"),
        _ => format!("{number}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn nested_members_are_columns_with_units() {
        let items = [
            json!({ "name": "a", "rate": 1.25, "latency": { "p99_seconds": 0.012 }, "error_ratio": 0.5, "codes": ["x", "y"] }),
            json!({ "name": "b\x1b", "rate": 0, "drained": true }),
        ];
        let columns = Columns::new(&items);
        assert_eq!(columns.heads, ["name", ">rate", ">latency.p99", ">error", "codes", "drained"]);
        assert_eq!(columns.rows[0], ["a", "1.2", "12ms", "50.0%", "x, y", ""]);
        assert_eq!(columns.rows[1], ["b?", "0", "", "", "", "yes"]);
    }
}
