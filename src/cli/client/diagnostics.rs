//! Diagnostics of the API, printed as `margay check` prints them.

use super::table::printable;
use crate::config::render::Style;
use serde_json::Value;

/// All diagnostics of a problem or a report, with the lines of the document that was sent.
pub fn diagnostics_text(page: &Value, name: &str, document: &str, style: Style) -> String {
    let list = page.get("diagnostics").and_then(Value::as_array).cloned().unwrap_or_default();
    let lines: Vec<&str> = document.lines().collect();
    list.iter().map(|diagnostic| one(diagnostic, name, &lines, style)).collect()
}

fn one(diagnostic: &Value, name: &str, lines: &[&str], style: Style) -> String {
    let text = |member: &str| printable(diagnostic.get(member).and_then(Value::as_str).unwrap_or_default());
    let number = |member: &str| diagnostic.get(member).and_then(Value::as_u64).unwrap_or(0) as usize;
    let severity = text("severity");
    let color = if severity == "error" { "31" } else { "33" };
    let title = format!("{severity}[{}]", text("code"));
    let title = if style.color { format!("\x1b[1;{color}m{title}\x1b[0m") } else { title };
    let mut block = format!("{title}: {}\n", text("message"));
    let (line, column) = (number("line"), number("column"));
    let gutter = line.to_string().len();
    if line > 0 {
        let pointer = text("pointer");
        let pointer = if pointer.is_empty() { pointer } else { format!("  ({pointer})") };
        // The document is in the place of the main file of the gateway; other files are named as the gateway has them.
        let is_policy = text("file").contains("policies/");
        let file = if is_policy { text("file") } else { name.to_owned() };
        block.push_str(&format!("{:gutter$}--> {file}:{line}:{column}{pointer}\n", ""));
        if let Some(source) = lines.get(line - 1).filter(|_| !is_policy) {
            let end = if number("endLine") == line { number("endColumn") } else { column + 1 };
            let carets = "^".repeat(end.saturating_sub(column).max(1));
            let (source, column) = excerpt(&printable(&source.replace('\t', " ")), column);
            block.push_str(&format!(
                "{:gutter$} |\n{line} | {source}\n{:gutter$} | {:column$}{carets}\n",
                "", "", ""
            ));
        }
    }
    for help in diagnostic.get("help").and_then(Value::as_array).into_iter().flatten() {
        block.push_str(&format!("{:gutter$} = help: {}\n", "", printable(help.as_str().unwrap_or_default())));
    }
    block + "\n"
}

/// At most 120 characters of a line, and the number of characters before the column.
fn excerpt(line: &str, column: usize) -> (String, usize) {
    let start = column.saturating_sub(1).saturating_sub(60);
    let shown: String = line.chars().skip(start).take(120).collect();
    (shown.trim_end().to_owned(), column.saturating_sub(1) - start)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_diagnostic_has_its_line_a_caret_and_its_help() {
        let page = json!({ "diagnostics": [{
            "code": "MG0101", "severity": "error", "message": "unknown setting \"Timout\"", "file": "gateway.json",
            "line": 2, "column": 3, "endLine": 2, "endColumn": 11, "pointer": "/Timout", "help": ["did you mean \"Timeout\"?"]
        }] });
        let expected = "error[MG0101]: unknown setting \"Timout\"\n --> new.json:2:3  (/Timout)\n  |\n2 |   \"Timout\": 1\n  |   \
                        ^^^^^^^^\n  = help: did you mean \"Timeout\"?\n\n";
        assert_eq!(diagnostics_text(&page, "new.json", "{\n  \"Timout\": 1\n}", Style::default()), expected);
        assert_eq!(diagnostics_text(&json!({}), "x", "", Style::default()), "");
    }
}
